//! Builds the `a{sv}` results.

use privyseal_proto::Dict;
use zbus::Variant;

/// A dictionary in the making; nested dictionaries are made of it too.
#[derive(Default)]
pub struct Results(Dict);

impl Results {
    pub fn new() -> Self {
        Self::default()
    }

    /// To go on with.
    pub fn of(results: Dict) -> Self {
        Results(results)
    }

    pub fn with(mut self, key: &str, value: impl Into<Variant<'static>>) -> Self {
        // only descriptors cannot become owned, and results carry none
        if let Ok(value) = value.into().try_into_owned() {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    /// Leaves the key out where there is nothing to say.
    pub fn with_some(self, key: &str, value: Option<impl Into<Variant<'static>>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub fn with_list(self, key: &str, all: Vec<Results>) -> Self {
        let all: Vec<Dict> = all.into_iter().map(Results::into_dict).collect();
        self.with(key, all)
    }

    /// Appends to `warnings as`.
    pub fn add_warnings(mut self, more: Vec<String>) -> Self {
        let before = self
            .0
            .remove("warnings")
            .and_then(|w| Vec::<String>::try_from(w).ok());
        let mut warnings = before.unwrap_or_default();
        warnings.extend(more);
        self.with("warnings", warnings)
    }

    pub fn into_dict(self) -> Dict {
        self.0
    }
}
