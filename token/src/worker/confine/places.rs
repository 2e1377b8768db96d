//! Which paths a module may use: what every module may, what is known of it, and what its entry lists.

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::protocol::Allowed;
use crate::quirks::{Place, Use};

/// Libraries, their data and configuration; what describes this process and the machine.
const EVERYBODY: [&str; 12] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc",
    "/nix/store",
    "/gnu/store",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/filesystems",
    "/proc/sys/crypto",
];
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];
/// Where `/etc/resolv.conf` leads.
const RESOLVER: [&str; 2] = ["/run/systemd/resolve", "/run/NetworkManager"];
/// A longer configuration is not looked at.
const MAX_CONF: u64 = 64 * 1024;

#[derive(Default)]
pub(super) struct Places {
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    pub devices: Vec<PathBuf>,
    /// to connect to, or folders that they are in
    pub sockets: Vec<PathBuf>,
    pub network: bool,
    /// the module's entry names one of the sockets
    pub lists_sockets: bool,
}

impl Places {
    pub fn new(uses: &[Use], init_args: Option<&str>, allowed: &Allowed) -> Self {
        let mut places = Self {
            read: EVERYBODY.map(PathBuf::from).into(),
            devices: DEVICES.map(PathBuf::from).into(),
            network: allowed.network,
            ..Self::default()
        };
        for path in allowed
            .read
            .iter()
            .chain(&allowed.write)
            .chain(&allowed.devices)
        {
            if !path.exists() {
                tracing::warn!(path = %path.display(), "not there: the module is not given it");
            }
        }
        places.read.extend_from_slice(&allowed.read);
        places.devices.extend_from_slice(&allowed.devices);
        for path in &allowed.write {
            if is_socket(path) {
                places.lists_sockets = true;
                places.sockets.push(path.clone());
            } else {
                places.write.push(path.clone());
            }
        }
        let system = System { init_args };
        for needed in uses {
            places.add(needed, &system);
        }
        if places.network {
            places.read.extend(RESOLVER.map(PathBuf::from));
        }
        places
    }

    /// A module's own libraries and data may lie beside it.
    pub fn add_folder_of(&mut self, module: &Path) {
        self.read.push(folder(module));
    }

    fn add(&mut self, needed: &Use, system: &System<'_>) {
        match needed {
            Use::Read(place) => self.read.extend(system.paths(place)),
            Use::Write(place) => self.write.extend(system.paths(place)),
            Use::Device(place) => self.devices.extend(system.paths(place)),
            Use::Socket(place) => self.sockets.extend(system.paths(place)),
            Use::Network => self.network = true,
            Use::If(variable, starts, then) => {
                let value = env::var(variable).unwrap_or_default();
                if starts.iter().any(|start| value.starts_with(start)) {
                    self.add(then, system);
                }
            }
        }
    }
}

/// A socket, or a folder under /run: there is nothing else to write there.
fn is_socket(path: &Path) -> bool {
    let is = |metadata: fs::Metadata| metadata.file_type().is_socket();
    ["/run", "/var/run"].iter().any(|run| path.starts_with(run)) || fs::metadata(path).is_ok_and(is)
}

struct System<'a> {
    init_args: Option<&'a str>,
}

impl System<'_> {
    /// Absolute paths.
    fn paths(&self, place: &Place) -> Vec<PathBuf> {
        let found = match place {
            Place::At(path) => expand(path).into_iter().collect(),
            Place::Variable(name, start, or) => match env::var(name) {
                Ok(value) => {
                    let rest = value.strip_prefix(start);
                    rest.and_then(expand).into_iter().collect()
                }
                Err(_) => {
                    let mut candidates = or.iter().filter_map(|path| expand(path));
                    candidates.find(|path| path.exists()).into_iter().collect()
                }
            },
            Place::Setting(file, key) => {
                let files = self.paths(file);
                files.iter().flat_map(|file| settings(file, key)).collect()
            }
            Place::Folder(of) => self.paths(of).iter().map(|path| folder(path)).collect(),
            Place::With(of, end) => {
                let with_end = |path: PathBuf| {
                    let mut path = path.into_os_string();
                    path.push(end);
                    PathBuf::from(path)
                };
                self.paths(of).into_iter().map(with_end).collect()
            }
            Place::InitArgument(key) => self
                .init_args
                .and_then(|args| argument(args, key))
                .and_then(expand)
                .into_iter()
                .collect::<Vec<_>>(),
        };
        found
            .into_iter()
            .filter(|path| path.is_absolute())
            .collect()
    }
}

