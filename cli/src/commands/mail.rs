//! `privyseal mail`: whole messages.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::verdict::{describe, written};
use crate::args::{KeyPrompting, PathOptions};
use crate::bus::Bus;
use crate::error::Result;
use crate::exit::Exit;
use crate::files::{Input, Output, Trouble};
use crate::job;
use crate::json;
use crate::options::Options;
use crate::signals::Signals;
use crate::ui::Ui;

const AFTER: &str = "\
Exit code 0 when the verdict is good or the message is not signed, 3 when it is bad or unknown.

Examples:
  privyseal mail open received.eml
  privyseal mail open received.eml -o inside.eml
  privyseal mail open --json --batch received.eml";

/// Whole messages
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Open(Open),
}

/// Open a received message: decrypt and unwrap all layers, and give one verdict
///
/// The message inside goes to OUT, with the headers of the one outside, unless the verdict is bad. What is signed or encrypted
/// below a multipart is reported and left as it is.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
struct Open {
    /// The message; - or nothing: standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Write the message inside to OUT; - is standard output
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Write the message inside whatever the verdict is
    #[arg(long, requires = "output")]
    even_if_bad: bool,

    /// The address that the message says it is from
    #[arg(long, value_name = "ADDR")]
    sender: Option<String>,

    /// Read only what the profile NAME reads, such as rfc8551 or legacy-read [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    #[command(flatten)]
    prompting: KeyPrompting,

    #[command(flatten)]
    path_options: PathOptions,
}

impl Args {
    /// The descriptor of `--pin-fd`.
    pub fn pin(&self) -> Result<Option<OwnedFd>> {
        match &self.command {
            Command::Open(open) => open.prompting.pin(),
        }
    }

    pub async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        match self.command {
            Command::Open(open) => open.run(ui, pin).await,
        }
    }
}

impl Open {
    async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        let mut options = Options::default();
        options.pin(pin);
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
        let mut signals = Signals::new()?;
        let connect = async {
            let bus = Bus::connect().await?;
            let interactive = bus.set_context(self.prompting.batch, ui).await?;
            Ok((bus, interactive))
        };
        let (bus, interactive) = signals.guard(connect).await?;
        options.set("interactive", Some(interactive));
        let mail = bus.mail().await?;
        let (out, finish) = output.split()?;
        let start = mail.open(message.into_fd(), out, options.finish());
        let results = job::run(&bus, ui, &mut signals, &mut trouble, start).await?;

        let shown = json::results(&results);
        if written(&results, finish.is_empty_file()) {
            finish.commit().await?;
        }
        super::warn(ui, &results);
        ui.result(&shown, &describe(&shown, ui))?;
        let verdict = shown.get("verdict").and_then(Value::as_str);
        Ok(match verdict {
            Some("good" | "not-signed") => Exit::Ok,
            _ => Exit::NotGood,
        })
    }
}
