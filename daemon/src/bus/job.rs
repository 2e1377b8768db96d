//! `org.privyseal1.Job`: answers its owner only. And how a job is run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use privyseal_proto::limits::{RESULTS_KEPT, WAIT_MAX};
use privyseal_proto::{Dict, ErrorName, Failure};
use zbus::message::Header;
use zbus::names::UniqueName;
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, fdo, interface};

use super::{Service, blocking, unsent};
use crate::client::sender;
use crate::job::{Job, Running, State};

/// A job on the bus.
struct JobObject {
    job: Arc<Job>,
    service: Arc<Service>,
}

#[interface(name = "org.privyseal1.Job")]
impl JobObject {
    async fn cancel(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Failure> {
        self.owner_only(&header)?;
        self.job.cancel();
        Ok(())
    }

    async fn wait(
        &self,
        timeout_ms: u32,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(u32, Dict), Failure> {
        self.owner_only(&header)?;
        if timeout_ms > WAIT_MAX {
            return Err(Failure::invalid(format!(
                "timeout_ms is {WAIT_MAX} at most"
            )));
        }
        let limit = Duration::from_millis(timeout_ms.into());
        let outcome = match tokio::time::timeout(limit, self.job.outcome()).await {
            Ok(Some(outcome)) => outcome,
            _ => return Err(Failure::new(ErrorName::Timeout, "the job is not done yet")),
        };
        Ok((outcome.response as u32, outcome.results.clone()))
    }

    async fn release(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Failure> {
        self.owner_only(&header)?;
        remove(&self.service, &self.job).await;
        Ok(())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn kind(&self, #[zbus(header)] header: Option<Header<'_>>) -> fdo::Result<String> {
        self.reader(header)?;
        Ok(self.job.kind.to_owned())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn state(&self, #[zbus(header)] header: Option<Header<'_>>) -> fdo::Result<String> {
        self.reader(header)?;
        Ok(self.job.state().name().to_owned())
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn progress(
        &self,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> fdo::Result<(u64, u64)> {
        self.reader(header)?;
        Ok(self.job.control.progress())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn description(&self, #[zbus(header)] header: Option<Header<'_>>) -> fdo::Result<String> {
        self.reader(header)?;
        Ok(self.job.description.clone())
    }

    #[zbus(signal)]
    async fn completed(emitter: &SignalEmitter<'_>, response: u32) -> zbus::Result<()>;
}

impl JobObject {
    fn owner_only(&self, header: &Header<'_>) -> Result<(), Failure> {
        if sender(header)? == self.job.owner {
            return Ok(());
        }
        Err(Failure::new(
            ErrorName::NotAuthorized,
            "this job belongs to another connection",
        ))
    }

    fn reader(&self, header: Option<Header<'_>>) -> fdo::Result<()> {
        match header {
            Some(header) => self
                .owner_only(&header)
                .map_err(|failure| fdo::Error::AccessDenied(failure.message)),
            None => Ok(()),
        }
    }
}

/// Puts a job on the bus and its work on a thread of its own; gives the job's path.
pub async fn launch(
    service: &Arc<Service>,
    running: Running,
    work: impl FnOnce(&Arc<Job>) -> Result<Dict, Failure> + Send + 'static,
) -> Result<OwnedObjectPath, Failure> {
    let job = running.job.clone();
    publish(service, &job).await?;
    let path = job.path.clone();
    let service = service.clone();
    tokio::spawn(async move {
        let begun = Instant::now();
        let worker = job.clone();
        let result = blocking(move || {
            if worker.is_cancelled() {
                return Err(Failure::new(ErrorName::Cancelled, "cancelled"));
            }
            worker.set_state(State::Running);
            work(&worker)
        })
        .await;
        let error = result.as_ref().err().map(|failure| failure.name.short());
        tracing::info!(
            op = job.kind,
            peer = job.owner,
            ms = begun.elapsed().as_millis(),
            error,
            "job ended"
        );
        drop(job);
        complete(&service, running, result).await;
    });
    Ok(path)
}

/// A job that was done before it began.
pub async fn launch_done(
    service: &Arc<Service>,
    running: Running,
) -> Result<OwnedObjectPath, Failure> {
    let job = running.job.clone();
    publish(service, &job).await?;
    let service = service.clone();
    tokio::spawn(async move { complete(&service, running, Ok(Dict::new())).await });
    Ok(job.path.clone())
}

/// A connection has left the bus.
pub async fn depart(service: &Arc<Service>, owner: &str) {
    for job in service.jobs.depart(owner) {
        unpublish(service, &job).await;
    }
}

async fn publish(service: &Arc<Service>, job: &Arc<Job>) -> Result<(), Failure> {
    let object = JobObject {
        job: job.clone(),
        service: service.clone(),
    };
    let Some(connection) = service.connection.get() else {
        return Err(super::ending());
    };
    match connection.object_server().at(&job.path, object).await {
        // the owner may have left since the job was made: nobody else would take it off again
        Ok(None) if !service.jobs.is_known(job) => {
            unpublish(service, job).await;
            Err(Failure::new(ErrorName::Cancelled, "cancelled"))
        }
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(Failure::new(
            ErrorName::Busy,
            "the job's path is still in use",
        )),
        Err(error) => Err(Failure::new(ErrorName::Failed, error.to_string())),
    }
}

/// Ends a job, tells its owner, and keeps the results for a while.
async fn complete(service: &Arc<Service>, running: Running, result: Result<Dict, Failure>) {
    let job = running.job.clone();
    let (outcome, surplus) = running.finish(result);
    if let Some(surplus) = surplus {
        remove(service, &surplus).await;
    }
    if let (Some(connection), Ok(owner)) = (
        service.connection.get(),
        UniqueName::try_from(job.owner.as_str()),
    ) && let Ok(emitter) = SignalEmitter::new(connection, &job.path)
    {
        let emitter = emitter.set_destination(owner.into());
        unsent(JobObject::completed(&emitter, outcome.response as u32).await);
    }
    // a client that releases its jobs leaves nothing of them here
    let (gone, kept) = (job.gone(), Arc::downgrade(&job));
    drop((job, outcome));
    let _ = tokio::time::timeout(Duration::from_secs(RESULTS_KEPT), gone).await;
    if let Some(job) = kept.upgrade() {
        remove(service, &job).await;
    }
}

async fn remove(service: &Arc<Service>, job: &Arc<Job>) {
    if service.jobs.forget(job) {
        unpublish(service, job).await;
    }
}

async fn unpublish(service: &Arc<Service>, job: &Arc<Job>) {
    if let Some(connection) = service.connection.get() {
        // it may be off already: nothing to do then
        let _ = connection
            .object_server()
            .remove::<JobObject, _>(&job.path)
            .await;
    }
}
