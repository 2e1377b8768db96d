//! The numbered reasons below a table of the documentation.

use std::fmt::Write;

/// Each reason once, in the order in which they are needed.
#[derive(Default)]
pub struct Notes(Vec<&'static str>);

impl Notes {
    /// The number of a reason, from 1.
    pub fn number(&mut self, why: &'static str) -> usize {
        let place = self.0.iter().position(|known| *known == why);
        place.unwrap_or_else(|| {
            self.0.push(why);
            self.0.len() - 1
        }) + 1
    }

    /// A line each.
    pub fn write(&self, out: &mut String) {
        for (number, why) in self.0.iter().enumerate() {
            let _ = writeln!(out, "{}. {why}", number + 1);
        }
    }
}
