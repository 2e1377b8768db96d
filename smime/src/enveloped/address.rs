//! RecipientInfos to write: a content-encryption key for one certificate (RFC 5652 §6.2, RFC 3370 §4.2.1, RFC 3560, RFC 5753,
//! RFC 8418, RFC 9629).

use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, ID_RSAES_OAEP, RSA_ENCRYPTION};
use const_oid::db::rfc8410::ID_X_25519;
use der::asn1::ObjectIdentifier;
use getrandom::SysRng;
use rsa::{Oaep, Pkcs1v15Encrypt};

use super::agree::Scheme;
use super::kdf::Kdf;
use super::{EncryptOptions, kem, oaep};
use crate::algorithm::{DigestAlgorithm, KeyWrap};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::cert::{Certificate, Curve, KeyType};
use crate::error::{Error, Result};
use crate::key::{RsaPadding, rsa_key};
use crate::profile::{KeyProtection, Profile};

/// The RecipientInfo that carries `key` to the owner of this certificate.
///
/// # Errors
/// `Certificate`, naming it, where its key or key usage does not allow that; `WeakAlgorithm` and `Refused` where the profile does not.
pub(super) fn recipient_info(
    certificate: &Certificate,
    key: &[u8],
    options: &EncryptOptions,
) -> Result<Vec<u8>> {
    if !certificate.can_decrypt() {
        return Err(unusable(
            certificate,
            "its key usage does not allow encryption",
        ));
    }
    match certificate.key_type() {
        KeyType::Rsa(_) => transport(certificate, key, options),
        KeyType::Ec(curve) => {
            let (algorithm, digest) = match curve {
                Curve::P256 => (&agreement::ECDH_P256, DigestAlgorithm::Sha256),
                Curve::P384 => (&agreement::ECDH_P384, DigestAlgorithm::Sha384),
                Curve::P521 => (&agreement::ECDH_P521, DigestAlgorithm::Sha512),
            };
            agree(
                certificate,
                algorithm,
                &ID_EC_PUBLIC_KEY,
                Kdf::X963(digest),
                key,
                &options.profile,
            )
        }
        KeyType::X25519 => agree(
            certificate,
            &agreement::X25519,
            &ID_X_25519,
            Kdf::Hkdf(DigestAlgorithm::Sha256),
            key,
            &options.profile,
        ),
        KeyType::MlKem(set) => kem::recipient_info(certificate, set, key, &options.profile),
        other => Err(unusable(
            certificate,
            &format!("nothing can be encrypted to a key of type {other}"),
        )),
    }
}

pub(super) fn unusable(certificate: &Certificate, why: &str) -> Error {
    Error::Certificate(format!("{}: {why}", certificate.subject()))
}

/// Whether the profile gives keys away like this; an error names the recipient.
pub(super) fn check(
    certificate: &Certificate,
    how: KeyProtection<'_>,
    profile: &Profile,
) -> Result<()> {
    let of = |what: String| format!("{what}; the recipient is {}", certificate.subject());
    profile
        .writes_protection(how, certificate.key_type())
        .map_err(|error| match error {
            Error::WeakAlgorithm(what) => Error::WeakAlgorithm(of(what)),
            Error::Refused(what) => Error::Refused(of(what)),
            other => other,
        })
}

