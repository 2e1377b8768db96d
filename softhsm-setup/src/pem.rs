//! Reading keys and certificates from files: PEM with anything around it, or DER.

use std::path::Path;

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use der::asn1::ObjectIdentifier;
use der::{Decode, DecodePem, Encode, SecretDocument};
use rsa::pkcs1;
use rsa::pkcs8::PrivateKeyInfoRef;
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::error::Error;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");

/// A private key from a file, as a token wants it: big-endian numbers without leading zeros.
pub enum PrivateKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
        d: Zeroizing<Vec<u8>>,
        p: Zeroizing<Vec<u8>>,
        q: Zeroizing<Vec<u8>>,
        dp: Zeroizing<Vec<u8>>,
        dq: Zeroizing<Vec<u8>>,
        qinv: Zeroizing<Vec<u8>>,
    },
    Ec {
        curve: ObjectIdentifier,
        scalar: Zeroizing<Vec<u8>>,
        /// uncompressed
        point: Vec<u8>,
    },
    /// Ed25519 (signs) or X25519 (agrees), RFC 8410
    Edwards {
        curve: ObjectIdentifier,
        secret: Zeroizing<Vec<u8>>,
        public: Vec<u8>,
    },
}

impl PrivateKey {
    /// Reads the first private key of a PEM file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = Zeroizing::new(std::fs::read(path).map_err(|e| Error::file(path, e))?);
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
        let block = first_block(&text, |label| label.ends_with("PRIVATE KEY"))
            .ok_or_else(|| Error::input(path, "holds no PEM private key"))?;
        if block.contains("ENCRYPTED") {
            return Err(Error::input(
                path,
                "the key is encrypted; decrypt it first: openssl pkey -in KEY -out PLAIN",
            ));
        }
        let (label, der) =
            SecretDocument::from_pem(block).map_err(|e| Error::input(path, e.to_string()))?;
        let parsed = match label {
            "PRIVATE KEY" => Self::from_pkcs8(der.as_bytes()),
            "RSA PRIVATE KEY" => Self::from_pkcs1(der.as_bytes()),
            "EC PRIVATE KEY" => Self::from_sec1(der.as_bytes(), None),
            other => Err(format!("`{other}` is not a kind of key known here")),
        };
        parsed.map_err(|problem| Error::input(path, problem))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let info = PrivateKeyInfoRef::from_der(der).map_err(|e| e.to_string())?;
        let inner = info.private_key.as_bytes();
        match info.algorithm.oid {
            RSA_ENCRYPTION | RSASSA_PSS | RSAES_OAEP => Self::from_pkcs1(inner),
            EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters_oid().map_err(|e| e.to_string())?;
                Self::from_sec1(inner, Some(curve))
            }
            ED25519 | X25519 => Self::from_rfc8410(info.algorithm.oid, inner),
            other => Err(format!(
                "a token of SoftHSM takes no key of the algorithm {other}: RSA, P-256, P-384, P-521, Ed25519, X25519"
            )),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, String> {
        let key = pkcs1::RsaPrivateKeyRef::from_der(der).map_err(|e| e.to_string())?;
        let secret = |number: &der::asn1::UintRef<'_>| Zeroizing::new(number.as_bytes().to_vec());
        Ok(PrivateKey::Rsa {
            n: key.modulus.as_bytes().to_vec(),
            e: key.public_exponent.as_bytes().to_vec(),
            d: secret(&key.private_exponent),
            p: secret(&key.prime1),
            q: secret(&key.prime2),
            dp: secret(&key.exponent1),
            dq: secret(&key.exponent2),
            qinv: secret(&key.coefficient),
        })
    }

    /// CurvePrivateKey (RFC 8410 §7).
    fn from_rfc8410(curve: ObjectIdentifier, der: &[u8]) -> Result<Self, String> {
        let bytes = <&der::asn1::OctetStringRef>::from_der(der).map_err(|e| e.to_string())?;
        let secret = Zeroizing::new(bytes.as_bytes().to_vec());
        let public = if curve == ED25519 {
            Ed25519KeyPair::from_seed_unchecked(&secret)
                .map(|pair| pair.public_key().as_ref().to_vec())
                .map_err(|e| e.to_string())?
        } else {
            agreement::PrivateKey::from_private_key(&agreement::X25519, &secret)
                .and_then(|key| Ok(key.compute_public_key()?.as_ref().to_vec()))
                .map_err(|e| e.to_string())?
        };
        Ok(PrivateKey::Edwards {
            curve,
            secret,
            public,
        })
    }

