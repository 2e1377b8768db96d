//! Errors of the libraries below, as the bus names them.

use privyseal_proto::{ErrorName, Failure};
use privyseal_smime::{Error, KeyError};

/// The named error of an S/MIME operation.
pub fn of_smime(error: Error) -> Failure {
    let name = match &error {
        Error::Io(_) | Error::InputChanged => ErrorName::Failed,
        Error::Malformed(_) | Error::LimitExceeded { .. } | Error::NotCompressed => {
            ErrorName::MalformedMessage
        }
        Error::NotSigned => ErrorName::NotSigned,
        Error::NotEncrypted => ErrorName::NotEncrypted,
        Error::ContentMissing | Error::InvalidOption(_) => ErrorName::InvalidArgument,
        Error::UnsupportedAlgorithm(_) => ErrorName::UnsupportedAlgorithm,
        Error::WeakAlgorithm(_) => ErrorName::WeakAlgorithm,
        Error::Refused(_) => ErrorName::PolicyDenied,
        Error::NoRecipientMatch => ErrorName::NoRecipientMatch,
        Error::DecryptionFailed => ErrorName::DecryptionFailed,
        Error::NoSpace => ErrorName::NoSpace,
        Error::Key(key) => ErrorName::parse(key.name).unwrap_or(ErrorName::TokenError),
        Error::Certificate(_) => ErrorName::UsageNotAllowed,
        Error::Cancelled => ErrorName::Cancelled,
        Error::Timeout => ErrorName::Timeout,
        _ => ErrorName::Failed,
    };
    Failure::new(name, error.to_string())
}

/// Reading or writing a client's descriptor failed; one of our errors may travel inside.
pub fn of_io(error: std::io::Error) -> Failure {
    of_smime(error.into())
}

/// The other way, through the S/MIME library's key traits.
pub fn to_key_error(failure: Failure) -> KeyError {
    KeyError::new(failure.name.short(), failure.message)
}
