//! A module that crashes, hangs, lies or fails at any function that the worker calls: a typed error, soon, and the next call works.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Demo, eventually, pin};
use privyseal_token::{
    Error, Hash, KeyRef, Module, ModuleStatus, Result, SignScheme, TokenId, UnwrapScheme,
};

const PKCS1: SignScheme = SignScheme::RsaPkcs1(Hash::Sha256);
const DEADLINE: Duration = Duration::from_secs(1);
/// An answer after a crash.
const SOON: Duration = Duration::from_millis(250);

/// Functions that are called while a module is loaded and looked at.
const LOADING: [&str; 7] = [
    "C_Initialize",
    "C_GetInfo",
    "C_GetSlotList",
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_OpenSession",
];
/// Those that are called for a login, its objects, keys and logout.
const USING: [&str; 13] = [
    "C_Login",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_GetAttributeValue",
    "C_SignInit",
    "C_Sign",
    "C_DecryptInit",
    "C_Decrypt",
    "C_DeriveKey",
    "C_DestroyObject",
    "C_CloseSession",
    "C_Logout",
];

/// A token and what there is to do with it.
struct Work {
    demo: Demo,
    module: Arc<Module>,
    token: TokenId,
    keys: [KeyRef; 3],
    wrapped: Vec<u8>,
    point: Vec<u8>,
}

impl Work {
    fn new() -> Self {
        let demo = Demo::new();
        demo.script("");
        let module = demo.start_faulty(DEADLINE);
        eventually("it is loaded", || module.status() == ModuleStatus::Ok);
        let options = "-pkeyopt rsa_padding_mode:pkcs1";
        Self {
            token: demo.token(&module).id,
            keys: ["me-rsa-sign", "me-rsa-encrypt", "me-ec-encrypt"]
                .map(|name| demo.key(&module, name)),
            wrapped: demo.wrap("me-rsa-encrypt", &[1; 16], options),
            point: demo.new_point("peer.key"),
            module,
            demo,
        }
    }

    /// Everything once; the first error.
    fn run(&self) -> Result<()> {
        let [sign, unwrap, ecdh] = &self.keys;
        let (module, token) = (&self.module, &self.token);
        module.login(token, Some(pin()), true)?;
        module.sign(token, sign, PKCS1, &[7; 32])?;
        let scheme = UnwrapScheme::RsaPkcs1;
        module.unwrap_key(token, unwrap, scheme, &self.wrapped, 16)?;
        module.ecdh(token, ecdh, &self.point)?;
        module.logout(token)
    }

    /// A locked token in a module that does what it should.
    fn recover(&self) {
        self.demo.script("");
        let began = Instant::now();
        self.module.rescan().unwrap();
        self.run().unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

/// The two lists above are what the worker calls, no more and no less.
#[test]
fn every_function_that_is_called_is_in_the_tables() {
    let work = Work::new();
    work.run().unwrap();
    work.module.rescan().unwrap();
    let called: BTreeSet<String> = work
        .demo
        .spied()
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    work.module.shutdown();
    let known: BTreeSet<String> = LOADING
        .iter()
        .chain(&USING)
        .map(|name| (*name).to_owned())
        .collect();
    let ends = BTreeSet::from(["C_Finalize".to_owned()]);
    let unknown: Vec<_> = called.difference(&known).collect();
    assert!(
        unknown.iter().all(|name| ends.contains(*name)),
        "{unknown:?}"
    );
    let missing: Vec<_> = known.difference(&called).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// One fault at one function, while nothing or something goes on.
fn cell(work: &Work, function: &str, fault: &str, most: Duration) {
    work.demo.script(&format!("{function} once {fault}"));
    let began = Instant::now();
    let mut result = work.run();
    if result.is_ok() {
        // it is a function of looking at tokens
        result = work.module.rescan();
    }
    let took = began.elapsed();
    let named = matches!(
        result,
        Err(Error::WorkerDied(_) | Error::Module(_) | Error::Timeout | Error::TokenError(_))
    );
    assert!(named, "{function} {fault}: {result:?}");
    assert!(took < most, "{function} {fault}: {took:?}");
    work.recover();
}

/// Each function in its turn; in `threads` worlds of their own.
fn table(name: &str, functions: &[&str], fault: &str, most: Duration) {
    let cells = thread::scope(|scope| {
        let parts = functions.chunks(functions.len().div_ceil(4));
        let parts: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    // deaths in a minute are counted: a world for each
                    part.iter().for_each(|function| {
                        cell(&Work::new(), function, fault, most);
                    });
                    part.len()
                })
            })
            .collect();
        parts.into_iter().map(|p| p.join().unwrap()).sum::<usize>()
    });
    println!("{name}: {cells} cells ran");
    assert_eq!(cells, functions.len());
}

