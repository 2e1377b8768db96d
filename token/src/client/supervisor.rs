//! The supervisor's thread: starts the worker, polls it, and deals with its end.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::Event;
use super::link::Link;
use super::shared::{Card, Phase, Shared, State, lock};
use super::spawn::spawn;
use crate::error::Error;
use crate::protocol::{Answer, Call};
use crate::readers::{OPENSC_CONF, Scope};

/// Look for changes while something is unlocked, and while nothing is.
const POLL_UNLOCKED: Duration = Duration::from_secs(1);
const POLL_LOCKED: Duration = Duration::from_secs(5);
/// Pause after the first, second … death.
const BACK_OFF: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// So many deaths in such a time: the module is given up.
const DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);
/// A module that does not load is tried again; what it lacks (a TPM, a daemon) may come.
const RELOAD_AFTER: Duration = Duration::from_secs(30);
/// pcscd powers a card down 5 s after the last program has let go of it: a card that could not be reset forgets its PIN then.
const REST: Duration = Duration::from_secs(6);
/// A card's worker that nobody has used for so long exits, if it may; it is looked at every [`LOOK`].
const IDLE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_secs(1);
/// A card that shows no token is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// For C_Logout and C_Finalize; the worker's own limit is shorter.
pub(super) const GOODBYE: Duration = Duration::from_secs(8);

/// Modules in use by this process, as (real path, environment, readers): a second worker on one store would break it.
static IN_USE: Mutex<Option<HashSet<Use>>> = Mutex::new(None);
type Use = (PathBuf, Vec<(String, String)>, Scope);

enum End {
    Stopped,
    /// exited to let go of a card that was locked
    Rested,
    /// exited because nobody needed it
    LetGo,
    /// its card has gone
    Pulled,
    /// could not be loaded; said so itself
    NotLoaded(String),
    Died(String),
}

/// Runs until [`Shared::stop`].
pub(super) fn run(shared: &Arc<Shared>) {
    let mut deaths = VecDeque::new();
    let mut claim = None;
    loop {
        if shared.is_empty() {
            set_phase(shared, Phase::Resting);
            if !pause(shared, None) {
                return disable(shared);
            }
            continue;
        }
        let end = match claim.take().map_or_else(|| Claim::new(shared), Ok) {
            Ok(claimed) => live(shared, &claim.insert(claimed).module),
            Err(why) => End::NotLoaded(why),
        };
        let module = shared.setup.config.path.display();
        let wait = match end {
            End::Stopped => return disable(shared),
            End::Rested => {
                set_phase(shared, Phase::Resting);
                Some(REST)
            }
            End::LetGo => {
                set_phase(shared, Phase::Resting);
                // one that shows nothing may be another program's for now, which no change of its reader tells
                lock(&shared.state).tokens.is_empty().then_some(LOOK_AGAIN)
            }
            End::Pulled => {
                set_phase(shared, Phase::Resting);
                None
            }
            End::NotLoaded(why) => {
                tracing::warn!(%module, why, "module not loaded");
                set_phase(shared, Phase::Failed(why));
                Some(RELOAD_AFTER)
            }
            End::Died(why) => {
                tracing::error!(%module, why, "worker died");
                let recent = count(&mut deaths);
                if recent >= DEATHS {
                    let why = format!("{recent} worker deaths within a minute, the last: {why}");
                    set_phase(shared, Phase::Quarantined(why));
                    None
                } else {
                    set_phase(shared, Phase::Failed(why));
                    BACK_OFF
                        .get(recent.saturating_sub(1))
                        .copied()
                        .or(BACK_OFF.last().copied())
                }
            }
        };
        if !pause(shared, wait) {
            return disable(shared);
        }
    }
}

/// This death and those shortly before.
fn count(deaths: &mut VecDeque<Instant>) -> usize {
    deaths.push_back(Instant::now());
    deaths.retain(|at| at.elapsed() < DEATHS_WITHIN);
    deaths.len()
}

fn set_phase(shared: &Shared, phase: Phase) {
    let mut state = lock(&shared.state);
    state.lock_all();
    if matches!(phase, Phase::Quarantined(_)) {
        state.tokens_changed |= !state.tokens.is_empty();
        state.tokens.clear();
    }
    state.set_phase(phase);
    drop(state);
    shared.changed.notify_all();
    tell(shared);
}

