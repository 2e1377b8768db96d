//! Where the result goes. A file appears whole or not at all: it is written beside OUT and renamed on success.

use std::convert::Infallible;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, FileType, Mode, access, fstat};
use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use super::relay::{Trouble, drain};
use crate::error::{CommandError, Result};
use crate::ui::Ui;

/// So much new data is put to disk while more is being written, bytes; a small file waits for the end.
const PORTION: u64 = 32 << 20;
/// Between two looks at how much there is.
const LOOK: Duration = Duration::from_millis(20);
/// More symbolic links than this are a loop.
const LINKS_MAX: usize = 40;

/// A file beside its target.
#[derive(Debug)]
pub struct Atomic {
    temp: NamedTempFile,
    target: PathBuf,
    mode: u32,
}

/// What the daemon writes to.
#[derive(Debug)]
pub enum Output {
    /// /dev/null: nothing is to be written
    None,
    /// a pipe or socket: written to as it is
    Direct(OwnedFd),
    /// copied by us
    Relay(OwnedFd, oneshot::Receiver<Result<()>>),
    File(Atomic),
}

/// What is left to do when the job is done.
#[derive(Debug)]
pub enum Finish {
    Nothing,
    Wait(oneshot::Receiver<Result<()>>),
    Rename(Atomic),
}

impl Output {
    /// `None` or `-`: standard output, which then belongs to the data alone.
    pub fn open(path: Option<&Path>, ui: &Ui, trouble: &Trouble) -> Result<Self> {
        let Some(path) = path.filter(|path| !is_stdout(path)) else {
            ui.keep_stdout_for_data();
            return standard(trouble);
        };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(failed(path, &"it is a folder")),
            // not resolved: what /dev/fd/63 points to is no path
            Ok(found) if !found.is_file() => {
                special(path, found.file_type().is_fifo(), ui, trouble)
            }
            _ => Ok(Output::File(Atomic::new(resolve(path)?)?)),
        }
    }

    /// The descriptor for the daemon (ours is closed once it is sent, so that the end of the data is seen), and the rest of the work.
    pub fn split(self) -> Result<(zbus::Fd<'static>, Finish)> {
        Ok(match self {
            Output::None => {
                let null = OpenOptions::new().write(true).open("/dev/null");
                let null = null.map_err(|e| CommandError::local("cannot open /dev/null", &e))?;
                (OwnedFd::from(null).into(), Finish::Nothing)
            }
            Output::Direct(fd) => (fd.into(), Finish::Nothing),
            Output::Relay(fd, done) => (fd.into(), Finish::Wait(done)),
            Output::File(atomic) => {
                let fd = atomic.temp.as_file().as_fd().try_clone_to_owned();
                let fd = fd.map_err(|e| failed(&atomic.target, &e))?;
                (fd.into(), Finish::Rename(atomic))
            }
        })
    }
}

impl Finish {
    /// Waits for `work`, and meanwhile has what the daemon wrote so far put to disk, so that little is left to wait for at the end.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        match self {
            Finish::Rename(atomic) => tokio::select! {
                result = work => result,
                never = atomic.put_to_disk() => match never {},
            },
            Finish::Nothing | Finish::Wait(_) => work.await,
        }
    }

    /// The job succeeded: the data is good.
    pub async fn commit(self) -> Result<()> {
        match self {
            Finish::Nothing => Ok(()),
            Finish::Wait(done) => done.await.unwrap_or_else(|_| {
                Err(CommandError::local(
                    "cannot write the output",
                    &"the copy ended early",
                ))
            }),
            Finish::Rename(atomic) => atomic.commit(),
        }
    }

    /// Nothing was written to a file.
    pub fn is_empty_file(&self) -> bool {
        match self {
            Finish::Rename(atomic) => atomic
                .temp
                .as_file()
                .metadata()
                .is_ok_and(|found| found.len() == 0),
            Finish::Nothing | Finish::Wait(_) => false,
        }
    }
}

impl Atomic {
    /// `target` has no symbolic link as its last part. Removed again unless committed.
    pub fn new(target: PathBuf) -> Result<Self> {
        let mode = match fs::metadata(&target) {
            Ok(found) => {
                // a rename would replace what may not be written
                access(&target, Access::WRITE_OK).map_err(|e| failed(&target, &e))?;
                found.permissions().mode() & 0o7777
            }
            Err(_) => 0o666 & !umask(),
        };
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // made with mode 0600
        let temp = tempfile::Builder::new()
            .prefix(".privyseal-")
            .tempfile_in(folder)
            .map_err(|e| failed(&target, &e))?;
        Ok(Atomic { temp, target, mode })
    }

