//! What a worker's supervisor, its reader thread and its callers share.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::link::{InUse, Link};
use super::wrong_pins::{Whose, WrongPins};
use super::{Event, ModuleStatus};
use crate::error::{Error, Result};
use crate::protocol::{Allowed, Answer, Call, Listing, Snapshot};
use crate::readers::Scope;
use crate::{Batch, ModuleConfig, ModuleInfo, TokenCertificate, TokenId, TokenInfo};

/// After so many wrong PINs in a row the next one is treated as the last (design rule 3).
const FAILURES_BEFORE_LAST: u32 = 2;

/// pcscd looks every 400 ms.
const NOTICED: Duration = Duration::from_millis(700);

/// A poisoned lock is as good as another: what it guards is always left whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all workers of a module have in common.
pub(super) struct Setup {
    pub config: ModuleConfig,
    pub worker: PathBuf,
    pub deadline: Duration,
    pub notify: Box<dyn Fn(Event) + Send + Sync>,
    /// wrong PINs in a row; they outlive a worker, and a card takes them along to another reader
    pub wrong_pins: Mutex<WrongPins>,
    /// what a PIN may be kept for
    pub batch: Mutex<Option<Batch>>,
}

pub(super) struct Shared {
    pub setup: Arc<Setup>,
    pub scope: Scope,
    pub state: Mutex<State>,
    pub changed: Condvar,
}

/// What is known of the card in a worker's reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Card {
    /// it is no PC/SC reader's worker
    Unknown,
    Absent,
    /// by PC/SC's counter of cards that came and went
    Present(u16),
}

impl Card {
    pub fn of(counter: Option<u16>) -> Self {
        counter.map_or(Self::Absent, Self::Present)
    }
}

pub(super) struct State {
    pub phase: Phase,
    pub card: Card,
    /// the card that the worker knows has gone
    pub pulled: bool,
    /// a worker that is loading its module
    pub starting: Option<Arc<Link>>,
    pub info: Option<ModuleInfo>,
    /// what of the confinement this machine does not have
    pub unconfined: Vec<String>,
    /// counts workers, so that the last words of a dead one are not taken for the next one's
    pub generation: u64,
    pub revision: u64,
    pub tokens: Vec<Snapshot>,
    /// start a worker now
    pub wanted: bool,
    pub stopping: bool,
    /// to be told by the supervisor
    pub status_changed: bool,
    pub tokens_changed: bool,
    /// the worker died while a token was unlocked
    pub left_unlocked: bool,
    /// tokens that a PIN is on its way to
    pin_turns: HashSet<TokenId>,
}

pub(super) enum Phase {
    Loading,
    Ready(Arc<Link>),
    /// the worker has exited to let go of the card; the next call starts one
    Resting,
    Failed(String),
    Quarantined(String),
    Disabled,
}

impl State {
    pub fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.status_changed = true;
    }

    /// Nothing is unlocked without a worker.
    pub fn lock_all(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.revision = 0;
        for token in &mut self.tokens {
            self.tokens_changed |= token.info.unlocked;
            self.left_unlocked |= token.info.unlocked;
            token.info.unlocked = false;
            token.info.pin_kept = false;
            token.info.lone_keys.clear();
        }
    }
}

impl Setup {
    /// What the configuration lets the module use.
    pub fn allowed(&self) -> Allowed {
        Allowed {
            read: self.config.read.clone(),
            write: self.config.write.clone(),
            devices: self.config.devices.clone(),
            network: self.config.network,
        }
    }

    fn wrong_pins(&self, token: &TokenId, whose: Whose) -> u32 {
        lock(&self.wrong_pins).of(token, whose)
    }

    pub fn batch(&self) -> Option<Batch> {
        *lock(&self.batch)
    }

    /// The user's PIN is a new one: what was wrong about the old one counts no more.
    pub fn forget_wrong_pins(&self, token: &TokenId) {
        lock(&self.wrong_pins).set(token, Whose::User, 0);
    }
}

