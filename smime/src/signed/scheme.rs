//! Signature AlgorithmIdentifiers, both ways (RFC 5652 §10.1.2, RFC 4056, RFC 5753 §2, RFC 8419, RFC 9882).

use const_oid::db;
use der::asn1::ObjectIdentifier;

use super::{SignOptions, SignatureState};
use crate::algorithm::{DigestAlgorithm, SignatureScheme, ecdsa_oid};
use crate::algorithm_id::{AlgorithmId, PssError, PssParameters, encode};
use crate::ber::id;
use crate::cert::{Certificate, KeyType};
use crate::error::{Error, Result};
use crate::key::PssUse;

/// How this certificate's key signs. Ed25519 has its own digest (RFC 8419 §2.3), whatever is asked for, and ML-DSA takes SHA-512
/// where the one asked for is too short (RFC 9882 §3.3).
///
/// # Errors
/// `WeakAlgorithm` and `Refused` for what the profile does not write, `Certificate` for keys that cannot sign here.
pub(super) fn choose(certificate: &Certificate, options: &SignOptions) -> Result<SignatureScheme> {
    // what was asked for, whatever the key makes of it
    options.profile.writes_digest(options.digest)?;
    let scheme = natural(certificate, options.digest, options.pss)?;
    options
        .profile
        .writes_signature(scheme, certificate.key_type())?;
    Ok(scheme)
}

fn natural(
    certificate: &Certificate,
    digest: DigestAlgorithm,
    pss: bool,
) -> Result<SignatureScheme> {
    match certificate.key_type() {
        KeyType::Ec(_) | KeyType::Brainpool(_) => return Ok(SignatureScheme::Ecdsa(digest)),
        KeyType::Ed25519 => return Ok(SignatureScheme::Ed25519),
        KeyType::MlDsa(set) => {
            let long = digest.len() >= set.digest_len();
            let digest = if long {
                digest
            } else {
                DigestAlgorithm::Sha512
            };
            return Ok(SignatureScheme::MlDsa { set, digest });
        }
        KeyType::Rsa(_) => {}
        other => {
            return Err(Error::Certificate(format!(
                "its key ({other}) is of a kind that cannot sign mail here"
            )));
        }
    }
    let with_pss = SignatureScheme::RsaPss {
        digest,
        mgf: digest,
        salt_len: digest.len(),
    };
    match certificate.verifying_key().map(|key| key.pss()) {
        Some(PssUse::Open) if pss => Ok(with_pss),
        Some(PssUse::Open) => Ok(SignatureScheme::RsaPkcs1(digest)),
        Some(PssUse::Only) => Ok(with_pss),
        Some(PssUse::Restricted(allowed)) if allowed.hash == digest => {
            Ok(SignatureScheme::RsaPss {
                digest,
                mgf: allowed.mgf_hash,
                salt_len: digest.len().max(allowed.salt_len),
            })
        }
        Some(PssUse::Restricted(allowed)) => Err(Error::Certificate(format!(
            "its key signs with RSASSA-PSS over {} only (use that digest)",
            allowed.hash.name()
        ))),
        Some(PssUse::Never) | None => Err(Error::Certificate(
            "its key's parameters cannot be followed".into(),
        )),
    }
}

/// The signatureAlgorithm of a SignerInfo. PKCS#1 v1.5 is named rsaEncryption, which every reader takes (RFC 5754 §3.2).
pub(super) fn signature_algorithm(scheme: SignatureScheme) -> Vec<u8> {
    match scheme {
        SignatureScheme::RsaPkcs1(_) => encode(&db::rfc5912::RSA_ENCRYPTION, &[id::NULL, 0]),
        SignatureScheme::RsaPss {
            digest,
            mgf,
            salt_len,
        } => {
            let parameters = PssParameters {
                hash: digest,
                mgf_hash: mgf,
                salt_len,
            };
            encode(&db::rfc5912::ID_RSASSA_PSS, &parameters.encode())
        }
        // every digest that `choose` lets pass has one; else the key's own name, as some write
        SignatureScheme::Ecdsa(digest) => encode(
            &ecdsa_oid(digest).unwrap_or(db::rfc5912::ID_EC_PUBLIC_KEY),
            &[],
        ),
        SignatureScheme::Ed25519 => encode(&db::rfc8410::ID_ED_25519, &[]),
        SignatureScheme::MlDsa { set, .. } => encode(&set.oid(), &[]),
    }
}

