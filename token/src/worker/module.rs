//! The loaded module: which tokens it has, and who may enter it when.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cryptoki::context::Pkcs11;
use cryptoki::error::RvError;

use super::fault::{Fault, ckr};
use super::raw::Raw;
use super::token::{Token, lock};
use super::{open, readers, sign};
use crate::error::{Error, Result};
use crate::protocol::{Answer, Call, Listing, Secret, Snapshot};
use crate::quirks::{self, Quirks};
use crate::readers::Scope;
use crate::{ModuleInfo, TokenId};

/// Certificates of all tokens together, in bytes: a listing must fit into a frame.
const MAX_LISTED: usize = crate::frame::MAX_REPLY / 4 * 3;

pub(super) struct Module {
    pub pkcs11: Pkcs11,
    pub raw: Raw,
    pub quirks: Quirks,
    pub path: PathBuf,
    reserved: Option<CString>,
    /// which slots to use
    pub scope: Scope,
    /// written: C_Finalize and C_Initialize; read: everything else
    gate: RwLock<()>,
    /// held over every call where the module must be entered by one thread at a time
    serial: Option<Mutex<()>>,
    pub tokens: Mutex<BTreeMap<TokenId, Arc<Token>>>,
    /// one look at a time: two would make two of one token
    pub looking: Mutex<()>,
    published: Mutex<Published>,
    /// something of what is published may have changed
    pub touched: AtomicBool,
    /// C_Sign failures in a row that have no name
    failures: AtomicU32,
    must_restart: AtomicBool,
    /// a login is left behind on the card
    must_reset: AtomicBool,
}

struct Published {
    revision: u64,
    tokens: Vec<Snapshot>,
}

impl Module {
    /// Loads and initialises the module, and looks at its tokens.
    pub fn load(
        path: &Path,
        init_args: Option<String>,
        scope: Scope,
    ) -> Result<(Self, ModuleInfo)> {
        let unusable = |why: String| Error::Module(format!("{}: {why}", path.display()));
        let by_file = quirks::by_file(path);
        let mut quirks = by_file.unwrap_or(Quirks::NONE);
        let pkcs11 = Pkcs11::new(path).map_err(|e| unusable(e.to_string()))?;
        let raw = Raw::load(path).map_err(unusable)?;
        let reserved = init_args
            .map(CString::new)
            .transpose()
            .map_err(|e| unusable(e.to_string()))?;
        let initialize = |parallel: bool| {
            raw.initialize(parallel, reserved.as_deref())
                .map_err(|e| unusable(format!("C_Initialize: {}", ckr(e))))
        };
        match raw.initialize(quirks.parallel, reserved.as_deref()) {
            Err(RvError::CantLock) => {
                quirks.parallel = false;
                initialize(false)?;
            }
            Err(e) => return Err(unusable(format!("C_Initialize: {}", ckr(e)))),
            Ok(()) => {}
        }
        let said = pkcs11
            .get_library_info()
            .map_err(|e| unusable(e.to_string()))?;
        if by_file.is_none()
            && let Some(known) = quirks::by_manufacturer(said.manufacturer_id())
        {
            if quirks.parallel && !known.parallel {
                pkcs11
                    .clone()
                    .finalize()
                    .map_err(|e| unusable(e.to_string()))?;
                initialize(false)?;
            }
            quirks = Quirks {
                parallel: quirks.parallel && known.parallel,
                ..known
            };
        }
        let version = said.library_version();
        let info = ModuleInfo {
            description: said.library_description().to_owned(),
            manufacturer: said.manufacturer_id().to_owned(),
            library_version: format!("{}.{}", version.major(), version.minor()),
        };
        let module = Self {
            pkcs11,
            raw,
            quirks,
            path: path.to_owned(),
            reserved,
            scope,
            gate: RwLock::new(()),
            serial: (!quirks.parallel).then(|| Mutex::new(())),
            tokens: Mutex::new(BTreeMap::new()),
            looking: Mutex::new(()),
            published: Mutex::new(Published {
                revision: 1,
                tokens: Vec::new(),
            }),
            touched: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            must_restart: AtomicBool::new(false),
            must_reset: AtomicBool::new(false),
        };
        module.refresh(true)?;
        Ok((module, info))
    }

