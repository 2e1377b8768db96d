//! One PIN that a person (or a pipe) says: how often it is asked for, and which tries are confirmed first.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::{Module, TokenInfo};
use zeroize::Zeroizing;

use super::prompt::{Asked, Asks, Way};
use super::{NewPin, Request, cancelled, token_failure};
use crate::agent::Agents;
use crate::descriptor;
use crate::job::State;

/// PINs that a person may type in one job.
const ENTRIES_MAX: u32 = 3;

/// What an entry is for.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    Unlock,
    /// one use of the key of this label
    Key(&'a str),
    New(NewPin),
}

/// One thing that a PIN is wanted for, whose turn it is.
pub(super) struct Entry<'a> {
    pub module: &'a Module,
    pub info: &'a TokenInfo,
    pub request: &'a Request<'a>,
    pub agents: &'a Agents,
    pub pinentry: Option<PathBuf>,
    pub what: What<'a>,
    pub asks: Asks,
}

impl Entry<'_> {
    pub fn by_descriptor(&self, fd: OwnedFd) -> Result<(), Failure> {
        let pin = self.read(fd)?;
        self.login(Some(pin), false)
    }

    pub fn read(&self, fd: OwnedFd) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let pin = descriptor::read_pin(fd)?;
        if self.request.job.is_cancelled() {
            return Err(cancelled());
        }
        Ok(pin)
    }

    pub fn by_keypad(&self) -> Result<(), Failure> {
        let last = self.info.pin_final_try;
        if last {
            self.confirm_last()?;
        }
        self.request.job.set_state(State::WaitingForUser);
        let (job, id) = (self.request.job, &self.info.id);
        let _shown = self.agents.display(job, "pinpad", id);
        (self.request.keypad)(id);
        match self.login(None, last) {
            Err(failure) if failure.name == ErrorName::BadPinFinalTry && !last => {
                self.confirm_last()?;
                (self.request.keypad)(id);
                self.login(None, true)
            }
            other => other,
        }
    }

    /// Every entry is one C_Login: what may be the last try is confirmed before the PIN is asked for.
    pub fn by_prompt(
        &self,
        before: impl Fn() -> Result<(), Failure>,
        mut send: impl FnMut(Zeroizing<Vec<u8>>, bool) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut last = self.final_try(self.info);
        let mut error: Option<String> = None;
        let mut failure = cancelled();
        for _ in 0..ENTRIES_MAX {
            before()?;
            if last {
                self.confirm_last()?;
                let before = error.map(|error| format!("{error}. ")).unwrap_or_default();
                error = Some(format!("{before}This is the last try."));
            }
            let (pin, _) = self.ask(Asked::Old, error.take(), last)?;
            if self.request.job.is_cancelled() {
                return Err(cancelled());
            }
            failure = match send(pin, last) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match failure.name {
                // after the last try there is nothing left to ask for
                ErrorName::BadPin | ErrorName::BadPinFewTriesLeft | ErrorName::PinInvalid
                    if !last =>
                {
                    last = failure.name == ErrorName::BadPinFewTriesLeft || self.is_last();
                    error = Some(failure.message.clone());
                }
                // somebody else spent a try meanwhile: the PIN was not sent
                ErrorName::BadPinFinalTry if !last => last = true,
                _ => return Err(failure),
            }
        }
        Err(failure)
    }

    /// Whether one try is left, as far as the token or our own count tells.
    fn is_last(&self) -> bool {
        let tokens = self.module.tokens();
        tokens
            .iter()
            .any(|token| token.id == self.info.id && self.final_try(token))
    }

    fn final_try(&self, info: &TokenInfo) -> bool {
        match self.what {
            What::New(NewPin::Unblock) => info.so_pin_final_try,
            _ => info.pin_final_try,
        }
    }

    /// Asks for a new PIN until it was typed twice; an agent sees to that by itself.
    pub fn ask_new(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut error = None;
        for _ in 0..ENTRIES_MAX {
            let (new, way) = self.ask(Asked::New, error.take(), false)?;
            if let Err(failure) = self.check_new(&new) {
                error = Some(failure.message);
                continue;
            }
            if way == Way::Agent || self.by_pinentry(Asked::NewAgain, None)? == new {
                return Ok(new);
            }
            error = Some("the two entries differ".into());
        }
        Err(Failure::new(
            ErrorName::PinInvalid,
            error.unwrap_or_default(),
        ))
    }

    /// Before anything is sent.
    pub fn check_new(&self, new: &[u8]) -> Result<(), Failure> {
        let (min, max) = (self.info.pin_min, self.info.pin_max);
        let len = u32::try_from(new.len()).unwrap_or(u32::MAX);
        // tokens that state no sensible bounds take anything
        if max == 0 || min > max || (min..=max).contains(&len) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorName::PinInvalid,
            format!("a new PIN has {min} to {max} characters"),
        ))
    }

    pub fn login(&self, pin: Option<Zeroizing<Vec<u8>>>, last: bool) -> Result<(), Failure> {
        let result = self.module.login(&self.info.id, pin, last);
        result.map_err(token_failure)
    }
}
