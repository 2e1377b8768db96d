//! Keeps the objects below `/org/privyseal1/objects` as the registry's snapshots say: adds and removes them, and tells of
//! changed properties.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use privyseal_proto::{ROOT_PATH, certificate_path, module_path, token_path};
use privyseal_token::TokenId;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, OwnedObjectPath, Variant};

use super::certificate::CertificateObject;
use super::key::KeyObject;
use super::manager::Manager;
use super::module::ModuleObject;
use super::token::{self, TokenObject, TokenView};
use super::{Service, unsent};
use crate::registry::{ModuleState, OwnCertificate, Snapshot};

/// What an object shows now; the object and its keeper share it.
pub struct Shown<T>(RwLock<Arc<T>>);

impl<T> Shown<T> {
    fn new(state: Arc<T>) -> Arc<Self> {
        Arc::new(Shown(RwLock::new(state)))
    }

    pub fn get(&self) -> Arc<T> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The state before.
    fn set(&self, state: Arc<T>) -> Arc<T> {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *shown, state)
    }
}

/// Follows the registry for as long as the daemon runs.
pub async fn follow(service: Arc<Service>, connection: Connection) {
    let registry = service.registry.clone();
    tokio::spawn(async move {
        loop {
            registry.stirred().await;
            let registry = registry.clone();
            // takes the locks of modules and parses certificates
            let _ = tokio::task::spawn_blocking(move || registry.refresh()).await;
        }
    });
    let mut generations = service.registry.generations();
    let mut keeper = Keeper {
        manager: Manager::new(service.clone()),
        service: service.clone(),
        connection,
        modules: Vec::new(),
        tokens: BTreeMap::new(),
        certificates: BTreeMap::new(),
        keys: HashSet::new(),
        blanks: HashSet::new(),
    };
    while generations.changed().await.is_ok() {
        generations.mark_unchanged();
        let snapshot = service.registry.snapshot();
        keeper.show(&snapshot).await;
        service.shown.send_replace(snapshot.generation);
    }
}

/// All objects that are on the bus.
struct Keeper {
    service: Arc<Service>,
    connection: Connection,
    manager: Manager,
    modules: Vec<ModuleObject>,
    tokens: BTreeMap<TokenId, TokenObject>,
    /// by SHA-256, hex: a certificate on two tokens is shown with the first
    certificates: BTreeMap<String, CertificateObject>,
    /// those of them that have `Key` as well
    keys: HashSet<String>,
    /// uninitialised tokens that TokenAdded told of: SoftHSM always has one, which may come and go with its worker
    blanks: HashSet<TokenId>,
}

