//! What a SubjectPublicKeyInfo says about the private key that belongs to it.

use der::asn1::{ObjectIdentifier, UintRef};
use der::{Decode, Encode, Sequence};
use spki::SubjectPublicKeyInfoRef;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
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
    /// `params`: the DER of ECParameters (CKA_EC_PARAMS)
    Ec { params: Vec<u8>, point: Vec<u8> },
}

impl PublicKey {
    /// `None`: no RSA key and no key on a curve, or no SubjectPublicKeyInfo.
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
                params: spki.algorithm.parameters?.to_der().ok()?,
                point: key.to_vec(),
            }),
            _ => None,
        }
    }

    /// Bytes of an RSA modulus, or of a coordinate on the curve.
    pub fn len(&self) -> usize {
        match self {
            Self::Rsa { modulus } => modulus.len(),
            Self::Ec { point, .. } => match point.split_first() {
                Some((4, coordinates)) => coordinates.len() / 2,
                Some((_, x)) => x.len(),
                None => 0,
            },
        }
    }

    /// A private RSA key of this CKA_MODULUS belongs to it.
    pub fn has_modulus(&self, value: &[u8]) -> bool {
        matches!(self, Self::Rsa { modulus } if modulus == strip(value))
    }

    /// A public EC key of this CKA_EC_POINT (an OCTET STRING, or bare) is it.
    pub fn has_point(&self, value: &[u8]) -> bool {
        match self {
            Self::Ec { point, .. } => value
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
