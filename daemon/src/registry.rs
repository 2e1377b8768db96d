//! What is present: modules, tokens, and the certificates on them.
//!
//! Asking is cheap: readers share a snapshot, which is made anew whenever a module tells that something changed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use privyseal_smime::Certificate;
use privyseal_token::{
    Batch, KeyRef, Module, ModuleConfig, ModuleInfo, ModuleStatus, TokenId, TokenInfo,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Duration, Instant};

mod uri;

/// A certificate on a present token, with the way to its key.
pub struct OwnCertificate {
    pub certificate: Certificate,
    pub token: TokenId,
    pub token_label: String,
    pub token_uri: String,
    pub module: Arc<Module>,
    pub key: KeyRef,
    /// CKA_LABEL
    pub label: String,
    pub has_private_key: bool,
    /// key's and certificate's usage together
    pub can_sign: bool,
    pub can_decrypt: bool,
    pub always_authenticate: bool,
}

/// A module as it was when the snapshot was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleState {
    pub path: PathBuf,
    pub status: ModuleStatus,
    pub info: Option<ModuleInfo>,
    /// what of the workers' confinement this machine does not have
    pub unconfined: Vec<String>,
}

/// A token as it was when the snapshot was made.
pub struct TokenState {
    pub info: TokenInfo,
    pub module: Arc<Module>,
    /// the module's place in [`Snapshot::modules`]
    pub module_index: usize,
    /// RFC 7512
    pub uri: String,
}

/// All that is present at one time, in a stable order (module, token, object).
#[derive(Default)]
pub struct Snapshot {
    pub generation: u64,
    pub modules: Vec<ModuleState>,
    pub tokens: Vec<Arc<TokenState>>,
    pub certificates: Arc<Vec<Arc<OwnCertificate>>>,
}

/// Work that comes while modules load for the first time waits for them, until this long after the start.
const FIRST_LOAD: Duration = Duration::from_secs(10);

/// Everything that is present; cheap to ask, shared by all.
pub struct Registry {
    begun: Instant,
    /// [`Self::start`] was called
    started: AtomicBool,
    /// no module is loading for the first time any more
    loaded: AtomicBool,
    modules: RwLock<Arc<Vec<Arc<Module>>>>,
    snapshot: RwLock<Arc<Snapshot>>,
    build: Mutex<Build>,
    /// a module told that something changed
    stirred: Arc<Notify>,
    generation: watch::Sender<u64>,
}

/// What outlives a snapshot.
#[derive(Default)]
struct Build {
    generation: u64,
    /// DER to certificate, so that each is parsed once; `None`: it does not parse
    parsed: HashMap<Vec<u8>, Option<Certificate>>,
}

impl Registry {
    pub fn new() -> Arc<Self> {
        Arc::new(Registry {
            begun: Instant::now(),
            started: AtomicBool::new(false),
            loaded: AtomicBool::new(false),
            modules: RwLock::default(),
            snapshot: RwLock::default(),
            build: Mutex::default(),
            stirred: Arc::new(Notify::new()),
            generation: watch::Sender::new(0),
        })
    }

    /// Starts a worker for each module; returns at once, while they load.
    pub fn start(&self, configs: Vec<ModuleConfig>, worker: &Path) {
        let modules = configs
            .into_iter()
            .map(|config| {
                let stirred = self.stirred.clone();
                Module::start(config, worker, Box::new(move |_| stirred.notify_one()))
            })
            .collect();
        *self.modules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(modules);
        self.started.store(true, Ordering::Release);
        self.refresh();
    }

    /// What PINs may be kept for from now on; after [`Self::start`].
    pub fn set_batch(&self, batch: Option<Batch>) {
        for module in self.modules().iter() {
            module.set_batch(batch);
        }
    }

    /// A certificate of a present token, as it is shown now.
    pub fn find(&self, own: &OwnCertificate) -> Option<Arc<OwnCertificate>> {
        let all = self.certificates();
        let same = |c: &&Arc<OwnCertificate>| {
            c.token == own.token && c.key == own.key && c.certificate == own.certificate
        };
        all.iter().find(same).cloned()
    }

