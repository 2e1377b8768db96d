//! From a recipient that is ours to the content-encryption key.

use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use p256::elliptic_curve::sec1::ToSec1Point;
use zeroize::Zeroizing;

use super::agree::Scheme;
use crate::cert::{Certificate, Curve, KeyType};
use crate::error::Error;
use crate::key::{KeyError, KeyOpener, RsaPadding};

/// A recipient whose private key we have.
pub(super) struct Candidate {
    pub(super) certificate: Certificate,
    pub(super) opening: Opening,
}

pub(super) enum Opening {
    Rsa {
        padding: RsaPadding,
        encrypted_key: Vec<u8>,
    },
    Ecdh {
        agreement: Arc<Agreement>,
        encrypted_key: Vec<u8>,
    },
}

/// One-pass ECDH with an ephemeral key of the sender.
pub(super) struct Agreement {
    /// the curve, where the sender named it
    pub(super) curve: Option<ObjectIdentifier>,
    /// the sender's public key (SEC 1 §2.3.3), unchecked
    pub(super) point: Vec<u8>,
    pub(super) scheme: Scheme,
}

impl Candidate {
    /// `rsa-pkcs1`, `rsa-oaep` or `ecdh`.
    pub(super) fn method(&self) -> &'static str {
        match &self.opening {
            Opening::Rsa {
                padding: RsaPadding::Pkcs1,
                ..
            } => "rsa-pkcs1",
            Opening::Rsa { .. } => "rsa-oaep",
            Opening::Ecdh { .. } => "ecdh",
        }
    }

    /// RSA below 2048 bits.
    pub(super) fn is_weak(&self) -> bool {
        matches!(self.certificate.key_type(), KeyType::Rsa(..2048))
    }

    /// The content-encryption key of `key_len` bytes; `None` if there is none to be had.
    fn open(
        &self,
        opener: &dyn KeyOpener,
        key_len: usize,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        let key = match (&self.opening, self.certificate.key_type()) {
            (
                Opening::Rsa {
                    padding,
                    encrypted_key,
                },
                KeyType::Rsa(bits),
            ) => {
                // nothing longer than the modulus goes to where the key lives (CVE-2026-24881)
                if encrypted_key.is_empty() || encrypted_key.len() > bits.div_ceil(8) {
                    return Ok(None);
                }
                Some(opener.rsa_unwrap(&self.certificate, padding, encrypted_key, key_len)?)
            }
            (
                Opening::Ecdh {
                    agreement,
                    encrypted_key,
                },
                KeyType::Ec(curve),
            ) => {
                if encrypted_key.len() != key_len.saturating_add(aes_kw::IV_LEN) {
                    return Ok(None);
                }
                let Some(point) = agreement.point_on(curve) else {
                    return Ok(None);
                };
                let secret = opener.ecdh(&self.certificate, &point)?;
                agreement.scheme.unwrap(&secret, encrypted_key)
            }
            _ => None,
        };
        Ok(key.filter(|key| key.len() == key_len))
    }
}

impl Agreement {
    /// The sender's public key, uncompressed, if it is a point of this curve other than infinity.
    fn point_on(&self, curve: Curve) -> Option<Vec<u8>> {
        if self.curve.is_some_and(|named| named != curve.oid()) {
            return None;
        }
        let point = self.point.as_slice();
        Some(match curve {
            Curve::P256 => p256::PublicKey::from_sec1_bytes(point)
                .ok()?
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
            Curve::P384 => p384::PublicKey::from_sec1_bytes(point)
                .ok()?
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
            Curve::P521 => p521::PublicKey::from_sec1_bytes(point)
                .ok()?
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
        })
    }
}

/// A key that may be the right one, and whose it is.
pub(super) struct Opened {
    pub(super) candidate: Candidate,
    pub(super) key: Zeroizing<Vec<u8>>,
}

/// The candidates' keys one after the other, each asked for only when the one before was wrong.
pub(super) struct Keys<'a> {
    candidates: std::vec::IntoIter<Candidate>,
    opener: &'a dyn KeyOpener,
    key_len: usize,
    failure: Option<KeyError>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        candidates: Vec<Candidate>,
        opener: &'a dyn KeyOpener,
        key_len: usize,
    ) -> Self {
        Keys {
            candidates: candidates.into_iter(),
            opener,
            key_len,
            failure: None,
        }
    }

    /// The next key.
    ///
    /// # Errors
    /// When there is no further one: the first failure of a device, session or login, since that key might have been the right
    /// one; else `DecryptionFailed`.
    pub(super) fn next(&mut self) -> Result<Opened, Error> {
        for candidate in self.candidates.by_ref() {
            match candidate.open(self.opener, self.key_len) {
                Ok(Some(key)) => return Ok(Opened { candidate, key }),
                Ok(None) => {}
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
        }
        Err(self
            .failure
            .take()
            .map_or(Error::DecryptionFailed, Error::Key))
    }
}
