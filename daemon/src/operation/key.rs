//! Private keys on tokens, as the S/MIME library sees them.

use std::cell::RefCell;
use std::sync::Arc;

use privyseal_proto::ErrorName;
use privyseal_smime::{
    Certificate, DigestAlgorithm, KeyError, KeyOpener, RecipientId, RsaPadding, SignatureScheme,
    Signer,
};
use privyseal_token::{Hash, KeyPin, SignScheme, TokenId, UnwrapScheme};
use zeroize::Zeroizing;

use super::{Access, KeyUse, failure, purpose};
use crate::audit::Kind;
use crate::registry::OwnCertificate;

/// The key of one certificate, unlocked by the caller.
pub struct TokenSigner<'a> {
    own: &'a OwnCertificate,
    access: Access<'a>,
    key_use: KeyUse<'a>,
}

impl Signer for TokenSigner<'_> {
    fn sign_digest(&self, scheme: SignatureScheme, digest: &[u8]) -> Result<Vec<u8>, KeyError> {
        let algorithm = scheme.digest();
        let scheme = match scheme {
            SignatureScheme::RsaPkcs1(digest) => SignScheme::RsaPkcs1(hash(digest)?),
            // PKCS#11 could say another mask; no key of ours wants one
            SignatureScheme::RsaPss {
                digest,
                mgf,
                salt_len,
            } if digest == mgf => SignScheme::RsaPss {
                hash: hash(digest)?,
                salt_len: u32::try_from(salt_len).unwrap_or(u32::MAX),
            },
            SignatureScheme::Ecdsa(_) => SignScheme::Ecdsa,
            other => return Err(unsupported(other.name())),
        };
        let purpose = purpose::with_digest(self.key_use.purpose, algorithm, digest);
        self.sign(scheme, digest, &purpose)
    }

    fn sign_message(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match scheme {
            SignatureScheme::Ed25519 => self.sign(SignScheme::Eddsa, message, self.key_use.purpose),
            SignatureScheme::MlDsa { .. } => {
                self.sign(SignScheme::MlDsa, message, self.key_use.purpose)
            }
            SignatureScheme::RsaPkcs1(digest)
            | SignatureScheme::RsaPss { digest, .. }
            | SignatureScheme::Ecdsa(digest) => self.sign_digest(scheme, &digest.digest(message)),
        }
    }
}

impl<'a> TokenSigner<'a> {
    pub fn new(own: &'a OwnCertificate, access: Access<'a>, key_use: KeyUse<'a>) -> Self {
        TokenSigner {
            own,
            access,
            key_use,
        }
    }

    fn sign(&self, scheme: SignScheme, data: &[u8], purpose: &str) -> Result<Vec<u8>, KeyError> {
        let own = self.own;
        let key_use = KeyUse {
            purpose,
            ..self.key_use
        };
        use_key(self.access, own, key_use, |pin| {
            own.module
                .sign_with(&own.token, &own.key, scheme, data, pin)
        })
    }
}

/// What came of a use of a key.
fn use_key<T>(
    access: Access<'_>,
    own: &OwnCertificate,
    key_use: KeyUse<'_>,
    mut operation: impl FnMut(Option<KeyPin>) -> privyseal_token::Result<T>,
) -> Result<T, KeyError> {
    let mut made = None;
    access
        .use_key(own, key_use, &mut |pin| {
            made = Some(operation(pin)?);
            Ok(())
        })
        .map_err(failure::to_key_error)?;
    made.ok_or_else(|| KeyError::new("TokenError", "the key was not used"))
}

/// All keys of present tokens; a token is unlocked when the first of its keys is needed.
pub struct TokenOpener<'a> {
    own: Arc<Vec<Arc<OwnCertificate>>>,
    /// other people's
    people: &'a [Certificate],
    access: Access<'a>,
    /// for the person, as far as it is known when it is asked for
    purpose: &'a dyn Fn() -> String,
    /// Tokens that were not unlocked, and why. A message may name many keys of ours: a person who said no, or typed a wrong PIN,
    /// is not asked again for the next one.
    refused: RefCell<Vec<(TokenId, KeyError)>>,
}

impl<'a> TokenOpener<'a> {
    pub fn new(
        own: Arc<Vec<Arc<OwnCertificate>>>,
        people: &'a [Certificate],
        access: Access<'a>,
        purpose: &'a dyn Fn() -> String,
    ) -> Self {
        TokenOpener {
            own,
            people,
            access,
            purpose,
            refused: RefCell::default(),
        }
    }

