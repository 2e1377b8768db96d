//! Descriptors of clients (design rule 17): looked at first, never changed, read and written with deadlines, cancellable.
//!
//! A client's descriptor shares its offset and flags with the client. Files are therefore read and written at offsets of our
//! own, pipes through an open file description of our own, sockets with MSG_DONTWAIT. Of large messages, reading and writing
//! have threads of their own beside the job's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use privyseal_proto::{ErrorName, Failure, limits};
use privyseal_smime::io::{Ahead, Behind, FileInput, NeverWaits, StreamInput};
use privyseal_smime::{Error, Input};
use rustix::fs::{
    FileType, OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat, major, minor, tell,
};
use rustix::net::SocketType;
use rustix::termios::isatty;
use zeroize::Zeroizing;

mod control;
mod file;
mod halt;
mod pin;
mod progress;
mod stream;
#[cfg(test)]
mod tests;

pub use control::Control;
pub(crate) use control::{Deadline, poll};

use control::FileId;
use file::{FileReader, FileWriter};
use halt::Halt;
use progress::{Counted, Counting};
use stream::{StreamReader, StreamWriter};

/// Read ahead at a time, bytes.
const BLOCK: usize = 256 << 10;
const PROGRESS: Duration = Duration::from_secs(limits::PROGRESS_DEADLINE);
/// For all files of one call's options together.
const OPTIONS: Duration = Duration::from_secs(10);
const PIN: Duration = Duration::from_secs(limits::PIN_DEADLINE);

/// A message to be read in several passes (verify, decrypt). A file is as long as it was when it came: one that grows or shrinks
/// meanwhile is `InputChanged`. `None`: the descriptor is /dev/null, "no such thing".
/// `spool` is the folder where the unnamed file of a stream is made.
pub fn input(
    fd: OwnedFd,
    control: &Arc<Control>,
    spool: &Path,
) -> Result<Option<Box<dyn Input>>, Failure> {
    let (inner, size): (Box<dyn Input>, _) = match look(&fd, Direction::Read, "the input")? {
        Kind::Null => return Ok(None),
        Kind::File { offset, size, id } => {
            control.uses(Direction::Read, id)?;
            let watch = control.clone();
            let check = Box::new(move || watch.check());
            let input = FileInput::new(File::from(fd), offset, check);
            (Box::new(input), Some(size.saturating_sub(offset)))
        }
        Kind::Pipe | Kind::Socket => {
            let halt = Arc::new(Halt::new()?);
            let stream = StreamReader::new(fd, control, None).halted_by(&halt);
            let input = StreamInput::new(stream, spool.into(), halt);
            (Box::new(input), None)
        }
    };
    Ok(Some(Box::new(Counted::new(inner, size, control))))
}

/// A message to be read once (sign, encrypt). A file that grows or shrinks meanwhile is `InputChanged`.
pub fn reader(fd: OwnedFd, control: &Arc<Control>) -> Result<Box<dyn Read + Send>, Failure> {
    let halt = Arc::new(Halt::new()?);
    let (source, size) = source(fd, control, None, Some(&halt), "the input")?;
    if let Some(size) = size {
        control.expect(size);
    }
    let counting = Counting::new(source, size, control);
    Ok(Box::new(Ahead::new(counting, BLOCK, halt)))
}

/// Where to write; `None`: /dev/null. Only a flush says that all was written, and the end of a large message is lost without
/// one. Errors come as `smime::Error` (Cancelled, Timeout, NoSpace, Io) through `io::Error`. A file is written from its current
/// offset (opened with O_APPEND: at its end), a stream ends with the writer.
pub fn output(
    fd: OwnedFd,
    control: &Arc<Control>,
) -> Result<Option<Box<dyn Write + Send>>, Failure> {
    let writer: Box<dyn Write + Send> = match look(&fd, Direction::Write, "the output")? {
        Kind::Null => return Ok(None),
        Kind::File { offset, id, .. } => {
            control.uses(Direction::Write, id)?;
            let file = FileWriter::new(fd, offset, control);
            Box::new(Behind::new(file, Arc::new(NeverWaits)))
        }
        Kind::Pipe | Kind::Socket => {
            let halt = Arc::new(Halt::new()?);
            let stream = StreamWriter::new(fd, control).halted_by(&halt);
            Box::new(Behind::new(stream, halt))
        }
    };
    control.has_output();
    Ok(Some(writer))
}

/// A PIN: up to the first LF or the end, 1–255 bytes, within 5 s (`dbus.md`). What follows the LF stays in the pipe.
pub fn read_pin(fd: OwnedFd) -> Result<Zeroizing<Vec<u8>>, Failure> {
    pin::read(fd, PIN)
}

/// Reads the small files (certificates, CRLs) that come in the options of one call, all of them within [`OPTIONS`].
pub struct Files {
    /// `None`: nothing that could make anybody wait is read
    control: Option<Arc<Control>>,
    deadline: Deadline,
}

