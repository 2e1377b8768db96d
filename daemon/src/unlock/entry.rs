//! One PIN that a person (or a pipe) says: what it is asked for, in which words, and which tries are confirmed first.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::{Module, TokenInfo};
use zeroize::Zeroizing;

use super::{NewPin, Request, cancelled, token_failure};
use crate::descriptor;
use crate::job::State;
use crate::pinentry::{self, PinRequest, PinentryError};

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
    pub pinentry: Option<PathBuf>,
    pub what: What<'a>,
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
        (self.request.keypad)(&self.info.id);
        match self.login(None, last) {
            Err(failure) if failure.name == ErrorName::BadPinFinalTry && !last => {
                self.confirm_last()?;
                (self.request.keypad)(&self.info.id);
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
            let pin = self.ask(self.words().0, error.take())?;
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

    /// Asks for a new PIN until it was typed twice.
    pub fn ask_new(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut error = None;
        for _ in 0..ENTRIES_MAX {
            let new = self.ask("New PIN:", error.take())?;
            if let Err(failure) = self.check_new(&new) {
                error = Some(failure.message);
                continue;
            }
            if self.ask("New PIN again:", None)? == new {
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

    /// The word at the entry, and what is to be done.
    fn words(&self) -> (&'static str, String) {
        let token = format!(
            "{} (serial number {})",
            plain(&self.info.label),
            plain(&self.info.serial)
        );
        match self.what {
            What::Unlock => ("PIN:", format!("Unlock the token {token}.")),
            What::Key(key) => (
                "PIN:",
                format!(
                    "The key {} wants the PIN of the token {token} for this use.",
                    plain(key)
                ),
            ),
            What::New(NewPin::Change) => {
                ("Old PIN:", format!("Change the PIN of the token {token}."))
            }
            What::New(NewPin::Unblock) => (
                "PUK or SO-PIN:",
                format!("Give the token {token} a new PIN by its PUK."),
            ),
        }
    }

    fn ask(&self, word: &str, error: Option<String>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.request.job.set_state(State::WaitingForUser);
        let context = &self.request.caller.context;
        let pin = pinentry::ask_pin(
            self.pinentry.as_deref(),
            &context.client,
            context.tty.as_ref(),
            context.uid,
            &self.prompt(word, error, ""),
            &self.request.job.control,
        );
        self.request.job.set_state(State::Running);
        pin.map_err(unanswered)
    }

    fn confirm_last(&self) -> Result<(), Failure> {
        self.request.job.set_state(State::WaitingForUser);
        let context = &self.request.caller.context;
        let warning = match self.what {
            What::New(NewPin::Unblock) => {
                "\n\nOne try is left. A wrong PUK now blocks the token for good. Try anyway?"
            }
            _ => "\n\nOne try is left. A wrong PIN now blocks the token. Try anyway?",
        };
        let answer = pinentry::confirm(
            self.pinentry.as_deref(),
            &context.client,
            context.tty.as_ref(),
            context.uid,
            &self.prompt("", None, warning),
            &self.request.job.control,
        );
        self.request.job.set_state(State::Running);
        match answer.map_err(unanswered)? {
            true => Ok(()),
            false => Err(cancelled()),
        }
    }

    fn prompt(&self, prompt: &str, error: Option<String>, more: &str) -> PinRequest {
        let who = match &self.request.caller.context.client.application {
            Some(name) => format!("{} (unverified)", plain(name)),
            None => "An unknown program".to_owned(),
        };
        PinRequest {
            title: "Privyseal".into(),
            description: format!(
                "{who} wants to {}.\n{}{more}",
                plain(self.request.purpose),
                self.words().1,
            ),
            prompt: prompt.into(),
            error,
        }
    }

    pub fn login(&self, pin: Option<Zeroizing<Vec<u8>>>, last: bool) -> Result<(), Failure> {
        let result = self.module.login(&self.info.id, pin, last);
        result.map_err(token_failure)
    }
}

pub(super) fn unanswered(error: PinentryError) -> Failure {
    let name = match error {
        PinentryError::Cancelled => ErrorName::Cancelled,
        PinentryError::Timeout => ErrorName::Timeout,
        PinentryError::Unavailable(_) => ErrorName::PinRequired,
    };
    Failure::new(name, error.to_string())
}

/// A label or name from outside, fit for one line of a prompt: no control characters, no tricks with the writing direction.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prompt_shows_one_plain_line_of_what_others_wrote() {
        assert_eq!(super::plain("a\nb\u{202e}c"), "a bc");
        assert_eq!(super::plain(&"x".repeat(300)).len(), 200);
    }
}
