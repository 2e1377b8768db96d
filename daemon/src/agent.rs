//! Prompts by a client's own agent (`org.privyseal1.Agent`), for the jobs of its own connection and nobody else's.
//!
//! An agent is a program like any other of the user's: it says a PIN or none. What only a person may answer (the last try) is
//! asked by the daemon's own pinentry and never here.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use privyseal_proto::proxy::AgentProxy;
use privyseal_proto::{ErrorName, Failure, limits, token_path};
use privyseal_token::TokenId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use zbus::names::UniqueName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use crate::job::Job;

const ANSWER: Duration = Duration::from_secs(limits::PROMPT_DEADLINE);

/// What an agent is good for. A connection has one agent for each at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// asks for PINs
    Pin,
    /// shows what is to be done at the reader or token
    Display,
}

/// Which PIN is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    /// of a key that wants it at every use
    Context,
    /// SO PIN or PUK
    So,
    /// the agent sees to it that it was typed as it was meant
    New,
}

/// What an agent is told beside the job.
pub struct Question<'a> {
    pub token: &'a TokenId,
    pub kind: Kind,
    /// −1: unknown
    pub tries_left: i32,
    pub last_error: &'a str,
    pub description: &'a str,
    /// shortest and longest, as the token states
    pub lengths: (u32, u32),
}

struct Registered {
    path: OwnedObjectPath,
    capability: Capability,
    /// dropped with the agent, which wakes who waits for its answer
    here: watch::Sender<()>,
}

/// The agents of all connections.
pub struct Agents {
    runtime: Handle,
    connection: OnceLock<Connection>,
    registered: Mutex<HashMap<String, Vec<Registered>>>,
    cookies: AtomicU64,
}

impl Agents {
    pub fn new(runtime: Handle) -> Self {
        Agents {
            runtime,
            connection: OnceLock::new(),
            registered: Mutex::default(),
            cookies: AtomicU64::new(0),
        }
    }

    /// Where agents are called from now on.
    pub fn serve_on(&self, connection: &Connection) {
        let _ = self.connection.set(connection.clone());
    }

    /// # Errors
    /// `Busy`: the connection has an agent for this.
    pub fn register(
        &self,
        owner: &str,
        path: OwnedObjectPath,
        capability: Capability,
    ) -> Result<(), Failure> {
        let mut all = self.registered();
        let theirs = all.entry(owner.to_owned()).or_default();
        if theirs.iter().any(|agent| agent.capability == capability) {
            return Err(Failure::new(
                ErrorName::Busy,
                "this connection has such an agent: unregister it first",
            ));
        }
        theirs.push(Registered {
            path,
            capability,
            here: watch::Sender::new(()),
        });
        Ok(())
    }

    /// # Errors
    /// `NoAgent`: it was not registered.
    pub fn unregister(&self, owner: &str, path: &str) -> Result<(), Failure> {
        let mut all = self.registered();
        let theirs = all.get_mut(owner);
        let before = theirs.as_ref().map_or(0, |theirs| theirs.len());
        let left = theirs.map_or(0, |theirs| {
            theirs.retain(|agent| agent.path.as_str() != path);
            theirs.len()
        });
        if left == 0 {
            all.remove(owner);
        }
        if left == before {
            return Err(none());
        }
        Ok(())
    }

    /// A connection has left the bus.
    pub fn depart(&self, owner: &str) {
        self.registered().remove(owner);
    }

    /// # Errors
    /// `NoAgent`
    pub fn check(&self, owner: &str) -> Result<(), Failure> {
        self.find(owner, Capability::Pin).map(drop).ok_or_else(none)
    }

    /// Asks the agent of the job's connection; blocks. `None`: it has none, or one that cannot ask or went away meanwhile, so that
    /// somebody else may be asked.
    pub fn request_pin(
        &self,
        job: &Job,
        question: &Question<'_>,
    ) -> Option<Result<OwnedFd, Failure>> {
        self.request_pin_within(job, question, ANSWER)
    }

