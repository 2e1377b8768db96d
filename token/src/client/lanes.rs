//! A module's workers, each with its own supervisor: one, or for a driver whose lock serialises all readers one for each reader
//! and one for what is no PC/SC reader. Nothing that happens in one of them reaches the tokens of another.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::shared::{Card, Setup, Shared, lock};
use super::{Event, ModuleStatus, supervisor};
use crate::TokenId;
use crate::error::{Error, Result};
use crate::protocol::{Answer, Call};
use crate::readers::{Reader, Scope};

/// One supervised worker.
pub(super) struct Lane {
    pub shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Lane {
    /// Starts the worker and returns at once.
    fn start(setup: &Arc<Setup>, scope: Scope, card: Card) -> Arc<Self> {
        let shared = Arc::new(Shared::new(Arc::clone(setup), scope, card));
        let thread = thread::Builder::new()
            .name("token-supervisor".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || supervisor::run(&shared)
            });
        let supervisor = match thread {
            Ok(handle) => Some(handle),
            Err(e) => {
                shared.fail(format!("no thread for its supervisor: {e}"));
                None
            }
        };
        Arc::new(Self {
            shared,
            supervisor: Mutex::new(supervisor),
        })
    }

    /// Sends a call to the worker and waits for its answer.
    pub fn ask(&self, op: &'static str, call: Call) -> Result<Answer> {
        self.shared.call(op, call, self.shared.setup.deadline)
    }

    /// Waits for the end of a stopped worker.
    fn join(&self) {
        join(&self.supervisor);
    }
}

/// Waits for a thread, unless it is this one: `notify` runs on a module's threads, and may be what drops the module.
pub(super) fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    let handle = lock(thread).take();
    if let Some(handle) = handle.filter(|h| h.thread().id() != thread::current().id()) {
        let _ = handle.join();
    }
}

pub(super) struct Lanes {
    pub setup: Arc<Setup>,
    /// the only one, or the one for what is no PC/SC reader
    base: Arc<Lane>,
    /// empty where the base serves all
    readers: Mutex<Readers>,
    changed: Condvar,
}

struct Readers {
    lanes: BTreeMap<Scope, Arc<Lane>>,
    watched: Watched,
    /// counts lists of readers, and attempts to get the first
    lists: u64,
    stopping: bool,
}

/// What is known of the readers.
#[derive(Clone)]
enum Watched {
    /// there is a list, or none is needed
    Known,
    NotYet,
    Failed(String),
}

impl Lanes {
    pub fn start(setup: Setup, per_reader: bool) -> Self {
        let setup = Arc::new(setup);
        let (scope, watched) = if per_reader {
            (Scope::Unnumbered, Watched::NotYet)
        } else {
            (Scope::All, Watched::Known)
        };
        Self {
            base: Lane::start(&setup, scope, Card::Unknown),
            setup,
            readers: Mutex::new(Readers {
                lanes: BTreeMap::new(),
                watched,
                lists: 0,
                stopping: false,
            }),
            changed: Condvar::new(),
        }
    }

    pub fn base(&self) -> &Lane {
        &self.base
    }

    /// All, in a stable order.
    pub fn all(&self) -> Vec<Arc<Lane>> {
        let readers = lock(&self.readers);
        let mut all = vec![Arc::clone(&self.base)];
        all.extend(readers.lanes.values().cloned());
        all
    }

    /// The module itself as it is, then the first reader that something is wrong with.
    pub fn status(&self) -> ModuleStatus {
        let base = self.base.shared.status();
        let watched = lock(&self.readers).watched.clone();
        match (base, watched) {
            (ModuleStatus::Ok, Watched::Known) => {}
            (ModuleStatus::Ok, Watched::NotYet) => return ModuleStatus::Loading,
            (ModuleStatus::Ok, Watched::Failed(why)) => return ModuleStatus::Failed(why),
            (other, _) => return other,
        }
        let mut wrong = ModuleStatus::Ok;
        for lane in self.all() {
            let name = || match &lane.shared.scope {
                Scope::Reader(name) => format!("{name}: "),
                Scope::All | Scope::Unnumbered => String::new(),
            };
            match (lane.shared.status(), &wrong) {
                (ModuleStatus::Loading, _) => return ModuleStatus::Loading,
                (ModuleStatus::Failed(why), ModuleStatus::Ok) => {
                    wrong = ModuleStatus::Failed(name() + &why);
                }
                (ModuleStatus::Quarantined(why), ModuleStatus::Ok) => {
                    wrong = ModuleStatus::Quarantined(name() + &why);
                }
                // what ends has no reader any more
                _ => {}
            }
        }
        wrong
    }

    /// The worker that last saw a token.
    pub fn of(&self, token: &TokenId) -> Option<Arc<Lane>> {
        self.all().into_iter().find(|lane| lane.shared.has(token))
    }

