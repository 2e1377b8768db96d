//! Who may use keys without a person (design rule 18): which connections have a person's consent for which tokens.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use privyseal_token::TokenId;

use crate::config::ConsentMode;
use crate::peer::Peer;

#[derive(Default)]
pub struct Consents {
    mode: Mutex<ConsentMode>,
    /// by unique name; those are never given twice
    given: Mutex<HashSet<(String, TokenId)>>,
}

impl Consents {
    pub fn set_mode(&self, mode: ConsentMode) {
        *lock(&self.mode) = mode;
    }

    /// What is in force for this caller: who is in a sandbox is kept apart from the session.
    pub fn mode_for(&self, peer: &Peer) -> ConsentMode {
        let least = match peer.sandbox {
            Some(_) => ConsentMode::Connection,
            None => ConsentMode::Session,
        };
        least.max(*lock(&self.mode))
    }

    pub fn give(&self, peer: &Peer, token: &TokenId) {
        lock(&self.given).insert((peer.name.clone(), token.clone()));
    }

    pub fn is_given(&self, peer: &Peer, token: &TokenId) -> bool {
        lock(&self.given).contains(&(peer.name.clone(), token.clone()))
    }

    /// The token was locked or removed.
    pub fn forget_token(&self, token: &TokenId) {
        lock(&self.given).retain(|(_, given)| given != token);
    }

    /// The connection has left the bus.
    pub fn forget_connection(&self, name: &str) {
        lock(&self.given).retain(|(given, _)| given != name);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, sandbox: Option<&str>) -> Peer {
        Peer {
            name: name.into(),
            sandbox: sandbox.map(str::to_owned),
            ..Peer::default()
        }
    }

    #[test]
    fn a_sandbox_makes_consent_stricter_and_never_laxer() {
        let consents = Consents::default();
        let modes =
            || [None, Some("org.example.Mail")].map(|s| consents.mode_for(&peer(":1.1", s)));
        assert_eq!(modes(), [ConsentMode::Session, ConsentMode::Connection]);
        consents.set_mode(ConsentMode::Each);
        assert_eq!(modes(), [ConsentMode::Each; 2]);
    }

    #[test]
    fn consent_is_one_connections_for_one_token_until_either_goes() {
        let consents = Consents::default();
        let (a, b) = (peer(":1.1", None), peer(":1.2", None));
        let [one, two] = ["1", "2"].map(|id| TokenId(id.into()));
        let given = || {
            [(&a, &one), (&a, &two), (&b, &one)].map(|(peer, token)| consents.is_given(peer, token))
        };
        consents.give(&a, &one);
        assert_eq!(given(), [true, false, false]);
        consents.give(&a, &two);
        consents.give(&b, &one);
        consents.forget_token(&one);
        assert_eq!(given(), [false, true, false]);
        consents.forget_connection(":1.1");
        assert_eq!(given(), [false; 3]);
    }
}
