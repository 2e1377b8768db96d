//! Numbers in columns.

use std::time::Duration;

/// Sorted times of one row.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Times(times)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `at` in per cent, milliseconds.
    pub fn percentile(&self, at: usize) -> f64 {
        let index = (self.0.len() * at / 100).min(self.0.len().saturating_sub(1));
        self.0
            .get(index)
            .map_or(f64::NAN, |t| t.as_secs_f64() * 1e3)
    }
}

pub fn title(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

/// `4.20 ms`
pub fn ms(value: f64) -> String {
    format!("{value:8.3} ms")
}
