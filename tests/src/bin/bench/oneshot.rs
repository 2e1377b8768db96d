//! One 10 KiB mail, process start included: our command line beside openssl (key in a file, and through the PKCS#11 engine) and
//! gpgsm with gnupg-pkcs11-scd, where they are installed.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use privyseal_tests::{PIN, World, binary};

use crate::raw::RawToken;
use crate::report::{Times, ms, title};
use crate::signing::mail;

pub fn run(world: &World, rounds: usize) {
    title("One 10 KiB mail, RSA-2048, process start included");
    world.write("mail.txt", mail());
    let signer = world.token_file("me-rsa-sign.pem").display().to_string();
    let ours = measure(rounds, || {
        let status = world
            .command(binary("privyseal", true))
            .args(["sign", "mail.txt", "-s", &signer, "-o", "out"])
            .status();
        status.is_ok_and(|s| s.success())
    });
    let ours = ours.expect("privyseal sign");
    println!(
        "{:44} {} p99 {}",
        "privyseal sign, key in SoftHSM",
        ms(ours.percentile(50)),
        ms(ours.percentile(99))
    );
    let (bob, key) = (
        world.token_file("peer-rsa.pem"),
        world.token_file("peer-rsa.key"),
    );
    let line = format!(
        "cms -sign -binary -in mail.txt -out out -signer {} -inkey {}",
        bob.display(),
        key.display()
    );
    row(
        "openssl cms, key in a file",
        measure(rounds, || world.openssl(&line).code == 0),
        &ours,
    );

    let token = RawToken::make();
    let engine = measure(rounds.min(50), || {
        let certificate = token.dir().join("me-rsa-sign.pem");
        let status = world
            .command("openssl")
            .env("SOFTHSM2_CONF", token.conf())
            .env("PKCS11_MODULE_PATH", "/usr/lib/softhsm/libsofthsm2.so")
            .args([
                "cms", "-sign", "-binary", "-in", "mail.txt", "-out", "out", "-engine", "pkcs11",
                "-keyform", "engine",
            ])
            .args([
                "-inkey",
                &format!(
                    "pkcs11:token=privyseal-demo;object=rsa-sign;type=private;pin-value={PIN}"
                ),
                "-signer",
            ])
            .arg(certificate)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|s| s.success())
    });
    row("openssl cms, pkcs11 engine, SoftHSM", engine, &ours);
    let token = RawToken::make();
    let gpgsm = Gpgsm::new(world, &token);
    row(
        "gpgsm + gnupg-pkcs11-scd, SoftHSM",
        gpgsm.as_ref().and_then(|g| measure(rounds, || g.sign())),
        &ours,
    );
}

fn row(name: &str, times: Option<Times>, ours: &Times) {
    match times {
        Some(times) => println!(
            "{name:44} {} p99 {}   privyseal needs {:.2} of it",
            ms(times.percentile(50)),
            ms(times.percentile(99)),
            ours.percentile(50) / times.percentile(50)
        ),
        None => println!("{name:44} not installed here, or does not work"),
    }
}

/// `None` when the first try fails.
fn measure(rounds: usize, work: impl Fn() -> bool) -> Option<Times> {
    if !work() {
        return None;
    }
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        if !work() {
            return None;
        }
        times.push(began.elapsed());
    }
    Some(Times::new(times))
}

/// A GnuPG home with SoftHSM behind gnupg-pkcs11-scd: what its user sets up by hand.
struct Gpgsm<'a> {
    world: &'a World,
    home: std::path::PathBuf,
}

impl<'a> Gpgsm<'a> {
    fn new(world: &'a World, token: &RawToken) -> Option<Self> {
        let scd = "/usr/bin/gnupg-pkcs11-scd";
        if !std::path::Path::new(scd).exists() {
            return None;
        }
        let home = world.path("gnupg");
        fs::create_dir(&home).ok()?;
        rustix::fs::chmod(&home, rustix::fs::Mode::RWXU).ok()?;
        let pinentry = world.path("pinentry.sh");
        fs::write(
            &pinentry,
            format!("#!/bin/sh\necho OK\nwhile read l; do case $l in GETPIN*) echo 'D {PIN}'; echo OK;; BYE*) echo OK; exit;; *) echo OK;; esac; done\n"),
        )
        .ok()?;
        rustix::fs::chmod(&pinentry, rustix::fs::Mode::RWXU).ok()?;
        fs::write(
            home.join("gpg-agent.conf"),
            format!(
                "scdaemon-program {scd}\npinentry-program {}\n",
                pinentry.display()
            ),
        )
        .ok()?;
        fs::write(
            home.join("gnupg-pkcs11-scd.conf"),
            "providers softhsm\nprovider-softhsm-library /usr/lib/softhsm/libsofthsm2.so\n",
        )
        .ok()?;
        fs::write(
            home.join("gpgsm.conf"),
            "disable-crl-checks\ndisable-dirmngr\n",
        )
        .ok()?;
        let this = Gpgsm { world, home };
        // the agent keeps this environment
        let started = this
            .gpg("gpg-agent")
            .env("SOFTHSM2_CONF", token.conf())
            .args(["--daemon"])
            .output()
            .ok()?;
        if !started.status.success() {
            return None;
        }
        let root = world
            .openssl(&format!(
                "x509 -noout -fingerprint -sha1 -in {}",
                token.dir().join("anchor.pem").display()
            ))
            .text();
        let hex = root.trim().rsplit('=').next()?.to_owned();
        fs::write(this.home.join("trustlist.txt"), format!("{hex} S relax\n")).ok()?;
        for name in ["anchor.pem", "intermediate.pem"] {
            this.gpg("gpgsm")
                .arg("--import")
                .arg(token.dir().join(name))
                .output()
                .ok()?;
        }
        this.gpg("gpgsm").arg("--learn-card").output().ok()?;
        fs::write(this.home.join("signer"), this.fingerprint(token)?).ok()?;
        Some(this)
    }

    fn fingerprint(&self, token: &RawToken) -> Option<String> {
        let certificate = token.dir().join("me-rsa-sign.pem");
        let text = self
            .world
            .openssl(&format!(
                "x509 -noout -fingerprint -sha1 -in {}",
                certificate.display()
            ))
            .text();
        Some(text.trim().rsplit('=').next()?.replace(':', ""))
    }

    fn gpg(&self, program: &str) -> std::process::Command {
        let mut command = self.world.command(program);
        command
            .env("GNUPGHOME", &self.home)
            .args(["--homedir"])
            .arg(&self.home)
            .arg("--batch")
            .stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn sign(&self) -> bool {
        let signer = fs::read_to_string(self.home.join("signer")).unwrap_or_default();
        let input = fs::File::open(self.world.path("mail.txt")).unwrap();
        let status = self
            .gpg("gpgsm")
            .args(["--yes", "--detach-sign", "-o", "out", "-u", signer.trim()])
            .stdin(input)
            .status();
        status.is_ok_and(|s| s.success())
    }
}

impl Drop for Gpgsm<'_> {
    fn drop(&mut self) {
        let mut kill = self.world.command("gpgconf");
        let _ = kill
            .env("GNUPGHOME", &self.home)
            .args(["--kill", "all"])
            .status();
    }
}
