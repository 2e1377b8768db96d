//! `privyseal completions SHELL`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Result;
use crate::exit::Exit;
use crate::ui::Ui;

const AFTER: &str = "\
Example:
  privyseal completions bash > ~/.local/share/bash-completion/completions/privyseal";

/// Print completions for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    #[arg(value_enum)]
    shell: Shell,
}

impl Args {
    pub fn run(self, ui: &Ui) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "privyseal", &mut script);
        ui.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Ok)
    }
}
