//! Mixed operations for a long time, with a fault in every hundred: the daemon and its workers end as small as they were, and nothing is
//! lost, stuck, wrong or entered twice.
//!
//! `PRIVYSEAL_SOAK=3600` goes on for so many seconds (15 by default). From ten minutes on the growth of memory is judged too.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::time::{Duration, Instant};

use privyseal_proto::Dict;
use privyseal_tests::bytes::{Client, text};
use privyseal_tests::memory::processes;
use privyseal_tests::{PIN, World, WorldOptions};
use privyseal_virtual_card::control;
use privyseal_virtual_card::pcscd::in_private_place;

const MAIL: &[u8] = b"Content-Type: text/plain\r\n\r\nHello\r\n";
const CARD: &str = "Virtual Card 9A";
const SOFTHSM: &str = "privyseal-demo";
/// After a fault both tokens are unlocked again within this.
const SETTLED: Duration = Duration::from_secs(60);
/// Of the time: what is allocated once has been by then.
const WARM_UP: u32 = 10;
/// Seconds from which on memory is judged: in a short run its noise is greater.
const JUDGED: u64 = 600;
/// Growth that is allowed, percent.
const GROWTH: u64 = 5;

/// What goes wrong, one after the other.
const OF_MODULE: [&str; 6] = [
    "C_Sign once return 0x30",
    "C_SignInit once return 0x5",
    "C_Decrypt once return 0x31",
    "C_Sign once crash",
    "C_OpenSession once return 0xe0",
    "C_FindObjectsInit once return 0x5",
];
const OF_CARD: [&str; 4] = ["drop 87", "sw 6f00 87 1", "sw 6581 87 2", "delay 200"];

/// What is open and used.
#[derive(Debug)]
struct Measure {
    /// bytes, of the daemon and its workers
    resident: u64,
    descriptors: usize,
    processes: usize,
}

fn measure(world: &World) -> Measure {
    let pids = processes(world);
    let resident = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.map_or("0", |l| l.trim().trim_end_matches(" kB"));
        kib.parse::<u64>().unwrap() << 10
    };
    let descriptors =
        |pid: &u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Measure {
        resident: pids.iter().map(resident).sum(),
        descriptors: pids.iter().map(descriptors).sum(),
        processes: pids.len(),
    }
}

/// Sessions that the module behind the spy has open.
fn sessions(world: &World) -> i64 {
    let log = String::from_utf8(world.read("spy/log")).unwrap();
    let mut open = 0;
    for line in log.lines() {
        match line.split(' ').next() {
            Some("C_OpenSession") => open += 1,
            Some("C_CloseSession") => open -= 1,
            Some("C_CloseAllSessions" | "C_Finalize" | "C_Initialize") => open = 0,
            _ => {}
        }
    }
    open
}

/// Both are there and unlocked.
fn settle(world: &World) {
    world.write("spy/script", "");
    control::obey("clear", world.card()).unwrap();
    world.card().insert().unwrap();
    for (token, pin) in [(SOFTHSM, PIN), (CARD, "123456")] {
        let until = Instant::now() + SETTLED;
        loop {
            let unlock = ["token", "unlock", token, "--pin-fd", "0"];
            let run = world.privyseal_in(unlock, pin.as_bytes());
            if run.code == 0 {
                break;
            }
            assert!(Instant::now() < until, "{run:?}");
            // a module that died too often waits to be asked for again
            world.privyseal(["token", "rescan"]);
        }
    }
}

struct Counts {
    done: u64,
    failed: u64,
    faults: u64,
}

