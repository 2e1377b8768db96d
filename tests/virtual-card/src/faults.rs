//! What goes wrong on command.

use std::collections::HashMap;
use std::time::Duration;

use crate::apdu::Status;

/// Faults to come, by instruction.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    delays: HashMap<u8, Duration>,
    statuses: HashMap<u8, (Status, u32)>,
    drops: HashMap<u8, u32>,
    /// answers of private keys whose last bit is flipped
    pub corrupt: u32,
    /// answers of private keys that lack their last byte
    pub truncate: u32,
}

impl Faults {
    pub fn delay(&mut self, instruction: u8, by: Duration) {
        self.delays.insert(instruction, by);
    }

    pub fn answer(&mut self, instruction: u8, status: Status, count: u32) {
        self.statuses.insert(instruction, (status, count));
    }

    pub fn drop(&mut self, instruction: u8, count: u32) {
        self.drops.insert(instruction, count);
    }

    pub(crate) fn delay_of(&self, instruction: u8) -> Option<Duration> {
        self.delays.get(&instruction).copied()
    }

    /// The card is pulled in the middle of this command.
    pub(crate) fn takes_drop(&mut self, instruction: u8) -> bool {
        let Some(count) = self.drops.get_mut(&instruction) else {
            return false;
        };
        let now = take(count);
        if *count == 0 {
            self.drops.remove(&instruction);
        }
        now
    }

    /// The answer to this command, whatever it is.
    pub(crate) fn takes_status(&mut self, instruction: u8) -> Option<Status> {
        let (status, count) = self.statuses.get_mut(&instruction)?;
        let status = take(count).then_some(*status);
        if self
            .statuses
            .get(&instruction)
            .is_some_and(|(_, left)| *left == 0)
        {
            self.statuses.remove(&instruction);
        }
        status
    }

    /// Spoils what a private key has made.
    pub(crate) fn spoil(&mut self, made: &mut Vec<u8>) {
        if take(&mut self.corrupt)
            && let Some(last) = made.last_mut()
        {
            *last ^= 1;
        }
        if take(&mut self.truncate) {
            made.pop();
        }
    }
}

fn take(count: &mut u32) -> bool {
    let left = *count;
    *count = left.saturating_sub(1);
    left > 0
}