    /// Does what a client asks, and says what has changed by it.
    pub fn handle(&self, call: Call) -> (Result<Answer>, Option<Listing>) {
        let _alone = self.serial.as_ref().map(lock);
        // who changed something must know it before the answer, even if another thread has told it already
        let tell = matches!(
            call,
            Call::Rescan
                | Call::Login { .. }
                | Call::Logout { .. }
                | Call::ChangePin { .. }
                | Call::UnblockPin { .. }
                | Call::KeepPin { .. }
        );
        let result = self.answer(call);
        let listing = (self.touched.swap(false, Ordering::AcqRel) || tell)
            .then(|| self.publish(tell))
            .flatten();
        (result, listing)
    }

    /// All tokens, as at the start.
    pub fn first_listing(&self) -> Option<Listing> {
        self.publish(true)
    }

    /// The worker is to exit: the card is to be let go, or only a new start helps.
    pub fn must_restart(&self) -> bool {
        self.must_restart.load(Ordering::Acquire)
    }

    /// Logs out everywhere and ends the use of the module, after which the card refuses. Waits for calls that are under way.
    pub fn finish(&self) {
        let _alone = self.serial.as_ref().map(lock);
        let _all = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        for token in self.all() {
            if lock(&token.state).info.unlocked {
                self.must_reset.store(true, Ordering::Release);
            }
            token.log_out();
        }
        if let Err(e) = self.pkcs11.clone().finalize() {
            tracing::debug!(error = %e, "C_Finalize");
        }
        if self.quirks.release_after_logout
            && self.must_reset.load(Ordering::Acquire)
            && let Scope::Reader(name) = &self.scope
        {
            readers::reset_card(name);
        }
    }

    fn answer(&self, call: Call) -> Result<Answer> {
        if let Call::Rescan = call {
            return self.rescan().map(|()| Answer::Done);
        }
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        match call {
            Call::Poll => self.refresh(false).map(|()| Answer::Done),
            Call::Login {
                token,
                pin,
                final_try,
                keep,
            } => {
                let token = self.token(&token)?;
                self.login(&token, pin, final_try, keep)
                    .map(|()| Answer::Done)
            }
            Call::Logout { token } => {
                let token = self.token(&token)?;
                self.logout(&token)
            }
            Call::Sign {
                token,
                key,
                scheme,
                digest,
                pin,
            } => {
                let token = self.token(&token)?;
                sign::sign(self, &token, &key, scheme, &digest, pin).map(Answer::Bytes)
            }
            Call::Unwrap {
                token,
                key,
                scheme,
                wrapped,
                expected_len,
                pin,
            } => {
                let token = self.token(&token)?;
                let expected_len = usize::try_from(expected_len).unwrap_or(0);
                open::unwrap(self, &token, &key, &scheme, &wrapped, expected_len, pin)
                    .map(|key| Answer::Secret(Secret(key)))
            }
            Call::Ecdh {
                token,
                key,
                point,
                pin,
            } => {
                let token = self.token(&token)?;
                open::ecdh(self, &token, &key, &point, pin)
                    .map(|secret| Answer::Secret(Secret(secret)))
            }
            Call::Decapsulate {
                token,
                key,
                ciphertext,
                pin,
            } => {
                let token = self.token(&token)?;
                open::decapsulate(self, &token, &key, &ciphertext, pin)
                    .map(|secret| Answer::Secret(Secret(secret)))
            }
            Call::ChangePin {
                token,
                old,
                new,
                final_try,
            } => {
                let token = self.token(&token)?;
                self.change_pin(&token, old, &new, final_try)
            }
            Call::UnblockPin {
                token,
                puk,
                new,
                final_try,
            } => {
                let token = self.token(&token)?;
                self.unblock_pin(&token, puk, &new, final_try)
            }
            Call::KeepPin { token, key, pin } => {
                let token = self.token(&token)?;
                sign::keep_pin(self, &token, &key, pin).map(|()| Answer::Done)
            }
            Call::Start { .. } | Call::WatchReaders { .. } | Call::Rescan | Call::Shutdown => {
                Err(Error::TokenError("out of order".into()))
            }
        }
    }

