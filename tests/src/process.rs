//! A process by a descriptor of it: its number may be another's once it has ended.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub struct Process(OwnedFd);

impl Process {
    /// # Panics
    /// When there is none of this number.
    pub fn of(pid: u32) -> Self {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        Process(pidfd_open(pid, PidfdFlags::empty()).unwrap())
    }

    /// Does nothing to one that has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.0, signal);
    }

    /// Waits for its end; false: it goes on.
    pub fn ends_within(&self, limit: Duration) -> bool {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap(),
            tv_nsec: limit.subsec_nanos().into(),
        };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)).unwrap() == 1
    }
}