    fn key_of(&self, certificate: &Certificate, kind: Kind) -> Result<&OwnCertificate, KeyError> {
        let found = self
            .own
            .iter()
            .find(|own| own.has_private_key && own.certificate == *certificate);
        let own = found.ok_or_else(|| KeyError::new("NoSecretKey", "the key's token is gone"))?;
        let before = self
            .refused
            .borrow()
            .iter()
            .find(|(token, error)| *token == own.token || ends_all(error))
            .cloned();
        if let Some((_, error)) = before {
            return Err(error);
        }
        self.access
            .unlock(
                own,
                KeyUse {
                    kind,
                    purpose: &(self.purpose)(),
                },
            )
            .map_err(|failure| self.refuse(own, failure::to_key_error(failure)))?;
        Ok(own)
    }

    fn refuse(&self, own: &OwnCertificate, error: KeyError) -> KeyError {
        let mut refused = self.refused.borrow_mut();
        refused.push((own.token.clone(), error.clone()));
        error
    }

    fn use_key<T>(
        &self,
        own: &OwnCertificate,
        kind: Kind,
        operation: impl FnMut(Option<KeyPin>) -> privyseal_token::Result<T>,
    ) -> Result<T, KeyError> {
        let purpose = &(self.purpose)();
        use_key(self.access, own, KeyUse { kind, purpose }, operation).map_err(|error| {
            if is_about_a_person(&error) {
                return self.refuse(own, error);
            }
            error
        })
    }
}

/// No PIN was said, or not the right one; or nobody agreed.
fn is_about_a_person(error: &KeyError) -> bool {
    let name = ErrorName::parse(error.name);
    matches!(
        name,
        Some(
            ErrorName::Cancelled
                | ErrorName::NotAuthorized
                | ErrorName::PinRequired
                | ErrorName::BadPin
                | ErrorName::BadPinFewTriesLeft
                | ErrorName::BadPinFinalTry
                | ErrorName::PinLocked
                | ErrorName::PinInvalid
        )
    )
}

/// The person is not there, or does not want to: no other token's PIN is asked for either.
fn ends_all(error: &KeyError) -> bool {
    matches!(error.name, "Cancelled" | "Timeout")
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
        let own = self.key_of(certificate, Kind::Unwrap)?;
        let scheme = match padding {
            RsaPadding::Pkcs1 => UnwrapScheme::RsaPkcs1,
            RsaPadding::Oaep {
                hash: h,
                mgf,
                label,
            } => UnwrapScheme::RsaOaep {
                hash: hash(*h)?,
                mgf: hash(*mgf)?,
                label: label.clone(),
            },
        };
        self.use_key(own, Kind::Unwrap, |pin| {
            let scheme = scheme.clone();
            own.module.unwrap_key_with(
                &own.token,
                &own.key,
                scheme,
                encrypted_key,
                expected_len,
                pin,
            )
        })
    }

    fn ecdh(
        &self,
        certificate: &Certificate,
        peer_point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let own = self.key_of(certificate, Kind::Derive)?;
        self.use_key(own, Kind::Derive, |pin| {
            own.module.ecdh_with(&own.token, &own.key, peer_point, pin)
        })
    }

    fn kem_decapsulate(
        &self,
        certificate: &Certificate,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let own = self.key_of(certificate, Kind::Decapsulate)?;
        self.use_key(own, Kind::Decapsulate, |pin| {
            own.module
                .decapsulate(&own.token, &own.key, ciphertext, pin)
        })
    }

    fn asks_a_person(&self, certificate: &Certificate) -> bool {
        let own = self
            .own
            .iter()
            .find(|own| own.has_private_key && own.certificate == *certificate);
        own.is_some_and(|own| {
            let tokens = own.module.tokens();
            tokens.iter().find(|t| t.id == own.token).is_some_and(|t| {
                // also while a PIN is kept: that is for a few uses
                own.always_authenticate || (t.login_required && !t.unlocked)
            })
        })
    }

    fn certificate_of(&self, id: &RecipientId) -> Option<Certificate> {
        let own = self.own.iter().map(|own| &own.certificate);
        own.chain(self.people).find(|c| id.matches(c)).cloned()
    }
}

/// As the worker knows it; of RSA with other digests tokens have no mechanism to speak of.
fn hash(digest: DigestAlgorithm) -> Result<Hash, KeyError> {
    Ok(match digest {
        DigestAlgorithm::Sha1 => Hash::Sha1,
        DigestAlgorithm::Sha224 => Hash::Sha224,
        DigestAlgorithm::Sha256 => Hash::Sha256,
        DigestAlgorithm::Sha384 => Hash::Sha384,
        DigestAlgorithm::Sha512 => Hash::Sha512,
        other => return Err(unsupported(&format!("RSA with {}", other.name()))),
    })
}

fn unsupported(what: &str) -> KeyError {
    KeyError::new(
        "UnsupportedAlgorithm",
        format!("keys on tokens are not used for {what}"),
    )
}
