//! A fair share for every connection of what there is only so much of: one that calls a thousand times at once waits for its
//! own calls, not the others for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use privyseal_proto::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What connections have at work, each at most `share`.
pub struct Turns {
    share: usize,
    connections: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// One of a connection's share, until dropped.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub fn new(share: usize) -> Self {
        Turns {
            share,
            connections: Mutex::default(),
        }
    }

    /// Waits until fewer than its share of this connection's calls are at work.
    pub async fn take(&self, connection: &str) -> Result<Turn, Failure> {
        let theirs = {
            let mut connections = self
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // those that have nothing at work and wait for nothing are not needed
            connections.retain(|name, turns| name == connection || Arc::strong_count(turns) > 1);
            match connections.get(connection) {
                Some(turns) => turns.clone(),
                None => {
                    let turns = Arc::new(Semaphore::new(self.share));
                    connections.insert(connection.to_owned(), turns.clone());
                    turns
                }
            }
        };
        match theirs.acquire_owned().await {
            Ok(permit) => Ok(Turn { _permit: permit }),
            // never closed
            Err(error) => Err(Failure::invalid(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn at_once(turns: &Turns, connection: &str) -> Option<Turn> {
        let mut take = pin!(turns.take(connection));
        match take.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_connection_past_its_share_waits_and_no_other_does() {
        let turns = Turns::new(2);
        let first = at_once(&turns, ":1.1").unwrap();
        let _second = at_once(&turns, ":1.1").unwrap();
        assert!(at_once(&turns, ":1.1").is_none());
        let _other = at_once(&turns, ":1.2").unwrap();
        drop(first);
        at_once(&turns, ":1.1").unwrap();
    }

    #[test]
    fn a_connection_without_work_is_forgotten() {
        let turns = Turns::new(2);
        for n in 0..100 {
            at_once(&turns, &format!(":1.{n}")).unwrap();
        }
        assert_eq!(turns.connections.lock().unwrap().len(), 1);
    }
}
