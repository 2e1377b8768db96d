//! `privyseal token …`

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use clap::Subcommand;
use privyseal_proto::ErrorName;
use serde_json::json;
use zbus::proxy::MethodFlags;
use zbus::{OwnedObjectPath, Variant};

use super::token_watch;
use crate::args::Prompting;
use crate::bus::Bus;
use crate::error::{CommandError, Kind, Result};
use crate::exit::Exit;
use crate::files::Trouble;
use crate::inherited;
use crate::job;
use crate::json::document;
use crate::objects::Token;
use crate::select;
use crate::signals::Signals;
use crate::ui::{Cell, Paint, Ui, clean, table};

/// Look at tokens, unlock and lock them
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const UNLOCK: &str = "\
A token that is unlocked already stays so: exit code 0, and no PIN is sent.

Examples:
  privyseal token unlock
  privyseal token unlock my-card
  privyseal token unlock my-card --pin-fd 3 3< <(pass show card)";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tokens that are present
    List {
        /// Also uninitialised ones
        #[arg(long)]
        all: bool,
    },
    /// Show everything about one token
    Show {
        /// Label, serial, id or pkcs11: URI
        #[arg(value_name = "TOKEN")]
        token: Option<String>,
    },
    /// Unlock a token: its PIN is asked for at a prompt
    #[command(after_help = UNLOCK)]
    Unlock {
        /// Label, serial, id or pkcs11: URI; may be left out when there is one token
        #[arg(value_name = "TOKEN")]
        token: Option<String>,

        /// Read the PIN from descriptor N (a pipe), up to the end of the line
        #[arg(long, value_name = "N")]
        pin_fd: Option<u32>,

        #[command(flatten)]
        prompting: Prompting,
    },
    /// Lock a token, or all of them
    Lock {
        /// Label, serial, id or pkcs11: URI; left out: all tokens
        #[arg(value_name = "TOKEN", conflicts_with = "all")]
        token: Option<String>,

        /// All tokens
        #[arg(long)]
        all: bool,
    },
    /// Look for modules and tokens again
    Rescan,
    /// Print what is present, then a line for every token that comes, goes or changes, until Ctrl-C
    Watch,
}

impl Args {
    /// The descriptor of `--pin-fd`.
    pub fn pin(&self) -> Result<Option<OwnedFd>> {
        match self.command {
            Command::Unlock {
                pin_fd: Some(number),
                ..
            } => inherited::descriptor(number).map(Some),
            _ => Ok(None),
        }
    }

    pub async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        let bus = Bus::connect().await?;
        match self.command {
            Command::List { all } => list(&bus, ui, all).await,
            Command::Show { token } => show(&bus, ui, token.as_deref()).await,
            Command::Unlock {
                token, prompting, ..
            } => unlock(&bus, ui, token.as_deref(), pin, prompting.batch).await,
            Command::Lock { token, .. } => lock(&bus, ui, token.as_deref()).await,
            Command::Rescan => {
                bus.manager().await?.rescan(HashMap::new()).await?;
                ui.result(&document(vec![]), "")?;
                Ok(Exit::Ok)
            }
            Command::Watch => token_watch::watch(&bus, ui).await,
        }
    }
}

async fn list(bus: &Bus, ui: &Ui, all: bool) -> Result<Exit> {
    let inventory = bus.inventory().await?;
    let tokens: Vec<&Token> = inventory
        .tokens
        .iter()
        .filter(|token| all || token.is_initialized())
        .collect();
    let value = document(vec![(
        "tokens",
        tokens.iter().map(|token| token.json()).collect(),
    )]);
    if tokens.is_empty() {
        ui.note("no token is present");
        ui.result(&value, "")?;
        return Ok(Exit::Ok);
    }
    ui.result(&value, &rows(&tokens, ui))?;
    Ok(Exit::Ok)
}

/// As a table, also for `status`.
pub fn rows(tokens: &[&Token], ui: &Ui) -> String {
    let rows = tokens
        .iter()
        .map(|token| {
            vec![
                token.label.as_str().into(),
                Cell::painted(&token.state, state_paint(&token.state)),
                token
                    .tries_left
                    .map_or_else(String::new, |n| n.to_string())
                    .into(),
                token.serial.as_str().into(),
                [token.manufacturer.as_str(), token.model.as_str()]
                    .join(" ")
                    .trim()
                    .into(),
                token.id.as_str().into(),
            ]
        })
        .collect();
    table(
        ui,
        &["LABEL", "STATE", "TRIES", "SERIAL", "MODEL", "ID"],
        rows,
    )
}

