//! What a SubjectPublicKeyInfo says about the private key that belongs to it.

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
            _ => None,
        }
    }

    /// Bytes of an RSA modulus, of a coordinate on the curve, or of a point of Ed25519 or X25519.
    pub fn len(&self) -> usize {
        match self {
            Self::Rsa { modulus } => modulus.len(),
            Self::Ec { point, .. } => match point.split_first() {
                Some((4, coordinates)) => coordinates.len() / 2,
                Some((_, x)) => x.len(),
                None => 0,
            },
            Self::Edwards { point, .. } | Self::Montgomery { point, .. } => point.len(),
        }
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
            Self::Rsa { .. } => false,
        }
    }
}

fn strip(mut number: &[u8]) -> &[u8] {
    while let Some((0, rest)) = number.split_first() {
        number = rest;
    }
    number
}
