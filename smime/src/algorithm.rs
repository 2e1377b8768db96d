//! Digests, ciphers, key wraps and signature schemes by their object identifiers and by their names.

use const_oid::db;
use der::asn1::ObjectIdentifier;
use sha2::digest::{Digest, DynDigest};

use crate::error::{Error, Result};

/// A message digest (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// Read only: never used for new signatures.
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl DigestAlgorithm {
    /// By OID of the digest itself.
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.oid() == *oid)
    }

    const ALL: [Self; 5] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => db::rfc5912::ID_SHA_1,
            Self::Sha224 => db::rfc5912::ID_SHA_224,
            Self::Sha256 => db::rfc5912::ID_SHA_256,
            Self::Sha384 => db::rfc5912::ID_SHA_384,
            Self::Sha512 => db::rfc5912::ID_SHA_512,
        }
    }

    /// `sha256`, as on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// `sha-256`, the micalg parameter (RFC 8551 §3.5.3.2).
    pub fn micalg(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// By either name.
    pub fn from_name(name: &str) -> Option<Self> {
        let plain = name.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|d| d.name() == plain)
    }

    /// Length of the digest in bytes.
    #[allow(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Too weak for new signatures, and flagged in old ones.
    pub fn is_weak(self) -> bool {
        self == Self::Sha1
    }

    pub fn hasher(self) -> Box<dyn DynDigest + Send> {
        self.cloneable()
    }

    fn cloneable(self) -> Box<dyn CloneDigest + Send> {
        match self {
            Self::Sha1 => Box::new(sha1::Sha1::new()),
            Self::Sha224 => Box::new(sha2::Sha224::new()),
            Self::Sha256 => Box::new(sha2::Sha256::new()),
            Self::Sha384 => Box::new(sha2::Sha384::new()),
            Self::Sha512 => Box::new(sha2::Sha512::new()),
        }
    }

    /// Digest of a small value.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        let mut hasher = self.hasher();
        hasher.update(data);
        hasher.finalize().into_vec()
    }
}

/// Ready digests with their algorithms.
pub type Digests = Vec<(DigestAlgorithm, Vec<u8>)>;

/// A digest that can be copied in the middle and stays `Send` (`DynDigest::box_clone` loses that).
trait CloneDigest: DynDigest {
    fn boxed_clone(&self) -> Box<dyn CloneDigest + Send>;
}

impl<D: DynDigest + Clone + Send + 'static> CloneDigest for D {
    fn boxed_clone(&self) -> Box<dyn CloneDigest + Send> {
        Box::new(self.clone())
    }
}

/// Several digests over the same bytes, each at most once. A clone goes on from where the original stands.
pub struct Hashers(Vec<(DigestAlgorithm, Box<dyn CloneDigest + Send>)>);

impl Clone for Hashers {
    fn clone(&self) -> Self {
        Hashers(self.0.iter().map(|(d, h)| (*d, h.boxed_clone())).collect())
    }
}

impl Hashers {
    pub fn new(algorithms: impl IntoIterator<Item = DigestAlgorithm>) -> Self {
        let mut all: Vec<DigestAlgorithm> = algorithms.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        Hashers(all.into_iter().map(|d| (d, d.cloneable())).collect())
    }

    pub fn update(&mut self, data: &[u8]) {
        for (_, hasher) in &mut self.0 {
            hasher.update(data);
        }
    }

    pub fn finish(self) -> Digests {
        self.0
            .into_iter()
            .map(|(d, h)| (d, h.finalize().into_vec()))
            .collect()
    }
}

/// How a signature is made over a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS with MGF1 over the same digest (RFC 8017 §8.1).
    RsaPss {
        /// of the message and of the mask
        digest: DigestAlgorithm,
        /// bytes of salt
        salt_len: usize,
    },
    /// ECDSA; the signature is a DER `Ecdsa-Sig-Value` (RFC 5753 §2.1.1).
    Ecdsa(DigestAlgorithm),
}

impl SignatureScheme {
    pub fn digest(self) -> DigestAlgorithm {
        match self {
            Self::RsaPkcs1(d) | Self::Ecdsa(d) | Self::RsaPss { digest: d, .. } => d,
        }
    }

    /// `rsa-pkcs1`, `rsa-pss` or `ecdsa`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1(_) => "rsa-pkcs1",
            Self::RsaPss { .. } => "rsa-pss",
            Self::Ecdsa(_) => "ecdsa",
        }
    }
}

/// A content cipher: CBC modes belong in EnvelopedData, authenticating ciphers in AuthEnvelopedData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cipher {
    Aes128Cbc,
    Aes192Cbc,
    Aes256Cbc,
    Aes128Gcm,
    Aes192Gcm,
    #[default]
    Aes256Gcm,
    /// RFC 8103
    ChaCha20Poly1305,
    /// Read only, weak (RFC 3370 §5.1).
    DesEde3Cbc,
    /// Read only, weak: 128 effective bits (RFC 3370 §5.2).
    Rc2Cbc,
    /// Read only, weak: 64 effective bits.
    Rc264Cbc,
    /// Read only, weak: 40 effective bits.
    Rc240Cbc,
}

