//! One bit changed on the way: never good where it counts, and not a byte of a message that does not authenticate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use std::time::{Duration, Instant};

use privyseal_tests::World;
use privyseal_tests::bytes::{Client, text};
use privyseal_tests::table::Table;

const MAIL: &[u8] = b"Content-Type: text/plain\r\n\r\nthe contract is signed.\r\n";

/// What a receiver acts on.
#[derive(Debug, PartialEq)]
struct Seen {
    verdict: String,
    content: Vec<u8>,
    signer: String,
}

fn seen(client: &Client, message: &[u8]) -> Seen {
    match client.verify(message, &[("sender", "alice@example.org")]) {
        Ok((content, results)) => Seen {
            verdict: text(&results, "verdict"),
            content,
            signer: format!("{:?}", results.get("signatures").map(|s| format!("{s:?}"))),
        },
        Err((name, _)) => Seen {
            verdict: name,
            content: Vec::new(),
            signer: String::new(),
        },
    }
}

/// Every bit of a small signed message over the bus.
fn flip_all(form: &str, format: &str, key: &str) {
    let world = World::unlocked();
    let client = Client::connect(world.bus_address());
    let own = world.privyseal(["cert", "list", "--json"]).ok().json();
    let certificate = own["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| {
            c["key_type"].as_str().unwrap().starts_with(key)
                && c["usages"].as_array().unwrap().iter().any(|u| u == "sign")
        })
        .unwrap()["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let signer = format!("sha256:{}", certificate.trim_start_matches("sha256:"));
    let options = [
        ("form", form),
        ("format", format),
        ("signer", signer.as_str()),
        ("include-chain", "leaf"),
    ];
    let (message, _) = client.sign(MAIL, &options).unwrap();
    let right = seen(&client, &message);
    assert_eq!(right.verdict, "good");
    assert_eq!(right.content, MAIL);

    let mut table = Table::new("one flipped bit");
    let (mut good, mut not_good) = (0, 0);
    for at in 0..message.len() * 8 {
        let mut bent = message.clone();
        bent[at / 8] ^= 1 << (at % 8);
        let now = seen(&client, &bent);
        let result = if now.verdict == "good" {
            good += 1;
            if now == right {
                Ok(())
            } else {
                Err(format!("good, but changed: {now:?}"))
            }
        } else {
            not_good += 1;
            if now.content.is_empty() {
                Ok(())
            } else {
                Err("content of a message that is not good".into())
            }
        };
        table.cell(&format!("{form} {format} {key}: bit {at}"), result);
    }
    println!(
        "{form} {format} {key}: {good} bits do not matter (unsigned headers and the like), {not_good} are noticed"
    );
    assert!(not_good > good);
    table.finish(message.len() * 8);
}

#[test]
fn no_flipped_bit_of_an_opaque_rsa_message_is_good() {
    flip_all("opaque", "der", "rsa");
}

#[test]
fn no_flipped_bit_of_an_opaque_p256_message_is_good() {
    flip_all("opaque", "der", "ec");
}

#[test]
fn no_flipped_bit_of_a_clear_message_is_good() {
    flip_all("clear", "smime", "ec");
}

#[test]
fn a_flipped_bit_in_a_gcm_message_writes_not_a_byte() {
    let world = World::unlocked();
    let client = Client::connect(world.bus_address());
    let (message, _) = client
        .encrypt(MAIL, &["alice@example.org"], &[("format", "der")])
        .unwrap();
    assert_eq!(client.decrypt(&message).unwrap().0, MAIL);
    let mut client = client;
    let mut failures = 0;
    let mut table = Table::new("GCM, one flipped bit");
    for at in 0..message.len() * 8 {
        let mut bent = message.clone();
        bent[at / 8] ^= 1 << (at % 8);
        // a connection is slowed down after five failures
        if failures == 5 {
            client = Client::connect(world.bus_address());
            failures = 0;
        }
        // an unsigned version number or the like may not matter: then the plaintext is as it was
        let result = match client.decrypt(&bent) {
            Ok((plain, _)) if plain == MAIL => Ok(()),
            Ok((plain, _)) => Err(format!("{} bytes of something else", plain.len())),
            Err(_) => {
                failures += 1;
                Ok(())
            }
        };
        table.cell(&format!("bit {at}"), result);
    }
    table.finish(message.len() * 8);

    // the command line: exit 1, and the file that was there stays
    let last = message.len() - 40;
    let mut bent = message;
    bent[last] ^= 1;
    world.write("bent.p7m", &bent);
    world.write("out.txt", "precious");
    world
        .privyseal(["decrypt", "bent.p7m", "-o", "out.txt"])
        .fails_with(1);
    assert_eq!(world.read("out.txt"), b"precious");
    let piped = world.privyseal(["decrypt", "bent.p7m"]).fails_with(1);
    assert!(piped.stdout.is_empty());
    let left: Vec<_> = std::fs::read_dir(world.dir())
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().contains("out.txt"))
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn failures_one_after_the_other_look_alike_by_call_and_by_job() {
    let world = World::unlocked();
    let client = Client::connect(world.bus_address());
    let (message, _) = client
        .encrypt(MAIL, &["alice@example.org"], &[("format", "der")])
        .unwrap();
    let mut bent = message.clone();
    *bent.last_mut().unwrap() ^= 1;
    let begun = Instant::now();
    for _ in 0..8 {
        let (name, _) = client.decrypt(&bent).unwrap_err();
        assert_eq!(name, "org.privyseal1.Error.DecryptionFailed");
    }
    // 250 ms, 500 ms, 1 s
    assert!(begun.elapsed() >= Duration::from_millis(1750));
    // a success is slow as well, but no failure, and the failures of one connection are not another's
    assert_eq!(client.decrypt(&message).unwrap().0, MAIL);
    let begun = Instant::now();
    let other = Client::connect(world.bus_address());
    assert_eq!(other.decrypt(&message).unwrap().0, MAIL);
    assert!(begun.elapsed() < Duration::from_secs(2));
    world.write("bent.p7m", &bent);
    for _ in 0..8 {
        let failed = world
            .privyseal(["decrypt", "bent.p7m", "--json"])
            .fails_with(1);
        assert!(
            failed
                .stderr
                .contains("org.privyseal1.Error.DecryptionFailed"),
            "{failed:?}"
        );
    }
}
