//! Message digests, one by one and several over the same bytes.

use std::fmt;

use const_oid::db;
use der::asn1::ObjectIdentifier;
use sha2::digest::consts::U64;
use sha2::digest::{Digest, DynDigest, XofFixedWrapper};

/// A message digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// RFC 1321. Read only: never used for new signatures.
    Md5,
    /// FIPS 180-4. Read only: never used for new signatures.
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    /// FIPS 202
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    /// SHAKE256 with 64 bytes of output (RFC 8702 §3.1). Read only, with ML-DSA (RFC 9882 §3.3).
    Shake256,
}

impl DigestAlgorithm {
    pub(crate) const ALL: [Self; 11] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
        Self::Shake256,
    ];

    /// By OID of the digest itself.
    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.oid() == *oid)
    }

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Md5 => db::rfc5912::ID_MD_5,
            Self::Sha1 => db::rfc5912::ID_SHA_1,
            Self::Sha224 => db::rfc5912::ID_SHA_224,
            Self::Sha256 => db::rfc5912::ID_SHA_256,
            Self::Sha384 => db::rfc5912::ID_SHA_384,
            Self::Sha512 => db::rfc5912::ID_SHA_512,
            Self::Sha3_224 => db::fips202::ID_SHA_3_224,
            Self::Sha3_256 => db::fips202::ID_SHA_3_256,
            Self::Sha3_384 => db::fips202::ID_SHA_3_384,
            Self::Sha3_512 => db::fips202::ID_SHA_3_512,
            Self::Shake256 => db::fips202::ID_SHAKE_256,
        }
    }

    /// `sha256` or `sha3-256`, as on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_224 => "sha3-224",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
            Self::Shake256 => "shake256",
        }
    }

    /// `sha-256`, the micalg parameter (RFC 8551 §3.5.3.2, and its registry for what came later).
    pub fn micalg(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
            other => other.name(),
        }
    }

    /// By either name.
    pub fn from_name(name: &str) -> Option<Self> {
        let plain = |name: &str| name.to_ascii_lowercase().replace('-', "");
        let wanted = plain(name);
        Self::ALL.into_iter().find(|d| plain(d.name()) == wanted)
    }

    /// Length of the digest in bytes.
    #[allow(clippy::len_without_is_empty, reason = "no digest is empty")]
    pub fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 | Self::Shake256 => 64,
        }
    }

    /// Collisions can be made: no profile signs with it.
    pub fn is_weak(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }

    pub fn hasher(self) -> Box<dyn DynDigest + Send> {
        self.cloneable()
    }

    fn cloneable(self) -> Box<dyn CloneDigest + Send> {
        match self {
            Self::Md5 => Box::new(md5::Md5::new()),
            Self::Sha1 => Box::new(sha1::Sha1::new()),
            Self::Sha224 => Box::new(sha2::Sha224::new()),
            Self::Sha256 => Box::new(sha2::Sha256::new()),
            Self::Sha384 => Box::new(sha2::Sha384::new()),
            Self::Sha512 => Box::new(sha2::Sha512::new()),
            Self::Sha3_224 => Box::new(sha3::Sha3_224::new()),
            Self::Sha3_256 => Box::new(sha3::Sha3_256::new()),
            Self::Sha3_384 => Box::new(sha3::Sha3_384::new()),
            Self::Sha3_512 => Box::new(sha3::Sha3_512::new()),
            Self::Shake256 => Box::new(XofFixedWrapper::<sha3::Shake256, U64>::default()),
        }
    }

    /// Digest of a small value.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        let mut hasher = self.hasher();
        hasher.update(data);
        hasher.finalize().into_vec()
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
