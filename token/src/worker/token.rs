//! A present token: its sessions, its login, and the keys that were found on it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use cryptoki::context::Pkcs11;
use cryptoki::object::ObjectHandle;
use cryptoki::session::{Session, SessionState};
use cryptoki::slot::Slot;

use super::fault::Fault;
use super::kept::KeptPin;
use crate::protocol::Snapshot;
use crate::{KeyRef, TokenCertificate, TokenId, TokenInfo};

/// A poisoned lock is as good as another: what it guards is always left whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Token {
    pub id: TokenId,
    pub slot: Slot,
    /// written: login and logout; read: use of a key
    pub gate: RwLock<()>,
    pub state: Mutex<State>,
}

pub(super) struct State {
    pub info: TokenInfo,
    pub certificates: Vec<TokenCertificate>,
    /// Holds the login, and does nothing else: what a token forgets with its last session stays while this one is open.
    pub anchor: Option<Session>,
    /// open, and free of any operation
    idle: Vec<Session>,
    /// for keys that want it at every use
    pub kept: Option<KeptPin>,
    /// handles; good until login or logout (SoftHSM makes new ones)
    keys: HashMap<KeyRef, Key>,
    /// what it turned out not to do
    refused: HashSet<String>,
    /// takes the other side's EC point as a DER OCTET STRING only
    pub der_points: bool,
}

/// A private key on the token.
#[derive(Clone, Copy)]
pub(super) struct Key {
    pub handle: ObjectHandle,
    pub kind: Kind,
    pub always_authenticate: bool,
}

/// Its kind, and a size in bytes: of the modulus, of a coordinate, of the point, of a signature, of a ciphertext.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa(usize),
    Ec(usize),
    Edwards(usize),
    /// X25519
    Montgomery(usize),
    MlDsa(usize),
    MlKem(usize),
}

impl Token {
    pub fn new(id: TokenId, slot: Slot, info: TokenInfo) -> Self {
        Self {
            id,
            slot,
            gate: RwLock::new(()),
            state: Mutex::new(State {
                info,
                certificates: Vec::new(),
                anchor: None,
                idle: Vec::new(),
                kept: None,
                keys: HashMap::new(),
                refused: HashSet::new(),
                der_points: false,
            }),
        }
    }

    /// An idle session, or a new one.
    pub fn session(&self, pkcs11: &Pkcs11) -> Result<Session, Fault> {
        let idle = lock(&self.state).idle.pop();
        match idle {
            Some(session) => Ok(session),
            None => Ok(pkcs11.open_ro_session(self.slot)?),
        }
    }

    /// Gives back a session in which nothing has failed.
    pub fn put_back(&self, session: Session) {
        lock(&self.state).idle.push(session);
    }

    pub fn cached_key(&self, wanted: &KeyRef) -> Option<Key> {
        lock(&self.state).keys.get(wanted).copied()
    }

    pub fn cache_key(&self, wanted: &KeyRef, key: Key) {
        lock(&self.state).keys.insert(wanted.clone(), key);
    }

    pub fn forget_key(&self, wanted: &KeyRef) {
        lock(&self.state).keys.remove(wanted);
    }

    /// Key operations need a login that is not there.
    pub fn needs_login(&self) -> bool {
        let state = lock(&self.state);
        state.info.login_required && !state.info.unlocked
    }

    pub fn lists(&self, mechanism: &str) -> bool {
        lock(&self.state)
            .info
            .mechanisms
            .iter()
            .any(|m| m == mechanism)
    }

    pub fn has_refused(&self, what: &str) -> bool {
        lock(&self.state).refused.contains(what)
    }

    pub fn remember_refusal(&self, what: &str) {
        tracing::info!(token = %self.id.0, what, "the token does not do this");
        lock(&self.state).refused.insert(what.to_owned());
    }

    /// The login holds, as far as the module knows.
    pub fn login_holds(&self) -> bool {
        lock(&self.state).anchor.as_ref().is_some_and(holds)
    }

    /// Closes all sessions but those in use now, forgets all handles, and counts as locked.
    pub fn reset(&self) {
        let mut state = lock(&self.state);
        state.info.unlocked = false;
        state.info.pin_kept = false;
        state.info.lone_keys.clear();
        state.kept = None;
        let anchor = state.anchor.take();
        let idle = std::mem::take(&mut state.idle);
        state.keys.clear();
        drop(state);
        // C_CloseSession may be slow
        drop((anchor, idle));
    }

    /// Closes sessions that nobody uses.
    pub fn drop_idle(&self) {
        let idle = std::mem::take(&mut lock(&self.state).idle);
        drop(idle);
    }

    /// Logged in through this session.
    pub fn unlock(&self, anchor: Session) {
        let mut state = lock(&self.state);
        state.keys.clear();
        state.anchor = Some(anchor);
        state.info.unlocked = true;
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = lock(&self.state);
        Snapshot {
            info: state.info.clone(),
            certificates: state.certificates.clone(),
        }
    }
}

fn holds(anchor: &Session) -> bool {
    anchor.get_session_info().is_ok_and(|info| {
        matches!(
            info.session_state(),
            SessionState::RoUser | SessionState::RwUser
        )
    })
}
