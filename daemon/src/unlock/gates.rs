//! Turns: whoever wants a token unlocked, or says a PIN for one of its keys, does so alone. Who waited finds what the one before did.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::TokenId;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cancelled;
use crate::job::{Job, State};

/// A call that asks nobody waits so long for another that unlocks its token.
const SOON: Duration = Duration::from_secs(5);

/// One for each token.
pub(super) struct Gates {
    runtime: Handle,
    gates: Mutex<HashMap<TokenId, Arc<Semaphore>>>,
}

impl Gates {
    pub fn new(runtime: Handle) -> Self {
        Gates {
            runtime,
            gates: Mutex::default(),
        }
    }

    /// Waits for its turn; ends when the job is cancelled.
    pub fn pass(&self, token: &TokenId, job: &Job) -> Result<OwnedSemaphorePermit, Failure> {
        let gate = self.of(token);
        if let Ok(permit) = gate.clone().try_acquire_owned() {
            return Ok(permit);
        }
        job.set_state(State::WaitingForToken);
        self.runtime.block_on(async {
            tokio::select! {
                permit = gate.acquire_owned() => permit.map_err(|_| cancelled()),
                () = job.cancelled() => Err(cancelled()),
            }
        })
    }

    /// Its turn, for a call that is answered at once: it does not wait for a person.
    pub fn pass_soon(&self, token: &TokenId) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = tokio::time::timeout(SOON, self.of(token).acquire_owned());
        match self.runtime.block_on(turn) {
            Ok(permit) => permit.map_err(|_| cancelled()),
            Err(_) => Err(Failure::new(
                ErrorName::Busy,
                "somebody else is about to unlock the token",
            )),
        }
    }

    fn of(&self, token: &TokenId) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // those that nobody holds or waits for are not needed
        gates.retain(|id, gate| id == token || Arc::strong_count(gate) > 1);
        gates
            .entry(token.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(1)))
            .clone()
    }
}