fn disable(shared: &Shared) {
    let mut state = lock(&shared.state);
    state.lock_all();
    state.tokens_changed |= !state.tokens.is_empty();
    state.tokens.clear();
    state.set_phase(Phase::Disabled);
    drop(state);
    shared.changed.notify_all();
    tell(shared);
}

/// Waits until a worker is wanted; `None`: for as long as nobody asks. False: stop.
fn pause(shared: &Shared, wait: Option<Duration>) -> bool {
    let until = wait.and_then(|wait| Instant::now().checked_add(wait));
    loop {
        tell(shared);
        let mut state = lock(&shared.state);
        let due = until.is_some_and(|until| Instant::now() >= until);
        if state.stopping {
            return false;
        }
        if state.wanted || due {
            state.wanted = false;
            // what rested is Ok all the while; what failed is loading now
            if !matches!(state.phase, Phase::Resting | Phase::Loading) {
                state.set_phase(Phase::Loading);
            }
            return true;
        }
        let tick = Instant::now().checked_add(Duration::from_secs(60));
        if !state.status_changed && !state.tokens_changed {
            drop(tick.map(|tick| shared.wait(state, until.map_or(tick, |u| u.min(tick)))));
        }
    }
}

/// Tells what has changed since the last time.
fn tell(shared: &Shared) {
    let mut state = lock(&shared.state);
    let status = std::mem::take(&mut state.status_changed);
    let tokens = std::mem::take(&mut state.tokens_changed);
    drop(state);
    if status {
        (shared.setup.notify)(Event::Status);
    }
    if tokens {
        (shared.setup.notify)(Event::Tokens);
    }
}

/// One worker, from its start to its end.
fn live(shared: &Arc<Shared>, module: &Path) -> End {
    let (generation, left_unlocked) = {
        let mut state = lock(&shared.state);
        if state.card == Card::Absent {
            return End::Pulled;
        }
        (state.pulled, state.wanted) = (false, false);
        (state.generation, std::mem::take(&mut state.left_unlocked))
    };
    let (child, socket) = match spawn(&shared.setup, &shared.scope) {
        Ok(started) => started,
        Err(why) => return End::NotLoaded(why),
    };
    let reader = match socket.try_clone() {
        Ok(reader) => reader,
        Err(e) => return End::NotLoaded(e.to_string()),
    };
    let link = Arc::new(Link::new(child, socket, generation));
    let thread = thread::Builder::new().name("token-reader".into()).spawn({
        let (link, shared) = (Arc::clone(&link), Arc::clone(shared));
        move || link.read_answers(reader, &shared)
    });
    if let Err(e) = thread {
        return End::NotLoaded(e.to_string());
    }
    let start = Call::Start {
        module: module.to_owned(),
        init_args: shared.setup.config.init_args.clone(),
        allowed: shared.setup.allowed(),
        scope: shared.scope.clone(),
        opensc_conf: shared.setup.config.env.get(OPENSC_CONF).map(PathBuf::from),
        reset_card: left_unlocked,
        client: std::process::id(),
    };
    if !begin(shared, &link) {
        return End::Stopped;
    }
    let started = link.call_alone("start", start, shared.setup.deadline);
    let mut state = lock(&shared.state);
    state.starting = None;
    match started {
        Ok(Answer::Started { .. }) if std::mem::take(&mut state.pulled) => {
            drop(state);
            link.die(Some("the card was pulled"));
            End::Pulled
        }
        Ok(Answer::Started {
            info,
            parallel,
            unconfined,
        }) => {
            tracing::debug!(module = %module.display(), pid = link.pid(), parallel, "module loaded");
            if !unconfined.is_empty() && state.unconfined != unconfined {
                tracing::warn!(module = %module.display(), lacks = unconfined.join("; "), "confined less than it could be");
            }
            state.unconfined = unconfined;
            link.open_window(parallel);
            state.info = Some(info);
            state.set_phase(Phase::Ready(Arc::clone(&link)));
            drop(state);
            shared.changed.notify_all();
            watch(shared, &link)
        }
        _ if state.stopping => End::Stopped,
        _ if std::mem::take(&mut state.pulled) => {
            drop(state);
            link.die(Some("the card was pulled"));
            End::Pulled
        }
        Err(Error::WorkerDied(why)) => End::Died(why),
        Err(Error::Timeout) => End::Died(format!("not loaded within {:?}", shared.setup.deadline)),
        Err(e) => End::NotLoaded(match e {
            Error::Module(why) => why,
            other => other.to_string(),
        }),
        Ok(_) => End::Died("it answered another question".into()),
    }
}

