//! Pipes and sockets: never blocked in a system call that cancel cannot reach, and no flag of the client's changed.
//!
//! O_NONBLOCK on the client's descriptor would hit the client's own end (it belongs to the open file description). A pipe is
//! therefore opened anew through /proc/self/fd, which makes a description of our own; a socket takes MSG_DONTWAIT call by
//! call. Where /proc is missing, poll comes first, and a write is no longer than what a writable pipe is sure to take.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use privyseal_smime::Error;
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::fcntl_setpipe_size;

use super::halt::Halt;
use super::{Control, Deadline};

/// A pipe for which poll says POLLOUT has room for so many bytes (PIPE_BUF, pipe(7)).
const SURE: usize = 4096;

/// So many bytes are much.
const MUCH: usize = 1 << 20;
/// What a pipe may hold by default at most (/proc/sys/fs/pipe-max-size), bytes.
const WIDE: usize = 1 << 20;

/// How a call on the descriptor is kept from blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// a description of our own with O_NONBLOCK
    Own,
    /// MSG_DONTWAIT
    Socket,
    /// poll first
    Poll,
}

/// Reads a stream to its end.
pub(super) struct StreamReader {
    fd: OwnedFd,
    way: Way,
    control: Arc<Control>,
    deadline: Option<Deadline>,
    halt: Option<Arc<Halt>>,
    passed: usize,
}

impl StreamReader {
    /// `deadline` is for the whole stream, beside the control's for progress.
    pub fn new(fd: OwnedFd, control: &Arc<Control>, deadline: Option<Deadline>) -> Self {
        let (fd, way) = open(fd, OFlags::RDONLY);
        Self::by(way, fd, control, deadline)
    }

    pub(super) fn by(
        way: Way,
        fd: OwnedFd,
        control: &Arc<Control>,
        deadline: Option<Deadline>,
    ) -> Self {
        StreamReader {
            fd,
            way,
            control: control.clone(),
            deadline,
            halt: None,
            passed: 0,
        }
    }

    /// Lets `halt` end its waiting, for a thread that reads ahead.
    pub fn halted_by(mut self, halt: &Arc<Halt>) -> Self {
        self.halt = Some(halt.clone());
        self
    }

    fn wait(&self) -> Result<(), Error> {
        self.control.wait_for_progress(
            self.fd.as_fd(),
            PollFlags::IN,
            self.deadline.as_ref(),
            self.halt.as_deref(),
        )
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // a stream that never pauses is never waited for
        if self.deadline.is_some_and(|d| d.left().is_zero()) {
            return Err(Error::Timeout.into());
        }
        loop {
            self.control.check()?;
            if self.way == Way::Poll {
                self.wait()?;
            }
            let read = match self.way {
                Way::Own | Way::Poll => rustix::io::read(&self.fd, &mut *buffer),
                Way::Socket => {
                    rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT).map(|r| r.0)
                }
            };
            match read {
                Ok(read) => {
                    widen(&self.fd, self.way, &mut self.passed, read);
                    return Ok(read);
                }
                Err(Errno::AGAIN) => self.wait()?,
                Err(Errno::INTR) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }
}

/// Writes a stream; it ends when the writer is dropped (and the client has closed its own copy of the end).
pub(super) struct StreamWriter {
    fd: OwnedFd,
    way: Way,
    control: Arc<Control>,
    halt: Option<Arc<Halt>>,
    passed: usize,
}

impl StreamWriter {
    pub fn new(fd: OwnedFd, control: &Arc<Control>) -> Self {
        let (fd, way) = open(fd, OFlags::WRONLY);
        Self::by(way, fd, control)
    }

    pub(super) fn by(way: Way, fd: OwnedFd, control: &Arc<Control>) -> Self {
        StreamWriter {
            fd,
            way,
            control: control.clone(),
            halt: None,
            passed: 0,
        }
    }

    /// Lets `halt` end its waiting, for a thread that writes behind.
    pub fn halted_by(mut self, halt: &Arc<Halt>) -> Self {
        self.halt = Some(halt.clone());
        self
    }

    fn wait(&self) -> Result<(), Error> {
        let halt = self.halt.as_deref();
        self.control
            .wait_for_progress(self.fd.as_fd(), PollFlags::OUT, None, halt)
    }
}

impl Write for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            self.control.check()?;
            let written = match self.way {
                Way::Own => rustix::io::write(&self.fd, bytes),
                Way::Socket => {
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    rustix::net::send(&self.fd, bytes, flags)
                }
                Way::Poll => {
                    self.wait()?;
                    rustix::io::write(&self.fd, bytes.get(..SURE).unwrap_or(bytes))
                }
            };
            match written {
                Ok(written) => {
                    widen(&self.fd, self.way, &mut self.passed, written);
                    return Ok(written);
                }
                Err(Errno::AGAIN) => self.wait()?,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the output's reader has gone away",
                    ));
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe through which much has passed gets the largest size there is for everybody: fewer wake-ups for both ends. It may be
/// refused.
fn widen(fd: &OwnedFd, way: Way, passed: &mut usize, more: usize) {
    let before = *passed;
    *passed = before.saturating_add(more);
    if way == Way::Own && before < MUCH && *passed >= MUCH {
        let _ = fcntl_setpipe_size(fd, WIDE);
    }
}

/// Our own description of a pipe, or the client's socket. Fails softly: a pipe whose other end is gone cannot be opened for
/// writing, and says so at the first write.
fn open(fd: OwnedFd, access: OFlags) -> (OwnedFd, Way) {
    if rustix::net::sockopt::socket_type(&fd).is_ok() {
        return (fd, Way::Socket);
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(own) => (own, Way::Own),
        Err(_) => (fd, Way::Poll),
    }
}