    /// The modules, in their order.
    pub fn modules(&self) -> Arc<Vec<Arc<Module>>> {
        self.modules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// A snapshot, in a stable order (module, token, object).
    pub fn certificates(&self) -> Arc<Vec<Arc<OwnCertificate>>> {
        self.snapshot
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .certificates
            .clone()
    }

    /// A present token as its module last told, and the module.
    pub fn token(&self, token: &TokenId) -> Option<(Arc<Module>, TokenInfo)> {
        let module = self
            .snapshot()
            .tokens
            .iter()
            .find(|t| t.info.id == *token)?
            .module
            .clone();
        let info = module.tokens().into_iter().find(|t| t.id == *token)?;
        Some((module, info))
    }

    /// Whether a token's keys can be used now; `None`: it is not present. Copies nothing: every key operation asks.
    pub fn usable(&self, token: &TokenId) -> Option<bool> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let state = snapshot.tokens.iter().find(|t| t.info.id == *token)?;
        Some(state.info.unlocked || !state.info.login_required)
    }

    /// Waits until a module tells that something changed since the last call.
    pub async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Whether every module has been loaded, has failed to, or has had its time since the start.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire) || self.begun.elapsed() >= FIRST_LOAD
    }

    /// Waits for [`Self::is_loaded`]: a daemon that the bus has just started for this very call must not say that a key is
    /// unknown. A module that hangs delays nobody once it has had its time.
    pub async fn loaded(&self) {
        let mut generations = self.generations();
        while !self.is_loaded() {
            let left = FIRST_LOAD.saturating_sub(self.begun.elapsed());
            let changed = tokio::time::timeout(left, generations.changed());
            if !matches!(changed.await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Counts snapshots.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Makes a new snapshot of what the modules last told, and returns its generation. May wait for another one that is
    /// just made: not for async code.
    pub fn refresh(&self) -> u64 {
        let mut build = lock(&self.build);
        build.generation = build.generation.saturating_add(1);
        let snapshot = build.snapshot(&self.modules());
        let generation = snapshot.generation;
        let loading = snapshot
            .modules
            .iter()
            .any(|m| m.status == ModuleStatus::Loading);
        let started = self.started.load(Ordering::Acquire);
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        if started && !loading {
            self.loaded.store(true, Ordering::Release);
        }
        self.generation.send_replace(generation);
        generation
    }
}

impl Build {
    fn snapshot(&mut self, modules: &[Arc<Module>]) -> Snapshot {
        let mut tokens: Vec<Arc<TokenState>> = Vec::new();
        let mut certificates = Vec::new();
        let mut seen = HashSet::new();
        for (module_index, module) in modules.iter().enumerate() {
            for info in module.tokens() {
                // two tokens of one label and serial cannot be told apart: the first is shown
                if tokens.iter().any(|t| t.info.id == info.id) {
                    continue;
                }
                let token = Arc::new(TokenState {
                    uri: uri::token_uri(&info),
                    module: module.clone(),
                    module_index,
                    info,
                });
                for found in module.certificates(&token.info.id) {
                    if let Some(own) = self.own(&token, found, &mut seen) {
                        certificates.push(Arc::new(own));
                    }
                }
                tokens.push(token);
            }
        }
        self.parsed.retain(|der, _| seen.contains(der));
        Snapshot {
            generation: self.generation,
            modules: modules
                .iter()
                .map(|module| ModuleState {
                    path: module.config().path.clone(),
                    status: module.status(),
                    info: module.info(),
                    unconfined: module.unconfined(),
                })
                .collect(),
            tokens,
            certificates: Arc::new(certificates),
        }
    }

    fn own(
        &mut self,
        token: &TokenState,
        found: privyseal_token::TokenCertificate,
        seen: &mut HashSet<Vec<u8>>,
    ) -> Option<OwnCertificate> {
        let parsed = self.parsed.entry(found.der.clone()).or_insert_with(|| {
            Certificate::from_der(&found.der)
                .inspect_err(|error| {
                    tracing::warn!(token = token.info.label, label = found.label, %error, "a certificate on a token is left out");
                })
                .ok()
        });
        let certificate = parsed.clone();
        seen.insert(found.der);
        let certificate = certificate?;
        Some(OwnCertificate {
            token: token.info.id.clone(),
            token_label: token.info.label.clone(),
            token_uri: token.uri.clone(),
            module: token.module.clone(),
            key: KeyRef {
                id: found.id,
                spki: certificate.spki_der(),
            },
            label: found.label,
            has_private_key: found.has_private_key,
            can_sign: found.has_private_key && found.can_sign && certificate.can_sign(),
            can_decrypt: found.has_private_key && found.can_decrypt && certificate.can_decrypt(),
            always_authenticate: found.always_authenticate,
            certificate,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
