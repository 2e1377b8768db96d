//! When the screen is locked, so are the tokens: systemd-logind says so, and the desktops' own screen savers do.
//!
//! Anybody on the session bus can say it; anybody there may lock tokens anyway.

use std::sync::Arc;

use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::message::Type;
use zbus::names::InterfaceName;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, fdo};

use crate::bus::Service;

const LOGIND: &str = "org.freedesktop.login1";
const SESSION: &str = "org.freedesktop.login1.Session";

/// Follows both, for as long as their buses are there.
pub async fn follow(service: Arc<Service>, session_bus: Connection) {
    let logind = async {
        if let Err(error) = follow_logind(&service).await {
            tracing::debug!(%error, "systemd-logind is not followed");
        }
    };
    let savers = async {
        if let Err(error) = follow_savers(&service, &session_bus).await {
            tracing::debug!(%error, "screen savers are not followed");
        }
    };
    tokio::join!(logind, savers);
}

/// The signal Lock of a session of this user (org.freedesktop.login1(5)).
async fn follow_logind(service: &Arc<Service>) -> zbus::Result<()> {
    let bus = Connection::system().await?;
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(LOGIND)
        .interface(SESSION)
        .member("Lock")
        .build()?;
    let mut locks = MessageStream::for_match_rule(rule, &bus, None).await?;
    while let Some(message) = locks.next().await {
        let message = message?;
        let session = message.header().path().map(|path| path.to_owned());
        let Some(session) = session else { continue };
        let user = user_of(&bus, session.into()).await;
        // in doubt it is ours
        if user.is_err() || user == Ok(rustix::process::geteuid().as_raw()) {
            service.lock_all("the screen was locked").await;
        }
    }
    Ok(())
}

async fn user_of(bus: &Connection, session: OwnedObjectPath) -> zbus::Result<u32> {
    let properties = fdo::PropertiesProxy::builder(bus)
        .destination(LOGIND)
        .path(session)
        .build()
        .await?;
    let user: OwnedVariant = properties
        .get(InterfaceName::from_static_str(SESSION)?, "User")
        .await?;
    let (user, _): (u32, OwnedObjectPath) = user.try_into()?;
    Ok(user)
}

/// The signal ActiveChanged(true) of org.freedesktop.ScreenSaver, org.gnome.ScreenSaver and their like.
async fn follow_savers(service: &Arc<Service>, bus: &Connection) -> zbus::Result<()> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .member("ActiveChanged")
        .build()?;
    let mut changes = MessageStream::for_match_rule(rule, bus, None).await?;
    while let Some(message) = changes.next().await {
        let message = message?;
        let header = message.header();
        let saver = header
            .interface()
            .is_some_and(|interface| interface.as_str().ends_with(".ScreenSaver"));
        if saver && message.body().deserialize::<bool>().unwrap_or(false) {
            service.lock_all("the screen saver is on").await;
        }
    }
    Ok(())
}
