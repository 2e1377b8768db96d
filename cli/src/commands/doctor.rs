//! `privyseal doctor`: what is wrong, and what to do about it.
//!
//! It asks the daemon for what it shows to everyone, and looks at the machine as its user sees it. It changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use privyseal_proto::ROOT_PATH;
use serde_json::{Value, json};

use super::config;
use crate::bus::Bus;
use crate::error::{CommandError, Result};
use crate::exit::Exit;
use crate::json::document;
use crate::objects::{Certificate, Inventory, Module, Token};
use crate::time;
use crate::ui::Ui;

/// Find what is wrong, and say how to mend it
///
/// Exit code 0: nothing that keeps Privyseal from working; 1: something.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Where pcsc-lite listens.
const PCSCD: &str = "/run/pcscd/pcscd.comm";
/// Certificates that end within so many days are worth a word.
const SOON: i64 = 30 * 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong.
struct Finding {
    severity: Severity,
    /// stable, for scripts
    id: &'static str,
    /// which module, token, certificate
    subject: String,
    message: String,
    next: String,
}

impl Finding {
    fn json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "id": self.id,
            "subject": self.subject,
            "message": self.message,
            "next": self.next,
        })
    }

    fn text(&self) -> String {
        let subject = if self.subject.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.subject)
        };
        format!(
            "{}: {}{subject}\n  {}\n",
            self.severity.name(),
            self.message,
            self.next
        )
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(
        &mut self,
        severity: Severity,
        id: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.0.push(Finding {
            severity,
            id,
            subject: subject.into(),
            message: message.into(),
            next: next.into(),
        });
    }
}

impl Args {
    pub async fn run(self, ui: &Ui) -> Result<Exit> {
        let mut found = Findings::default();
        configuration(&mut found);
        let mut looked = Vec::new();
        match inventory().await {
            Ok(inventory) => {
                modules(&mut found, &inventory.modules);
                cards(&mut found, &inventory);
                for token in inventory.tokens.iter().filter(|t| t.is_initialized()) {
                    self::token(&mut found, token);
                }
                certificates(&mut found, &inventory);
                looked.push(format!(
                    "{} modules, {} tokens, {} certificates",
                    inventory.modules.len(),
                    inventory.tokens.len(),
                    inventory.certificates.len()
                ));
            }
            Err(error) => unreachable(&mut found, &error),
        }
        found.0.sort_by_key(|finding| finding.severity);
        let sick = found.0.iter().any(|f| f.severity == Severity::Error);
        let value = document(vec![
            ("ok", (!sick).into()),
            ("findings", found.0.iter().map(Finding::json).collect()),
        ]);
        let mut text: String = found.0.iter().map(Finding::text).collect();
        if found.0.is_empty() {
            text = format!("nothing is wrong: looked at {}\n", looked.join(", "));
        }
        ui.result(&value, &text)?;
        Ok(if sick { Exit::Failed } else { Exit::Ok })
    }
}

async fn inventory() -> Result<Inventory> {
    let bus = Bus::connect().await?;
    // starts it where D-Bus can
    bus.properties(ROOT_PATH.to_owned(), "org.privyseal1.Manager")
        .await?;
    bus.inventory().await
}

fn unreachable(found: &mut Findings, error: &CommandError) {
    let id = if error.name().ends_with("Unreachable")
        && std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none()
    {
        "no-bus"
    } else {
        "no-daemon"
    };
    found.add(
        Severity::Error,
        id,
        "",
        error.to_string(),
        error.hints.join("; "),
    );
}

