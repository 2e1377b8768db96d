//! Countersignatures (RFC 5652 §11.4): SignerInfos that cover the signature value of another one.
//!
//! They never improve or worsen the verdict of the message: whoever forwards it can add and remove them.

use super::attributes::{COUNTER_SIGNATURE, START, SignedAttributes, split};
use super::signer::{Content, SignerInfo};
use super::{SignatureState, SignerOutcome, scheme};
use crate::algorithm::DigestAlgorithm;
use crate::ber::Cursor;
use crate::cert::Certificate;
use crate::content::ID_DATA;
use crate::error::Result;
use crate::limits;

/// Judges the countersignatures of all signers into their outcomes (same order), and gives what is wrong with them in words.
pub(super) fn judge(
    signers: &[SignerInfo<'_>],
    outcomes: &mut [SignerOutcome],
    included: &[Certificate],
    candidates: &[Certificate],
) -> Vec<String> {
    let mut judging = Judging {
        included,
        candidates,
        room: limits::COUNTERSIGNATURES,
        tries: limits::SIGNATURE_TRIES,
        warnings: Vec::new(),
    };
    for (signer, outcome) in signers.iter().zip(outcomes) {
        outcome.countersignatures = judging.of(signer, limits::COUNTERSIGNATURE_DEPTH);
    }
    judging.warnings
}

struct Judging<'a> {
    included: &'a [Certificate],
    candidates: &'a [Certificate],
    /// how many more are looked at
    room: usize,
    /// how many more certificates are tried
    tries: usize,
    warnings: Vec<String>,
}

impl Judging<'_> {
    /// Those of one signature, and theirs, `depth` levels of them.
    fn of(&mut self, signer: &SignerInfo<'_>, depth: usize) -> Vec<SignerOutcome> {
        let mut all = Vec::new();
        for value in values(signer.unsigned_attributes.unwrap_or_default()) {
            if depth == 0 {
                self.warn(format!(
                    "countersignatures upon each other, more than {} of them: the others are not looked at",
                    limits::COUNTERSIGNATURE_DEPTH
                ));
                break;
            }
            let Some(room) = self.room.checked_sub(1) else {
                self.warn(format!(
                    "more than {} countersignatures: the others are not looked at",
                    limits::COUNTERSIGNATURES
                ));
                break;
            };
            self.room = room;
            match SignerInfo::parse(value) {
                Ok(counter) => {
                    let mut outcome = self.one(&counter, signer.signature);
                    outcome.countersignatures = self.of(&counter, depth.saturating_sub(1));
                    all.push(outcome);
                }
                Err(error) => self.warn(format!("a countersignature cannot be read ({error})")),
            }
        }
        all
    }

    fn one(&mut self, counter: &SignerInfo<'_>, signature: &[u8]) -> SignerOutcome {
        let mut named: Vec<&Certificate> = Vec::new();
        for certificate in self.included.iter().chain(self.candidates) {
            if counter.id.matches(certificate) && !named.contains(&certificate) {
                named.push(certificate);
            }
        }
        named.truncate(self.tries);
        self.tries = self.tries.saturating_sub(named.len());
        let attributes = counter.signed_attributes.map(SignedAttributes::parse);
        let time = attributes
            .as_ref()
            .and_then(|a| a.as_ref().ok()?.signing_time);
        let digest = counter.digest().unwrap_or(DigestAlgorithm::Sha256);
        let digests = [(digest, digest.digest(signature).to_vec())];
        let whole = [signature.to_vec()];
        let content = Content {
            kind: ID_DATA,
            announced: &[],
            digests: &digests,
            start: signature.get(..START).unwrap_or(signature),
            whole: Some(&whole),
        };
        let (state, certificates) = match covers(counter, attributes, &content) {
            Ok((scheme, attributes)) => {
                counter.check_signature(scheme, attributes.as_ref(), &content, &named)
            }
            Err(state) => (state, named.first().copied().into_iter().collect()),
        };
        if let SignatureState::Invalid(why) = &state {
            self.warn(format!("a countersignature is invalid: {why}"));
        }
        counter.outcome(state, certificates.first().copied(), time)
    }

    fn warn(&mut self, what: String) {
        if !self.warnings.contains(&what) {
            self.warnings.push(what);
        }
    }
}

/// All that needs no key. contentType must not be there, messageDigest must (RFC 5652 §11.4); digestAlgorithms of the message say
/// nothing about countersignatures.
fn covers<'a>(
    counter: &SignerInfo<'a>,
    attributes: Option<std::result::Result<SignedAttributes<'a>, SignatureState>>,
    content: &Content<'_>,
) -> std::result::Result<
    (
        crate::algorithm::SignatureScheme,
        Option<SignedAttributes<'a>>,
    ),
    SignatureState,
> {
    let invalid = |why: &str| Err(SignatureState::Invalid(why.into()));
    let scheme = scheme::resolve(&counter.digest, &counter.algorithm)?;
    let Some(attributes) = attributes.transpose()? else {
        return Ok((scheme, None));
    };
    if attributes.content_type.is_some() {
        return invalid("it has a contentType, so it is not made for a signature (RFC 5652 §11.4)");
    }
    let Some(expected) = attributes.message_digest else {
        return invalid("its signed attributes lack messageDigest");
    };
    if !content
        .digests(scheme.digest())
        .any(|digest| digest == expected)
    {
        return invalid("it was made for another signature");
    }
    Ok((scheme, Some(attributes)))
}

/// The values of all countersignature attributes; there may be several attributes with several values each.
fn values(unsigned: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    // what cannot be read makes the signature itself invalid, and is said there
    let mut read = || -> Result<()> {
        let mut cursor = Cursor::new(unsigned);
        while let Some(attribute) = cursor.next()? {
            let (kind, values) = split(&attribute)?;
            if kind != COUNTER_SIGNATURE {
                continue;
            }
            let mut values = Cursor::new(values);
            while let Some(value) = values.next()? {
                all.push(value.whole);
            }
        }
        Ok(())
    };
    let _ = read();
    all
}
