//! Certificate path validation for S/MIME (RFC 5280, RFC 8550), on top of certval.
//!
//! It decides whether a certificate chains to one of the configured trust anchors, is good for mail at a time, and is
//! not revoked by the CRLs at hand. It fetches nothing, stores nothing and never panics on what a message brings: the
//! search for a path is our own, bounded in paths, depth, signature checks and time; certval judges each path found.
#![forbid(unsafe_code)]

mod anchors;
mod check;
mod crls;
mod names;
mod path;
mod search;
mod sender;
mod strength;
mod verify;

use std::path::PathBuf;

use privyseal_smime::Certificate;

pub use anchors::Anchors;
pub use const_oid::ObjectIdentifier;
pub use privyseal_smime::verdict::ChainState;
pub use sender::sender_matches;

/// Candidate paths judged for one certificate.
pub const PATHS_MAX: usize = 64;
/// Certificates between a leaf and its anchor; with the two, a path has 16 at most (certval's ceiling is the same).
pub const INTERMEDIATES_IN_PATH_MAX: usize = 14;
/// Certificates of a message or a store that are looked at for one leaf: the first so many.
pub const INTERMEDIATES_MAX: usize = 256;
/// CRLs looked at for one leaf: the first so many.
pub const CRLS_MAX: usize = 256;

/// Why trust anchors could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot read trust anchors from {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} holds no certificate in PEM or DER: {reason}")]
    NotCertificates { path: PathBuf, reason: String },
    #[error("a trust anchor is not a certificate this version understands: {0}")]
    Unusable(String),
}

/// What a certificate is to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A fitting key usage, and emailProtection, anyExtendedKeyUsage or no extended key usage at all (RFC 8550 §4.4)
    Email,
    /// Neither key usages nor extended key usages of the leaf are looked at
    Any,
}

/// What the key was used for; decides which key usage bits are wanted (RFC 8550 §4.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// digitalSignature or nonRepudiation
    Sign,
    /// keyEncipherment or keyAgreement
    Encrypt,
}

/// How much revocation information is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// None is looked at
    Off,
    /// A revoked certificate is bad; missing information is not
    Soft,
    /// The leaf's status must be known
    Leaf,
    /// The status of every certificate below the anchor must be known
    Required,
}

/// What a caller may ask of a path beyond the ordinary (the inputs of RFC 5280 §6.1.1, and openssl's options of the
/// same names). The default is right for anchors that the owner configured.
#[derive(Debug, Clone)]
pub struct PathOptions {
    /// True (default): every anchor ends a path. False: only a self-signed one does, the others are mere intermediates
    pub partial_chain: bool,
    /// Intermediates allowed between leaf and anchor; [`INTERMEDIATES_IN_PATH_MAX`] at most
    pub max_depth: Option<usize>,
    /// openssl's security levels 0 (anything goes) to 5 (256 bits), for keys and the signatures below the anchor.
    /// 1 is 80 bits (no MD5, RSA ≥ 1024), 2 is 112 bits (no SHA-1, RSA ≥ 2048), 3 is 128 bits (RSA ≥ 3072).
    /// None: no SHA-1, issuers' RSA ≥ 2048, the leaf's ≥ 1024
    pub auth_level: Option<u8>,
    /// Acceptable certificate policies; empty: any
    pub policies: Vec<ObjectIdentifier>,
    /// The path must be valid for one of the policies
    pub require_explicit_policy: bool,
    pub inhibit_policy_mapping: bool,
    pub inhibit_any_policy: bool,
}

impl Default for PathOptions {
    fn default() -> Self {
        PathOptions {
            partial_chain: true,
            max_depth: None,
            auth_level: None,
            policies: Vec::new(),
            require_explicit_policy: false,
            inhibit_policy_mapping: false,
            inhibit_any_policy: false,
        }
    }
}

/// One question. `at` is in seconds since 1970 (UTC); CRLs are DER or PEM. Intermediates that are trusted to be the
/// right ones (configured, from tokens) go before those of a message: the first ones are looked at first.
#[derive(Debug, Clone, Copy)]
pub struct PathQuery<'a> {
    pub at: u64,
    pub leaf: &'a Certificate,
    pub intermediates: &'a [Certificate],
    pub crls: &'a [Vec<u8>],
    pub purpose: Purpose,
    pub usage: Usage,
    pub revocation: Revocation,
    pub options: &'a PathOptions,
}

/// The answer. `error` is one of `expired`, `not-yet-valid`, `revoked`, `untrusted`, `incomplete`, `usage`,
/// `name-constraints`, `basic-constraints`, `path-length`, `signature`, `policy`, `weak`, `critical-extension`,
/// `malformed`, `limit`, `revocation-unknown`, `name-chaining`; `path` runs from the leaf to the anchor.
#[derive(Debug, Clone)]
pub struct PathOutcome {
    pub chain: ChainState,
    pub error: Option<String>,
    /// good, revoked, unknown or not-checked
    pub revocation: String,
    pub path: Vec<Certificate>,
    /// What was looked at, for people
    pub steps: Vec<String>,
}
