//! A PIV card (NIST SP 800-73-4) in software, in a virtual reader (vsmartcard's vpcd) of the real pcscd: for testing what a
//! card does to the programs that use it, with faults on command.
//!
//! ```text
//! opensc-pkcs11.so ── pcscd ── vpcd ──TCP── Reader ── Card ── Keys (files)
//!                                             │          └── Faults
//!                                             └── control socket: remove, insert, delay …
//! ```
//! It is no secure card: its keys lie in plain files.

pub mod apdu;
pub mod card;
pub mod control;
pub mod faults;
pub mod keys;
pub mod pcscd;
pub mod reader;
pub mod stranger;
mod tlv;

/// One visible line: a test was not run, and why. Not by eprintln, for the harness hides what a passing test prints so.
pub fn not_run(test: &str, why: &str) {
    let line = format!("NOT RUN: {test}: {why}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// Why a card could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{path}: {reason}")]
    File {
        path: std::path::PathBuf,
        reason: String,
    },
    #[error("{0}: rsa1024, rsa2048, rsa3072, p256, p384")]
    Algorithm(String),
    #[error("{0}")]
    Key(String),
}

pub type Result<T> = std::result::Result<T, Error>;
