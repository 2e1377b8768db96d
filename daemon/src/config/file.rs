//! Finds, reads and merges the configuration's files.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::{Config, ConfigError, policy};

/// Largest configuration file, bytes.
const FILE_MAX: u64 = 1 << 20;
const SYSTEM: &str = "/etc/privyseal/privyseal.toml";
const POLICY: &str = "/etc/privyseal/policy.d";

/// Reads the configuration of this process: `/etc/privyseal/privyseal.toml`, then the user's; or the one file that
/// `PRIVYSEAL_CONFIG` names, which must exist. Then the administrator's rules.
pub fn load() -> Result<Config, ConfigError> {
    load_from(&Places::of_this_process())
}

pub(super) fn load_from(places: &Places) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    for (path, presence) in places.files() {
        if let Some(text) = read(&path, presence)? {
            merge(&mut config, parse(&path, &text, places.home.as_deref())?);
        }
    }
    let files = policy::files(&places.policy)?;
    let rules: Result<Vec<_>, _> = files.iter().map(|path| policy::load(path)).collect();
    policy::apply(&mut config, &rules?);
    Ok(config)
}

/// Where configuration may be.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// PRIVYSEAL_CONFIG
    pub named: Option<PathBuf>,
    pub system: PathBuf,
    pub user: Option<PathBuf>,
    /// folder of the administrator's rules
    pub policy: PathBuf,
    pub home: Option<PathBuf>,
}

/// Whether a file may be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

impl Places {
    pub fn of_this_process() -> Self {
        let named = env::var_os("PRIVYSEAL_CONFIG")
            .filter(|v| !v.is_empty())
            .map(PathBuf::from);
        let home = home();
        let user = absolute("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|h| h.join(".config")));
        Places {
            named,
            system: SYSTEM.into(),
            user: user.map(|folder| folder.join("privyseal/privyseal.toml")),
            policy: POLICY.into(),
            home,
        }
    }

    /// In the order in which they are read: later ones win.
    pub fn files(&self) -> Vec<(PathBuf, Presence)> {
        match &self.named {
            Some(named) => vec![(named.clone(), Presence::Required)],
            None => std::iter::once(&self.system)
                .chain(&self.user)
                .map(|path| (path.clone(), Presence::Optional))
                .collect(),
        }
    }
}

/// An environment variable with an absolute path; others are ignored, as the XDG base directory specification wants it.
pub(super) fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
}

/// `$HOME`, else what the system's user database says.
pub(super) fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| home.is_absolute())
}

