//! The connection to the daemon, and what it is told about who sits here.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use privyseal_proto::proxy::{AuditProxy, CmsProxy, JobProxy, MailProxy, ManagerProxy, TokenProxy};
use privyseal_proto::{BUS_NAME, OBJECTS_PATH};
use zbus::proxy::CacheProperties;
use zbus::{Connection, Fd, OwnedObjectPath, Variant, connection, fdo};

use crate::error::{CommandError, Result};
use crate::objects::Inventory;
use crate::ui::Ui;

/// For every call; D-Bus activation may take most of it. Jobs are waited for in shorter calls.
const CALL: Duration = Duration::from_secs(60);
/// Longest wait for the modules of a daemon that has just started; its own limit is shorter.
const LOADING: Duration = Duration::from_secs(12);
const LOOK_AGAIN: Duration = Duration::from_millis(30);

/// An open connection.
#[derive(Clone, Debug)]
pub struct Bus {
    connection: Connection,
}

impl Bus {
    pub async fn connect() -> Result<Self> {
        let connection = connection::Builder::session()
            .method_timeout(CALL)
            .build()
            .await
            .map_err(|e| CommandError::no_bus(&e))?;
        Ok(Bus { connection })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub async fn manager(&self) -> Result<ManagerProxy<'static>> {
        let builder = ManagerProxy::builder(&self.connection);
        Ok(builder
            .cache_properties(CacheProperties::No)
            .build()
            .await?)
    }

    pub async fn cms(&self) -> Result<CmsProxy<'static>> {
        Ok(CmsProxy::builder(&self.connection).build().await?)
    }

    pub async fn mail(&self) -> Result<MailProxy<'static>> {
        Ok(MailProxy::builder(&self.connection).build().await?)
    }

    pub async fn audit(&self) -> Result<AuditProxy<'static>> {
        Ok(AuditProxy::builder(&self.connection).build().await?)
    }

    pub async fn token(&self, path: String) -> Result<TokenProxy<'static>> {
        Ok(TokenProxy::builder(&self.connection)
            .path(path)
            .build()
            .await?)
    }

    pub async fn job(&self, path: OwnedObjectPath) -> Result<JobProxy<'static>> {
        let builder = JobProxy::builder(&self.connection).path(path);
        Ok(builder
            .cache_properties(CacheProperties::No)
            .build()
            .await?)
    }

    /// The properties of one interface of an object, in one call.
    pub async fn properties(
        &self,
        path: String,
        interface: &'static str,
    ) -> Result<HashMap<String, zbus::OwnedVariant>> {
        let proxy = fdo::PropertiesProxy::builder(&self.connection)
            .destination(BUS_NAME)
            .path(path)
            .build()
            .await?;
        let interface = zbus::names::InterfaceName::from_static_str(interface)?;
        proxy
            .get_all(interface)
            .await
            .map_err(|e| zbus::Error::from(e).into())
    }

    /// What is present. Where the daemon has just started, waits until its modules have been looked at.
    pub async fn inventory(&self) -> Result<Inventory> {
        let manager = self.manager().await?;
        let begun = tokio::time::Instant::now();
        loop {
            let inventory = self.inventory_now().await?;
            let incomplete = inventory.tokens.is_empty()
                || inventory.modules.iter().any(|m| m.status == "loading");
            if !incomplete || begun.elapsed() >= LOADING || !manager.loading().await? {
                // what came between the two questions is there now
                return if incomplete {
                    self.inventory_now().await
                } else {
                    Ok(inventory)
                };
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What the daemon shows at this moment.
    pub async fn inventory_now(&self) -> Result<Inventory> {
        let proxy = fdo::ObjectManagerProxy::builder(&self.connection)
            .destination(BUS_NAME)
            .path(OBJECTS_PATH)
            .build()
            .await?;
        let objects = proxy
            .get_managed_objects()
            .await
            .map_err(zbus::Error::from)?;
        Ok(Inventory::new(&objects))
    }

    /// Tells the daemon where a person can be asked. Gives whether one can be.
    pub async fn set_context(&self, batch: bool, ui: &Ui) -> Result<bool> {
        let mut context: HashMap<&str, Variant<'_>> = HashMap::new();
        for (key, names) in ENVIRONMENT {
            let value = names
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
            if let Some(value) = value {
                context.insert(key, value.into());
            }
        }
        let display = context.contains_key("display") || context.contains_key("wayland-display");
        let (stdin, stderr, stdout) = (std::io::stdin(), std::io::stderr(), std::io::stdout());
        let terminal = [stdin.as_fd(), stderr.as_fd(), stdout.as_fd()]
            .into_iter()
            .find_map(|fd| Some((fd, terminal_name(fd)?)));
        let interactive = !batch && (display || terminal.is_some());
        if let Some((fd, name)) = terminal {
            context.insert("tty", name.into());
            context.insert("tty-fd", Fd::from(fd).into());
        } else {
            context.remove("ttytype");
        }
        context.insert("application", "privyseal".into());
        context.insert("interactive", interactive.into());
        match self
            .manager()
            .await?
            .set_context(context)
            .await
            .map_err(CommandError::from)
        {
            Ok(()) => {}
            // an unlocked token needs no prompt: the call itself decides
            Err(error) if matches!(error.kind, crate::error::Kind::Named(_)) => {
                ui.warn(&format!("no prompt can be shown here: {error}"));
            }
            Err(error) => return Err(error),
        }
        Ok(interactive)
    }
}

/// Which variables say what; the first that is set and not empty counts.
const ENVIRONMENT: [(&str, &[&str]); 6] = [
    ("ttytype", &["TERM"]),
    ("display", &["DISPLAY"]),
    ("wayland-display", &["WAYLAND_DISPLAY"]),
    ("xauthority", &["XAUTHORITY"]),
    ("lc-ctype", &["LC_ALL", "LC_CTYPE", "LANG"]),
    ("lc-messages", &["LC_ALL", "LC_MESSAGES", "LANG"]),
];

fn terminal_name(fd: BorrowedFd<'_>) -> Option<String> {
    if !fd.is_terminal() {
        return None;
    }
    let name = rustix::termios::ttyname(fd, Vec::new()).ok()?;
    name.into_string().ok()
}
