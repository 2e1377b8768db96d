//! Regular files and memfds, at offsets of our own.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use privyseal_smime::Error;
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::Control;

/// Reads once from an offset to the end.
pub(super) struct FileReader {
    fd: OwnedFd,
    offset: u64,
    control: Arc<Control>,
}

impl FileReader {
    pub fn new(fd: OwnedFd, offset: u64, control: &Arc<Control>) -> Self {
        FileReader {
            fd,
            offset,
            control: control.clone(),
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.control.check()?;
        let read = retry_on_intr(|| pread(&self.fd, &mut *buffer, self.offset))?;
        self.offset = moved(self.offset, read)?;
        Ok(read)
    }
}

/// Writes from an offset on. With O_APPEND, pwrite(2) appends on Linux and still leaves the client's offset alone.
pub(super) struct FileWriter {
    fd: OwnedFd,
    offset: u64,
    control: Arc<Control>,
}

impl FileWriter {
    pub fn new(fd: OwnedFd, offset: u64, control: &Arc<Control>) -> Self {
        FileWriter {
            fd,
            offset,
            control: control.clone(),
        }
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.control.check()?;
        match retry_on_intr(|| pwrite(&self.fd, bytes, self.offset)) {
            Ok(written) => {
                self.offset = moved(self.offset, written)?;
                Ok(written)
            }
            Err(Errno::NOSPC | Errno::DQUOT) => Err(Error::NoSpace.into()),
            Err(other) => Err(other.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn moved(offset: u64, by: usize) -> io::Result<u64> {
    u64::try_from(by)
        .ok()
        .and_then(|by| offset.checked_add(by))
        .ok_or_else(|| io::Error::from(Errno::OVERFLOW))
}
