//! The administrator's rules, `/etc/privyseal/policy.d/*.toml`: always read, also with `PRIVYSEAL_CONFIG`, and stronger than what
//! the configuration says. A folder or file that cannot be read is an error: nobody gets around a rule by hiding it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::consent::ConsentMode;
use super::file::{Presence, from_toml, read};
use super::profiles::toml_files;
use super::{Config, ConfigError};

/// One file of rules.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Policy {
    consent: ConsentRule,
    key_interface: KeyInterfaceRule,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConsentRule {
    /// at least this
    mode: Option<ConsentMode>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct KeyInterfaceRule {
    sign_digest: Option<bool>,
    unwrap_key: Option<bool>,
}

/// The files of rules; none where there is no such folder.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    match fs::metadata(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => toml_files(folder),
    }
}

pub(super) fn load(path: &Path) -> Result<Policy, ConfigError> {
    let text = read(path, Presence::Required)?.unwrap_or_default();
    from_toml(path, &text)
}

/// All rules at once, so that of two the stricter wins, whatever their order.
pub(super) fn apply(config: &mut Config, rules: &[Policy]) {
    let mode = rules.iter().filter_map(|rule| rule.consent.mode).max();
    config.consent.mode = config.consent.mode.max(mode.unwrap_or_default());
    let decide = |mine: &mut bool, rule: fn(&KeyInterfaceRule) -> Option<bool>| {
        let said = rules.iter().filter_map(|one| rule(&one.key_interface));
        *mine = said.min().unwrap_or(*mine);
    };
    let interface = &mut config.key_interface;
    decide(&mut interface.sign_digest, |rule| rule.sign_digest);
    decide(&mut interface.unwrap_key, |rule| rule.unwrap_key);
}