/// One operation, which is right or fails by name.
fn operate(client: &Client, number: u64, signer: &str, counts: &mut Counts) {
    let with: &[(&str, &str)] = &[("signer", signer)];
    let sender: &[(&str, &str)] = &[("purpose", "any")];
    let is_good = |results: &Dict| assert_eq!(text(results, "verdict"), "good");
    let outcome = match number % 4 {
        0 | 1 => client.sign(MAIL, with).and_then(|(signed, _)| {
            let (content, results) = client.verify(&signed, sender)?;
            assert_eq!(content, MAIL);
            is_good(&results);
            Ok(())
        }),
        2 => client
            .encrypt(MAIL, &["alice@example.org"], &[])
            .and_then(|(secret, _)| client.decrypt(&secret))
            .map(|(opened, _)| assert_eq!(opened, MAIL)),
        _ => client.verify(MAIL, sender).map(|(_, results)| {
            assert_eq!(text(&results, "verdict"), "not-signed");
        }),
    };
    match outcome {
        Ok(()) => counts.done += 1,
        Err((name, message)) => {
            let name = name.trim_start_matches("org.privyseal1.Error.");
            let expected = [
                "TokenError",
                "TokenRemoved",
                "TokenNotPresent",
                "PinRequired",
                "NoSuchCertificate",
                "NoSecretKey",
                "NoRecipientMatch",
                "RecipientMissing",
                "DecryptionFailed",
                "Timeout",
            ];
            assert!(expected.contains(&name), "{name}: {message}");
            counts.failed += 1;
        }
    }
}

#[test]
fn a_long_time_of_mixed_work_and_faults_leaves_nothing_behind() {
    let name = "a_long_time_of_mixed_work_and_faults_leaves_nothing_behind";
    in_private_place(name, || {
        let seconds = std::env::var("PRIVYSEAL_SOAK").map_or(15, |s| s.parse::<u64>().unwrap());
        let world = World::with(WorldOptions {
            card: &["9a=p256"],
            log: Some("warn"),
            ..WorldOptions::default()
        });
        let card = format!("{}", world.path("card/9a.crt.pem").display());
        let signers = [
            world.token_file("me-rsa-sign.pem").display().to_string(),
            card,
        ];
        let fingerprints = signers.map(|file| format!("sha256:{}", world.fingerprint(file)));
        settle(&world);
        let client = Client::connect(world.bus_address());
        let mut counts = Counts {
            done: 0,
            failed: 0,
            faults: 0,
        };
        let mut before = None;
        let began = Instant::now();
        let whole = Duration::from_secs(seconds);
        let mut number = 0_u64;
        while began.elapsed() < whole {
            number += 1;
            if number.is_multiple_of(100) {
                counts.faults += 1;
                fault(&world, counts.faults);
            }
            let signer = &fingerprints[usize::try_from(number / 4 % 2).unwrap()];
            operate(&client, number, signer, &mut counts);
            if number % 100 == 50 {
                settle(&world);
            }
            if before.is_none() && began.elapsed() > whole / WARM_UP {
                settle(&world);
                before = Some((measure(&world), sessions(&world)));
            }
        }
        settle(&world);
        let (before, open) = before.unwrap();
        let after = measure(&world);
        let left = sessions(&world);
        println!(
            "{number} operations in {seconds} s, {} right, {} failed by name, {} faults; before {before:?}, {open} sessions; after {after:?}, {left} sessions",
            counts.done, counts.failed, counts.faults
        );
        assert!(counts.faults > 0 && counts.done > counts.failed * 4);
        assert_eq!(after.processes, before.processes);
        assert!(
            after.descriptors <= before.descriptors + 2,
            "{before:?} {after:?}"
        );
        // one for each call that was under way at a time is kept for the next
        assert!((0..=open + 2).contains(&left), "{open} {left}");
        assert_eq!(world.card().card().state().pin_left, 3);
        if seconds >= JUDGED {
            let most = before.resident + before.resident * GROWTH / 100;
            assert!(after.resident <= most, "{before:?} {after:?}");
        }
    });
}

/// The module's and the card's, in turn.
fn fault(world: &World, number: u64) {
    let index = |len: usize| usize::try_from(number / 3).unwrap() % len;
    match number % 3 {
        0 => {
            world.write("spy/script", OF_MODULE[index(OF_MODULE.len())]);
        }
        1 => {
            let told = control::obey(OF_CARD[index(OF_CARD.len())], world.card());
            told.unwrap();
        }
        _ => world.card().remove(),
    }
}
