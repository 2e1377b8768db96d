//! What can go wrong, and what to do about it.

use std::path::Path;

/// Errors of this tool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder operation failed.
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
    /// The token refused.
    #[error("token: {0}")]
    Token(#[from] cryptoki::error::Error),
    /// A certificate or CRL could not be made.
    #[error("making the demo PKI: {0}")]
    Pki(String),
    /// An input file is not what it should be.
    #[error("{file}: {problem}")]
    Input { file: String, problem: String },
    /// The command line contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// SoftHSM is not installed.
    #[error("SoftHSM's library libsofthsm2.so was not found")]
    NoSoftHsm,
    /// DIR is not a folder that `init` made.
    #[error("{0} was not made by `privyseal-softhsm init`")]
    NotOurs(String),
    /// DIR holds other things under the names that we need.
    #[error("{0} exists and was not made by `privyseal-softhsm init`: nothing was changed")]
    Occupied(String),
    /// The token is not in the folder.
    #[error("no token `{label}` in {dir}")]
    NoToken { label: String, dir: String },
}

impl Error {
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Error::Io {
            what: what.into(),
            source,
        }
    }

    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Error::io(path.display().to_string(), source)
    }

    pub fn input(path: &Path, problem: impl Into<String>) -> Self {
        Error::Input {
            file: path.display().to_string(),
            problem: problem.into(),
        }
    }

    pub fn pki(problem: impl std::fmt::Display) -> Self {
        Error::Pki(problem.to_string())
    }

    /// What the user can do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::NoSoftHsm => {
                Some("install the package softhsm2, or say where it is: --module LIB.so")
            }
            Error::NotOurs(_) | Error::NoToken { .. } => {
                Some("make a token first: privyseal-softhsm init --dir DIR")
            }
            Error::Occupied(_) => Some("choose an empty folder"),
            Error::Token(_) => Some("end every daemon that uses this token, and try again"),
            _ => None,
        }
    }
}
