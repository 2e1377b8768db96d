//! A PIN that is kept for keys that want it at every use, where the policy allows that (design rule 2): bounded by uses and by
//! time, in memory that is not swapped out, and gone with the token's login.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::login::copy;
use super::raw::LockedPin;
use super::token::{Token, lock};
use crate::Batch;
use crate::protocol::Secret;

pub(super) struct KeptPin {
    pin: LockedPin,
    uses: Option<u32>,
    until: Option<Duration>,
}

/// The time since the machine started, with that it slept.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or(Duration::MAX)
}

impl KeptPin {
    fn is_over(&self) -> bool {
        self.uses == Some(0) || self.until.is_some_and(|until| now() >= until)
    }
}

impl Token {
    /// Keeps a PIN that was right just now; `used`: for a key, which is the first of its uses.
    pub fn keep_pin(&self, pin: &Secret, batch: Batch, used: bool) {
        let kept = match LockedPin::new(&pin.0) {
            Ok(pin) => KeptPin {
                pin,
                uses: batch.uses.map(|n| n.saturating_sub(u32::from(used))),
                until: batch
                    .seconds
                    .map(|s| now().saturating_add(Duration::from_secs(s.into()))),
            },
            Err(error) => {
                tracing::warn!(token = %self.id.0, %error, "the PIN is not kept: no memory can be locked");
                return;
            }
        };
        let mut state = lock(&self.state);
        state.info.pin_kept = !kept.is_over();
        state.kept = state.info.pin_kept.then_some(kept);
    }

    /// The PIN, for one use.
    pub fn take_kept_pin(&self) -> Option<Secret> {
        self.drop_expired_pin();
        let mut state = lock(&self.state);
        let kept = state.kept.as_mut()?;
        kept.uses = kept.uses.map(|n| n.saturating_sub(1));
        let pin = copy(kept.pin.bytes());
        drop(state);
        self.drop_expired_pin();
        Some(pin)
    }

    pub fn drop_expired_pin(&self) {
        let over = lock(&self.state)
            .kept
            .as_ref()
            .is_some_and(KeptPin::is_over);
        if over {
            self.drop_kept_pin();
        }
    }

    pub fn drop_kept_pin(&self) {
        let mut state = lock(&self.state);
        state.info.pin_kept = false;
        state.kept = None;
    }
}