    fn token(&self, id: &TokenId) -> Result<Arc<Token>> {
        let known = |module: &Self| lock(&module.tokens).get(id).cloned();
        if let Some(token) = known(self) {
            return Ok(token);
        }
        self.refresh(false)?;
        known(self).ok_or(Error::TokenNotPresent)
    }

    fn all(&self) -> Vec<Arc<Token>> {
        lock(&self.tokens).values().cloned().collect()
    }

    fn rescan(&self) -> Result<()> {
        let unlocked = || self.all().iter().any(|t| lock(&t.state).info.unlocked);
        if self.quirks.reinitialize_to_rescan && !unlocked() {
            let _all = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            // someone may have logged in before the gate was closed
            if !unlocked() {
                self.reinitialize()?;
            }
        }
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.refresh(true)
    }

    fn reinitialize(&self) -> Result<()> {
        for token in std::mem::take(&mut *lock(&self.tokens)).into_values() {
            token.reset();
        }
        let again = self
            .pkcs11
            .clone()
            .finalize()
            .map_err(|e| Fault::from(e).error())
            .and_then(|()| {
                self.raw
                    .initialize(self.quirks.parallel, self.reserved.as_deref())
                    .map_err(|e| Error::TokenError(format!("{} in C_Initialize", ckr(e))))
            });
        if again.is_err() {
            self.must_restart.store(true, Ordering::Release);
        }
        again
    }

    /// The meaning of a failed call, and what it changes.
    pub fn judge(&self, token: &Token, fault: Fault) -> Error {
        let stale = fault.is_stale_session();
        let rv = match &fault {
            Fault::Rv(rv, _) => Some(*rv),
            Fault::Told(_) => None,
        };
        let mut error = fault.error();
        if stale {
            token.drop_idle();
            error = match self.pkcs11.get_token_info(token.slot) {
                Ok(_) => Error::PinRequired,
                Err(_) => Error::TokenRemoved,
            };
        }
        match error {
            Error::PinRequired if !token.login_holds() => {
                token.reset();
                self.list_objects(token);
            }
            Error::TokenRemoved | Error::TokenNotPresent => {
                token.reset();
                lock(&self.tokens).remove(&token.id);
                self.touched.store(true, Ordering::Release);
            }
            _ => {}
        }
        if matches!(
            rv,
            Some(RvError::GeneralError | RvError::FunctionFailed | RvError::DeviceError)
        ) {
            self.count_failure();
        }
        error
    }

    fn count_failure(&self) {
        let failures = self
            .failures
            .fetch_add(1, Ordering::AcqRel)
            .saturating_add(1);
        if self
            .quirks
            .restart_after_failures
            .is_some_and(|most| failures >= most)
        {
            self.must_restart.store(true, Ordering::Release);
        }
    }

    /// The module works.
    pub fn count_success(&self) {
        self.failures.store(0, Ordering::Release);
    }

    /// The worker is to exit after this answer, and to reset the card that was logged out of.
    pub fn release(&self) {
        self.must_reset.store(true, Ordering::Release);
        self.must_restart.store(true, Ordering::Release);
    }

    fn publish(&self, anyway: bool) -> Option<Listing> {
        let mut published = lock(&self.published);
        let mut tokens: Vec<Snapshot> = self.all().iter().map(|t| t.snapshot()).collect();
        let mut room = MAX_LISTED;
        for token in &mut tokens {
            token.certificates.retain(|certificate| {
                let fits = room.checked_sub(certificate.der.len());
                room = fits.unwrap_or(room);
                fits.is_some()
            });
        }
        let changed = published.tokens != tokens;
        if changed {
            published.revision = published.revision.saturating_add(1);
            published.tokens.clone_from(&tokens);
        }
        (changed || anyway).then_some(Listing {
            revision: published.revision,
            tokens,
        })
    }
}
