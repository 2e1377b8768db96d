//! Public keys that verify: aws-lc where it offers the combination, else the RustCrypto crates.

use std::sync::OnceLock;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{self as aws, ParsedPublicKey, VerificationAlgorithm};
use const_oid::db;
use der::Encode;
use rsa::{Pkcs1v15Sign, Pss, PublicKey};
use signature::hazmat::PrehashVerifier;
use spki::SubjectPublicKeyInfoOwned;

use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::PssParameters;
use crate::ber::{id, single};
use crate::cert::{Curve, KeyType};

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
        if !matches!(key_type, KeyType::Rsa(_) | KeyType::Ec(_)) {
            return None;
        }
        Some(VerifyingKey {
            key_type,
            bytes: spki.subject_public_key.as_bytes()?.to_vec(),
            pss: pss_use(spki),
            fast: OnceLock::new(),
        })
    }

    pub(crate) fn pss(&self) -> PssUse {
        self.pss
    }

    fn allows(&self, scheme: SignatureScheme) -> bool {
        match (scheme, self.pss) {
            (SignatureScheme::Ecdsa(_), _) => true,
            (_, PssUse::Open) | (SignatureScheme::RsaPss { .. }, PssUse::Only) => true,
            (SignatureScheme::RsaPss { digest, salt_len }, PssUse::Restricted(allowed)) => {
                digest == allowed.hash && digest == allowed.mgf_hash && salt_len >= allowed.salt_len
            }
            _ => false,
        }
    }

    pub(super) fn verify(&self, scheme: SignatureScheme, digest: &[u8], signature: &[u8]) -> bool {
        if digest.len() != scheme.digest().len() || !self.allows(scheme) {
            return false;
        }
        self.verify_fast(scheme, digest, signature)
            .unwrap_or_else(|| self.verify_slow(scheme, digest, signature))
    }

    /// With aws-lc; `None`: it does not offer this combination.
    fn verify_fast(
        &self,
        scheme: SignatureScheme,
        digest: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let algorithm = fast_algorithm(scheme, self.key_type)?;
        if let KeyType::Ec(curve) = self.key_type
            && (self.bytes.first() != Some(&4)
                || self.bytes.len() != curve.field_len().saturating_mul(2).saturating_add(1))
        {
            return None;
        }
        let digest = Digest::import_less_safe(digest, fast_digest(scheme.digest())).ok()?;
        if let Some((made_for, key)) = self.fast.get()
            && *made_for == scheme
        {
            return Some(key.verify_digest_sig(&digest, signature).is_ok());
        }
        let key = ParsedPublicKey::new(algorithm, &self.bytes).ok()?;
        let good = key.verify_digest_sig(&digest, signature).is_ok();
        let _ = self.fast.set((scheme, key));
        Some(good)
    }

    fn verify_slow(&self, scheme: SignatureScheme, digest: &[u8], signature: &[u8]) -> bool {
        match (scheme, self.key_type) {
            (SignatureScheme::RsaPkcs1(alg), KeyType::Rsa(_)) => {
                let Some(key) = rsa_from_pkcs1(&self.bytes) else {
                    return false;
                };
                let padding = match alg {
                    DigestAlgorithm::Sha1 => Pkcs1v15Sign::new::<sha1::Sha1>(),
                    DigestAlgorithm::Sha224 => Pkcs1v15Sign::new::<sha2::Sha224>(),
                    DigestAlgorithm::Sha256 => Pkcs1v15Sign::new::<sha2::Sha256>(),
                    DigestAlgorithm::Sha384 => Pkcs1v15Sign::new::<sha2::Sha384>(),
                    DigestAlgorithm::Sha512 => Pkcs1v15Sign::new::<sha2::Sha512>(),
                };
                key.verify(padding, digest, signature).is_ok()
            }
            (
                SignatureScheme::RsaPss {
                    digest: alg,
                    salt_len,
                },
                KeyType::Rsa(_),
            ) => {
                let Some(key) = rsa_from_pkcs1(&self.bytes) else {
                    return false;
                };
                let ok = match alg {
                    DigestAlgorithm::Sha1 => key.verify(
                        Pss::<sha1::Sha1>::new_with_salt(salt_len),
                        digest,
                        signature,
                    ),
                    DigestAlgorithm::Sha224 => key.verify(
                        Pss::<sha2::Sha224>::new_with_salt(salt_len),
                        digest,
                        signature,
                    ),
                    DigestAlgorithm::Sha256 => key.verify(
                        Pss::<sha2::Sha256>::new_with_salt(salt_len),
                        digest,
                        signature,
                    ),
                    DigestAlgorithm::Sha384 => key.verify(
                        Pss::<sha2::Sha384>::new_with_salt(salt_len),
                        digest,
                        signature,
                    ),
                    DigestAlgorithm::Sha512 => key.verify(
                        Pss::<sha2::Sha512>::new_with_salt(salt_len),
                        digest,
                        signature,
                    ),
                };
                ok.is_ok()
            }
            (SignatureScheme::Ecdsa(_), KeyType::Ec(curve)) => {
                verify_ecdsa(curve, &self.bytes, digest, signature).unwrap_or(false)
            }
            _ => false,
        }
    }
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

