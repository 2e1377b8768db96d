//! `privyseal encrypt`

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
  privyseal encrypt mail.txt -r bob@example.org -o secret.eml
  privyseal encrypt -r bob.pem -r sha256:0123456789abcdef --format der backup.tar -o backup.p7m";

/// Encrypt to certificates
///
/// You are a recipient too, unless --no-self. No token is needed.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    files: Files,

    /// Who can read it: an address, sha256: fingerprint, certificate file or pkcs11: URI (may be repeated)
    #[arg(short, long, value_name = "RECIPIENT", required = true)]
    recipient: Vec<String>,

    /// aes256-gcm, aes192-gcm, aes128-gcm, chacha20-poly1305, or without authentication aes256-cbc, aes192-cbc, aes128-cbc
    #[arg(long, value_name = "NAME")]
    cipher: Option<String>,

    /// Use RSAES-OAEP for RSA recipients, also where the profile would not
    #[arg(long)]
    oaep: bool,

    /// Take the algorithms of the profile NAME, such as rfc8551, br-strict, edi-energy or bsi [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Do not make yourself a recipient
    #[arg(long)]
    no_self: bool,

    /// How the result is written [default: smime]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let mut options = Options::default();
        options.set("cipher", self.cipher);
        options.flag("oaep", self.oaep);
        options.set("profile", self.profile);
        options.set("encrypt-to-self", self.no_self.then_some(false));
        options.set("format", self.format.map(Format::name));
        let mut recipients = Vec::with_capacity(self.recipient.len());
        for recipient in &self.recipient {
            recipients.push(options.certificate(recipient)?);
        }
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();

        let mut trouble = Trouble::new();
        let output = Output::open(self.files.output.as_deref(), ui, &trouble)?;
        let input = Input::open(self.files.file.as_deref(), ui, &trouble)?;
        let mut signals = Signals::new()?;
        let bus = signals.guard(Bus::connect()).await?;
        let cms = bus.cms().await?;
        let (out, finish) = output.split()?;
        let start = cms.encrypt(input.into_fd(), out, &recipients, options.finish());
        let work = job::run(&bus, ui, &mut signals, &mut trouble, start);
        let results = finish.beside(work).await?;
        super::finish(ui, finish, &results).await
    }
}
