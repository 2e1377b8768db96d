//! From a shared secret to a key-encryption key: the X9.63 KDF (RFC 5753 §7.1.4) and HKDF (RFC 8418 §2.2, RFC 8619).

use std::fmt;

use ansi_x963_kdf::derive_key_into;
use aws_lc_rs::hkdf;
use const_oid::db::rfc5753;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use crate::algorithm::DigestAlgorithm;
use crate::algorithm::DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};

/// A key derivation function with its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kdf {
    X963(DigestAlgorithm),
    Hkdf(DigestAlgorithm),
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// One-pass ECDH schemes. Those with a cofactor come last and are the same here as those without, since the cofactor of the NIST
/// curves is 1 (SEC 1 §3.3.2).
const SCHEMES: [(ObjectIdentifier, Kdf); 13] = [
    (
        rfc5753::DH_SINGLE_PASS_STD_DH_SHA_1_KDF_SCHEME,
        Kdf::X963(Sha1),
    ),
    (
        rfc5753::DH_SINGLE_PASS_STD_DH_SHA_224_KDF_SCHEME,
        Kdf::X963(Sha224),
    ),
    (
        rfc5753::DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME,
        Kdf::X963(Sha256),
    ),
    (
        rfc5753::DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME,
        Kdf::X963(Sha384),
    ),
    (
        rfc5753::DH_SINGLE_PASS_STD_DH_SHA_512_KDF_SCHEME,
        Kdf::X963(Sha512),
    ),
    (oid("1.2.840.113549.1.9.16.3.19"), Kdf::Hkdf(Sha256)),
    (oid("1.2.840.113549.1.9.16.3.20"), Kdf::Hkdf(Sha384)),
    (oid("1.2.840.113549.1.9.16.3.21"), Kdf::Hkdf(Sha512)),
    (oid("1.3.133.16.840.63.0.3"), Kdf::X963(Sha1)),
    (oid("1.3.132.1.14.0"), Kdf::X963(Sha224)),
    (oid("1.3.132.1.14.1"), Kdf::X963(Sha256)),
    (oid("1.3.132.1.14.2"), Kdf::X963(Sha384)),
    (oid("1.3.132.1.14.3"), Kdf::X963(Sha512)),
];

/// How many of [`SCHEMES`] are without a cofactor.
const WITHOUT_COFACTOR: usize = 8;

/// id-alg-hkdf-with-sha256, -sha384, -sha512 (RFC 8619 §2).
const HKDF: [(ObjectIdentifier, Kdf); 3] = [
    (HKDF_SHA256, Kdf::Hkdf(Sha256)),
    (oid("1.2.840.113549.1.9.16.3.29"), Kdf::Hkdf(Sha384)),
    (oid("1.2.840.113549.1.9.16.3.30"), Kdf::Hkdf(Sha512)),
];

pub(super) const HKDF_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.9.16.3.28");

impl Kdf {
    /// All that some scheme names.
    pub(crate) fn all() -> Vec<Self> {
        let mut all: Vec<Self> = SCHEMES.iter().map(|(_, kdf)| *kdf).collect();
        all.truncate(WITHOUT_COFACTOR);
        all
    }

    /// By key agreement scheme; `None` for schemes that are no one-pass ECDH (MQV).
    pub(crate) fn from_scheme(oid: &ObjectIdentifier) -> Option<Self> {
        by_oid(&SCHEMES, oid)
    }

    /// By the OID of the function itself.
    pub(super) fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        by_oid(&HKDF, oid)
    }

    /// The scheme of dhSinglePass-stdDH with this function.
    pub(crate) fn scheme(self) -> Option<ObjectIdentifier> {
        SCHEMES
            .iter()
            .find(|(_, kdf)| *kdf == self)
            .map(|(oid, _)| *oid)
    }

    /// `len` bytes of key. The salt is HKDF's.
    pub(super) fn derive(
        self,
        secret: &[u8],
        salt: &[u8],
        info: &[u8],
        len: usize,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(vec![0; len]);
        match self {
            Kdf::X963(Sha1) => derive_key_into::<sha1::Sha1>(secret, info, &mut out).ok()?,
            Kdf::X963(Sha224) => derive_key_into::<sha2::Sha224>(secret, info, &mut out).ok()?,
            Kdf::X963(Sha256) => derive_key_into::<sha2::Sha256>(secret, info, &mut out).ok()?,
            Kdf::X963(Sha384) => derive_key_into::<sha2::Sha384>(secret, info, &mut out).ok()?,
            Kdf::X963(Sha512) => derive_key_into::<sha2::Sha512>(secret, info, &mut out).ok()?,
            Kdf::Hkdf(Sha256) => expand(hkdf::HKDF_SHA256, secret, salt, info, &mut out)?,
            Kdf::Hkdf(Sha384) => expand(hkdf::HKDF_SHA384, secret, salt, info, &mut out)?,
            Kdf::Hkdf(Sha512) => expand(hkdf::HKDF_SHA512, secret, salt, info, &mut out)?,
            // no scheme above names another digest
            _ => return None,
        }
        Some(out)
    }
}

impl fmt::Display for Kdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kdf::X963(digest) => write!(f, "x963-{digest}"),
            Kdf::Hkdf(digest) => write!(f, "hkdf-{digest}"),
        }
    }
}

fn by_oid(table: &[(ObjectIdentifier, Kdf)], oid: &ObjectIdentifier) -> Option<Kdf> {
    table.iter().find(|(of, _)| of == oid).map(|(_, kdf)| *kdf)
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(
    algorithm: hkdf::Algorithm,
    secret: &[u8],
    salt: &[u8],
    info: &[u8],
    out: &mut [u8],
) -> Option<()> {
    // no salt is a salt of zeros (RFC 5869 §2.2), which HMAC makes of an empty key by itself
    hkdf::Salt::new(algorithm, salt)
        .extract(secret)
        .expand(&[info], Len(out.len()))
        .ok()?
        .fill(out)
        .ok()
}