/// What is in the same folder, too; but not if that is a person's home, or above it.
fn folder(path: &Path) -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from);
    let is_home = |folder: &Path| {
        let home = home.as_deref().and_then(|home| home.canonicalize().ok());
        let folder = folder.canonicalize();
        folder.is_ok_and(|folder| home.is_some_and(|home| home.starts_with(folder)))
    };
    match path.parent() {
        Some(folder) if folder.parent().is_some() && !is_home(folder) => folder.to_owned(),
        _ => path.to_owned(),
    }
}

fn expand(path: &str) -> Option<PathBuf> {
    for (start, variable) in [("~/", "HOME"), ("$XDG_RUNTIME_DIR/", "XDG_RUNTIME_DIR")] {
        if let Some(rest) = path.strip_prefix(start) {
            return Some(PathBuf::from(env::var_os(variable)?).join(rest));
        }
    }
    (!path.is_empty()).then(|| PathBuf::from(path))
}

/// The values of lines `key = value`, in quotation marks or not.
fn settings(file: &Path, key: &str) -> Vec<PathBuf> {
    let mut text = String::new();
    let read = fs::File::open(file).and_then(|f| f.take(MAX_CONF).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let values = text.lines().filter_map(|line| {
        let value = line
            .trim()
            .strip_prefix(key)?
            .trim_start()
            .strip_prefix('=')?;
        let value = value.trim();
        match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => Some(value),
        }
    });
    values.filter_map(expand).collect()
}

/// `key='value'` or `key='sql:value'` (NSS).
fn argument<'a>(args: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = args.split_once(&format!("{key}="))?;
    let value = match rest.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next()?,
        None => rest.split_whitespace().next()?,
    };
    Some(value.split_once(':').map_or(value, |(_, path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_both_kinds_of_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("conf");
        fs::write(
            &conf,
            "# directories.tokendir = /no\ndirectories.tokendir = /a b/tokens \n dbargs = \"/k/tok.sql\" # x\ndbargsx = 1\n",
        )
        .unwrap();
        let path = |text: &str| vec![PathBuf::from(text)];
        assert_eq!(settings(&conf, "directories.tokendir"), path("/a b/tokens"));
        assert_eq!(settings(&conf, "dbargs"), path("/k/tok.sql"));
        assert!(settings(&dir.path().join("none"), "dbargs").is_empty());
    }

    #[test]
    fn nss_says_its_folder_in_its_arguments() {
        let args = "configdir='sql:/home/a/nss' certPrefix='' flags=";
        assert_eq!(argument(args, "configdir"), Some("/home/a/nss"));
        assert_eq!(argument("configdir=/x y", "configdir"), Some("/x"));
        assert_eq!(argument("flags=", "configdir"), None);
    }

    #[test]
    fn a_home_is_not_given_for_a_file_in_it() {
        let home = PathBuf::from(env::var_os("HOME").unwrap());
        let file = home.join("token.sql");
        assert_eq!(folder(&file), file);
        assert_eq!(folder(Path::new("/token.sql")), Path::new("/token.sql"));
        assert_eq!(folder(Path::new("/usr/lib/m.so")), Path::new("/usr/lib"));
    }

    #[test]
    fn what_lies_under_run_is_a_socket_to_connect_to() {
        let allowed = Allowed {
            write: vec!["/run/pcscd/pcscd.comm".into(), "/var/lib/tokens".into()],
            ..Allowed::default()
        };
        let places = Places::new(&[], None, &allowed);
        assert!(places.lists_sockets);
        assert_eq!(places.sockets, [PathBuf::from("/run/pcscd/pcscd.comm")]);
        assert_eq!(places.write, [PathBuf::from("/var/lib/tokens")]);
    }
}
