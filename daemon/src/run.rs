//! From start to end: lock, configuration, bus, modules; then signals until one says stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use privyseal_proto::BUS_NAME;
use sd_notify::NotifyState;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use zbus::Connection;

use crate::audit::{self, Trail};
use crate::bus::{self, Service};
use crate::config::{self, Config};
use crate::credential::Credentials;
use crate::lock::Lock;
use crate::operation::Environment;
use crate::process;
use crate::registry::Registry;
use crate::screen;
use crate::unlock::Unlocker;

/// Threads for blocking work: 64 jobs, 64 `…Bytes` calls, and the rest.
const BLOCKING_THREADS: usize = 192;
/// An idle thread stays this long: the next call of a busy client finds it ready.
const THREAD_KEPT: Duration = Duration::from_secs(60);
/// For jobs to end after they were cancelled.
const JOBS_END: Duration = Duration::from_secs(2);
/// For tokens to be locked and workers to end.
const MODULES_END: Duration = Duration::from_millis(2500);

/// Runs the daemon until it is told to stop. The error is for people.
pub fn run() -> Result<(), String> {
    let data = config::data_dir().map_err(|e| e.to_string())?;
    let _lock = Lock::take(&data).map_err(|e| e.to_string())?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(THREAD_KEPT)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let result = runtime.block_on(main(&data));
    // a module that hangs must not keep the process
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn main(data: &Path) -> Result<(), String> {
    // before anything else, so that no signal is lost
    let mut signals = Signals::new().map_err(|e| format!("cannot wait for signals: {e}"))?;
    let worker = process::worker()?;
    let (service, connection, config) = tokio::select! {
        begun = begin(data) => begun?,
        () = signals.stop() => {
            tracing::info!("stopped before it began");
            return Ok(());
        }
    };
    start_modules(service.registry.clone(), config, worker, data.to_owned());
    serve(&mut signals, &service, &connection).await;
    stop(&service, &connection).await;
    Ok(())
}

/// Reads the configuration and takes the name.
async fn begin(data: &Path) -> Result<(Arc<Service>, Connection, Arc<Config>), String> {
    let spool = config::spool_dir().map_err(|e| e.to_string())?;
    let registry = Registry::new();
    let (config, environment) = load(registry.clone(), spool.clone()).await?;
    let trail = Trail::open(data)
        .map_err(|e| format!("cannot use the audit trail in {}: {e}", data.display()))?;
    let credentials = Credentials::of_this_process(data);
    let unlocker = Unlocker::new(
        registry.clone(),
        Handle::current(),
        Arc::new(trail),
        credentials,
    );
    unlocker.configure(&config);
    let service = Service::new(registry.clone(), unlocker, environment, spool);
    let connection = bus::serve(&service).await.map_err(unserved)?;
    tokio::spawn(bus::follow(service.clone(), connection.clone()));
    tokio::spawn(screen::follow(service.clone(), connection.clone()));
    tokio::spawn(bus::lock_idle(service.clone()));
    tokio::spawn(bus::announce(service.clone()));
    tokio::spawn(audit::keep_synced(service.unlocker.trail.clone()));
    notify(&[NotifyState::Ready]);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "{BUS_NAME} is served");
    Ok((service, connection, config))
}

/// Until a signal, or the bus, says that it is over.
async fn serve(signals: &mut Signals, service: &Arc<Service>, connection: &Connection) {
    loop {
        tokio::select! {
            what = signals.next() => match what {
                Wish::Stop => return,
                Wish::Reload => tokio::select! {
                    () = reload(service) => {}
                    () = signals.stop() => return,
                },
            },
            () = connection.closed() => {
                tracing::info!("the bus is gone");
                return;
            }
        }
    }
}

/// Reads the configuration and what it points to; it may be much, and on a slow disk.
async fn load(
    registry: Arc<Registry>,
    spool: PathBuf,
) -> Result<(Arc<Config>, Environment), String> {
    let reading = tokio::task::spawn_blocking(move || {
        let config = Arc::new(config::load().map_err(|e| e.to_string())?);
        let environment = Environment::load(config.clone(), registry, spool)
            .map_err(|failure| failure.message)?;
        Ok((config, environment))
    });
    reading.await.map_err(|error| error.to_string())?
}

/// In the background: a slow module delays nothing.
fn start_modules(registry: Arc<Registry>, config: Arc<Config>, worker: PathBuf, data: PathBuf) {
    tokio::task::spawn_blocking(move || {
        let mut found = privyseal_token::discover(&config.module, config.modules.p11_kit);
        for module in &mut found {
            tracing::info!(path = %module.path.display(), "module");
            module.counts = Some(data.clone());
        }
        registry.start(found, &worker);
        registry.set_batch(config.pin.batch());
    });
}

/// SIGHUP: what is trusted and known is read again; modules stay as they are.
async fn reload(service: &Arc<Service>) {
    let status = match load_anew(service).await {
        Ok(()) => {
            tracing::info!("the configuration was read again");
            "The configuration was read again".to_owned()
        }
        Err(error) => {
            tracing::error!(error, "the configuration stays as it was");
            format!("The configuration stays as it was: {error}")
        }
    };
    notify(&[NotifyState::Status(&status)]);
}

async fn load_anew(service: &Service) -> Result<(), String> {
    let (config, environment) = load(service.registry.clone(), service.spool.clone()).await?;
    service.set_environment(environment);
    service.registry.set_batch(config.pin.batch());
    service.unlocker.configure(&config);
    // the objects show what the configuration allows
    service.registry.refresh();
    Ok(())
}

/// Takes no more calls, cancels jobs, locks all tokens, ends the workers.
async fn stop(service: &Arc<Service>, connection: &Connection) {
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    let released = connection.release_name(BUS_NAME);
    if tokio::time::timeout(Duration::from_millis(200), released)
        .await
        .is_err()
    {
        tracing::debug!("the bus does not answer");
    }
    service.close();
    let told = service.unlocker.agents.release_all();
    if tokio::time::timeout(Duration::from_millis(200), told)
        .await
        .is_err()
    {
        tracing::debug!("agents were not told");
    }
    if tokio::time::timeout(JOBS_END, service.jobs.idle())
        .await
        .is_err()
    {
        tracing::warn!("a job did not end in time");
    }
    let mut ends = tokio::task::JoinSet::new();
    for module in service.registry.modules().iter() {
        let module = module.clone();
        ends.spawn_blocking(move || module.shutdown());
    }
    let all = async { while ends.join_next().await.is_some() {} };
    if tokio::time::timeout(MODULES_END, all).await.is_err() {
        tracing::warn!("a module did not end in time");
    }
    service.unlocker.trail.end();
    tracing::info!("stopped");
}

fn unserved(error: zbus::Error) -> String {
    match error {
        zbus::Error::NameTaken => {
            format!("the name {BUS_NAME} has an owner on this bus already: another privyseald runs")
        }
        other => format!("cannot serve {BUS_NAME} on the session bus: {other}"),
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

enum Wish {
    Stop,
    Reload,
}

struct Signals {
    term: Signal,
    int: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.term.recv() => Wish::Stop,
            _ = self.int.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Waits for the wish to stop; one to reload stays for [`Self::next`].
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