    /// [`Lanes::of`]; of a token that nobody has seen yet: looks.
    pub fn find(&self, token: &TokenId) -> Result<Arc<Lane>> {
        if let Some(lane) = self.of(token) {
            return Ok(lane);
        }
        if lock(&self.readers).lanes.is_empty() {
            // its worker looks by itself
            return Ok(Arc::clone(&self.base));
        }
        let looked = self.each("poll", || Call::Poll);
        match (self.of(token), looked) {
            (Some(lane), _) => Ok(lane),
            (None, Err(e)) => Err(e),
            (None, Ok(())) => Err(Error::TokenNotPresent),
        }
    }

    /// Asks all workers that have something to look at, at the same time; the first error of any.
    pub fn each(&self, op: &'static str, call: impl Fn() -> Call + Sync) -> Result<()> {
        let mut lanes = self.all();
        lanes.retain(|lane| !lane.shared.is_empty());
        let ask = |lane: &Lane| lane.ask(op, call()).map(|_| ());
        let ask = &ask;
        thread::scope(|scope| {
            let asked: Vec<_> = lanes
                .iter()
                .map(|lane| {
                    thread::Builder::new()
                        .spawn_scoped(scope, move || ask(lane))
                        .map_err(|e| Error::TokenError(format!("no thread to ask it: {e}")))
                })
                .collect();
            let answers = asked.into_iter().map(|thread| {
                let died = |_| Error::TokenError("asking it failed".into());
                thread.and_then(|thread| thread.join().map_err(died).flatten())
            });
            // wait for all of them
            answers.fold(Ok(()), Result::and)
        })
    }

    /// Takes over a list of readers: each new one gets a worker, the worker of one that is gone ends, and those that stay are told
    /// of their cards.
    pub fn follow(&self, list: &[Reader]) {
        let wanted: BTreeMap<Scope, Card> = list
            .iter()
            .filter_map(|r| Some((Scope::of_reader(&r.name)?, Card::of(r.card))))
            .collect();
        let mut readers = lock(&self.readers);
        if readers.stopping {
            return;
        }
        let (kept, gone) = std::mem::take(&mut readers.lanes)
            .into_iter()
            .partition(|(scope, _)| wanted.contains_key(scope));
        readers.lanes = kept;
        let gone: BTreeMap<Scope, Arc<Lane>> = gone;
        let mut stayed = Vec::new();
        for (scope, card) in wanted {
            match readers.lanes.get(&scope) {
                Some(lane) => stayed.push((Arc::clone(lane), card)),
                None => {
                    let lane = Lane::start(&self.setup, scope.clone(), card);
                    readers.lanes.insert(scope, lane);
                }
            }
        }
        readers.watched = Watched::Known;
        readers.lists = readers.lists.wrapping_add(1);
        drop(readers);
        self.changed.notify_all();
        tracing::debug!(module = %self.setup.config.path.display(), ?list, "readers");
        for (lane, card) in stayed {
            lane.shared.set_card(card);
        }
        // the base may have been ready for long
        (self.setup.notify)(Event::Status);
        for lane in gone.values() {
            lane.shared.stop();
        }
        if !gone.is_empty() {
            (self.setup.notify)(Event::Tokens);
        }
        // so that one that comes back finds its reader free
        for lane in gone.values() {
            lane.join();
        }
    }

    /// There is no list of readers, for this reason; what there is of workers stays.
    pub fn not_watched(&self, why: String) {
        let mut readers = lock(&self.readers);
        if matches!(readers.watched, Watched::Known) {
            return;
        }
        readers.watched = Watched::Failed(why);
        readers.lists = readers.lists.wrapping_add(1);
        drop(readers);
        self.changed.notify_all();
        (self.setup.notify)(Event::Status);
    }

    /// Waits for the next list of readers, after `ask` was told to fetch it.
    pub fn next_list(&self, ask: impl FnOnce()) -> Result<()> {
        let until = Instant::now()
            .checked_add(self.setup.deadline)
            .ok_or(Error::Timeout)?;
        let seen = lock(&self.readers).lists;
        ask();
        let mut readers = lock(&self.readers);
        while readers.lists == seen {
            if readers.stopping {
                return Err(Error::Module("it was shut down".into()));
            }
            let left = until.saturating_duration_since(Instant::now());
            let (next, timeout) = self
                .changed
                .wait_timeout(readers, left)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            readers = next;
            if timeout.timed_out() {
                return Err(Error::Timeout);
            }
        }
        match &readers.watched {
            Watched::Failed(why) => Err(Error::Module(why.clone())),
            Watched::Known | Watched::NotYet => Ok(()),
        }
    }

    /// Tells all workers to end.
    pub fn stop(&self) {
        lock(&self.readers).stopping = true;
        self.changed.notify_all();
        for lane in self.all() {
            lane.shared.stop();
        }
    }

    /// Waits for their end.
    pub fn join(&self) {
        for lane in self.all() {
            lane.join();
        }
    }
}
