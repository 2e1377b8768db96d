//! Public keys that verify: aws-lc where it offers the combination, else the RustCrypto crates.

use std::sync::OnceLock;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{self as aws, ParsedPublicKey, VerificationAlgorithm};
use const_oid::db;
use der::Encode;
use rsa::{Pkcs1v15Sign, PublicKey};
use signature::hazmat::PrehashVerifier;
use spki::SubjectPublicKeyInfoOwned;

use super::pss::{self, Pss};
use crate::algorithm::{DigestAlgorithm, MlDsa, SignatureScheme};
use crate::algorithm_id::{PssParameters, encode};
use crate::ber::{constructed, id, single, tlv};
use crate::cert::{Brainpool, Curve, KeyType};

/// What the algorithm of an RSA key in its certificate says about RSASSA-PSS (RFC 4055 §1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PssUse {
    /// rsaEncryption: any use
    Open,
    /// id-RSASSA-PSS without parameters: PSS only
    Only,
    /// PSS only, with this digest and mask and at least this salt
    Restricted(PssParameters),
    /// parameters that cannot be followed: no signature is good
    Never,
}

/// A public key, prepared: aws-lc keeps what it computed from the key for the next signature.
pub(crate) struct VerifyingKey {
    key_type: KeyType,
    /// content of subjectPublicKey
    bytes: Vec<u8>,
    pss: PssUse,
    fast: OnceLock<(SignatureScheme, ParsedPublicKey)>,
}

impl VerifyingKey {
    /// `None` for kinds of keys that nothing here verifies with.
    pub(crate) fn new(spki: &SubjectPublicKeyInfoOwned, key_type: KeyType) -> Option<Self> {
        let bytes = spki.subject_public_key.as_bytes()?;
        match key_type {
            KeyType::Rsa(_) | KeyType::Ec(_) | KeyType::Brainpool(_) => {}
            // their algorithms have no parameters (RFC 8410 §3, RFC 9881 §2), and keys of one length only
            KeyType::Ed25519 if spki.algorithm.parameters.is_none() && bytes.len() == 32 => {}
            KeyType::MlDsa(set)
                if spki.algorithm.parameters.is_none() && bytes.len() == set.key_len() => {}
            _ => return None,
        }
        Some(VerifyingKey {
            key_type,
            bytes: bytes.to_vec(),
            pss: pss_use(spki),
            fast: OnceLock::new(),
        })
    }

    pub(crate) fn pss(&self) -> PssUse {
        self.pss
    }

