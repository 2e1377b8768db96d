//! `org.privyseal1.Token`.

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use privyseal_proto::{Dict, ErrorName, Failure, certificate_path, module_path, token_path};
use privyseal_token::{TokenId, TokenInfo};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedObjectPath, Variant, interface};

use super::objects::Shown;
use super::{Service, job, unsent};
use crate::client;
use crate::registry::{OwnCertificate, TokenState};
use crate::unlock::{NewPin, Request, Source, tries_left};

/// A token and the certificates on it.
pub struct TokenView {
    pub token: Arc<TokenState>,
    /// SHA-256, hex
    pub certificates: Vec<String>,
}

#[derive(Clone)]
pub struct TokenObject {
    pub state: Arc<Shown<TokenView>>,
    pub service: Arc<Service>,
}

#[interface(name = "org.privyseal1.Token")]
impl TokenObject {
    async fn unlock(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let caller = self.service.caller(&header).await?;
        let options = UnlockOptions::parse(options)?;
        if let Source::Agent = options.source {
            self.service.unlocker.agents.check(&caller.name)?;
        }
        let id = self.state.get().token.info.id.clone();
        let description = format!("Unlock {}", self.state.get().token.info.label);
        let handle_token = options.handle_token.as_deref();
        let running = self
            .service
            .jobs
            .begin(&caller.name, "unlock", description, handle_token)?;
        let key = match &options.key {
            Some(path) => Some(self.key(path)?),
            None => None,
        };
        if key.is_none() && self.service.registry.usable(&id) == Some(true) {
            return job::launch_done(&self.service, running).await;
        }
        let service = self.service.clone();
        job::launch(&self.service, running, move |job| {
            let request = Request {
                interactive: caller.interactive(options.interactive),
                caller: &caller,
                job,
                purpose: "unlock the token",
                pin: &Cell::new(None),
                keypad: &|token| keypad(&service, token),
                typed: &Cell::new(None),
            };
            match key {
                // of a locked token: the PIN that unlocks it is the one to be kept
                Some(own) if service.registry.usable(&id) == Some(true) => {
                    service.unlocker.keep_pin(&own, options.source, &request)?;
                }
                _ => service.unlocker.unlock(&id, options.source, &request)?,
            }
            // whoever waits for the job sees the token unlocked
            service.runtime.block_on(service.settle());
            Ok(Dict::new())
        })
        .await
    }

    async fn change_pin(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        self.set_pin(NewPin::Change, "change-pin", options, &header)
            .await
    }

    async fn unblock_pin(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        self.set_pin(NewPin::Unblock, "unblock-pin", options, &header)
            .await
    }

