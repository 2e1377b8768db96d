//! The daemon's folders: XDG, 0700, and ours.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::ConfigError;
use super::file::{absolute, home};

/// statfs(2): file systems that are memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// `$XDG_DATA_HOME/privyseal`, made if it was not there.
pub fn data_dir() -> Result<PathBuf, ConfigError> {
    home_folder("XDG_DATA_HOME", ".local/share")
}

/// Where spools of ciphertext go: `$XDG_CACHE_HOME/privyseal/spool`, or `/var/tmp/privyseal-UID` where that cannot be made
/// or would be memory (design rule 7).
pub fn spool_dir() -> Result<PathBuf, ConfigError> {
    let cache = home_folder("XDG_CACHE_HOME", ".cache").and_then(|cache| {
        let spool = cache.join("spool");
        private(&spool, Loose::Mend)?;
        Ok(spool)
    });
    match &cache {
        Ok(spool) if !is_memory(spool) => return cache,
        Ok(spool) => tracing::debug!(folder = %spool.display(), "is memory: spools go elsewhere"),
        Err(error) => tracing::debug!(%error, "spools go elsewhere"),
    }
    let uid = rustix::process::geteuid().as_raw();
    let other = PathBuf::from(format!("/var/tmp/privyseal-{uid}"));
    match private(&other, Loose::Refuse) {
        Ok(()) if cache.is_err() || !is_memory(&other) => Ok(other),
        Ok(()) => cache,
        Err(error) => cache.or(Err(error)),
    }
}

/// What to do with a folder of ours that others may enter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loose {
    /// below the user's own folders: make it 0700
    Mend,
    /// in a folder for all: somebody may have put things into it
    Refuse,
}

fn home_folder(variable: &'static str, below_home: &str) -> Result<PathBuf, ConfigError> {
    let base = absolute(variable)
        .or_else(|| home().map(|home| home.join(below_home)))
        .ok_or(ConfigError::NoHome(variable))?;
    let folder = base.join("privyseal");
    private(&folder, Loose::Mend)?;
    Ok(folder)
}

/// Makes the folder (0700, with its parents where it is below a home), and refuses one that is not ours or a link.
pub(super) fn private(folder: &Path, loose: Loose) -> Result<(), ConfigError> {
    let wrong = |what: String| ConfigError::Folder {
        path: folder.into(),
        what,
    };
    match DirBuilder::new()
        .recursive(loose == Loose::Mend)
        .mode(0o700)
        .create(folder)
    {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(wrong(format!("cannot be made: {e}")));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(folder).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    // the user may have moved a folder below home elsewhere by a link
    let found = match loose {
        Loose::Mend if found.is_symlink() => {
            fs::metadata(folder).map_err(|e| wrong(format!("cannot be read: {e}")))?
        }
        _ => found,
    };
    if !found.is_dir() {
        return Err(wrong("is not a folder: move it away".into()));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong("belongs to another user: move it away".into()));
    }
    if found.mode() & 0o077 == 0 {
        return Ok(());
    }
    match loose {
        Loose::Mend => fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|e| wrong(format!("cannot be made private: {e}"))),
        Loose::Refuse => Err(wrong("others may enter it: remove it".into())),
    }
}

fn is_memory(folder: &Path) -> bool {
    rustix::fs::statfs(folder)
        .is_ok_and(|s| u64::try_from(s.f_type).is_ok_and(|t| t == TMPFS_MAGIC || t == RAMFS_MAGIC))
}
