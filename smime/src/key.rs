//! Private keys by trait, and what public keys can do in software.

use const_oid::db;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::cert::Certificate;

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

/// A private key that signs digests.
pub trait Signer {
    /// Signature over a ready digest; ECDSA as DER `Ecdsa-Sig-Value`.
    fn sign_digest(&self, scheme: SignatureScheme, digest: &[u8]) -> Result<Vec<u8>, KeyError>;
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
/// its certificate forbids (RFC 4055 §3.3).
pub fn verify_signature(
    certificate: &Certificate,
    scheme: SignatureScheme,
    digest: &[u8],
    signature: &[u8],
) -> bool {
    certificate
        .verifying_key()
        .is_some_and(|key| key.verify(scheme, digest, signature))
}

/// OIDs of ECDSA and RSA signatures with their digest (RFC 5754 §3, RFC 5753 §7.1.3).
pub(crate) fn signature_digest(oid: &ObjectIdentifier) -> Option<SignatureScheme> {
    use DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
    use db::rfc5912 as o;
    Some(match *oid {
        o::SHA_1_WITH_RSA_ENCRYPTION => SignatureScheme::RsaPkcs1(Sha1),
        o::SHA_224_WITH_RSA_ENCRYPTION => SignatureScheme::RsaPkcs1(Sha224),
        o::SHA_256_WITH_RSA_ENCRYPTION => SignatureScheme::RsaPkcs1(Sha256),
        o::SHA_384_WITH_RSA_ENCRYPTION => SignatureScheme::RsaPkcs1(Sha384),
        o::SHA_512_WITH_RSA_ENCRYPTION => SignatureScheme::RsaPkcs1(Sha512),
        o::ECDSA_WITH_SHA_224 => SignatureScheme::Ecdsa(Sha224),
        o::ECDSA_WITH_SHA_256 => SignatureScheme::Ecdsa(Sha256),
        o::ECDSA_WITH_SHA_384 => SignatureScheme::Ecdsa(Sha384),
        o::ECDSA_WITH_SHA_512 => SignatureScheme::Ecdsa(Sha512),
        ECDSA_WITH_SHA1 => SignatureScheme::Ecdsa(Sha1),
        _ => return None,
    })
}

pub(crate) const ECDSA_WITH_SHA1: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
