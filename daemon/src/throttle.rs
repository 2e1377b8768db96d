//! Slows down whoever makes decryption fail again and again (design rule 9): an oracle that answers four times a minute is none.
//!
//! Counted are failures of decryption only, for a connection, and with a much higher bound for a user, who can open connections
//! without end. A success forgets nothing; time does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The first wait; it doubles with each failure.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait is `FIRST` doubled so often: 4 s.
const DOUBLINGS: u32 = 4;
/// Nobody waits longer, however many calls came at once: clients give up a call after 25 s.
const LONGEST: Duration = Duration::from_secs(16);

/// What may fail without a wait.
#[derive(Clone, Copy)]
struct Rule {
    failures: u32,
    /// one is forgotten after this time
    forgotten: Duration,
}

/// 5 a minute.
const CONNECTION: Rule = Rule {
    failures: 5,
    forgotten: Duration::from_secs(12),
};
/// 20,000 a minute.
const USER: Rule = Rule {
    failures: 20_000,
    forgotten: Duration::from_millis(3),
};

/// The failures of all connections and users.
#[derive(Default)]
pub struct Throttle {
    connections: Mutex<HashMap<String, Failures>>,
    users: Mutex<HashMap<u32, Failures>>,
}

impl Throttle {
    /// How long a decryption that is asked for `now` must wait. Those that come together wait one after the other.
    pub fn wait(&self, connection: &str, uid: u32, now: Instant) -> Duration {
        let by_connection = of(&self.connections, |all| {
            all.get_mut(connection).map(|f| f.wait(CONNECTION, now))
        });
        let by_user = of(&self.users, |all| {
            all.get_mut(&uid).map(|f| f.wait(USER, now))
        });
        by_connection.max(by_user).unwrap_or_default()
    }

    /// A decryption failed.
    pub fn failed(&self, connection: &str, uid: u32, now: Instant) {
        of(&self.connections, |all| {
            add(all, connection.to_owned(), CONNECTION, now);
        });
        of(&self.users, |all| add(all, uid, USER, now));
    }
}

fn of<K, T>(
    all: &Mutex<HashMap<K, Failures>>,
    f: impl FnOnce(&mut HashMap<K, Failures>) -> T,
) -> T {
    f(&mut all.lock().unwrap_or_else(PoisonError::into_inner))
}

fn add<K: Eq + Hash>(all: &mut HashMap<K, Failures>, key: K, rule: Rule, now: Instant) {
    // what is forgotten takes no room, whether its connection has left or not
    all.retain(|_, failures| {
        failures.forget(rule, now);
        failures.count > 0
    });
    let failures = all.entry(key).or_insert(Failures {
        count: 0,
        since: now,
        free: now,
    });
    let most = rule.failures.saturating_add(DOUBLINGS);
    failures.count = failures.count.saturating_add(1).min(most);
}

struct Failures {
    count: u32,
    /// when one was last forgotten
    since: Instant,
    /// when the last one that must wait has waited
    free: Instant,
}

impl Failures {
    fn forget(&mut self, rule: Rule, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_millis();
        let times = passed
            .checked_div(rule.forgotten.as_millis())
            .map_or(u32::MAX, |times| u32::try_from(times).unwrap_or(u32::MAX));
        self.count = self.count.saturating_sub(times);
        self.since = match rule.forgotten.checked_mul(times) {
            Some(passed) if self.count > 0 => self.since.checked_add(passed).unwrap_or(now),
            _ => now,
        };
    }

    fn wait(&mut self, rule: Rule, now: Instant) -> Duration {
        self.forget(rule, now);
        let Some(doublings) = self.count.checked_sub(rule.failures) else {
            return Duration::ZERO;
        };
        let wait = FIRST.saturating_mul(2u32.saturating_pow(doublings.min(DOUBLINGS)));
        let wait = self
            .free
            .saturating_duration_since(now)
            .saturating_add(wait)
            .min(LONGEST);
        self.free = now.checked_add(wait).unwrap_or(now);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: u32 = 1000;

    fn millis(throttle: &Throttle, connection: &str, now: Instant) -> u128 {
        throttle.wait(connection, UID, now).as_millis()
    }

    #[test]
    fn after_five_failures_each_wait_is_twice_the_last_up_to_four_seconds() {
        let throttle = Throttle::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            assert_eq!(millis(&throttle, ":1.1", now), 0);
            throttle.failed(":1.1", UID, now);
        }
        // as a client that waits for each answer: the waits themselves let a failure be forgotten only now and then
        for wanted in [250, 500, 1000, 2000, 4000] {
            let wait = throttle.wait(":1.1", UID, now);
            assert_eq!(wait.as_millis(), wanted);
            now += wait;
            throttle.failed(":1.1", UID, now);
        }
        assert_eq!(millis(&throttle, ":1.1", now), 4000);
        assert_eq!(millis(&throttle, ":1.2", now), 0, "another connection");
    }

    #[test]
    fn time_forgets_and_nothing_else() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..100 {
            throttle.failed(":1.1", UID, now);
        }
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(millis(&throttle, ":1.1", after(11)), 4000);
        assert_eq!(millis(&throttle, ":1.1", after(36)), 500);
        assert_eq!(millis(&throttle, ":1.1", after(59)), 250);
        assert_eq!(millis(&throttle, ":1.1", after(60)), 0);
        // five a minute are never slowed down
        let (throttle, mut now) = (Throttle::default(), now);
        for _ in 0..1000 {
            assert_eq!(millis(&throttle, ":1.1", now), 0);
            throttle.failed(":1.1", UID, now);
            now += Duration::from_secs(12);
        }
    }

    #[test]
    fn calls_that_come_together_wait_one_after_the_other_and_not_for_ever() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..5 {
            throttle.failed(":1.1", UID, now);
        }
        let waits: Vec<_> = (0..3).map(|_| millis(&throttle, ":1.1", now)).collect();
        assert_eq!(waits, [250, 500, 750]);
        for _ in 0..1000 {
            throttle.wait(":1.1", UID, now);
        }
        assert_eq!(throttle.wait(":1.1", UID, now), LONGEST);
    }

    #[test]
    fn a_user_with_ever_new_connections_is_slowed_down_in_the_end() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for n in 0..20_000 {
            let connection = format!(":1.{}", n / 4);
            if n % 1000 == 0 {
                assert_eq!(millis(&throttle, &connection, now), 0, "{n}");
            }
            of(&throttle.users, |all| add(all, UID, USER, now));
        }
        assert_eq!(millis(&throttle, ":1.99999", now), 250);
        assert_eq!(throttle.wait(":1.99999", 1001, now), Duration::ZERO);
    }

    #[test]
    fn who_is_forgotten_takes_no_room() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for n in 0..100 {
            throttle.failed(&format!(":1.{n}"), UID, now);
        }
        throttle.failed(":2.1", UID, now + Duration::from_secs(60));
        assert_eq!(throttle.connections.lock().unwrap().len(), 1);
    }
}
