//! `privyseal token …`

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use clap::Subcommand;
use privyseal_proto::{ErrorName, certificate_path};
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

const CHANGE: &str = "\
The token is locked afterwards. A wrong old PIN costs one of its tries.

Examples:
  privyseal token change-pin
  privyseal token change-pin my-card --pin-fd 3 --new-pin-fd 4 3< <(pass show old) 4< <(pass show new)";

const UNBLOCK: &str = "\
The PUK of a card, or the SO PIN (security officer's) of another token. A wrong one costs one of its tries: a card whose PUK is
blocked too is lost. The token is locked afterwards.

Examples:
  privyseal token unblock
  privyseal token unblock my-card --pin-fd 3 --new-pin-fd 4 3< <(pass show puk) 4< <(pass show new)";

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

        /// Have the PIN kept for a key that wants it at every use, as far as the daemon's configuration ([pin] batch-uses,
        /// batch-seconds) allows: an address, sha256: fingerprint or pkcs11: URI of its certificate
        #[arg(long, value_name = "SELECTOR")]
        key: Option<String>,

        #[command(flatten)]
        prompting: Prompting,
    },
    /// Change a token's PIN: the old and the new one are asked for at a prompt
    #[command(after_help = CHANGE)]
    ChangePin {
        /// Label, serial, id or pkcs11: URI; may be left out when there is one token
        #[arg(value_name = "TOKEN")]
        token: Option<String>,

        /// Read the old PIN from descriptor N (a pipe), up to the end of the line
        #[arg(long, value_name = "N", requires = "new_pin_fd")]
        pin_fd: Option<u32>,

        /// Read the new PIN from descriptor N
        #[arg(long, value_name = "N", requires = "pin_fd")]
        new_pin_fd: Option<u32>,

        #[command(flatten)]
        prompting: Prompting,
    },
    /// Give a token a new PIN by its PUK or SO PIN, also when the PIN is blocked
    #[command(after_help = UNBLOCK)]
    Unblock {
        /// Label, serial, id or pkcs11: URI; may be left out when there is one token
        #[arg(value_name = "TOKEN")]
        token: Option<String>,

        /// Read the PUK or SO PIN from descriptor N (a pipe), up to the end of the line
        #[arg(
            long,
            value_name = "N",
            visible_alias = "puk-fd",
            requires = "new_pin_fd"
        )]
        pin_fd: Option<u32>,

        /// Read the new PIN from descriptor N
        #[arg(long, value_name = "N", requires = "pin_fd")]
        new_pin_fd: Option<u32>,

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

/// The descriptors of `--pin-fd` and `--new-pin-fd`.
#[derive(Debug, Default)]
pub struct Pins {
    pin: Option<OwnedFd>,
    new: Option<OwnedFd>,
}

impl Args {
    /// Call it before anything is opened.
    pub fn pins(&self) -> Result<Pins> {
        let (pin, new) = match self.command {
            Command::Unlock { pin_fd, .. } => (pin_fd, None),
            Command::ChangePin {
                pin_fd, new_pin_fd, ..
            }
            | Command::Unblock {
                pin_fd, new_pin_fd, ..
            } => (pin_fd, new_pin_fd),
            _ => (None, None),
        };
        if pin.is_some() && pin == new {
            return Err(CommandError::usage("both PINs from one descriptor")
                .hint("give each its own: --pin-fd 3 --new-pin-fd 4"));
        }
        Ok(Pins {
            pin: pin.map(inherited::descriptor).transpose()?,
            new: new.map(inherited::descriptor).transpose()?,
        })
    }

