//! Exit codes, and which error has which.

use privyseal_proto::ErrorName;

/// The contract with scripts (docs/cli.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// Also: unreadable, not CMS.
    Failed = 1,
    Usage = 2,
    /// A signature that is not good.
    NotGood = 3,
    /// A token or its PIN is needed, or wrong.
    Token = 4,
    /// By policy, or by the user.
    Refused = 5,
    Unreachable = 6,
    /// Try again.
    Temporary = 7,
    /// A recipient or certificate.
    NotFound = 8,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Every name of the daemon's errors; a test sees that none is missing.
const TABLE: [(ErrorName, Exit); 40] = [
    (ErrorName::Failed, Exit::Failed),
    (ErrorName::InvalidArgument, Exit::Usage),
    (ErrorName::NotSupported, Exit::Failed),
    (ErrorName::NotAuthorized, Exit::Refused),
    (ErrorName::PolicyDenied, Exit::Refused),
    (ErrorName::Cancelled, Exit::Refused),
    (ErrorName::Timeout, Exit::Temporary),
    (ErrorName::Busy, Exit::Temporary),
    (ErrorName::NoAgent, Exit::Token),
    (ErrorName::TokenNotPresent, Exit::Token),
    (ErrorName::TokenRemoved, Exit::Token),
    (ErrorName::TokenError, Exit::Token),
    (ErrorName::PinRequired, Exit::Token),
    (ErrorName::BadPin, Exit::Token),
    (ErrorName::BadPinFewTriesLeft, Exit::Token),
    (ErrorName::BadPinFinalTry, Exit::Token),
    (ErrorName::PinLocked, Exit::Token),
    (ErrorName::PinExpired, Exit::Token),
    (ErrorName::PinInvalid, Exit::Token),
    (ErrorName::ProtectedAuthPathNeeded, Exit::Token),
    (ErrorName::UserPresenceNeeded, Exit::Token),
    (ErrorName::ActionTimeout, Exit::Token),
    (ErrorName::NoSuchCertificate, Exit::NotFound),
    (ErrorName::NoSecretKey, Exit::Token),
    (ErrorName::AmbiguousCertificate, Exit::NotFound),
    (ErrorName::CertificateExpired, Exit::Failed),
    (ErrorName::CertificateRevoked, Exit::Failed),
    (ErrorName::CertificateUntrusted, Exit::Failed),
    (ErrorName::UsageNotAllowed, Exit::Failed),
    (ErrorName::RecipientMissing, Exit::NotFound),
    (ErrorName::RecipientUnusable, Exit::NotFound),
    (ErrorName::UnsupportedAlgorithm, Exit::Failed),
    (ErrorName::WeakAlgorithm, Exit::Failed),
    (ErrorName::MalformedMessage, Exit::Failed),
    (ErrorName::NotSigned, Exit::Failed),
    (ErrorName::NotEncrypted, Exit::Failed),
    (ErrorName::DecryptionFailed, Exit::Failed),
    (ErrorName::NoRecipientMatch, Exit::Failed),
    (ErrorName::InputTooLarge, Exit::Failed),
    (ErrorName::NoSpace, Exit::Failed),
];

/// The exit code of a named error.
pub fn of(name: ErrorName) -> Exit {
    TABLE
        .iter()
        .find(|(n, _)| *n == name)
        .map_or(Exit::Failed, |(_, exit)| *exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_one_exit_code() {
        for name in ErrorName::ALL {
            let rows = TABLE.iter().filter(|(n, _)| n == name).count();
            assert_eq!(rows, 1, "{name:?}");
        }
    }

    #[test]
    fn the_reference_names_every_error_with_its_code() {
        let reference = include_str!("../../docs/cli.md");
        let (_, table) = reference.split_once("## Exit codes").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        for (name, exit) in TABLE {
            let row = table
                .lines()
                .find(|line| {
                    line.split(|c: char| !c.is_alphanumeric())
                        .any(|word| word == name.short())
                })
                .unwrap_or_else(|| panic!("{name:?} is not in docs/cli.md"));
            assert!(
                row.starts_with(&format!("| {} ", exit.code())),
                "{name:?}: {row}"
            );
        }
    }
}
