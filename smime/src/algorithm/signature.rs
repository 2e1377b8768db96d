//! Signature schemes, and the object identifiers that name them together with their digest.

use const_oid::db::{fips204, rfc5912, rfc8410, rfc9688};
use der::asn1::ObjectIdentifier;

use super::digest::DigestAlgorithm::{
    self, Md5, Sha1, Sha3_224, Sha3_256, Sha3_384, Sha3_512, Sha224, Sha256, Sha384, Sha512,
};

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS with MGF1 (RFC 8017 §8.1).
    RsaPss {
        /// of the message
        digest: DigestAlgorithm,
        /// of the mask
        mgf: DigestAlgorithm,
        /// bytes of salt
        salt_len: usize,
    },
    /// ECDSA; the signature is a DER `Ecdsa-Sig-Value` (RFC 5753 §2.1.1).
    Ecdsa(DigestAlgorithm),
    /// Ed25519 over the message itself (RFC 8419); the content's digest is SHA-512.
    Ed25519,
    /// ML-DSA over the message itself, with an empty context (RFC 9882).
    MlDsa {
        set: MlDsa,
        /// of the content
        digest: DigestAlgorithm,
    },
}

/// Parameter set of ML-DSA (FIPS 204 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlDsa {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

impl MlDsa {
    pub(crate) const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    /// By the OID of the key, which is that of the signature too (RFC 9881 §2).
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.oid() == *oid)
    }

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::MlDsa44 => fips204::ID_ML_DSA_44,
            Self::MlDsa65 => fips204::ID_ML_DSA_65,
            Self::MlDsa87 => fips204::ID_ML_DSA_87,
        }
    }

    /// `ml-dsa-65`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Bytes of a public key (FIPS 204 table 2).
    pub(crate) fn key_len(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// Bytes that a digest needs so that it is not the weaker part (RFC 9882 §3.3, table 1).
    pub(crate) fn digest_len(self) -> usize {
        match self {
            Self::MlDsa44 => 32,
            Self::MlDsa65 => 48,
            Self::MlDsa87 => 64,
        }
    }
}

impl SignatureScheme {
    /// The digest of the content. Where a digest is signed, it is the same.
    pub fn digest(self) -> DigestAlgorithm {
        match self {
            Self::RsaPkcs1(d) | Self::Ecdsa(d) => d,
            Self::RsaPss { digest, .. } | Self::MlDsa { digest, .. } => digest,
            Self::Ed25519 => Sha512,
        }
    }

    /// The digest that is signed in place of the message; `None`: the message itself is.
    pub fn prehash(self) -> Option<DigestAlgorithm> {
        match self {
            Self::RsaPkcs1(_) | Self::RsaPss { .. } | Self::Ecdsa(_) => Some(self.digest()),
            Self::Ed25519 | Self::MlDsa { .. } => None,
        }
    }

    /// `rsa-pkcs1`, `rsa-pss`, `ecdsa`, `ed25519` or `ml-dsa-65` and its like.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1(_) => "rsa-pkcs1",
            Self::RsaPss { .. } => "rsa-pss",
            Self::Ecdsa(_) => "ecdsa",
            Self::Ed25519 => "ed25519",
            Self::MlDsa { set, .. } => set.name(),
        }
    }

    /// By an OID that says all but the content's digest, which `digest` does for those that sign no digest (RFC 5754 §3,
    /// RFC 5753 §7.1.3, RFC 8419 §2, RFC 9688 §3, RFC 9882 §2).
    pub(crate) fn from_oid(oid: &ObjectIdentifier, digest: DigestAlgorithm) -> Option<Self> {
        if *oid == rfc8410::ID_ED_25519 {
            return Some(Self::Ed25519);
        }
        if let Some(set) = MlDsa::from_oid(oid) {
            return Some(Self::MlDsa { set, digest });
        }
        // the name of RSA with SHA-1 that came before PKCS#1 had one (OIW)
        if *oid == OIW_SHA1_WITH_RSA {
            return Some(Self::RsaPkcs1(Sha1));
        }
        let named = |list: &[(ObjectIdentifier, DigestAlgorithm)]| {
            list.iter()
                .find(|(name, _)| name == oid)
                .map(|(_, digest)| *digest)
        };
        named(&RSA)
            .map(Self::RsaPkcs1)
            .or_else(|| named(&ECDSA).map(Self::Ecdsa))
    }
}

/// The OID of ECDSA with this digest.
pub(crate) fn ecdsa_oid(digest: DigestAlgorithm) -> Option<ObjectIdentifier> {
    ECDSA
        .iter()
        .find(|(_, d)| *d == digest)
        .map(|(oid, _)| *oid)
}

impl DigestAlgorithm {
    /// The OID of RSASSA-PKCS1-v1_5 with this digest.
    pub(crate) fn with_rsa(self) -> Option<ObjectIdentifier> {
        RSA.iter().find(|(_, d)| *d == self).map(|(oid, _)| *oid)
    }
}

/// id-rsassa-pkcs1-v1-5-with-sha3-… have no name in the crate (RFC 9688 §3.1).
const RSA: [(ObjectIdentifier, DigestAlgorithm); 10] = [
    (rfc5912::MD_5_WITH_RSA_ENCRYPTION, Md5),
    (rfc5912::SHA_1_WITH_RSA_ENCRYPTION, Sha1),
    (rfc5912::SHA_224_WITH_RSA_ENCRYPTION, Sha224),
    (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Sha256),
    (rfc5912::SHA_384_WITH_RSA_ENCRYPTION, Sha384),
    (rfc5912::SHA_512_WITH_RSA_ENCRYPTION, Sha512),
    (oid("2.16.840.1.101.3.4.3.13"), Sha3_224),
    (oid("2.16.840.1.101.3.4.3.14"), Sha3_256),
    (oid("2.16.840.1.101.3.4.3.15"), Sha3_384),
    (oid("2.16.840.1.101.3.4.3.16"), Sha3_512),
];

const ECDSA: [(ObjectIdentifier, DigestAlgorithm); 9] = [
    (ECDSA_WITH_SHA1, Sha1),
    (rfc5912::ECDSA_WITH_SHA_224, Sha224),
    (rfc5912::ECDSA_WITH_SHA_256, Sha256),
    (rfc5912::ECDSA_WITH_SHA_384, Sha384),
    (rfc5912::ECDSA_WITH_SHA_512, Sha512),
    (rfc9688::ID_ECDSA_WITH_SHA_3_224, Sha3_224),
    (rfc9688::ID_ECDSA_WITH_SHA_3_256, Sha3_256),
    (rfc9688::ID_ECDSA_WITH_SHA_3_384, Sha3_384),
    (rfc9688::ID_ECDSA_WITH_SHA_3_512, Sha3_512),
];

const ECDSA_WITH_SHA1: ObjectIdentifier = oid("1.2.840.10045.4.1");
const OIW_SHA1_WITH_RSA: ObjectIdentifier = oid("1.3.14.3.2.29");

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}
