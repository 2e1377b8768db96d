//! What a PKCS#11 function said instead of CKR_OK, and what that means.

use cryptoki::context::Function;
use cryptoki::error::RvError;

use crate::error::Error;

/// A failed call into the module.
pub(super) enum Fault {
    Rv(RvError, Function),
    /// known what it means
    Told(Error),
}

impl From<cryptoki::error::Error> for Fault {
    fn from(error: cryptoki::error::Error) -> Self {
        use cryptoki::error::Error as E;
        match error {
            E::Pkcs11(rv, function) => Self::Rv(rv, function),
            other => Self::Told(Error::TokenError(other.to_string())),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl Fault {
    /// The meaning where it needs no knowledge of the token.
    pub fn error(self) -> Error {
        let (rv, function) = match self {
            Self::Told(error) => return error,
            Self::Rv(rv, function) => (rv, function),
        };
        let said = format!("{} in C_{function:?}", ckr(rv));
        match rv {
            RvError::DeviceRemoved => Error::TokenRemoved,
            RvError::TokenNotPresent | RvError::TokenNotRecognized | RvError::SlotIdInvalid => {
                Error::TokenNotPresent
            }
            RvError::UserNotLoggedIn => Error::PinRequired,
            RvError::PinIncorrect => Error::BadPin,
            RvError::PinLocked => Error::PinLocked,
            RvError::PinExpired => Error::PinExpired,
            RvError::PinInvalid | RvError::PinLenRange | RvError::PinTooWeak => Error::PinInvalid,
            RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid => Error::NoSecretKey,
            RvError::KeyFunctionNotPermitted | RvError::KeyTypeInconsistent => {
                Error::UsageNotAllowed(said)
            }
            RvError::MechanismInvalid
            | RvError::MechanismParamInvalid
            | RvError::FunctionNotSupported
            | RvError::KeySizeRange
            | RvError::CurveNotSupported => Error::UnsupportedAlgorithm(said),
            _ => Error::TokenError(said),
        }
    }

    /// It says that the token does not do this with these parameters, whatever the data.
    /// `listed`: the mechanism is in the token's list.
    pub fn is_refusal(&self, listed: bool) -> bool {
        use Function::{DecapsulateKey, DecryptInit, DeriveKey, SignInit};
        match self {
            Self::Rv(
                RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
                | RvError::FunctionNotSupported,
                _,
            ) => true,
            // before any data was seen
            Self::Rv(RvError::ArgumentsBad, SignInit | DecryptInit) => true,
            Self::Rv(
                RvError::GeneralError | RvError::FunctionFailed,
                SignInit | DecryptInit | DeriveKey | DecapsulateKey,
            ) => !listed,
            _ => false,
        }
    }

    /// It is about the device, the session or the login: not about what was to be decrypted.
    pub fn is_environmental(&self) -> bool {
        matches!(
            self,
            Self::Told(_)
                | Self::Rv(
                    RvError::CryptokiNotInitialized
                        | RvError::DeviceError
                        | RvError::DeviceMemory
                        | RvError::DeviceRemoved
                        | RvError::HostMemory
                        | RvError::PinExpired
                        | RvError::PinIncorrect
                        | RvError::PinLocked
                        | RvError::SessionClosed
                        | RvError::SessionHandleInvalid
                        | RvError::TokenNotPresent
                        | RvError::TokenNotRecognized
                        | RvError::UserNotLoggedIn,
                    _
                )
        )
    }

    /// The handle of the key is no longer good.
    pub fn is_stale_key(&self) -> bool {
        matches!(
            self,
            Self::Rv(RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid, _)
        )
    }

    /// The session is no longer good.
    pub fn is_stale_session(&self) -> bool {
        matches!(
            self,
            Self::Rv(RvError::SessionHandleInvalid | RvError::SessionClosed, _)
        )
    }
}

/// `CKR_GENERAL_ERROR` for `GeneralError`.
pub(super) fn ckr(rv: RvError) -> String {
    let mut name = String::from("CKR");
    for letter in format!("{rv:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_values_have_the_names_of_the_standard() {
        assert_eq!(ckr(RvError::GeneralError), "CKR_GENERAL_ERROR");
        assert_eq!(ckr(RvError::SlotIdInvalid), "CKR_SLOT_ID_INVALID");
        let fault = Fault::Rv(RvError::FunctionFailed, Function::Sign);
        assert_eq!(
            fault.error(),
            Error::TokenError("CKR_FUNCTION_FAILED in C_Sign".into())
        );
    }
}