    /// What it is used for: (signs, decrypts, agrees on keys).
    pub fn usages(&self) -> (bool, bool, bool) {
        match self {
            PrivateKey::Rsa { .. } => (true, true, false),
            PrivateKey::Ec { .. } => (true, false, true),
            PrivateKey::Edwards { curve, .. } => (*curve == ED25519, false, *curve == X25519),
        }
    }

    /// `curve` is None where only the key itself names it.
    fn from_sec1(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<Self, String> {
        macro_rules! try_curve {
            ($oid:expr, $secret:ty) => {
                if curve.is_none_or(|named| named == $oid)
                    && let Ok(key) = <$secret>::from_sec1_der(der)
                {
                    return Ok(PrivateKey::Ec {
                        curve: $oid,
                        scalar: Zeroizing::new(key.to_bytes().to_vec()),
                        point: key.public_key().to_sec1_bytes().into_vec(),
                    });
                }
            };
        }
        try_curve!(P256, p256::SecretKey);
        try_curve!(P384, p384::SecretKey);
        try_curve!(P521, p521::SecretKey);
        Err("not a key of P-256, P-384 or P-521".into())
    }

    /// Is this the key of that certificate?
    pub fn belongs_to(&self, spki: &SubjectPublicKeyInfoOwned) -> bool {
        let Some(public) = spki.subject_public_key.as_bytes() else {
            return false;
        };
        match self {
            PrivateKey::Rsa { n, e, .. } => {
                pkcs1::RsaPublicKeyRef::from_der(public).is_ok_and(|key| {
                    key.modulus.as_bytes() == n && key.public_exponent.as_bytes() == e
                })
            }
            PrivateKey::Edwards { public: own, .. } => public == own.as_slice(),
            PrivateKey::Ec { point, .. } => {
                // a compressed point in the certificate: compare the coordinate that it has
                public == point.as_slice()
                    || matches!(public.first(), Some(2 | 3))
                        && public.get(1..) == point.get(1..public.len())
            }
        }
    }
}

/// Reads the first certificate of a PEM file, or a DER file.
pub fn read_certificate(path: &Path) -> Result<Certificate, Error> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, e))?;
    let text = String::from_utf8_lossy(&bytes);
    let parsed = match first_block(&text, |l| l.ends_with("CERTIFICATE") && !l.contains(' ')) {
        Some(block) => Certificate::from_pem(block),
        None => Certificate::from_der(&bytes),
    };
    parsed.map_err(|e| Error::input(path, format!("no certificate: {e}")))
}

/// The first PEM block whose label is wanted (openssl puts text, bag attributes or EC PARAMETERS before it).
fn first_block(text: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    let mut rest = text;
    loop {
        let begin = rest.get(rest.find("-----BEGIN ")?..)?;
        let label = begin
            .get("-----BEGIN ".len()..)?
            .split("-----")
            .next()
            .unwrap_or_default();
        let end_line = format!("-----END {label}-----");
        let end = begin.find(&end_line)?.checked_add(end_line.len())?;
        if wanted(label) {
            return begin.get(..end);
        }
        rest = begin.get(end..)?;
    }
}

/// DER of an object identifier, as CKA_EC_PARAMS has it.
pub fn oid_der(oid: ObjectIdentifier) -> Result<Vec<u8>, Error> {
    oid.to_der().map_err(Error::pki)
}

/// CKA_EC_PARAMS of P-256.
pub const CURVE_P256: ObjectIdentifier = P256;

#[cfg(test)]
mod tests {
    use super::first_block;

    #[test]
    fn blocks_before_the_wanted_one_are_passed_over() {
        let text = "x\n-----BEGIN EC PARAMETERS-----\nAA==\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nBB==\n-----END EC PRIVATE KEY-----\ny";
        let block = first_block(text, |l| l.ends_with("PRIVATE KEY")).unwrap();
        assert!(block.starts_with("-----BEGIN EC PRIVATE KEY-----"));
        assert!(block.ends_with("-----END EC PRIVATE KEY-----"));
        assert!(first_block("-----BEGIN X-----", |_| true).is_none());
    }
}
