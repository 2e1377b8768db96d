//! What a SubjectPublicKeyInfo says about the private key that belongs to it.

use cryptoki::object::{KeyType, MlDsaParameterSetType, MlKemParameterSetType, ParameterSetType};
use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use spki::SubjectPublicKeyInfoRef;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// CKA_EC_PARAMS of Ed25519: the OID, or the curve's name (PKCS#11 v3.1 §6.3.5)
const ED25519_PARAMS: [&[u8]; 2] = [b"\x06\x03\x2b\x65\x70", b"\x13\x0cedwards25519"];
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const X25519_PARAMS: [&[u8]; 2] = [b"\x06\x03\x2b\x65\x6e", b"\x13\x0acurve25519"];
/// id-ml-dsa-44, -65, -87 (RFC 9881 §2)
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");
/// id-alg-ml-kem-512, -768, -1024 (RFC 9935 §3)
const ML_KEM_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.1");
const ML_KEM_768: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.2");
const ML_KEM_1024: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.4.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// RFC 8017 §A.1.1
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    _exponent: UintRef<'a>,
}

/// A public key, as far as it tells keys apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// without leading zeros
    Rsa { modulus: Vec<u8> },
    /// `params`: what CKA_EC_PARAMS may be, the DER of ECParameters
    Ec {
        params: Vec<Vec<u8>>,
        point: Vec<u8>,
    },
    /// Ed25519
    Edwards {
        params: Vec<Vec<u8>>,
        point: Vec<u8>,
    },
    /// X25519 (RFC 8410)
    Montgomery {
        params: Vec<Vec<u8>>,
        point: Vec<u8>,
    },
    /// ML-DSA
    MlDsa(Lattice),
    /// ML-KEM
    MlKem(Lattice),
}

/// A key of one of FIPS 203's or 204's parameter sets (PKCS#11 v3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lattice {
    /// CKA_PARAMETER_SET
    set: ParameterSetType,
    /// CKA_VALUE of the public key
    value: Vec<u8>,
    /// bytes of what it makes: a signature, a ciphertext
    made: usize,
}

impl PublicKey {
    /// `None`: a key of another kind, or no SubjectPublicKeyInfo.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).ok()?;
        let key = spki.subject_public_key.as_bytes()?;
        match spki.algorithm.oid {
            RSA_ENCRYPTION | RSAES_OAEP | RSASSA_PSS => {
                let modulus = RsaPublicKey::from_der(key).ok()?.modulus;
                Some(Self::Rsa {
                    modulus: modulus.as_bytes().to_vec(),
                })
            }
            EC_PUBLIC_KEY => Some(Self::Ec {
                params: vec![spki.algorithm.parameters?.to_der().ok()?],
                point: key.to_vec(),
            }),
            ED25519 => Some(Self::Edwards {
                params: ED25519_PARAMS.iter().map(|p| p.to_vec()).collect(),
                point: key.to_vec(),
            }),
            X25519 => Some(Self::Montgomery {
                params: X25519_PARAMS.iter().map(|p| p.to_vec()).collect(),
                point: key.to_vec(),
            }),
            oid => lattice(oid, key),
        }
    }

    /// Of RSA the bytes of the modulus; of a curve those of a coordinate (Ed25519, X25519: of the point); of ML-DSA those of a
    /// signature, of ML-KEM those of a ciphertext.
    pub fn len(&self) -> usize {
        match self {
            Self::Rsa { modulus } => modulus.len(),
            Self::Ec { point, .. } => match point.split_first() {
                Some((4, coordinates)) => coordinates.len() / 2,
                Some((_, x)) => x.len(),
                None => 0,
            },
            Self::Edwards { point, .. } | Self::Montgomery { point, .. } => point.len(),
            Self::MlDsa(key) | Self::MlKem(key) => key.made,
        }
    }

    /// Whether CKA_KEY_TYPE may be this one. Tokens differ in what they call the curves of RFC 7748.
    pub fn may_have(&self, key_type: KeyType) -> bool {
        match self {
            Self::Rsa { .. } => key_type == KeyType::RSA,
            Self::MlDsa(_) => key_type == KeyType::ML_DSA,
            Self::MlKem(_) => key_type == KeyType::ML_KEM,
            Self::Ec { .. } | Self::Edwards { .. } | Self::Montgomery { .. } => {
                ![KeyType::RSA, KeyType::ML_DSA, KeyType::ML_KEM].contains(&key_type)
            }
        }
    }

    /// Opens messages by key agreement (C_DeriveKey).
    pub fn agrees(&self) -> bool {
        matches!(self, Self::Ec { .. } | Self::Montgomery { .. })
    }

    /// A key of this CKA_PARAMETER_SET may be (half of) it.
    pub fn has_set(&self, set: ParameterSetType) -> bool {
        matches!(self, Self::MlDsa(key) | Self::MlKem(key) if key.set == set)
    }

    /// A public key of this CKA_VALUE is it.
    pub fn has_value(&self, value: &[u8]) -> bool {
        matches!(self, Self::MlDsa(key) | Self::MlKem(key) if key.value == value)
    }

    /// A private RSA key of this CKA_MODULUS belongs to it.
    pub fn has_modulus(&self, value: &[u8]) -> bool {
        matches!(self, Self::Rsa { modulus } if modulus == strip(value))
    }

    /// A public EC key of this CKA_EC_POINT (an OCTET STRING, or bare) is it.
    pub fn has_point(&self, value: &[u8]) -> bool {
        match self {
            Self::Ec { point, .. }
            | Self::Edwards { point, .. }
            | Self::Montgomery { point, .. } => value
                .strip_suffix(point.as_slice())
                .is_some_and(|head| head.len() <= 3),
            Self::Rsa { .. } | Self::MlDsa(_) | Self::MlKem(_) => false,
        }
    }
}

/// A key of ML-DSA or ML-KEM, with the length of a signature (FIPS 204 table 2) or of a ciphertext (FIPS 203 table 3).
fn lattice(oid: ObjectIdentifier, value: &[u8]) -> Option<PublicKey> {
    use {MlDsaParameterSetType as Dsa, MlKemParameterSetType as Kem};
    let of = |set: ParameterSetType, made: usize| Lattice {
        set,
        value: value.to_vec(),
        made,
    };
    Some(match oid {
        ML_DSA_44 => PublicKey::MlDsa(of(Dsa::ML_DSA_44.into(), 2420)),
        ML_DSA_65 => PublicKey::MlDsa(of(Dsa::ML_DSA_65.into(), 3309)),
        ML_DSA_87 => PublicKey::MlDsa(of(Dsa::ML_DSA_87.into(), 4627)),
        ML_KEM_512 => PublicKey::MlKem(of(Kem::ML_KEM_512.into(), 768)),
        ML_KEM_768 => PublicKey::MlKem(of(Kem::ML_KEM_768.into(), 1088)),
        ML_KEM_1024 => PublicKey::MlKem(of(Kem::ML_KEM_1024.into(), 1568)),
        _ => return None,
    })
}

fn strip(mut number: &[u8]) -> &[u8] {
    while let Some((0, rest)) = number.split_first() {
        number = rest;
    }
    number
}