impl Files {
    /// Whatever can be read; ends when `control` is cancelled.
    pub fn of_job(control: &Arc<Control>) -> Self {
        Files {
            control: Some(control.clone()),
            deadline: Deadline::after(OPTIONS),
        }
    }

    /// Regular files and memfds only, for a call that is answered at once: nothing waits for a client's other end.
    pub fn at_once() -> Self {
        Files {
            control: None,
            deadline: Deadline::after(OPTIONS),
        }
    }

    /// One of them, whole; at most `limit` bytes.
    pub fn read(&self, fd: OwnedFd, limit: usize) -> Result<Vec<u8>, Failure> {
        let what = "a file of the options";
        let control = match &self.control {
            Some(control) => control.clone(),
            None => {
                if let Kind::Pipe | Kind::Socket = look(&fd, Direction::Read, what)? {
                    return Err(Failure::invalid(format!(
                        "{what} is a stream: pass a regular file or a memfd to a call that answers at once"
                    )));
                }
                Control::new()?
            }
        };
        let (source, _) = source(fd, &control, Some(self.deadline), None, what)?;
        let mut bytes = Vec::new();
        let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        source
            .take(one_more)
            .read_to_end(&mut bytes)
            .map_err(|e| failure(what, e.into()))?;
        if bytes.len() > limit {
            return Err(Failure::new(
                ErrorName::InputTooLarge,
                format!("{what} is larger than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }
}

/// What a descriptor is, as far as we treat it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// a regular file or memfd: the client's offset and the size when it came
    File {
        offset: u64,
        size: u64,
        id: FileId,
    },
    Pipe,
    /// connected, SOCK_STREAM
    Socket,
    /// /dev/null
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Looks before anything is read or written. `what` names the descriptor in errors.
fn look(fd: &OwnedFd, direction: Direction, what: &str) -> Result<Kind, Failure> {
    let refuse = |why: &str| Err(Failure::invalid(format!("{what} {why}")));
    let unknown = |e: rustix::io::Errno| Failure::invalid(format!("{what} cannot be used: {e}"));
    let flags = fcntl_getfl(fd).map_err(unknown)?;
    if flags.contains(OFlags::PATH) {
        return refuse("was opened with O_PATH: open it for reading or writing");
    }
    let mode = flags & OFlags::RWMODE;
    match direction {
        Direction::Read if mode == OFlags::WRONLY => return refuse("is not open for reading"),
        Direction::Write if mode == OFlags::RDONLY => return refuse("is not open for writing"),
        _ => {}
    }
    let stat = fstat(fd).map_err(unknown)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let sealed = SealFlags::WRITE | SealFlags::FUTURE_WRITE;
            if direction == Direction::Write
                && fcntl_get_seals(fd).is_ok_and(|s| s.intersects(sealed))
            {
                return refuse("is sealed against writing");
            }
            Ok(Kind::File {
                offset: tell(fd).map_err(unknown)?,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                id: (stat.st_dev, stat.st_ino),
            })
        }
        FileType::Fifo => Ok(Kind::Pipe),
        FileType::Socket => match rustix::net::sockopt::socket_type(fd) {
            Ok(SocketType::STREAM) => Ok(Kind::Socket),
            _ => refuse("is a socket of packets: pass a pipe, a file or a stream socket"),
        },
        FileType::CharacterDevice if (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3) => {
            Ok(Kind::Null)
        }
        FileType::CharacterDevice if isatty(fd) => refuse("is a terminal: pass a pipe or a file"),
        FileType::CharacterDevice | FileType::BlockDevice => {
            refuse("is a device: pass a pipe or a file")
        }
        FileType::Directory => refuse("is a folder: pass a pipe or a file"),
        _ => refuse("is neither a file, a pipe nor a socket"),
    }
}

/// Something to be read once, and how long it is if that is known. `deadline` is for all of it, beside that for progress; `halt`
/// ends the waiting.
fn source(
    fd: OwnedFd,
    control: &Arc<Control>,
    deadline: Option<Deadline>,
    halt: Option<&Arc<Halt>>,
    what: &str,
) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    match look(&fd, Direction::Read, what)? {
        Kind::Null => Err(Failure::invalid(format!(
            "{what} is /dev/null: pass a pipe or a file"
        ))),
        Kind::File { offset, size, id } => {
            control.uses(Direction::Read, id)?;
            Ok((
                Box::new(FileReader::new(fd, offset, control)),
                Some(size.saturating_sub(offset)),
            ))
        }
        Kind::Pipe | Kind::Socket => {
            let stream = StreamReader::new(fd, control, deadline);
            Ok(match halt {
                Some(halt) => (Box::new(stream.halted_by(halt)), None),
                None => (Box::new(stream), None),
            })
        }
    }
}

fn failure(what: &str, error: Error) -> Failure {
    match error {
        Error::Cancelled => Failure::new(ErrorName::Cancelled, "cancelled"),
        Error::Timeout => Failure::new(
            ErrorName::Timeout,
            format!("{what} did not come to its end in time"),
        ),
        other => Failure::new(ErrorName::Failed, format!("{what} cannot be read: {other}")),
    }
}
