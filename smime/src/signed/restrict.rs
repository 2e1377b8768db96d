//! Signatures by the rules of a profile.

use super::{SignatureState, SignerOutcome, VerifyOutcome};
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::cert::{Certificate, KeyType};
use crate::error::Error;
use crate::profile::{Profile, Strength};

impl VerifyOutcome {
    /// Judges every signature by the reading rules of another profile than `legacy-read`: what it does not read is not supported
    /// any more, what it calls weak is weak.
    pub fn restrict(&mut self, profile: &Profile) {
        for signer in &mut self.signers {
            one(signer, profile);
        }
    }
}

fn one(signer: &mut SignerOutcome, profile: &Profile) {
    let key = signer.certificate.as_ref().map(Certificate::key_type);
    let (digest, scheme) = (signer.digest, signer.scheme);
    signer.weak = is_weak(profile, digest, scheme, key);
    if signer.state == SignatureState::Valid
        && let Err(error) = profile.reads_signature(digest, scheme, key)
    {
        signer.state = SignatureState::Unsupported(error.to_string());
        signer.claims = Default::default();
        signer.ess.attributes = Default::default();
    }
    for counter in &mut signer.countersignatures {
        one(counter, profile);
    }
}

/// What is refused as weak is weak too, whatever else is wrong with the signature.
pub(super) fn is_weak(
    profile: &Profile,
    digest: Option<DigestAlgorithm>,
    scheme: Option<SignatureScheme>,
    key: Option<KeyType>,
) -> bool {
    let weak = |digest, key| {
        matches!(
            profile.reads_signature(digest, scheme, key),
            Ok(Strength::Weak) | Err(Error::WeakAlgorithm(_))
        )
    };
    // each by itself: an unknown part must not hide a weak one
    weak(digest, None) || weak(None, key)
}
