//! Ends the waiting of one stream that another thread reads or writes, when nobody wants the rest any more. Other than cancel it
//! can be taken back: what is left of a stream may be wanted by a later pass.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use privyseal_proto::{ErrorName, Failure};
use privyseal_smime::io::Stop;
use rustix::event::{EventfdFlags, eventfd};

/// Readable while stopped.
pub(super) struct Halt(OwnedFd);

impl Halt {
    pub fn new() -> Result<Self, Failure> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Halt)
            .map_err(|e| {
                Failure::new(
                    ErrorName::Failed,
                    format!("no descriptor for a stream: {e}"),
                )
            })
    }
}

impl AsFd for Halt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Stop for Halt {
    fn stop(&self) {
        // cannot fail: one is added to a counter that is taken back at once
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    fn resume(&self) {
        // fails where there is nothing to take back
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}
