//! The algorithm profiles: those built in, and those of the configuration's files.

use std::path::{Path, PathBuf};

use privyseal_smime::Profiles;

use super::file::{Presence, place, read};
use super::{Config, ConfigError};

/// All profiles, among them the two that the configuration names.
///
/// # Errors
/// A file that cannot be read or is wrong; a name that no profile has.
pub fn profiles(config: &Config) -> Result<Profiles, ConfigError> {
    let named = &config.algorithms;
    let mut all = Profiles::built_in();
    for path in files(&named.files)? {
        let text = read(&path, Presence::Required)?.unwrap_or_default();
        all.add(&text).map_err(|error| {
            let (line, column) = place(&text, error.at.as_ref().map_or(0, |at| at.start));
            ConfigError::Invalid {
                path,
                line,
                column,
                what: error.what.trim().replace('\n', "; "),
            }
        })?;
    }
    for (key, name) in [("profile", &named.profile), ("read", &named.read)] {
        if all.get(name).is_none() {
            return Err(ConfigError::NoProfile {
                key,
                name: name.clone(),
                known: all.names().collect::<Vec<_>>().join(", "),
            });
        }
    }
    Ok(all)
}

/// Folders stand for their `*.toml`, in alphabetical order.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.append(&mut toml_files(path)?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

/// The `*.toml` of a folder, in alphabetical order.
pub(super) fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Read {
        path: folder.into(),
        source,
    };
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|end| end == "toml") {
            inside.push(file);
        }
    }
    inside.sort();
    Ok(inside)
}
