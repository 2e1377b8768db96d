//! Raw operations with one key, for `org.privyseal1.Key`: a signature over a digest, the opening of a wrapped key.

use std::sync::Arc;

use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::{
    DigestAlgorithm, Error, KeyError, KeyOpener, KeyType, RsaPadding, SignatureScheme, Signer,
    verify_message, verify_signature,
};

use super::options as parse;
use super::results::Results;
use super::{Access, Environment, KeyUse, failure, key};
use crate::audit::Kind;
use crate::registry::OwnCertificate;

/// Longest message that EdDSA signs, bytes: it takes the message itself.
const MESSAGE_MAX: usize = 64 * 1024;
/// Longest key that is opened, bytes.
const KEY_MAX: usize = 256;
/// Longest wrapped key, or point, bytes: RSA of 8192 bits.
const WRAPPED_MAX: usize = 1024;
/// Bytes of an OAEP label.
const LABEL_MAX: usize = 256;

const SIGNING: KeyUse<'static> = KeyUse {
    kind: Kind::Sign,
    purpose: "sign what it alone knows (a raw signature)",
};
const OPENING: &str = "open a key that it alone knows (a raw decryption)";

/// What is to be signed, and how.
pub struct ToSign {
    scheme: SignatureScheme,
    data: Vec<u8>,
}

impl ToSign {
    /// `scheme`: `rsa-pkcs1`, `rsa-pss` (mask of the same digest, salt as long), `ecdsa`, or `eddsa` with no digest, over the message.
    pub fn new(digest: &str, data: Vec<u8>, scheme: &str) -> Result<Self, Failure> {
        if scheme == "eddsa" {
            if !digest.is_empty() || data.len() > MESSAGE_MAX {
                return Err(Failure::invalid(format!(
                    "eddsa signs the message itself, up to {MESSAGE_MAX} bytes: digest_alg must be empty"
                )));
            }
            let scheme = SignatureScheme::Ed25519;
            return Ok(ToSign { scheme, data });
        }
        let digest = parse::digest(digest)?;
        if data.len() != digest.len() {
            return Err(Failure::invalid(format!(
                "a {} digest has {} bytes, and this one {}",
                digest.name(),
                digest.len(),
                data.len()
            )));
        }
        let scheme = match scheme {
            "rsa-pkcs1" => SignatureScheme::RsaPkcs1(digest),
            "rsa-pss" => SignatureScheme::RsaPss {
                digest,
                mgf: digest,
                salt_len: digest.len(),
            },
            "ecdsa" => SignatureScheme::Ecdsa(digest),
            other => {
                return Err(Failure::invalid(format!(
                    "no scheme {other:?}: there are rsa-pkcs1, rsa-pss, ecdsa, eddsa"
                )));
            }
        };
        Ok(ToSign { scheme, data })
    }

    /// The signature, verified (design rule 4). Digest and scheme must be what the configuration's profile writes.
    pub fn sign(
        &self,
        env: &Environment,
        own: &OwnCertificate,
        access: Access<'_>,
    ) -> Result<Dict, Failure> {
        let (certificate, scheme, data) = (&own.certificate, self.scheme, &self.data);
        let fits = matches!(
            (scheme, certificate.key_type()),
            (
                SignatureScheme::RsaPkcs1(_) | SignatureScheme::RsaPss { .. },
                KeyType::Rsa(_)
            ) | (
                SignatureScheme::Ecdsa(_),
                KeyType::Ec(_) | KeyType::Brainpool(_)
            ) | (SignatureScheme::Ed25519, KeyType::Ed25519)
        );
        if !own.can_sign || !fits {
            return Err(not_for(own, "sign so"));
        }
        let profile = env.writing(&parse::Options::default())?;
        profile
            .writes_signature(scheme, certificate.key_type())
            .map_err(failure::of_smime)?;
        access.unlock(own, SIGNING)?;
        let signer = key::TokenSigner::new(own, access, SIGNING);
        let (signature, holds) = match scheme {
            SignatureScheme::Ed25519 => {
                let signature = signer.sign_message(scheme, data).map_err(of_key)?;
                let holds = verify_message(certificate, scheme, data, &signature);
                (signature, holds)
            }
            _ => {
                let signature = signer.sign_digest(scheme, data).map_err(of_key)?;
                let holds = verify_signature(certificate, scheme, data, &signature);
                (signature, holds)
            }
        };
        if !holds {
            return Err(Failure::new(
                ErrorName::TokenError,
                "the token made a signature that the certificate does not confirm",
            ));
        }
        Ok(Results::new().with("signature", signature).into_dict())
    }
}

