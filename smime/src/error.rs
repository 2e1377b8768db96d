//! The one error type of this crate.

use std::io;

use crate::key::KeyError;

/// What went wrong. A bad *signature* is a result ([`crate::VerifyOutcome`]), not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// Not BER, not MIME, or CMS that contradicts its standard.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Options that do not go together, in words.
    #[error("{0}")]
    InvalidOption(String),
    /// One of [`crate::limits`] was passed.
    #[error("the message has more than {limit} {what}")]
    LimitExceeded {
        /// what there is too much of
        what: &'static str,
        /// how much is allowed
        limit: u64,
    },
    /// The input file changed between the pass that checked it and the pass that used it.
    #[error("the input changed while it was read")]
    InputChanged,
    /// The message carries no signature.
    #[error("the message is not signed")]
    NotSigned,
    /// The message is not encrypted.
    #[error("the message is not encrypted")]
    NotEncrypted,
    /// The message is not compressed.
    #[error("the message is not compressed")]
    NotCompressed,
    /// A signature over content that was not given.
    #[error("a detached signature: the content it covers was not given")]
    ContentMissing,
    /// An algorithm this crate does not know.
    #[error("unsupported algorithm: {0}")]
    UnsupportedAlgorithm(String),
    /// An algorithm too weak to use.
    #[error("algorithm too weak: {0}")]
    WeakAlgorithm(String),
    /// An algorithm that a profile does not allow, though nothing is known against it.
    #[error("{0}")]
    Refused(String),
    /// None of our keys is among the recipients.
    #[error("no key on a present token is a recipient of this message")]
    NoRecipientMatch,
    /// The one answer to everything that fails after a recipient was found (RFC 8551 §6).
    #[error("decryption failed")]
    DecryptionFailed,
    /// The disk of the spool or of the output is full.
    #[error("no space left on the device")]
    NoSpace,
    /// A key operation failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate that cannot be used for what was asked.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// No bytes moved for too long.
    #[error("no progress on the input or output within the deadline")]
    Timeout,
}

/// Short for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Error::Malformed(what.into())
    }

    /// Whether it says what is wrong with the message, and not that keys, streams or the caller were in the way. What failed
    /// after a recipient was found is the one answer to everything, and says nothing.
    pub fn is_of_the_message(&self) -> bool {
        matches!(
            self,
            Error::Malformed(_)
                | Error::LimitExceeded { .. }
                | Error::NotSigned
                | Error::NotEncrypted
                | Error::NotCompressed
                | Error::ContentMissing
                | Error::UnsupportedAlgorithm(_)
                | Error::WeakAlgorithm(_)
                | Error::Certificate(_)
        )
    }
}

/// An [`Error`] that travelled through `std::io` comes back as it was.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            match error.into_inner().map(|inner| inner.downcast::<Error>()) {
                Some(Ok(ours)) => return *ours,
                _ => return Error::Cancelled,
            }
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace,
            _ => Error::Io(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(inner) => inner,
            other => io::Error::other(other),
        }
    }
}

impl From<der::Error> for Error {
    fn from(error: der::Error) -> Self {
        Error::Malformed(error.to_string())
    }
}
