//! Which modules there are: the configuration's and p11-kit's module files.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::ModuleConfig;

/// By this name p11-kit's files enable and disable modules for us.
const PROGRAM: &str = "privyseald";
/// Forwards to all of p11-kit's modules, and holds no keys: both are p11-kit's own.
const NOT_TOKENS: [&str; 2] = ["p11-kit-proxy.so", "p11-kit-trust.so"];
const MAX_FILE: u64 = 64 * 1024;
const MAX_FILES: usize = 256;

/// Where p11-kit looks.
struct Folders {
    /// the distribution's module files
    package: PathBuf,
    /// `pkcs11.conf` and `modules/` of the administrator
    system: PathBuf,
    /// the same of the user; none for root
    user: Option<PathBuf>,
    /// where a relative `module:` is looked for
    libraries: Vec<PathBuf>,
}

/// The configured modules, and (with `p11_kit`) those of p11-kit's module files that are enabled for `privyseald` and are no
/// `trust-policy` modules. One per real path; the configuration's entry wins.
pub fn discover(configured: &[ModuleConfig], p11_kit: bool) -> Vec<ModuleConfig> {
    let listed = if p11_kit {
        Folders::of_this_machine().modules()
    } else {
        Vec::new()
    };
    merge(configured, listed)
}

/// One per real path, the first wins. A configured module that is not there is kept, so that it shows as failed.
fn merge(configured: &[ModuleConfig], listed: Vec<ModuleConfig>) -> Vec<ModuleConfig> {
    let mut seen = HashSet::new();
    let configured = configured.iter().cloned();
    configured
        .chain(listed)
        .filter(|module| {
            let real = module.path.canonicalize();
            seen.insert(real.unwrap_or_else(|_| module.path.clone()))
        })
        .collect()
}

impl Folders {
    fn of_this_machine() -> Self {
        let arch = std::env::consts::ARCH;
        let libraries = [
            format!("/usr/lib/{arch}-linux-gnu/pkcs11"),
            "/usr/lib64/pkcs11".into(),
            "/usr/lib/pkcs11".into(),
        ];
        let config_home = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let user = config_home
            .filter(|path| path.is_absolute())
            .or_else(|| home.map(|home| home.join(".config")))
            .map(|config| config.join("pkcs11"));
        Self {
            package: "/usr/share/p11-kit/modules".into(),
            system: "/etc/pkcs11".into(),
            // as p11-kit: root's programs load nothing that a user names
            user: user.filter(|_| !rustix::process::geteuid().is_root()),
            libraries: libraries.map(PathBuf::from).into(),
        }
    }

    /// The enabled modules, those of the highest priority first, else by name (pkcs11.conf(5)).
    fn modules(&self) -> Vec<ModuleConfig> {
        let mut files: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for folder in self.module_folders() {
            for (name, settings) in module_files(&folder) {
                // a later file of one name overrides setting by setting
                files.entry(name).or_default().extend(settings);
            }
        }
        let mut found: Vec<(i64, ModuleConfig)> = files
            .iter()
            .filter_map(|(name, settings)| {
                let config = self.module(name, settings)?;
                let priority = settings.get("priority").and_then(|p| p.parse().ok());
                Some((priority.unwrap_or(0), config))
            })
            .collect();
        found.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        found.into_iter().map(|(_, config)| config).collect()
    }

    /// In the order of reading, by `user-config: none|merge|only`.
    fn module_folders(&self) -> Vec<PathBuf> {
        let mode = |folder: &Path| {
            let settings = read_settings(&folder.join("pkcs11.conf"))?;
            settings.get("user-config").cloned()
        };
        let mut folders = vec![self.package.clone(), self.system.join("modules")];
        let allowed = mode(&self.system).unwrap_or_else(|| "none".into());
        if let Some(user) = self.user.as_ref().filter(|_| allowed != "none") {
            let wanted = mode(user).unwrap_or(allowed);
            if wanted == "only" {
                folders.clear();
            }
            if wanted != "none" {
                folders.push(user.join("modules"));
            }
        }
        folders
    }

    fn module(&self, name: &str, settings: &BTreeMap<String, String>) -> Option<ModuleConfig> {
        // `remote:` alone: a command that p11-kit runs, which is not for us to run
        let named = Path::new(settings.get("module")?);
        let skipped = named
            .file_name()
            .is_some_and(|file| NOT_TOKENS.iter().any(|n| file == *n));
        if skipped || is_yes(settings.get("trust-policy")) || !is_enabled(settings) {
            return None;
        }
        let candidates = if named.is_absolute() {
            vec![named.to_owned()]
        } else {
            self.libraries.iter().map(|lib| lib.join(named)).collect()
        };
        let Some(path) = candidates.into_iter().find(|path| path.exists()) else {
            tracing::debug!(name, module = %named.display(), "p11-kit names a module that is not there");
            return None;
        };
        Some(ModuleConfig {
            path,
            init_args: settings.get("x-init-reserved").cloned(),
            ..ModuleConfig::default()
        })
    }
}