    async fn lock(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Failure> {
        let caller = self.service.caller(&header).await?;
        let token = self.state.get().token.clone();
        let service = self.service.clone();
        let work = move || {
            let peer = Some(&*caller.peer);
            service.lock_token(&token, peer, "asked to")
        };
        let result = self.service.chore(work).await;
        self.service.settle().await;
        result
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn label(&self) -> String {
        self.state.get().token.info.label.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn serial(&self) -> String {
        self.state.get().token.info.serial.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn manufacturer(&self) -> String {
        self.state.get().token.info.manufacturer.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn model(&self) -> String {
        self.state.get().token.info.model.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn uri(&self) -> String {
        self.state.get().token.uri.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn module(&self) -> OwnedObjectPath {
        module_path(self.state.get().token.module_index)
    }

    #[zbus(property)]
    pub async fn reader(&self) -> String {
        self.state.get().token.info.reader.clone()
    }

    #[zbus(property)]
    pub async fn state(&self) -> String {
        state(&self.state.get().token.info).to_owned()
    }

    #[zbus(property)]
    pub async fn login_required(&self) -> bool {
        self.state.get().token.info.login_required
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn protected_auth_path(&self) -> bool {
        self.state.get().token.info.protected_auth_path
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn pin_lengths(&self) -> (u32, u32) {
        let view = self.state.get();
        (view.token.info.pin_min, view.token.info.pin_max)
    }

    #[zbus(property)]
    pub async fn pin_flags(&self) -> Vec<String> {
        let view = self.state.get();
        let info = &view.token.info;
        [
            ("count-low", info.pin_count_low),
            ("final-try", info.pin_final_try),
            ("locked", info.pin_locked),
            ("to-be-changed", info.pin_to_be_changed),
        ]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(flag, _)| flag.to_owned())
        .collect()
    }

    #[zbus(property)]
    pub async fn tries_left(&self) -> i32 {
        let view = self.state.get();
        tries_left(view.token.info.pin_locked, view.token.info.pin_final_try)
    }

    #[zbus(property)]
    pub async fn certificates(&self) -> Vec<OwnedObjectPath> {
        let view = self.state.get();
        view.certificates
            .iter()
            .map(|sha256| certificate_path(sha256))
            .collect()
    }

    #[zbus(property)]
    pub async fn keys_without_certificate(&self) -> Vec<String> {
        self.state.get().token.info.lone_keys.clone()
    }

    #[zbus(property)]
    pub async fn mechanisms(&self) -> Vec<String> {
        self.state.get().token.info.mechanisms.clone()
    }

    /// 0: never
    #[zbus(property(emits_changed_signal = "false"))]
    async fn auto_lock_seconds(&self) -> u32 {
        self.service.unlocker.idle.lock_after()
    }

    /// The administrator's, for machines without a person.
    #[zbus(property(emits_changed_signal = "false"))]
    async fn stored_pin(&self) -> String {
        let id = &self.state.get().token.info.id;
        let stored = self.service.unlocker.credentials.look(id);
        stored.name().to_owned()
    }

    #[zbus(signal)]
    pub async fn key_used(
        emitter: &SignalEmitter<'_>,
        certificate: ObjectPath<'_>,
        kind: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn user_action_needed(
        emitter: &SignalEmitter<'_>,
        kind: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;
}

impl TokenObject {
    async fn set_pin(
        &self,
        which: NewPin,
        kind: &'static str,
        options: Dict,
        header: &Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let caller = self.service.caller(header).await?;
        let options = NewPinOptions::parse(options)?;
        let info = self.state.get().token.info.clone();
        let (description, purpose) = match which {
            NewPin::Change => ("Change the PIN of", "change the PIN"),
            NewPin::Unblock => ("Unblock the PIN of", "set a new PIN"),
        };
        let running = self.service.jobs.begin(
            &caller.name,
            kind,
            format!("{description} {}", info.label),
            options.handle_token.as_deref(),
        )?;
        let service = self.service.clone();
        job::launch(&self.service, running, move |job| {
            let request = Request {
                interactive: caller.interactive(options.interactive),
                caller: &caller,
                job,
                purpose,
                pin: &Cell::new(None),
                keypad: &|token| keypad(&service, token),
                typed: &Cell::new(None),
            };
            let set = service
                .unlocker
                .set_pin(&info.id, which, options.given, &request);
            service.runtime.block_on(service.settle());
            set.map(|()| Dict::new())
        })
        .await
    }

    /// The certificate of this token whose PIN is to be kept, if the configuration keeps any.
    fn key(&self, path: &str) -> Result<Arc<OwnCertificate>, Failure> {
        if self.service.environment().config.pin.batch().is_none() {
            return Err(Failure::new(
                ErrorName::PolicyDenied,
                "no PIN is kept for keys that want it at every use: [pin] batch-uses or batch-seconds allows it",
            ));
        }
        let id = self.state.get().token.info.id.clone();
        let all = self.service.registry.certificates();
        let is_it = |own: &&Arc<OwnCertificate>| {
            own.token == id && certificate_path(&own.certificate.sha256_hex()).as_str() == path
        };
        let own = all.iter().find(is_it).cloned();
        own.ok_or_else(|| Failure::invalid(format!("{path} is no certificate of this token")))
    }
}

/// The word of [`TokenObject::state`].
pub fn state(info: &TokenInfo) -> &'static str {
    match info {
        info if !info.initialized => "uninitialized",
        info if info.unlocked || !info.login_required => "unlocked",
        info if info.pin_locked => "pin-blocked",
        _ => "locked",
    }
}

/// Tells everybody that a person must type at a reader; from a job's thread.
pub fn keypad(service: &Arc<Service>, token: &TokenId) {
    let (service, path) = (service.clone(), token_path(&token.0));
    service.runtime.clone().spawn(async move {
        if let Some(connection) = service.connection.get()
            && let Ok(emitter) = SignalEmitter::new(connection, &path)
        {
            unsent(TokenObject::user_action_needed(&emitter, "pinpad", HashMap::new()).await);
        }
    });
}

struct UnlockOptions {
    source: Source,
    /// object path of a certificate
    key: Option<String>,
    handle_token: Option<String>,
    interactive: Option<bool>,
}

impl UnlockOptions {
    fn parse(options: Dict) -> Result<Self, Failure> {
        let (mut pin, mut source, mut handle_token, mut interactive) = (None, None, None, None);
        let mut path = None;
        for (key, value) in options {
            match key.as_str() {
                "pin-fd" => pin = Some(client::descriptor(&key, value)?),
                "source" => source = Some(client::text(&key, &value)?),
                "handle_token" => handle_token = Some(client::text(&key, &value)?),
                "interactive" => interactive = Some(client::flag(&key, &value)?),
                "key" => match &*value {
                    Variant::ObjectPath(object) => path = Some(object.to_string()),
                    _ => return Err(Failure::invalid("\"key\" must be of type o")),
                },
                _ => return Err(Failure::invalid(format!("unknown option {key:?}"))),
            }
        }
        let source = match (pin, source.as_deref()) {
            (Some(fd), None) => Source::Descriptor(fd),
            (Some(_), Some(_)) => {
                return Err(Failure::invalid("pin-fd and source exclude each other"));
            }
            (None, None) => Source::Any,
            (None, Some("pinentry")) => Source::Pinentry,
            (None, Some("pinpad")) => Source::PinPad,
            (None, Some("agent")) => Source::Agent,
            (None, Some(other)) => {
                return Err(Failure::invalid(format!(
                    "no source {other:?}: there are agent, pinentry, pinpad"
                )));
            }
        };
        Ok(UnlockOptions {
            source,
            key: path,
            handle_token,
            interactive,
        })
    }
}

struct NewPinOptions {
    /// the old PIN (or PUK) and the new one
    given: Option<(OwnedFd, OwnedFd)>,
    handle_token: Option<String>,
    interactive: Option<bool>,
}

impl NewPinOptions {
    fn parse(options: Dict) -> Result<Self, Failure> {
        let (mut old, mut new, mut handle_token, mut interactive) = (None, None, None, None);
        for (key, value) in options {
            match key.as_str() {
                "pin-fd" => old = Some(client::descriptor(&key, value)?),
                "new-pin-fd" => new = Some(client::descriptor(&key, value)?),
                "handle_token" => handle_token = Some(client::text(&key, &value)?),
                "interactive" => interactive = Some(client::flag(&key, &value)?),
                _ => return Err(Failure::invalid(format!("unknown option {key:?}"))),
            }
        }
        let given = match (old, new) {
            (Some(old), Some(new)) => Some((old, new)),
            (None, None) => None,
            _ => return Err(Failure::invalid("pin-fd and new-pin-fd go together")),
        };
        Ok(NewPinOptions {
            given,
            handle_token,
            interactive,
        })
    }
}
