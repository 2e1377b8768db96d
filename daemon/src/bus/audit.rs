//! `org.privyseal1.Audit`: the audit trail, for reading. And the signal that announces each use of a key.

use std::collections::HashMap;
use std::sync::Arc;

use privyseal_proto::{Dict, ErrorName, Failure, certificate_path, token_path};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Variant, interface};

use super::token::TokenObject;
use super::{Service, unsent};
use crate::audit::{Entry, Query};
use crate::client;
use crate::operation::results::Results;
use crate::operation::rfc3339;

/// Records of one call.
const RECORDS_MAX: u32 = 1000;

pub struct Audit {
    service: Arc<Service>,
}

#[interface(name = "org.privyseal1.Audit")]
impl Audit {
    async fn list(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<Dict>, Failure> {
        self.check_reader(&header).await?;
        let query = query(options)?;
        let trail = self.service.unlocker.trail.clone();
        let records = self.service.chore(move || trail.list(&query)).await?;
        Ok(records.into_iter().map(record).collect())
    }

    async fn verify(&self, #[zbus(header)] header: Header<'_>) -> Result<Dict, Failure> {
        self.check_reader(&header).await?;
        let trail = self.service.unlocker.trail.clone();
        let found = self.service.chore(move || trail.verify()).await?;
        Ok(Results::new()
            .with("valid", found.problems.is_empty())
            .with("records", found.records)
            .with("first", found.first)
            .with("last", found.last)
            .with("hash", found.hash)
            .with("problems", found.problems)
            .with("notes", found.notes)
            .into_dict())
    }
}

impl Audit {
    pub fn new(service: Arc<Service>) -> Self {
        Audit { service }
    }

    /// What one program does is no other sandbox's business.
    async fn check_reader(&self, header: &Header<'_>) -> Result<(), Failure> {
        match &self.service.caller(header).await?.peer.sandbox {
            Some(name) => Err(Failure::new(
                ErrorName::NotAuthorized,
                format!("{name} is in a sandbox, and the audit trail tells of others"),
            )),
            None => Ok(()),
        }
    }
}

fn query(options: Dict) -> Result<Query, Failure> {
    let mut query = Query {
        limit: RECORDS_MAX as usize,
        before: u64::MAX,
        since: None,
        token: None,
    };
    for (key, value) in options {
        let mistyped = |wanted: &str| Failure::invalid(format!("{key:?} must be {wanted}"));
        match key.as_str() {
            "limit" => {
                let limit = u32::try_from(&value).ok();
                let limit = limit.filter(|n| (1..=RECORDS_MAX).contains(n));
                let limit = limit.and_then(|n| usize::try_from(n).ok());
                query.limit = limit.ok_or_else(|| mistyped("u, 1 to 1000"))?;
            }
            "before" => query.before = u64::try_from(&value).map_err(|_| mistyped("t"))?,
            "since" => {
                let since = i64::try_from(&value).map_err(|_| mistyped("x"))?;
                query.since = Some(rfc3339(u64::try_from(since).unwrap_or(0)));
            }
            "token" => query.token = Some(client::text(&key, &value)?),
            _ => return Err(Failure::invalid(format!("unknown option {key:?}"))),
        }
    }
    Ok(query)
}

/// By the same names as in the file. What is no text, number or truth was not written by us, and is left out.
fn record(fields: serde_json::Map<String, Value>) -> Dict {
    let fields = fields.into_iter();
    let all = fields.fold(Results::new(), |all, (key, value)| match value {
        Value::String(text) => all.with(&key, text),
        Value::Number(n) => all.with_some(&key, n.as_u64()),
        _ => all,
    });
    all.into_dict()
}

/// Tells everybody on the bus of each use of a key, for as long as the daemon runs.
pub async fn announce(service: Arc<Service>) {
    let mut entries = service.unlocker.trail.listen();
    loop {
        match entries.recv().await {
            Ok(entry) if entry.kind.is_use() => used(&service, &entry).await,
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "uses of keys were not announced: the bus is slow");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn used(service: &Service, entry: &Entry) {
    let (Some(connection), Some(token), Some(certificate)) =
        (service.connection.get(), &entry.token, &entry.certificate)
    else {
        return;
    };
    let Ok(emitter) = SignalEmitter::new(connection, token_path(token)) else {
        return;
    };
    let mut details: HashMap<&str, Variant<'_>> = HashMap::from([("result", entry.result.into())]);
    if let Some(purpose) = &entry.purpose {
        details.insert("purpose", purpose.into());
    }
    if let Some(peer) = &entry.peer {
        details.insert("peer", peer.name.as_str().into());
        if let Some(pid) = peer.pid {
            details.insert("pid", pid.into());
        }
        if let Some(program) = &peer.program {
            details.insert("program", program.into());
        }
        if let Some(sandbox) = &peer.sandbox {
            details.insert("sandbox", sandbox.into());
        }
    }
    let path = certificate_path(certificate.trim_start_matches("sha256:"));
    unsent(TokenObject::key_used(&emitter, path.into(), entry.kind.name(), details).await);
}
