//! One supervised module: its worker process, what it last told, and the calls to it.
//!
//! A supervisor thread starts the worker, polls it, ends calls that take too long, and starts a new worker when one has died.
//! Callers' threads write their requests themselves; a reader thread hands the answers out.

mod link;
mod shared;
mod spawn;
mod supervisor;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::protocol::{Answer, Call, Secret};
use crate::{
    KeyRef, ModuleConfig, ModuleInfo, SignScheme, TokenCertificate, TokenId, TokenInfo,
    UnwrapScheme,
};
use shared::{Shared, lock};

/// Time from a request's start in the module to the worker's end.
const DEADLINE: Duration = Duration::from_secs(30);
/// A person types a PIN on a reader's keypad.
const PINPAD_DEADLINE: Duration = Duration::from_secs(150);
/// CKA_MODULUS of 16384 bits is the most that is looked at.
const MAX_WRAPPED: usize = 2048;
/// Keys are 16 to 64 bytes.
const MAX_UNWRAPPED: usize = 1024;
const MAX_PIN: usize = 255;

/// How a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleStatus {
    Loading,
    Ok,
    /// why; a new worker is started after a while
    Failed(String),
    /// died too often; [`Module::rescan`] starts it again
    Quarantined(String),
    /// shut down
    Disabled,
}

/// Something changed: ask [`Module::status`], [`Module::tokens`] and [`Module::certificates`] again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// status or info
    Status,
    /// tokens came, went, or changed state (login, PIN flags) or objects
    Tokens,
}

/// A module's supervisor. Dropping it ends the worker (after C_Logout on every token).
pub struct Module {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl Module {
    /// Starts the worker and returns at once (status [`ModuleStatus::Loading`]). `worker` is the `privyseal-token` binary.
    /// `notify` is called from the supervisor's thread at every change.
    pub fn start(
        config: ModuleConfig,
        worker: &Path,
        notify: Box<dyn Fn(Event) + Send + Sync>,
    ) -> Arc<Self> {
        Self::start_with_deadline(config, worker, DEADLINE, notify)
    }

