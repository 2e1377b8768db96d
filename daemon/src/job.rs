//! Jobs: work that may take long or wait for a person. State, cancel, results, limits; the bus object is `bus/job.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use privyseal_proto::limits::{JOBS, JOBS_PER_CONNECTION, RESULTS_PER_CONNECTION};
use privyseal_proto::{Dict, ErrorName, Failure, Response, job_path};
use tokio::sync::watch;
use zbus::OwnedObjectPath;

use crate::descriptor::Control;

/// Connections that left, remembered so that a call of theirs that is still on its way makes no job. Unique names are never
/// given twice.
const DEPARTED_MAX: usize = 256;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Queued,
    WaitingForToken,
    WaitingForUser,
    Running,
    Done,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::WaitingForToken => "waiting-for-token",
            State::WaitingForUser => "waiting-for-user",
            State::Running => "running",
            State::Done => "done",
        }
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    pub response: Response,
    pub results: Dict,
}

impl Outcome {
    /// Failed and cancelled jobs tell why in their results: error (full name), message, hint.
    fn of(result: Result<Dict, Failure>) -> Self {
        match result {
            Ok(results) => Outcome {
                response: Response::Ok,
                results,
            },
            Err(failure) => Outcome {
                response: if failure.name == ErrorName::Cancelled {
                    Response::Cancelled
                } else {
                    Response::Failed
                },
                results: [
                    ("error", failure.name.full()),
                    ("message", failure.message.as_str()),
                    ("hint", failure.name.hint()),
                ]
                .into_iter()
                .map(|(key, text)| (key.to_owned(), zbus::Str::from(text.to_owned()).into()))
                .collect(),
            },
        }
    }
}

/// One piece of work of one connection.
pub struct Job {
    pub path: OwnedObjectPath,
    /// the connection's unique name
    pub owner: String,
    pub kind: &'static str,
    pub description: String,
    /// shared with the streams of the job's descriptors
    pub control: Arc<Control>,
    state: Mutex<State>,
    cancelled: watch::Sender<bool>,
    outcome: watch::Sender<Option<Arc<Outcome>>>,
}

impl Job {
    pub fn state(&self) -> State {
        *lock(&self.state)
    }

    /// Nothing comes after `Done`.
    pub fn set_state(&self, state: State) {
        let mut now = lock(&self.state);
        if *now != State::Done {
            *now = state;
        }
    }

    /// Asks the job to end; it does so at its next wait or read.
    pub fn cancel(&self) {
        self.control.cancel();
        self.cancelled.send_replace(true);
    }

    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until somebody cancels.
    pub async fn cancelled(&self) {
        // the sender lives in self: this cannot end otherwise
        let _ = self.cancelled.subscribe().wait_for(|c| *c).await;
    }

    /// Waits until the job has ended.
    pub async fn outcome(&self) -> Option<Arc<Outcome>> {
        let mut outcome = self.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await.ok()?;
        ended.clone()
    }

    /// Ends when nobody holds the job any more: it was released, its owner has left, or it was one too many.
    pub fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut outcome = self.outcome.subscribe();
        async move { while outcome.changed().await.is_ok() {} }
    }

    /// Ends the job. Work that failed after a cancel was cancelled, whatever it says.
    fn finish(&self, result: Result<Dict, Failure>) -> Arc<Outcome> {
        let result = match result {
            Err(_) if self.is_cancelled() => Err(Failure::new(ErrorName::Cancelled, "cancelled")),
            other => other,
        };
        let outcome = Arc::new(Outcome::of(result));
        *lock(&self.state) = State::Done;
        // it may be kept for a minute, and there may be hundreds
        self.control.close();
        self.outcome.send_replace(Some(outcome.clone()));
        outcome
    }
}

/// All jobs: those at work, and those whose results are kept.
#[derive(Default)]
pub struct Jobs {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// on the bus, by path
    known: HashMap<OwnedObjectPath, Arc<Job>>,
    /// not done, also those that are no longer on the bus
    at_work: Vec<Arc<Job>>,
    /// done and still known, oldest first, by owner
    kept: HashMap<String, VecDeque<OwnedObjectPath>>,
    departed: VecDeque<String>,
    made: u64,
    closed: bool,
}

/// A job at work: it counts against the limits until this is finished or dropped.
pub struct Running {
    pub job: Arc<Job>,
    jobs: Arc<Jobs>,
}