impl Cipher {
    const ALL: [Self; 11] = [
        Self::Aes128Cbc,
        Self::Aes192Cbc,
        Self::Aes256Cbc,
        Self::Aes128Gcm,
        Self::Aes192Gcm,
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
        Self::DesEde3Cbc,
        Self::Rc2Cbc,
        Self::Rc264Cbc,
        Self::Rc240Cbc,
    ];

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Aes128Cbc => db::rfc5911::ID_AES_128_CBC,
            Self::Aes192Cbc => db::rfc5911::ID_AES_192_CBC,
            Self::Aes256Cbc => db::rfc5911::ID_AES_256_CBC,
            Self::Aes128Gcm => db::rfc5911::ID_AES_128_GCM,
            Self::Aes192Gcm => db::rfc5911::ID_AES_192_GCM,
            Self::Aes256Gcm => db::rfc5911::ID_AES_256_GCM,
            Self::ChaCha20Poly1305 => AEAD_CHACHA20_POLY1305,
            Self::DesEde3Cbc => DES_EDE3_CBC,
            Self::Rc2Cbc | Self::Rc264Cbc | Self::Rc240Cbc => RC2_CBC,
        }
    }

    /// By OID; RC2's says nothing about the effective bits, which are in its parameters.
    pub fn from_oid(oid: &ObjectIdentifier) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|c| c.oid() == *oid)
            .ok_or_else(|| Error::UnsupportedAlgorithm(format!("content cipher {oid}")))
    }

    /// `aes256-gcm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Cbc => "aes128-cbc",
            Self::Aes192Cbc => "aes192-cbc",
            Self::Aes256Cbc => "aes256-cbc",
            Self::Aes128Gcm => "aes128-gcm",
            Self::Aes192Gcm => "aes192-gcm",
            Self::Aes256Gcm => "aes256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::DesEde3Cbc => "des-ede3-cbc",
            Self::Rc2Cbc => "rc2-cbc",
            Self::Rc264Cbc => "rc2-64-cbc",
            Self::Rc240Cbc => "rc2-40-cbc",
        }
    }

    /// By name, of those that may be written.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .filter(|c| !c.is_weak())
            .find(|c| c.name().eq_ignore_ascii_case(name))
    }

    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm => 16,
            Self::Aes192Cbc | Self::Aes192Gcm | Self::DesEde3Cbc => 24,
            Self::Aes256Cbc | Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
            Self::Rc2Cbc => 16,
            Self::Rc264Cbc => 8,
            Self::Rc240Cbc => 5,
        }
    }

    pub fn is_authenticated(self) -> bool {
        matches!(
            self,
            Self::Aes128Gcm | Self::Aes192Gcm | Self::Aes256Gcm | Self::ChaCha20Poly1305
        )
    }

    /// Only read, never written.
    pub fn is_weak(self) -> bool {
        matches!(
            self,
            Self::DesEde3Cbc | Self::Rc2Cbc | Self::Rc264Cbc | Self::Rc240Cbc
        )
    }
}

/// id-alg-AEADChaCha20Poly1305 (RFC 8103 §1.1).
const AEAD_CHACHA20_POLY1305: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.3.18");
/// des-ede3-cbc and rc2-cbc (RFC 3370 §5).
const DES_EDE3_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.3.7");
const RC2_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.3.2");
/// id-alg-CMS3DESwrap (RFC 3370 §4.3.1).
const CMS_3DES_WRAP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.3.6");

/// AES key wrap (RFC 3394) by the length of its key, and an older one that is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWrap {
    Aes128,
    Aes192,
    Aes256,
    /// Triple-DES key wrap (RFC 3217 §3), for 3DES keys only. Weak.
    Des3,
}

impl KeyWrap {
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        [Self::Aes128, Self::Aes192, Self::Aes256, Self::Des3]
            .into_iter()
            .find(|w| w.oid() == *oid)
    }

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Aes128 => db::rfc5911::ID_AES_128_WRAP,
            Self::Aes192 => db::rfc5911::ID_AES_192_WRAP,
            Self::Aes256 => db::rfc5911::ID_AES_256_WRAP,
            Self::Des3 => CMS_3DES_WRAP,
        }
    }

    /// The wrap as strong as the key it wraps.
    pub fn for_key_len(len: usize) -> Self {
        match len {
            0..=16 => Self::Aes128,
            17..=24 => Self::Aes192,
            _ => Self::Aes256,
        }
    }

    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::Des3 => 24,
            Self::Aes256 => 32,
        }
    }

    /// Bytes that a wrapped key is longer than the key.
    pub fn overhead(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 8,
            Self::Des3 => 16,
        }
    }

    /// Only read, never written.
    pub fn is_weak(self) -> bool {
        self == Self::Des3
    }
}
