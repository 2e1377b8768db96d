//! `privyseal audit`: what private keys were used for.

use std::collections::HashMap;

use privyseal_proto::Dict;
use serde_json::{Value, json};
use zbus::Variant;

use super::texts;
use crate::bus::Bus;
use crate::error::Result;
use crate::exit::Exit;
use crate::json::{document, results, value_of};
use crate::select;
use crate::time;
use crate::ui::{Cell, Paint, Ui, clean, table};

/// Records that the daemon gives in one call.
const PAGE: u32 = 1000;

const AFTER: &str = "\
Each record holds the hash of the one before: `audit verify` finds records that were changed, moved or taken out, and ends with 3 then.
Whoever has your rights can write a whole new trail: keep the hash that `verify` tells elsewhere to notice that too.

Examples:
  privyseal audit --limit 20
  privyseal audit --since 2026-01-31T00:00:00Z --json
  privyseal audit verify";

/// Show what private keys were used for, by whom, and who agreed
///
/// The daemon records each signature, decryption, unlocking, locking and new PIN: which key, which program, how it ended. Never what
/// was signed or read.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Only records since TIME: RFC 3339 or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<i64>,

    /// Only records of one present token
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// At most N records, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Check that no record was changed, moved or taken out
    Verify,
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let bus = Bus::connect().await?;
        match self.command {
            Some(Command::Verify) => verify(&bus, ui).await,
            None => self.list(&bus, ui).await,
        }
    }

    async fn list(self, bus: &Bus, ui: &Ui) -> Result<Exit> {
        let mut options: HashMap<&str, Variant<'_>> = HashMap::new();
        if let Some(since) = self.since {
            options.insert("since", since.into());
        }
        if let Some(selector) = &self.token {
            let inventory = bus.inventory().await?;
            let token = select::token(&inventory, Some(selector))?;
            options.insert("token", token.id.clone().into());
        }
        let records = newest(bus, options, self.limit).await?;
        if records.is_empty() {
            ui.note("no record");
        }
        let rows = records.iter().map(row).collect();
        let text = table(
            ui,
            &["TIME", "KIND", "RESULT", "BY", "CONSENT", "KEY", "PURPOSE"],
            rows,
        );
        let value = document(vec![("records", records.iter().map(value).collect())]);
        ui.result(&value, if records.is_empty() { "" } else { &text })?;
        Ok(Exit::Ok)
    }
}

/// Page by page, from the end.
async fn newest(
    bus: &Bus,
    mut options: HashMap<&str, Variant<'_>>,
    limit: u32,
) -> Result<Vec<Dict>> {
    let audit = bus.audit().await?;
    let mut all: Vec<Dict> = Vec::new();
    let mut left = limit;
    loop {
        let page = left.min(PAGE);
        options.insert("limit", page.into());
        let mut records = audit.list(clone(&options)?).await?;
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        left = left.saturating_sub(count);
        let before = records.first().and_then(|r| r.get("seq")?.try_into().ok());
        records.append(&mut all);
        all = records;
        match before {
            Some(before) if count == page && left > 0 => {
                let before: u64 = before;
                options.insert("before", before.into());
            }
            _ => return Ok(all),
        }
    }
}

fn clone<'a>(options: &HashMap<&'a str, Variant<'a>>) -> Result<HashMap<&'a str, Variant<'a>>> {
    let copies = options
        .iter()
        .map(|(key, value)| Ok((*key, value.try_clone()?)));
    copies.collect()
}

fn value(record: &Dict) -> Value {
    let mut value = results(record);
    if let Value::Object(fields) = &mut value {
        fields.remove("schema");
    }
    value
}

fn row(record: &Dict) -> Vec<Cell> {
    let text = |key: &str| match record.get(key).map(|value| value_of(value)) {
        Some(Value::String(text)) => clean(&text),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let result = text("result");
    let paint = match result.as_str() {
        "ok" | "begun" | "ended" => None,
        _ => Some(Paint::Red),
    };
    let program = text("program");
    let program = program.rsplit('/').next().unwrap_or_default();
    let by = match (text("sandbox"), text("pid")) {
        (name, pid) if name.is_empty() && pid.is_empty() => "privyseald".to_owned(),
        (name, pid) if name.is_empty() => format!("{program} ({pid})"),
        (name, pid) => format!("{name} ({pid})"),
    };
    let certificate = text("certificate");
    let digits = certificate.trim_start_matches("sha256:");
    let key = digits.get(..8).unwrap_or_default();
    vec![
        text("time").into(),
        text("kind").into(),
        Cell::painted(&result, paint),
        by.into(),
        text("consent").into(),
        [text("token_label").as_str(), key].join(" ").trim().into(),
        text("purpose").into(),
    ]
}

async fn verify(bus: &Bus, ui: &Ui) -> Result<Exit> {
    let found = bus.audit().await?.verify().await?;
    let number = |key: &str| found.get(key).map_or(json!(0), |value| value_of(value));
    let problems = texts(&found, "problems");
    let mut text = String::new();
    for problem in &problems {
        text.push_str(&format!(
            "{} {}\n",
            ui.paint("broken:", Paint::Red),
            clean(problem)
        ));
    }
    for note in texts(&found, "notes") {
        text.push_str(&format!("note: {}\n", clean(&note)));
    }
    let verdict = match problems.is_empty() {
        true => ui.paint("the audit trail is whole", Paint::Green),
        false => ui.paint("the audit trail is not as it was written", Paint::Red),
    };
    text.push_str(&format!(
        "{verdict}: {} records, {} to {}\n",
        number("records"),
        number("first"),
        number("last")
    ));
    if let Some(hash) = found.get("hash").map(|hash| value_of(hash)) {
        text.push_str(&format!(
            "hash of the last: {}\n",
            hash.as_str().unwrap_or_default()
        ));
    }
    ui.result(&results(&found), &text)?;
    Ok(match problems.is_empty() {
        true => Exit::Ok,
        false => Exit::NotGood,
    })
}
