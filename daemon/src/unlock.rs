//! Everything that a PIN is asked for: unlocking a token, one use of a key that wants it every time, a new PIN. It comes from a
//! descriptor, a credential that the administrator stored, a prompt, or the reader's own keypad (design rules 2 and 3).
//!
//! One entry by a person is one C_Login at most. Unlocks of one token happen one after the other: who waited finds the token
//! unlocked, and no second PIN is asked for. All of this blocks: it runs on a job's own thread.

mod consent;
mod entry;
mod gates;
mod new_pin;
mod prompt;
mod uses;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::{Module, TokenId, TokenInfo};
use tokio::runtime::Handle;

use crate::agent::Agents;
use crate::audit::{Entry as Record, Kind, Trail};
use crate::client::Caller;
use crate::config::Config;
use crate::consent::Consents;
use crate::credential::{self, Credentials, Stored};
use crate::idle::Idle;
use crate::job::{Job, State};
use crate::peer::Peer;
use crate::registry::Registry;

pub use new_pin::NewPin;

use entry::{Entry, What};
use gates::Gates;
use prompt::Asks;

/// Where the PIN comes from.
#[derive(Debug)]
pub enum Source {
    /// read from this descriptor; never tried on a token that has one try left
    Descriptor(OwnedFd),
    /// the agent of the caller's connection
    Agent,
    Pinentry,
    /// the reader's keypad
    PinPad,
    /// the stored credential, the keypad where the reader has one, the caller's agent, a pinentry: the first that there is
    Any,
}

/// Who wants a token unlocked, and for what.
pub struct Request<'a> {
    pub caller: &'a Caller,
    pub job: &'a Job,
    /// a person may be asked
    pub interactive: bool,
    /// for the person: `sign a message`, then lines of what is known of it
    pub purpose: &'a str,
    /// the PIN of a key that wants it at every use
    pub pin: &'a Cell<Option<OwnedFd>>,
    /// told just before a person must act at the reader's keypad
    pub keypad: &'a dyn Fn(&TokenId),
    /// the token whose PIN a person typed in this job, until a use of its keys was answered for by that
    pub typed: &'a Cell<Option<TokenId>>,
}

/// Unlocks tokens, one person at a time for each.
pub struct Unlocker {
    pub idle: Idle,
    pub agents: Agents,
    pub credentials: Credentials,
    pub consents: Consents,
    pub trail: Arc<Trail>,
    registry: Arc<Registry>,
    pinentry: Mutex<Option<PathBuf>>,
    gates: Gates,
}

impl Unlocker {
    /// Needs a running tokio runtime.
    pub fn new(
        registry: Arc<Registry>,
        runtime: Handle,
        trail: Arc<Trail>,
        credentials: Credentials,
    ) -> Self {
        Unlocker {
            idle: Idle::default(),
            agents: Agents::new(runtime.clone()),
            credentials,
            consents: Consents::default(),
            trail,
            registry,
            pinentry: Mutex::default(),
            gates: Gates::new(runtime),
        }
    }

    /// The configuration was read.
    pub fn configure(&self, config: &Config) {
        let program = config.pinentry.program.clone();
        *self.pinentry.lock().unwrap_or_else(PoisonError::into_inner) = program;
        self.idle.set_policy(&config.pin);
        self.consents.set_mode(config.consent.mode);
        self.trail.set_max_kib(config.audit.max_kib);
    }

    /// Unlocks a token; does nothing when it is unlocked.
    pub fn unlock(
        &self,
        token: &TokenId,
        source: Source,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        self.lock_if_over(token)?;
        if is_open(&self.token(token)?.1) {
            return Ok(());
        }
        let _gate = self.gates.pass(token, request.job)?;
        self.unlock_in_turn(token, source, request)
    }

    fn unlock_in_turn(
        &self,
        token: &TokenId,
        source: Source,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        // it may have been unlocked, or pulled, while we waited
        let (module, info) = self.token(token)?;
        if is_open(&info) {
            return Ok(());
        }
        // whoever had consent before it was locked has none now
        self.consents.forget_token(token);
        if let Source::Any = source
            && let Some(stored) =
                self.by_credential(&module, &info, request.caller, request.purpose)
        {
            request.job.set_state(State::Running);
            if stored.is_ok() || !request.interactive {
                return stored;
            }
        }
        self.unlock_by_entry(token, source, request)
    }

