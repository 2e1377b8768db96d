//! The objects on the bus. They translate and delegate; no policy lives here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use privyseal_proto::{BUS_NAME, ErrorName, Failure, OBJECTS_PATH, ROOT_PATH};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use zbus::Connection;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::fdo::{ConnectionCredentials, DBusProxy, ObjectManager, RequestNameFlags};
use zbus::message::Header;
use zbus::names::BusName;

use crate::client::{Caller, Clients, sender};
use crate::job::{Job, Jobs};
use crate::operation::Environment;
use crate::peer::Peer;
use crate::registry::{Registry, TokenState};
use crate::throttle::Throttle;
use crate::turns::Turns;
use crate::unlock::Unlocker;

mod access;
mod agent_manager;
mod audit;
mod certificate;
mod cms;
mod job;
mod key;
mod mail;
mod manager;
mod module;
mod objects;
mod token;

pub use audit::announce;
pub use objects::follow;

/// `…Bytes` calls that are at work at one time; the others wait their turn.
const BYTES_AT_WORK: usize = 64;
/// `…Bytes` and Validate calls of one connection that are at work, or whose options are read, at one time.
const CALLS_PER_CONNECTION: usize = 16;
/// Rescans, locks and validations at one time.
const CHORES_AT_WORK: usize = 16;
/// Between two looks at what is to be locked.
const IDLE_LOOK: Duration = Duration::from_secs(10);
const IDLE_PAUSE: Duration = Duration::from_millis(200);
/// Longest wait for the bus objects to show what a call just changed.
const SETTLE: Duration = Duration::from_secs(5);

/// What all objects share.
pub struct Service {
    pub registry: Arc<Registry>,
    pub jobs: Arc<Jobs>,
    pub clients: Clients,
    pub unlocker: Unlocker,
    /// for spools of messages that come through pipes
    pub spool: PathBuf,
    environment: RwLock<Arc<Environment>>,
    turns: Turns,
    throttle: Throttle,
    bytes: Semaphore,
    chores: Semaphore,
    /// the snapshot that the objects show
    shown: watch::Sender<u64>,
    connection: OnceLock<Connection>,
    runtime: Handle,
}

impl Service {
    pub fn new(
        registry: Arc<Registry>,
        unlocker: Unlocker,
        environment: Environment,
        spool: PathBuf,
    ) -> Arc<Self> {
        Arc::new(Service {
            registry,
            jobs: Arc::default(),
            clients: Clients::default(),
            unlocker,
            spool,
            environment: RwLock::new(Arc::new(environment)),
            turns: Turns::new(CALLS_PER_CONNECTION),
            throttle: Throttle::default(),
            bytes: Semaphore::new(BYTES_AT_WORK),
            chores: Semaphore::new(CHORES_AT_WORK),
            shown: watch::Sender::new(0),
            connection: OnceLock::new(),
            runtime: Handle::current(),
        })
    }

    pub fn environment(&self) -> Arc<Environment> {
        self.environment
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Work that begins from now on uses this one.
    pub fn set_environment(&self, environment: Environment) {
        *self
            .environment
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(environment);
    }

    /// Ends what is at work and takes no more.
    pub fn close(&self) {
        self.bytes.close();
        self.chores.close();
        self.jobs.close();
    }

    /// Short work that blocks (a rescan, a logout), on a thread of its own.
    async fn chore<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let _permit = self.chores.acquire().await.map_err(|_| ending())?;
        blocking(work).await
    }

    /// For a job's thread: waits while modules load for the first time.
    fn loaded(&self, job: &Job) -> Result<(), Failure> {
        if self.registry.is_loaded() {
            return Ok(());
        }
        self.runtime.block_on(async {
            tokio::select! {
                () = self.registry.loaded() => Ok(()),
                () = job.cancelled() => Err(Failure::new(ErrorName::Cancelled, "cancelled")),
            }
        })
    }

    /// How long a decryption must wait that this caller asks for now.
    fn throttled(&self, caller: &Caller) -> Duration {
        self.throttle
            .wait(&caller.name, caller.context.uid, Instant::now())
    }

    /// Remembers it when a decryption failed.
    fn count<T>(&self, caller: &Caller, result: &Result<T, Failure>) {
        if let Err(failure) = result
            && failure.name == ErrorName::DecryptionFailed
        {
            self.count_attempt(caller);
        }
    }

    fn count_attempt(&self, caller: &Caller) {
        self.throttle
            .failed(&caller.name, caller.context.uid, Instant::now());
    }