fn transport(certificate: &Certificate, key: &[u8], options: &EncryptOptions) -> Result<Vec<u8>> {
    let digest = options.profile.oaep_digest();
    let padding = if options.oaep {
        RsaPadding::Oaep {
            hash: digest,
            mgf: digest,
            label: Vec::new(),
        }
    } else {
        RsaPadding::Pkcs1
    };
    check(certificate, KeyProtection::Rsa(&padding), &options.profile)?;
    let spki = certificate
        .parsed()
        .tbs_certificate()
        .subject_public_key_info();
    if spki.algorithm.oid != RSA_ENCRYPTION {
        return Err(unusable(
            certificate,
            "an RSASSA-PSS key is for signatures only (RFC 4055 §1.2)",
        ));
    }
    let public =
        rsa_key(spki).ok_or_else(|| unusable(certificate, "an RSA key that cannot be used"))?;
    let (algorithm, encrypted) = if options.oaep {
        let algorithm = encode(&ID_RSAES_OAEP, &oaep::parameters(digest));
        let encrypted = match digest {
            DigestAlgorithm::Sha1 => public.encrypt(&mut SysRng, Oaep::<sha1::Sha1>::new(), key),
            DigestAlgorithm::Sha384 => {
                public.encrypt(&mut SysRng, Oaep::<sha2::Sha384>::new(), key)
            }
            DigestAlgorithm::Sha512 => {
                public.encrypt(&mut SysRng, Oaep::<sha2::Sha512>::new(), key)
            }
            DigestAlgorithm::Sha256 => {
                public.encrypt(&mut SysRng, Oaep::<sha2::Sha256>::new(), key)
            }
            // no profile's file may name another
            other => {
                return Err(Error::UnsupportedAlgorithm(format!(
                    "writing RSAES-OAEP with {other}"
                )));
            }
        };
        (algorithm, encrypted)
    } else {
        let algorithm = encode(&RSA_ENCRYPTION, &[id::NULL, 0]);
        (algorithm, public.encrypt(&mut SysRng, Pkcs1v15Encrypt, key))
    };
    let encrypted = encrypted.map_err(|e| unusable(certificate, &e.to_string()))?;
    Ok(constructed(
        id::SEQUENCE,
        &[
            &[id::INTEGER, 1, 0],
            &issuer_and_serial(certificate),
            &algorithm,
            &tlv(id::OCTET_STRING, &encrypted),
        ],
    ))
}

/// One-pass ECDH with a key made for this recipient alone.
fn agree(
    certificate: &Certificate,
    algorithm: &'static agreement::Algorithm,
    key_algorithm: &ObjectIdentifier,
    kdf: Kdf,
    key: &[u8],
    profile: &Profile,
) -> Result<Vec<u8>> {
    let kdf = profile.kdf_like(kdf);
    let wrap = KeyWrap::for_key_len(key.len());
    check(certificate, KeyProtection::Agreement(kdf, wrap), profile)?;
    let scheme = Scheme {
        kdf,
        wrap,
        key_info: encode(&wrap.oid(), &[]),
        ukm: None,
    };
    let failed = || unusable(certificate, "an elliptic-curve key that cannot be used");
    let scheme_oid = kdf.scheme().ok_or_else(failed)?;
    let spki = certificate
        .parsed()
        .tbs_certificate()
        .subject_public_key_info();
    let theirs = spki.subject_public_key.as_bytes().ok_or_else(failed)?;
    let ours =
        EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(|_| failed())?;
    let point = ours.compute_public_key().map_err(|_| failed())?;
    let wrapped = agree_ephemeral(
        ours,
        UnparsedPublicKey::new(algorithm, theirs),
        failed(),
        |secret| scheme.wrap(secret, key).ok_or_else(failed),
    )?;

    let public = constructed(BIT_STRING, &[&[0], point.as_ref()]);
    let originator = constructed(
        id::context_constructed(1),
        &[&encode(key_algorithm, &[]), &public],
    );
    let recipient = constructed(
        id::SEQUENCE,
        &[
            &issuer_and_serial(certificate),
            &tlv(id::OCTET_STRING, &wrapped),
        ],
    );
    Ok(constructed(
        id::context_constructed(1),
        &[
            &[id::INTEGER, 1, 3],
            &tlv(id::context_constructed(0), &originator),
            &encode(&scheme_oid, &scheme.key_info),
            &tlv(id::SEQUENCE, &recipient),
        ],
    ))
}

pub(super) fn issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    constructed(
        id::SEQUENCE,
        &[
            certificate.issuer_bytes(),
            &tlv(id::INTEGER, certificate.serial()),
        ],
    )
}

const BIT_STRING: u8 = 0x03;