    /// [`Module::start`] with another deadline for one call than 30 seconds.
    pub fn start_with_deadline(
        config: ModuleConfig,
        worker: &Path,
        deadline: Duration,
        notify: Box<dyn Fn(Event) + Send + Sync>,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared::new(config, worker, deadline, notify));
        let thread = thread::Builder::new()
            .name("token-supervisor".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || supervisor::run(&shared)
            });
        let supervisor = match thread {
            Ok(handle) => Some(handle),
            Err(e) => {
                shared.fail(format!("no thread for its supervisor: {e}"));
                None
            }
        };
        Arc::new(Self {
            shared,
            supervisor: Mutex::new(supervisor),
        })
    }

    /// What it was started with.
    pub fn config(&self) -> &ModuleConfig {
        &self.shared.config
    }

    /// How it is now.
    pub fn status(&self) -> ModuleStatus {
        self.shared.status()
    }

    /// What C_GetInfo said; `None` before the module was loaded for the first time.
    pub fn info(&self) -> Option<ModuleInfo> {
        lock(&self.shared.state).info.clone()
    }

    /// Process id of the running worker.
    pub fn worker_pid(&self) -> Option<u32> {
        self.shared.worker_pid()
    }

    /// What was last seen, without asking the module. SoftHSM's extra uninitialised token is among them (`initialized` false).
    pub fn tokens(&self) -> Vec<TokenInfo> {
        self.shared.tokens()
    }

    /// What was last seen, without asking the module.
    pub fn certificates(&self, token: &TokenId) -> Vec<TokenCertificate> {
        self.shared.certificates(token)
    }

    /// Asks the module anew: tokens and their objects. A failed or quarantined module is started again.
    pub fn rescan(&self) -> Result<()> {
        self.shared.revive();
        self.done("rescan", Call::Rescan)
    }

    /// One C_Login with this PIN; already unlocked: Ok, and the PIN is not sent. `None`: protected authentication path.
    /// With `final_try` false and one try left: [`crate::Error::BadPinFinalTry`], and nothing is sent.
    pub fn login(
        &self,
        token: &TokenId,
        pin: Option<Zeroizing<Vec<u8>>>,
        final_try: bool,
    ) -> Result<()> {
        let limit = match &pin {
            Some(pin) if pin.is_empty() || pin.len() > MAX_PIN => return Err(Error::PinInvalid),
            Some(_) => self.shared.deadline,
            None => PINPAD_DEADLINE.max(self.shared.deadline),
        };
        let turn = self.shared.pin_turn(token)?;
        if turn.is_unlocked() {
            return Ok(());
        }
        turn.allow(final_try)?;
        let call = Call::Login {
            token: token.clone(),
            pin: pin.map(Secret),
            final_try,
        };
        turn.judge(self.shared.call("login", call, limit))
            .map(|_| ())
    }

    /// C_Logout, and whatever makes the card itself refuse afterwards (design rule 5). Locked already: Ok.
    /// Where the card must be let go of for that, the module's other tokens are locked too.
    pub fn logout(&self, token: &TokenId) -> Result<()> {
        let token = token.clone();
        self.done("logout", Call::Logout { token })
    }

    /// Signs a ready digest. An unknown or stale key is looked for once more before [`crate::Error::NoSecretKey`].
    /// A key that wants its PIN at every use (CKA_ALWAYS_AUTHENTICATE): [`crate::Error::PinRequired`].
    pub fn sign(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: SignScheme,
        digest: &[u8],
    ) -> Result<Vec<u8>> {
        bytes(self.ask("sign", sign_call(token, key, scheme, digest, None)))
    }

    /// [`Module::sign`] with a key that wants its PIN at every use: one context-specific C_Login, counted like [`Module::login`].
    pub fn sign_with_pin(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: SignScheme,
        digest: &[u8],
        pin: Zeroizing<Vec<u8>>,
        final_try: bool,
    ) -> Result<Vec<u8>> {
        let turn = self.shared.pin_turn(token)?;
        turn.allow(final_try)?;
        let call = sign_call(token, key, scheme, digest, Some(Secret(pin)));
        bytes(turn.judge(self.ask("sign", call)))
    }

    /// Opens an RSA-wrapped key of `expected_len` bytes. What is wrong with padding or length does not show: a random key
    /// comes back (RFC 3218 §2.3.2, design rule 9). Errors are those of device, session, login and missing mechanisms.
    pub fn unwrap_key(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: UnwrapScheme,
        wrapped: &[u8],
        expected_len: usize,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let call = unwrap_call(token, key, scheme, wrapped, expected_len, None)?;
        secret(self.ask("unwrap", call))
    }

    /// [`Module::unwrap_key`] with a key that wants its PIN at every use.
    #[allow(
        clippy::too_many_arguments,
        reason = "unwrap_key's, and the two that a PIN needs"
    )]
    pub fn unwrap_key_with_pin(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: UnwrapScheme,
        wrapped: &[u8],
        expected_len: usize,
        pin: Zeroizing<Vec<u8>>,
        final_try: bool,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let turn = self.shared.pin_turn(token)?;
        turn.allow(final_try)?;
        let call = unwrap_call(token, key, scheme, wrapped, expected_len, Some(Secret(pin)))?;
        secret(turn.judge(self.ask("unwrap", call)))
    }

    /// ECDH (CKM_ECDH1_DERIVE, CKD_NULL) with an uncompressed point: the x coordinate.
    pub fn ecdh(&self, token: &TokenId, key: &KeyRef, point: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let call = Call::Ecdh {
            token: token.clone(),
            key: key.clone(),
            point: point.to_vec(),
        };
        secret(self.ask("ecdh", call))
    }

    /// Logs out everywhere and ends the worker. Waits for its end, at most some seconds.
    pub fn shutdown(&self) {
        self.shared.stop();
        let handle = lock(&self.supervisor).take();
        // `notify` runs on the supervisor's thread, and may be what drops the module
        if let Some(handle) = handle.filter(|h| h.thread().id() != thread::current().id()) {
            let _ = handle.join();
        }
    }

    fn ask(&self, op: &'static str, call: Call) -> Result<Answer> {
        self.shared.call(op, call, self.shared.deadline)
    }

    fn done(&self, op: &'static str, call: Call) -> Result<()> {
        self.ask(op, call).map(|_| ())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn sign_call(
    token: &TokenId,
    key: &KeyRef,
    scheme: SignScheme,
    digest: &[u8],
    pin: Option<Secret>,
) -> Call {
    Call::Sign {
        token: token.clone(),
        key: key.clone(),
        scheme,
        digest: digest.to_vec(),
        pin,
    }
}

fn unwrap_call(
    token: &TokenId,
    key: &KeyRef,
    scheme: UnwrapScheme,
    wrapped: &[u8],
    expected_len: usize,
    pin: Option<Secret>,
) -> Result<Call> {
    let expected_len = u32::try_from(expected_len)
        .ok()
        .filter(|_| expected_len <= MAX_UNWRAPPED)
        .ok_or_else(|| {
            Error::UnsupportedAlgorithm(format!("a wrapped key of {expected_len} bytes"))
        })?;
    // longer than any modulus is as wrong as nothing at all, and is answered like it
    let wrapped = if wrapped.len() > MAX_WRAPPED {
        Vec::new()
    } else {
        wrapped.to_vec()
    };
    Ok(Call::Unwrap {
        token: token.clone(),
        key: key.clone(),
        scheme,
        wrapped,
        expected_len,
        pin,
    })
}

fn bytes(answer: Result<Answer>) -> Result<Vec<u8>> {
    match answer? {
        Answer::Bytes(bytes) => Ok(bytes),
        _ => Err(unexpected()),
    }
}

fn secret(answer: Result<Answer>) -> Result<Zeroizing<Vec<u8>>> {
    match answer? {
        Answer::Secret(secret) => Ok(secret.0),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::WorkerDied("it answered another question".into())
}
