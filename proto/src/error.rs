//! The errors of the bus: stable names, a message for people, and what to do next.

use zbus::message::{Header, Message};
use zbus::names;

macro_rules! error_names {
    ($($name:ident => $hint:expr,)*) => {
        /// The last part of `org.privyseal1.Error.…`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorName { $($name,)* }

        impl ErrorName {
            /// All of them.
            pub const ALL: &[ErrorName] = &[$(ErrorName::$name,)*];

            /// `BadPin`
            pub fn short(self) -> &'static str {
                match self { $(ErrorName::$name => stringify!($name),)* }
            }

            /// `org.privyseal1.Error.BadPin`
            pub fn full(self) -> &'static str {
                match self { $(ErrorName::$name => concat!("org.privyseal1.Error.", stringify!($name)),)* }
            }

            /// What the user can do next; empty where the message says all.
            pub fn hint(self) -> &'static str {
                match self { $(ErrorName::$name => $hint,)* }
            }

            /// By short or full name.
            pub fn parse(name: &str) -> Option<Self> {
                let short = name.strip_prefix("org.privyseal1.Error.").unwrap_or(name);
                Self::ALL.iter().copied().find(|n| n.short() == short)
            }
        }
    };
}

error_names! {
    Failed => "the daemon's log says more: run it with RUST_LOG=debug",
    InvalidArgument => "",
    NotSupported => "",
    NotAuthorized => "ask again from where a person can answer a prompt",
    PolicyDenied => "",
    Cancelled => "",
    Timeout => "try again; `privyseal token list` shows how the token is",
    Busy => "wait until earlier work has ended, then try again",
    NoAgent => "",
    TokenNotPresent => "insert the token, then look with `privyseal token list`",
    TokenRemoved => "insert the token and unlock it again",
    TokenError => "pull the token and insert it again; `privyseal token list` shows how it is",
    PinRequired => "unlock the token first: privyseal token unlock TOKEN",
    BadPin => "type the PIN again with care: tokens block after a few wrong ones",
    BadPinFewTriesLeft => "look the PIN up before you try again: few tries are left",
    BadPinFinalTry => "one try is left: unlock at a prompt (`privyseal token unlock TOKEN` on a terminal or desktop), not by --pin-fd",
    PinLocked => "unblock it with the PUK or SO-PIN: privyseal token unblock TOKEN",
    PinExpired => "change the PIN first",
    PinInvalid => "",
    ProtectedAuthPathNeeded => "type the PIN on the reader's own keypad",
    UserPresenceNeeded => "touch the token when it blinks",
    ActionTimeout => "touch the token while it blinks",
    NoSuchCertificate => "`privyseal cert list` shows which there are",
    NoSecretKey => "the token that holds the key must be present and unlocked",
    AmbiguousCertificate => "name one by its fingerprint: privyseal cert list",
    CertificateExpired => "a newer certificate is needed",
    CertificateRevoked => "another certificate is needed",
    CertificateUntrusted => "put its root into the folder of trust anchors if you trust it",
    UsageNotAllowed => "choose a certificate that is meant for this: privyseal cert list",
    RecipientMissing => "give the recipient's certificate as a file: -r FILE.pem",
    RecipientUnusable => "ask the recipient for a certificate that can be encrypted to",
    UnsupportedAlgorithm => "",
    WeakAlgorithm => "",
    MalformedMessage => "",
    NotSigned => "",
    NotEncrypted => "",
    DecryptionFailed => "the message is damaged, was changed, or is not for this key",
    NoRecipientMatch => "insert the token whose key the message was encrypted for",
    InputTooLarge => "",
    NoSpace => "free some space and try again",
}

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub name: ErrorName,
    /// For people; never a PIN, never message content.
    pub message: String,
}

impl Failure {
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Failure {
            name,
            message: message.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorName::InvalidArgument, message)
    }
}

impl zbus::DBusError for Failure {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&(self.message.as_str(),))
    }

    fn name(&self) -> names::ErrorName<'_> {
        names::ErrorName::from_static_str_unchecked(self.name.full())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_by_both_of_its_forms() {
        assert_eq!(ErrorName::ALL.len(), 40);
        for name in ErrorName::ALL {
            assert_eq!(ErrorName::parse(name.short()), Some(*name));
            assert_eq!(ErrorName::parse(name.full()), Some(*name));
        }
        assert_eq!(ErrorName::parse("org.freedesktop.DBus.Error.Failed"), None);
    }
}
