//! `privyseal cert …`: the certificates on present tokens.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::bus::Bus;
use crate::error::Result;
use crate::exit::Exit;
use crate::files::Atomic;
use crate::json::document;
use crate::objects::{Certificate, Inventory};
use crate::select;
use crate::time;
use crate::ui::{Cell, Paint, Ui, clean, table};

/// Look at certificates and export them
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXPORT: &str = "\
Examples:
  privyseal cert export alice@example.org --all -o alice.pem
  privyseal cert export sha256:0123456789abcdef";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the certificates on present tokens
    List,
    /// Show everything about the certificates that SELECTOR names
    Show {
        /// Address, sha256: and at least 8 hex digits, label, or pkcs11: URI
        #[arg(value_name = "SELECTOR")]
        selector: String,
    },
    /// Write a certificate as PEM
    #[command(after_help = EXPORT)]
    Export {
        /// Address, sha256: and at least 8 hex digits, label, or pkcs11: URI
        #[arg(value_name = "SELECTOR")]
        selector: String,

        /// Write to FILE; - or nothing: standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,

        /// All certificates that SELECTOR names, where it names several
        #[arg(long)]
        all: bool,
    },
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let bus = Bus::connect();
        match self.command {
            Command::List => list(&bus.await?.inventory().await?, ui),
            Command::Show { selector } => show(&bus.await?.inventory().await?, ui, &selector),
            Command::Export {
                selector,
                output,
                all,
            } => {
                let output = output.filter(|path| path.as_os_str() != "-");
                if output.is_none() {
                    ui.keep_stdout_for_data();
                }
                let inventory = bus.await?.inventory().await?;
                export(&inventory, ui, &selector, output, all)
            }
        }
    }
}

fn token_label<'i>(inventory: &'i Inventory, certificate: &Certificate) -> Option<&'i str> {
    inventory
        .token(&certificate.token)
        .map(|token| token.label.as_str())
}

fn list(inventory: &Inventory, ui: &Ui) -> Result<Exit> {
    let json = |c: &Certificate| c.json(token_label(inventory, c));
    let value = document(vec![(
        "certificates",
        inventory.certificates.iter().map(json).collect(),
    )]);
    if inventory.certificates.is_empty() {
        ui.note("no certificate on a token that is present");
        ui.result(&value, "")?;
        return Ok(Exit::Ok);
    }
    let now = time::now();
    let rows = inventory
        .certificates
        .iter()
        .map(|c| {
            let who = if c.emails.is_empty() {
                c.subject.clone()
            } else {
                c.emails.join(", ")
            };
            let ends = time::rfc3339(c.not_after);
            let expired = (c.not_after < now).then_some(Paint::Red);
            vec![
                who.into(),
                c.usages.join(", ").into(),
                c.key_type.as_str().into(),
                Cell::painted(ends.split('T').next().unwrap_or(&ends), expired),
                token_label(inventory, c).unwrap_or_default().into(),
                c.label.as_str().into(),
                select::short(c).into(),
            ]
        })
        .collect();
    let text = table(
        ui,
        &[
            "ADDRESS",
            "USE",
            "KEY",
            "EXPIRES",
            "TOKEN",
            "LABEL",
            "FINGERPRINT",
        ],
        rows,
    );
    ui.result(&value, &text)?;
    Ok(Exit::Ok)
}

fn show(inventory: &Inventory, ui: &Ui, selector: &str) -> Result<Exit> {
    let found = select::certificates(inventory, selector)?;
    let json = |c: &&Certificate| c.json_details(token_label(inventory, c));
    let value = document(vec![("certificates", found.iter().map(json).collect())]);
    let texts: Vec<String> = found.iter().map(|c| describe(inventory, c)).collect();
    ui.result(&value, &texts.join("\n"))?;
    Ok(Exit::Ok)
}

fn describe(inventory: &Inventory, c: &Certificate) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<16}{}\n", clean(value)));
        }
    };
    field("subject", &c.subject);
    field("addresses", &c.emails.join(", "));
    field("issuer", &c.issuer);
    field("serial", &c.serial);
    field("sha256", &format!("sha256:{}", c.sha256));
    let not_after = time::rfc3339(c.not_after);
    let ends = if c.not_after < time::now() {
        format!("{not_after} (expired)")
    } else {
        not_after
    };
    field(
        "valid",
        &format!("{} to {ends}", time::rfc3339(c.not_before)),
    );
    field("key", &c.key_type);
    field(
        "private key",
        if c.has_private_key {
            "on the token"
        } else {
            "not on the token"
        },
    );
    field("use", &c.usages.join(", "));
    field("key usage", &c.key_usage.join(", "));
    field("extended usage", &c.extended_key_usage.join(", "));
    field(
        "PIN",
        if c.always_authenticate {
            "asked for at every use"
        } else {
            ""
        },
    );
    field("trust", &c.trust);
    field("token", token_label(inventory, c).unwrap_or_default());
    field("label", &c.label);
    text
}

fn export(
    inventory: &Inventory,
    ui: &Ui,
    selector: &str,
    output: Option<PathBuf>,
    all: bool,
) -> Result<Exit> {
    let mut found = select::certificates(inventory, selector)?;
    if !all {
        found = vec![select::only(selector, &found)?];
    }
    let pem: String = found.iter().map(|c| c.pem()).collect();
    match output {
        Some(path) => Atomic::write(&path, pem.as_bytes())?,
        None => ui.data(&pem)?,
    }
    if ui.is_json() {
        let fingerprints: Vec<Value> = found
            .iter()
            .map(|c| json!(format!("sha256:{}", c.sha256)))
            .collect();
        ui.result(&document(vec![("certificates", fingerprints.into())]), "")?;
    }
    Ok(Exit::Ok)
}
