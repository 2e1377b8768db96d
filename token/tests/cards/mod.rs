//! Two PIV cards in the two virtual readers of a real pcscd, in a place of their own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use der::{Decode, Encode};
use privyseal_token::{KeyRef, Module, ModuleConfig, ModuleStatus, TokenInfo};
use privyseal_virtual_card::card::Card as VirtualCard;
use privyseal_virtual_card::pcscd::Pcscd;
use privyseal_virtual_card::reader::Reader;
use privyseal_virtual_card::{control, keys, stranger};
use x509_cert::Certificate;

use crate::common::{eventually, openssl, worker};

pub const PIN: &[u8] = b"123456";
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";

pub struct Card {
    pub reader: &'static str,
    pub card: Reader,
    dir: PathBuf,
}

impl Card {
    fn new(temp: &Path, reader: &'static str, port: u16, algorithm: &str) -> Self {
        let dir = temp.join(port.to_string());
        let algorithms = [(0x9a, algorithm.to_owned())];
        keys::make_missing(&dir, &algorithms, "card@example.org").unwrap();
        let card = Reader::new(VirtualCard::open(&dir).unwrap(), "127.0.0.1", port);
        card.insert().unwrap();
        Self { reader, card, dir }
    }

    /// A command as on the control socket, and its answer.
    #[track_caller]
    pub fn tell(&self, command: &str) -> String {
        control::obey(command, &self.card).unwrap()
    }

    /// Waits until the card is at work on the command that is delayed; false: `over` has come before.
    pub fn commands_after(&self, over: impl Fn() -> bool) -> bool {
        // a delayed command keeps the card to itself
        eventually("the card is at work", || over() || self.card.is_busy());
        !over()
    }

    /// Pulls it, whatever it does.
    pub fn pull(&self) {
        self.card.disconnect();
    }

    /// The card itself holds its PIN for verified.
    pub fn is_verified(&self) -> bool {
        self.card.card().state().verified
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

    /// Whether it signs with its P-256 key for another program, which says no PIN.
    pub fn signs_for_others(&self) -> bool {
        stranger::may_sign(self.reader)
    }
}

/// Both, and their pcscd.
pub struct Cards {
    pub slow: Card,
    pub fast: Card,
    pcscd: Option<Pcscd>,
    _temp: tempfile::TempDir,
}

impl Cards {
    /// To be called in a private place.
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let pcscd = Some(Pcscd::start());
        let card = |reader, port, algorithm| Card::new(temp.path(), reader, port, algorithm);
        let cards = Self {
            slow: card("Virtual PCD 00 00", 35963, "p256"),
            fast: card("Virtual PCD 00 01", 35964, "rsa2048"),
            pcscd,
            _temp: temp,
        };
        cards.wait_for_pcscd();
        cards
    }

    /// With both cards listed.
    pub fn start(&self) -> Arc<Module> {
        self.start_with(|_| ())
    }

    pub fn start_with(&self, change: impl FnOnce(&mut ModuleConfig)) -> Arc<Module> {
        let mut config = ModuleConfig {
            path: OPENSC.into(),
            ..ModuleConfig::default()
        };
        change(&mut config);
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
        self.pcscd = None;
    }

    pub fn restart_pcscd(&mut self) {
        self.pcscd = Some(Pcscd::start());
        for card in [&self.slow, &self.fast] {
            card.card.remove();
            card.card.insert().unwrap();
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