    pub async fn run(self, ui: &Ui, pins: Pins) -> Result<Exit> {
        let bus = Bus::connect().await?;
        match self.command {
            Command::List { all } => list(&bus, ui, all).await,
            Command::Show { token } => show(&bus, ui, token.as_deref()).await,
            Command::Unlock {
                token,
                prompting,
                key,
                ..
            } => {
                let work = Work {
                    method: "Unlock",
                    state: "unlocked",
                    done: "is unlocked",
                    key: key.as_deref(),
                };
                work.run(&bus, ui, token.as_deref(), pins, prompting.batch)
                    .await
            }
            Command::ChangePin {
                token, prompting, ..
            } => {
                Work::new_pin("ChangePin")
                    .run(&bus, ui, token.as_deref(), pins, prompting.batch)
                    .await
            }
            Command::Unblock {
                token, prompting, ..
            } => {
                Work::new_pin("UnblockPin")
                    .run(&bus, ui, token.as_deref(), pins, prompting.batch)
                    .await
            }
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
    field("tries left", tries(token));
    field("PIN", &token.pin_flags.join(", "));
    let entry = match (token.login_required, token.protected_auth_path) {
        (false, _) => "not needed",
        (true, true) => "on the reader's keypad",
        (true, false) => "at a prompt",
    };
    field("PIN entry", entry);
    field("stored PIN", &stored_pin(token));
    if token.auto_lock_seconds > 0 {
        field("locks after", &format!("{} s", token.auto_lock_seconds));
    }
    field("certificates", &token.certificates.to_string());
    field("mechanisms", &token.mechanisms.join(" "));
    ui.result(&document(vec![("token", token.json_details())]), &text)?;
    Ok(Exit::Ok)
}

/// What is known of the PIN's counter; tokens tell little.
fn tries(token: &Token) -> &'static str {
    let count_low = token.pin_flags.iter().any(|flag| flag == "count-low");
    match token.tries_left {
        Some(0) => "none: the PIN is blocked; `privyseal token unblock` gives a new one",
        Some(1) => "one: a wrong PIN now blocks the token",
        Some(_) => "more than one",
        None if count_low => "fewer than all: a wrong PIN was tried",
        None if token.login_required => "not told by the token",
        None => "",
    }
}

/// Of the administrator's, for machines without a person.
fn stored_pin(token: &Token) -> String {
    let credential = format!("the systemd credential pin.{}", token.id);
    match token.stored_pin.as_str() {
        "ready" => format!("{credential} unlocks it when a key is needed"),
        "refused" => format!(
            "{credential} did not unlock it, and is not tried again: replace it and restart the service"
        ),
        "unusable" => format!("{credential} is not a small file of ours"),
        _ => String::new(),
    }
}

/// A job that wants PINs.
struct Work<'a> {
    method: &'static str,
    /// of the token afterwards
    state: &'static str,
    done: &'static str,
    key: Option<&'a str>,
}

impl Work<'_> {
    fn new_pin(method: &'static str) -> Self {
        Work {
            method,
            state: "locked",
            done: "has a new PIN, and is locked",
            key: None,
        }
    }

    async fn run(
        self,
        bus: &Bus,
        ui: &Ui,
        selector: Option<&str>,
        pins: Pins,
        batch: bool,
    ) -> Result<Exit> {
        let inventory = bus.inventory().await?;
        let token = select::token(&inventory, selector)?;
        let mut options: HashMap<&str, Variant<'_>> = HashMap::new();
        let mut flags = MethodFlags::empty();
        if let Some(selector) = self.key {
            let found = select::certificates(&inventory, selector)?;
            let on_token: Vec<_> = found
                .into_iter()
                .filter(|c| c.token == token.object)
                .collect();
            if on_token.is_empty() {
                return Err(CommandError::named(
                    ErrorName::NoSuchCertificate,
                    format!("no certificate {selector} on this token"),
                ));
            }
            let certificate = select::only(selector, &on_token)?;
            options.insert("key", certificate_path(&certificate.sha256).into());
        }
        match pins.pin {
            Some(fd) => {
                options.insert("pin-fd", zbus::Fd::from(fd).into());
            }
            None if bus.set_context(batch, ui).await? => {
                flags = MethodFlags::ALLOW_INTERACTIVE_AUTH
            }
            None => {}
        }
        if let Some(fd) = pins.new {
            options.insert("new-pin-fd", zbus::Fd::from(fd).into());
        }
        let proxy = bus.token(token.object.clone()).await?;
        let call = async {
            let path: Option<OwnedObjectPath> = proxy
                .inner()
                .call_with_flags(self.method, flags, &(options,))
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
            ("state", json!(self.state)),
        ]);
        let name = ui.paint(&clean(token.name()), Paint::Bold);
        ui.result(&value, &format!("{name} {}\n", self.done))?;
        Ok(Exit::Ok)
    }
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
