//! `privyseal token watch`: what is present, then what changes.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use privyseal_proto::{BUS_NAME, Dict, OBJECTS_PATH, ROOT_PATH};
use serde_json::{Value, json};
use zbus::message::Type;
use zbus::names::BusName;
use zbus::{MatchRule, Message, MessageStream, fdo};

use super::token::state_paint;
use crate::bus::Bus;
use crate::error::{CommandError, Kind, Result};
use crate::exit::Exit;
use crate::json::{document, value_of};
use crate::objects::Token;
use crate::signals::Signals;
use crate::ui::{Ui, clean};

const INTERFACE: &str = "org.privyseal1.Token";

/// Runs until a signal, or until the daemon ends.
pub async fn watch(bus: &Bus, ui: &Ui) -> Result<Exit> {
    let mut signals = Signals::new()?;
    tokio::select! {
        result = follow(bus, ui) => result,
        error = signals.next() => match error.kind {
            // the way to end it
            Kind::Interrupted(_) => Ok(Exit::Ok),
            _ => Err(error),
        },
    }
}

async fn follow(bus: &Bus, ui: &Ui) -> Result<Exit> {
    // this also starts the daemon
    bus.inventory().await?;
    let dbus = fdo::DBusProxy::builder(bus.connection())
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let name = BusName::try_from(BUS_NAME)?;
    let mut owner_changes = dbus
        .receive_name_owner_changed_with_args(&[(0, BUS_NAME)])
        .await?;
    let owner = dbus.get_name_owner(name).await.map_err(zbus::Error::from)?;
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(owner)
        .path_namespace(ROOT_PATH)
        .build()?;
    let mut events = MessageStream::for_match_rule(rule, bus.connection(), None).await?;
    // listening already: nothing that happens from here on is missed
    let mut known = BTreeMap::new();
    for token in bus.inventory().await?.tokens {
        if !report(ui, "present", &token)? {
            return Ok(Exit::Ok);
        }
        known.insert(token.object.clone(), token);
    }
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(message) => if !handle(bus, ui, &mut known, &message?).await? {
                    return Ok(Exit::Ok);
                },
                None => return Err(gone()),
            },
            _ = owner_changes.next() => return Err(gone()),
        }
    }
}

/// False when nobody reads any more.
async fn handle(
    bus: &Bus,
    ui: &Ui,
    known: &mut BTreeMap<String, Token>,
    message: &Message,
) -> Result<bool> {
    let header = message.header();
    let path = header
        .path()
        .map(|path| path.as_str().to_owned())
        .unwrap_or_default();
    let object = match header.member().map(|member| member.as_str()) {
        Some("TokenAdded") => {
            let body = message.body();
            let (object, _): (zbus::ObjectPath<'_>, Dict) = body.deserialize()?;
            object.as_str().to_owned()
        }
        Some("TokenRemoved") => {
            let body = message.body();
            let object: zbus::ObjectPath<'_> = body.deserialize()?;
            return match known.remove(object.as_str()) {
                Some(token) => report(ui, "removed", &token),
                None => Ok(true),
            };
        }
        Some("KeyUsed") => {
            let body = message.body();
            let (certificate, kind, details): (zbus::ObjectPath<'_>, &str, Dict) =
                body.deserialize()?;
            let token = known.get(&path);
            return used(ui, token, certificate.as_str(), kind, &details);
        }
        Some("PropertiesChanged")
            if path.starts_with(OBJECTS_PATH) && known.contains_key(&path) =>
        {
            path
        }
        _ => return Ok(true),
    };
    // it may have gone again: then TokenRemoved follows
    let Ok(properties) = bus.properties(object.clone(), INTERFACE).await else {
        return Ok(true);
    };
    let token = Token::new(&object, &properties);
    match known.insert(object, token.clone()) {
        None => report(ui, "added", &token),
        Some(before) if before.json() != token.json() => report(ui, "changed", &token),
        Some(_) => Ok(true),
    }
}

/// One line at once: a script reads along.
fn report(ui: &Ui, event: &str, token: &Token) -> Result<bool> {
    let value = document(vec![("event", json!(event)), ("token", token.json())]);
    let state = match state_paint(&token.state) {
        Some(paint) => ui.paint(&token.state, paint),
        None => token.state.clone(),
    };
    let text = format!(
        "{event:<8} {}  {}  {}\n",
        state,
        clean(token.name()),
        clean(&token.id)
    );
    ui.stream(&value, &text)
}

/// A key was used. A token that came at this moment may not be known yet.
fn used(
    ui: &Ui,
    token: Option<&Token>,
    certificate: &str,
    kind: &str,
    details: &Dict,
) -> Result<bool> {
    let detail = |key: &str| {
        details
            .get(key)
            .map_or(Value::Null, |value| value_of(value))
    };
    let sha256 = certificate.rsplit('/').next().unwrap_or_default();
    let mut value = document(vec![
        ("event", json!("used")),
        ("kind", json!(kind)),
        ("certificate", json!(format!("sha256:{sha256}"))),
        ("token", token.map_or(Value::Null, Token::json)),
    ]);
    if let Value::Object(fields) = &mut value {
        for name in ["result", "purpose", "peer", "pid", "program", "sandbox"] {
            fields.insert(name.into(), detail(name));
        }
    }
    let word = |name: &str| clean(detail(name).as_str().unwrap_or_default());
    let text = format!(
        "{:<8} {}  {}  {}  {}\n",
        "used",
        kind,
        clean(token.map_or("", Token::name)),
        word("result"),
        word("program"),
    );
    ui.stream(&value, &text)
}

fn gone() -> CommandError {
    CommandError::new(Kind::Unreachable, "privyseald has ended")
        .hint("start the command again: that starts privyseald too")
}
