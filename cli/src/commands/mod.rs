//! The commands, one module each. A command has its arguments and `run`.

pub mod audit;
pub mod cert;
pub mod completions;
pub mod compress;
pub mod config;
pub mod decompress;
pub mod decrypt;
pub mod doctor;
pub mod encrypt;
mod ess;
pub mod mail;
pub mod man;
pub mod receipt;
pub mod sign;
pub mod status;
pub mod token;
mod token_watch;
mod verdict;
pub mod verify;

use privyseal_proto::Dict;

use crate::error::Result;
use crate::exit::Exit;
use crate::files::Finish;
use crate::json;
use crate::ui::Ui;

/// The end of the commands that turn one message into another: output in place, warnings shown; they are quiet otherwise.
async fn finish(ui: &Ui, output: Finish, results: &Dict) -> Result<Exit> {
    output.commit().await?;
    warn(ui, results);
    if ui.is_json() {
        ui.result(&json::results(results), "")?;
    }
    Ok(Exit::Ok)
}

/// What the daemon has to say beside the result.
fn warn(ui: &Ui, results: &Dict) {
    for warning in texts(results, "warnings") {
        ui.warn(&warning);
    }
}

fn texts(results: &Dict, name: &str) -> Vec<String> {
    match results.get(name).map(|value| json::value_of(value)) {
        Some(serde_json::Value::Array(items)) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}
