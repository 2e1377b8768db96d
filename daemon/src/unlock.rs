//! Everything that a PIN is asked for: unlocking a token, one use of a key that wants it every time, a new PIN. It comes from a
//! descriptor, a credential that the administrator stored, a prompt, or the reader's own keypad (design rules 2 and 3).
//!
//! One entry by a person is one C_Login at most. Unlocks of one token happen one after the other: who waited finds the token
//! unlocked, and no second PIN is asked for. All of this blocks: it runs on a job's own thread.

mod consent;
mod entry;
mod prompt;

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::{KeyPin, Module, TokenId, TokenInfo};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::agent::Agents;
use crate::audit::{Entry as Record, Kind, Trail};
use crate::client::Caller;
use crate::config::Config;
use crate::consent::Consents;
use crate::credential::{self, Credentials, Stored};
use crate::idle::{Idle, Use};
use crate::job::{Job, State};
use crate::operation::{Attempt, KeyUse};
use crate::peer::Peer;
use crate::registry::{OwnCertificate, Registry};

use consent::Admitted;
use entry::{Entry, What};
use prompt::Asks;

/// A call that asks nobody waits so long for another that unlocks its token.
const SOON: Duration = Duration::from_secs(5);

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

/// Which PIN is set anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewPin {
    /// by the old one
    Change,
    /// by the PUK or SO PIN
    Unblock,
}

/// Unlocks tokens, one person at a time for each.
pub struct Unlocker {
    pub idle: Idle,
    pub agents: Agents,
    pub credentials: Credentials,
    pub consents: Consents,
    pub trail: Arc<Trail>,
    registry: Arc<Registry>,
    runtime: Handle,
    pinentry: Mutex<Option<PathBuf>>,
    gates: Mutex<HashMap<TokenId, Arc<Semaphore>>>,
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
            runtime,
            pinentry: Mutex::default(),
            gates: Mutex::default(),
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
        let _gate = self.gate(token, request.job)?;
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
            _ => Some(self.gate_soon(token)?),
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

