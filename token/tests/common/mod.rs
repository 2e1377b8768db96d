//! A SoftHSM token of its own for each test, and openssl.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use der::{Decode, Encode};
use privyseal_token::{Event, KeyRef, Module, ModuleConfig, ModuleStatus, TokenId, TokenInfo};
use x509_cert::Certificate;
use zeroize::Zeroizing;

pub const PIN: &str = "24-canary-42";
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

const BUILT: [&str; 2] = ["privyseal-softhsm", "libprivyseal_faulty_module.so"];

pub fn pin() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(PIN.as_bytes().to_vec())
}

/// The worker under test.
pub fn worker() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_privyseal-token"))
}

/// A file that cargo makes of another package of this workspace; made here if only this package is tested.
pub fn built(package: &str, file: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    let path = worker().with_file_name(file);
    BUILD.call_once(|| {
        if BUILT
            .iter()
            .all(|file| worker().with_file_name(file).exists())
        {
            return;
        }
        let release = worker()
            .parent()
            .is_some_and(|folder| folder.ends_with("release"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "-q",
            "-p",
            "privyseal-softhsm",
            "-p",
            "privyseal-faulty-module",
        ]);
        if release {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    });
    assert!(path.exists(), "{package} makes {}", path.display());
    path
}

pub fn eventually(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < until, "not within 30 s: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

pub fn kill(pid: u32, signal: &str) {
    let killed = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

/// Stops a process. Its threads stop one after the other, some time after the signal.
pub fn stop(pid: u32) {
    kill(pid, "-STOP");
    eventually("all its threads have stopped", || {
        let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.all(|thread| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            stat.rsplit(") ").next().unwrap().starts_with('T')
        })
    });
}

#[track_caller]
pub fn openssl(dir: &Path, args: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .current_dir(dir)
        .args(args.split_whitespace())
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {args}: {output:?}");
    output.stdout
}

/// A folder made by `privyseal-softhsm`.
pub struct Demo {
    temp: tempfile::TempDir,
}

impl Demo {
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let made = Command::new(built("privyseal-softhsm", "privyseal-softhsm"))
            .args(["init", "--pin", PIN, "--dir"])
            .arg(temp.path().join("demo"))
            .env_remove("SOFTHSM2_CONF")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Self { temp }
    }

    /// For the files of a test.
    pub fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir().join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir().join(name)).unwrap()
    }

    pub fn softhsm_util(&self, args: &str) {
        let output = Command::new("softhsm2-util")
            .env("SOFTHSM2_CONF", self.conf())
            .args(args.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Logged in to the demo token, in the folder of the test's files.
    pub fn pkcs11_tool(&self, args: &str) {
        let output = Command::new("pkcs11-tool")
            .current_dir(self.dir())
            .env("SOFTHSM2_CONF", self.conf())
            .args(["--module", SOFTHSM, "--token-label", "privyseal-demo"])
            .args(["--login", "--pin", PIN])
            .args(args.split(' '))
            .output()
            .unwrap();
        assert!(output.status.success(), "{args}: {output:?}");
    }

    fn conf(&self) -> String {
        let conf = self.dir().join("demo/softhsm2.conf");
        conf.to_str().unwrap().to_owned()
    }

    pub fn config(&self) -> ModuleConfig {
        ModuleConfig {
            path: SOFTHSM.into(),
            env: BTreeMap::from([("SOFTHSM2_CONF".into(), self.conf())]),
            ..ModuleConfig::default()
        }
    }

    /// Started and loaded.
    pub fn start(&self) -> Arc<Module> {
        self.ready(self.start_unready())
    }

    pub fn start_unready(&self) -> Arc<Module> {
        Module::start(self.config(), worker(), Box::new(|_| ()))
    }

    pub fn start_with_deadline(&self, deadline: Duration) -> Arc<Module> {
        let module =
            Module::start_with_deadline(self.config(), worker(), deadline, Box::new(|_| ()));
        self.ready(module)
    }

    /// Through the module that spies and fails.
    pub fn start_spied(&self) -> Arc<Module> {
        self.ready(Module::start(
            self.faulty_config(),
            worker(),
            Box::new(|_| ()),
        ))
    }

    /// The same with a deadline, ready or not.
    pub fn start_faulty(&self, deadline: Duration) -> Arc<Module> {
        Module::start_with_deadline(self.faulty_config(), worker(), deadline, Box::new(|_| ()))
    }

    pub fn faulty_config(&self) -> ModuleConfig {
        let mut config = self.config();
        config.path = built("privyseal-faulty-module", "libprivyseal_faulty_module.so");
        // as nobody knows this module
        config.write = vec![self.dir().to_owned()];
        let file = |name| self.dir().join(name).to_str().unwrap().to_owned();
        config.env.extend([
            ("PRIVYSEAL_FAULTY_TARGET".into(), SOFTHSM.into()),
            ("PRIVYSEAL_FAULTY_LOG".into(), file("spy.log")),
            ("PRIVYSEAL_FAULTY_SCRIPT".into(), file("script")),
        ]);
        config
    }

    /// What goes wrong from now on (`tests/faulty-module/src/script.rs`).
    pub fn script(&self, text: &str) {
        // whole or not at all: the worker may be reading it
        self.write("script.next", text.as_bytes());
        fs::rename(self.dir().join("script.next"), self.dir().join("script")).unwrap();
    }

    /// From another file than the package's.
    pub fn start_as(&self, path: &Path) -> Arc<Module> {
        let mut config = self.config();
        config.path = path.to_owned();
        self.ready(Module::start(config, worker(), Box::new(|_| ())))
    }

    pub fn start_listening(&self) -> (Arc<Module>, Arc<Mutex<Vec<Event>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        let notify = Box::new(move |event| heard.lock().unwrap().push(event));
        let module = Module::start(self.config(), worker(), notify);
        (self.ready(module), events)
    }

    fn ready(&self, module: Arc<Module>) -> Arc<Module> {
        eventually("the module is loaded", || {
            module.status() != ModuleStatus::Loading
        });
        assert_eq!(module.status(), ModuleStatus::Ok);
        module
    }

    pub fn unlocked(&self) -> (Arc<Module>, TokenId) {
        let module = self.start();
        let token = self.token(&module).id;
        module.login(&token, Some(pin()), false).unwrap();
        (module, token)
    }

    /// The demo token.
    #[track_caller]
    pub fn token(&self, module: &Module) -> TokenInfo {
        let mut tokens = module.tokens().into_iter();
        tokens.find(|t| t.label == "privyseal-demo").unwrap()
    }

    /// What the spy wrote.
    pub fn spied(&self) -> String {
        String::from_utf8(self.read("spy.log")).unwrap()
    }

    /// C_Login calls that the spy saw.
    pub fn logins(&self) -> usize {
        let log = self.spied();
        log.lines().filter(|l| l.starts_with("C_Login ")).count()
    }

    /// DER of one of the demo's certificates.
    pub fn certificate(&self, name: &str) -> Vec<u8> {
        openssl(
            self.dir(),
            &format!("x509 -in demo/{name}.pem -outform DER"),
        )
    }

    /// DER of its SubjectPublicKeyInfo.
    pub fn public_key(&self, name: &str) -> Vec<u8> {
        let certificate = Certificate::from_der(&self.certificate(name)).unwrap();
        let tbs = certificate.tbs_certificate();
        tbs.subject_public_key_info().to_der().unwrap()
    }

    /// Its key on the token: by the CKA_ID beside the certificate.
    pub fn key(&self, module: &Module, name: &str) -> KeyRef {
        let der = self.certificate(name);
        let listed = module.certificates(&self.token(module).id);
        let id = listed.into_iter().find(|c| c.der == der).unwrap().id;
        KeyRef {
            id,
            spki: self.public_key(name),
        }
    }

    /// `secret` encrypted by openssl for a certificate.
    pub fn wrap(&self, name: &str, secret: &[u8], options: &str) -> Vec<u8> {
        self.write("secret", secret);
        openssl(
            self.dir(),
            &format!(
                "pkeyutl -encrypt -certin -inkey demo/{name}.pem {options} -in secret -out wrapped"
            ),
        );
        self.read("wrapped")
    }

    /// A new P-256 key of the other side in a file; its uncompressed point.
    pub fn new_point(&self, file: &str) -> Vec<u8> {
        openssl(
            self.dir(),
            &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {file}"),
        );
        let spki = openssl(self.dir(), &format!("pkey -in {file} -pubout -outform DER"));
        spki[spki.len() - 65..].to_vec()
    }
}
