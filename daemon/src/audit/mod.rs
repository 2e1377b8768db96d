//! The audit trail: one line of JSON for each private operation, unlock, lock and new PIN, in files that are only ever appended to.
//! Each line holds the SHA-256 of the one before, so that a line that is changed, taken out or moved shows.
//!
//! Who, which key, what kind, and how it ended; never content, subjects, recipients or PINs. A record is written before the result
//! of its operation leaves the daemon: what cannot be recorded does not happen.

mod entry;
mod files;
mod read;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use privyseal_proto::{ErrorName, Failure};
use tokio::sync::{Notify, broadcast};

pub use entry::{Consented, Entry, Kind};
pub use read::{Query, Verified};

use files::Files;

/// Between a record and the time when it is put to disk; a crash of the daemon loses none, one of the machine those of this time.
const SYNC: Duration = Duration::from_secs(1);
/// Refusals that are told within a minute; of the others there is a count.
const REFUSALS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// Records that wait to be announced; who is slower than that misses some.
const ANNOUNCED: usize = 1024;

pub struct Trail {
    files: Mutex<Files>,
    refusals: Mutex<Refusals>,
    announced: broadcast::Sender<Arc<Entry>>,
    unsynced: Notify,
}

/// How many refusals there were lately: who makes them cost nothing must not be able to push older records out with them.
#[derive(Default)]
struct Refusals {
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

enum Turn {
    /// after so many that were left out
    Told {
        before: u64,
    },
    LeftOut,
}

impl Refusals {
    fn next(&mut self, now: Instant) -> Turn {
        let is_over = |since| now.saturating_duration_since(since) >= MINUTE;
        if self.since.is_none_or(is_over) {
            (self.since, self.told) = (Some(now), 0);
        }
        if self.told >= REFUSALS {
            self.left_out = self.left_out.saturating_add(1);
            return Turn::LeftOut;
        }
        self.told = self.told.saturating_add(1);
        Turn::Told {
            before: std::mem::take(&mut self.left_out),
        }
    }
}

impl Trail {
    /// Opens the trail in `folder`, and looks whether it is as it was left.
    ///
    /// # Errors
    /// The files cannot be read. That there is no space is told by the first [`Self::record`].
    pub fn open(folder: &Path) -> io::Result<Self> {
        Ok(Trail {
            files: Mutex::new(Files::open(folder)?),
            refusals: Mutex::default(),
            announced: broadcast::Sender::new(ANNOUNCED),
            unsynced: Notify::new(),
        })
    }

    /// Of all files together.
    pub fn set_max_kib(&self, kib: u32) {
        self.files().max = u64::from(kib).saturating_mul(1024);
    }

    /// Writes a record, and tells it to whoever listens.
    ///
    /// # Errors
    /// `NoSpace` where the disk is full.
    pub fn record(&self, entry: Entry) -> Result<(), Failure> {
        if entry.is_refusal() {
            match self.refusals().next(Instant::now()) {
                Turn::LeftOut => return Ok(()),
                Turn::Told { before: 0 } => {}
                Turn::Told { before } => {
                    let what = format!("{before} more refusals");
                    self.append(Entry::trail("left-out", what))?;
                }
            }
        }
        self.append(entry)
    }

    fn append(&self, entry: Entry) -> Result<(), Failure> {
        self.files().append(&entry).map_err(|error| {
            tracing::error!(%error, "the audit trail cannot be written");
            unwritten(&error)
        })?;
        self.unsynced.notify_one();
        // it is no matter that nobody listens
        let _ = self.announced.send(Arc::new(entry));
        Ok(())
    }

    /// For what has happened already, or must happen in any case; a failure is logged.
    pub fn note(&self, entry: Entry) {
        let _ = self.record(entry);
    }

    /// The daemon ends; all tokens are locked.
    pub fn end(&self) {
        self.note(Entry::trail("ended", "privyseald has stopped".into()));
        self.sync();
    }

    pub fn listen(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.announced.subscribe()
    }

    /// The newest records that fit, oldest first.
    pub fn list(
        &self,
        query: &Query,
    ) -> Result<Vec<serde_json::Map<String, serde_json::Value>>, Failure> {
        let files = self.files().present().map_err(|e| unreadable(&e))?;
        read::list(&files, query).map_err(|e| unreadable(&e))
    }

    /// Walks the whole chain; nothing is written meanwhile.
    pub fn verify(&self) -> Result<Verified, Failure> {
        let files = self.files();
        let present = files.present().map_err(|e| unreadable(&e))?;
        let found = read::verify(&present, files.end()).map_err(|e| unreadable(&e))?;
        Ok(found.and(files.pending()))
    }

    /// What was written is on disk.
    pub fn sync(&self) {
        let file = self.files().to_sync();
        if let Err(error) = file.and_then(|file| file.sync_data()) {
            tracing::warn!(%error, "the audit trail is not put to disk");
        }
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts records to disk soon after they are written, for as long as the daemon runs.
pub async fn keep_synced(trail: Arc<Trail>) {
    loop {
        trail.unsynced.notified().await;
        tokio::time::sleep(SYNC).await;
        let trail = trail.clone();
        let _ = tokio::task::spawn_blocking(move || trail.sync()).await;
    }
}

fn unwritten(error: &io::Error) -> Failure {
    let name = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorName::NoSpace,
        _ => ErrorName::Failed,
    };
    Failure::new(
        name,
        format!("the audit trail cannot be written ({error}), and no key is used without it"),
    )
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(
        ErrorName::Failed,
        format!("the audit trail cannot be read: {error}"),
    )
}
