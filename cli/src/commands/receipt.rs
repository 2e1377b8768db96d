//! `privyseal receipt make|check`: signed receipts (RFC 2634 §2).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::verdict::{field, string};
use crate::args::{Files, Format, KeyPrompting, PathOptions};
use crate::bus::Bus;
use crate::error::{CommandError, Result};
use crate::exit::Exit;
use crate::files::{Input, Output, Trouble};
use crate::job;
use crate::json;
use crate::options::Options;
use crate::signals::Signals;
use crate::ui::Ui;

/// Give a signed receipt for a message, or check one for a message of yours
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const MAKE: &str = "\
Exit code 5 when no receipt may be given: the signature is not good, none is asked for, or it is asked of others.

Examples:
  privyseal receipt make signed.eml -o receipt.eml
  privyseal receipt make release.tar.p7s --content release.tar --format der -o receipt.p7m";

const CHECK: &str = "\
Exit code 0 when the receipt is good: its signature and chain are, and it is for exactly this message; else 3.

Examples:
  privyseal receipt check receipt.eml --original signed.eml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign a receipt for a message that asks for one and is good
    #[command(after_help = MAKE)]
    Make(Box<Make>),
    /// Check a receipt against the message that asked for it
    #[command(after_help = CHECK)]
    Check(Box<Check>),
}

#[derive(clap::Args, Debug)]
struct Make {
    #[command(flatten)]
    files: Files,

    /// The content, if the message is a detached signature
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,

    /// Who signs the receipt: an address, sha256: fingerprint, certificate file or pkcs11: URI
    #[arg(short, long, value_name = "SIGNER")]
    signer: Option<String>,

    /// How the receipt is written [default: smime]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Digest: sha256, sha384 or sha512
    #[arg(long, value_name = "NAME")]
    digest: Option<String>,

    /// Sign by RSASSA-PSS
    #[arg(long)]
    pss: bool,

    #[command(flatten)]
    prompting: KeyPrompting,

    #[command(flatten)]
    path_options: PathOptions,
}

#[derive(clap::Args, Debug)]
struct Check {
    /// The receipt; - or nothing: standard input
    #[arg(value_name = "RECEIPT")]
    receipt: Option<PathBuf>,

    /// The message that was sent, as it was sent
    #[arg(long, value_name = "MESSAGE")]
    original: PathBuf,

    /// The content, if the message that was sent is a detached signature
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,

    #[command(flatten)]
    path_options: PathOptions,
}

impl Args {
    /// The descriptor of `--pin-fd`.
    pub fn pin(&self) -> Result<Option<OwnedFd>> {
        match &self.command {
            Command::Make(make) => make.prompting.pin(),
            Command::Check(_) => Ok(None),
        }
    }

    pub async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        match self.command {
            Command::Make(make) => make.run(ui, pin).await,
            Command::Check(check) => check.run(ui).await,
        }
    }
}

impl Make {
    async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        one_from_stdin(&[self.files.file.as_deref(), other(self.content.as_deref())])?;
        let mut options = Options::default();
        options.pin(pin);
        options.set("format", self.format.map(Format::name));
        options.set("digest", self.digest);
        options.flag("pss", self.pss);
        if let Some(signer) = &self.signer {
            let signer = options.certificate(signer)?;
            options.set("signer", Some(signer));
        }
        self.path_options.add_to(&mut options)?;

        let mut trouble = Trouble::new();
        let output = Output::open(self.files.output.as_deref(), ui, &trouble)?;
        let message = Input::open(self.files.file.as_deref(), ui, &trouble)?;
        let content = given(self.content.as_deref(), ui, &trouble)?;
        let mut signals = Signals::new()?;
        let connect = async {
            let bus = Bus::connect().await?;
            let interactive = bus.set_context(self.prompting.batch, ui).await?;
            Ok((bus, interactive))
        };
        let (bus, interactive) = signals.guard(connect).await?;
        options.set("interactive", Some(interactive));
        let cms = bus.cms().await?;
        let (out, finish) = output.split()?;
        let start = cms.make_receipt(message.into_fd(), content.into_fd(), out, options.finish());
        let results = job::run(&bus, ui, &mut signals, &mut trouble, start).await?;
        let to = super::texts(&results, "send_to");
        if !to.is_empty() {
            ui.note(&format!("send the receipt to {}", to.join(", ")));
        }
        super::finish(ui, finish, &results).await
    }
}

impl Check {
    async fn run(self, ui: &Ui) -> Result<Exit> {
        one_from_stdin(&[
            self.receipt.as_deref(),
            Some(&self.original),
            other(self.content.as_deref()),
        ])?;
        let mut options = Options::default();
        self.path_options.add_to(&mut options)?;
        let mut trouble = Trouble::new();
        let receipt = Input::open(self.receipt.as_deref(), ui, &trouble)?;
        let original = Input::open(Some(&self.original), ui, &trouble)?;
        let content = given(self.content.as_deref(), ui, &trouble)?;
        let mut signals = Signals::new()?;
        let bus = signals.guard(Bus::connect()).await?;
        let cms = bus.cms().await?;
        let start = cms.check_receipt(
            receipt.into_fd(),
            original.into_fd(),
            content.into_fd(),
            options.finish(),
        );
        let results = job::run(&bus, ui, &mut signals, &mut trouble, start).await?;
        let shown = json::results(&results);
        super::warn(ui, &results);
        ui.result(&shown, &describe(&shown, ui))?;
        let good = string(&shown, "verdict") == "good";
        Ok(if good { Exit::Ok } else { Exit::NotGood })
    }
}

/// A file that may be missing, without which nothing is read.
fn given(path: Option<&Path>, ui: &Ui, trouble: &Trouble) -> Result<Input> {
    match path {
        None => Input::none(),
        path => Input::open(path, ui, trouble),
    }
}

/// `None` is standard input for a message, but nothing at all for detached content.
fn other(content: Option<&Path>) -> Option<&Path> {
    content.or(Some(Path::new("/dev/null")))
}

fn one_from_stdin(paths: &[Option<&Path>]) -> Result<()> {
    let standard = |path: &&Option<&Path>| path.is_none_or(|path| path == Path::new("-"));
    if paths.iter().filter(standard).count() > 1 {
        return Err(CommandError::usage(
            "only one of the inputs can come from standard input",
        ));
    }
    Ok(())
}

/// The verdict as of `verify`, and what is acknowledged.
fn describe(shown: &Value, ui: &Ui) -> String {
    let mut text = super::verdict::describe(shown, ui);
    field(&mut text, "receipt for", string(shown, "identifier"));
    text
}