/// aws-lc's name for the scheme. It takes salts of the digest's length only.
fn fast_algorithm(
    scheme: SignatureScheme,
    key: KeyType,
) -> Option<&'static dyn VerificationAlgorithm> {
    use DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
    Some(match (scheme, key) {
        (SignatureScheme::RsaPkcs1(digest), KeyType::Rsa(2048..=8192)) => match digest {
            Sha1 => &aws::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Sha224 => return None,
            Sha256 => &aws::RSA_PKCS1_2048_8192_SHA256,
            Sha384 => &aws::RSA_PKCS1_2048_8192_SHA384,
            Sha512 => &aws::RSA_PKCS1_2048_8192_SHA512,
        },
        (SignatureScheme::RsaPss { digest, salt_len }, KeyType::Rsa(2048..=8192))
            if salt_len == digest.len() =>
        {
            match digest {
                Sha1 | Sha224 => return None,
                Sha256 => &aws::RSA_PSS_2048_8192_SHA256,
                Sha384 => &aws::RSA_PSS_2048_8192_SHA384,
                Sha512 => &aws::RSA_PSS_2048_8192_SHA512,
            }
        }
        (SignatureScheme::Ecdsa(digest), KeyType::Ec(curve)) => match (curve, digest) {
            (Curve::P256, Sha1) => &aws::ECDSA_P256_SHA1_ASN1,
            (Curve::P256, Sha256) => &aws::ECDSA_P256_SHA256_ASN1,
            (Curve::P256, Sha384) => &aws::ECDSA_P256_SHA384_ASN1,
            (Curve::P256, Sha512) => &aws::ECDSA_P256_SHA512_ASN1,
            (Curve::P384, Sha256) => &aws::ECDSA_P384_SHA256_ASN1,
            (Curve::P384, Sha384) => &aws::ECDSA_P384_SHA384_ASN1,
            (Curve::P384, Sha512) => &aws::ECDSA_P384_SHA512_ASN1,
            (Curve::P521, Sha1) => &aws::ECDSA_P521_SHA1_ASN1,
            (Curve::P521, Sha224) => &aws::ECDSA_P521_SHA224_ASN1,
            (Curve::P521, Sha256) => &aws::ECDSA_P521_SHA256_ASN1,
            (Curve::P521, Sha384) => &aws::ECDSA_P521_SHA384_ASN1,
            (Curve::P521, Sha512) => &aws::ECDSA_P521_SHA512_ASN1,
            (Curve::P256 | Curve::P384, Sha224) | (Curve::P384, Sha1) => return None,
        },
        _ => return None,
    })
}

fn fast_digest(digest: DigestAlgorithm) -> &'static aws_lc_rs::digest::Algorithm {
    match digest {
        DigestAlgorithm::Sha1 => &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        DigestAlgorithm::Sha224 => &aws_lc_rs::digest::SHA224,
        DigestAlgorithm::Sha256 => &aws_lc_rs::digest::SHA256,
        DigestAlgorithm::Sha384 => &aws_lc_rs::digest::SHA384,
        DigestAlgorithm::Sha512 => &aws_lc_rs::digest::SHA512,
    }
}

fn verify_ecdsa(curve: Curve, point: &[u8], digest: &[u8], signature: &[u8]) -> Option<bool> {
    Some(match curve {
        Curve::P256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify_prehash(
                &pad(digest, 16),
                &p256::ecdsa::Signature::from_der(signature).ok()?,
            )
            .is_ok()
        }
        Curve::P384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify_prehash(
                &pad(digest, 24),
                &p384::ecdsa::Signature::from_der(signature).ok()?,
            )
            .is_ok()
        }
        Curve::P521 => {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
            key.verify_prehash(
                &pad(digest, 33),
                &p521::ecdsa::Signature::from_der(signature).ok()?,
            )
            .is_ok()
        }
    })
}

/// The ecdsa crate refuses digests shorter than half the field: leading zeros do not change their number (SEC 1 §4.1.4).
fn pad(digest: &[u8], least: usize) -> Vec<u8> {
    let mut padded = vec![0; least.saturating_sub(digest.len())];
    padded.extend_from_slice(digest);
    padded
}

/// Modulus length in bits, of keys up to 16384.
pub(crate) fn rsa_bits(spki: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    let key = rsa::pkcs1::RsaPublicKeyRef::try_from(rsa_bytes(spki)?).ok()?;
    let modulus = key.modulus.as_bytes();
    let bits = modulus
        .len()
        .checked_mul(8)?
        .checked_sub(usize::try_from(modulus.first()?.leading_zeros()).ok()?)?;
    (bits <= RSA_MAX).then_some(bits)
}

/// The RSA key, between 1024 and 16384 bits (beyond that verification costs an attacker nothing and us much).
pub(crate) fn rsa_key(spki: &SubjectPublicKeyInfoOwned) -> Option<PublicKey> {
    rsa_from_pkcs1(rsa_bytes(spki)?)
}

fn rsa_bytes(spki: &SubjectPublicKeyInfoOwned) -> Option<&[u8]> {
    spki.subject_public_key
        .as_bytes()
        .filter(|bytes| bytes.len() <= 2200)
}

fn rsa_from_pkcs1(bytes: &[u8]) -> Option<PublicKey> {
    let key = rsa::pkcs1::RsaPublicKeyRef::try_from(bytes).ok()?;
    let n = rsa::BoxedUint::from_be_slice_vartime(key.modulus.as_bytes());
    let e = rsa::BoxedUint::from_be_slice_vartime(key.public_exponent.as_bytes());
    PublicKey::new_with_size_limits(n, e, 1024..=RSA_MAX).ok()
}

const RSA_MAX: usize = 16_384;