/// A wrapped key, and how it is wrapped.
pub struct ToOpen {
    padding: Option<RsaPadding>,
    wrapped: Vec<u8>,
    expected_len: usize,
}

/// Of `rsa-oaep`.
#[derive(Default)]
pub struct Oaep {
    pub digest: Option<DigestAlgorithm>,
    pub mgf: Option<DigestAlgorithm>,
    pub label: Vec<u8>,
}

impl ToOpen {
    /// `scheme`: `rsa-pkcs1`, `rsa-oaep`, or `ecdh`, where `wrapped` is the other side's point and the length that of the secret.
    pub fn new(
        scheme: &str,
        wrapped: Vec<u8>,
        expected_len: u32,
        oaep: Oaep,
    ) -> Result<Self, Failure> {
        let expected_len = usize::try_from(expected_len).unwrap_or(usize::MAX);
        if !(1..=KEY_MAX).contains(&expected_len) {
            return Err(Failure::invalid(format!(
                "expected_length is 1 to {KEY_MAX}"
            )));
        }
        if wrapped.len() > WRAPPED_MAX || oaep.label.len() > LABEL_MAX {
            return Err(Failure::invalid(format!(
                "a wrapped key has up to {WRAPPED_MAX} bytes, and an OAEP label {LABEL_MAX}"
            )));
        }
        let padding = match scheme {
            "rsa-pkcs1" => Some(RsaPadding::Pkcs1),
            "rsa-oaep" => {
                let hash = oaep.digest.unwrap_or(DigestAlgorithm::Sha256);
                Some(RsaPadding::Oaep {
                    hash,
                    mgf: oaep.mgf.unwrap_or(hash),
                    label: oaep.label,
                })
            }
            "ecdh" => None,
            other => {
                return Err(Failure::invalid(format!(
                    "no scheme {other:?}: there are rsa-pkcs1, rsa-oaep, ecdh"
                )));
            }
        };
        Ok(ToOpen {
            padding,
            wrapped,
            expected_len,
        })
    }

    /// The key, or a random one in its place (design rule 9).
    pub fn open(&self, own: &Arc<OwnCertificate>, access: Access<'_>) -> Result<Dict, Failure> {
        if !own.can_decrypt {
            return Err(not_for(own, "open keys"));
        }
        let all = Arc::new(vec![own.clone()]);
        let opener = key::TokenOpener::new(all, &[], access, &|| OPENING.to_owned());
        let opened = match &self.padding {
            Some(padding) => {
                opener.rsa_unwrap(&own.certificate, padding, &self.wrapped, self.expected_len)
            }
            None => opener.ecdh(&own.certificate, &self.wrapped),
        };
        let key = opened.map_err(of_key)?;
        if key.len() != self.expected_len {
            return Err(Failure::invalid(format!(
                "the secret of this key has {} bytes",
                key.len()
            )));
        }
        Ok(Results::new().with("key", key.to_vec()).into_dict())
    }
}

fn not_for(own: &OwnCertificate, what: &str) -> Failure {
    Failure::new(
        ErrorName::UsageNotAllowed,
        format!("the key {:?} is not there to {what}", own.label),
    )
}

fn of_key(error: KeyError) -> Failure {
    failure::of_smime(Error::Key(error))
}
