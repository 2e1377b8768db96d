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
mod wrong_pins;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::protocol::{Answer, Call, PinForUse, Secret};
use crate::quirks;
use crate::{
    Batch, KeyPin, KeyRef, ModuleConfig, ModuleInfo, SignScheme, TokenCertificate, TokenId,
    TokenInfo, UnwrapScheme,
};
use lanes::{Lane, Lanes};
use readers::Watch;
use shared::{Setup, lock};
use wrong_pins::{Whose, WrongPins};

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
        let deadline = config.deadline.map(|s| Duration::from_secs(s.into()));
        Self::start_with_deadline(config, worker, deadline.unwrap_or(DEADLINE), notify)
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
            wrong_pins: Mutex::new(WrongPins::new(config.counts.clone())),
            config,
            worker: worker.to_owned(),
            deadline,
            notify,
            batch: Default::default(),
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

    /// What the next PINs may be kept for; at first nothing.
    pub fn set_batch(&self, batch: Option<Batch>) {
        *lock(&self.lanes.setup.batch) = batch;
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
        let turn = lane.shared.pin_turn(token, Whose::User)?;
        if turn.is_unlocked() {
            return Ok(());
        }
        turn.allow(final_try)?;
        let call = Call::Login {
            token: token.clone(),
            pin: pin.map(Secret),
            final_try,
            keep: self.lanes.setup.batch(),
        };
        turn.judge(lane.shared.call("login", call, limit))
            .map(|_| ())
    }

    /// C_Logout, and whatever makes the card itself refuse afterwards (design rule 5). Locked already: Ok.
    /// Where the card must be let go of for that, other tokens of the same worker are locked too.
    pub fn logout(&self, token: &TokenId) -> Result<()> {
        let lane = self.lanes.find(token)?;
        let token = token.clone();
        let answer = lane.ask("logout", Call::Logout { token });
        rested(&lane, answer)
    }

    /// Changes the PIN; then the token is locked. The old one costs a try if it is wrong, as at [`Module::login`].
    pub fn change_pin(
        &self,
        token: &TokenId,
        old: Zeroizing<Vec<u8>>,
        new: Zeroizing<Vec<u8>>,
        final_try: bool,
    ) -> Result<()> {
        check_lengths(&[&old, &new])?;
        let lane = self.lanes.find(token)?;
        let turn = lane.shared.pin_turn(token, Whose::User)?;
        turn.allow(final_try)?;
        let call = Call::ChangePin {
            token: token.clone(),
            old: Secret(old),
            new: Secret(new),
            final_try,
        };
        turn.judge(rested(&lane, lane.ask("change-pin", call)))?;
        lane.shared.pin_is_new(token);
        Ok(())
    }

    /// Gives the user a new PIN by the SO PIN, or the PUK of a card; then the token is locked. Its tries are counted as those
    /// of the PIN are: [`crate::Error::BadPin`] and its kin mean the SO PIN.
    pub fn unblock_pin(
        &self,
        token: &TokenId,
        puk: Zeroizing<Vec<u8>>,
        new: Zeroizing<Vec<u8>>,
        final_try: bool,
    ) -> Result<()> {
        check_lengths(&[&puk, &new])?;
        let lane = self.lanes.find(token)?;
        let turn = lane.shared.pin_turn(token, Whose::Officer)?;
        turn.allow(final_try)?;
        let call = Call::UnblockPin {
            token: token.clone(),
            puk: Secret(puk),
            new: Secret(new),
            final_try,
        };
        turn.judge(rested(&lane, lane.ask("unblock", call)))?;
        lane.shared.pin_is_new(token);
        Ok(())
    }

    /// Signs a ready digest. An unknown or stale key is looked for once more before [`crate::Error::NoSecretKey`].
    /// A key that wants its PIN at every use (CKA_ALWAYS_AUTHENTICATE), and no PIN is kept: [`crate::Error::KeyPinRequired`].
    pub fn sign(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: SignScheme,
        digest: &[u8],
    ) -> Result<Vec<u8>> {
        self.sign_with(token, key, scheme, digest, None)
    }

    /// [`Module::sign`], with the PIN that the key may want.
    pub fn sign_with(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: SignScheme,
        digest: &[u8],
        pin: Option<KeyPin>,
    ) -> Result<Vec<u8>> {
        bytes(self.use_key(token, "sign", pin, |pin| Call::Sign {
            token: token.clone(),
            key: key.clone(),
            scheme,
            digest: digest.to_vec(),
            pin,
        }))
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
        self.unwrap_key_with(token, key, scheme, wrapped, expected_len, None)
    }

    /// [`Module::unwrap_key`], with the PIN that the key may want.
    pub fn unwrap_key_with(
        &self,
        token: &TokenId,
        key: &KeyRef,
        scheme: UnwrapScheme,
        wrapped: &[u8],
        expected_len: usize,
        pin: Option<KeyPin>,
    ) -> Result<Zeroizing<Vec<u8>>> {
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
        secret(self.use_key(token, "unwrap", pin, |pin| Call::Unwrap {
            token: token.clone(),
            key: key.clone(),
            scheme,
            wrapped,
            expected_len,
            pin,
        }))
    }

    /// ECDH (CKM_ECDH1_DERIVE, CKD_NULL) with an uncompressed point: the x coordinate; X25519 with 32 bytes: the shared secret.
    pub fn ecdh(&self, token: &TokenId, key: &KeyRef, point: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.ecdh_with(token, key, point, None)
    }

    /// [`Module::ecdh`], with the PIN that the key may want.
    pub fn ecdh_with(
        &self,
        token: &TokenId,
        key: &KeyRef,
        point: &[u8],
        pin: Option<KeyPin>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        secret(self.use_key(token, "ecdh", pin, |pin| Call::Ecdh {
            token: token.clone(),
            key: key.clone(),
            point: point.to_vec(),
            pin,
        }))
    }

    /// ML-KEM decapsulation (C_DecapsulateKey, PKCS#11 v3.2), with the PIN that the key may want: the shared secret, 32 bytes.
    ///
    /// # Errors
    /// [`Error::UnsupportedAlgorithm`] where module or token cannot, or the ciphertext is another parameter set's.
    pub fn decapsulate(
        &self,
        token: &TokenId,
        key: &KeyRef,
        ciphertext: &[u8],
        pin: Option<KeyPin>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        secret(
            self.use_key(token, "decapsulate", pin, |pin| Call::Decapsulate {
                token: token.clone(),
                key: key.clone(),
                ciphertext: ciphertext.to_vec(),
                pin,
            }),
        )
    }

    /// A context-specific C_Login for no operation, so that the worker keeps the PIN as [`Module::set_batch`] allows.
    pub fn keep_pin(&self, token: &TokenId, key: &KeyRef, pin: KeyPin) -> Result<()> {
        let keep = |pin: Option<PinForUse>| match pin {
            Some(pin) => Call::KeepPin {
                token: token.clone(),
                key: key.clone(),
                pin,
            },
            None => Call::Poll,
        };
        self.use_key(token, "keep-pin", Some(pin), keep).map(|_| ())
    }

    /// With a PIN: one context-specific C_Login at most, counted like [`Module::login`].
    fn use_key(
        &self,
        token: &TokenId,
        op: &'static str,
        pin: Option<KeyPin>,
        call: impl FnOnce(Option<PinForUse>) -> Call,
    ) -> Result<Answer> {
        let lane = self.lanes.find(token)?;
        let Some(KeyPin { pin, final_try }) = pin else {
            let answer = lane.ask(op, call(None));
            if let Err(Error::BadPin | Error::BadPinFewTriesLeft | Error::PinLocked) = answer {
                // a PIN that was kept is no longer right
                return lane.shared.pin_turn(token, Whose::User)?.judge(answer);
            }
            return answer;
        };
        check_lengths(&[&pin])?;
        let turn = lane.shared.pin_turn(token, Whose::User)?;
        turn.allow(final_try)?;
        let pin = PinForUse {
            pin: Secret(pin),
            final_try,
            keep: self.lanes.setup.batch(),
        };
        turn.judge(lane.ask(op, call(Some(pin))))
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

fn check_lengths(pins: &[&[u8]]) -> Result<()> {
    let fits = |pin: &&[u8]| (1..=MAX_PIN).contains(&pin.len());
    pins.iter().all(fits).then_some(()).ok_or(Error::PinInvalid)
}

/// Waits for the end of a worker that has done its last, and says what came of that.
fn rested(lane: &Lane, answer: Result<Answer>) -> Result<()> {
    match answer? {
        Answer::Resting => lane.shared.await_rest(),
        Answer::RestingAfter(error) => {
            lane.shared.await_rest();
            return Err(error);
        }
        _ => {}
    }
    Ok(())
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
