//! `privyseal decompress`

use crate::args::Files;
use crate::bus::Bus;
use crate::error::Result;
use crate::exit::Exit;
use crate::files::{Input, Output, Trouble};
use crate::job;
use crate::options::Options;
use crate::signals::Signals;
use crate::ui::Ui;

const AFTER: &str = "\
Examples:
  privyseal decompress small.eml
  privyseal decompress --json release.tar.p7z -o release.tar";

/// Decompress what was compressed for S/MIME
///
/// Takes a message, a MIME entity, DER or PEM. Nothing is written before the whole is known to be undamaged. What grows to more
/// than a hundred times its size (and 1 MiB) is refused.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    files: Files,
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let mut trouble = Trouble::new();
        let output = Output::open(self.files.output.as_deref(), ui, &trouble)?;
        let input = Input::open(self.files.file.as_deref(), ui, &trouble)?;
        let mut signals = Signals::new()?;
        let bus = signals.guard(Bus::connect()).await?;
        let cms = bus.cms().await?;
        let (out, finish) = output.split()?;
        let start = cms.decompress(input.into_fd(), out, Options::default().finish());
        let work = job::run(&bus, ui, &mut signals, &mut trouble, start);
        let results = finish.beside(work).await?;
        super::finish(ui, finish, &results).await
    }
}