    /// For output that is made here.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
        let mut atomic = Atomic::new(resolve(path)?)?;
        io::Write::write_all(&mut atomic.temp, bytes).map_err(|e| failed(path, &e))?;
        atomic.commit()
    }

    /// Goes on for ever. Errors are left for [`Self::commit`], which is told of them too: these are other descriptions of the
    /// file.
    async fn put_to_disk(&self) -> Infallible {
        let mut done = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            let size = self.temp.as_file().metadata().map_or(0, |m| m.len());
            if size.saturating_sub(done) < PORTION {
                continue;
            }
            done = size;
            if let Ok(file) = self.temp.reopen() {
                let _ = tokio::task::spawn_blocking(move || file.sync_data()).await;
            }
        }
    }

    fn commit(self) -> Result<()> {
        let Atomic { temp, target, mode } = self;
        let file = temp.as_file();
        file.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| file.sync_all())
            .map_err(|e| failed(&target, &e))?;
        temp.persist(&target)
            .map(|_| ())
            .map_err(|e| failed(&target, &e.error))
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> CommandError {
    CommandError::local(format!("cannot write {}", path.display()), error)
}

/// Also by its other names; opened again, a file on stdout would be replaced under the shell's hands.
fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path == Path::new(name))
}

/// A pipe is written to as it is; devices are ours to write to.
fn special(path: &Path, is_fifo: bool, ui: &Ui, trouble: &Trouble) -> Result<Output> {
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(|e| failed(path, &e))?;
    if super::is_same(&file, io::stdout()) {
        ui.keep_stdout_for_data();
    }
    if is_fifo {
        return Ok(Output::Direct(file.into()));
    }
    let (fd, done) = drain(file, &path.display().to_string(), trouble)?;
    Ok(Output::Relay(fd, done))
}

fn standard(trouble: &Trouble) -> Result<Output> {
    let unusable =
        |e: &dyn std::fmt::Display| CommandError::local("cannot write to standard output", e);
    if super::was_closed(io::stdout()) {
        return Err(unusable(&"it is closed")
            .hint("name the output with -o FILE, or write `>/dev/null` to throw it away"));
    }
    let fd = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|e| unusable(&e))?;
    let stat = fstat(&fd).map_err(|e| unusable(&e))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => Ok(Output::Direct(fd)),
        _ => {
            let (fd, done) = drain(fd.into(), "standard output", trouble)?;
            Ok(Output::Relay(fd, done))
        }
    }
}

/// Follows symbolic links in the last part of the path, so that the link stays and its target is replaced.
fn resolve(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => {
                path = path
                    .parent()
                    .map_or_else(|| target.clone(), |folder| folder.join(&target))
            }
            Err(_) => return Ok(path),
        }
    }
    Err(failed(&path, &"too many levels of symbolic links"))
}

/// The process has one thread of its own here; the mask is put back at once.
fn umask() -> u32 {
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(mask);
    mask.bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn an_existing_file_is_replaced_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::write(&out, "old").unwrap();
        fs::set_permissions(&out, Permissions::from_mode(0o640)).unwrap();
        Atomic::write(&out, b"new").unwrap();
        assert_eq!(
            (fs::read(&out).unwrap(), mode(&out)),
            (b"new".to_vec(), 0o640)
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_committed_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::write(&out, "old").unwrap();
        let atomic = Atomic::new(out.clone()).unwrap();
        assert_eq!(mode(atomic.temp.path()), 0o600);
        drop(atomic);
        assert_eq!(fs::read(&out).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link, dangling) = (
            folder.path().join("real"),
            folder.path().join("link"),
            folder.path().join("dangling"),
        );
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        std::os::unix::fs::symlink("made", &dangling).unwrap();
        Atomic::write(&link, b"new").unwrap();
        Atomic::write(&dangling, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(fs::read(folder.path().join("made")).unwrap(), b"new");
        let round = folder.path().join("round");
        std::os::unix::fs::symlink("round", &round).unwrap();
        assert_eq!(Atomic::write(&round, b"x").unwrap_err().exit(), 1);
    }

    #[test]
    fn stdout_is_known_by_all_its_names() {
        for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(is_stdout(Path::new(name)), "{name}");
        }
        assert!(!is_stdout(Path::new("stdout")));
    }
}
