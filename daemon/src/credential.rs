//! PINs that the administrator stored for machines without a person: systemd credentials (systemd.exec(5), `LoadCredential=`), a
//! file `pin.ID` for the token with this id. A label would not do: whoever makes a token chooses it, and would be told the PIN.
//!
//! A wrong one must not block a card, however often the daemon is started (design rule 3). Before a PIN is sent, a marker goes to
//! the disk that says which file it is from. Only success takes it away, or an error which says that no PIN was refused; what it names is
//! never sent again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::{TokenId, TokenInfo};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::descriptor;

/// Files that are tried without a success in between. systemd copies the credentials at each start of the service, so that one
/// that was refused looks like a changed one after a restart.
const TRIES_MAX: u32 = 2;

/// What there is for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Nothing,
    Ready,
    /// tried before, without success
    Refused,
    /// not a small file of ours
    Unusable,
}

impl Stored {
    pub fn name(self) -> &'static str {
        match self {
            Stored::Nothing => "none",
            Stored::Ready => "ready",
            Stored::Refused => "refused",
            Stored::Unusable => "unusable",
        }
    }
}

/// Where the files are, and where markers are kept.
pub struct Credentials {
    folder: Option<PathBuf>,
    markers: PathBuf,
}

/// A version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// What was tried last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    version: Version,
    /// since the token was last unlocked
    tries: u32,
}

impl Credentials {
    /// Those of this service; `data` is the daemon's own folder.
    pub fn of_this_process(data: &Path) -> Self {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Credentials {
            folder: folder.filter(|folder| folder.is_absolute()),
            markers: data.to_owned(),
        }
    }

    pub fn look(&self, token: &TokenId) -> Stored {
        match self.open(token) {
            Ok(None) => Stored::Nothing,
            Ok(Some((_, version))) => match self.marker(token) {
                Ok(marker) if may_be_tried(marker, version) => Stored::Ready,
                // in doubt it was tried
                _ => Stored::Refused,
            },
            Err(_) => Stored::Unusable,
        }
    }

    /// Sends the stored PIN, if there is one that may be tried now. Of one token one call at a time.
    pub fn try_once(
        &self,
        token: &TokenInfo,
        send: impl FnOnce(Zeroizing<Vec<u8>>) -> Result<(), Failure>,
    ) -> Option<Result<(), Failure>> {
        if token.pin_final_try || token.pin_locked || token.protected_auth_path {
            return None;
        }
        let id = &token.id;
        let unusable = |what: &dyn std::fmt::Display| {
            tracing::warn!(token = token.label, "the credential {}: {what}", name(id));
        };
        let (file, version) = self.open(id).map_err(|error| unusable(&error)).ok()??;
        let before = self.marker(id).map_err(|error| unusable(&error)).ok()?;
        if !may_be_tried(before, version) {
            return None;
        }
        let pin = descriptor::read_pin(file.into())
            .map_err(|failure| unusable(&failure))
            .ok()?;
        let tries = before.map_or(0, |marker| marker.tries).saturating_add(1);
        if let Err(error) = self.mark(id, Marker { version, tries }) {
            return Some(Err(unmarked(&error)));
        }
        Some(send(pin).inspect(|()| self.unmark(id)).map_err(|failure| {
            if was_not_refused(failure.name) {
                match before {
                    Some(marker) => noted(self.mark(id, marker)),
                    None => self.unmark(id),
                }
            }
            Failure::new(
                failure.name,
                format!(
                    "{} (stored as the systemd credential {}, and not tried again)",
                    failure.message,
                    name(id)
                ),
            )
        }))
    }

    /// A token was unlocked by other means: failures count anew. What was refused stays so.
    pub fn opened(&self, token: &TokenId) {
        if let Ok(Some(marker)) = self.marker(token)
            && marker.tries > 0
        {
            noted(self.mark(token, Marker { tries: 0, ..marker }));
        }
    }

    /// The token has a new PIN: what is stored is no longer right.
    pub fn outdated(&self, token: &TokenId) {
        if let Ok(Some((_, version))) = self.open(token) {
            noted(self.mark(token, Marker { version, tries: 0 }));
        }
    }

    fn open(&self, token: &TokenId) -> io::Result<Option<(File, Version)>> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(folder.join(name(token)));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let found = file.metadata()?;
        // of a service of the system's they are root's, who has given us the right to read
        let ours = [rustix::process::geteuid().as_raw(), 0].contains(&found.uid());
        // longer than a PIN, or with more than its line in it: not what it is meant to be
        if !found.is_file() || !ours || found.len() > 256 {
            return Err(io::Error::other("not a small file of ours"));
        }
        let version = Version {
            inode: found.ino(),
            seconds: found.mtime(),
            nanoseconds: found.mtime_nsec(),
        };
        Ok(Some((file, version)))
    }

    fn marker(&self, token: &TokenId) -> io::Result<Option<Marker>> {
        match fs::read_to_string(self.marker_path(token)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Marker::parse(&text?)
                .map(Some)
                .ok_or_else(|| io::Error::other("its marker cannot be read")),
        }
    }

    /// On the disk before it returns.
    fn mark(&self, token: &TokenId, marker: Marker) -> io::Result<()> {
        let path = self.marker_path(token);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(marker.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.markers)?.sync_all()
    }

    /// One that comes back after a crash is on the safe side.
    fn unmark(&self, token: &TokenId) {
        match fs::remove_file(self.marker_path(token)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => noted(other),
        }
    }

    fn marker_path(&self, token: &TokenId) -> PathBuf {
        self.markers.join(format!("credential-{}", token.0))
    }
}

impl Marker {
    fn text(self) -> String {
        let Version {
            inode,
            seconds,
            nanoseconds,
        } = self.version;
        format!("{inode} {seconds} {nanoseconds} {}\n", self.tries)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let marker = Marker {
            version: Version {
                inode: words.next()?.parse().ok()?,
                seconds: words.next()?.parse().ok()?,
                nanoseconds: words.next()?.parse().ok()?,
            },
            tries: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(marker)
    }
}

/// It was not sent; or it was right, and what came after it failed.
fn was_not_refused(name: ErrorName) -> bool {
    matches!(
        name,
        ErrorName::BadPinFinalTry
            | ErrorName::TokenNotPresent
            | ErrorName::NoSecretKey
            | ErrorName::UnsupportedAlgorithm
            | ErrorName::UsageNotAllowed
            | ErrorName::Busy
            | ErrorName::Cancelled
            | ErrorName::NoSpace
    )
}

fn may_be_tried(marker: Option<Marker>, version: Version) -> bool {
    marker.is_none_or(|marker| marker.version != version && marker.tries < TRIES_MAX)
}

/// The credential's.
pub fn name(token: &TokenId) -> String {
    format!("pin.{}", token.0)
}

fn unmarked(error: &io::Error) -> Failure {
    let name = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorName::NoSpace,
        _ => ErrorName::Failed,
    };
    Failure::new(
        name,
        format!("the stored PIN is not tried, for that cannot be written down first: {error}"),
    )
}

fn noted(written: io::Result<()>) {
    if let Err(error) = written {
        tracing::warn!(%error, "the marker of a credential stays as it was");
    }
}
