//! A descriptor that the caller passed by its number (`--pin-fd 3`).

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::error::{CommandError, Result};

/// A duplicate of descriptor `number`. Call it before anything is opened, or the number may mean something of ours.
pub fn descriptor(number: u32) -> Result<OwnedFd> {
    let closed = || {
        CommandError::usage(format!("descriptor {number} is not open"))
            .hint("for example: privyseal token unlock TOKEN --pin-fd 3 3< <(pass show card)")
    };
    let raw = i32::try_from(number).map_err(|_| closed())?;
    let duplicate = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|process| pidfd_getfd(process, raw, PidfdGetfdFlags::empty()));
    let fd = match duplicate {
        Ok(fd) => fd,
        Err(Errno::BADF) => return Err(closed()),
        // an old kernel or a sandbox: open it anew
        Err(_) => File::open(format!("/proc/self/fd/{number}"))
            .map_err(|_| closed())?
            .into(),
    };
    if fd.is_terminal() {
        return Err(CommandError::usage("a PIN typed there would be seen")
            .hint("leave --pin-fd out: the PIN is asked for at a prompt"));
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn an_open_descriptor_is_found_by_its_number_and_a_closed_one_is_a_usage_error() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let number = u32::try_from(reader.as_raw_fd()).unwrap();
        let mut copy = File::from(descriptor(number).unwrap());
        File::from(writer).write_all(b"1234").unwrap();
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "1234");
        assert_eq!(descriptor(1_000_000).unwrap_err().exit(), 2);
        assert_eq!(descriptor(u32::MAX).unwrap_err().exit(), 2);
    }
}
