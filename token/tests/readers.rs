//! Two cards behind the real OpenSC and the real pcscd: a worker for each, so that what is slow, dead or locked in one reader
//! does not touch the other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod cards;
mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cards::{Cards, PIN};
use common::{eventually, kill};
use privyseal_token::{Error, Hash, Module, ModuleStatus, SignScheme, TokenId};
use privyseal_virtual_card::pcscd::in_private_place;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const MESSAGE: &[u8] = b"to be signed";
const RSA: SignScheme = SignScheme::RsaPkcs1(Hash::Sha256);

fn unlock(module: &Module, token: &TokenId) {
    let pin = Zeroizing::new(PIN.to_vec());
    module.login(token, Some(pin), false).unwrap();
}

/// Workers that this process has.
fn workers() -> usize {
    let mine = format!("PPid:\t{}\n", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_worker = |dir: &fs::DirEntry| {
        // a process may end while it is looked at
        let read = |file| fs::read_to_string(dir.path().join(file)).unwrap_or_default();
        read("comm") == "privyseal-token\n" && read("status").contains(&mine)
    };
    processes.filter(is_worker).count()
}

#[test]
fn a_slow_card_does_not_delay_another() {
    in_private_place("a_slow_card_does_not_delay_another", || {
        let cards = Cards::new();
        let module = cards.start();
        let digest = Sha256::digest(MESSAGE);
        let (slow, fast) = (cards.slow.token(&module).id, cards.fast.token(&module).id);
        unlock(&module, &slow);
        unlock(&module, &fast);
        let slow_key = cards.slow.key(&module);
        let fast_key = cards.fast.key(&module);
        // what is done for the first signature only
        module
            .sign(&slow, &slow_key, SignScheme::Ecdsa, &digest)
            .unwrap();
        cards.slow.tell("delay 2000");

        let slow_is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let (begun, has_begun) = std::sync::mpsc::channel();
            let (module, cards, digest, slow_is_done) = (&module, &cards, &digest, &slow_is_done);
            scope.spawn(move || {
                begun.send(()).unwrap();
                let signature = module.sign(&slow, &slow_key, SignScheme::Ecdsa, digest);
                slow_is_done.store(true, Ordering::SeqCst);
                cards.slow.verify(MESSAGE, &signature.unwrap());
            });
            has_begun.recv().unwrap();
            for _ in 0..5 {
                let signature = module.sign(&fast, &fast_key, RSA, digest).unwrap();
                assert!(!slow_is_done.load(Ordering::SeqCst), "it has waited");
                cards.fast.verify(MESSAGE, &signature);
            }
        });
        assert!(slow_is_done.into_inner());

        module.shutdown();
        assert_eq!(workers(), 0);
        assert!(!cards.slow.is_verified() && !cards.fast.is_verified());
    });
}

#[test]
fn pin_death_and_logout_are_one_cards_own() {
    in_private_place("pin_death_and_logout_are_one_cards_own", || {
        let cards = Cards::new();
        let module = cards.start();
        let digest = Sha256::digest(MESSAGE);
        let (one, two) = (cards.slow.token(&module).id, cards.fast.token(&module).id);
        let one_key = cards.slow.key(&module);
        let two_key = cards.fast.key(&module);
        let sign_one = || module.sign(&one, &one_key, SignScheme::Ecdsa, &digest);
        let sign_two = || module.sign(&two, &two_key, RSA, &digest);

        unlock(&module, &two);
        assert!(!cards.slow.token(&module).unlocked && !cards.slow.is_verified());
        assert_eq!(sign_one(), Err(Error::PinRequired));
        cards.fast.verify(MESSAGE, &sign_two().unwrap());

        // the worker of one dies: the other's login holds, and the card that it leaves behind is not left open
        unlock(&module, &one);
        assert!(cards.slow.is_verified());
        let (dies, lives) = (module.worker_pid_of(&one), module.worker_pid_of(&two));
        assert!(dies.is_some() && lives.is_some() && dies != lives);
        kill(dies.unwrap(), "-KILL");
        eventually("its death is known", || !cards.slow.token(&module).unlocked);
        cards.fast.verify(MESSAGE, &sign_two().unwrap());
        eventually("its successor is there", || {
            module.status() == ModuleStatus::Ok && module.worker_pid_of(&one).is_some()
        });
        assert!(!cards.slow.signs_for_others());
        assert_eq!(sign_one(), Err(Error::PinRequired));
        assert_eq!(module.worker_pid_of(&two), lives);

        // a card without its PIN verified refuses, and that is what logout is for
        unlock(&module, &one);
        cards.slow.verify(MESSAGE, &sign_one().unwrap());
        assert!(cards.slow.signs_for_others());
        module.logout(&one).unwrap();
        assert!(!cards.slow.signs_for_others());
        assert_eq!(sign_one(), Err(Error::PinRequired));
        assert!(cards.fast.token(&module).unlocked);
        cards.fast.verify(MESSAGE, &sign_two().unwrap());
        assert_eq!(module.worker_pid_of(&two), lives);
    });
}

#[test]
fn readers_come_and_go() {
    in_private_place("readers_come_and_go", || {
        let mut cards = Cards::new();
        let module = cards.start();
        let one = cards.slow.token(&module).id;
        unlock(&module, &one);
        module.rescan().unwrap();
        assert!(cards.slow.token(&module).unlocked, "a look costs no login");

        cards.stop_pcscd();
        eventually("nothing is listed", || module.tokens().is_empty());
        assert_eq!(module.status(), ModuleStatus::Ok);
        module.rescan().unwrap();
        // the one that serves no reader, and the one that waits for pcscd
        eventually("the readers' workers have ended", || workers() == 2);

        cards.restart_pcscd();
        module.rescan().unwrap();
        cards.wait_for_both(&module);
        assert!(!cards.slow.token(&module).unlocked);
        unlock(&module, &one);
        let key = cards.slow.key(&module);
        let digest = Sha256::digest(MESSAGE);
        let signature = module.sign(&one, &key, SignScheme::Ecdsa, &digest);
        cards.slow.verify(MESSAGE, &signature.unwrap());

        drop(module);
        assert_eq!(workers(), 0);
    });
}

