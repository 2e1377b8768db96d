//! `privyseal sign`

use std::os::fd::OwnedFd;

use clap::ValueEnum;

use crate::args::{Files, Format, KeyPrompting};
use crate::bus::Bus;
use crate::error::Result;
use crate::exit::Exit;
use crate::files::{Input, Output, Trouble};
use crate::job;
use crate::options::Options;
use crate::signals::Signals;
use crate::ui::Ui;

const AFTER: &str = "\
Needs a key, not a trusted chain: a chain that is not valid here gives a warning.

Examples:
  privyseal sign mail.txt -s alice@example.org -o signed.eml
  privyseal sign --form detached --format pem release.tar -o release.tar.p7s
  privyseal sign mail.txt --encrypt-to bob@example.org -o secret.eml
  privyseal sign mail.txt --request-receipt alice@example.org -o signed.eml";

/// Sign a MIME entity, or any bytes
///
/// The input of --format smime is a MIME entity (headers, an empty line, a body); the inputs of der and pem are signed as they
/// are. With --encrypt-to the signed message is encrypted as well.
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    files: Files,

    /// Who signs: an address, sha256: fingerprint, certificate file or pkcs11: URI
    #[arg(short, long, value_name = "SIGNER")]
    signer: Option<String>,

    /// Content and signature side by side, in one, or the signature alone [default: clear for smime]
    #[arg(long, value_enum)]
    form: Option<Form>,

    /// How the result is written [default: smime]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Digest: sha256, sha384 or sha512
    #[arg(long, value_name = "NAME")]
    digest: Option<String>,

    /// Sign by RSASSA-PSS, also where the profile would not
    #[arg(long)]
    pss: bool,

    /// Take the algorithms of the profile NAME, such as rfc8551, br-strict, edi-energy or bsi [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Which certificates travel with the signature
    #[arg(long, value_enum, value_name = "WHICH")]
    include_chain: Option<Chain>,

    /// Say in the signature what the content is: one line that readers may show
    #[arg(long, value_name = "TEXT")]
    content_hint: Option<String>,

    /// Sign line ends as they are, not as CR LF
    #[arg(long)]
    no_canonicalize: bool,

    /// Ask all recipients for a signed receipt, to be sent to ADDR (may be repeated)
    #[arg(long, value_name = "ADDR")]
    request_receipt: Vec<String>,

    /// Put a security label on it: the policy's OID, a classification (0 to 256, or a word such as secret), a privacy mark
    #[arg(long, value_name = "POLICY_OID:CLASSIFICATION[:PRIVACY MARK]")]
    label: Option<String>,

    /// Encrypt to RECIPIENT as well: an address, sha256: fingerprint, certificate file or pkcs11: URI (may be repeated)
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,

    #[command(flatten)]
    prompting: KeyPrompting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Clear,
    Opaque,
    Detached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Chain {
    Leaf,
    NoRoot,
    All,
}

impl Args {
    /// The descriptor of `--pin-fd`.
    pub fn pin(&self) -> Result<Option<OwnedFd>> {
        self.prompting.pin()
    }

    pub async fn run(self, ui: &Ui, pin: Option<OwnedFd>) -> Result<Exit> {
        let mut options = Options::default();
        options.pin(pin);
        options.set(
            "form",
            self.form.map(|form| match form {
                Form::Clear => "clear",
                Form::Opaque => "opaque",
                Form::Detached => "detached",
            }),
        );
        options.set("format", self.format.map(Format::name));
        options.set("digest", self.digest);
        options.flag("pss", self.pss);
        options.set("profile", self.profile);
        options.set("content-hint", self.content_hint);
        options.set(
            "include-chain",
            self.include_chain.map(|chain| match chain {
                Chain::Leaf => "leaf",
                Chain::NoRoot => "no-root",
                Chain::All => "all",
            }),
        );
        options.set("canonicalize", self.no_canonicalize.then_some(false));
        options.set(
            "request-receipt",
            (!self.request_receipt.is_empty()).then_some(self.request_receipt),
        );
        options.set("label", self.label);
        if let Some(signer) = &self.signer {
            let signer = options.certificate(signer)?;
            options.set("signer", Some(signer));
        }
        let mut recipients = Vec::with_capacity(self.encrypt_to.len());
        for recipient in &self.encrypt_to {
            recipients.push(options.certificate(recipient)?);
        }
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();

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
        let start = async {
            let (input, options) = (input.into_fd(), options.finish());
            if recipients.is_empty() {
                cms.sign(input, out, options).await
            } else {
                cms.sign_and_encrypt(input, out, &recipients, options).await
            }
        };
        let work = job::run(&bus, ui, &mut signals, &mut trouble, start);
        let results = finish.beside(work).await?;
        super::finish(ui, finish, &results).await
    }
}
