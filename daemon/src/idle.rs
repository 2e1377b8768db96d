//! Tokens are locked again: after a time without a use of their keys, or after a number of uses (`[pin] lock-after`, `max-uses`).
//!
//! The time is that without use, as people know it from gpg-agent: a long session of reading mail is not interrupted, and a
//! token that was forgotten does not stay open. It goes on while the machine sleeps.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::TokenId;
use rustix::time::{ClockId, clock_gettime};

use crate::config::Pin;

/// Since when a token is unlocked and unused, and how often it was used.
#[derive(Clone, Copy, Debug)]
struct Lease {
    touched: Duration,
    uses: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Policy {
    lock_after: Option<Duration>,
    max_uses: Option<u32>,
}

/// What is unlocked, and until when.
#[derive(Default)]
pub struct Idle {
    policy: Mutex<Policy>,
    leases: Mutex<HashMap<TokenId, Lease>>,
}

/// What a use of a key is for its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Ordinary,
    /// the token is to be locked after it
    Last,
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or(Duration::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    pub fn set_policy(&self, pin: &Pin) {
        *lock(&self.policy) = Policy {
            lock_after: pin.lock_after,
            max_uses: pin.max_uses,
        };
    }

    /// 0: never
    pub fn lock_after(&self) -> u32 {
        let time = lock(&self.policy).lock_after.unwrap_or_default();
        u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
    }

    /// A token was unlocked.
    pub fn opened(&self, token: &TokenId) {
        let lease = Lease {
            touched: now(),
            uses: 0,
        };
        lock(&self.leases).insert(token.clone(), lease);
    }

    /// A token was locked.
    pub fn closed(&self, token: &TokenId) {
        lock(&self.leases).remove(token);
    }

    /// Whether a token has been without use for too long.
    pub fn is_over(&self, token: &TokenId) -> bool {
        let Some(limit) = lock(&self.policy).lock_after else {
            return false;
        };
        let leases = lock(&self.leases);
        let lease = leases.get(token);
        lease.is_some_and(|lease| now().saturating_sub(lease.touched) >= limit)
    }

    /// All such tokens.
    pub fn over(&self) -> Vec<TokenId> {
        let all: Vec<TokenId> = lock(&self.leases).keys().cloned().collect();
        all.into_iter()
            .filter(|token| self.is_over(token))
            .collect()
    }

    /// Time until the next token may be over.
    pub fn next(&self) -> Option<Duration> {
        let limit = lock(&self.policy).lock_after?;
        let leases = lock(&self.leases);
        let first = leases.values().map(|lease| lease.touched).min()?;
        Some(first.saturating_add(limit).saturating_sub(now()))
    }

    /// A key of the token is about to be used.
    ///
    /// # Errors
    /// `PinRequired`: the last use there was is under way, and the token about to be locked.
    pub fn begin(&self, token: &TokenId) -> Result<Use, Failure> {
        let most = lock(&self.policy).max_uses;
        let mut leases = lock(&self.leases);
        let Some(lease) = leases.get_mut(token) else {
            // no PIN was needed for it
            return Ok(Use::Ordinary);
        };
        if most.is_some_and(|most| lease.uses >= most) {
            return Err(Failure::new(
                ErrorName::PinRequired,
                "the token was used as often as one unlocking allows ([pin] max-uses)",
            ));
        }
        lease.touched = now();
        lease.uses = lease.uses.saturating_add(1);
        Ok(match most {
            Some(most) if lease.uses >= most => Use::Last,
            _ => Use::Ordinary,
        })
    }

    /// It was used, or (`used` false) was not after all.
    pub fn end(&self, token: &TokenId, used: bool) {
        if let Some(lease) = lock(&self.leases).get_mut(token) {
            lease.touched = now();
            if !used {
                lease.uses = lease.uses.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_from_each_unlocking_and_those_that_failed_are_not() {
        let idle = Idle::default();
        let token = TokenId("t".into());
        assert_eq!(idle.begin(&token), Ok(Use::Ordinary));
        idle.set_policy(&Pin {
            max_uses: Some(2),
            ..Pin::default()
        });
        idle.opened(&token);
        assert_eq!(idle.begin(&token), Ok(Use::Ordinary));
        idle.end(&token, false);
        assert_eq!(idle.begin(&token), Ok(Use::Ordinary));
        idle.end(&token, true);
        assert_eq!(idle.begin(&token), Ok(Use::Last));
        assert_eq!(
            idle.begin(&token).map_err(|failure| failure.name),
            Err(ErrorName::PinRequired)
        );
        idle.opened(&token);
        assert_eq!(idle.begin(&token), Ok(Use::Ordinary));
    }

    #[test]
    fn a_token_is_over_when_its_time_without_use_is() {
        let idle = Idle::default();
        let token = TokenId("t".into());
        idle.opened(&token);
        assert!(!idle.is_over(&token) && idle.next().is_none());
        let after = |lock_after| Pin {
            lock_after: Some(lock_after),
            ..Pin::default()
        };
        idle.set_policy(&after(Duration::from_secs(3600)));
        assert!(idle.over().is_empty());
        assert!(
            idle.next()
                .is_some_and(|time| time > Duration::from_secs(3000))
        );
        idle.set_policy(&after(Duration::ZERO));
        assert_eq!(idle.over(), std::slice::from_ref(&token));
        idle.closed(&token);
        assert!(idle.over().is_empty());
    }
}
