//! `privyseald`: keeps mail keys in hardware and offers S/MIME on the session bus.

mod agent;
mod audit;
mod bus;
mod client;
mod config;
mod consent;
mod credential;
mod descriptor;
mod idle;
mod job;
mod lock;
mod log;
mod operation;
mod peer;
mod pinentry;
mod process;
mod registry;
mod run;
mod screen;
mod throttle;
mod turns;
mod unlock;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use privyseal_proto::{ErrorName, VERSION};

/// Keeps mail keys in hardware and offers S/MIME to mail clients on the session bus. Started by the bus when it is called;
/// configured by /etc/privyseal/privyseal.toml and ~/.config/privyseal/privyseal.toml; logs to stderr (RUST_LOG).
#[derive(Parser)]
#[command(name = "privyseald", version)]
struct Arguments {
    /// Only say whether the configuration (or FILE) is right, and what is wrong
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    check_config: Option<Option<PathBuf>>,
    /// With --check-config: one JSON object on stdout
    #[arg(long, requires = "check_config")]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(file) = arguments.check_config {
        return check_config(file, arguments.json);
    }
    process::harden();
    log::start();
    match run::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check_config(file: Option<PathBuf>, json: bool) -> ExitCode {
    let checked = config::check(file.as_deref());
    let (code, text) = match &checked {
        Ok(text) => (ExitCode::SUCCESS, text),
        Err(text) => (ExitCode::FAILURE, text),
    };
    if json {
        let object = match &checked {
            Ok(text) => serde_json::json!({"schema": VERSION, "valid": true, "message": text}),
            Err(text) => serde_json::json!({
                "schema": VERSION,
                "valid": false,
                "error": ErrorName::InvalidArgument.full(),
                "message": text,
                "hint": ErrorName::InvalidArgument.hint(),
            }),
        };
        println!("{object}");
    } else if checked.is_ok() {
        println!("{}", text.trim_end());
    } else {
        eprintln!("{}", text.trim_end());
    }
    code
}
