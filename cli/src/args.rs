//! The command line's grammar. Arguments of one command are beside that command.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    audit, cert, completions, compress, config, decompress, decrypt, doctor, encrypt, mail, man,
    receipt, sign, status, token, verify,
};
use crate::error::Result;
use crate::inherited;
use crate::options::Options;
use crate::time;
use crate::ui::ColorChoice;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER: &str = "\
Exit codes: 0 ok, 1 failed, 2 usage, 3 signature not good, 4 token or PIN needed or wrong, 5 refused,
6 daemon unreachable, 7 temporary, try again, 8 recipient or certificate not found.

Examples:
  privyseal token unlock
  privyseal sign mail.txt -s alice@example.org -o signed.eml
  privyseal verify signed.eml
  privyseal encrypt mail.txt -r bob.pem -o secret.eml
  privyseal decrypt secret.eml
  privyseal mail open received.eml";

/// S/MIME with keys that stay in hardware
///
/// Signs, verifies, encrypts, decrypts and compresses mail with the keys of smart cards, TPMs and HSMs. The work is done by the daemon
/// privyseald, which D-Bus starts when it is needed. A missing FILE, or -, is standard input or output.
#[derive(Debug, Parser)]
#[command(name = "privyseal", version, disable_version_flag = true, styles = STYLES, after_help = AFTER)]
pub struct Cli {
    /// Print one JSON object (on stderr where stdout carries the message)
    #[arg(long, global = true)]
    pub json: bool,

    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = false
    )]
    pub color: ColorChoice,

    /// Print the version
    #[arg(short = 'v', long, short_alias = 'V', action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Sign(sign::Args),
    Verify(verify::Args),
    Encrypt(encrypt::Args),
    Decrypt(decrypt::Args),
    Compress(compress::Args),
    Decompress(decompress::Args),
    Mail(mail::Args),
    Receipt(receipt::Args),
    Token(token::Args),
    Cert(cert::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Audit(audit::Args),
    Config(config::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(man::Args),
}

/// FILE and OUT of the commands that turn one message into another.
#[derive(Args, Debug)]
pub struct Files {
    /// The message; - or nothing: standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Write the result to OUT, which appears whole or not at all; - or nothing: standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
}

/// Whether a person may be asked.
#[derive(Args, Debug)]
pub struct Prompting {
    /// Never ask a person for a PIN: fail instead
    #[arg(long)]
    pub batch: bool,
}

/// Where the PIN comes from when a key is used.
#[derive(Args, Debug)]
pub struct KeyPrompting {
    /// For a key that wants its PIN at every use: read it from descriptor N (a pipe), up to the end of the line. The token
    /// must be unlocked already
    #[arg(long, value_name = "N")]
    pin_fd: Option<u32>,

    /// Never ask a person for a PIN: fail instead
    #[arg(long)]
    pub batch: bool,
}

impl KeyPrompting {
    /// The descriptor of `--pin-fd`. Call it before anything is opened.
    pub fn pin(&self) -> Result<Option<OwnedFd>> {
        self.pin_fd.map(inherited::descriptor).transpose()
    }
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Smime,
    Der,
    Pem,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Smime => "smime",
            Format::Der => "der",
            Format::Pem => "pem",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Purpose {
    Email,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Revocation {
    Off,
    Soft,
    Leaf,
    Required,
}

/// How certificates are judged. With any of these nothing is written to the daemon's store.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Path options")]
pub struct PathOptions {
    /// Judge as of TIME: RFC 3339 or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = time::parse, allow_negative_numbers = true)]
    pub at: Option<i64>,

    /// Trust the certificates of FILE, and no others (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub trust_anchor: Vec<PathBuf>,

    /// Certificates that may help to build a chain (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub untrusted: Vec<PathBuf>,

    /// Revocation lists (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub crl: Vec<PathBuf>,

    /// OCSP responses (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub ocsp: Vec<PathBuf>,

    /// Fetch nothing from the network
    #[arg(long)]
    pub offline: bool,

    /// What the certificate must be meant for
    #[arg(long, value_enum)]
    pub purpose: Option<Purpose>,

    /// How revocation is checked: not at all, where data is there, required for the signer, required for the whole chain
    #[arg(long, value_enum, value_name = "MODE")]
    pub revocation: Option<Revocation>,

    /// Use delta revocation lists
    #[arg(long)]
    pub use_deltas: bool,

    /// A chain may end at any trusted certificate, not only at a root
    #[arg(long)]
    pub partial_chain: bool,

    /// At most N certificates between signer and trust anchor
    #[arg(long, value_name = "N")]
    pub max_depth: Option<u32>,

    /// Least strength of keys and digests, 0 to 5, as openssl counts
    #[arg(long, value_name = "N")]
    pub auth_level: Option<u32>,

    /// Acceptable certificate policy (may be repeated)
    #[arg(long, value_name = "OID")]
    pub policy: Vec<String>,

    /// A policy must be valid for the whole chain (RFC 5280 §6.1.1)
    #[arg(long)]
    pub require_explicit_policy: bool,

    /// Policies may not be mapped
    #[arg(long)]
    pub inhibit_policy_mapping: bool,

    /// anyPolicy counts for nothing
    #[arg(long)]
    pub inhibit_any_policy: bool,
}

impl PathOptions {
    pub fn add_to(&self, options: &mut Options) -> Result<()> {
        options.set("at", self.at);
        options.files("trust-anchors", &self.trust_anchor)?;
        options.files("untrusted", &self.untrusted)?;
        options.files("crls", &self.crl)?;
        options.files("ocsp", &self.ocsp)?;
        options.flag("offline", self.offline);
        options.set(
            "purpose",
            self.purpose.map(|purpose| match purpose {
                Purpose::Email => "email",
                Purpose::Any => "any",
            }),
        );
        options.set(
            "revocation",
            self.revocation.map(|revocation| match revocation {
                Revocation::Off => "off",
                Revocation::Soft => "soft",
                Revocation::Leaf => "leaf",
                Revocation::Required => "required",
            }),
        );
        options.flag("use-deltas", self.use_deltas);
        options.flag("partial-chain", self.partial_chain);
        options.set("max-depth", self.max_depth);
        options.set("auth-level", self.auth_level);
        options.set(
            "policies",
            (!self.policy.is_empty()).then(|| self.policy.clone()),
        );
        options.flag("require-explicit-policy", self.require_explicit_policy);
        options.flag("inhibit-policy-mapping", self.inhibit_policy_mapping);
        options.flag("inhibit-any-policy", self.inhibit_any_policy);
        Ok(())
    }
}

/// Whether the message goes to stdout, so that a usage error with `--json` belongs on stderr. For command lines that clap refused.
pub fn data_on_stdout(args: &[String]) -> bool {
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let mut names = words.iter().filter(|word| !word.starts_with('-'));
    let command = match names.next() {
        // `receipt check` prints its verdict
        Some(&"receipt") => names.next().filter(|word| **word == "make"),
        other => other,
    };
    let to_file = words.iter().enumerate().any(|(place, word)| {
        let value = match word
            .strip_prefix("--output")
            .or_else(|| word.strip_prefix("-o"))
        {
            Some("") => words.get(place.saturating_add(1)).copied(),
            Some(value) => Some(value.trim_start_matches('=')),
            None => None,
        };
        value.is_some_and(|value| value != "-")
    });
    let turns = [
        "sign",
        "encrypt",
        "decrypt",
        "compress",
        "decompress",
        "make",
    ];
    command.is_some_and(|command| turns.contains(command)) && !to_file
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_example_in_the_help_is_a_valid_command_line() {
        fn check(command: &clap::Command) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            for line in help
                .lines()
                .filter_map(|line| line.strip_prefix("  privyseal "))
            {
                // what the shell takes away
                let line = line.split(" > ").next().unwrap_or_default();
                let line = line.split(" 3< ").next().unwrap_or_default();
                let words = std::iter::once("privyseal").chain(line.split_whitespace());
                Cli::try_parse_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn all_path_options_are_sent_by_their_names_on_the_bus() {
        let cli = Cli::try_parse_from([
            "privyseal",
            "verify",
            "--at",
            "0",
            "--trust-anchor",
            "/dev/null",
            "--untrusted",
            "/dev/null",
            "--crl",
            "/dev/null",
            "--ocsp",
            "/dev/null",
            "--offline",
            "--purpose",
            "any",
            "--revocation",
            "leaf",
            "--use-deltas",
            "--partial-chain",
            "--max-depth",
            "3",
            "--auth-level",
            "2",
            "--policy",
            "1.2.3",
            "--require-explicit-policy",
            "--inhibit-policy-mapping",
            "--inhibit-any-policy",
        ])
        .unwrap();
        let Command::Verify(args) = cli.command else {
            panic!()
        };
        let mut options = Options::default();
        args.path_options.add_to(&mut options).unwrap();
        let mut sent: Vec<_> = options
            .finish()
            .into_iter()
            .map(|(name, value)| format!("{name} {}", value.value_signature()))
            .collect();
        sent.sort();
        assert_eq!(
            sent,
            [
                "at x",
                "auth-level u",
                "crls ah",
                "inhibit-any-policy b",
                "inhibit-policy-mapping b",
                "max-depth u",
                "ocsp ah",
                "offline b",
                "partial-chain b",
                "policies as",
                "purpose s",
                "require-explicit-policy b",
                "revocation s",
                "trust-anchors ah",
                "untrusted ah",
                "use-deltas b",
            ]
        );
    }

    #[test]
    fn usage_errors_stay_off_a_stdout_that_is_for_data() {
        for (line, expected) in [
            ("privyseal --json sign --oops", true),
            ("privyseal sign -o out --oops", false),
            ("privyseal encrypt --output=out", false),
            ("privyseal decrypt -o -", true),
            ("privyseal sign -oout", false),
            ("privyseal compress --oops", true),
            ("privyseal decompress -o out --oops", false),
            ("privyseal verify --oops", false),
            ("privyseal receipt make --oops", true),
            ("privyseal receipt make -o out --oops", false),
            ("privyseal receipt check --oops", false),
            ("privyseal", false),
        ] {
            let args: Vec<_> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(data_on_stdout(&args), expected, "{line}");
        }
    }
}
