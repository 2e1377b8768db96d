//! `privyseal status`

use privyseal_proto::ROOT_PATH;
use serde_json::Value;

use super::token;
use crate::bus::Bus;
use crate::error::Result;
use crate::exit::Exit;
use crate::json::{document, value_of};
use crate::objects::{Module, Token};
use crate::ui::{Cell, Paint, Ui, table};

/// Show the daemon, its modules and tokens
///
/// Starts the daemon where D-Bus can; exit code 6 when it cannot be reached.
#[derive(clap::Args, Debug)]
pub struct Args {}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let bus = Bus::connect().await?;
        let manager = bus
            .properties(ROOT_PATH.to_owned(), "org.privyseal1.Manager")
            .await?;
        let inventory = bus.inventory_now().await?;
        let property = |name: &str| {
            manager
                .get(name)
                .map_or(Value::Null, |value| value_of(value))
        };
        let version = property("DaemonVersion");
        let value = document(vec![
            ("daemon_version", version.clone()),
            ("interface_version", property("Version")),
            ("features", property("Features")),
            (
                "modules",
                inventory.modules.iter().map(Module::json).collect(),
            ),
            ("tokens", inventory.tokens.iter().map(Token::json).collect()),
        ]);
        let mut text = format!(
            "privyseald {} is running\n",
            version.as_str().unwrap_or("of an unknown version")
        );
        let modules = inventory.modules.iter().map(module_row).collect::<Vec<_>>();
        if modules.is_empty() {
            text.push_str("no PKCS#11 module is configured\n");
        } else {
            text.push('\n');
            text.push_str(&table(
                ui,
                &["MODULE", "STATUS", "LIBRARY", "ERROR"],
                modules,
            ));
        }
        let tokens: Vec<&Token> = inventory
            .tokens
            .iter()
            .filter(|token| token.is_initialized())
            .collect();
        if tokens.is_empty() {
            text.push_str("\nno token is present\n");
        } else {
            text.push('\n');
            text.push_str(&token::rows(&tokens, ui));
        }
        ui.result(&value, &text)?;
        Ok(Exit::Ok)
    }
}

fn module_row(module: &Module) -> Vec<Cell> {
    let paint = match module.status.as_str() {
        "ok" => Some(Paint::Green),
        "failed" | "quarantined" => Some(Paint::Red),
        _ => None,
    };
    vec![
        module.path.as_str().into(),
        Cell::painted(&module.status, paint),
        [module.description.as_str(), module.library_version.as_str()]
            .join(" ")
            .trim()
            .into(),
        module.last_error.as_str().into(),
    ]
}
