//! Two PIV cards (an emulator) in the two virtual readers of a real pcscd.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use der::{Decode, Encode};
use privyseal_token::{KeyRef, Module, ModuleConfig, ModuleStatus, TokenInfo};
use x509_cert::Certificate;

use crate::common::{eventually, kill, openssl, worker};

pub const PIN: &[u8] = b"123456";
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";
const PCSCD: &str = "/usr/sbin/pcscd";
const SOCKET: &str = "/run/pcscd/pcscd.comm";

/// The emulator is not part of this repository.
fn emulator() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let conformance = std::env::var_os("PRIVYSEAL_CONFORMANCE").map(PathBuf::from);
    let shared = conformance.and_then(|c| c.parent().map(Path::to_owned));
    let path = shared.unwrap_or(beside).join("tools/piv_emulator.py");
    if path.exists() {
        return Some(path);
    }
    // not eprintln: the harness hides what a passing test prints
    let line = format!("NOT RUN: no card emulator at {}\n", path.display());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

pub struct Card {
    pub reader: &'static str,
    dir: PathBuf,
    emulator: Child,
}

impl Card {
    fn new(script: &Path, temp: &Path, reader: &'static str, port: u16, algorithms: &str) -> Self {
        let dir = temp.join(port.to_string());
        // Debian's own, which python3-cryptography is for
        let mut emulator = Command::new("/usr/bin/python3")
            .arg(script)
            .arg("--dir")
            .arg(&dir)
            .args(["--port", &port.to_string(), "--alg", algorithms])
            .arg("--control")
            .arg(dir.with_extension("control"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(emulator.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the emulator needs python3-cryptography");
        let card = Self {
            reader,
            dir,
            emulator,
        };
        eventually("the emulator listens", || card.connect().is_ok());
        card
    }

    fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.dir.with_extension("control"))
    }

    /// A command to the emulator, and its answer.
    pub fn tell(&self, command: &str) -> String {
        let mut control = self.connect().unwrap();
        writeln!(control, "{command}").unwrap();
        let mut answer = String::new();
        BufReader::new(control).read_line(&mut answer).unwrap();
        assert!(!answer.starts_with("err"), "{command}: {answer}");
        answer
    }

    /// The card itself holds its PIN for verified.
    pub fn is_verified(&self) -> bool {
        self.tell("stat").contains("verified=True")
    }

    /// As the module lists it.
    #[track_caller]
    pub fn token(&self, module: &Module) -> TokenInfo {
        self.find(module).unwrap()
    }

    pub fn find(&self, module: &Module) -> Option<TokenInfo> {
        let mut tokens = module.tokens().into_iter();
        tokens.find(|t| t.reader == self.reader)
    }

    /// The key for signing in slot 9A.
    pub fn key(&self, module: &Module) -> KeyRef {
        let der = openssl(&self.dir, "x509 -in 9a.crt.pem -outform DER");
        let certificate = Certificate::from_der(&der).unwrap();
        let tbs = certificate.tbs_certificate();
        let listed = module.certificates(&self.token(module).id);
        KeyRef {
            id: listed.into_iter().find(|c| c.der == der).unwrap().id,
            spki: tbs.subject_public_key_info().to_der().unwrap(),
        }
    }

    /// Has openssl verify a signature over SHA-256.
    #[track_caller]
    pub fn verify(&self, message: &[u8], signature: &[u8]) {
        fs::write(self.dir.join("message"), message).unwrap();
        fs::write(self.dir.join("signature"), signature).unwrap();
        openssl(&self.dir, "x509 -in 9a.crt.pem -noout -pubkey -out public");
        openssl(
            &self.dir,
            "dgst -sha256 -verify public -signature signature message",
        );
    }

    /// What the card answers when another program has it sign with its P-256 key and says no PIN (SP 800-73-4 part 2 §3.2.4).
    pub fn raw_sign(&self) -> String {
        let digest = ["07"; 32].join(":");
        let output = Command::new("opensc-tool")
            .args(["--reader", self.reader])
            .args(["-s", "00:A4:04:00:09:A0:00:00:03:08:00:00:10:00:00"])
            .args([
                "-s",
                &format!("00:87:11:9A:26:7C:24:82:00:81:20:{digest}:00"),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let mut answers = said.lines().filter(|l| l.starts_with("Received (SW1="));
        let last = answers
            .next_back()
            .unwrap_or_else(|| panic!("{said} {:?}", output.stderr));
        last.to_owned()
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

/// One machine has one pcscd, so one test at a time has it.
pub struct Cards {
    pub slow: Card,
    pub fast: Card,
    pcscd: Child,
    _temp: tempfile::TempDir,
    _turn: File,
}

impl Cards {
    /// `None` where there is no emulator.
    pub fn new() -> Option<Self> {
        let script = emulator()?;
        // its own binary is the lock: nothing to remove
        let turn = File::open(PCSCD).unwrap();
        turn.lock().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let pcscd = start_pcscd();
        let card =
            |reader, port, algorithms| Card::new(&script, temp.path(), reader, port, algorithms);
        let cards = Self {
            slow: card("Virtual PCD 00 00", 35963, "9a=p256"),
            fast: card("Virtual PCD 00 01", 35964, "9a=rsa2048"),
            pcscd,
            _temp: temp,
            _turn: turn,
        };
        cards.wait_for_pcscd();
        Some(cards)
    }

    /// With both cards listed.
    pub fn start(&self) -> Arc<Module> {
        let config = ModuleConfig {
            path: OPENSC.into(),
            ..ModuleConfig::default()
        };
        let module = Module::start(config, worker(), Box::new(|_| ()));
        self.wait_for_both(&module);
        module
    }

    pub fn wait_for_both(&self, module: &Module) {
        eventually("both cards are listed", || {
            module.status() == ModuleStatus::Ok
                && self.slow.find(module).is_some()
                && self.fast.find(module).is_some()
        });
    }

    pub fn stop_pcscd(&mut self) {
        kill(self.pcscd.id(), "-TERM");
        self.pcscd.wait().unwrap();
    }

    pub fn restart_pcscd(&mut self) {
        self.pcscd = start_pcscd();
        for card in [&self.slow, &self.fast] {
            card.tell("remove");
            card.tell("insert");
        }
        self.wait_for_pcscd();
    }

    /// It looks for cards every 400 ms; the modules' workers look every 5 s.
    fn wait_for_pcscd(&self) {
        eventually("pcscd has noticed both cards", || {
            let output = Command::new("opensc-tool")
                .arg("--list-readers")
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            said.matches(" Yes ").count() == 2
        });
    }
}

impl Drop for Cards {
    fn drop(&mut self) {
        if let Ok(None) = self.pcscd.try_wait() {
            self.stop_pcscd();
        }
    }
}

/// Started, with the ports of both virtual readers open.
fn start_pcscd() -> Child {
    assert!(rustix::process::geteuid().is_root(), "pcscd needs root");
    assert!(
        UnixStream::connect(SOCKET).is_err(),
        "a pcscd runs already: stop it for this test"
    );
    let pcscd = Command::new(PCSCD)
        .arg("--foreground")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("pcscd listens", || UnixStream::connect(SOCKET).is_ok());
    pcscd
}
