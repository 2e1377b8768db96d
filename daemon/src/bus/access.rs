//! The way of a call to private keys: a job asks a person where the call allows it, a call that answers at once never does.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::TokenId;

use super::Service;
use crate::client::Caller;
use crate::job::Job;
use crate::operation::{Attempt, KeyAccess, KeyUse};
use crate::registry::OwnCertificate;
use crate::unlock::{Request, Source};

/// For jobs.
pub(super) struct ForJob<'a> {
    pub service: &'a Arc<Service>,
    pub caller: &'a Caller,
    pub interactive: bool,
    pub job: &'a Arc<Job>,
    /// of a key that wants it at every use
    pub pin: Cell<Option<OwnedFd>>,
    pub pin_was_given: bool,
    /// the token whose PIN was typed in this job
    pub typed: Cell<Option<TokenId>>,
}

impl ForJob<'_> {
    fn ask<T>(&self, purpose: &str, work: impl FnOnce(&Request<'_>) -> T) -> T {
        work(&Request {
            caller: self.caller,
            job: self.job,
            interactive: self.interactive,
            purpose,
            pin: &self.pin,
            keypad: &|token| super::token::keypad(self.service, token),
            typed: &self.typed,
        })
    }
}

impl KeyAccess for ForJob<'_> {
    fn unlock(&self, own: &OwnCertificate, key_use: KeyUse<'_>) -> Result<(), Failure> {
        tracing::debug!(
            op = self.job.kind,
            peer = self.caller.name,
            token = own.token_label,
            "a key is needed"
        );
        let unlocker = &self.service.unlocker;
        self.ask(key_use.purpose, |request| {
            unlocker.unlock(&own.token, Source::Any, request)
        })?;
        if self.interactive {
            return Ok(());
        }
        unlocker.check_consent(own, key_use, self.caller)?;
        if self.pin_was_given {
            return Ok(());
        }
        unlocker.check_key(own)
    }

    fn use_key(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let unlocker = &self.service.unlocker;
        self.ask(key_use.purpose, |request| {
            unlocker.use_key(own, key_use.kind, request, attempt)
        })
    }
}

/// For calls that never ask.
pub(super) struct ForCall<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
}

impl KeyAccess for ForCall<'_> {
    fn unlock(&self, own: &OwnCertificate, key_use: KeyUse<'_>) -> Result<(), Failure> {
        let unlocker = &self.service.unlocker;
        match self.service.registry.usable(&own.token) {
            Some(open) => {
                if !open || unlocker.idle.is_over(&own.token) {
                    unlocker.unlock_silently(&own.token, self.caller, key_use.purpose)?;
                }
                unlocker.check_consent(own, key_use, self.caller)?;
                unlocker.check_key(own)
            }
            None => Err(Failure::new(
                ErrorName::TokenRemoved,
                format!("the token {:?} was removed", own.token_label),
            )),
        }
    }

    fn use_key(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let unlocker = &self.service.unlocker;
        unlocker.use_key_silently(own, key_use, self.caller, attempt)
    }
}
