//! `privyseal man --dir DIR`, for packagers.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::{CommandError, Result};
use crate::exit::Exit;

/// Write a man page for each command into DIR
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder; made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        fs::create_dir_all(&self.dir)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.dir))
            .map_err(|e| {
                CommandError::local(format!("cannot write to {}", self.dir.display()), &e)
            })?;
        Ok(Exit::Ok)
    }
}