/// privyseald reads it, so privyseald checks it.
fn configuration(found: &mut Findings) {
    let output = std::process::Command::new(config::daemon())
        .arg("--check-config")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            found.add(
                Severity::Error,
                "not-installed",
                "privyseald",
                format!("privyseald cannot be run: {error}"),
                "install it beside privyseal, or in PATH",
            );
            return;
        }
    };
    let said = [output.stdout, output.stderr].concat();
    for line in String::from_utf8_lossy(&said).lines() {
        if let Some(problem) = line.strip_prefix("problem: ") {
            found.add(
                Severity::Error,
                "configuration",
                "",
                problem,
                "mend the configuration; `privyseal config check` shows what is read",
            );
        } else if line.starts_with("note: no trust anchor") {
            found.add(
                Severity::Warning,
                "no-anchors",
                "",
                "no trust anchor is configured: no signature will be called good",
                "name the roots that you trust in the configuration: [trust] anchors = [\"…\"]",
            );
        } else if line.starts_with("note: no `pinentry`") {
            found.add(
                Severity::Warning,
                "no-pinentry",
                "",
                "no pinentry program is installed: PINs can only come from --pin-fd",
                "install one (Debian: pinentry-gnome3, pinentry-qt, or pinentry-curses for terminals), or name it in [pinentry] program",
            );
        }
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn modules(found: &mut Findings, modules: &[Module]) {
    if modules.is_empty() {
        found.add(
            Severity::Error,
            "no-module",
            "",
            "no PKCS#11 module is known: there is nothing to find tokens with",
            "install one that brings a p11-kit file (Debian: opensc for cards), or name it in the configuration: [[module]] path = \"…\"",
        );
    }
    for module in modules {
        let (severity, next) = match module.status.as_str() {
            "failed" => (
                Severity::Error,
                "it is tried again by itself; `privyseal token rescan` tries at once. Is what it needs there (its configuration, a daemon, a device)?",
            ),
            "quarantined" => (
                Severity::Error,
                "it died too often and is left alone: update or remove the module, then `privyseal token rescan`",
            ),
            "loading" => (
                Severity::Warning,
                "wait; a call that takes longer than its deadline (30 s) is ended, and the module is started anew",
            ),
            _ => continue,
        };
        let said = if module.last_error.is_empty() {
            module.status.clone()
        } else {
            format!("{}: {}", module.status, module.last_error)
        };
        found.add(
            severity,
            "module",
            &module.path,
            format!("a PKCS#11 module is not usable: {said}"),
            next,
        );
    }
}

/// Cards need pcscd, and are of no use while another program has them for itself.
fn cards(found: &mut Findings, inventory: &Inventory) {
    let drivers: Vec<&Module> = inventory
        .modules
        .iter()
        .filter(|m| m.path.contains("opensc-pkcs11"))
        .collect();
    if drivers.is_empty() {
        return;
    }
    match UnixStream::connect(PCSCD) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            found.add(
                Severity::Error,
                "pcscd-denied",
                PCSCD,
                "you may not use the smart card service",
                "ask the administrator for access (polkit's action org.debian.pcsc-lite.access_pcsc)",
            );
            return;
        }
        Err(_) => {
            let installed = is_program(Path::new("/usr/sbin/pcscd"));
            found.add(
                Severity::Warning,
                "no-pcscd",
                PCSCD,
                "the smart card service pcscd does not run: no card can be seen",
                if installed {
                    "start it: sudo systemctl enable --now pcscd.socket"
                } else {
                    "install it (Debian: pcscd), if you use cards"
                },
            );
            return;
        }
    }
    let seen = inventory
        .tokens
        .iter()
        .any(|t| t.manufacturer != "SoftHSM project" && !t.reader.is_empty());
    if !seen && runs("scdaemon") {
        found.add(
            Severity::Warning,
            "scdaemon",
            "",
            "no card is seen, and GnuPG's scdaemon runs: it may hold the card for itself",
            "gpgconf --kill scdaemon; for good: `disable-ccid` and `pcsc-shared` in ~/.gnupg/scdaemon.conf",
        );
    }
}

/// A process of this name and this user.
fn runs(name: &str) -> bool {
    let own = fs::metadata("/proc/self").map(|found| found.uid()).ok();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.into_iter().any(|entry| {
        entry.metadata().ok().map(|found| found.uid()) == own
            && fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    })
}