    /// Uses a key: without a PIN, then with one entry for each try, where the key wants that (CKA_ALWAYS_AUTHENTICATE). The token is
    /// unlocked; it may be locked by a wrong entry (OpenSC), and is unlocked anew before the next.
    pub fn use_key(
        &self,
        own: &OwnCertificate,
        kind: Kind,
        request: &Request<'_>,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let key_use = KeyUse {
            kind,
            purpose: request.purpose,
        };
        let standing = self.standing(own, key_use, request.caller);
        let admitted = match standing {
            Some(admitted) => admitted,
            // its PIN will be typed for this very use: that is the question
            None if self.will_ask_pin(own, request) => {
                request.typed.set(None);
                Admitted::by_pin(request, kind)
            }
            None => self.ask(own, kind, request)?,
        };
        if !admitted.waits_for_pin() {
            let first = self.counted(own, &admitted, &mut || attempt(None))?;
            if !wants_pin(&first) {
                return first.map_err(token_failure);
            }
        }
        let token = &own.token;
        let _gate = self.gate(token, request.job)?;
        let (module, info) = self.token(token)?;
        if info.pin_kept && !admitted.waits_for_pin() {
            // the entry that we waited for serves this use too
            let second = self.counted(own, &admitted, &mut || attempt(None))?;
            if !wants_pin(&second) {
                return second.map_err(token_failure);
            }
        }
        let what = What::Key(&own.label);
        let asks = match admitted.waits_for_pin() {
            true => Asks::Pinentry,
            false => Asks::AgentFirst,
        };
        let entry = self.entry(&module, &info, request, what, asks);
        self.entries(own, &entry, &mut |pin| {
            self.counted(own, &admitted, &mut || attempt(pin.take()))
                .and_then(|result| result.map_err(token_failure))
        })?;
        self.vouch(&request.caller.peer, token, admitted.waits_for_pin());
        Ok(())
    }

    /// Has the PIN of an unlocked token kept for a key that wants it at every use, as far as the configuration allows.
    pub fn keep_pin(
        &self,
        own: &OwnCertificate,
        source: Source,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        if let Source::PinPad = source {
            return Err(Failure::new(
                ErrorName::NotSupported,
                "a PIN that is typed on a keypad cannot be kept",
            ));
        }
        let token = &own.token;
        let _gate = self.gate(token, request.job)?;
        let (module, info) = self.token(token)?;
        if info.pin_kept {
            return Ok(());
        }
        let what = What::Key(&own.label);
        let entry = self.entry(&module, &info, request, what, Asks::of(&source));
        if let Source::Descriptor(fd) = source {
            request.pin.set(Some(fd));
        }
        self.entries(own, &entry, &mut |pin| {
            let Some(pin) = pin.take() else {
                return Err(cancelled());
            };
            module
                .keep_pin(&own.token, &own.key, pin)
                .map_err(token_failure)
        })
    }

    /// Entries for a key, by the call's descriptor or a prompt, each sent once.
    fn entries(
        &self,
        own: &OwnCertificate,
        entry: &Entry<'_>,
        send: &mut dyn FnMut(&mut Option<KeyPin>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Entry { info, request, .. } = entry;
        let mut send = |pin, final_try| send(&mut Some(KeyPin { pin, final_try }));
        let result = if let Some(fd) = request.pin.take() {
            entry.read(fd).and_then(|pin| send(pin, false))
        } else if entry.asks == Asks::AgentFirst
            && let Some(stored) = self.credentials.try_once(info, |pin| send(pin, false))
            && (stored.is_ok() || !request.interactive)
        {
            stored
        } else if !request.interactive {
            Err(no_key_pin(own))
        } else if info.protected_auth_path {
            Err(Failure::new(
                ErrorName::NotSupported,
                "keys that want their PIN at every use are not served by a reader's keypad yet",
            ))
        } else {
            let open = || self.unlock_in_turn(&own.token, Source::Any, request);
            entry.by_prompt(open, send)
        };
        self.told(Kind::KeyPin, info, request, result)
    }

    /// A use of a key for a call that never asks anybody.
    pub fn use_key_silently(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        caller: &Caller,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let Some(admitted) = self.standing(own, key_use, caller) else {
            return Err(self.refuse(own, key_use, caller));
        };
        let first = self.counted(own, &admitted, &mut || attempt(None))?;
        if !wants_pin(&first) {
            return first.map_err(token_failure);
        }
        let _gate = self.gate_soon(&own.token)?;
        let info = self.token(&own.token)?.1;
        let stored = self.credentials.try_once(&info, |pin| {
            let mut pin = Some(KeyPin {
                pin,
                final_try: false,
            });
            self.counted(own, &admitted, &mut || attempt(pin.take()))
                .and_then(|result| result.map_err(token_failure))
        });
        match stored {
            Some(result) => self.recorded(Kind::KeyPin, &info, caller, key_use.purpose, result),
            None => Err(no_key_pin(own)),
        }
    }

    /// Whether a key of an unlocked token would want a PIN that nobody will say.
    pub fn check_key(&self, own: &OwnCertificate) -> Result<(), Failure> {
        let wants = self
            .registry
            .find(own)
            .is_some_and(|now| now.always_authenticate);
        if !wants
            || self.token(&own.token)?.1.pin_kept
            || self.credentials.look(&own.token) == Stored::Ready
        {
            return Ok(());
        }
        Err(no_key_pin(own))
    }

    /// Whether the PIN of a key that wants it at every use is to be typed for the next, at our own prompt.
    fn will_ask_pin(&self, own: &OwnCertificate, request: &Request<'_>) -> bool {
        let pin = request.pin.take();
        let comes = pin.is_some();
        request.pin.set(pin);
        request.interactive
            && !comes
            && self.asks(&Source::Any, request) == Asks::Pinentry
            && self.check_key(own).is_err()
    }

    /// An agent that comes later is not asked.
    fn asks(&self, source: &Source, request: &Request<'_>) -> Asks {
        match source {
            Source::Any if self.agents.check(&request.caller.name).is_err() => Asks::Pinentry,
            other => Asks::of(other),
        }
    }

    /// One use of a key, counted and recorded; after the last that the configuration allows the token is locked. A use of which there
    /// is no record gives nothing.
    fn counted(
        &self,
        own: &OwnCertificate,
        admitted: &Admitted<'_>,
        work: &mut dyn FnMut() -> privyseal_token::Result<()>,
    ) -> Result<privyseal_token::Result<()>, Failure> {
        self.lock_if_over(&own.token)?;
        let turn = self.idle.begin(&own.token)?;
        let result = work();
        self.idle.end(&own.token, result.is_ok());
        if !wants_pin(&result) {
            let told = result
                .as_ref()
                .map_err(|error| token_failure(error.clone()));
            self.trail.record(admitted.entry(own, &told))?;
        }
        if turn == Use::Last && result.is_ok() {
            let (module, info) = self.token(&own.token)?;
            self.lock(&module, &info, None, "used as often as it may be")?;
        }
        Ok(result)
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

    /// Sets a new PIN: `given` are descriptors of the old one (or the PUK) and of the new one; else a person is asked.
    pub fn set_pin(
        &self,
        token: &TokenId,
        which: NewPin,
        given: Option<(OwnedFd, OwnedFd)>,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        let _gate = self.gate(token, request.job)?;
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

    /// Waits for its turn; ends when the job is cancelled.
    fn gate(&self, token: &TokenId, job: &Job) -> Result<OwnedSemaphorePermit, Failure> {
        let gate = self.gate_of(token);
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

    /// Its turn, for a call that is answered at once: it does not wait for a person.
    fn gate_soon(&self, token: &TokenId) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = tokio::time::timeout(SOON, self.gate_of(token).acquire_owned());
        match self.runtime.block_on(turn) {
            Ok(permit) => permit.map_err(|_| cancelled()),
            Err(_) => Err(Failure::new(
                ErrorName::Busy,
                "somebody else is about to unlock the token",
            )),
        }
    }

    fn gate_of(&self, token: &TokenId) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // those that nobody holds or waits for are not needed
        gates.retain(|id, gate| id == token || Arc::strong_count(gate) > 1);
        gates
            .entry(token.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(1)))
            .clone()
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

fn wants_pin(result: &privyseal_token::Result<()>) -> bool {
    matches!(result, Err(privyseal_token::Error::KeyPinRequired))
}

fn no_key_pin(own: &OwnCertificate) -> Failure {
    Failure::new(
        ErrorName::PinRequired,
        format!(
            "the key {:?} wants its PIN at every use, and this call may not ask a person: pass it along (--pin-fd), or have \
             one entry serve several uses ([pin] batch-uses in the configuration)",
            own.label
        ),
    )
}

fn blocked(info: &TokenInfo) -> Failure {
    Failure::new(
        ErrorName::PinLocked,
        format!("the PIN of {:?} is blocked", info.label),
    )
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

/// A token's error as clients see it.
pub fn token_failure(error: privyseal_token::Error) -> Failure {
    let name = ErrorName::parse(error.name()).unwrap_or(ErrorName::TokenError);
    Failure::new(name, error.to_string())
}

fn cancelled() -> Failure {
    Failure::new(ErrorName::Cancelled, "cancelled")
}
