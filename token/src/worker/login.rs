//! C_Login and C_Logout: locked → unlocked → locked. Never more than one C_Login a call (design rule 3).

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use cryptoki::error::{Error as P11, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::types::RawAuthPin;
use zeroize::Zeroizing;

use super::fault::{Fault, ckr};
use super::module::Module;
use super::server::keep_in_memory;
use super::token::{Token, lock};
use crate::Batch;
use crate::error::{Error, Result};
use crate::protocol::{Answer, PinForUse, Secret};

impl Module {
    /// One C_Login; unlocked already, or no login needed: none.
    pub fn login(
        &self,
        token: &Token,
        pin: Option<Secret>,
        final_try: bool,
        keep: Option<Batch>,
    ) -> Result<()> {
        let _alone = token.gate.write().unwrap_or_else(PoisonError::into_inner);
        if lock(&token.state).info.unlocked {
            if token.login_holds() {
                return Ok(());
            }
            token.reset();
        }
        self.refresh_flags(token)?;
        let info = lock(&token.state).info.clone();
        if !info.login_required {
            return Ok(());
        }
        if !info.initialized || !info.user_pin_initialized {
            return Err(Error::TokenError("the token has no user PIN yet".into()));
        }
        match &pin {
            None if !info.protected_auth_path => return Err(Error::PinRequired),
            Some(_) if info.protected_auth_path => return Err(Error::ProtectedAuthPathNeeded),
            // a PIN that cannot be right must not cost a try
            Some(pin) if !fits(pin.0.len(), info.pin_min, info.pin_max) => {
                return Err(Error::PinInvalid);
            }
            _ => {}
        }
        // not so for pin_locked: OpenSC goes on showing it after a good login; C_Login knows
        if info.pin_final_try && !final_try {
            return Err(Error::BadPinFinalTry);
        }
        let anchor = match self.pkcs11.open_ro_session(token.slot) {
            Ok(session) => session,
            Err(e) => return Err(self.judge(token, e.into())),
        };
        let kept = pin
            .as_ref()
            .filter(|_| keep.is_some())
            .map(|pin| copy(&pin.0));
        let result = log_in(&anchor, UserType::User, pin);
        tracing::debug!(op = "login", token = %token.id.0, ok = result.is_ok(), "C_Login");
        match result {
            Ok(()) => {
                self.count_success();
                token.unlock(anchor);
                if let (Some(pin), Some(batch)) = (kept, keep) {
                    token.keep_pin(&pin, batch, false);
                }
                // handles and visibility of objects may be others now
                token.drop_idle();
                let _ = self.refresh_flags(token);
                self.list_objects(token);
                Ok(())
            }
            Err(fault) => {
                drop(anchor);
                Err(self.judge_login(token, fault))
            }
        }
    }

    /// C_Logout, all sessions closed; where that is not enough for the card to refuse, the worker lets go of
    /// it and resets it.
    pub fn logout(&self, token: &Token) -> Result<Answer> {
        let _alone = token.gate.write().unwrap_or_else(PoisonError::into_inner);
        if !lock(&token.state).info.unlocked {
            return Ok(Answer::Done);
        }
        token.log_out();
        tracing::debug!(op = "logout", token = %token.id.0, "C_Logout");
        if self.quirks.release_after_logout {
            self.release();
            return Ok(Answer::Resting);
        }
        self.list_objects(token);
        Ok(Answer::Done)
    }

    /// The PIN that is kept for keys that want it at every use.
    pub fn kept_pin(&self, token: &Token) -> Option<PinForUse> {
        let pin = token.take_kept_pin()?;
        // its last use may have been this one
        self.touched.store(true, Ordering::Release);
        Some(PinForUse {
            pin,
            final_try: false,
            keep: None,
        })
    }

    /// Whether a PIN may be sent for a use of a key; asks the token, so before the operation is begun.
    pub fn check_pin_for_use(&self, token: &Token, pin: &PinForUse) -> Result<()> {
        self.refresh_flags(token)?;
        let info = lock(&token.state).info.clone();
        if info.protected_auth_path {
            return Err(Error::ProtectedAuthPathNeeded);
        }
        if !fits(pin.pin.0.len(), info.pin_min, info.pin_max) {
            return Err(Error::PinInvalid);
        }
        if info.pin_final_try && !pin.final_try {
            return Err(Error::BadPinFinalTry);
        }
        Ok(())
    }

    /// A context-specific login for the operation that was just begun (PKCS#11 v2.40 §5.6 C_Login). A PIN that was wrong is
    /// kept no longer, and may have cost the login of the whole token (OpenSC).
    pub fn log_in_for_use(
        &self,
        token: &Token,
        session: &Session,
        pin: &PinForUse,
    ) -> Result<(), Fault> {
        let result = log_in(session, UserType::ContextSpecific, Some(copy(&pin.pin.0)));
        tracing::debug!(op = "login-for-use", token = %token.id.0, ok = result.is_ok(), "C_Login");
        let fault = match (result, pin.keep) {
            (Ok(()), Some(batch)) => {
                token.keep_pin(&pin.pin, batch, true);
                self.touched.store(true, Ordering::Release);
                return Ok(());
            }
            (Ok(()), None) => return Ok(()),
            (Err(fault), _) => fault,
        };
        token.drop_kept_pin();
        self.touched.store(true, Ordering::Release);
        let holds = token.login_holds();
        let fault = match fault {
            Fault::Rv(RvError::OperationNotInitialized, _) if holds => return Err(fault),
            Fault::Rv(RvError::OperationNotInitialized, _) => Error::PinRequired.into(),
            fault => self.judge_login(token, fault).into(),
        };
        if !holds {
            tracing::info!(token = %token.id.0, "the login is gone");
            token.reset();
            self.list_objects(token);
        }
        Err(fault)
    }

    /// What a failed C_Login means, from its return value and the token's flags after it.
    pub fn judge_login(&self, token: &Token, fault: Fault) -> Error {
        let after = self.refresh_flags(token);
        let Fault::Rv(rv, _) = fault else {
            return fault.error();
        };
        let (few, locked) = match after {
            Ok(()) => {
                let info = &lock(&token.state).info;
                (info.pin_final_try, info.pin_locked)
            }
            Err(_) => (false, false),
        };
        match rv {
            RvError::PinIncorrect if locked => Error::PinLocked,
            RvError::PinIncorrect if few => Error::BadPinFewTriesLeft,
            RvError::UserPinNotInitialized => {
                Error::TokenError("the token has no user PIN yet".into())
            }
            RvError::FunctionCanceled => {
                Error::TokenError("PIN entry was cancelled on the reader".into())
            }
            RvError::UserAnotherAlreadyLoggedIn => Error::TokenError(ckr(rv)),
            _ => self.judge(token, fault),
        }
    }

    pub fn refresh_flags(&self, token: &Token) -> Result<()> {
        match self.describe(token.slot) {
            Ok(now) if now.id == token.id => {
                let mut state = lock(&token.state);
                state.info.pin_count_low = now.pin_count_low;
                state.info.pin_final_try = now.pin_final_try;
                state.info.pin_locked = now.pin_locked;
                state.info.pin_to_be_changed = now.pin_to_be_changed;
                state.info.so_pin_final_try = now.so_pin_final_try;
                state.info.so_pin_locked = now.so_pin_locked;
                state.info.user_pin_initialized = now.user_pin_initialized;
                Ok(())
            }
            // another card is in the reader: its owner's PIN is not for this one
            Ok(_) => Err(self.judge(token, Error::TokenRemoved.into())),
            Err(fault) => Err(self.judge(token, fault)),
        }
    }
}

impl Token {
    /// C_Logout if logged in, then all sessions closed. Failures change nothing: the token counts as locked.
    pub fn log_out(&self) {
        let result = lock(&self.state).anchor.as_ref().map(Session::logout);
        if let Some(Err(error)) = result {
            tracing::warn!(op = "logout", token = %self.id.0, %error, "C_Logout");
        }
        self.reset();
    }
}

pub(super) fn log_in(session: &Session, user: UserType, pin: Option<Secret>) -> Result<(), Fault> {
    let result = match pin {
        Some(mut pin) => {
            // moved, not copied; RawAuthPin wipes it
            let pin = RawAuthPin::new(Box::new(std::mem::take(&mut *pin.0)));
            session.login_with_raw(user, &pin)
        }
        None => session.login(user, None),
    };
    match result {
        // the login of an application is one: we are in
        Err(P11::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        other => Ok(other?),
    }
}

pub(super) fn copy(pin: &[u8]) -> Secret {
    let copy = Secret(Zeroizing::new(pin.to_vec()));
    keep_in_memory(&copy.0);
    copy
}

/// Tokens that state no sensible bounds take anything.
pub(super) fn fits(len: usize, min: u32, max: u32) -> bool {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    max == 0 || min > max || (min..=max).contains(&len)
}
