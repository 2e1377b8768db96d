//! `[pin]`: how long an unlocked token stays so, and what one entry of a PIN is good for.

use std::time::Duration;

use privyseal_token::Batch;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A day: longer than anybody wants a PIN to be kept.
const SECONDS_MAX: u32 = 24 * 60 * 60;
const USES_MAX: u32 = 10_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Pin {
    /// an unlocked token of which no key was used for so long is locked
    #[serde(deserialize_with = "time")]
    pub lock_after: Option<Duration>,
    /// so many uses of keys, then the token is locked
    #[serde(deserialize_with = "uses")]
    pub max_uses: Option<u32>,
    /// keys that want their PIN at every use: uses that one entry serves
    #[serde(deserialize_with = "uses")]
    pub batch_uses: Option<u32>,
    /// and for how long
    #[serde(deserialize_with = "seconds")]
    pub batch_seconds: Option<u32>,
}

impl Pin {
    /// What PINs may be kept for; `None`: for nothing.
    pub fn batch(&self) -> Option<Batch> {
        let (uses, seconds) = (self.batch_uses, self.batch_seconds);
        (uses.is_some() || seconds.is_some()).then_some(Batch { uses, seconds })
    }

    /// For people; nothing where all is as by default.
    pub fn describe(&self) -> Option<String> {
        let mut said = Vec::new();
        if let Some(time) = self.lock_after {
            said.push(format!(
                "tokens are locked after {} s without use",
                time.as_secs()
            ));
        }
        if let Some(uses) = self.max_uses {
            said.push(format!("tokens are locked after {uses} uses"));
        }
        let bounds = [
            self.batch_uses.map(|n| format!("{n} uses")),
            self.batch_seconds.map(|n| format!("{n} s")),
        ];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        if !bounds.is_empty() {
            said.push(format!(
                "keys that want their PIN at every use get it once for {}",
                bounds.join(" or ")
            ));
        }
        (!said.is_empty()).then(|| format!("PINs: {}", said.join("; ")))
    }
}

/// `"90s"`, `"10m"`, `"8h"`.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = text.char_indices().next_back().and_then(|(at, unit)| {
        let number: u32 = text.get(..at)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        number
            .checked_mul(seconds)
            .filter(|s| (1..=SECONDS_MAX).contains(s))
    });
    match parsed {
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        None => Err(D::Error::custom(format!(
            "{text:?} is no time from \"1s\" to \"24h\", such as \"90s\", \"10m\", \"8h\""
        ))),
    }
}

fn uses<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    within(u32::deserialize(from)?, USES_MAX)
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    within(u32::deserialize(from)?, SECONDS_MAX)
}

fn within<E: serde::de::Error>(number: u32, most: u32) -> Result<Option<u32>, E> {
    match number {
        0 => Err(E::custom("0: leave the key out to have no such limit")),
        n if n > most => Err(E::custom(format!("{n} is more than {most}"))),
        n => Ok(Some(n)),
    }
}