    fn unlock_by_entry(
        &self,
        token: &TokenId,
        source: Source,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        // as it is now: a stored PIN may have cost a try
        let (module, info) = self.token(token)?;
        if info.pin_locked {
            return Err(blocked(&info));
        }
        let asks = self.asks(&source, request);
        let attempt = self.entry(&module, &info, request, What::Unlock, asks);
        // at our own prompt or the reader's, which say what for; not by a program's word
        let by_person = match source {
            Source::Descriptor(_) | Source::Agent => false,
            Source::PinPad => true,
            Source::Any if info.protected_auth_path => true,
            Source::Any | Source::Pinentry => asks == Asks::Pinentry,
        };
        let result = match source {
            Source::Descriptor(fd) => attempt.by_descriptor(fd),
            Source::PinPad if !info.protected_auth_path => Err(Failure::new(
                ErrorName::NotSupported,
                format!("{:?} has no keypad", info.reader),
            )),
            _ if !request.interactive => Err(Failure::new(
                ErrorName::PinRequired,
                self.locked(&info, "and this call may not ask a person"),
            )),
            Source::PinPad => attempt.by_keypad(),
            Source::Any if info.protected_auth_path => attempt.by_keypad(),
            Source::Agent | Source::Pinentry | Source::Any => {
                attempt.by_prompt(|| Ok(()), |pin, last| attempt.login(Some(pin), last))
            }
        };
        if result.is_ok() {
            self.credentials.opened(token);
        }
        request.job.set_state(State::Running);
        let result = self.opened(&module, &info, request.caller, request.purpose, result);
        if result.is_ok() {
            self.vouch(&request.caller.peer, token, by_person);
            request.typed.set(by_person.then(|| token.clone()));
        }
        result
    }

    /// An unlocking of which there is no record is taken back.
    fn opened(
        &self,
        module: &Module,
        info: &TokenInfo,
        caller: &Caller,
        purpose: &str,
        result: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let open = result.is_ok();
        if open {
            self.idle.opened(&info.id);
        }
        let result = self.recorded(Kind::Unlock, info, caller, purpose, result);
        if result.is_err() && open {
            module.logout(&info.id).map_err(token_failure)?;
            self.idle.closed(&info.id);
            self.registry.refresh();
        }
        result
    }

    /// Who said the PIN need not be asked again; but from a sandbox only a person's own entry counts.
    fn vouch(&self, peer: &Peer, token: &TokenId, by_person: bool) {
        if by_person || peer.sandbox.is_none() {
            self.consents.give(peer, token);
        }
    }

    /// `None`: there is none that may be tried. Only in turn.
    fn by_credential(
        &self,
        module: &Module,
        info: &TokenInfo,
        caller: &Caller,
        purpose: &str,
    ) -> Option<Result<(), Failure>> {
        let login = |pin| module.login(&info.id, Some(pin), false);
        let result = self
            .credentials
            .try_once(info, |pin| login(pin).map_err(token_failure))?;
        Some(self.opened(module, info, caller, purpose, result))
    }

    /// For a call that asks nobody: by the stored credential, if there is one that may be tried.
    pub fn unlock_silently(
        &self,
        token: &TokenId,
        caller: &Caller,
        purpose: &str,
    ) -> Result<(), Failure> {
        self.lock_if_over(token)?;
        let (module, info) = self.token(token)?;
        if is_open(&info) {
            return Ok(());
        }
        // one that is being tried looks like one that was refused
        let _gate = match self.credentials.look(token) {
            Stored::Nothing => None,
            _ => Some(self.gates.pass_soon(token)?),
        };
        let now = self.token(token)?.1;
        if is_open(&now) {
            return Ok(());
        }
        self.consents.forget_token(token);
        let result = self.by_credential(&module, &now, caller, purpose);
        result.unwrap_or_else(|| {
            Err(Failure::new(
                ErrorName::PinRequired,
                self.locked(&info, "and this call asks nobody"),
            ))
        })
    }

