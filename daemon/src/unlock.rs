//! Unlocking a token: a PIN from a descriptor or a prompt, or the reader's own keypad (design rules 2 and 3).
//!
//! One entry by a person is one C_Login at most. Unlocks of one token happen one after the other: who waited finds the token
//! unlocked, and no second PIN is asked for. All of this blocks: it runs on a job's own thread.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::{Module, TokenId, TokenInfo};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::Caller;
use crate::descriptor;
use crate::job::{Job, State};
use crate::pinentry::{self, PinRequest, PinentryError};
use crate::registry::Registry;

/// PINs that a person may type in one job.
const ENTRIES_MAX: u32 = 3;

/// Where the PIN comes from.
#[derive(Debug)]
pub enum Source {
    /// read from this descriptor; never tried on a token that has one try left
    Descriptor(OwnedFd),
    /// a pinentry
    Prompt,
    /// the reader's keypad
    PinPad,
    /// the keypad where the reader has one, else a pinentry
    Any,
}

/// Who wants a token unlocked, and for what.
pub struct Request<'a> {
    pub caller: &'a Caller,
    pub job: &'a Job,
    /// a person may be asked
    pub interactive: bool,
    /// for the person: `sign a message`
    pub purpose: &'a str,
    /// told just before a person must act at the reader's keypad
    pub keypad: &'a dyn Fn(&TokenId),
}

/// Unlocks tokens, one person at a time for each.
pub struct Unlocker {
    registry: Arc<Registry>,
    runtime: Handle,
    pinentry: Mutex<Option<PathBuf>>,
    gates: Mutex<HashMap<TokenId, Arc<Semaphore>>>,
}

impl Unlocker {
    /// `pinentry` is the configured program. Needs a running tokio runtime.
    pub fn new(registry: Arc<Registry>, runtime: Handle, pinentry: Option<PathBuf>) -> Self {
        Unlocker {
            registry,
            runtime,
            pinentry: Mutex::new(pinentry),
            gates: Mutex::default(),
        }
    }

    /// The configuration was read again.
    pub fn set_pinentry(&self, pinentry: Option<PathBuf>) {
        *self.pinentry.lock().unwrap_or_else(PoisonError::into_inner) = pinentry;
    }

    /// Unlocks a token; does nothing when it is unlocked.
    pub fn unlock(
        &self,
        token: &TokenId,
        source: Source,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        if is_open(&self.token(token)?.1) {
            return Ok(());
        }
        let _gate = self.gate(token, request.job)?;
        // it may have been unlocked, or pulled, while we waited
        let (module, info) = self.token(token)?;
        if is_open(&info) {
            return Ok(());
        }
        if info.pin_locked {
            return Err(Failure::new(
                ErrorName::PinLocked,
                format!("the PIN of {:?} is blocked", info.label),
            ));
        }
        let attempt = Attempt {
            module: &module,
            info: &info,
            request,
            pinentry: self
                .pinentry
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        };
        let result = match source {
            Source::Descriptor(fd) => attempt.by_descriptor(fd),
            Source::PinPad if !info.protected_auth_path => Err(Failure::new(
                ErrorName::NotSupported,
                format!("{:?} has no keypad", info.reader),
            )),
            _ if !request.interactive => Err(Failure::new(
                ErrorName::PinRequired,
                format!(
                    "{:?} is locked, and this call may not ask a person",
                    info.label
                ),
            )),
            Source::PinPad => attempt.by_keypad(),
            Source::Any if info.protected_auth_path => attempt.by_keypad(),
            Source::Prompt | Source::Any => attempt.by_prompt(),
        };
        request.job.set_state(State::Running);
        // also after a failure: it may have changed the PIN flags
        self.registry.refresh();
        match &result {
            Ok(()) => tracing::info!(
                op = "unlock",
                token = info.label,
                peer = request.caller.name,
                "unlocked"
            ),
            Err(failure) => {
                tracing::info!(
                    op = "unlock",
                    token = info.label,
                    peer = request.caller.name,
                    error = failure.name.short(),
                    "not unlocked"
                );
            }
        }
        result
    }

    fn token(&self, token: &TokenId) -> Result<(Arc<Module>, TokenInfo), Failure> {
        self.registry
            .token(token)
            .ok_or_else(|| Failure::new(ErrorName::TokenNotPresent, "the token is not present"))
    }