fn token(found: &mut Findings, token: &Token) {
    let flag = |name: &str| token.pin_flags.iter().any(|flag| flag == name);
    let name = token.name();
    if token.state == "pin-blocked" || flag("locked") {
        found.add(
            Severity::Error,
            "pin-blocked",
            name,
            "the PIN is blocked: too many wrong ones",
            format!("set a new one by the PUK (or SO PIN): privyseal token unblock '{name}'"),
        );
    } else if flag("final-try") {
        found.add(
            Severity::Warning,
            "pin-final-try",
            name,
            "one try is left: another wrong PIN blocks the token",
            format!("make sure of the PIN, then: privyseal token unlock '{name}'"),
        );
    } else if flag("count-low") {
        found.add(
            Severity::Warning,
            "pin-tries",
            name,
            "a wrong PIN was given since the last right one",
            format!("privyseal token unlock '{name}' with the right one sets the counter back"),
        );
    }
    if flag("to-be-changed") {
        found.add(
            Severity::Warning,
            "pin-to-be-changed",
            name,
            "the token wants its PIN to be changed",
            format!("privyseal token change-pin '{name}'"),
        );
    }
    let stored = match token.stored_pin.as_str() {
        "refused" => "a stored PIN did not unlock the token, and is not tried again",
        "unusable" => "a stored PIN cannot be read: it is not a small file of this user's",
        _ => "",
    };
    if !stored.is_empty() {
        found.add(
            Severity::Error,
            "stored-pin",
            name,
            stored,
            format!(
                "put the right PIN into the systemd credential pin.{} and restart the service (docs/configuration.md)",
                token.id
            ),
        );
    }
    if token.state == "error" {
        found.add(
            Severity::Error,
            "token",
            name,
            "the token does not work",
            "take it out and put it back, then: privyseal token rescan",
        );
    }
    for id in &token.lone_keys {
        found.add(
            Severity::Warning,
            "key-without-certificate",
            name,
            format!("no certificate on this token belongs to the key with the CKA_ID {id:?}: it cannot be used for mail"),
            format!("write its certificate beside it: pkcs11-tool --write-object FILE --type cert --id {id}"),
        );
    }
    if token.certificates == 0 {
        found.add(
            Severity::Warning,
            "no-certificate",
            name,
            "there is no certificate on this token: its keys cannot be used for mail",
            "have one issued for its key and written to the token, by the issuer's program or pkcs11-tool --write-object",
        );
    }
}

fn certificates(found: &mut Findings, inventory: &Inventory) {
    let now = time::now();
    let mut usable = BTreeSet::new();
    for certificate in &inventory.certificates {
        if certificate.emails.is_empty() && !certificate.has_private_key {
            // a CA's, along for the ride
            continue;
        }
        let token = inventory.token(&certificate.token);
        one(found, certificate, token.map_or("", Token::name), now);
        if certificate.has_private_key && certificate.not_after > now {
            usable.extend(certificate.usages.iter().cloned());
        }
    }
    let locked = inventory.tokens.iter().any(|t| t.state == "locked");
    let any = inventory.tokens.iter().any(Token::is_initialized);
    for (usage, id, what) in [
        ("sign", "nothing-signs", "signing"),
        ("decrypt", "nothing-decrypts", "reading encrypted mail"),
    ] {
        if any && !locked && !inventory.certificates.is_empty() && !usable.contains(usage) {
            found.add(
                Severity::Warning,
                id,
                "",
                format!("no certificate here is good for {what}"),
                "privyseal cert list shows what they are for",
            );
        }
    }
}

fn one(found: &mut Findings, certificate: &Certificate, token: &str, now: i64) {
    let who = format!(
        "{} on {token}, sha256:{:.16}",
        certificate.subject, certificate.sha256
    );
    let end = time::rfc3339(certificate.not_after);
    if !certificate.has_private_key {
        found.add(
            Severity::Warning,
            "no-key",
            &who,
            "a certificate without its private key: it neither signs nor decrypts",
            "import the key that belongs to it, or take the certificate off the token",
        );
        return;
    }
    if certificate.not_after <= now {
        found.add(
            Severity::Warning,
            "expired",
            &who,
            format!("a certificate has expired on {end}"),
            "have it renewed; keep its key, old mail needs it",
        );
    } else if certificate.not_after.saturating_sub(now) < SOON {
        found.add(
            Severity::Warning,
            "expiring",
            &who,
            format!("a certificate ends on {end}"),
            "have it renewed in time",
        );
    } else if certificate.not_before > now {
        found.add(
            Severity::Warning,
            "not-yet-valid",
            &who,
            "a certificate is not valid yet: is the clock right?",
            "check the date of this machine",
        );
    }
    if certificate.emails.is_empty() {
        found.add(
            Severity::Warning,
            "no-address",
            &who,
            "a certificate names no mail address: receivers cannot tie it to a sender",
            "have one issued with your address (subjectAltName, rfc822Name)",
        );
    }
}
