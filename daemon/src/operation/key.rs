//! Private keys on tokens, as the S/MIME library sees them.

use std::sync::Arc;

use privyseal_smime::{
    Certificate, DigestAlgorithm, KeyError, KeyOpener, RecipientId, RsaPadding, SignatureScheme,
    Signer,
};
use privyseal_token::{Hash, SignScheme, UnwrapScheme};
use zeroize::Zeroizing;

use super::{Unlock, failure};
use crate::registry::OwnCertificate;

/// The key of one certificate, unlocked by the caller.
pub struct TokenSigner<'a>(pub &'a OwnCertificate);

impl Signer for TokenSigner<'_> {
    fn sign_digest(&self, scheme: SignatureScheme, digest: &[u8]) -> Result<Vec<u8>, KeyError> {
        let own = self.0;
        let scheme = match scheme {
            SignatureScheme::RsaPkcs1(digest) => SignScheme::RsaPkcs1(hash(digest)),
            SignatureScheme::RsaPss { digest, salt_len } => SignScheme::RsaPss {
                hash: hash(digest),
                salt_len: u32::try_from(salt_len).unwrap_or(u32::MAX),
            },
            SignatureScheme::Ecdsa(_) => SignScheme::Ecdsa,
        };
        own.module
            .sign(&own.token, &own.key, scheme, digest)
            .map_err(key_error)
    }
}

/// All keys of present tokens; a token is unlocked when the first of its keys is needed.
pub struct TokenOpener<'a> {
    pub own: Arc<Vec<Arc<OwnCertificate>>>,
    pub unlock: Unlock<'a>,
}

impl TokenOpener<'_> {
    fn key_of(&self, certificate: &Certificate) -> Result<&OwnCertificate, KeyError> {
        let found = self
            .own
            .iter()
            .find(|own| own.has_private_key && own.certificate == *certificate);
        let own = found.ok_or_else(|| KeyError::new("NoSecretKey", "the key's token is gone"))?;
        (self.unlock)(own, "open an encrypted message").map_err(failure::to_key_error)?;
        Ok(own)
    }
}

impl KeyOpener for TokenOpener<'_> {
    fn find(&self, id: &RecipientId) -> Vec<Certificate> {
        let keys = self
            .own
            .iter()
            .filter(|own| own.has_private_key && id.matches(&own.certificate));
        keys.map(|own| own.certificate.clone()).collect()
    }

    fn rsa_unwrap(
        &self,
        certificate: &Certificate,
        padding: &RsaPadding,
        encrypted_key: &[u8],
        expected_len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let own = self.key_of(certificate)?;
        let scheme = match padding {
            RsaPadding::Pkcs1 => UnwrapScheme::RsaPkcs1,
            RsaPadding::Oaep {
                hash: h,
                mgf,
                label,
            } => UnwrapScheme::RsaOaep {
                hash: hash(*h),
                mgf: hash(*mgf),
                label: label.clone(),
            },
        };
        own.module
            .unwrap_key(&own.token, &own.key, scheme, encrypted_key, expected_len)
            .map_err(key_error)
    }

    fn ecdh(
        &self,
        certificate: &Certificate,
        peer_point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let own = self.key_of(certificate)?;
        own.module
            .ecdh(&own.token, &own.key, peer_point)
            .map_err(key_error)
    }
}

fn hash(digest: DigestAlgorithm) -> Hash {
    match digest {
        DigestAlgorithm::Sha1 => Hash::Sha1,
        DigestAlgorithm::Sha224 => Hash::Sha224,
        DigestAlgorithm::Sha256 => Hash::Sha256,
        DigestAlgorithm::Sha384 => Hash::Sha384,
        DigestAlgorithm::Sha512 => Hash::Sha512,
    }
}

fn key_error(error: privyseal_token::Error) -> KeyError {
    KeyError::new(error.name(), error.to_string())
}
