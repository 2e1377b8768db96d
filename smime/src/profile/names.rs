//! The words of a profile's file.

use std::fmt;

use super::KeyRule;
use crate::algorithm::{Cipher, DigestAlgorithm, KeyWrap, SignatureScheme};
use crate::capability::Announcement;
use crate::enveloped::Kdf;

/// A signature scheme without its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    RsaPkcs1,
    RsaPss,
    Ecdsa,
    Ed25519,
    MlDsa,
}

impl SignatureKind {
    const ALL: [Self; 5] = [
        Self::RsaPkcs1,
        Self::RsaPss,
        Self::Ecdsa,
        Self::Ed25519,
        Self::MlDsa,
    ];

    pub fn of(scheme: SignatureScheme) -> Self {
        match scheme {
            SignatureScheme::RsaPkcs1(_) => Self::RsaPkcs1,
            SignatureScheme::RsaPss { .. } => Self::RsaPss,
            SignatureScheme::Ecdsa(_) => Self::Ecdsa,
            SignatureScheme::Ed25519 => Self::Ed25519,
            SignatureScheme::MlDsa { .. } => Self::MlDsa,
        }
    }
}

impl fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RsaPkcs1 => "rsa-pkcs1",
            Self::RsaPss => "rsa-pss",
            Self::Ecdsa => "ecdsa",
            Self::Ed25519 => "ed25519",
            Self::MlDsa => "ml-dsa",
        })
    }
}

/// How a content-encryption key reaches its recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyManagement {
    RsaPkcs1,
    RsaOaep,
    Ecdh,
    Kem,
}

impl KeyManagement {
    const ALL: [Self; 4] = [Self::RsaPkcs1, Self::RsaOaep, Self::Ecdh, Self::Kem];

    /// `rsa-pkcs1`, `rsa-oaep`, `ecdh` or `kem`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1 => "rsa-pkcs1",
            Self::RsaOaep => "rsa-oaep",
            Self::Ecdh => "ecdh",
            Self::Kem => "kem",
        }
    }
}

impl fmt::Display for KeyManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What may stand in a list.
pub(super) trait Word: Sized {
    /// `a digest`
    const WHAT: &'static str;

    fn from_word(word: &str) -> Option<Self>;

    /// What there is, for people.
    fn known() -> String;

    /// Why this may not stand below `[write]`, whatever the file says.
    fn never_written(&self) -> Option<&'static str> {
        None
    }
}

fn find<T: fmt::Display>(all: impl IntoIterator<Item = T>, word: &str) -> Option<T> {
    all.into_iter().find(|it| it.to_string() == word)
}

fn list<T: fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|it| it.to_string()).collect();
    all.join(", ")
}

const BROKEN: &str = "is broken: it is only read";
const ONLY_READ: &str = "is only read by this version";

impl Word for DigestAlgorithm {
    const WHAT: &'static str = "a digest";

    fn from_word(word: &str) -> Option<Self> {
        find(Self::ALL, word)
    }

    fn known() -> String {
        list(Self::ALL)
    }

    fn never_written(&self) -> Option<&'static str> {
        match self {
            // a mask and RSAES-OAEP may well be made with it: those lists are not asked
            Self::Md5 | Self::Sha1 => Some(BROKEN),
            Self::Shake256 => Some(ONLY_READ),
            _ => None,
        }
    }
}

impl Word for SignatureKind {
    const WHAT: &'static str = "a signature scheme";

    fn from_word(word: &str) -> Option<Self> {
        find(Self::ALL, word)
    }

    fn known() -> String {
        list(Self::ALL)
    }
}

impl Word for KeyManagement {
    const WHAT: &'static str = "a way of key management";

    fn from_word(word: &str) -> Option<Self> {
        find(Self::ALL, word)
    }

    fn known() -> String {
        list(Self::ALL)
    }
}

impl Word for Cipher {
    const WHAT: &'static str = "a cipher";

    fn from_word(word: &str) -> Option<Self> {
        find(Self::ALL, word)
    }

    fn known() -> String {
        list(Self::ALL)
    }

    fn never_written(&self) -> Option<&'static str> {
        self.is_only_read().then_some(BROKEN)
    }
}

impl Word for Kdf {
    const WHAT: &'static str = "a key derivation";

    fn from_word(word: &str) -> Option<Self> {
        find(Self::all(), word)
    }

    fn known() -> String {
        list(Self::all())
    }
}

impl Word for KeyWrap {
    const WHAT: &'static str = "a key wrap";

    fn from_word(word: &str) -> Option<Self> {
        find(Self::ALL, word)
    }

    fn known() -> String {
        list(Self::ALL)
    }

    fn never_written(&self) -> Option<&'static str> {
        (*self == Self::Des3).then_some(BROKEN)
    }
}

impl Word for KeyRule {
    const WHAT: &'static str = "a kind of key";

    fn from_word(word: &str) -> Option<Self> {
        Self::from_name(word)
    }

    fn known() -> String {
        KeyRule::known()
    }

    fn never_written(&self) -> Option<&'static str> {
        // RFC 8551 §4.1
        matches!(self, Self::Rsa { min: ..2048, .. }).then_some("begins below 2048 bits")
    }
}

impl Word for Announcement {
    const WHAT: &'static str = "a capability";

    fn from_word(word: &str) -> Option<Self> {
        Self::from_name(word)
    }

    fn known() -> String {
        Self::known()
    }
}