    /// For a job's thread: waits, unless the job is cancelled.
    fn pause(&self, job: &Job, time: Duration) -> Result<(), Failure> {
        if time.is_zero() {
            return Ok(());
        }
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => Ok(()),
                () = job.cancelled() => Err(Failure::new(ErrorName::Cancelled, "cancelled")),
            }
        })
    }

    /// Whether the objects do not yet show all that the first load of the modules will bring.
    fn is_loading(&self) -> bool {
        !self.registry.is_loaded() || *self.shown.borrow() < self.registry.snapshot().generation
    }

    /// Who calls. Asks the bus about a connection that calls for the first time, and nobody afterwards.
    async fn caller(&self, header: &Header<'_>) -> Result<Caller, Failure> {
        if let Some(caller) = self.clients.caller(header)? {
            return Ok(caller);
        }
        let name = sender(header)?;
        self.clients.expect(name);
        let told = match self.connection.get() {
            Some(connection) => credentials(connection, name).await,
            None => return Err(ending()),
        };
        let peer = match told {
            Ok(told) => Peer::of(name, &told).ok_or_else(|| "the bus does not say".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match peer {
            Ok(peer) => self.clients.set_peer(peer),
            Err(why) => {
                self.clients.depart(name);
                return Err(Failure::invalid(format!("who is {name}? {why}")));
            }
        }
        let caller = self.clients.caller(header)?;
        caller.ok_or_else(|| Failure::new(ErrorName::Cancelled, "the connection is ending"))
    }

    fn lock_token(
        &self,
        token: &TokenState,
        peer: Option<&Peer>,
        why: &str,
    ) -> Result<(), Failure> {
        self.unlocker.lock(&token.module, &token.info, peer, why)
    }

    /// Locks all tokens.
    async fn log_out_everywhere(
        self: &Arc<Self>,
        peer: Option<Arc<Peer>>,
        why: &'static str,
    ) -> Result<(), Failure> {
        let service = self.clone();
        let result = self
            .chore(move || {
                let snapshot = service.registry.snapshot();
                let tokens = snapshot
                    .tokens
                    .iter()
                    .filter(|token| token.info.initialized);
                manager::each(tokens, |token| {
                    service.lock_token(token, peer.as_deref(), why)
                })
            })
            .await;
        self.settle().await;
        result
    }

    /// The same, because something has happened.
    pub async fn lock_all(self: &Arc<Self>, why: &'static str) {
        match self.log_out_everywhere(None, why).await {
            Ok(()) => tracing::info!(op = "lock-all", why, "all tokens are locked"),
            Err(failure) => {
                tracing::warn!(
                    op = "lock-all",
                    why,
                    error = failure.name.short(),
                    "a token is not locked"
                );
            }
        }
    }

    /// Looks anew at what the modules told, and waits until the objects show it.
    async fn settle(&self) {
        let registry = self.registry.clone();
        let Ok(generation) = tokio::task::spawn_blocking(move || registry.refresh()).await else {
            return;
        };
        let mut shown = self.shown.subscribe();
        let wait = shown.wait_for(|g| *g >= generation);
        if tokio::time::timeout(SETTLE, wait).await.is_err() {
            tracing::warn!("the objects on the bus lag behind");
        }
    }
}

/// Locks tokens that are not used any more, for as long as the daemon runs.
pub async fn lock_idle(service: Arc<Service>) {
    loop {
        // the time may be up earlier than the clock of the timer knows: the machine may have slept, the configuration changed
        let wait = service.unlocker.idle.next().unwrap_or(IDLE_LOOK);
        tokio::time::sleep(wait.clamp(IDLE_PAUSE, IDLE_LOOK)).await;
        let over = service.unlocker.idle.over();
        if over.is_empty() {
            continue;
        }
        let work = service.clone();
        let locked = service.chore(move || {
            for token in over {
                if let Err(failure) = work.unlocker.lock_if_over(&token) {
                    tracing::warn!(token = token.0, error = failure.message, "not locked");
                }
            }
            Ok(())
        });
        if locked.await.is_err() {
            return;
        }
        service.settle().await;
    }
}

/// Serves all objects, then takes the name: who can see the name can call.
pub async fn serve(service: &Arc<Service>) -> zbus::Result<Connection> {
    let connection = zbus::connection::Builder::session()
        .serve_at(ROOT_PATH, manager::Manager::new(service.clone()))
        .serve_at(ROOT_PATH, cms::Cms::new(service.clone()))
        .serve_at(ROOT_PATH, mail::Mail::new(service.clone()))
        .serve_at(ROOT_PATH, agent_manager::AgentManager::new(service.clone()))
        .serve_at(ROOT_PATH, audit::Audit::new(service.clone()))
        .serve_at(OBJECTS_PATH, ObjectManager)
        .build()
        .await?;
    // before the name is taken: no call can come from a connection whose end we would miss
    let bus = DBusProxy::new(&connection).await?;
    let mut owners = bus.receive_name_owner_changed_with_args(&[(2, "")]).await?;
    let _ = service.connection.set(connection.clone());
    service.unlocker.agents.serve_on(&connection);
    let watcher = service.clone();
    tokio::spawn(async move {
        while let Some(change) = owners.next().await {
            if let Ok(args) = change.args()
                && args.name().starts_with(':')
            {
                watcher.clients.depart(args.name());
                watcher.unlocker.agents.depart(args.name());
                watcher.unlocker.consents.forget_connection(args.name());
                job::depart(&watcher, args.name()).await;
            }
        }
    });
    // zbus would let others take the name away from us
    connection
        .request_name_with_flags(BUS_NAME, RequestNameFlags::DO_NOT_QUEUE)
        .await?;
    Ok(connection)
}

/// Work that blocks, on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "work ended in an unexpected way");
            Err(Failure::new(ErrorName::Failed, "internal error"))
        }
    }
}

/// Short work that blocks, on this thread: the runtime's other tasks go on elsewhere. Two switches of threads less than
/// [`blocking`], which is what a signature over the bus is made of.
fn at_once<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    tokio::task::block_in_place(|| match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => {
            tracing::error!("work ended in an unexpected way");
            Err(Failure::new(ErrorName::Failed, "internal error"))
        }
    })
}

async fn credentials(
    connection: &Connection,
    name: &str,
) -> zbus::fdo::Result<ConnectionCredentials> {
    let bus = DBusProxy::new(connection).await?;
    bus.get_connection_credentials(BusName::try_from(name)?)
        .await
}

fn ending() -> Failure {
    Failure::new(ErrorName::Cancelled, "the daemon is ending")
}

/// A signal could not be sent: the bus is gone, and the daemon ends soon.
fn unsent(result: zbus::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a signal was not sent");
    }
}
