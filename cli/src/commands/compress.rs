//! `privyseal compress`

use crate::args::{Files, Format};
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
  privyseal compress mail.txt -o small.eml
  privyseal compress --format der release.tar -o release.tar.p7z";

/// Compress a MIME entity, or any bytes
///
/// Makes a compressed S/MIME message (RFC 3274, zlib), which protects nothing: sign or encrypt as well. No token is needed.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    files: Files,

    /// How the result is written [default: smime]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Compress line ends as they are, not as CR LF (--format smime makes them so)
    #[arg(long)]
    no_canonicalize: bool,
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let mut options = Options::default();
        options.set("format", self.format.map(Format::name));
        options.set("canonicalize", self.no_canonicalize.then_some(false));
        let mut trouble = Trouble::new();
        let output = Output::open(self.files.output.as_deref(), ui, &trouble)?;
        let input = Input::open(self.files.file.as_deref(), ui, &trouble)?;
        let mut signals = Signals::new()?;
        let bus = signals.guard(Bus::connect()).await?;
        let cms = bus.cms().await?;
        let (out, finish) = output.split()?;
        let start = cms.compress(input.into_fd(), out, options.finish());
        let work = job::run(&bus, ui, &mut signals, &mut trouble, start);
        let results = finish.beside(work).await?;
        super::finish(ui, finish, &results).await
    }
}
