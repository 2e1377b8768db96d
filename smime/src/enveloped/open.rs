//! From a recipient that is ours to the content-encryption key.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::agree::Scheme;
use super::kem::Encapsulated;
use super::originator::Originator;
use crate::cert::{Certificate, KeyType};
use crate::error::Error;
use crate::key::{KeyError, KeyOpener, RsaPadding};
use crate::profile::{KeyProtection, Profile, Strength};

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
    Kem(Encapsulated),
}

/// One-pass ECDH with an ephemeral or static key of the sender.
pub(super) struct Agreement {
    pub(super) originator: Originator,
    pub(super) scheme: Scheme,
}

impl Candidate {
    /// `rsa-pkcs1`, `rsa-oaep`, `ecdh` or `kem`.
    pub(super) fn method(&self) -> &'static str {
        match &self.opening {
            Opening::Rsa {
                padding: RsaPadding::Pkcs1,
                ..
            } => "rsa-pkcs1",
            Opening::Rsa { .. } => "rsa-oaep",
            Opening::Ecdh { .. } => "ecdh",
            Opening::Kem(_) => "kem",
        }
    }

    /// What a profile thinks of it.
    ///
    /// # Errors
    /// It does not read what came like this.
    pub(super) fn strength(&self, profile: &Profile) -> Result<Strength, Error> {
        let how = match &self.opening {
            Opening::Rsa { padding, .. } => KeyProtection::Rsa(padding),
            Opening::Ecdh { agreement, .. } => {
                KeyProtection::Agreement(agreement.scheme.kdf, agreement.scheme.wrap)
            }
            Opening::Kem(encapsulated) => KeyProtection::Kem(encapsulated.kdf, encapsulated.wrap),
        };
        profile.reads_protection(how, self.certificate.key_type())
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
                key_type @ (KeyType::Ec(_) | KeyType::X25519),
            ) => {
                let overhead = agreement.scheme.wrap.overhead();
                if encrypted_key.len() != key_len.saturating_add(overhead) {
                    return Ok(None);
                }
                let Some(point) = agreement.originator.point_for(key_type) else {
                    return Ok(None);
                };
                let secret = opener.ecdh(&self.certificate, &point)?;
                // a point of small order makes a secret that everybody knows (RFC 7748 §6.1)
                if key_type == KeyType::X25519 && secret.ct_eq(&[0; 32]).into() {
                    return Ok(None);
                }
                agreement.scheme.unwrap(&secret, encrypted_key)
            }
            (Opening::Kem(encapsulated), KeyType::MlKem(_)) => {
                let overhead = encapsulated.wrap.overhead();
                if encapsulated.encrypted_key.len() != key_len.saturating_add(overhead) {
                    return Ok(None);
                }
                let secret = opener.kem_decapsulate(&self.certificate, &encapsulated.ciphertext)?;
                encapsulated.unwrap(&secret)
            }
            _ => None,
        };
        Ok(key.filter(|key| key.len() == key_len))
    }
}

/// The candidates that this profile reads.
///
/// # Errors
/// Why it reads none of them: for the first.
pub(super) fn allowed(
    candidates: Vec<Candidate>,
    profile: &Profile,
) -> Result<Vec<Candidate>, Error> {
    let mut refused = None;
    let mut allowed = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        match candidate.strength(profile) {
            Ok(_) => allowed.push(candidate),
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    match refused {
        Some(error) if allowed.is_empty() => Err(error),
        _ => Ok(allowed),
    }
}

/// A key that may be the right one, and whose it is.
pub(super) struct Opened {
    pub(super) candidate: Candidate,
    pub(super) key: Zeroizing<Vec<u8>>,
}

/// The candidates' keys one after the other, each asked for only when the one before was wrong: in the message's order, but for those
/// that a person would have to be asked for.
pub(super) struct Keys<'a> {
    candidates: std::vec::IntoIter<Candidate>,
    opener: &'a dyn KeyOpener,
    key_len: usize,
    failure: Option<KeyError>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        mut candidates: Vec<Candidate>,
        opener: &'a dyn KeyOpener,
        key_len: usize,
    ) -> Self {
        candidates.sort_by_cached_key(|c| opener.asks_a_person(&c.certificate));
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