#[test]
fn a_crash_at_any_function_is_an_error_at_once() {
    // the work before the fault takes its time too
    table("crash", &USING, "crash", SOON + Duration::from_millis(750));
    table(
        "crash, looking",
        &LOADING[2..],
        "crash",
        SOON + Duration::from_secs(1),
    );
}

#[test]
fn a_hang_at_any_function_ends_at_the_deadline() {
    let most = DEADLINE + Duration::from_secs(1);
    table("hang", &USING, "hang", most);
    table("hang, looking", &LOADING[2..], "hang", most + DEADLINE);
}

/// Loading is done again after a while, by itself.
#[test]
fn a_module_that_does_not_load_is_loaded_later() {
    let mut cells = 0;
    for function in &LOADING[..4] {
        for fault in ["crash", "hang", "return 0x5"] {
            let demo = Demo::new();
            demo.script(&format!("{function} once {fault}"));
            let module = demo.start_faulty(DEADLINE);
            eventually("its failure is known", || {
                matches!(module.status(), ModuleStatus::Failed(_))
                    || module.tokens().iter().any(|t| t.label == "privyseal-demo")
            });
            module.rescan().unwrap();
            assert_eq!(module.status(), ModuleStatus::Ok, "{function} {fault}");
            assert!(demo.token(&module).initialized);
            cells += 1;
        }
    }
    println!("loading: {cells} cells ran");
    assert_eq!(cells, 12);
}

/// What a module says is not believed where it can be seen to be wrong; where it cannot, that is seen by who verifies.
#[test]
fn lies_and_errors_are_named_or_do_no_harm() {
    let mut cells = 0;
    for (function, faults) in [
        (
            "C_Sign",
            &[
                "lie 100000",
                "return 0x5",
                "return 0x30",
                "done-but 0x6",
                "garbage",
            ][..],
        ),
        (
            "C_SignInit",
            &["return 0x90", "return 0x101", "done-but 0x5"],
        ),
        ("C_Decrypt", &["lie 100000", "return 0x30", "garbage"]),
        ("C_FindObjects", &["lie 1000000000", "return 0x5"]),
        ("C_GetMechanismList", &["lie 1000000000", "return 0x5"]),
        (
            "C_GetSlotList",
            &["lie 1000000000", "garbage", "return 0x5"],
        ),
        (
            "C_GetAttributeValue",
            &["return 0x5", "return 0x12", "return 0x82"],
        ),
        ("C_GetTokenInfo", &["return 0xe0", "return 0x5"]),
        ("C_OpenSession", &["return 0xe0", "return 0xb1"]),
        ("C_Login", &["return 0x5", "return 0x32"]),
        ("C_Logout", &["return 0x5", "return 0x101"]),
        ("C_DeriveKey", &["return 0x5", "return 0x101"]),
    ] {
        let work = Work::new();
        for fault in faults {
            work.demo.script(&format!("{function} once {fault}"));
            let began = Instant::now();
            let _ = work.run().and_then(|()| work.module.rescan());
            assert!(began.elapsed() < DEADLINE + Duration::from_secs(1));
            work.recover();
            cells += 1;
        }
        assert!(
            work.demo.logins() <= 3 * faults.len(),
            "no PIN is said twice"
        );
    }
    println!("lies and errors: {cells} cells ran");
    assert_eq!(cells, 31);
}

/// A token of another worker sees nothing of it.
#[test]
fn another_token_goes_on() {
    let work = Work::new();
    let other = Demo::new();
    let (module, token) = other.unlocked();
    let key = other.key(&module, "me-rsa-sign");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let slowest = thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let began = Instant::now();
                module.sign(&token, &key, PKCS1, &[7; 32]).unwrap();
                slowest = slowest.max(began.elapsed());
            }
            slowest
        });
        for fault in ["crash", "hang", "crash"] {
            cell(&work, "C_Sign", fault, DEADLINE + Duration::from_secs(1));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.join().unwrap()
    });
    assert!(slowest < DEADLINE, "{slowest:?}");
}