impl Keeper {
    async fn show(&mut self, snapshot: &Snapshot) {
        let mut certificates: BTreeMap<String, Arc<OwnCertificate>> = BTreeMap::new();
        let mut of_token: HashMap<TokenId, Vec<String>> = HashMap::new();
        for own in snapshot.certificates.iter() {
            let sha256 = own.certificate.sha256_hex();
            let listed = of_token.entry(own.token.clone()).or_default();
            if !listed.contains(&sha256) {
                listed.push(sha256.clone());
            }
            certificates.entry(sha256).or_insert_with(|| own.clone());
        }
        let tokens: BTreeMap<TokenId, Arc<TokenView>> = snapshot
            .tokens
            .iter()
            .map(|state| {
                let view = TokenView {
                    token: state.clone(),
                    certificates: of_token.remove(&state.info.id).unwrap_or_default(),
                };
                (state.info.id.clone(), Arc::new(view))
            })
            .collect();
        let tokens_changed = !tokens.keys().eq(self.tokens.keys());

        self.remove_certificates(&certificates).await;
        let removed = self.remove_tokens(&tokens).await;
        self.show_modules(&snapshot.modules).await;
        let added = self.show_tokens(tokens).await;
        self.show_certificates(certificates).await;

        let Ok(emitter) = SignalEmitter::new(&self.connection, ROOT_PATH) else {
            return;
        };
        if tokens_changed {
            unsent(self.manager.tokens_changed(&emitter).await);
        }
        for path in removed {
            unsent(Manager::token_removed(&emitter, path.into()).await);
        }
        for view in added {
            let info = &view.token.info;
            let details: HashMap<&str, Variant<'_>> = [
                ("label", info.label.as_str()),
                ("serial", info.serial.as_str()),
                ("uri", view.token.uri.as_str()),
                ("state", token::state(info)),
            ]
            .map(|(key, text)| (key, Variant::from(text)))
            .into();
            let path = token_path(&info.id.0);
            unsent(Manager::token_added(&emitter, path.into(), details).await);
        }
    }

    async fn show_modules(&mut self, states: &[ModuleState]) {
        for (n, state) in states.iter().enumerate() {
            let path = module_path(n);
            let state = Arc::new(state.clone());
            let Some(object) = self.modules.get(n) else {
                let object = ModuleObject {
                    state: Shown::new(state),
                };
                self.add(&path, object.clone()).await;
                self.modules.push(object);
                continue;
            };
            let before = object.state.set(state.clone());
            let Ok(emitter) = SignalEmitter::new(&self.connection, &path) else {
                continue;
            };
            if before.status != state.status {
                unsent(object.status_changed(&emitter).await);
                unsent(object.last_error_changed(&emitter).await);
            }
            if before.info != state.info {
                unsent(object.description_changed(&emitter).await);
                unsent(object.manufacturer_changed(&emitter).await);
                unsent(object.library_version_changed(&emitter).await);
            }
        }
    }

    /// Gives those that are new, and are to be told of.
    async fn show_tokens(
        &mut self,
        tokens: BTreeMap<TokenId, Arc<TokenView>>,
    ) -> Vec<Arc<TokenView>> {
        let mut added = Vec::new();
        for (id, view) in tokens {
            let path = token_path(&id.0);
            let Some(object) = self.tokens.get(&id) else {
                let object = TokenObject {
                    state: Shown::new(view.clone()),
                    service: self.service.clone(),
                };
                self.add(&path, object.clone()).await;
                self.tokens.insert(id.clone(), object);
                if view.token.info.initialized || self.blanks.insert(id) {
                    added.push(view);
                }
                continue;
            };
            let before = object.state.set(view.clone());
            let Ok(emitter) = SignalEmitter::new(&self.connection, &path) else {
                continue;
            };
            let (was, is) = (&before.token.info, &view.token.info);
            if token::state(was) != token::state(is) {
                unsent(object.state_changed(&emitter).await);
            }
            let flags = |i: &privyseal_token::TokenInfo| {
                (
                    i.pin_count_low,
                    i.pin_final_try,
                    i.pin_locked,
                    i.pin_to_be_changed,
                )
            };
            if flags(was) != flags(is) {
                unsent(object.pin_flags_changed(&emitter).await);
                unsent(object.tries_left_changed(&emitter).await);
            }
            if was.login_required != is.login_required {
                unsent(object.login_required_changed(&emitter).await);
            }
            if was.reader != is.reader {
                unsent(object.reader_changed(&emitter).await);
            }
            if was.lone_keys != is.lone_keys {
                unsent(object.keys_without_certificate_changed(&emitter).await);
            }
            if was.mechanisms != is.mechanisms {
                unsent(object.mechanisms_changed(&emitter).await);
            }
            if before.certificates != view.certificates {
                unsent(object.certificates_changed(&emitter).await);
            }
        }
        added
    }

    async fn show_certificates(&mut self, certificates: BTreeMap<String, Arc<OwnCertificate>>) {
        for (sha256, own) in certificates {
            let path = certificate_path(&sha256);
            let Some(object) = self.certificates.get(&sha256) else {
                let object = CertificateObject {
                    state: Shown::new(own),
                    service: self.service.clone(),
                };
                self.add(&path, object.clone()).await;
                self.show_key(&sha256, &object.state).await;
                self.certificates.insert(sha256, object);
                continue;
            };
            let before = object.state.set(own.clone());
            let state = object.state.clone();
            self.show_key(&sha256, &state).await;
            let Some(object) = self.certificates.get(&sha256) else {
                continue;
            };
            let Ok(emitter) = SignalEmitter::new(&self.connection, &path) else {
                continue;
            };
            if before.token != own.token {
                unsent(object.token_changed(&emitter).await);
            }
            if before.has_private_key != own.has_private_key {
                unsent(object.has_private_key_changed(&emitter).await);
            }
            if (before.can_sign, before.can_decrypt) != (own.can_sign, own.can_decrypt) {
                unsent(object.usages_changed(&emitter).await);
            }
            if before.always_authenticate != own.always_authenticate {
                unsent(object.always_authenticate_changed(&emitter).await);
            }
            if before.label != own.label {
                unsent(object.label_changed(&emitter).await);
            }
        }
    }

    /// Raw operations, where the configuration allows any and there is a key.
    async fn show_key(&mut self, sha256: &str, state: &Arc<Shown<OwnCertificate>>) {
        let allowed = self.service.environment().config.key_interface;
        let wanted = allowed.is_there() && state.get().has_private_key;
        let path = certificate_path(sha256);
        match (wanted, self.keys.contains(sha256)) {
            (true, false) => {
                let object = KeyObject {
                    state: state.clone(),
                    service: self.service.clone(),
                };
                self.add(&path, object).await;
                self.keys.insert(sha256.to_owned());
            }
            (false, true) => {
                self.keys.remove(sha256);
                self.remove::<KeyObject>(&path).await;
            }
            _ => {}
        }
    }

    async fn remove_certificates(&mut self, present: &BTreeMap<String, Arc<OwnCertificate>>) {
        let gone: Vec<String> = missing(&self.certificates, present);
        for sha256 in gone {
            let path = certificate_path(&sha256);
            self.certificates.remove(&sha256);
            self.remove::<CertificateObject>(&path).await;
            if self.keys.remove(&sha256) {
                self.remove::<KeyObject>(&path).await;
            }
        }
    }

    /// Gives the paths of those that TokenRemoved is to tell of.
    async fn remove_tokens(
        &mut self,
        present: &BTreeMap<TokenId, Arc<TokenView>>,
    ) -> Vec<OwnedObjectPath> {
        let mut told = Vec::new();
        for id in missing(&self.tokens, present) {
            let path = token_path(&id.0);
            self.tokens.remove(&id);
            self.service.unlocker.consents.forget_token(&id);
            self.remove::<TokenObject>(&path).await;
            if !self.blanks.contains(&id) {
                told.push(path);
            }
        }
        told
    }

    async fn add(&self, path: &OwnedObjectPath, object: impl Interface) {
        if let Err(error) = self.connection.object_server().at(path, object).await {
            tracing::warn!(path = path.as_str(), %error, "an object is not on the bus");
        }
    }

    async fn remove<I: Interface>(&self, path: &OwnedObjectPath) {
        if let Err(error) = self.connection.object_server().remove::<I, _>(path).await {
            tracing::warn!(path = path.as_str(), %error, "an object is still on the bus");
        }
    }
}

fn missing<K: Ord + Clone, A, B>(shown: &BTreeMap<K, A>, present: &BTreeMap<K, B>) -> Vec<K> {
    shown
        .keys()
        .filter(|key| !present.contains_key(key))
        .cloned()
        .collect()
}