impl Shared {
    pub fn new(setup: Arc<Setup>, scope: Scope, card: Card) -> Self {
        Self {
            setup,
            scope,
            state: Mutex::new(State {
                phase: Phase::Loading,
                card,
                pulled: false,
                starting: None,
                info: None,
                unconfined: Vec::new(),
                generation: 0,
                revision: 0,
                tokens: Vec::new(),
                wanted: false,
                stopping: false,
                status_changed: false,
                tokens_changed: false,
                left_unlocked: false,
                pin_turns: HashSet::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Takes over what PC/SC tells of the card: one that has gone takes its tokens with it, one that comes is looked at.
    pub fn set_card(&self, card: Card) {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.card, card);
        if before == card {
            return;
        }
        let mut starting = None;
        if matches!(before, Card::Present(_)) {
            state.pulled = true;
            state.lock_all();
            // without power it has forgotten
            state.left_unlocked = false;
            state.tokens_changed |= !state.tokens.is_empty();
            state.tokens.clear();
            starting = state.starting.take();
        }
        state.wanted |= matches!(card, Card::Present(_));
        drop(state);
        self.changed.notify_all();
        if let Some(link) = starting {
            link.die(Some("the card was pulled while it was looked at"));
        }
    }

    /// A reader without a card.
    pub fn is_empty(&self) -> bool {
        lock(&self.state).card == Card::Absent
    }

    /// Waits for a change, at most until `until`.
    pub fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: Instant,
    ) -> (MutexGuard<'a, State>, bool) {
        let left = until.saturating_duration_since(Instant::now());
        let (state, timeout) = self
            .changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner);
        (state, timeout.timed_out())
    }

    pub fn status(&self) -> ModuleStatus {
        let state = lock(&self.state);
        match &state.phase {
            Phase::Disabled => ModuleStatus::Disabled,
            // nothing is to be done there, and nothing wrong
            _ if state.card == Card::Absent => ModuleStatus::Ok,
            Phase::Loading => ModuleStatus::Loading,
            // the supervisor has yet to notice
            Phase::Ready(link) if link.is_dead() && !link.rests() => {
                ModuleStatus::Failed(link.death().unwrap_or_default())
            }
            Phase::Ready(_) | Phase::Resting => ModuleStatus::Ok,
            Phase::Failed(why) => ModuleStatus::Failed(why.clone()),
            Phase::Quarantined(why) => ModuleStatus::Quarantined(why.clone()),
        }
    }

    pub fn worker_pid(&self) -> Option<u32> {
        match &lock(&self.state).phase {
            Phase::Ready(link) if !link.is_dead() => Some(link.pid()),
            _ => None,
        }
    }

    pub fn tokens(&self) -> Vec<TokenInfo> {
        let state = lock(&self.state);
        let dead = matches!(&state.phase, Phase::Ready(link) if link.is_dead());
        let with_our_count = |token: &Snapshot| {
            let mut info = token.info.clone();
            info.unlocked &= !dead;
            info.pin_kept &= !dead;
            let is_last = |whose| self.setup.wrong_pins(&info.id, whose) >= FAILURES_BEFORE_LAST;
            let (user, officer) = (is_last(Whose::User), is_last(Whose::Officer));
            info.pin_final_try |= user;
            info.so_pin_final_try |= officer;
            info
        };
        state.tokens.iter().map(with_our_count).collect()
    }

    pub fn certificates(&self, token: &TokenId) -> Vec<TokenCertificate> {
        let state = lock(&self.state);
        let found = state.tokens.iter().find(|t| t.info.id == *token);
        found.map(|t| t.certificates.clone()).unwrap_or_default()
    }

    /// Takes over what a worker tells of its tokens.
    pub fn apply(&self, generation: u64, listing: Listing) {
        let mut state = lock(&self.state);
        if generation == state.generation && listing.revision > state.revision {
            state.revision = listing.revision;
            state.tokens_changed |= state.tokens != listing.tokens;
            state.tokens = listing.tokens;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Sends a call to the worker; waits for one that is starting.
    pub fn call(&self, op: &'static str, call: Call, limit: Duration) -> Result<Answer> {
        let link = self.link()?;
        let card = lock(&self.state).card;
        let result = link.call(op, call, limit);
        match &result {
            Err(Error::TokenError(_) | Error::WorkerDied(_)) if self.goes(card) => {
                Err(Error::TokenRemoved)
            }
            _ => result,
        }
    }

    /// Whether this card has gone, or is found to be gone in a moment: a driver fails before PC/SC tells why.
    fn goes(&self, card: Card) -> bool {
        let Card::Present(_) = card else {
            return false;
        };
        let Some(until) = Instant::now().checked_add(NOTICED) else {
            return false;
        };
        let mut state = lock(&self.state);
        while state.card == card {
            let (next, timed_out) = self.wait(state, until);
            state = next;
            if timed_out {
                return state.card != card;
            }
        }
        true
    }

    fn link(&self) -> Result<InUse> {
        let until = Instant::now()
            .checked_add(self.setup.deadline)
            .ok_or(Error::Timeout)?;
        let mut state = lock(&self.state);
        loop {
            if state.card == Card::Absent {
                return Err(Error::TokenNotPresent);
            }
            match &state.phase {
                // under the lock that the supervisor has while it ends an idle worker
                Phase::Ready(link) if !link.rests() => return Ok(InUse::new(link)),
                Phase::Failed(why) | Phase::Quarantined(why) => {
                    return Err(Error::Module(why.clone()));
                }
                Phase::Disabled => return Err(Error::Module("it was shut down".into())),
                Phase::Loading => {}
                Phase::Ready(_) | Phase::Resting => {
                    state.wanted = true;
                    self.changed.notify_all();
                }
            }
            let (next, timed_out) = self.wait(state, until);
            state = next;
            if timed_out {
                return Err(Error::Timeout);
            }
        }
    }

    /// It was last seen in this worker.
    pub fn has(&self, token: &TokenId) -> bool {
        let state = lock(&self.state);
        state.tokens.iter().any(|t| t.info.id == *token)
    }

    /// A new PIN has all its tries. The worker that set it may be gone without having looked, and OpenSC goes on showing what was.
    pub fn pin_is_new(&self, token: &TokenId) {
        self.setup.forget_wrong_pins(token);
        let mut state = lock(&self.state);
        if let Some(known) = state.tokens.iter_mut().find(|t| t.info.id == *token) {
            known.info.pin_locked = false;
            known.info.pin_final_try = false;
            known.info.pin_count_low = false;
        }
        state.tokens_changed = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until a worker that exits to let go of its card has done so; at most some seconds.
    pub fn await_rest(&self) {
        let Some(until) = Instant::now().checked_add(super::supervisor::GOODBYE) else {
            return;
        };
        let mut state = lock(&self.state);
        while matches!(&state.phase, Phase::Ready(link) if link.rests() && !link.is_dead()) {
            let (next, timed_out) = self.wait(state, until);
            state = next;
            if timed_out {
                return;
            }
        }
    }

    /// Has a failed module started again.
    pub fn revive(&self) {
        let mut state = lock(&self.state);
        // a death that the supervisor has yet to notice
        let until = Instant::now().checked_add(self.setup.deadline);
        while matches!(&state.phase, Phase::Ready(link) if link.is_dead()) {
            let Some(until) = until else { break };
            let (next, timed_out) = self.wait(state, until);
            state = next;
            if timed_out {
                break;
            }
        }
        if matches!(state.phase, Phase::Failed(_) | Phase::Quarantined(_)) {
            state.set_phase(Phase::Loading);
            state.wanted = true;
        }
        drop(state);
        self.changed.notify_all();
    }

    pub fn fail(&self, why: String) {
        lock(&self.state).set_phase(Phase::Failed(why));
    }

    /// The supervisor is to end.
    pub fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        let starting = state.starting.take();
        drop(state);
        self.changed.notify_all();
        // nothing is unlocked yet in a worker that is still loading: no reason to wait for it
        if let Some(link) = starting {
            link.die(Some("shut down while loading"));
        }
    }

    /// Waits until no other PIN is on its way to this token: the count of wrong ones must be known before the next is sent.
    pub fn pin_turn<'a>(&'a self, token: &'a TokenId, whose: Whose) -> Result<PinTurn<'a>> {
        let until = Instant::now()
            .checked_add(super::PINPAD_DEADLINE)
            .ok_or(Error::Timeout)?;
        let mut state = lock(&self.state);
        while state.pin_turns.contains(token) {
            let (next, timed_out) = self.wait(state, until);
            state = next;
            if timed_out {
                return Err(Error::Timeout);
            }
        }
        state.pin_turns.insert(token.clone());
        Ok(PinTurn {
            shared: self,
            token,
            whose,
        })
    }
}

/// The right to send a PIN to a token.
pub(super) struct PinTurn<'a> {
    shared: &'a Shared,
    token: &'a TokenId,
    whose: Whose,
}

impl PinTurn<'_> {
    /// Unlocked by us, in a worker that lives.
    pub fn is_unlocked(&self) -> bool {
        let state = lock(&self.shared.state);
        matches!(&state.phase, Phase::Ready(link) if !link.is_dead())
            && state
                .tokens
                .iter()
                .any(|t| t.info.id == *self.token && t.info.unlocked)
    }

    /// Refuses a try that may be the last one, if nobody has confirmed it.
    pub fn allow(&self, final_try: bool) -> Result<()> {
        let state = lock(&self.shared.state);
        let failures = self.shared.setup.wrong_pins(self.token, self.whose);
        let last_by_flag = state.tokens.iter().any(|t| {
            let last = match self.whose {
                Whose::User => t.info.pin_final_try,
                Whose::Officer => t.info.so_pin_final_try,
            };
            t.info.id == *self.token && last
        });
        if (failures >= FAILURES_BEFORE_LAST || last_by_flag) && !final_try {
            return Err(Error::BadPinFinalTry);
        }
        Ok(())
    }

    /// Counts what came of the PIN.
    pub fn judge<T>(&self, result: Result<T>) -> Result<T> {
        let mut wrong_pins = lock(&self.shared.setup.wrong_pins);
        let mut changed = false;
        let result = match result {
            Err(e @ (Error::BadPin | Error::BadPinFewTriesLeft | Error::PinLocked)) => {
                let failures = wrong_pins.of(self.token, self.whose).saturating_add(1);
                wrong_pins.set(self.token, self.whose, failures);
                let last = failures >= FAILURES_BEFORE_LAST;
                changed = last;
                Err(match e {
                    Error::BadPin if last => Error::BadPinFewTriesLeft,
                    other => other,
                })
            }
            Ok(value) => {
                changed = wrong_pins.of(self.token, self.whose) > 0;
                wrong_pins.set(self.token, self.whose, 0);
                Ok(value)
            }
            other => other,
        };
        drop(wrong_pins);
        lock(&self.shared.state).tokens_changed |= changed;
        result
    }
}

impl Drop for PinTurn<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).pin_turns.remove(self.token);
        self.shared.changed.notify_all();
    }
}
