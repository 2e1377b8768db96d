//! `privyseal`: the command line of Privyseal. It talks to privyseald over D-Bus and does no cryptography.

mod args;
mod bus;
mod commands;
mod error;
mod exit;
mod files;
mod inherited;
mod job;
mod json;
mod objects;
mod options;
mod pkcs11_uri;
mod select;
mod signals;
mod time;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::error::{CommandError, Result};
use crate::exit::Exit;
use crate::ui::{ColorChoice, Ui};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let ui = Ui::new(cli.json, cli.color);
    let code = match run(cli.command, &ui) {
        Ok(exit) => exit.code(),
        Err(error) => {
            ui.error(&error);
            error.exit()
        }
    };
    ExitCode::from(code)
}

fn run(command: Command, ui: &Ui) -> Result<Exit> {
    match command {
        Command::Config(args) => args.run(ui),
        Command::Completions(args) => args.run(ui),
        Command::Man(args) => args.run(),
        Command::Verify(args) => wait_for(args.run(ui)),
        Command::Encrypt(args) => wait_for(args.run(ui)),
        Command::Compress(args) => wait_for(args.run(ui)),
        Command::Decompress(args) => wait_for(args.run(ui)),
        // the descriptors of PINs before anything else is opened under their numbers
        Command::Sign(args) => {
            let pin = args.pin()?;
            wait_for(args.run(ui, pin))
        }
        Command::Decrypt(args) => {
            let pin = args.pin()?;
            wait_for(args.run(ui, pin))
        }
        Command::Mail(args) => {
            let pin = args.pin()?;
            wait_for(args.run(ui, pin))
        }
        Command::Receipt(args) => {
            let pin = args.pin()?;
            wait_for(args.run(ui, pin))
        }
        Command::Token(args) => {
            let pins = args.pins()?;
            wait_for(args.run(ui, pins))
        }
        Command::Cert(args) => wait_for(args.run(ui)),
        Command::Status(args) => wait_for(args.run(ui)),
        Command::Doctor(args) => wait_for(args.run(ui)),
        Command::Audit(args) => wait_for(args.run(ui)),
    }
}

fn wait_for(command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::local("cannot start", &e))?;
    let result = runtime.block_on(command);
    // a thread may still wait for the terminal
    runtime.shutdown_background();
    result
}

/// Wrong arguments, and also `--help` and `--version`, which clap reports as errors.
fn refuse(error: &clap::Error) -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    if error.use_stderr() && args.iter().any(|arg| arg == "--json") {
        let ui = Ui::new(true, ColorChoice::Never);
        if args::data_on_stdout(&args) {
            ui.keep_stdout_for_data();
        }
        let text = error.render().to_string();
        let message = text
            .trim_start_matches("error: ")
            .split("\n\n")
            .next()
            .unwrap_or(&text);
        ui.error(&CommandError::usage(message.trim()).hint("see `privyseal --help`"));
    } else {
        // a closed stdout is not worth a word
        let _ = error.print();
    }
    if error.use_stderr() {
        ExitCode::from(Exit::Usage.code())
    } else {
        ExitCode::SUCCESS
    }
}