    fn request_pin_within(
        &self,
        job: &Job,
        question: &Question<'_>,
        within: Duration,
    ) -> Option<Result<OwnedFd, Failure>> {
        let (path, mut here) = self.find(&job.owner, Capability::Pin)?;
        let cookie = self.cookie();
        self.runtime.block_on(async {
            let agent = self.proxy(&job.owner, path).await?;
            let path = token_path(&question.token.0);
            let (min, max) = question.lengths;
            let details = HashMap::from([
                ("tries-left", question.tries_left.into()),
                ("last-error", question.last_error.into()),
                ("description", question.description.into()),
                ("job", job.path.as_ref().into()),
                ("min", min.into()),
                ("max", max.into()),
                ("cookie", cookie.as_str().into()),
            ]);
            let failure = tokio::select! {
                answer = agent.request_pin(path.as_ref(), question.kind.name(), details) => {
                    return answer.map(OwnedFd::from).map_or_else(refusal, |fd| Some(Ok(fd)));
                }
                // its sender is dropped, nothing is ever sent
                _ = here.changed() => return None,
                () = job.cancelled() => Failure::new(ErrorName::Cancelled, "cancelled"),
                () = tokio::time::sleep(within) => {
                    Failure::new(ErrorName::Timeout, "the client's agent did not answer in time")
                }
            };
            unheard(agent.dismiss(&cookie).await);
            Some(Err(failure))
        })
    }

    /// Has the agent of the job's connection, if there is one, show that a person must act; until what is given is dropped.
    pub fn display<'a>(&'a self, job: &'a Job, kind: &str, token: &TokenId) -> Option<Shown<'a>> {
        let (path, _) = self.find(&job.owner, Capability::Display)?;
        let cookie = self.cookie();
        self.runtime.block_on(async {
            let agent = self.proxy(&job.owner, path).await?;
            let path = token_path(&token.0);
            let details = HashMap::from([
                ("token", path.as_ref().into()),
                ("job", job.path.as_ref().into()),
                ("cookie", cookie.as_str().into()),
            ]);
            unheard(agent.display(kind, details).await);
            Some(Shown {
                agents: self,
                agent,
                cookie,
            })
        })
    }

    /// The daemon ends: agents are of no use any more.
    pub async fn release_all(&self) {
        let all = std::mem::take(&mut *self.registered());
        for (owner, theirs) in all {
            for registered in theirs {
                if let Some(agent) = self.proxy(&owner, registered.path.clone()).await {
                    unheard(agent.release().await);
                }
            }
        }
    }

    fn find(
        &self,
        owner: &str,
        capability: Capability,
    ) -> Option<(OwnedObjectPath, watch::Receiver<()>)> {
        let all = self.registered();
        let agent = all
            .get(owner)?
            .iter()
            .find(|a| a.capability == capability)?;
        Some((agent.path.clone(), agent.here.subscribe()))
    }

    /// By the unique name: a well-known one could be another's by now.
    async fn proxy<'p>(&self, owner: &'p str, path: OwnedObjectPath) -> Option<AgentProxy<'p>> {
        let agent = AgentProxy::builder(self.connection.get()?)
            .destination(UniqueName::try_from(owner).ok()?)
            .path(path)
            .cache_properties(CacheProperties::No);
        agent.build().await.ok()
    }

    fn cookie(&self) -> String {
        self.cookies.fetch_add(1, Ordering::Relaxed).to_string()
    }

    fn registered(&self) -> MutexGuard<'_, HashMap<String, Vec<Registered>>> {
        self.registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hint on a client's screen.
pub struct Shown<'a> {
    agents: &'a Agents,
    agent: AgentProxy<'a>,
    cookie: String,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let dismissed = self.agent.dismiss(&self.cookie);
        unheard(self.agents.runtime.block_on(dismissed));
    }
}

impl Capability {
    pub fn parse(name: &str) -> Result<Self, Failure> {
        match name {
            "pin" => Ok(Capability::Pin),
            "display" => Ok(Capability::Display),
            other => Err(Failure::invalid(format!(
                "no capability {other:?}: there are pin, display"
            ))),
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Context => "context",
            Kind::So => "so",
            Kind::New => "new",
        }
    }
}

fn none() -> Failure {
    Failure::new(
        ErrorName::NoAgent,
        "this connection has registered no agent for PINs",
    )
}

/// A person who says no is taken at their word; an agent that is not there, or cannot ask, is none.
fn refusal(error: zbus::Error) -> Option<Result<OwnedFd, Failure>> {
    if let zbus::Error::MethodError(name, _, _) = &error
        && ErrorName::parse(name.as_str()) == Some(ErrorName::Cancelled)
    {
        return Some(Err(Failure::new(ErrorName::Cancelled, "cancelled")));
    }
    tracing::info!(%error, "a client's agent does not ask");
    None
}

/// Of a call that has no answer.
fn unheard(sent: zbus::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "an agent was not told");
    }
}

#[cfg(test)]
mod tests;
