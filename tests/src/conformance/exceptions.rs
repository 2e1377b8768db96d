//! Cases that fail for a reason, and must go on to fail: one that passes has to leave the list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// Share of a set that may be excepted, in percent.
const SHARE_MAX: usize = 2;

/// `exceptions.toml`: id and reason.
#[derive(Debug, Default)]
pub struct Exceptions(BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    reason: String,
}

impl Exceptions {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file: File =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut all = BTreeMap::new();
        for Entry { id, reason } in file.exception {
            assert!(!reason.trim().is_empty(), "{id} has no reason");
            assert!(
                all.insert(id.clone(), reason).is_none(),
                "{id} is listed twice"
            );
        }
        Exceptions(all)
    }

    pub fn reason(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many cases of a set of this size may be excepted.
    pub fn allowed(set_size: usize) -> usize {
        set_size * SHARE_MAX / 100
    }
}
