//! Private keys by trait, and what public keys can do in software.

use const_oid::db::rfc5912::ID_RSASSA_PSS;
use der::Encode;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::{AlgorithmId, PssParameters};
use crate::ber::{id, single};
use crate::cert::{Certificate, key_type};

mod pss;
mod verifying;

#[cfg(test)]
mod tests;

pub(crate) use verifying::{PssUse, VerifyingKey, rsa_bits, rsa_key};

/// Why a private key did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyError {
    /// Stable name, the suffix of the D-Bus error (`PinRequired`, `TokenRemoved` …).
    pub name: &'static str,
    /// For people.
    pub message: String,
}

impl KeyError {
    pub fn new(name: &'static str, message: impl Into<String>) -> Self {
        KeyError {
            name,
            message: message.into(),
        }
    }
}

/// A private key that signs.
pub trait Signer {
    /// Signature over a ready digest; ECDSA as DER `Ecdsa-Sig-Value`.
    fn sign_digest(&self, scheme: SignatureScheme, digest: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Signature over a message of some KiB. To be written for keys that sign no digest ([`SignatureScheme::prehash`]).
    ///
    /// # Errors
    /// Those of the key; `UnsupportedAlgorithm` for a scheme that signs no digest, where only digests are signed.
    fn sign_message(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match scheme.prehash() {
            Some(digest) => self.sign_digest(scheme, &digest.digest(message)),
            None => Err(KeyError::new(
                "UnsupportedAlgorithm",
                format!("this key signs digests only, not {}", scheme.name()),
            )),
        }
    }
}

/// How a content-encryption key was encrypted with RSA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RsaPadding {
    Pkcs1,
    /// RSAES-OAEP (RFC 8017 §7.1)
    Oaep {
        hash: DigestAlgorithm,
        mgf: DigestAlgorithm,
        label: Vec<u8>,
    },
}

/// Private keys that open messages.
pub trait KeyOpener {
    /// Certificates that a RecipientInfo names and whose private key is present.
    fn find(&self, id: &RecipientId) -> Vec<Certificate>;

    /// The content-encryption key. A wrong padding must not show: a random key of `expected_len` bytes comes back instead
    /// (RFC 3218 §2.3.2). Errors are those of device, session and login only.
    fn rsa_unwrap(
        &self,
        certificate: &Certificate,
        padding: &RsaPadding,
        encrypted_key: &[u8],
        expected_len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError>;

    /// The ECDH shared secret (the x coordinate) with an uncompressed point; for X25519 with 32 bytes (RFC 7748 §5).
    fn ecdh(
        &self,
        certificate: &Certificate,
        peer_point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError>;

    /// The shared secret in an ML-KEM ciphertext (FIPS 203 §7.3) of the right length.
    ///
    /// # Errors
    /// Those of device, session and login; `UnsupportedAlgorithm` where keys of this kind are not to be had.
    fn kem_decapsulate(
        &self,
        certificate: &Certificate,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let _ = ciphertext;
        Err(KeyError::new(
            "UnsupportedAlgorithm",
            format!("no key of type {} can be used", certificate.key_type()),
        ))
    }

    /// Whether a use of this certificate's key takes something from a person. Of several keys of ours those are tried last.
    fn asks_a_person(&self, certificate: &Certificate) -> bool {
        let _ = certificate;
        false
    }

    /// A certificate of anybody: key agreement may name the sender's (RFC 5652 §6.2.2). It is not trusted for anything.
    fn certificate_of(&self, id: &RecipientId) -> Option<Certificate> {
        let _ = id;
        None
    }
}

/// Whom a SignerInfo or RecipientInfo means (RFC 5652 §5.3, §6.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientId {
    IssuerSerial {
        /// Name, DER
        issuer: Vec<u8>,
        /// content octets of the INTEGER
        serial: Vec<u8>,
    },
    /// SubjectKeyIdentifier
    Ski(Vec<u8>),
}

impl RecipientId {
    pub fn matches(&self, certificate: &Certificate) -> bool {
        match self {
            RecipientId::IssuerSerial { issuer, serial } => {
                certificate.serial() == serial.as_slice()
                    && certificate.issuer_bytes() == issuer.as_slice()
            }
            RecipientId::Ski(ski) => certificate.has_ski(ski),
        }
    }
}

/// Whether `signature` over `digest` is the certificate's. False for everything that does not fit: another kind of key, a
/// digest of another length, a signature that is not of the modulus' length or not in DER, an RSASSA-PSS key asked for what
/// its certificate forbids (RFC 4055 §3.3), a scheme that signs no digest.
pub fn verify_signature(
    certificate: &Certificate,
    scheme: SignatureScheme,
    digest: &[u8],
    signature: &[u8],
) -> bool {
    certificate
        .verifying_key()
        .is_some_and(|key| key.verify_digest(scheme, digest, signature))
}

/// [`verify_signature`] over the message itself, which Ed25519 and ML-DSA need.
pub fn verify_message(
    certificate: &Certificate,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> bool {
    certificate
        .verifying_key()
        .is_some_and(|key| key.verify_message(scheme, message, signature))
}

/// Whether `signature` over `message` is by this key: for certificates and CRLs. `None`: an algorithm that is not known, is MD5,
/// or has parameters that it should not have, or a kind of key that is not known.
pub fn verify_with_key(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let algorithm = algorithm.to_der().ok()?;
    let algorithm = single(&algorithm, id::SEQUENCE, "signatureAlgorithm").ok()?;
    let scheme = certificate_scheme(&AlgorithmId::parse(algorithm.content).ok()?)?;
    let key = VerifyingKey::new(key, key_type(key))?;
    Some(key.verify_message(scheme, message, signature))
}

fn certificate_scheme(algorithm: &AlgorithmId<'_>) -> Option<SignatureScheme> {
    if algorithm.oid == ID_RSASSA_PSS {
        // RFC 4055 §3.1: in certificates the parameters are there
        let parameters = PssParameters::parse(Some(algorithm.parameters?)).ok()?;
        let scheme = SignatureScheme::RsaPss {
            digest: parameters.hash,
            mgf: parameters.mgf_hash,
            salt_len: parameters.salt_len,
        };
        let known =
            |d: DigestAlgorithm| !matches!(d, DigestAlgorithm::Md5 | DigestAlgorithm::Shake256);
        return (known(parameters.hash) && known(parameters.mgf_hash)).then_some(scheme);
    }
    // no attributes, no content: which digest ML-DSA's scheme names makes no difference
    let scheme = SignatureScheme::from_oid(&algorithm.oid, DigestAlgorithm::Sha512)?;
    let plain = match scheme {
        SignatureScheme::RsaPkcs1(DigestAlgorithm::Md5) => false,
        SignatureScheme::RsaPkcs1(_) => algorithm.is_plain(),
        _ => algorithm.parameters.is_none(),
    };
    plain.then_some(scheme)
}
