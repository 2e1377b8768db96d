//! The folder DIR: which files lie where, how they are written, and the environment that leads to them.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Everything that `init` makes in DIR, except the mark of an unfinished run.
const OURS: [&str; 18] = [
    "anchor.pem",
    "ca",
    "cache",
    "crl",
    "data",
    "intermediate.pem",
    "me-ec-encrypt.pem",
    "me-ec-sign.pem",
    "me-rsa-encrypt.pem",
    "me-rsa-sign.pem",
    "peer-ec.key",
    "peer-ec.pem",
    "peer-rsa.key",
    "peer-rsa.pem",
    "privyseal.toml",
    "run",
    "softhsm2.conf",
    "tokens",
];
const UNFINISHED: &str = ".unfinished";

/// How far an earlier `init` came.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Fresh,
    Unfinished,
    Done,
}

/// A folder with a token, by its absolute path.
#[derive(Debug)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The folder, made (0700) if it is not there.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| Error::file(dir, e))?;
        Self::absolute(dir)
    }

    /// A folder that `init` has finished.
    pub fn existing(dir: &Path) -> Result<Self, Error> {
        let layout = Self::absolute(dir).map_err(|_| Error::NotOurs(dir.display().to_string()))?;
        match layout.progress()? {
            Progress::Done => Ok(layout),
            _ => Err(Error::NotOurs(layout.dir.display().to_string())),
        }
    }

    fn absolute(dir: &Path) -> Result<Self, Error> {
        let dir = dir.canonicalize().map_err(|e| Error::file(dir, e))?;
        // The paths go into two configuration formats and shell lines: refuse what one of them cannot carry.
        match dir.to_str() {
            Some(text) if !text.chars().any(|c| c.is_control() || c == '#') => Ok(Layout { dir }),
            _ => Err(Error::Usage(format!(
                "{}: the folder's path must be UTF-8 without control characters and `#`",
                dir.display()
            ))),
        }
    }

    /// Looks what is there. An error if DIR has foreign things under our names.
    pub fn progress(&self) -> Result<Progress, Error> {
        if self.path(UNFINISHED).exists() {
            return Ok(Progress::Unfinished);
        }
        // privyseal.toml is written last
        if self.config().exists() && self.softhsm_conf().exists() && self.tokens().is_dir() {
            return Ok(Progress::Done);
        }
        match OURS.iter().map(|name| self.path(name)).find(|p| p.exists()) {
            Some(taken) => Err(Error::Occupied(taken.display().to_string())),
            None => Ok(Progress::Fresh),
        }
    }

    /// One `init` or `import` at a time: held until the returned file is dropped.
    pub fn lock(&self) -> Result<File, Error> {
        let folder = File::open(&self.dir).map_err(|e| Error::file(&self.dir, e))?;
        folder.lock().map_err(|e| Error::file(&self.dir, e))?;
        Ok(folder)
    }

    /// Marks the folder as ours but not ready.
    pub fn begin(&self) -> Result<(), Error> {
        self.write(
            UNFINISHED,
            b"privyseal-softhsm init was here and did not finish; run it again\n",
        )?;
        for folder in ["ca", "crl", "tokens", "data", "cache", "run"] {
            let path = self.path(folder);
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    /// Removes what an unfinished run left, and nothing else.
    pub fn sweep(&self) -> Result<(), Error> {
        for path in OURS.iter().map(|name| self.path(name)) {
            let removed = match path.symlink_metadata() {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
                Ok(_) => fs::remove_file(&path),
                Err(_) => continue,
            };
            removed.map_err(|e| Error::file(&path, e))?;
        }
        Ok(())
    }

    pub fn finish(&self) -> Result<(), Error> {
        let mark = self.path(UNFINISHED);
        fs::remove_file(&mark).map_err(|e| Error::file(&mark, e))
    }

    /// Writes a file in DIR, readable by the owner only, whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let path = self.path(name);
        write_private(&path, content)?;
        Ok(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn softhsm_conf(&self) -> PathBuf {
        self.path("softhsm2.conf")
    }

    pub fn tokens(&self) -> PathBuf {
        self.path("tokens")
    }

    pub fn config(&self) -> PathBuf {
        self.path("privyseal.toml")
    }

    /// `export` lines for a POSIX shell.
    pub fn env_lines(&self) -> Result<Vec<String>, Error> {
        let mut lines = vec![
            export("SOFTHSM2_CONF", self.softhsm_conf().as_os_str()),
            export("PRIVYSEAL_CONFIG", self.config().as_os_str()),
        ];
        for (name, folder) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            lines.push(export(name, self.path(folder).as_os_str()));
        }
        // A desktop's display and bus may be found through XDG_RUNTIME_DIR: name them outright before it changes.
        if let Some(old) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
            && old != self.path("run")
        {
            if let Some(display) = std::env::var_os("WAYLAND_DISPLAY")
                && !display.is_empty()
            {
                lines.push(export("WAYLAND_DISPLAY", old.join(display).as_os_str()));
            }
            let bus = old.join("bus");
            if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none()
                && bus.exists()
                && let Some(bus) = bus.to_str()
            {
                lines.push(export(
                    "DBUS_SESSION_BUS_ADDRESS",
                    OsStr::new(&format!("unix:path={bus}")),
                ));
            }
        }
        Ok(lines)
    }
}

/// Writes beside the target and renames; mode 0600.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| Error::file(path, e))
}

fn export(name: &str, value: &OsStr) -> String {
    let text = String::from_utf8_lossy(value.as_bytes()).replace('\'', r"'\''");
    format!("export {name}='{text}'")
}
