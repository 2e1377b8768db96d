//! The token's own limit: C_Sign in a loop, one login, a session a thread, on a token of its own, in a child process (SoftHSM
//! reads its configuration from the environment, and two processes on one store break each other).

use std::path::Path;
use std::process::{Command, exit};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use privyseal_tests::kinds::{Kind, Place};
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
        let conf = self.conf();
        let env = [("SOFTHSM2_CONF", conf.to_str().unwrap())];
        let token = ["/usr/lib/softhsm/libsofthsm2.so", "", PIN];
        in_a_child(token, key.label(), threads, seconds, env)
    }

    pub fn conf(&self) -> std::path::PathBuf {
        self.0.path().join("softhsm2.conf")
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }
}

/// The same of a token of another kind, by its key for RSA signatures.
pub fn of(place: &Place, kind: &Kind, seconds: f64) -> Times {
    let token = [place.module.to_str().unwrap(), kind.label, kind.pin];
    in_a_child(token, "rsa-sign", 1, seconds, place.env())
}

fn in_a_child<'a>(
    token: [&str; 3],
    key: &str,
    threads: usize,
    seconds: f64,
    env: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Times {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.arg("raw").args(token).arg(key);
    child.args([threads.to_string(), seconds.to_string()]);
    let output = child.envs(env).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let times = text.lines().map(|ns| ns.parse().unwrap());
    Times::new(times.map(Duration::from_nanos).collect())
}

/// The child: `bench raw MODULE TOKEN PIN KEY THREADS SECONDS` prints the time of each signature in nanoseconds. The token is the first
/// where no label is given, the key the first for RSA where none has this label (cards).
pub fn child(args: &[String]) -> ! {
    let [module, token, pin, label, threads, seconds] = args else {
        panic!("{args:?}");
    };
    let (threads, seconds): (usize, f64) = (threads.parse().unwrap(), seconds.parse().unwrap());
    let context = Pkcs11::new(module).unwrap();
    context
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    let slots = context.get_slots_with_initialized_token().unwrap();
    let is_it = |slot: &&Slot| {
        token.is_empty() || context.get_token_info(**slot).unwrap().label() == token.as_str()
    };
    let slot = *slots.iter().find(is_it).unwrap();
    let login = context.open_ro_session(slot).unwrap();
    login
        .login(UserType::User, Some(&AuthPin::new(pin.as_str().into())))
        .unwrap();
    let rsa = label.starts_with("rsa");
    let barrier = Barrier::new(threads);
    let all: Vec<Vec<u128>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                let (context, barrier) = (&context, &barrier);
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
                    let named = session.find_objects(&wanted).unwrap();
                    let key = named
                        .first()
                        .copied()
                        .unwrap_or_else(|| first_rsa(&session));
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
    // a TPM without a resource manager keeps what is not given back
    login.close().unwrap();
    context.finalize().unwrap();
    exit(0)
}

fn first_rsa(session: &Session) -> ObjectHandle {
    let wanted = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::RSA),
    ];
    session.find_objects(&wanted).unwrap()[0]
}
