//! `org.privyseal1.Manager`.

use std::collections::HashMap;
use std::sync::Arc;

use privyseal_proto::{Dict, Failure, VERSION, token_path};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{ObjectPath, OwnedObjectPath, Variant, interface};

use super::Service;
use crate::client::{self, sender};
use crate::unlock::token_failure;

pub struct Manager {
    service: Arc<Service>,
}

impl Manager {
    pub fn new(service: Arc<Service>) -> Self {
        Manager { service }
    }
}

#[interface(name = "org.privyseal1.Manager")]
impl Manager {
    async fn set_context(
        &self,
        context: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Failure> {
        let name = sender(&header)?;
        let uid = self.service.caller(&header).await?.peer.uid;
        let context = client::context(context, uid)?;
        tracing::debug!(
            op = "set-context",
            peer = name,
            application = context.client.application
        );
        self.service.clients.set_context(name, context);
        Ok(())
    }

    async fn rescan(&self, options: Dict) -> Result<(), Failure> {
        if let Some(name) = options.keys().next() {
            return Err(Failure::invalid(format!("unknown option {name:?}")));
        }
        let registry = self.service.registry.clone();
        let result = self
            .service
            .chore(move || {
                each(registry.modules().iter(), |module| {
                    module.rescan().map_err(token_failure)
                })
            })
            .await;
        self.service.settle().await;
        result
    }

    async fn lock_all(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Failure> {
        let caller = self.service.caller(&header).await?;
        tracing::info!(op = "lock-all", peer = caller.name);
        self.service
            .log_out_everywhere(Some(caller.peer), "asked to")
            .await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> u32 {
        VERSION
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn daemon_version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn features(&self) -> Vec<String> {
        [
            "sign",
            "verify",
            "encrypt",
            "decrypt",
            "compress",
            "decompress",
            "open",
            "receipts",
            "agents",
            "audit",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn loading(&self) -> bool {
        self.service.is_loading()
    }

    #[zbus(property)]
    pub async fn tokens(&self) -> Vec<OwnedObjectPath> {
        let snapshot = self.service.registry.snapshot();
        snapshot
            .tokens
            .iter()
            .map(|token| token_path(&token.info.id.0))
            .collect()
    }

    #[zbus(signal)]
    pub async fn token_added(
        emitter: &SignalEmitter<'_>,
        token: ObjectPath<'_>,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub async fn token_removed(
        emitter: &SignalEmitter<'_>,
        token: ObjectPath<'_>,
    ) -> zbus::Result<()>;
}

/// Does it to all, and gives the first failure.
pub(super) fn each<T>(
    all: impl Iterator<Item = T>,
    work: impl Fn(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut result = Ok(());
    for one in all {
        if let Err(error) = work(one) {
            tracing::info!(%error, "a module or token did not do as it was asked");
            result = result.and(Err(error));
        }
    }
    result
}