/// Lets [`Shared::stop`] know the worker that is loading; false: it is stopped already.
fn begin(shared: &Shared, link: &Arc<Link>) -> bool {
    let mut state = lock(&shared.state);
    state.starting = Some(Arc::clone(link));
    !state.stopping
}

/// Polls a ready worker until its end.
fn watch(shared: &Shared, link: &Arc<Link>) -> End {
    let mut polled = Instant::now();
    loop {
        tell(shared);
        link.enforce_deadlines();
        let mut state = lock(&shared.state);
        if std::mem::take(&mut state.pulled) {
            drop(state);
            // not asked to exit: a driver may hang with its card gone
            link.abandon(&Error::TokenRemoved);
            return End::Pulled;
        }
        if state.stopping {
            drop(state);
            // the answer is the end of the stream
            let _ = link.call_alone("shutdown", Call::Shutdown, GOODBYE);
            link.die(Some("shut down"));
            return End::Stopped;
        }
        if link.rests() {
            drop(state);
            await_end(shared, link);
            return End::Rested;
        }
        if let Some(why) = link.death() {
            return End::Died(why);
        }
        if may_let_go(shared, &state) && link.retire(IDLE) {
            drop(state);
            await_end(shared, link);
            return End::LetGo;
        }
        let interval = poll_interval(&state);
        // a card that has come while nothing was there is looked at now
        if std::mem::take(&mut state.wanted) || polled.elapsed() >= interval {
            drop(state);
            polled = Instant::now();
            if !link.has("poll") {
                let _ = link.send("poll", Call::Poll, shared.setup.deadline);
            }
            continue;
        }
        let tick = interval
            .saturating_sub(polled.elapsed())
            .min(shared.setup.deadline.checked_div(2).unwrap_or(interval))
            .min(LOOK);
        if !state.status_changed && !state.tokens_changed {
            drop(
                Instant::now()
                    .checked_add(tick)
                    .map(|until| shared.wait(state, until)),
            );
        }
    }
}

/// A locked card is for others to have: scdaemon, a browser. One that is in use is not, unless the configuration says so.
fn may_let_go(shared: &Shared, state: &State) -> bool {
    let never_held = shared.setup.config.hold.as_deref() == Some("never");
    let unlocked = state.tokens.iter().any(|t| t.info.unlocked);
    matches!(state.card, Card::Present(_)) && (never_held || !unlocked)
}

/// Waits for a worker that exits by itself; kills it if that takes too long.
fn await_end(shared: &Shared, link: &Link) {
    let until = Instant::now().checked_add(GOODBYE);
    let mut timed_out = false;
    while !link.is_dead() && !timed_out {
        timed_out = until.is_none_or(|until| shared.wait(lock(&shared.state), until).1);
    }
    link.die(Some("it did not exit"));
}

fn poll_interval(state: &State) -> Duration {
    if state.tokens.iter().any(|t| t.info.unlocked) {
        POLL_UNLOCKED
    } else {
        POLL_LOCKED
    }
}

/// This process's claim to a module; given back when dropped.
struct Claim {
    module: PathBuf,
    entry: Use,
}

impl Claim {
    fn new(shared: &Shared) -> Result<Self, String> {
        let path = &shared.setup.config.path;
        if !path.is_absolute() {
            return Err(format!("{} is no absolute path", path.display()));
        }
        let module = path
            .canonicalize()
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let env = shared.setup.config.env.clone().into_iter().collect();
        let entry = (module.clone(), env, shared.scope.clone());
        let mut in_use = lock(&IN_USE);
        if !in_use.get_or_insert_default().insert(entry.clone()) {
            return Err(format!("{} has a worker already", module.display()));
        }
        Ok(Self { module, entry })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&IN_USE).get_or_insert_default().remove(&self.entry);
    }
}
