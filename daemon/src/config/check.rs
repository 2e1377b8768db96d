//! `privyseald --check-config`: what the configuration says, and everything that is wrong with it at once.

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use privyseal_pki::Anchors;
use privyseal_smime::{Cipher, DigestAlgorithm, Profile};

use super::file::{Places, Presence, merge, parse, read};
use super::{Config, UnknownLabels, policy, profiles};
use crate::pinentry;

/// Reads the configuration (or only `file`) and looks at what it points to. The text is for people: which files were read, what
/// they say; in the error case also each problem, on a line that begins with `problem:`.
pub fn check(file: Option<&Path>) -> Result<String, String> {
    let mut places = Places::of_this_process();
    if let Some(file) = file {
        places.named = Some(file.into());
    }
    report(&places)
}

#[derive(Default)]
struct Report {
    lines: Vec<String>,
    problems: Vec<String>,
}

pub(super) fn report(places: &Places) -> Result<String, String> {
    let mut report = Report::default();
    let mut config = Config::default();
    for (path, presence) in places.files() {
        match report.file(&path, presence, places.home.as_deref()) {
            Ok(parsed) => {
                if let Some(parsed) = parsed {
                    merge(&mut config, parsed);
                }
            }
            Err(error) => report.problems.push(described(&error)),
        }
    }
    report.policies(&places.policy, &mut config);
    report.modules(&config);
    report.certificates("trust anchors", &config.trust.anchors);
    report.certificates("intermediates", &config.pki.intermediates);
    report.certificates("people's certificates", &config.pki.certificates);
    report.crls(&config);
    report.algorithms(&config);
    report.labels(&config);
    report.pinentry(&config);
    report.lines.extend(config.pin.describe());
    report.keys(&config);
    if config.trust.anchors.is_empty() {
        report.lines.push(
            "note: no trust anchor is configured ([trust] anchors): no signature will be called good".into(),
        );
    }
    report.finish()
}

impl Report {
    fn file(
        &mut self,
        path: &Path,
        presence: Presence,
        home: Option<&Path>,
    ) -> Result<Option<super::file::Parsed>, super::ConfigError> {
        let Some(text) = read(path, presence)? else {
            self.lines.push(format!("{}: not there", path.display()));
            return Ok(None);
        };
        self.lines.push(format!("{}: read", path.display()));
        // whoever can write it chooses what code the daemon loads (design rule 14)
        if fs::metadata(path).is_ok_and(|m| m.mode() & 0o002 != 0) {
            self.problems.push(format!(
                "everybody can write to {0}: chmod o-w {0}",
                path.display()
            ));
        }
        parse(path, &text, home).map(Some)
    }

    fn policies(&mut self, folder: &Path, config: &mut Config) {
        let files = policy::files(folder).unwrap_or_else(|error| {
            self.problems.push(described(&error));
            Vec::new()
        });
        let mut rules = Vec::new();
        for path in files {
            self.lines
                .push(format!("{}: the administrator's rules", path.display()));
            match policy::load(&path) {
                Ok(rule) => rules.push(rule),
                Err(error) => self.problems.push(described(&error)),
            }
        }
        policy::apply(config, &rules);
    }

    fn keys(&mut self, config: &Config) {
        self.lines.push(format!(
            "consent: {}; raw operations with keys: {}",
            config.consent.mode.name(),
            match (
                config.key_interface.sign_digest,
                config.key_interface.unwrap_key
            ) {
                (false, false) => "none",
                (true, false) => "SignDigest",
                (false, true) => "UnwrapKey",
                (true, true) => "SignDigest, UnwrapKey",
            }
        ));
    }

    fn modules(&mut self, config: &Config) {
        self.lines.push(format!(
            "modules: {} of the configuration{}",
            config.module.len(),
            if config.modules.p11_kit {
                ", and p11-kit's"
            } else {
                ""
            }
        ));
        for module in &config.module {
            let path = module.path.display();
            self.lines.push(format!("  {path}"));
            match fs::metadata(&module.path) {
                Ok(found) if found.is_file() => {}
                Ok(_) => self.problems.push(format!(
                    "module {path} is not a file: name the library itself"
                )),
                Err(e) => self.problems.push(format!("module {path}: {e}")),
            }
        }
    }

