//! The token's own limit: C_Sign in a loop, one login, a session a thread, on a token of its own, in a child process (SoftHSM
//! reads its configuration from the environment, and two processes on one store break each other).

use std::path::Path;
use std::process::{Command, exit};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use privyseal_tests::{PIN, binary};

use crate::report::Times;

/// The signing keys of a demo token.
#[derive(Clone, Copy)]
pub enum Key {
    Rsa,
    P256,
}

impl Key {
    pub fn label(self) -> &'static str {
        match self {
            Key::Rsa => "rsa-sign",
            Key::P256 => "ec-sign",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Key::Rsa => "RSA-2048",
            Key::P256 => "P-256",
        }
    }
}

/// A second demo token, for the raw loop only.
pub struct RawToken(tempfile::TempDir);

impl RawToken {
    pub fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new(binary("privyseal-softhsm", true))
            .args(["init", "--pin", PIN, "--dir"])
            .arg(dir.path())
            .env_remove("SOFTHSM2_CONF")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        RawToken(dir)
    }

    /// Signs for so long with so many threads.
    pub fn sign(&self, key: Key, threads: usize, seconds: f64) -> Times {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "raw",
                key.label(),
                &threads.to_string(),
                &seconds.to_string(),
            ])
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        Times::new(
            text.lines()
                .map(|ns| Duration::from_nanos(ns.parse().unwrap()))
                .collect(),
        )
    }

    pub fn conf(&self) -> std::path::PathBuf {
        self.0.path().join("softhsm2.conf")
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }
}

/// The child: `bench raw LABEL THREADS SECONDS` prints the time of each signature in nanoseconds.
pub fn child(args: &[String]) -> ! {
    let label = args[0].clone();
    let threads: usize = args[1].parse().unwrap();
    let seconds: f64 = args[2].parse().unwrap();
    let context = Pkcs11::new("/usr/lib/softhsm/libsofthsm2.so").unwrap();
    context
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    let slots = context.get_slots_with_initialized_token().unwrap();
    let slot = slots[0];
    let login = context.open_ro_session(slot).unwrap();
    login
        .login(UserType::User, Some(&AuthPin::new(PIN.into())))
        .unwrap();
    let rsa = label.starts_with("rsa");
    let barrier = Barrier::new(threads);
    let all: Vec<Vec<u128>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let (context, label, barrier) = (&context, &label, &barrier);
                scope.spawn(move || {
                    // what is signed for a SHA-256 digest: a DigestInfo, or the digest itself
                    let (mechanism, data) = if rsa {
                        (Mechanism::RsaPkcs, vec![0x30; 51])
                    } else {
                        (Mechanism::Ecdsa, vec![0x5a; 32])
                    };
                    let session = context.open_ro_session(slot).unwrap();
                    let wanted = [
                        Attribute::Class(ObjectClass::PRIVATE_KEY),
                        Attribute::Label(label.as_bytes().to_vec()),
                    ];
                    let key = session.find_objects(&wanted).unwrap()[0];
                    session.sign(&mechanism, key, &data).unwrap();
                    barrier.wait();
                    let end = Instant::now() + Duration::from_secs_f64(seconds);
                    let mut times = Vec::new();
                    while Instant::now() < end {
                        let began = Instant::now();
                        session.sign(&mechanism, key, &data).unwrap();
                        times.push(began.elapsed().as_nanos());
                    }
                    times
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let text: String = all
        .into_iter()
        .flatten()
        .map(|ns| format!("{ns}\n"))
        .collect();
    print!("{text}");
    exit(0)
}
