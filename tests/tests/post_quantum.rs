//! ML-DSA signatures (RFC 9882) and ML-KEM recipients (RFC 9629, RFC 9936) by keys that a PKCS#11 v3.2 token has made and keeps.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{World, WorldOptions, kryoptic, wait_until};

const MAIL: &str =
    "From: quentin@example.org\r\nContent-Type: text/plain\r\n\r\nfor a long time\r\n";
const DSA: [&str; 3] = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"];
const KEM: [&str; 3] = ["ml-kem-512", "ml-kem-768", "ml-kem-1024"];

/// With kryoptic's token there, and unlocked if asked for.
fn world(kinds: &'static [&'static str]) -> World {
    let world = World::with(WorldOptions {
        kryoptic: kinds,
        ..WorldOptions::default()
    });
    wait_until("kryoptic's token", || {
        let list = world.privyseal(["token", "list", "--json"]);
        list.text().contains(kryoptic::LABEL)
    });
    world.write("mail.txt", MAIL);
    world
}

#[test]
fn a_token_signs_by_ml_dsa() {
    let world = world(&DSA);
    world.unlock_token(kryoptic::LABEL);
    let mut cells = 0;
    for kind in DSA {
        let signer = world.path(&format!("{kind}.pem")).display().to_string();
        for format in ["clear", "opaque"] {
            let sign = [
                "sign",
                "--form",
                format,
                "--signer",
                &signer,
                "-o",
                "signed.eml",
            ];
            world.privyseal(sign.into_iter().chain(["mail.txt"])).ok();
            let seen = world
                .privyseal(["verify", "--json", "signed.eml"])
                .ok()
                .json();
            assert_eq!(seen["verdict"], "good", "{kind} {format}: {seen}");
            let one = &seen["signatures"][0];
            assert_eq!(one["algorithm"], kind, "{seen}");

            let mut tampered = world.read("signed.eml");
            let at = tampered.windows(4).position(|w| w == b"long").unwrap_or(0);
            if format == "clear" {
                tampered[at] ^= 1;
                world.write("tampered.eml", tampered);
                let seen = world.privyseal(["verify", "--json", "tampered.eml"]).json();
                assert_eq!(seen["verdict"], "bad", "{kind}: {seen}");
            }
            cells += 1;
        }
    }
    println!("ML-DSA by a token: {cells} cells");
    assert_eq!(cells, 6);
}

#[test]
fn a_token_opens_what_was_encapsulated_to_it() {
    let world = world(&KEM);
    world.unlock_token(kryoptic::LABEL);
    let mut cells = 0;
    for kind in KEM {
        let recipient = world.path(&format!("{kind}.pem")).display().to_string();
        for cipher in ["aes256-gcm", "aes128-gcm", "aes256-cbc"] {
            let to = ["encrypt", "-r", &recipient, "--no-self", "--cipher", cipher];
            let args = to.into_iter().chain(["-o", "sealed.eml", "mail.txt"]);
            world.privyseal(args).ok();
            let opened = ["decrypt", "--json", "--batch", "sealed.eml", "-o", "opened"];
            let opened = world.privyseal(opened).ok().json();
            assert_eq!(opened["key_management"], "kem", "{opened}");
            assert_eq!(opened["cipher"], cipher);
            assert_eq!(world.read("opened"), MAIL.as_bytes(), "{kind} {cipher}");
            cells += 1;
        }
    }
    println!("ML-KEM by a token: {cells} cells");
    assert_eq!(cells, 9);
}

/// FIPS 203 §6.3: a ciphertext that was tampered with opens to another secret, and looks like any other message that cannot be
/// opened.
#[test]
fn a_tampered_encapsulation_is_a_failed_decryption() {
    let world = world(&["ml-kem-768"]);
    world.unlock_token(kryoptic::LABEL);
    let recipient = world.path("ml-kem-768.pem").display().to_string();
    let to = ["encrypt", "-r", &recipient, "--no-self", "--format", "der"];
    world
        .privyseal(to.into_iter().chain(["-o", "sealed.p7m", "mail.txt"]))
        .ok();
    let sealed = world.read("sealed.p7m");
    // OCTET STRING of 1088 bytes: the ciphertext
    let at = sealed
        .windows(4)
        .position(|w| w == [4, 0x82, 0x04, 0x40])
        .unwrap();
    let mut names = Vec::new();
    for offset in [4, 500, 1091] {
        let mut tampered = sealed.clone();
        tampered[at + offset] ^= 0x10;
        world.write("tampered.p7m", tampered);
        let run = world.privyseal(["decrypt", "--json", "--batch", "tampered.p7m", "-o", "out"]);
        assert_ne!(run.code, 0);
        names.push(run.json()["error"].as_str().unwrap().to_owned());
        assert!(!world.path("out").exists());
    }
    assert_eq!(names, ["org.privyseal1.Error.DecryptionFailed"; 3]);
}

/// Which keys there are does not hang on the login: locked, the token is asked for its PIN, and does not look as if it had no key.
#[test]
fn a_locked_token_is_asked_for_its_pin() {
    let world = world(&["ml-dsa-65", "ml-kem-768"]);
    let signer = world.path("ml-dsa-65.pem").display().to_string();
    let sign = [
        "sign", "--json", "--batch", "--signer", &signer, "-o", "s", "mail.txt",
    ];
    let run = world.privyseal(sign);
    assert_eq!(
        run.json()["error"],
        "org.privyseal1.Error.PinRequired",
        "{run:?}"
    );
    let recipient = world.path("ml-kem-768.pem").display().to_string();
    let to = [
        "encrypt",
        "-r",
        &recipient,
        "--no-self",
        "-o",
        "sealed.eml",
        "mail.txt",
    ];
    world.privyseal(to).ok();
    let run = world.privyseal(["decrypt", "--json", "--batch", "sealed.eml", "-o", "opened"]);
    assert_eq!(
        run.json()["error"],
        "org.privyseal1.Error.PinRequired",
        "{run:?}"
    );
}