    fn certificates(&mut self, what: &str, paths: &[PathBuf]) {
        let mut found = 0usize;
        for path in paths {
            match Anchors::load(std::slice::from_ref(path)) {
                Ok(loaded) => found = found.saturating_add(loaded.certificates().count()),
                Err(error) => self.problems.push(format!("{what}: {}", described(&error))),
            }
        }
        self.lines.push(format!(
            "{what}: {found} certificate{} in {} place{}",
            plural(found),
            paths.len(),
            plural(paths.len())
        ));
    }

    fn crls(&mut self, config: &Config) {
        let crls = &config.trust.crls;
        for path in crls {
            let readable = match fs::metadata(path) {
                Ok(found) if found.is_dir() => fs::read_dir(path).map(drop),
                Ok(_) => fs::File::open(path).map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = readable {
                self.problems
                    .push(format!("CRLs: {}: {error}", path.display()));
            }
        }
        self.lines.push(format!(
            "CRLs: {} place{}; revocation {}",
            crls.len(),
            plural(crls.len()),
            config.pki.revocation
        ));
    }

    fn algorithms(&mut self, config: &Config) {
        let named = &config.algorithms;
        match profiles(config) {
            Ok(profiles) => {
                self.lines.push(format!(
                    "algorithms: written by the profile {}, read by {} (there are {})",
                    named.profile,
                    named.read,
                    profiles.names().collect::<Vec<_>>().join(", ")
                ));
                if let Some(writing) = profiles.get(&named.profile) {
                    self.defaults(config, writing);
                }
            }
            Err(error) => self.problems.push(described(&error)),
        }
    }

    fn defaults(&mut self, config: &Config, writing: &Profile) {
        let sign = &config.sign;
        let digest = match sign.digest.as_deref() {
            Some(name) => DigestAlgorithm::from_name(name),
            None => writing.default_digest(),
        };
        let cipher = match config.encrypt.cipher.as_deref() {
            Some(name) => Cipher::from_name(name),
            None => writing.default_cipher(),
        };
        let refused = digest.and_then(|digest| writing.writes_digest(digest).err());
        if let Some(error) = refused {
            self.problems.push(format!("[sign] digest: {error}"));
        }
        let refused = cipher.and_then(|cipher| writing.writes_cipher(cipher).err());
        if let Some(error) = refused {
            self.problems.push(format!("[encrypt] cipher: {error}"));
        }
        self.lines.push(format!(
            "signing: {} with {}, certificates {}",
            sign.signer.as_deref().unwrap_or("who the caller says"),
            digest.map_or("no digest", DigestAlgorithm::name),
            sign.include_chain
        ));
        self.lines.push(format!(
            "encryption: {}, {} the sender",
            cipher.map_or("no cipher", Cipher::name),
            if config.encrypt.to_self {
                "also to"
            } else {
                "not to"
            }
        ));
    }

    fn labels(&mut self, config: &Config) {
        let known = config.labels.clearance.len();
        let unknown = match config.labels.unknown {
            UnknownLabels::Show => "shown",
            UnknownLabels::Refuse => "refused",
        };
        if known > 0 || config.labels.unknown == UnknownLabels::Refuse {
            self.lines.push(format!(
                "security labels: clearance for {known} {}; messages with others are {unknown}",
                if known == 1 { "policy" } else { "policies" },
            ));
        }
    }

    fn pinentry(&mut self, config: &Config) {
        let configured = config.pinentry.program.as_deref();
        match (pinentry::find_program(configured), configured) {
            (Some(found), _) => self.lines.push(format!("PIN prompt: {}", found.display())),
            (None, Some(named)) => self.problems.push(format!(
                "pinentry {} is not found or cannot be executed: correct [pinentry] program",
                named.display()
            )),
            (None, None) => self.lines.push(
                "note: no `pinentry` is in the PATH: PINs come by descriptor only, until one is installed or [pinentry] program is set".into(),
            ),
        }
    }

    fn finish(self) -> Result<String, String> {
        let ok = self.problems.is_empty();
        let problems = self.problems.into_iter().map(|p| format!("problem: {p}"));
        let text: Vec<String> = self.lines.into_iter().chain(problems).collect();
        let text = text.join("\n");
        if ok { Ok(text) } else { Err(text) }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// An error with its cause, where its own text does not tell it.
fn described(error: &dyn Error) -> String {
    let text = error.to_string();
    match error.source().map(ToString::to_string) {
        Some(source) if !text.contains(&source) => format!("{text}: {source}"),
        _ => text,
    }
}