    /// Why nothing here computes with this key, though others may: no word on its signatures.
    pub(crate) fn out_of_reach(&self) -> Option<String> {
        let KeyType::Rsa(bits) = self.key_type else {
            return None;
        };
        if bits > RSA_MAX {
            return Some(format!(
                "its RSA key has {bits} bits, more than the {RSA_MAX} that are computed with here"
            ));
        }
        match parse_rsa(&self.bytes)? {
            Err(rsa::Error::PublicExponentTooLarge) => Some(
                "the public exponent of its RSA key is larger than those that are computed with here"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    fn allows(&self, scheme: SignatureScheme) -> bool {
        match (scheme, self.pss) {
            (SignatureScheme::RsaPkcs1(_), allowed) => allowed == PssUse::Open,
            (SignatureScheme::RsaPss { .. }, PssUse::Open | PssUse::Only) => true,
            (
                SignatureScheme::RsaPss {
                    digest,
                    mgf,
                    salt_len,
                },
                PssUse::Restricted(allowed),
            ) => digest == allowed.hash && mgf == allowed.mgf_hash && salt_len >= allowed.salt_len,
            (SignatureScheme::RsaPss { .. }, PssUse::Never) => false,
            _ => true,
        }
    }

    /// Over a ready digest; false for schemes that sign none.
    pub(super) fn verify_digest(
        &self,
        scheme: SignatureScheme,
        digest: &[u8],
        signature: &[u8],
    ) -> bool {
        let Some(hash) = scheme.prehash() else {
            return false;
        };
        if digest.len() != hash.len() || !self.allows(scheme) {
            return false;
        }
        self.verify_fast(scheme, hash, digest, signature)
            .unwrap_or_else(|| self.verify_slow(scheme, digest, signature))
    }

    /// Over a message, which is digested where the scheme wants that.
    pub(super) fn verify_message(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        match scheme.prehash() {
            Some(hash) => self.verify_digest(scheme, &hash.digest(message), signature),
            None => self
                .with_parsed(scheme, |key| key.verify_sig(message, signature).is_ok())
                .unwrap_or(false),
        }
    }

    /// With aws-lc; `None`: it does not offer this combination.
    fn verify_fast(
        &self,
        scheme: SignatureScheme,
        hash: DigestAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        if let KeyType::Ec(curve) = self.key_type
            && (self.bytes.first() != Some(&4)
                || self.bytes.len() != curve.field_len().saturating_mul(2).saturating_add(1))
        {
            return None;
        }
        let digest = Digest::import_less_safe(digest, fast_digest(hash)?).ok()?;
        self.with_parsed(scheme, |key| {
            key.verify_digest_sig(&digest, signature).is_ok()
        })
    }

    /// Asks aws-lc's key; `None`: it has none for this scheme.
    fn with_parsed(
        &self,
        scheme: SignatureScheme,
        ask: impl FnOnce(&ParsedPublicKey) -> bool,
    ) -> Option<bool> {
        if let Some((made_for, key)) = self.fast.get()
            && *made_for == scheme
        {
            return Some(ask(key));
        }
        let algorithm = fast_algorithm(scheme, self.key_type)?;
        let key = ParsedPublicKey::new(algorithm, &self.bytes).ok()?;
        let good = ask(&key);
        let _ = self.fast.set((scheme, key));
        Some(good)
    }

    fn verify_slow(&self, scheme: SignatureScheme, digest: &[u8], signature: &[u8]) -> bool {
        match (scheme, self.key_type) {
            (SignatureScheme::RsaPkcs1(hash), KeyType::Rsa(_)) => {
                let padding = Pkcs1v15Sign {
                    hash_len: Some(hash.len()),
                    prefix: digest_info_prefix(hash).into_boxed_slice(),
                };
                rsa_from_pkcs1(&self.bytes)
                    .is_some_and(|key| key.verify(padding, digest, signature).is_ok())
            }
            (
                SignatureScheme::RsaPss {
                    digest: hash,
                    mgf,
                    salt_len,
                },
                KeyType::Rsa(_),
            ) => {
                let pss = Pss {
                    digest: hash,
                    mgf,
                    salt_len,
                };
                rsa_from_pkcs1(&self.bytes)
                    .and_then(|key| pss::verify(&key, pss, digest, signature))
                    .unwrap_or(false)
            }
            (SignatureScheme::Ecdsa(_), kind) => {
                verify_ecdsa(kind, &self.bytes, digest, signature).unwrap_or(false)
            }
            _ => false,
        }
    }
}

/// The DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1): 127 bytes at most, so every length is one byte.
fn digest_info_prefix(hash: DigestAlgorithm) -> Vec<u8> {
    let digest_info = constructed(
        id::SEQUENCE,
        &[
            &encode(&hash.oid(), &[id::NULL, 0]),
            &tlv(id::OCTET_STRING, &vec![0; hash.len()]),
        ],
    );
    let len = digest_info.len().saturating_sub(hash.len());
    digest_info.get(..len).unwrap_or(&[]).to_vec()
}

fn pss_use(spki: &SubjectPublicKeyInfoOwned) -> PssUse {
    if spki.algorithm.oid != db::rfc5912::ID_RSASSA_PSS {
        return PssUse::Open;
    }
    let Some(parameters) = &spki.algorithm.parameters else {
        return PssUse::Only;
    };
    let Ok(der) = parameters.to_der() else {
        return PssUse::Never;
    };
    match single(&der, id::SEQUENCE, "RSASSA-PSS parameters").map(|p| PssParameters::parse(Some(p)))
    {
        Ok(Ok(parameters)) => PssUse::Restricted(parameters),
        _ => PssUse::Never,
    }
}

/// aws-lc's name for the scheme. Of PSS it takes a mask of the same digest and salts of its length only.
fn fast_algorithm(
    scheme: SignatureScheme,
    key: KeyType,
) -> Option<&'static dyn VerificationAlgorithm> {
    use DigestAlgorithm::{Sha1, Sha3_384, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    Some(match (scheme, key) {
        (SignatureScheme::RsaPkcs1(digest), KeyType::Rsa(2048..=8192)) => match digest {
            Sha1 => &aws::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Sha256 => &aws::RSA_PKCS1_2048_8192_SHA256,
            Sha384 => &aws::RSA_PKCS1_2048_8192_SHA384,
            Sha512 => &aws::RSA_PKCS1_2048_8192_SHA512,
            _ => return None,
        },
        (
            SignatureScheme::RsaPss {
                digest,
                mgf,
                salt_len,
            },
            KeyType::Rsa(2048..=8192),
        ) if salt_len == digest.len() && mgf == digest => match digest {
            Sha256 => &aws::RSA_PSS_2048_8192_SHA256,
            Sha384 => &aws::RSA_PSS_2048_8192_SHA384,
            Sha512 => &aws::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        },
        (SignatureScheme::Ecdsa(digest), KeyType::Ec(curve)) => match (curve, digest) {
            (Curve::P256, Sha1) => &aws::ECDSA_P256_SHA1_ASN1,
            (Curve::P256, Sha256) => &aws::ECDSA_P256_SHA256_ASN1,
            (Curve::P256, Sha384) => &aws::ECDSA_P256_SHA384_ASN1,
            (Curve::P256, Sha512) => &aws::ECDSA_P256_SHA512_ASN1,
            (Curve::P384, Sha256) => &aws::ECDSA_P384_SHA256_ASN1,
            (Curve::P384, Sha384) => &aws::ECDSA_P384_SHA384_ASN1,
            (Curve::P384, Sha512) => &aws::ECDSA_P384_SHA512_ASN1,
            (Curve::P384, Sha3_384) => &aws::ECDSA_P384_SHA3_384_ASN1,
            (Curve::P521, Sha1) => &aws::ECDSA_P521_SHA1_ASN1,
            (Curve::P521, Sha224) => &aws::ECDSA_P521_SHA224_ASN1,
            (Curve::P521, Sha256) => &aws::ECDSA_P521_SHA256_ASN1,
            (Curve::P521, Sha384) => &aws::ECDSA_P521_SHA384_ASN1,
            (Curve::P521, Sha512) => &aws::ECDSA_P521_SHA512_ASN1,
            (Curve::P521, Sha3_512) => &aws::ECDSA_P521_SHA3_512_ASN1,
            _ => return None,
        },
        (SignatureScheme::Ed25519, KeyType::Ed25519) => &aws::ED25519,
        (SignatureScheme::MlDsa { set, .. }, KeyType::MlDsa(of)) if set == of => match set {
            MlDsa::MlDsa44 => &aws::ML_DSA_44,
            MlDsa::MlDsa65 => &aws::ML_DSA_65,
            MlDsa::MlDsa87 => &aws::ML_DSA_87,
        },
        _ => return None,
    })
}

fn fast_digest(digest: DigestAlgorithm) -> Option<&'static aws_lc_rs::digest::Algorithm> {
    use aws_lc_rs::digest as d;
    Some(match digest {
        DigestAlgorithm::Sha1 => &d::SHA1_FOR_LEGACY_USE_ONLY,
        DigestAlgorithm::Sha224 => &d::SHA224,
        DigestAlgorithm::Sha256 => &d::SHA256,
        DigestAlgorithm::Sha384 => &d::SHA384,
        DigestAlgorithm::Sha512 => &d::SHA512,
        DigestAlgorithm::Sha3_384 => &d::SHA3_384,
        DigestAlgorithm::Sha3_512 => &d::SHA3_512,
        _ => return None,
    })
}

fn verify_ecdsa(kind: KeyType, point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    macro_rules! verify {
        ($curve:ty, $half:literal) => {{
            let key = ecdsa::VerifyingKey::<$curve>::from_sec1_bytes(point).ok()?;
            let signature = ecdsa::Signature::<$curve>::from_der(signature).ok()?;
            key.verify_prehash(&pad(digest, $half), &signature).is_ok()
        }};
    }
    Some(match kind {
        KeyType::Ec(Curve::P256) => verify!(p256::NistP256, 16),
        KeyType::Ec(Curve::P384) => verify!(p384::NistP384, 24),
        KeyType::Ec(Curve::P521) => verify!(p521::NistP521, 33),
        KeyType::Brainpool(Brainpool::P256r1) => verify!(bp256::BrainpoolP256r1, 16),
        KeyType::Brainpool(Brainpool::P384r1) => verify!(bp384::BrainpoolP384r1, 24),
        _ => return None,
    })
}

/// The ecdsa crate refuses digests shorter than half the field: leading zeros do not change their number (SEC 1 §4.1.4).
fn pad(digest: &[u8], least: usize) -> Vec<u8> {
    let mut padded = vec![0; least.saturating_sub(digest.len())];
    padded.extend_from_slice(digest);
    padded
}

/// Modulus length in bits, of keys of every size.
pub(crate) fn rsa_bits(spki: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    let bytes = spki.subject_public_key.as_bytes()?;
    let key = rsa::pkcs1::RsaPublicKeyRef::try_from(bytes).ok()?;
    let modulus = key.modulus.as_bytes();
    modulus
        .len()
        .checked_mul(8)?
        .checked_sub(usize::try_from(modulus.first()?.leading_zeros()).ok()?)
}

/// The RSA key, between 1024 and 16384 bits (beyond that verification costs an attacker nothing and us much).
pub(crate) fn rsa_key(spki: &SubjectPublicKeyInfoOwned) -> Option<PublicKey> {
    rsa_from_pkcs1(spki.subject_public_key.as_bytes()?)
}

fn rsa_from_pkcs1(bytes: &[u8]) -> Option<PublicKey> {
    parse_rsa(bytes)?.ok()
}

/// `None` for what is no RSAPublicKey, or far too long to look at its numbers.
fn parse_rsa(bytes: &[u8]) -> Option<rsa::Result<PublicKey>> {
    let bytes = Some(bytes).filter(|bytes| bytes.len() <= 2200)?;
    let key = rsa::pkcs1::RsaPublicKeyRef::try_from(bytes).ok()?;
    let n = rsa::BoxedUint::from_be_slice_vartime(key.modulus.as_bytes());
    let e = rsa::BoxedUint::from_be_slice_vartime(key.public_exponent.as_bytes());
    Some(PublicKey::new_with_size_limits(n, e, 1024..=RSA_MAX))
}

const RSA_MAX: usize = 16_384;
