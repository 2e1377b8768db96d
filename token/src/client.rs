//! One supervised module: its worker processes, what they last told, and the calls to them.
//!
//! A supervisor thread starts a worker, polls it, ends calls that take too long, and starts a new worker when one has died.
//! Callers' threads write their requests themselves; a reader thread hands the answers out. A module has one worker, or, where
//! its own lock would make one card wait for another (see `quirks`), one for each PC/SC reader.

mod lanes;
mod link;
mod readers;
mod shared;
mod spawn;
mod supervisor;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::protocol::{Answer, Call, Secret};
use crate::quirks;
use crate::{
    KeyRef, ModuleConfig, ModuleInfo, SignScheme, TokenCertificate, TokenId, TokenInfo,
    UnwrapScheme,
};
use lanes::Lanes;
use readers::Watch;
use shared::{Setup, lock};

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

/// A module's supervisor. Dropping it ends the workers (after C_Logout on every token).
pub struct Module {
    lanes: Arc<Lanes>,
    /// where there is a worker for each reader
    watch: Option<Watch>,
}

impl Module {
    /// Starts the worker and returns at once (status [`ModuleStatus::Loading`]). `worker` is the `privyseal-token` binary.
    /// `notify` is called from the module's own threads at every change.
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
        // by the file's name only: whether readers are to be hidden must be known before the module is loaded
        let per_reader = quirks::by_file(&config.path).is_some_and(|q| q.worker_per_reader);
        let setup = Setup {
            config,
            worker: worker.to_owned(),
            deadline,
            notify,
            wrong_pins: Default::default(),
        };
        let lanes = Arc::new(Lanes::start(setup, per_reader));
        Arc::new(Self {
            watch: per_reader.then(|| Watch::start(&lanes)),
            lanes,
        })
    }

    /// What it was started with.
    pub fn config(&self) -> &ModuleConfig {
        &self.lanes.setup.config
    }

    /// How it is now.
    pub fn status(&self) -> ModuleStatus {
        self.lanes.status()
    }

    /// What C_GetInfo said; `None` before the module was loaded for the first time.
    pub fn info(&self) -> Option<ModuleInfo> {
        lock(&self.lanes.base().shared.state).info.clone()
    }

    /// What of the confinement of workers this machine does not have, in words; empty before the module was loaded.
    pub fn unconfined(&self) -> Vec<String> {
        lock(&self.lanes.base().shared.state).unconfined.clone()
    }

    /// Process id of the running worker; where there is one for each reader, of the one that serves none.
    pub fn worker_pid(&self) -> Option<u32> {
        self.lanes.base().shared.worker_pid()
    }

    /// Process id of the running worker that serves a token.
    pub fn worker_pid_of(&self, token: &TokenId) -> Option<u32> {
        self.lanes.of(token)?.shared.worker_pid()
    }

    /// What was last seen, without asking the module. SoftHSM's extra uninitialised token is among them (`initialized` false).
    pub fn tokens(&self) -> Vec<TokenInfo> {
        let mut seen = HashSet::new();
        let lanes = self.lanes.all();
        let tokens = lanes.iter().flat_map(|lane| lane.shared.tokens());
        // of two tokens of one name the second is not used, as within a worker
        tokens.filter(|t| seen.insert(t.id.clone())).collect()
    }

    /// What was last seen, without asking the module.
    pub fn certificates(&self, token: &TokenId) -> Vec<TokenCertificate> {
        let lane = self.lanes.of(token);
        lane.map_or_else(Vec::new, |lane| lane.shared.certificates(token))
    }

    /// Asks the module anew: readers, tokens and their objects. A failed or quarantined worker is started again.
    pub fn rescan(&self) -> Result<()> {
        if let Some(watch) = &self.watch {
            self.lanes.next_list(|| watch.refresh())?;
        }
        for lane in self.lanes.all() {
            lane.shared.revive();
        }
        self.lanes.each("rescan", || Call::Rescan)
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
            Some(_) => self.lanes.setup.deadline,
            None => PINPAD_DEADLINE.max(self.lanes.setup.deadline),
        };
        let lane = self.lanes.find(token)?;
        let turn = lane.shared.pin_turn(token)?;
        if turn.is_unlocked() {
            return Ok(());
        }
        turn.allow(final_try)?;
        let call = Call::Login {
            token: token.clone(),
            pin: pin.map(Secret),
            final_try,
        };
        turn.judge(lane.shared.call("login", call, limit))
            .map(|_| ())
    }

    /// C_Logout, and whatever makes the card itself refuse afterwards (design rule 5). Locked already: Ok.
    /// Where the card must be let go of for that, other tokens of the same worker are locked too.
    pub fn logout(&self, token: &TokenId) -> Result<()> {
        let lane = self.lanes.find(token)?;
        let token = token.clone();
        if let Answer::Resting = lane.ask("logout", Call::Logout { token })? {
            lane.shared.await_rest();
        }
        Ok(())
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
        let call = sign_call(token, key, scheme, digest, None);
        bytes(self.lanes.find(token)?.ask("sign", call))
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
        let lane = self.lanes.find(token)?;
        let turn = lane.shared.pin_turn(token)?;
        turn.allow(final_try)?;
        let call = sign_call(token, key, scheme, digest, Some(Secret(pin)));
        bytes(turn.judge(lane.ask("sign", call)))
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
        secret(self.lanes.find(token)?.ask("unwrap", call))
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
        let lane = self.lanes.find(token)?;
        let turn = lane.shared.pin_turn(token)?;
        turn.allow(final_try)?;
        let call = unwrap_call(token, key, scheme, wrapped, expected_len, Some(Secret(pin)))?;
        secret(turn.judge(lane.ask("unwrap", call)))
    }

    /// ECDH (CKM_ECDH1_DERIVE, CKD_NULL) with an uncompressed point: the x coordinate; X25519 with 32 bytes: the shared secret.
    pub fn ecdh(&self, token: &TokenId, key: &KeyRef, point: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let call = Call::Ecdh {
            token: token.clone(),
            key: key.clone(),
            point: point.to_vec(),
        };
        secret(self.lanes.find(token)?.ask("ecdh", call))
    }

    /// ML-KEM decapsulation (C_DecapsulateKey, PKCS#11 v3.2): the shared secret, 32 bytes.
    ///
    /// # Errors
    /// [`Error::UnsupportedAlgorithm`] where module or token cannot, or the ciphertext is another parameter set's.
    pub fn decapsulate(
        &self,
        token: &TokenId,
        key: &KeyRef,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let call = Call::Decapsulate {
            token: token.clone(),
            key: key.clone(),
            ciphertext: ciphertext.to_vec(),
        };
        secret(self.lanes.find(token)?.ask("decapsulate", call))
    }

    /// Logs out everywhere and ends the workers. Waits for their end, at most some seconds.
    pub fn shutdown(&self) {
        self.lanes.stop();
        if let Some(watch) = &self.watch {
            watch.stop();
        }
        self.lanes.join();
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
