//! Setting a PIN: by the old one, or by the PUK or SO PIN.

use std::os::fd::OwnedFd;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::TokenId;
use zeroize::Zeroizing;

use super::entry::What;
use super::prompt::Asks;
use super::{Request, Source, Unlocker, blocked, token_failure};
use crate::audit::Kind;

/// Which PIN is set anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPin {
    /// by the old one
    Change,
    /// by the PUK or SO PIN
    Unblock,
}

impl Unlocker {
    /// Sets a new PIN: `given` are descriptors of the old one (or the PUK) and of the new one; else a person is asked.
    pub fn set_pin(
        &self,
        token: &TokenId,
        which: NewPin,
        given: Option<(OwnedFd, OwnedFd)>,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        let _gate = self.gates.pass(token, request.job)?;
        let (module, info) = self.token(token)?;
        if info.protected_auth_path {
            return Err(Failure::new(
                ErrorName::NotSupported,
                "setting a PIN on a reader's keypad is not supported yet",
            ));
        }
        match which {
            NewPin::Change if info.pin_locked => return Err(blocked(&info)),
            NewPin::Unblock if info.so_pin_locked => return Err(which.puk_blocked()),
            _ => {}
        }
        let what = What::New(which);
        let entry = self.entry(&module, &info, request, what, Asks::of(&Source::Any));
        let set = |old, new, last| {
            let result = match which {
                NewPin::Change => module.change_pin(token, old, new, last),
                NewPin::Unblock => module.unblock_pin(token, old, new, last),
            };
            result.map_err(|error| which.failure(error))
        };
        let result = match given {
            Some((old, new)) => entry.read(old).and_then(|old| {
                let new = entry.read(new)?;
                entry.check_new(&new)?;
                set(old, new, false)
            }),
            None if !request.interactive => Err(Failure::new(
                ErrorName::PinRequired,
                "nobody may be asked for the PINs by this call",
            )),
            None => {
                let mut new: Option<Zeroizing<Vec<u8>>> = None;
                let send = |old, last| {
                    let wanted = match new.take() {
                        Some(wanted) => wanted,
                        None => entry.ask_new()?,
                    };
                    let result = set(old, wanted.clone(), last);
                    let again = matches!(&result, Err(f) if f.name != ErrorName::PinInvalid);
                    new = again.then_some(wanted);
                    result
                };
                entry.by_prompt(|| Ok(()), send)
            }
        };
        if result.is_ok() {
            self.idle.closed(token);
            self.credentials.outdated(token);
        }
        let kind = match which {
            NewPin::Change => Kind::ChangePin,
            NewPin::Unblock => Kind::UnblockPin,
        };
        self.told(kind, &info, request, result)
    }
}

impl NewPin {
    fn failure(self, error: privyseal_token::Error) -> Failure {
        use privyseal_token::Error as E;
        let mut failure = token_failure(error.clone());
        if self == NewPin::Unblock {
            failure.message = match error {
                E::BadPin => "the PUK or SO-PIN is wrong".into(),
                E::BadPinFewTriesLeft => {
                    "the PUK or SO-PIN is wrong, and few tries are left".into()
                }
                E::BadPinFinalTry => "the PUK or SO-PIN has one try left".into(),
                E::PinLocked => return self.puk_blocked(),
                _ => failure.message,
            };
        }
        failure
    }

    fn puk_blocked(self) -> Failure {
        Failure::new(
            ErrorName::PinLocked,
            "the PUK or SO-PIN is blocked too: only who issued the token can help",
        )
    }
}
