//! PKCS#11 for the daemon: finds modules, runs each in a worker process, and asks it for lists, logins and key operations.
//!
//! This side (the client) never loads a module. All calls block the calling thread and have a deadline; they may be made from
//! many threads at once, and are answered in parallel where the module allows it.

mod client;
mod discover;
mod error;
mod frame;
mod protocol;
mod quirks;
mod readers;
pub mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use client::{Event, Module, ModuleStatus};
pub use discover::discover;
pub use error::{Error, Result};

/// A module as the configuration or a p11-kit module file names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleConfig {
    pub path: PathBuf,
    /// set in this module's workers only
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// CK_C_INITIALIZE_ARGS.pReserved (NSS softokn; p11-kit's `x-init-reserved`)
    #[serde(default, rename = "init-args")]
    pub init_args: Option<String>,
    /// what the confined worker may read, write, use
    #[serde(default)]
    pub read: Vec<PathBuf>,
    #[serde(default)]
    pub write: Vec<PathBuf>,
    #[serde(default)]
    pub devices: Vec<PathBuf>,
    #[serde(default)]
    pub network: bool,
    /// `unlocked` or `never`
    #[serde(default)]
    pub hold: Option<String>,
    /// Seconds that one call may take before the worker is killed; 30 where it is not said.
    #[serde(default)]
    pub deadline: Option<u32>,
    /// A folder in which wrong PINs are counted across restarts, for tokens that show no count; not from the configuration.
    #[serde(skip)]
    pub counts: Option<PathBuf>,
}

/// C_GetInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct ModuleInfo {
    #[serde(deserialize_with = "protocol::text")]
    pub description: String,
    #[serde(deserialize_with = "protocol::text")]
    pub manufacturer: String,
    /// `2.6`
    #[serde(deserialize_with = "protocol::text")]
    pub library_version: String,
}

/// Names a token for as long as it exists: hex of a hash of serial, label and module (dbus.md), stable over replug.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
pub struct TokenId(pub String);

/// A present token.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct TokenInfo {
    pub id: TokenId,
    #[serde(deserialize_with = "protocol::text")]
    pub label: String,
    #[serde(deserialize_with = "protocol::text")]
    pub serial: String,
    #[serde(deserialize_with = "protocol::text")]
    pub manufacturer: String,
    #[serde(deserialize_with = "protocol::text")]
    pub model: String,
    /// slot description
    #[serde(deserialize_with = "protocol::text")]
    pub reader: String,
    pub initialized: bool,
    pub login_required: bool,
    /// a PIN pad (CKF_PROTECTED_AUTHENTICATION_PATH)
    pub protected_auth_path: bool,
    pub user_pin_initialized: bool,
    /// logged in by us
    pub unlocked: bool,
    pub pin_min: u32,
    pub pin_max: u32,
    pub pin_count_low: bool,
    pub pin_final_try: bool,
    pub pin_locked: bool,
    pub pin_to_be_changed: bool,
    /// of the SO PIN, or PUK
    pub so_pin_final_try: bool,
    pub so_pin_locked: bool,
    /// the worker keeps the PIN for keys that want it at every use (see [`Batch`])
    pub pin_kept: bool,
    /// CKA_IDs (hex) of private keys that no certificate on the token belongs to, as far as they are seen: of an unlocked token
    pub lone_keys: Vec<String>,
    /// names as in PKCS#11 (`CKM_RSA_PKCS`); `0x…` where we have none
    pub mechanisms: Vec<String>,
}

/// A private key, found anew by CKA_ID and public key whenever its handle is stale.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct KeyRef {
    /// CKA_ID
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    /// SubjectPublicKeyInfo of its certificate, DER: which of several keys with one CKA_ID, and what kind
    #[serde(with = "serde_bytes")]
    pub spki: Vec<u8>,
}

/// A certificate on a token.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct TokenCertificate {
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    #[serde(deserialize_with = "protocol::text")]
    pub label: String,
    /// A private key belongs to it. Before login it is what public objects suggest (a public key of the same CKA_ID, else
    /// "yes" for a non-CA certificate with a CKA_ID); after login what was found.
    pub has_private_key: bool,
    /// what the private (before login: public) key's CKA_SIGN / CKA_DECRYPT / CKA_DERIVE say; both true where nothing says
    pub can_sign: bool,
    pub can_decrypt: bool,
    /// CKA_ALWAYS_AUTHENTICATE
    pub always_authenticate: bool,
}

/// How long one entry of a PIN serves keys that want it at every use (CKA_ALWAYS_AUTHENTICATE): until the first of both bounds,
/// and never past a lock. The worker keeps the PIN meanwhile, in memory that is not swapped out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Batch {
    /// uses, the one that the PIN was entered for among them
    pub uses: Option<u32>,
    pub seconds: Option<u32>,
}

/// A PIN for one use of a key that wants it at every use.
pub struct KeyPin {
    pub pin: zeroize::Zeroizing<Vec<u8>>,
    /// a person has confirmed that it may be the last try
    pub final_try: bool,
}

/// A hash of PKCS#1 signatures, PSS and OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum SignScheme {
    /// the worker adds the DigestInfo and uses CKM_RSA_PKCS
    RsaPkcs1(Hash),
    RsaPss {
        hash: Hash,
        salt_len: u32,
    },
    /// CKM_ECDSA over the digest; the answer is a DER Ecdsa-Sig-Value
    Ecdsa,
    /// CKM_EDDSA, pure Ed25519: over the message itself, of at most [`MAX_MESSAGE`] bytes
    Eddsa,
    /// CKM_ML_DSA with an empty context (FIPS 204 §5.2): over the message itself, of at most [`MAX_MESSAGE`] bytes
    MlDsa,
}

/// Longest message that is signed without being digested, bytes.
pub const MAX_MESSAGE: usize = 32 * 1024;

/// How a wrapped key is opened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum UnwrapScheme {
    RsaPkcs1,
    RsaOaep {
        hash: Hash,
        mgf: Hash,
        label: Vec<u8>,
    },
}
