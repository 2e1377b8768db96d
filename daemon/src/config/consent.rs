//! `[consent]`, `[key-interface]`, `[audit]`: which uses of private keys a person is asked for, which raw ones there are, and how
//! much is kept of what was done.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consent {
    pub mode: ConsentMode,
}

/// What a person is asked for beside PINs; the later, the stricter (design rule 18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsentMode {
    /// nothing: an unlocked token serves the whole session
    #[default]
    Session,
    /// the first use of a token by each connection
    Connection,
    /// every use
    Each,
}

/// Methods of `org.privyseal1.Key` that are there; the interface is there when one of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeyInterface {
    pub sign_digest: bool,
    pub unwrap_key: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Audit {
    /// of all files of the trail together; the oldest records go first
    #[serde(deserialize_with = "size")]
    pub max_kib: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { max_kib: 16 * 1024 }
    }
}

impl ConsentMode {
    pub fn name(self) -> &'static str {
        match self {
            ConsentMode::Session => "session",
            ConsentMode::Connection => "connection",
            ConsentMode::Each => "each",
        }
    }
}

impl KeyInterface {
    pub fn is_there(self) -> bool {
        self.sign_digest || self.unwrap_key
    }
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        kib @ 16..=1_048_576 => Ok(kib),
        kib => Err(D::Error::custom(format!(
            "{kib} is not within 16 and 1048576 KiB"
        ))),
    }
}