fn is_yes(value: Option<&String>) -> bool {
    value.is_some_and(|value| value == "yes")
}

/// As p11-kit: `enable-in` decides if it is there, else `disable-in`.
fn is_enabled(settings: &BTreeMap<String, String>) -> bool {
    let names_us = |list: &String| {
        list.split([',', ' ', '\t'])
            .any(|program| program == PROGRAM)
    };
    match (settings.get("enable-in"), settings.get("disable-in")) {
        (Some(enabled), _) => names_us(enabled),
        (None, Some(disabled)) => !names_us(disabled),
        (None, None) => true,
    }
}

/// The `*.module` files of a folder by name; a folder that is not there has none.
fn module_files(folder: &Path) -> Vec<(String, BTreeMap<String, String>)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    entries
        .take(MAX_FILES)
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let fits = name.ends_with(".module") && name.chars().all(is_name);
            let settings = read_settings(&folder.join(&name)).filter(|_| fits)?;
            Some((name, settings))
        })
        .collect()
}

/// `key: value` lines; `#` begins a comment line.
fn read_settings(path: &Path) -> Option<BTreeMap<String, String>> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let pairs = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    Some(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        root: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let machine = Self { root };
            for lib in [
                "a.so",
                "b.so",
                "c.so",
                "p11-kit-trust.so",
                "p11-kit-proxy.so",
            ] {
                machine.write(&format!("lib/{lib}"), "");
            }
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// File names of the modules that are found.
        fn found(&self) -> Vec<String> {
            let names = self.modules().into_iter();
            let names = names.map(|m| m.path.file_name().unwrap().to_owned());
            names.map(|n| n.into_string().unwrap()).collect()
        }

        fn modules(&self) -> Vec<ModuleConfig> {
            let root = self.root.path();
            let folders = Folders {
                package: root.join("package"),
                system: root.join("system"),
                user: Some(root.join("user")),
                libraries: vec![root.join("nowhere"), root.join("lib")],
            };
            folders.modules()
        }
    }

    #[test]
    fn modules_come_by_priority_and_then_by_name() {
        let machine = Machine::new();
        machine.write("package/a.module", "module: a.so\n");
        machine.write("package/b.module", "# first\nmodule: b.so\npriority: 5\n");
        machine.write("system/modules/c.module", "module:c.so");
        assert_eq!(machine.found(), ["b.so", "a.so", "c.so"]);
    }

    #[test]
    fn what_is_disabled_missing_or_no_token_is_left_out() {
        let machine = Machine::new();
        for (name, text) in [
            ("off", "module: a.so\ndisable-in: firefox, privyseald\n"),
            ("others", "module: b.so\nenable-in: firefox\n"),
            ("trust", "module: p11-kit-trust.so\n"),
            ("policy", "module: c.so\ntrust-policy: yes\n"),
            ("proxy", "module: p11-kit-proxy.so\n"),
            ("gone", "module: gone.so\n"),
            ("remote", "remote: |ssh host p11-kit remote\n"),
            ("odd name", "module: c.so\n"),
        ] {
            machine.write(&format!("package/{name}.module"), text);
        }
        machine.write("package/readme", "module: c.so\n");
        assert!(machine.found().is_empty(), "{:?}", machine.found());
        machine.write(
            "package/ours.module",
            "module: c.so\nenable-in: ssh privyseald\ndisable-in: privyseald\n",
        );
        assert_eq!(machine.found(), ["c.so"]);
    }

    #[test]
    fn the_users_files_count_as_far_as_the_administrator_lets_them() {
        let machine = Machine::new();
        machine.write("package/a.module", "module: a.so\npriority: 1\n");
        machine.write("user/modules/a.module", "x-init-reserved: configdir='x'\n");
        machine.write("user/modules/b.module", "module: b.so\n");
        assert_eq!(machine.found(), ["a.so"]);
        assert_eq!(machine.modules()[0].init_args, None);

        machine.write("system/pkcs11.conf", "user-config: merge\n");
        assert_eq!(machine.found(), ["a.so", "b.so"]);
        assert_eq!(
            machine.modules()[0].init_args.as_deref(),
            Some("configdir='x'")
        );

        machine.write("user/pkcs11.conf", "user-config: only\n");
        assert_eq!(machine.found(), ["b.so"]);
    }

    #[test]
    fn one_module_a_real_path_and_the_configuration_wins() {
        let machine = Machine::new();
        let lib = machine.root.path().join("lib");
        std::os::unix::fs::symlink(lib.join("a.so"), lib.join("link.so")).unwrap();
        let named = |file: &str, args: Option<&str>| ModuleConfig {
            path: lib.join(file),
            init_args: args.map(str::to_owned),
            ..ModuleConfig::default()
        };
        let configured = [named("link.so", Some("ours")), named("gone.so", None)];
        let listed = vec![
            named("a.so", None),
            named("b.so", None),
            named("gone.so", None),
        ];
        let expected = [
            named("link.so", Some("ours")),
            named("gone.so", None),
            named("b.so", None),
        ];
        assert_eq!(merge(&configured, listed), expected);
    }
}