pub fn state_paint(state: &str) -> Option<Paint> {
    match state {
        "unlocked" => Some(Paint::Green),
        "pin-blocked" | "error" => Some(Paint::Red),
        _ => None,
    }
}

async fn show(bus: &Bus, ui: &Ui, selector: Option<&str>) -> Result<Exit> {
    let inventory = bus.inventory().await?;
    let token = select::token(&inventory, selector)?;
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<14}{}\n", clean(value)));
        }
    };
    field("label", &token.label);
    field("state", &token.state);
    field("serial", &token.serial);
    field("id", &token.id);
    field("uri", &token.uri);
    field("manufacturer", &token.manufacturer);
    field("model", &token.model);
    field("reader", &token.reader);
    field(
        "tries left",
        &token.tries_left.map_or_else(String::new, |n| n.to_string()),
    );
    field("PIN", &token.pin_flags.join(", "));
    let entry = match (token.login_required, token.protected_auth_path) {
        (false, _) => "not needed",
        (true, true) => "on the reader's keypad",
        (true, false) => "at a prompt",
    };
    field("PIN entry", entry);
    if token.auto_lock_seconds > 0 {
        field("locks after", &format!("{} s", token.auto_lock_seconds));
    }
    field("certificates", &token.certificates.to_string());
    field("mechanisms", &token.mechanisms.join(" "));
    ui.result(&document(vec![("token", token.json_details())]), &text)?;
    Ok(Exit::Ok)
}

async fn unlock(
    bus: &Bus,
    ui: &Ui,
    selector: Option<&str>,
    pin: Option<OwnedFd>,
    batch: bool,
) -> Result<Exit> {
    let inventory = bus.inventory().await?;
    let token = select::token(&inventory, selector)?;
    let mut options: HashMap<&str, Variant<'_>> = HashMap::new();
    let mut flags = MethodFlags::empty();
    match pin {
        Some(fd) => {
            options.insert("pin-fd", zbus::Fd::from(fd).into());
        }
        None if bus.set_context(batch, ui).await? => flags = MethodFlags::ALLOW_INTERACTIVE_AUTH,
        None => {}
    }
    let proxy = bus.token(token.object.clone()).await?;
    let call = async {
        let path: Option<OwnedObjectPath> = proxy
            .inner()
            .call_with_flags("Unlock", flags, &(options,))
            .await?;
        path.ok_or(zbus::Error::InvalidReply)
    };
    let mut signals = Signals::new()?;
    let mut trouble = Trouble::new();
    job::run(bus, ui, &mut signals, &mut trouble, call)
        .await
        .map_err(|error| match error.kind {
            // the usual hint, to unlock the token, is what was just tried
            Kind::Named(ErrorName::PinRequired) => error.hint(
                "run it on a terminal or desktop with a pinentry program installed, or pass the PIN by --pin-fd",
            ),
            _ => error,
        })?;
    let value = document(vec![
        ("token", json!(token.id)),
        ("state", json!("unlocked")),
    ]);
    let name = ui.paint(&clean(token.name()), Paint::Bold);
    ui.result(&value, &format!("{name} is unlocked\n"))?;
    Ok(Exit::Ok)
}

async fn lock(bus: &Bus, ui: &Ui, selector: Option<&str>) -> Result<Exit> {
    let Some(selector) = selector else {
        bus.manager().await?.lock_all().await?;
        ui.result(
            &document(vec![("state", json!("locked"))]),
            "all tokens are locked\n",
        )?;
        return Ok(Exit::Ok);
    };
    let inventory = bus.inventory().await?;
    let token = select::token(&inventory, Some(selector))?;
    bus.token(token.object.clone())
        .await?
        .lock()
        .await
        .map_err(CommandError::from)?;
    let value = document(vec![("token", json!(token.id)), ("state", json!("locked"))]);
    let name = ui.paint(&clean(token.name()), Paint::Bold);
    ui.result(&value, &format!("{name} is locked\n"))?;
    Ok(Exit::Ok)
}
