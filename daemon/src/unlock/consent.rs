//! The one way to private keys: no key is used without what [`Unlocker::standing`] or [`Unlocker::ask`] give, and none without a
//! record. Whatever kind of key, operation or caller is added goes through here (CVE-2023-28531: constraints that one kind of
//! key escaped).

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::TokenInfo;

use super::prompt::{in_words, plain, program, unanswered};
use super::{Request, Unlocker, cancelled};
use crate::audit::{Consented, Entry, Kind};
use crate::client::Caller;
use crate::config::ConsentMode;
use crate::job::State;
use crate::operation::KeyUse;
use crate::peer::Peer;
use crate::pinentry::{self, PinRequest};
use crate::registry::OwnCertificate;

/// A use of a key that may be: made in this file only, and wanted by the one function that uses keys.
pub(super) struct Admitted<'a> {
    key_use: KeyUse<'a>,
    peer: &'a Peer,
    by: Consented,
}

impl<'a> Admitted<'a> {
    /// By the PIN that the key will want for this use: it is used by that only.
    pub fn by_pin(request: &'a Request<'_>, kind: Kind) -> Self {
        Admitted {
            key_use: KeyUse {
                kind,
                purpose: request.purpose,
            },
            peer: &request.caller.peer,
            by: Consented::Pin,
        }
    }

    /// No attempt without it.
    pub fn waits_for_pin(&self) -> bool {
        self.by == Consented::Pin
    }

    pub fn entry<T>(&self, own: &OwnCertificate, result: &Result<T, Failure>) -> Entry {
        Entry {
            consent: Some(self.by),
            ..Entry::new(self.key_use.kind, result)
                .by(Some(self.peer), self.key_use.purpose)
                .with(own)
        }
    }
}

impl Unlocker {
    /// The consent that there is without asking.
    pub(super) fn standing<'a>(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'a>,
        caller: &'a Caller,
    ) -> Option<Admitted<'a>> {
        let peer = &*caller.peer;
        let by = match self.consents.mode_for(peer) {
            ConsentMode::Session => Consented::Session,
            ConsentMode::Connection if self.consents.is_given(peer, &own.token) => {
                Consented::Connection
            }
            ConsentMode::Connection | ConsentMode::Each => return None,
        };
        Some(Admitted { key_use, peer, by })
    }

    /// Asks the person of this call, in the daemon's own prompt.
    pub(super) fn ask<'a>(
        &self,
        own: &OwnCertificate,
        kind: Kind,
        request: &'a Request<'_>,
    ) -> Result<Admitted<'a>, Failure> {
        let admitted = Admitted {
            by: Consented::Person,
            ..Admitted::by_pin(request, kind)
        };
        // typed in this job, by a prompt that said what for: that was a yes to one use
        if request.typed.take().as_ref() == Some(&own.token) {
            return Ok(admitted);
        }
        let answer = match request.interactive {
            true => self.confirm(own, request),
            false => Err(unasked(own)),
        };
        if let Err(failure) = answer {
            return Err(self.refused(own, admitted, failure));
        }
        self.consents.give(&request.caller.peer, &own.token);
        Ok(admitted)
    }

    /// Before work is begun for which nobody may be asked.
    pub fn check_consent(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        caller: &Caller,
    ) -> Result<(), Failure> {
        match self.standing(own, key_use, caller) {
            Some(_) => Ok(()),
            None => Err(self.refuse(own, key_use, caller)),
        }
    }

    /// For a call that asks nobody.
    pub(super) fn refuse(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        caller: &Caller,
    ) -> Failure {
        let admitted = Admitted {
            key_use,
            peer: &caller.peer,
            by: Consented::Person,
        };
        self.refused(own, admitted, unasked(own))
    }

    fn refused(&self, own: &OwnCertificate, asked: Admitted<'_>, failure: Failure) -> Failure {
        let mut entry = asked.entry(own, &Err::<(), _>(failure.clone()));
        entry.consent = None;
        self.trail.note(entry);
        failure
    }

    fn confirm(&self, own: &OwnCertificate, request: &Request<'_>) -> Result<(), Failure> {
        // one question at a time for a token; who waited may have been given consent meanwhile, but not for this use
        let _gate = self.gates.pass(&own.token, request.job)?;
        let (_, info) = self.token(&own.token)?;
        request.job.set_state(State::WaitingForUser);
        let context = &request.caller.context;
        let answer = pinentry::confirm(
            self.pinentry().as_deref(),
            &context.client,
            context.tty.as_ref(),
            context.uid,
            &PinRequest {
                title: "Privyseal".into(),
                description: self.question(own, &info, request),
                ..PinRequest::default()
            },
            &request.job.control,
        );
        request.job.set_state(State::Running);
        match answer.map_err(unanswered) {
            Ok(true) => Ok(()),
            Ok(false) => Err(cancelled()),
            Err(failure) if failure.name == ErrorName::PinRequired => {
                Err(Failure::new(ErrorName::NotAuthorized, failure.message))
            }
            Err(failure) => Err(failure),
        }
    }

    fn question(&self, own: &OwnCertificate, info: &TokenInfo, request: &Request<'_>) -> String {
        let peer = &*request.caller.peer;
        let told = request.caller.context.client.application.as_deref();
        let name = told.or(peer.program.as_deref()).unwrap_or("a program");
        let sandbox = peer.sandbox.as_deref();
        let sandbox = sandbox.map_or_else(String::new, |name| format!(", sandbox {}", plain(name)));
        let process = peer
            .pid
            .map_or_else(String::new, |pid| format!(", process {pid}"));
        let lasts = match self.consents.mode_for(peer) {
            ConsentMode::Each => "for this use",
            _ => "for as long as it is connected and the token is unlocked",
        };
        let (what, more) = in_words(request.purpose);
        format!(
            "{} (unverified{process}, user {}{sandbox}) wants to {what}.\n\
             It would use the key {} of the token {} (serial number {}). Allow it, {lasts}?{more}",
            program(name),
            peer.uid,
            plain(&own.label),
            plain(&info.label),
            plain(&info.serial),
        )
    }
}

fn unasked(own: &OwnCertificate) -> Failure {
    Failure::new(
        ErrorName::NotAuthorized,
        format!(
            "a person must agree to this use of the key {:?}, and this call may not ask one",
            own.label
        ),
    )
}