/// A pulled card is gone from the list soon, and what was under way says so; back again it is the same token, locked.
#[test]
fn a_pulled_card_is_gone_and_comes_back_locked() {
    in_private_place("a_pulled_card_is_gone_and_comes_back_locked", || {
        let cards = Cards::new();
        let module = cards.start();
        let digest = Sha256::digest(MESSAGE);
        let token = cards.slow.token(&module);
        let key = cards.slow.key(&module);
        let sign = || module.sign(&token.id, &key, SignScheme::Ecdsa, &digest);
        unlock(&module, &token.id);
        cards.slow.verify(MESSAGE, &sign().unwrap());

        cards.slow.tell("remove");
        let pulled = Instant::now();
        eventually("it is gone", || cards.slow.find(&module).is_none());
        assert!(pulled.elapsed() < Duration::from_millis(1500));
        assert_eq!(sign(), Err(Error::TokenNotPresent));

        cards.slow.tell("insert");
        eventually("it is back", || cards.slow.find(&module).is_some());
        let back = cards.slow.token(&module);
        assert_eq!(back.id, token.id);
        assert!(!back.unlocked && !cards.slow.is_verified());
        assert_eq!(sign(), Err(Error::PinRequired));
        unlock(&module, &token.id);
        cards.slow.verify(MESSAGE, &sign().unwrap());

        // in the middle of a signature
        cards.slow.tell("drop 87");
        let pulled = Instant::now();
        let failed = sign();
        assert!(matches!(failed, Err(Error::TokenRemoved)), "{failed:?}");
        assert!(pulled.elapsed() < Duration::from_secs(3));
        eventually("it is gone", || cards.slow.find(&module).is_none());

        // and into another reader
        cards.fast.tell("remove");
        eventually("both are gone", || module.tokens().is_empty());
        let mut counters = cards.slow.card.card().state();
        counters.verified = false;
        assert_eq!((counters.pin_left, counters.verifies), (3, 2));
        assert_eq!(module.status(), ModuleStatus::Ok);
        module.shutdown();
        assert_eq!(workers(), 0);
    });
}

/// While the card is slow: pcscd has noticed that it is gone, and the driver hangs or not.
#[test]
fn a_card_pulled_from_a_hanging_driver_is_an_error_soon() {
    in_private_place(
        "a_card_pulled_from_a_hanging_driver_is_an_error_soon",
        || {
            let cards = Cards::new();
            let module = cards.start();
            let token = cards.slow.token(&module).id;
            let key = cards.slow.key(&module);
            unlock(&module, &token);
            cards.slow.tell("delay 20000");
            thread::scope(|scope| {
                let busy = scope.spawn(|| {
                    let digest = Sha256::digest(MESSAGE);
                    let result = module.sign(&token, &key, SignScheme::Ecdsa, &digest);
                    (result, Instant::now())
                });
                let began = cards.slow.commands_after(|| busy.is_finished());
                cards.slow.pull();
                let pulled = Instant::now();
                let (result, ended) = busy.join().unwrap();
                assert!(began);
                assert!(matches!(result, Err(Error::TokenRemoved)), "{result:?}");
                assert!(ended - pulled < Duration::from_secs(2));
            });
            assert!(cards.slow.find(&module).is_none());
            cards.fast.token(&module);
        },
    );
}

/// Others may have a locked card (scdaemon, a browser): nothing of ours holds it. One in use stays.
#[test]
fn a_locked_card_is_let_go() {
    in_private_place("a_locked_card_is_let_go", || {
        let cards = Cards::new();
        let module = cards.start();
        let (one, two) = (cards.slow.token(&module).id, cards.fast.token(&module).id);
        unlock(&module, &two);
        let begun = Instant::now();
        eventually("it is let go", || module.worker_pid_of(&one).is_none());
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(module.status(), ModuleStatus::Ok);
        assert_eq!(cards.slow.token(&module).id, one, "and still listed");
        let holds = module.worker_pid_of(&two);
        assert!(holds.is_some() && cards.fast.is_verified());
        // the next use takes it again
        unlock(&module, &one);
        let key = cards.slow.key(&module);
        let digest = Sha256::digest(MESSAGE);
        let signature = module.sign(&one, &key, SignScheme::Ecdsa, &digest);
        cards.slow.verify(MESSAGE, &signature.unwrap());
        assert_eq!(module.worker_pid_of(&two), holds);
    });
}

/// `hold = "never"`: an unlocked card is locked and let go as soon as nobody uses it.
#[test]
fn a_card_that_is_never_held_is_locked_when_idle() {
    in_private_place("a_card_that_is_never_held_is_locked_when_idle", || {
        let cards = Cards::new();
        let module = cards.start_with(|config| config.hold = Some("never".into()));
        let one = cards.slow.token(&module).id;
        unlock(&module, &one);
        let key = cards.slow.key(&module);
        let digest = Sha256::digest(MESSAGE);
        let signature = module.sign(&one, &key, SignScheme::Ecdsa, &digest);
        cards.slow.verify(MESSAGE, &signature.unwrap());
        eventually("it is let go", || module.worker_pid_of(&one).is_none());
        assert!(!cards.slow.token(&module).unlocked);
        assert!(!cards.slow.signs_for_others());
    });
}