    fn locked(&self, info: &TokenInfo, why: &str) -> String {
        let stored = match self.credentials.look(&info.id) {
            Stored::Refused => format!(
                "; the PIN in the systemd credential {} did not unlock it and is not tried again: replace it",
                credential::name(&info.id)
            ),
            _ => String::new(),
        };
        format!("the token {:?} is locked, {why}{stored}", info.label)
    }

    /// Locks a token that has been without use for too long, if nobody has yet.
    pub fn lock_if_over(&self, token: &TokenId) -> Result<(), Failure> {
        if self.idle.is_over(token) {
            match self.registry.token(token) {
                Some((module, info)) if info.unlocked => {
                    self.lock(&module, &info, None, "not used")?
                }
                _ => self.idle.closed(token),
            }
        }
        Ok(())
    }

    /// Locks a token for whoever asks, or by the daemon itself.
    pub fn lock(
        &self,
        module: &Module,
        info: &TokenInfo,
        peer: Option<&Peer>,
        why: &str,
    ) -> Result<(), Failure> {
        let token = &info.id;
        let result = module.logout(token).map_err(token_failure);
        self.consents.forget_token(token);
        // locking a locked token is nothing to tell of
        if info.unlocked || result.is_err() {
            let record = Record::new(Kind::Lock, &result);
            self.trail.note(record.by(peer, why).on(info));
        }
        result?;
        self.idle.closed(token);
        self.registry.refresh();
        tracing::info!(op = "lock", token = token.0, why, "locked");
        Ok(())
    }

    /// An agent that comes later is not asked.
    fn asks(&self, source: &Source, request: &Request<'_>) -> Asks {
        match source {
            Source::Any if self.agents.check(&request.caller.name).is_err() => Asks::Pinentry,
            other => Asks::of(other),
        }
    }

    fn entry<'a>(
        &'a self,
        module: &'a Module,
        info: &'a TokenInfo,
        request: &'a Request<'a>,
        what: What<'a>,
        asks: Asks,
    ) -> Entry<'a> {
        Entry {
            module,
            info,
            request,
            agents: &self.agents,
            pinentry: self.pinentry(),
            what,
            asks,
        }
    }

    fn pinentry(&self) -> Option<PathBuf> {
        let program = self.pinentry.lock();
        program.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Afterwards, also after a failure: it may have changed the PIN flags.
    fn told(
        &self,
        kind: Kind,
        info: &TokenInfo,
        request: &Request<'_>,
        result: Result<(), Failure>,
    ) -> Result<(), Failure> {
        request.job.set_state(State::Running);
        self.recorded(kind, info, request.caller, request.purpose, result)
    }

    fn recorded(
        &self,
        kind: Kind,
        info: &TokenInfo,
        caller: &Caller,
        purpose: &str,
        result: Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.registry.refresh();
        tracing::info!(
            op = kind.name(),
            token = info.label,
            peer = caller.name,
            error = result.as_ref().err().map(|failure| failure.name.short()),
            "PIN"
        );
        let record = Record::new(kind, &result);
        let recorded = self
            .trail
            .record(record.by(Some(&caller.peer), purpose).on(info));
        match kind {
            // can be taken back, or the use that it was for is
            Kind::Unlock | Kind::KeyPin => result.and(recorded),
            // a PIN that was set is set
            _ => result,
        }
    }

    fn token(&self, token: &TokenId) -> Result<(Arc<Module>, TokenInfo), Failure> {
        self.registry
            .token(token)
            .ok_or_else(|| Failure::new(ErrorName::TokenNotPresent, "the token is not present"))
    }
}

/// As far as PKCS#11 tells, which is no number but one and none; −1: unknown.
pub fn tries_left(blocked: bool, last: bool) -> i32 {
    match (blocked, last) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => -1,
    }
}

fn is_open(info: &TokenInfo) -> bool {
    info.unlocked || !info.login_required
}

fn blocked(info: &TokenInfo) -> Failure {
    Failure::new(
        ErrorName::PinLocked,
        format!("the PIN of {:?} is blocked", info.label),
    )
}

/// A token's error as clients see it.
pub fn token_failure(error: privyseal_token::Error) -> Failure {
    let name = ErrorName::parse(error.name()).unwrap_or(ErrorName::TokenError);
    Failure::new(name, error.to_string())
}

fn cancelled() -> Failure {
    Failure::new(ErrorName::Cancelled, "cancelled")
}
