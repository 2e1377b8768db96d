//! What a job and its streams share: cancel, deadline, progress.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use privyseal_proto::{ErrorName, Failure};
use privyseal_smime::Error;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::io::Errno;

use super::halt::Halt;
use super::{Direction, PROGRESS};

/// Shared between a job and its streams: cancel from outside, bytes done.
pub struct Control {
    cancelled: AtomicBool,
    /// readable once cancelled, and never read: it wakes every poll there is and will be; gone when the job has ended
    wake: Mutex<Option<Arc<OwnedFd>>>,
    /// for the next byte
    deadline: Duration,
    done: AtomicU64,
    /// of all inputs together, one pass
    size: AtomicU64,
    /// of passes beyond the planned ones
    extra: AtomicU64,
    /// what is read in passes is read twice when something is released after it was judged
    has_passes: AtomicBool,
    has_output: AtomicBool,
    files: Mutex<Vec<(Direction, FileId)>>,
}

/// Device and inode.
pub(super) type FileId = (u64, u64);

impl Control {
    /// Not cancelled; with the progress deadline of `proto::limits`.
    pub fn new() -> Result<Arc<Self>, Failure> {
        Self::with_deadline(PROGRESS)
    }

    /// A stream on which no byte moves for `deadline` ends with `Timeout`.
    pub(super) fn with_deadline(deadline: Duration) -> Result<Arc<Self>, Failure> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| {
            Failure::new(ErrorName::Failed, format!("no descriptor for a job: {e}"))
        })?;
        Ok(Arc::new(Control {
            cancelled: AtomicBool::new(false),
            wake: Mutex::new(Some(Arc::new(wake))),
            deadline,
            done: AtomicU64::new(0),
            size: AtomicU64::new(0),
            extra: AtomicU64::new(0),
            has_passes: AtomicBool::new(false),
            has_output: AtomicBool::new(false),
            files: Mutex::default(),
        }))
    }

    /// Ends everything that uses this control, also what waits in poll. For good.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        if let Some(wake) = &*self.wake() {
            // cannot fail: one is added to a counter that nobody reads, once or a few times
            let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
        }
    }

    /// The job has ended: its descriptor is given back, progress stays. A wait that comes yet ends as if cancelled.
    pub fn close(&self) {
        self.wake().take();
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// (bytes read so far over all passes, bytes expected over all passes or 0 if unknown). The expectation can grow when
    /// a message needs another pass, and stays twice too high for one that is written after a single pass.
    pub fn progress(&self) -> (u64, u64) {
        let size = self.size.load(Ordering::Relaxed);
        let extra = self.extra.load(Ordering::Relaxed);
        let expected = match self.plans_two_passes() {
            true => size.saturating_mul(2),
            false => size,
        };
        (
            self.done.load(Ordering::Relaxed),
            expected.saturating_add(extra),
        )
    }

    /// `Err(Cancelled)` once cancelled.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }

    /// Waits for a stream: at most the progress deadline, at most until `overall`, and not when it is halted.
    pub(super) fn wait_for_progress(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        overall: Option<&Deadline>,
        halt: Option<&Halt>,
    ) -> Result<(), Error> {
        let progress = Deadline::after(self.deadline);
        let nearer = match overall {
            Some(overall) if overall.left() < self.deadline => overall,
            _ => &progress,
        };
        self.wait_for(fd, flags, nearer, halt)
    }

    /// Waits until `fd` is ready (or hung up), the deadline, or cancel.
    pub(crate) fn wait(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        self.wait_for(fd, flags, deadline, None)
    }

    fn wait_for(
        &self,
        fd: BorrowedFd<'_>,
        flags: PollFlags,
        deadline: &Deadline,
        halt: Option<&Halt>,
    ) -> Result<(), Error> {
        let Some(wake) = self.wake().clone() else {
            return Err(Error::Cancelled);
        };
        let halt = halt.map_or(wake.as_fd(), Halt::as_fd);
        let mut fds = [
            PollFd::from_borrowed_fd(fd, flags),
            PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(halt, PollFlags::IN),
        ];
        let ready = poll(&mut fds, deadline).map_err(|e| Error::Io(e.into()))?;
        self.check()?;
        let [_, _, halted] = fds;
        match ready {
            true if !halted.revents().is_empty() => Err(Error::Cancelled),
            true => Ok(()),
            false => Err(Error::Timeout),
        }
    }

    #[cfg(test)]
    pub(crate) fn has_descriptor(&self) -> bool {
        self.wake().is_some()
    }

    fn wake(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file is to be read, or written. Both at once would read what is written, until the disk is full.
    pub(super) fn uses(&self, direction: Direction, file: FileId) -> Result<(), Failure> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.iter().any(|(d, f)| *f == file && *d != direction) {
            return Err(Failure::invalid(
                "input and output are the same file: write to another one, and rename it when the job has ended",
            ));
        }
        files.push((direction, file));
        Ok(())
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.size.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn has_output(&self) {
        self.has_output.store(true, Ordering::Relaxed);
    }

    pub(super) fn advance(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn has_passes(&self) {
        self.has_passes.store(true, Ordering::Relaxed);
    }

    /// A pass (from 1) over an input of `size` bytes begins.
    pub(super) fn pass_begins(&self, number: u32, size: u64) {
        let planned = if self.plans_two_passes() { 2 } else { 1 };
        if number > planned {
            self.extra.fetch_add(size, Ordering::Relaxed);
        }
    }

    fn plans_two_passes(&self) -> bool {
        self.has_passes.load(Ordering::Relaxed) && self.has_output.load(Ordering::Relaxed)
    }
}

/// A moment some time after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    began: Instant,
    after: Duration,
}

impl Deadline {
    pub fn after(after: Duration) -> Self {
        Deadline {
            began: Instant::now(),
            after,
        }
    }

    pub fn left(&self) -> Duration {
        self.after.saturating_sub(self.began.elapsed())
    }
}

/// poll(2) until the deadline, whatever signals come. False: nothing became ready.
pub(crate) fn poll(fds: &mut [PollFd<'_>], deadline: &Deadline) -> Result<bool, Errno> {
    loop {
        let left = Timespec::try_from(deadline.left()).map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(fds, Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
        }
    }
}
