//! One daemon per user: a locked file in the data folder, which names the process that holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Why this daemon may not run.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("privyseald already runs for this user{holder} (lock file {path})")]
    Held {
        /// ` as process 42`, or empty while the other one is just starting
        holder: String,
        path: PathBuf,
    },
    #[error("cannot use the lock file {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Held for as long as the daemon runs; the kernel lets go of it when the process ends, however it ends.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock in `folder`.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("privyseald.lock");
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    holder: holder(&mut file),
                    path,
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Lock { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // a process id has at most seven digits
    match file.take(32).read_to_string(&mut text) {
        Ok(_) => match text.trim().parse::<u32>() {
            Ok(pid) => format!(" as process {pid}"),
            Err(_) => String::new(),
        },
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_holder_and_a_dropped_one_is_free() {
        let folder = std::env::temp_dir().join(format!("privyseald-lock-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let first = Lock::take(&folder).unwrap();
        let second = Lock::take(&folder).err().unwrap().to_string();
        assert!(
            second.contains(&format!("as process {}", std::process::id())),
            "{second}"
        );
        drop(first);
        Lock::take(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