/// The text of a file; `None` if it is not there and need not be.
pub(super) fn read(path: &Path, presence: Presence) -> Result<Option<String>, ConfigError> {
    let unreadable = |source| ConfigError::Read {
        path: path.into(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound && presence == Presence::Optional => {
            return Ok(None);
        }
        Err(e) => return Err(unreadable(e)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n > FILE_MAX) {
        return Err(unreadable(io::Error::other("larger than 1 MiB")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(unreadable(io::Error::other("not UTF-8"))),
    }
}

/// A file's text as a configuration of its own, defaults filled in, and the keys that it gave.
pub(super) struct Parsed {
    pub config: Config,
    given: toml::Table,
}

impl Parsed {
    fn gives(&self, table: &str, key: &str) -> bool {
        self.given.get(table).and_then(|t| t.get(key)).is_some()
    }
}

/// Parses and checks; relative paths are taken from the file's folder, `~/` is `home`.
pub(super) fn parse(path: &Path, text: &str, home: Option<&Path>) -> Result<Parsed, ConfigError> {
    let given: toml::Table = from_toml(path, text)?;
    let mut config: Config = from_toml(path, text)?;
    let entries: Entries = from_toml(path, text)?;
    for entry in &entries.module {
        entry
            .check()
            .map_err(|(at, what)| invalid(path, text, Some(at), &what))?;
    }
    let folder = std::path::absolute(path)
        .ok()
        .and_then(|p| p.parent().map(Path::to_path_buf))
        .unwrap_or_else(|| PathBuf::from("/"));
    for path in paths_of(&mut config) {
        *path = resolve(path, &folder, home);
    }
    Ok(Parsed { config, given })
}

/// Parses; an error names its place.
pub(super) fn from_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text)
        .map_err(|error: toml::de::Error| invalid(path, text, error.span(), error.message()))
}

fn invalid(path: &Path, text: &str, span: Option<Range<usize>>, what: &str) -> ConfigError {
    let (line, column) = place(text, span.map_or(0, |s| s.start));
    ConfigError::Invalid {
        path: path.into(),
        line,
        column,
        what: what.trim().replace('\n', "; "),
    }
}

/// The values of `[[module]]` that need a check; the type with all of them knows no places.
#[derive(Deserialize)]
struct Entries {
    #[serde(default)]
    module: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: Spanned<PathBuf>,
    hold: Option<Spanned<String>>,
    deadline: Option<Spanned<u32>>,
}

/// Seconds of a `deadline`: no module is that quick, and nobody waits longer.
const DEADLINE: std::ops::RangeInclusive<u32> = 1..=3600;

impl Entry {
    fn check(&self) -> Result<(), (Range<usize>, String)> {
        if self.path.as_ref().as_os_str().is_empty() {
            return Err((self.path.span(), "a module without a path".into()));
        }
        if let Some(deadline) = &self.deadline
            && !DEADLINE.contains(deadline.as_ref())
        {
            return Err((
                deadline.span(),
                format!(
                    "{} is not within {} and {} seconds",
                    deadline.as_ref(),
                    DEADLINE.start(),
                    DEADLINE.end()
                ),
            ));
        }
        match &self.hold {
            Some(hold) if !["unlocked", "never"].contains(&hold.as_ref().as_str()) => Err((
                hold.span(),
                format!("{:?} is not one of \"unlocked\", \"never\"", hold.as_ref()),
            )),
            _ => Ok(()),
        }
    }
}

/// Line and column (in characters), from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |l| l.chars().count())
        .saturating_add(1);
    (line, column)
}

/// All paths of a configuration. A pinentry without a slash is a name for PATH, no path.
fn paths_of(config: &mut Config) -> impl Iterator<Item = &mut PathBuf> {
    let program = config
        .pinentry
        .program
        .iter_mut()
        .filter(|p| p.components().nth(1).is_some() || p.is_absolute());
    let modules = config.module.iter_mut().flat_map(|m| {
        std::iter::once(&mut m.path)
            .chain(&mut m.read)
            .chain(&mut m.write)
            .chain(&mut m.devices)
    });
    config
        .trust
        .anchors
        .iter_mut()
        .chain(&mut config.trust.crls)
        .chain(&mut config.pki.intermediates)
        .chain(&mut config.pki.certificates)
        .chain(&mut config.algorithms.files)
        .chain(program)
        .chain(modules)
}

fn resolve(path: &Path, folder: &Path, home: Option<&Path>) -> PathBuf {
    let mut components = path.components();
    if let (Some(Component::Normal(first)), Some(home)) = (components.next(), home)
        && first == "~"
    {
        return home.join(components.as_path());
    }
    folder.join(path)
}

/// Later keys win, one by one; `[[module]]` entries add up.
pub(super) fn merge(into: &mut Config, from: Parsed) {
    macro_rules! take {
        ($($table:ident . $field:ident = $name:literal),* $(,)?) => {
            $(if from.gives(&stringify!($table).replace('_', "-"), $name) {
                into.$table.$field.clone_from(&from.config.$table.$field);
            })*
        };
    }
    take! {
        modules.p11_kit = "p11-kit",
        trust.anchors = "anchors",
        trust.crls = "crls",
        pki.intermediates = "intermediates",
        pki.certificates = "certificates",
        pki.revocation = "revocation",
        pinentry.program = "program",
        pin.lock_after = "lock-after",
        pin.max_uses = "max-uses",
        pin.batch_uses = "batch-uses",
        pin.batch_seconds = "batch-seconds",
        consent.mode = "mode",
        audit.max_kib = "max-kib",
        algorithms.profile = "profile",
        algorithms.read = "read",
        key_interface.sign_digest = "sign-digest",
        key_interface.unwrap_key = "unwrap-key",
        algorithms.files = "files",
        sign.signer = "signer",
        sign.digest = "digest",
        sign.include_chain = "include-chain",
        encrypt.cipher = "cipher",
        encrypt.to_self = "to-self",
        labels.unknown = "unknown",
        labels.clearance = "clearance",
    }
    into.module.extend(from.config.module);
}
