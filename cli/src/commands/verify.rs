//! `privyseal verify`: the verdict, in words or as JSON.

use std::path::PathBuf;

use serde_json::Value;

use super::verdict::{describe, written};
use crate::args::PathOptions;
use crate::bus::Bus;
use crate::error::{CommandError, Result};
use crate::exit::Exit;
use crate::files::{Input, Output, Trouble};
use crate::job;
use crate::json;
use crate::options::Options;
use crate::signals::Signals;
use crate::ui::Ui;

const AFTER: &str = "\
Exit code 0 when the verdict is good, 3 when it is bad, unknown or not-signed.

Examples:
  privyseal verify signed.eml
  privyseal verify signed.eml --sender alice@example.org -o content.txt
  privyseal verify release.tar.p7s --content release.tar --purpose any
  privyseal verify --json --trust-anchor root.pem --crl root.crl signed.eml";

/// Verify a signed message and say who signed it
///
/// FILE is a message, a MIME entity, or CMS in DER or PEM. The content goes to OUT only when the verdict is good.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The signed message; - or nothing: standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// The content that a detached signature is for
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,

    /// Write the signed content to OUT; - is standard output
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Write the content whatever the verdict is
    #[arg(long, requires = "output")]
    even_if_bad: bool,

    /// The address that the message says it is from
    #[arg(long, value_name = "ADDR")]
    sender: Option<String>,

    /// Read only what the profile NAME reads, such as rfc8551 or legacy-read [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    #[command(flatten)]
    pub path_options: PathOptions,
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let standard = |path: Option<&PathBuf>| path.is_none_or(|path| path.as_os_str() == "-");
        if self.content.is_some() && standard(self.content.as_ref()) && standard(self.file.as_ref())
        {
            return Err(CommandError::usage(
                "signature and content cannot both come from standard input",
            ));
        }
        let mut options = Options::default();
        options.set("sender", self.sender);
        options.flag("even-if-bad", self.even_if_bad);
        options.set("profile", self.profile);
        self.path_options.add_to(&mut options)?;

        let mut trouble = Trouble::new();
        let output = match &self.output {
            None => Output::None,
            Some(path) => Output::open(Some(path), ui, &trouble)?,
        };
        let message = Input::open(self.file.as_deref(), ui, &trouble)?;
        let content = match &self.content {
            None => Input::none()?,
            Some(path) => Input::open(Some(path), ui, &trouble)?,
        };
        let mut signals = Signals::new()?;
        let bus = signals.guard(Bus::connect()).await?;
        let cms = bus.cms().await?;
        let (out, finish) = output.split()?;
        let start = cms.verify(message.into_fd(), content.into_fd(), out, options.finish());
        let work = job::run(&bus, ui, &mut signals, &mut trouble, start);
        let results = finish.beside(work).await?;

        let shown = json::results(&results);
        let good = shown.get("verdict").and_then(Value::as_str) == Some("good");
        if good || (self.even_if_bad && written(&results, finish.is_empty_file())) {
            finish.commit().await?;
        }
        super::warn(ui, &results);
        ui.result(&shown, &describe(&shown, ui))?;
        Ok(if good { Exit::Ok } else { Exit::NotGood })
    }
}