impl Jobs {
    /// A new job. `Busy` past the limits, `InvalidArgument` when the handle token is bad or in use.
    pub fn begin(
        self: &Arc<Self>,
        owner: &str,
        kind: &'static str,
        description: String,
        handle_token: Option<&str>,
    ) -> Result<Running, Failure> {
        if let Some(token) = handle_token {
            check_handle_token(token)?;
        }
        let control = Control::new()?;
        let mut table = lock(&self.table);
        if table.closed || table.departed.iter().any(|d| d == owner) {
            return Err(Failure::new(
                ErrorName::Cancelled,
                "the daemon or the connection is ending",
            ));
        }
        if table.at_work.len() >= JOBS {
            return Err(Failure::new(
                ErrorName::Busy,
                format!("{JOBS} jobs are at work, which is all there may be"),
            ));
        }
        if table.at_work.iter().filter(|j| j.owner == owner).count() >= JOBS_PER_CONNECTION {
            return Err(Failure::new(
                ErrorName::Busy,
                format!(
                    "this connection has {JOBS_PER_CONNECTION} jobs at work, which is all it may have"
                ),
            ));
        }
        let path = match handle_token {
            Some(token) => {
                let path = job_path(owner, token);
                // a job that was released may still be at work: its path is free
                if table.known.contains_key(&path) {
                    return Err(Failure::invalid(format!(
                        "the handle_token {token:?} is in use"
                    )));
                }
                path
            }
            None => loop {
                table.made = table.made.wrapping_add(1);
                let path = job_path(owner, &format!("j{}", table.made));
                if !table.known.contains_key(&path) {
                    break path;
                }
            },
        };
        let job = Arc::new(Job {
            path: path.clone(),
            owner: owner.to_owned(),
            kind,
            description,
            control,
            state: Mutex::new(State::Queued),
            cancelled: watch::Sender::new(false),
            outcome: watch::Sender::new(None),
        });
        table.known.insert(path, job.clone());
        table.at_work.push(job.clone());
        Ok(Running {
            job,
            jobs: self.clone(),
        })
    }

    /// Whether a job is on the list: not released, and its owner not gone.
    pub fn is_known(&self, job: &Arc<Job>) -> bool {
        lock(&self.table)
            .known
            .get(&job.path)
            .is_some_and(|j| Arc::ptr_eq(j, job))
    }

    /// Takes a job off the list; false: it was off already. A job at work is cancelled.
    pub fn forget(&self, job: &Arc<Job>) -> bool {
        let mut table = lock(&self.table);
        // another job may have the path by now
        let known = table
            .known
            .get(&job.path)
            .is_some_and(|j| Arc::ptr_eq(j, job));
        if known {
            table.known.remove(&job.path);
            if let Some(kept) = table.kept.get_mut(&job.owner) {
                kept.retain(|path| *path != job.path);
                if kept.is_empty() {
                    table.kept.remove(&job.owner);
                }
            }
        }
        drop(table);
        if job.state() != State::Done {
            job.cancel();
        }
        known
    }

    /// A connection has left the bus: its jobs are cancelled and forgotten. Gives those that were known.
    pub fn depart(&self, owner: &str) -> Vec<Arc<Job>> {
        let mut table = lock(&self.table);
        if table.departed.len() >= DEPARTED_MAX {
            table.departed.pop_front();
        }
        table.departed.push_back(owner.to_owned());
        let theirs: Vec<_> = table
            .known
            .values()
            .filter(|job| job.owner == owner)
            .cloned()
            .collect();
        drop(table);
        theirs.into_iter().filter(|job| self.forget(job)).collect()
    }

    /// No more jobs; those at work are cancelled.
    pub fn close(&self) {
        let mut table = lock(&self.table);
        table.closed = true;
        for job in &table.at_work {
            job.cancel();
        }
    }

    /// Waits until no job is at work.
    pub async fn idle(&self) {
        loop {
            let Some(job) = lock(&self.table).at_work.first().cloned() else {
                return;
            };
            job.outcome().await;
            // the job leaves the list right after its outcome is known
            tokio::task::yield_now().await;
        }
    }

    fn ended(&self, job: &Arc<Job>) -> Option<Arc<Job>> {
        let mut table = lock(&self.table);
        table.at_work.retain(|j| !Arc::ptr_eq(j, job));
        if !table
            .known
            .get(&job.path)
            .is_some_and(|j| Arc::ptr_eq(j, job))
        {
            return None;
        }
        let kept = table.kept.entry(job.owner.clone()).or_default();
        kept.push_back(job.path.clone());
        if kept.len() <= RESULTS_PER_CONNECTION {
            return None;
        }
        let oldest = kept.front()?.clone();
        table.known.get(&oldest).cloned()
    }
}

impl Running {
    /// Ends the job. Also gives a finished job of the same connection whose results must now go, if there are too many.
    pub fn finish(self, result: Result<Dict, Failure>) -> (Arc<Outcome>, Option<Arc<Job>>) {
        // off the list first: whoever waits for the outcome may begin another job at once
        let surplus = self.jobs.ended(&self.job);
        let outcome = self.job.finish(result);
        (outcome, surplus)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.job.state() != State::Done {
            // never got to its end: it was given up before it began
            self.jobs.ended(&self.job);
            self.jobs.forget(&self.job);
            self.job
                .finish(Err(Failure::new(ErrorName::Failed, "the job did not run")));
        }
    }
}

fn check_handle_token(token: &str) -> Result<(), Failure> {
    let fits = (1..=64).contains(&token.len())
        && token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fits {
        Ok(())
    } else {
        Err(Failure::invalid(
            "handle_token must be 1 to 64 letters, digits or _",
        ))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
