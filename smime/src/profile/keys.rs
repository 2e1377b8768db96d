//! Which keys a profile takes: `ec:p256`, or RSA by its length, `rsa:2048-16384` or `rsa:2048-16384/8`.

use std::fmt;

use crate::algorithm::MlDsa;
use crate::cert::{Brainpool, Curve, KeyType, MlKem};

/// One kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// length of the modulus in bits
    Rsa {
        min: usize,
        max: usize,
        /// the length is a multiple of this
        multiple_of: usize,
    },
    Kind(KeyType),
}

/// All but RSA.
const KINDS: [KeyType; 13] = [
    KeyType::Ec(Curve::P256),
    KeyType::Ec(Curve::P384),
    KeyType::Ec(Curve::P521),
    KeyType::Brainpool(Brainpool::P256r1),
    KeyType::Brainpool(Brainpool::P384r1),
    KeyType::Ed25519,
    KeyType::X25519,
    KeyType::MlKem(MlKem::MlKem512),
    KeyType::MlKem(MlKem::MlKem768),
    KeyType::MlKem(MlKem::MlKem1024),
    KeyType::MlDsa(MlDsa::MlDsa44),
    KeyType::MlDsa(MlDsa::MlDsa65),
    KeyType::MlDsa(MlDsa::MlDsa87),
];

impl KeyRule {
    pub(super) fn from_name(text: &str) -> Option<Self> {
        let Some(range) = text.strip_prefix("rsa:") else {
            let kind = KINDS.into_iter().find(|kind| kind.to_string() == text)?;
            return Some(KeyRule::Kind(kind));
        };
        let (range, multiple_of) = match range.split_once('/') {
            Some((range, multiple)) => (range, multiple.parse().ok()?),
            None => (range, 1),
        };
        let (min, max) = range.split_once('-')?;
        let (min, max) = (min.parse().ok()?, max.parse().ok()?);
        (min <= max && multiple_of > 0).then_some(KeyRule::Rsa {
            min,
            max,
            multiple_of,
        })
    }

    /// What may stand in a file, for people.
    pub(super) fn known() -> String {
        let kinds: Vec<String> = KINDS.iter().map(ToString::to_string).collect();
        format!("rsa:MIN-MAX, rsa:MIN-MAX/8, {}", kinds.join(", "))
    }

    pub fn matches(self, key: KeyType) -> bool {
        match (self, key) {
            (
                KeyRule::Rsa {
                    min,
                    max,
                    multiple_of,
                },
                KeyType::Rsa(bits),
            ) => (min..=max).contains(&bits) && bits.checked_rem(multiple_of) == Some(0),
            (KeyRule::Kind(kind), key) => kind == key,
            _ => false,
        }
    }
}

impl fmt::Display for KeyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyRule::Rsa {
                min,
                max,
                multiple_of: 1,
            } => write!(f, "rsa:{min}-{max}"),
            KeyRule::Rsa {
                min,
                max,
                multiple_of,
            } => write!(f, "rsa:{min}-{max}/{multiple_of}"),
            KeyRule::Kind(kind) => kind.fmt(f),
        }
    }
}
