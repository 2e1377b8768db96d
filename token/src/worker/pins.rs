//! C_SetPIN and C_InitPIN. Each entry of a PIN is sent where it can be wrong once only, and the token is locked afterwards: whether a
//! card holds a new PIN for said is its maker's choice.

use std::sync::PoisonError;

use cryptoki::error::RvError;
use cryptoki::session::{Session, UserType};

use super::fault::Fault;
use super::login::{copy, fits, log_in};
use super::module::Module;
use super::token::{Token, lock};
use crate::error::{Error, Result};
use crate::protocol::{Answer, Secret};

impl Module {
    /// One C_Login with the old PIN, then C_SetPIN.
    ///
    /// Without the login it would not do: OpenSC takes C_SetPIN for an attempt to unblock, with the old PIN for the PUK.
    pub fn change_pin(
        &self,
        token: &Token,
        old: Secret,
        new: &Secret,
        final_try: bool,
    ) -> Result<Answer> {
        let _alone = token.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.refresh_flags(token)?;
        let info = lock(&token.state).info.clone();
        if !info.initialized || !info.user_pin_initialized {
            return Err(Error::TokenError("the token has no user PIN yet".into()));
        }
        if info.protected_auth_path {
            return Err(Error::ProtectedAuthPathNeeded);
        }
        if ![&old, new]
            .iter()
            .all(|pin| fits(pin.0.len(), info.pin_min, info.pin_max))
        {
            return Err(Error::PinInvalid);
        }
        if info.pin_final_try && !final_try {
            return Err(Error::BadPinFinalTry);
        }
        let session = self.alone_with(token)?;
        let result = log_in(&session, UserType::User, Some(copy(&old.0)));
        tracing::debug!(op = "change-pin", token = %token.id.0, ok = result.is_ok(), "C_Login");
        let result = match result {
            Ok(()) => {
                let changed = self.raw.set_pin(&session, &old.0, &new.0);
                log_out(&session);
                changed.map_err(|fault| self.judge(token, refused(fault)))
            }
            Err(fault) => Err(self.judge_login(token, fault)),
        };
        drop(session);
        self.locked_again(token, result)
    }

    /// C_InitPIN after a C_Login as security officer; or, with OpenSC, C_SetPIN with the PUK while nobody is logged in.
    pub fn unblock_pin(
        &self,
        token: &Token,
        puk: Secret,
        new: &Secret,
        final_try: bool,
    ) -> Result<Answer> {
        let _alone = token.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.refresh_flags(token)?;
        let info = lock(&token.state).info.clone();
        if !info.initialized {
            return Err(Error::TokenError("the token is not initialised".into()));
        }
        if info.protected_auth_path {
            return Err(Error::ProtectedAuthPathNeeded);
        }
        if !fits(new.0.len(), info.pin_min, info.pin_max) {
            return Err(Error::PinInvalid);
        }
        if info.so_pin_final_try && !final_try {
            return Err(Error::BadPinFinalTry);
        }
        let session = self.alone_with(token)?;
        let result = if self.quirks.unblock_by_set_pin {
            self.raw.set_pin(&session, &puk.0, &new.0).map_err(refused)
        } else {
            log_in(&session, UserType::So, Some(puk)).and_then(|()| {
                let made = self.raw.init_pin(&session, &new.0);
                log_out(&session);
                made.map_err(refused)
            })
        };
        tracing::debug!(op = "unblock", token = %token.id.0, ok = result.is_ok(), "new PIN");
        drop(session);
        let result = result.map_err(|fault| match fault {
            Fault::Rv(RvError::PinIncorrect, _) => Error::BadPin,
            fault => self.judge(token, fault),
        });
        self.locked_again(token, result)
    }

    /// Logged out, and in the only session: a security officer bears no other (PKCS#11 v2.40 §5.6 C_Login).
    fn alone_with(&self, token: &Token) -> Result<Session> {
        token.log_out();
        let opened = self.pkcs11.open_rw_session(token.slot);
        opened.map_err(|e| self.judge(token, e.into()))
    }

    /// The card must refuse (design rule 5), whatever it makes of what was said to it.
    fn locked_again(&self, token: &Token, result: Result<()>) -> Result<Answer> {
        token.reset();
        if self.quirks.release_after_logout {
            self.release();
            return Ok(result.map_or_else(Answer::RestingAfter, |()| Answer::Resting));
        }
        let _ = self.refresh_flags(token);
        self.list_objects(token);
        result.map(|()| Answer::Done)
    }
}

/// The old PIN, or the PUK, was right: what is wrong is the new one.
fn refused(fault: Fault) -> Fault {
    match fault {
        Fault::Rv(RvError::DataInvalid | RvError::DataLenRange | RvError::ArgumentsBad, _) => {
            Error::PinInvalid.into()
        }
        fault => fault,
    }
}

fn log_out(session: &Session) {
    if let Err(error) = session.logout() {
        tracing::warn!(op = "logout", %error, "C_Logout");
    }
}
