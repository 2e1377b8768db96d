//! How strong keys and signatures are, in bits of security, and what a caller wants (openssl's "auth level").

use const_oid::ObjectIdentifier;
use const_oid::db::fips202::{ID_SHA_3_224, ID_SHA_3_256, ID_SHA_3_384, ID_SHA_3_512};
use const_oid::db::fips204::{ID_ML_DSA_44, ID_ML_DSA_65, ID_ML_DSA_87};
use const_oid::db::rfc5639::{BRAINPOOL_P_256_R_1, BRAINPOOL_P_384_R_1};
use const_oid::db::rfc5912::{
    DSA_WITH_SHA_1, ECDSA_WITH_SHA_224, ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512,
    ID_EC_PUBLIC_KEY, ID_RSASSA_PSS, ID_SHA_1, ID_SHA_224, ID_SHA_256, ID_SHA_384, ID_SHA_512,
    MD_2_WITH_RSA_ENCRYPTION, MD_5_WITH_RSA_ENCRYPTION, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1,
    SECP_521_R_1, SHA_1_WITH_RSA_ENCRYPTION, SHA_224_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use const_oid::db::rfc8410::{ID_ED_448, ID_ED_25519, ID_X_448, ID_X_25519};
use const_oid::db::rfc9688::{
    ID_ECDSA_WITH_SHA_3_224, ID_ECDSA_WITH_SHA_3_256, ID_ECDSA_WITH_SHA_3_384,
    ID_ECDSA_WITH_SHA_3_512,
};
use der::Decode;
use rsa::pkcs1::RsaPublicKeyRef;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::verify::pss_hash;

/// ecdsa-with-SHA1 (RFC 3279 §2.2.3)
const ECDSA_WITH_SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
/// sha1WithRSASignature of the OIW, an old name
const OIW_SHA_1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.29");
/// id-rsassa-pkcs1-v1-5-with-sha3-… (RFC 9688 §3.1)
const RSA_WITH_SHA_3_224: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.13");
const RSA_WITH_SHA_3_256: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.14");
const RSA_WITH_SHA_3_384: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.15");
const RSA_WITH_SHA_3_512: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.16");
/// What SHA-1 counts for: openssl 1.1's 80 (a collision costs 2^63 today, which is why the default refuses it)
const SHA_1_BITS: u16 = 80;

/// The least that is accepted, in bits of security.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    leaf_key: u16,
    issuer_key: u16,
    signature: u16,
}

impl Floor {
    /// From an auth level; levels beyond 5 mean 5.
    pub fn of(level: Option<u8>) -> Floor {
        let Some(level) = level else {
            return Floor {
                leaf_key: 80,
                issuer_key: 112,
                signature: 112,
            };
        };
        let bits = match level {
            0 => 0,
            1 => 80,
            2 => 112,
            3 => 128,
            4 => 192,
            _ => 256,
        };
        Floor {
            leaf_key: bits,
            issuer_key: bits,
            signature: bits,
        }
    }

    pub fn leaf_key(self, key: &SubjectPublicKeyInfoOwned) -> bool {
        key_bits(key).is_none_or(|bits| bits >= self.leaf_key)
    }

    pub fn issuer_key(self, key: &SubjectPublicKeyInfoOwned) -> bool {
        key_bits(key).is_none_or(|bits| bits >= self.issuer_key)
    }

    pub fn signature(self, algorithm: &AlgorithmIdentifierOwned) -> bool {
        signature_bits(algorithm).is_none_or(|bits| bits >= self.signature)
    }
}

/// Whether a signature algorithm is one of the broken ones, which cannot be verified here at all.
pub fn is_broken(algorithm: &AlgorithmIdentifierOwned) -> bool {
    signature_bits(algorithm).is_some_and(|bits| bits <= SHA_1_BITS)
}

/// NIST SP 800-57 part 1, table 2. None: no idea, and the signature will not verify anyway.
fn key_bits(key: &SubjectPublicKeyInfoOwned) -> Option<u16> {
    let named = key.algorithm.parameters.as_ref();
    match key.algorithm.oid {
        RSA_ENCRYPTION | ID_RSASSA_PSS => {
            Some(match rsa_bits(key.subject_public_key.as_bytes()?)? {
                0..1024 => 0,
                1024..2048 => 80,
                2048..3072 => 112,
                3072..7680 => 128,
                7680..15360 => 192,
                _ => 256,
            })
        }
        ID_EC_PUBLIC_KEY => match named?.decode_as::<ObjectIdentifier>().ok()? {
            SECP_256_R_1 | BRAINPOOL_P_256_R_1 => Some(128),
            SECP_384_R_1 | BRAINPOOL_P_384_R_1 => Some(192),
            SECP_521_R_1 => Some(256),
            _ => None,
        },
        ID_ED_25519 | ID_X_25519 => Some(128),
        ID_ED_448 | ID_X_448 => Some(224),
        // FIPS 204 table 1
        ID_ML_DSA_44 => Some(128),
        ID_ML_DSA_65 => Some(192),
        ID_ML_DSA_87 => Some(256),
        _ => None,
    }
}

fn rsa_bits(der: &[u8]) -> Option<usize> {
    let key = RsaPublicKeyRef::from_der(der).ok()?;
    let modulus = key.modulus.as_bytes();
    let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    modulus.len().checked_mul(8)?.checked_sub(unused)
}

/// Half the digest, as collisions go. None: no idea, and the signature will not verify anyway.
fn signature_bits(algorithm: &AlgorithmIdentifierOwned) -> Option<u16> {
    Some(match algorithm.oid {
        MD_2_WITH_RSA_ENCRYPTION | MD_5_WITH_RSA_ENCRYPTION => 39,
        SHA_1_WITH_RSA_ENCRYPTION | DSA_WITH_SHA_1 | ECDSA_WITH_SHA_1 | OIW_SHA_1_WITH_RSA => {
            SHA_1_BITS
        }
        SHA_224_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_224 | ID_ECDSA_WITH_SHA_3_224 => 112,
        SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 | ID_ECDSA_WITH_SHA_3_256 => 128,
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 | ID_ECDSA_WITH_SHA_3_384 => 192,
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 | ID_ECDSA_WITH_SHA_3_512 => 256,
        RSA_WITH_SHA_3_224 => 112,
        RSA_WITH_SHA_3_256 => 128,
        RSA_WITH_SHA_3_384 => 192,
        RSA_WITH_SHA_3_512 => 256,
        ID_ED_25519 | ID_ML_DSA_44 => 128,
        ID_ED_448 => 224,
        ID_ML_DSA_65 => 192,
        ID_ML_DSA_87 => 256,
        ID_RSASSA_PSS => match pss_hash(algorithm) {
            Some(ID_SHA_1) => SHA_1_BITS,
            Some(ID_SHA_224 | ID_SHA_3_224) => 112,
            Some(ID_SHA_256 | ID_SHA_3_256) => 128,
            Some(ID_SHA_384 | ID_SHA_3_384) => 192,
            Some(ID_SHA_512 | ID_SHA_3_512) => 256,
            // one that is not thought of here is no reason for trust
            _ => 0,
        },
        _ => return None,
    })
}
