//! `privyseal config check`: privyseald reads the configuration, so privyseald checks it. Needs no bus.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use clap::Subcommand;

use crate::error::{CommandError, Result};
use crate::exit::Exit;
use crate::ui::Ui;

const DAEMON: &str = "privyseald";

/// Check the configuration
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the configuration as privyseald does, and say what is wrong with it
    ///
    /// Exit code 0: nothing; 1: problems. Works without a bus and without a running daemon.
    Check {
        /// Check FILE instead of the user's and system's configuration
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

impl Args {
    pub fn run(self, ui: &Ui) -> Result<Exit> {
        let Command::Check { file } = self.command;
        let mut process = Process::new(daemon());
        process
            .arg("--check-config")
            .args(file)
            .stdin(Stdio::null());
        if ui.is_json() {
            process.arg("--json");
        }
        let status = process.status().map_err(|e| {
            CommandError::local(format!("cannot run {DAEMON}"), &e)
                .hint("install privyseald beside privyseal, or in PATH")
        })?;
        Ok(if status.success() {
            Exit::Ok
        } else {
            Exit::Failed
        })
    }
}

/// Beside this program, else in PATH.
pub fn daemon() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(DAEMON)))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| Path::new(DAEMON).to_owned())
}
