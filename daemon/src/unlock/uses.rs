//! Uses of private keys: consent first, then without a PIN, then with one entry for each try where the key wants that
//! (CKA_ALWAYS_AUTHENTICATE). Each is counted and recorded.

use privyseal_proto::{ErrorName, Failure};
use privyseal_token::KeyPin;

use super::consent::Admitted;
use super::entry::{Entry, What};
use super::prompt::Asks;
use super::{Request, Source, Unlocker, cancelled, token_failure};
use crate::audit::Kind;
use crate::client::Caller;
use crate::credential::Stored;
use crate::idle::Use;
use crate::operation::{Attempt, KeyUse};
use crate::registry::OwnCertificate;

impl Unlocker {
    /// Uses a key: without a PIN, then with one entry for each try, where the key wants that (CKA_ALWAYS_AUTHENTICATE). The token is
    /// unlocked; it may be locked by a wrong entry (OpenSC), and is unlocked anew before the next.
    pub fn use_key(
        &self,
        own: &OwnCertificate,
        kind: Kind,
        request: &Request<'_>,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let key_use = KeyUse {
            kind,
            purpose: request.purpose,
        };
        let standing = self.standing(own, key_use, request.caller);
        let admitted = match standing {
            Some(admitted) => admitted,
            // its PIN will be typed for this very use: that is the question
            None if self.will_ask_pin(own, request) => {
                request.typed.set(None);
                Admitted::by_pin(request, kind)
            }
            None => self.ask(own, kind, request)?,
        };
        if !admitted.waits_for_pin() {
            let first = self.counted(own, &admitted, &mut || attempt(None))?;
            if !wants_pin(&first) {
                return first.map_err(token_failure);
            }
        }
        let token = &own.token;
        let _gate = self.gates.pass(token, request.job)?;
        let (module, info) = self.token(token)?;
        if info.pin_kept && !admitted.waits_for_pin() {
            // the entry that we waited for serves this use too
            let second = self.counted(own, &admitted, &mut || attempt(None))?;
            if !wants_pin(&second) {
                return second.map_err(token_failure);
            }
        }
        let what = What::Key(&own.label);
        let asks = match admitted.waits_for_pin() {
            true => Asks::Pinentry,
            false => Asks::AgentFirst,
        };
        let entry = self.entry(&module, &info, request, what, asks);
        self.entries(own, &entry, &mut |pin| {
            self.counted(own, &admitted, &mut || attempt(pin.take()))
                .and_then(|result| result.map_err(token_failure))
        })?;
        self.vouch(&request.caller.peer, token, admitted.waits_for_pin());
        Ok(())
    }

    /// Has the PIN of an unlocked token kept for a key that wants it at every use, as far as the configuration allows.
    pub fn keep_pin(
        &self,
        own: &OwnCertificate,
        source: Source,
        request: &Request<'_>,
    ) -> Result<(), Failure> {
        if let Source::PinPad = source {
            return Err(Failure::new(
                ErrorName::NotSupported,
                "a PIN that is typed on a keypad cannot be kept",
            ));
        }
        let token = &own.token;
        let _gate = self.gates.pass(token, request.job)?;
        let (module, info) = self.token(token)?;
        if info.pin_kept {
            return Ok(());
        }
        let what = What::Key(&own.label);
        let entry = self.entry(&module, &info, request, what, Asks::of(&source));
        if let Source::Descriptor(fd) = source {
            request.pin.set(Some(fd));
        }
        self.entries(own, &entry, &mut |pin| {
            let Some(pin) = pin.take() else {
                return Err(cancelled());
            };
            module
                .keep_pin(&own.token, &own.key, pin)
                .map_err(token_failure)
        })
    }

    /// Entries for a key, by the call's descriptor or a prompt, each sent once.
    fn entries(
        &self,
        own: &OwnCertificate,
        entry: &Entry<'_>,
        send: &mut dyn FnMut(&mut Option<KeyPin>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Entry { info, request, .. } = entry;
        let mut send = |pin, final_try| send(&mut Some(KeyPin { pin, final_try }));
        let result = if let Some(fd) = request.pin.take() {
            entry.read(fd).and_then(|pin| send(pin, false))
        } else if entry.asks == Asks::AgentFirst
            && let Some(stored) = self.credentials.try_once(info, |pin| send(pin, false))
            && (stored.is_ok() || !request.interactive)
        {
            stored
        } else if !request.interactive {
            Err(no_key_pin(own))
        } else if info.protected_auth_path {
            Err(Failure::new(
                ErrorName::NotSupported,
                "keys that want their PIN at every use are not served by a reader's keypad yet",
            ))
        } else {
            let open = || self.unlock_in_turn(&own.token, Source::Any, request);
            entry.by_prompt(open, send)
        };
        self.told(Kind::KeyPin, info, request, result)
    }

    /// A use of a key for a call that never asks anybody.
    pub fn use_key_silently(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        caller: &Caller,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure> {
        let Some(admitted) = self.standing(own, key_use, caller) else {
            return Err(self.refuse(own, key_use, caller));
        };
        let first = self.counted(own, &admitted, &mut || attempt(None))?;
        if !wants_pin(&first) {
            return first.map_err(token_failure);
        }
        let _gate = self.gates.pass_soon(&own.token)?;
        let info = self.token(&own.token)?.1;
        let stored = self.credentials.try_once(&info, |pin| {
            let mut pin = Some(KeyPin {
                pin,
                final_try: false,
            });
            self.counted(own, &admitted, &mut || attempt(pin.take()))
                .and_then(|result| result.map_err(token_failure))
        });
        match stored {
            Some(result) => self.recorded(Kind::KeyPin, &info, caller, key_use.purpose, result),
            None => Err(no_key_pin(own)),
        }
    }

    /// Whether a key of an unlocked token would want a PIN that nobody will say.
    pub fn check_key(&self, own: &OwnCertificate) -> Result<(), Failure> {
        let wants = self
            .registry
            .find(own)
            .is_some_and(|now| now.always_authenticate);
        if !wants
            || self.token(&own.token)?.1.pin_kept
            || self.credentials.look(&own.token) == Stored::Ready
        {
            return Ok(());
        }
        Err(no_key_pin(own))
    }

    /// Whether the PIN of a key that wants it at every use is to be typed for the next, at our own prompt.
    fn will_ask_pin(&self, own: &OwnCertificate, request: &Request<'_>) -> bool {
        let pin = request.pin.take();
        let comes = pin.is_some();
        request.pin.set(pin);
        request.interactive
            && !comes
            && self.asks(&Source::Any, request) == Asks::Pinentry
            && self.check_key(own).is_err()
    }

    /// One use of a key, counted and recorded; after the last that the configuration allows the token is locked. A use of which there
    /// is no record gives nothing.
    fn counted(
        &self,
        own: &OwnCertificate,
        admitted: &Admitted<'_>,
        work: &mut dyn FnMut() -> privyseal_token::Result<()>,
    ) -> Result<privyseal_token::Result<()>, Failure> {
        self.lock_if_over(&own.token)?;
        let turn = self.idle.begin(&own.token)?;
        let result = work();
        self.idle.end(&own.token, result.is_ok());
        if !wants_pin(&result) {
            let told = result
                .as_ref()
                .map_err(|error| token_failure(error.clone()));
            self.trail.record(admitted.entry(own, &told))?;
        }
        if turn == Use::Last && result.is_ok() {
            let (module, info) = self.token(&own.token)?;
            self.lock(&module, &info, None, "used as often as it may be")?;
        }
        Ok(result)
    }
}

fn wants_pin(result: &privyseal_token::Result<()>) -> bool {
    matches!(result, Err(privyseal_token::Error::KeyPinRequired))
}

fn no_key_pin(own: &OwnCertificate) -> Failure {
    Failure::new(
        ErrorName::PinRequired,
        format!(
            "the key {:?} wants its PIN at every use, and this call may not ask a person: pass it along (--pin-fd), or have \
             one entry serve several uses ([pin] batch-uses in the configuration)",
            own.label
        ),
    )
}