/// MD2 and MD4, bare and with RSA (RFC 6149, RFC 6150).
const BROKEN: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.2.2"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.2.4"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.2"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.3"),
];

/// What a SignerInfo's algorithms mean together. Whatever they do not say exactly is not guessed.
pub(super) fn resolve(
    digest: &AlgorithmId<'_>,
    signature: &AlgorithmId<'_>,
) -> std::result::Result<SignatureScheme, SignatureState> {
    if [&digest.oid, &signature.oid]
        .iter()
        .any(|oid| BROKEN.contains(oid))
    {
        return Err(invalid(
            "made with MD2 or MD4, which anybody can forge: it proves nothing",
        ));
    }
    let Some(hash) = DigestAlgorithm::from_oid(&digest.oid) else {
        return Err(SignatureState::Unsupported(format!(
            "the digest {} is not known",
            digest.oid
        )));
    };
    if !digest.is_plain() {
        return Err(invalid("the digest algorithm has parameters"));
    }
    if signature.oid == db::rfc5912::ID_RSASSA_PSS {
        return resolve_pss(hash, signature);
    }
    let scheme = if signature.oid == db::rfc5912::RSA_ENCRYPTION {
        SignatureScheme::RsaPkcs1(hash)
    } else {
        SignatureScheme::from_oid(&signature.oid, hash).ok_or_else(|| {
            SignatureState::Unsupported(format!(
                "the signature algorithm {} is not known",
                describe(&signature.oid)
            ))
        })?
    };
    // RFC 5754 §3.2: NULL, absent too for old writers; §3.3: absent, but gpgsm writes NULL; RFC 8419 §2, RFC 9882 §2: absent
    let plain = match scheme {
        SignatureScheme::RsaPkcs1(_) | SignatureScheme::Ecdsa(_) => signature.is_plain(),
        _ => signature.parameters.is_none(),
    };
    if !plain {
        return Err(invalid(
            "the signature algorithm has parameters that do not belong there",
        ));
    }
    match scheme {
        SignatureScheme::RsaPkcs1(DigestAlgorithm::Shake256) => {
            Err(SignatureState::Unsupported("RSA with SHAKE256".into()))
        }
        SignatureScheme::MlDsa { set, digest } if digest.len() < set.digest_len() => {
            Err(invalid(&format!(
                "the digest {} is too short for {} (RFC 9882 §3.3)",
                digest.name(),
                set.name()
            )))
        }
        scheme if scheme.digest() != hash => Err(invalid(
            "the digest and the signature algorithm do not agree",
        )),
        scheme => Ok(scheme),
    }
}

fn resolve_pss(
    hash: DigestAlgorithm,
    signature: &AlgorithmId<'_>,
) -> std::result::Result<SignatureScheme, SignatureState> {
    let parameters = PssParameters::parse(signature.parameters).map_err(|e| match e {
        PssError::Invalid(why) => invalid(why),
        PssError::Unsupported(why) => SignatureState::Unsupported(why),
    })?;
    if parameters.hash != hash {
        return Err(invalid(
            "the digest and the RSASSA-PSS parameters do not agree",
        ));
    }
    if [hash, parameters.mgf_hash].contains(&DigestAlgorithm::Shake256) {
        return Err(SignatureState::Unsupported(
            "RSASSA-PSS with SHAKE256".into(),
        ));
    }
    Ok(SignatureScheme::RsaPss {
        digest: hash,
        mgf: parameters.mgf_hash,
        salt_len: parameters.salt_len,
    })
}

/// `rsa-pkcs1`, `rsa-pss`, `ecdsa` …; else the OID.
pub(super) fn name(signature: &ObjectIdentifier) -> String {
    match *signature {
        db::rfc5912::RSA_ENCRYPTION => "rsa-pkcs1".into(),
        db::rfc5912::ID_RSASSA_PSS => "rsa-pss".into(),
        db::rfc8410::ID_ED_448 => "ed448".into(),
        // which digest goes with it is no part of the name
        other => SignatureScheme::from_oid(&other, DigestAlgorithm::Sha512)
            .map_or_else(|| other.to_string(), |scheme| scheme.name().into()),
    }
}

fn describe(oid: &ObjectIdentifier) -> String {
    let (plain, name) = (oid.to_string(), name(oid));
    if plain == name {
        plain
    } else {
        format!("{name} ({plain})")
    }
}

fn invalid(why: &str) -> SignatureState {
    SignatureState::Invalid(why.to_owned())
}
