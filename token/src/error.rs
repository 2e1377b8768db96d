//! Why a token did not do what it was asked.

/// Errors of token operations. `name()` gives the D-Bus error's last part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Deserialize, serde::Serialize)]
#[non_exhaustive]
pub enum Error {
    #[error("the token is not present")]
    TokenNotPresent,
    #[error("the token was removed")]
    TokenRemoved,
    #[error("the token is locked: a PIN is needed")]
    PinRequired,
    #[error("the PIN is wrong")]
    BadPin,
    #[error("the PIN is wrong, and few tries are left")]
    BadPinFewTriesLeft,
    #[error("the PIN has one try left")]
    BadPinFinalTry,
    #[error("the PIN is blocked")]
    PinLocked,
    #[error("the PIN has expired and must be changed")]
    PinExpired,
    #[error("the PIN has a length or characters that the token does not take")]
    PinInvalid,
    #[error("the PIN must be typed on the reader's own keypad")]
    ProtectedAuthPathNeeded,
    #[error("no such private key on the token")]
    NoSecretKey,
    #[error("the token cannot do this: {0}")]
    UnsupportedAlgorithm(String),
    #[error("the key must not be used for this: {0}")]
    UsageNotAllowed(String),
    /// The module failed in its own way: the PKCS#11 return value's name and the function's.
    #[error("the token failed: {0}")]
    TokenError(String),
    /// The worker process died or sent garbage.
    #[error("the token's worker process ended ({0}); unlock the token again")]
    WorkerDied(String),
    /// No answer within the deadline; the worker was killed.
    #[error("the token did not answer in time")]
    Timeout,
    #[error("the module cannot be used: {0}")]
    Module(String),
    /// CKA_ALWAYS_AUTHENTICATE: the token is unlocked, and that is not enough.
    #[error("the key wants the token's PIN at every use")]
    KeyPinRequired,
}

/// Short for this crate's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The last part of the D-Bus error name (`dbus.md`).
    pub fn name(&self) -> &'static str {
        match self {
            Error::TokenNotPresent => "TokenNotPresent",
            Error::TokenRemoved => "TokenRemoved",
            Error::PinRequired | Error::KeyPinRequired => "PinRequired",
            Error::BadPin => "BadPin",
            Error::BadPinFewTriesLeft => "BadPinFewTriesLeft",
            Error::BadPinFinalTry => "BadPinFinalTry",
            Error::PinLocked => "PinLocked",
            Error::PinExpired => "PinExpired",
            Error::PinInvalid => "PinInvalid",
            Error::ProtectedAuthPathNeeded => "ProtectedAuthPathNeeded",
            Error::NoSecretKey => "NoSecretKey",
            Error::UnsupportedAlgorithm(_) => "UnsupportedAlgorithm",
            Error::UsageNotAllowed(_) => "UsageNotAllowed",
            Error::TokenError(_) | Error::WorkerDied(_) | Error::Module(_) => "TokenError",
            Error::Timeout => "Timeout",
        }
    }
}