    /// Waits for its turn; ends when the job is cancelled.
    fn gate(&self, token: &TokenId, job: &Job) -> Result<OwnedSemaphorePermit, Failure> {
        let gate = {
            let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
            // those that nobody holds or waits for are not needed
            gates.retain(|id, gate| id == token || Arc::strong_count(gate) > 1);
            gates
                .entry(token.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(1)))
                .clone()
        };
        if let Ok(permit) = gate.clone().try_acquire_owned() {
            return Ok(permit);
        }
        job.set_state(State::WaitingForToken);
        self.runtime.block_on(async {
            tokio::select! {
                permit = gate.acquire_owned() => permit.map_err(|_| cancelled()),
                () = job.cancelled() => Err(cancelled()),
            }
        })
    }
}

fn is_open(info: &TokenInfo) -> bool {
    info.unlocked || !info.login_required
}

/// One unlock whose turn it is.
struct Attempt<'a> {
    module: &'a Module,
    info: &'a TokenInfo,
    request: &'a Request<'a>,
    pinentry: Option<PathBuf>,
}

impl Attempt<'_> {
    fn by_descriptor(&self, fd: OwnedFd) -> Result<(), Failure> {
        let pin = descriptor::read_pin(fd)?;
        if self.request.job.is_cancelled() {
            return Err(cancelled());
        }
        self.login(Some(pin), false)
    }

    fn by_keypad(&self) -> Result<(), Failure> {
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
    fn by_prompt(&self) -> Result<(), Failure> {
        let mut last = self.info.pin_final_try;
        let mut error: Option<String> = None;
        let mut failure = cancelled();
        for _ in 0..ENTRIES_MAX {
            if last {
                self.confirm_last()?;
                let before = error.map(|error| format!("{error}. ")).unwrap_or_default();
                error = Some(format!("{before}This is the last try."));
            }
            let pin = self.ask(error.take())?;
            if self.request.job.is_cancelled() {
                return Err(cancelled());
            }
            failure = match self.login(Some(pin), last) {
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
            .any(|token| token.id == self.info.id && token.pin_final_try)
    }

    fn ask(&self, error: Option<String>) -> Result<zeroize::Zeroizing<Vec<u8>>, Failure> {
        self.request.job.set_state(State::WaitingForUser);
        let context = &self.request.caller.context;
        let pin = pinentry::ask_pin(
            self.pinentry.as_deref(),
            &context.client,
            context.tty.as_ref(),
            context.uid,
            &self.prompt("PIN:", error, ""),
            &self.request.job.control,
        );
        self.request.job.set_state(State::Running);
        pin.map_err(unanswered)
    }

    fn confirm_last(&self) -> Result<(), Failure> {
        self.request.job.set_state(State::WaitingForUser);
        let context = &self.request.caller.context;
        let warning = "\n\nOne try is left. A wrong PIN now blocks the token. Try anyway?";
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
                "{who} wants to {}.\nUnlock the token {} (serial number {}).{more}",
                plain(self.request.purpose),
                plain(&self.info.label),
                plain(&self.info.serial),
            ),
            prompt: prompt.into(),
            error,
        }
    }

    fn login(&self, pin: Option<zeroize::Zeroizing<Vec<u8>>>, last: bool) -> Result<(), Failure> {
        let result = self.module.login(&self.info.id, pin, last);
        result.map_err(token_failure)
    }
}

/// A token's error as clients see it.
pub fn token_failure(error: privyseal_token::Error) -> Failure {
    let name = ErrorName::parse(error.name()).unwrap_or(ErrorName::TokenError);
    Failure::new(name, error.to_string())
}

fn unanswered(error: PinentryError) -> Failure {
    let name = match error {
        PinentryError::Cancelled => ErrorName::Cancelled,
        PinentryError::Timeout => ErrorName::Timeout,
        PinentryError::Unavailable(_) => ErrorName::PinRequired,
    };
    Failure::new(name, error.to_string())
}

fn cancelled() -> Failure {
    Failure::new(ErrorName::Cancelled, "cancelled")
}

/// A label or name from outside, fit for one line of a prompt: no control characters, no tricks with the writing direction.
fn plain(text: &str) -> String {
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
