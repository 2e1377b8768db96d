//! The profiles that are built in, and those that are added to them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::{Profile, ProfileError, Rules, parse};

/// What the built-in reading of old mail calls weak: it decides by which name others refuse it.
pub(super) fn known_as_weak() -> Option<&'static Rules> {
    built_ins()
        .0
        .get("legacy-read")
        .map(|profile| &profile.weak)
}

/// Profiles by name.
#[derive(Clone, Debug, Default)]
pub struct Profiles(BTreeMap<String, Arc<Profile>>);

impl Profiles {
    /// Those that are built in.
    pub fn built_in() -> Self {
        built_ins().clone()
    }

    /// Adds a profile from the text of its file, in the place of one with the same name. It may extend any that is there.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn add(&mut self, text: &str) -> Result<Arc<Profile>, ProfileError> {
        let profile = Arc::new(parse::parse(text, &self.0)?);
        self.0.insert(profile.name.clone(), profile.clone());
        Ok(profile)
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.0.get(name)
    }

    /// In alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The shipped files; each may extend those before it.
pub(super) const SHIPPED: [&str; 5] = [
    include_str!("../../profiles/rfc8551.toml"),
    include_str!("../../profiles/legacy-read.toml"),
    include_str!("../../profiles/br-strict.toml"),
    include_str!("../../profiles/edi-energy.toml"),
    include_str!("../../profiles/bsi.toml"),
];

fn built_ins() -> &'static Profiles {
    static BUILT_IN: OnceLock<Profiles> = OnceLock::new();
    BUILT_IN.get_or_init(|| {
        let mut all = Profiles::default();
        for text in SHIPPED {
            // a test parses them; one that failed would allow nothing
            let _ = all.add(text);
        }
        all
    })
}

/// A profile that were missing would allow nothing.
pub(super) fn built_in(name: &str) -> Arc<Profile> {
    built_ins().get(name).cloned().unwrap_or_default()
}
