//! `org.privyseal1.AgentManager`.

use std::sync::Arc;

use privyseal_proto::{Dict, Failure};
use zbus::message::Header;
use zbus::names::BusName;
use zbus::{Connection, OwnedObjectPath, fdo, interface};

use super::Service;
use crate::agent::Capability;
use crate::client::sender;

pub struct AgentManager {
    service: Arc<Service>,
}

#[interface(name = "org.privyseal1.AgentManager")]
impl AgentManager {
    async fn register_agent(
        &self,
        agent: OwnedObjectPath,
        capability: String,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Failure> {
        let name = sender(&header)?;
        let capability = Capability::parse(&capability)?;
        if let Some(option) = options.keys().next() {
            return Err(Failure::invalid(format!("unknown option {option:?}")));
        }
        let agents = &self.service.unlocker.agents;
        agents.register(name, agent, capability)?;
        tracing::debug!(op = "register-agent", peer = name, ?capability);
        // after it was registered: one whose connection has left since will not be told of again
        if !is_here(connection, name).await.unwrap_or(true) {
            agents.depart(name);
        }
        Ok(())
    }

    async fn unregister_agent(
        &self,
        agent: OwnedObjectPath,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Failure> {
        let agents = &self.service.unlocker.agents;
        agents.unregister(sender(&header)?, agent.as_str())
    }
}

impl AgentManager {
    pub fn new(service: Arc<Service>) -> Self {
        AgentManager { service }
    }
}

async fn is_here(connection: &Connection, name: &str) -> fdo::Result<bool> {
    let bus = fdo::DBusProxy::new(connection).await?;
    bus.name_has_owner(BusName::try_from(name)?).await
}
