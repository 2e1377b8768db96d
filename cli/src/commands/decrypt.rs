//! `privyseal decrypt`

use std::os::fd::OwnedFd;

use serde_json::Value;

use crate::args::{Files, KeyPrompting};
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
Examples:
  privyseal decrypt secret.eml
  privyseal decrypt --json secret.eml -o mail.txt";

/// Decrypt with a key of any present token
///
/// The key is chosen from the message. Where the message is authenticated, nothing is written before that is checked.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    files: Files,

    /// Read only what the profile NAME reads, such as rfc8551 or legacy-read [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    #[command(flatten)]
    prompting: KeyPrompting,
}

impl Args {
    /// The descriptor of `--pin-fd`.
    pub fn pin(&self) -> Result<Option<OwnedFd>> {
        self.prompting.pin()
    }

    pub async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        let mut options = Options::default();
        options.pin(pin);
        options.set("profile", self.profile);
        let mut trouble = Trouble::new();
        let output = Output::open(self.files.output.as_deref(), ui, &trouble)?;
        let input = Input::open(self.files.file.as_deref(), ui, &trouble)?;
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
        let start = cms.decrypt(input.into_fd(), out, options.finish());
        let work = job::run(&bus, ui, &mut signals, &mut trouble, start);
        let results = finish.beside(work).await?;
        let shown = json::results(&results);
        // the daemon's own warnings say it better
        if shown.get("authenticated") == Some(&Value::Bool(false))
            && super::texts(&results, "warnings").is_empty()
        {
            let cipher = shown
                .get("cipher")
                .and_then(Value::as_str)
                .unwrap_or("its cipher");
            ui.warn(&format!(
                "{cipher} does not protect against changes: somebody may have altered this text on its way"
            ));
        }
        super::finish(ui, finish, &results).await
    }
}
