//! Private keys stay in the token: what the worker asks a PKCS#11 module for, seen by a module in between.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::process::Command;

use privyseal_tests::{PIN, World};

/// Attributes of which the value of a private key would be known (PKCS#11 2.40 §2).
const PRIVATE: [&str; 7] = [
    "CKA_PRIVATE_EXPONENT",
    "CKA_PRIME_1",
    "CKA_PRIME_2",
    "CKA_EXPONENT_1",
    "CKA_EXPONENT_2",
    "CKA_COEFFICIENT",
    "CKA_VALUE",
];

#[test]
fn no_private_attribute_is_asked_for_and_no_key_is_wrapped() {
    let world = World::unlocked();
    world.write("mail.txt", "Content-Type: text/plain\r\n\r\nHello\r\n");
    for key in ["rsa", "ec"] {
        let signer = world.token_file(&format!("me-{key}-sign.pem"));
        world
            .privyseal([
                "sign",
                "mail.txt",
                "-o",
                "signed",
                "-s",
                signer.to_str().unwrap(),
            ])
            .ok();
        let recipient = world.token_file(&format!("me-{key}-encrypt.pem"));
        world
            .privyseal([
                "encrypt",
                "--no-self",
                "mail.txt",
                "-o",
                "secret",
                "-r",
                recipient.to_str().unwrap(),
            ])
            .ok();
        world.privyseal(["decrypt", "secret", "-o", "opened"]).ok();
        assert_eq!(world.read("opened"), world.read("mail.txt"));
    }
    let oaep = world.token_file("me-rsa-encrypt.pem");
    world
        .privyseal([
            "encrypt",
            "--no-self",
            "--oaep",
            "mail.txt",
            "-o",
            "secret",
            "-r",
            oaep.to_str().unwrap(),
        ])
        .ok();
    world.privyseal(["decrypt", "secret", "-o", "opened"]).ok();
    world.privyseal(["token", "list"]).ok();
    world.privyseal(["cert", "list"]).ok();
    world.privyseal(["token", "rescan"]).ok();
    world.privyseal(["token", "lock"]).ok();

    let log = String::from_utf8(world.read("spy/log")).unwrap();
    let called = |function: &str| {
        log.lines()
            .filter(|l| l.split_whitespace().next() == Some(function))
            .count()
    };
    // the spy saw the work, or it proves nothing
    assert!(called("C_Sign") >= 2, "{log}");
    assert!(called("C_Decrypt") >= 2, "{log}");
    assert!(called("C_DeriveKey") >= 1, "{log}");
    assert!(called("C_GetAttributeValue") >= 4, "{log}");
    assert_eq!(
        called("C_Login"),
        1,
        "one entry of a PIN is one C_Login:\n{log}"
    );
    assert_eq!(called("C_WrapKey"), 0);
    assert!(!log.contains(PIN));
    let mut of_private_keys = 0;
    for line in log
        .lines()
        .filter(|l| l.starts_with("C_GetAttributeValue") && l.contains("CKO_PRIVATE_KEY"))
    {
        of_private_keys += 1;
        for attribute in PRIVATE {
            assert!(
                !line.split([' ', ',']).any(|word| word == attribute),
                "{line}"
            );
        }
    }
    assert!(
        of_private_keys >= 4,
        "the spy must have named private keys:\n{log}"
    );
    println!(
        "{} calls seen, {of_private_keys} reads of private-key objects",
        log.lines().count()
    );
}

#[test]
fn every_private_key_of_the_token_is_sensitive_and_not_extractable() {
    let mut world = World::new();
    // never two processes on one SoftHSM store
    assert_eq!(world.stop_daemon(), 0);
    let listed = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", world.token_file("softhsm2.conf"))
        .args([
            "--module",
            "/usr/lib/softhsm/libsofthsm2.so",
            "--token-label",
            "privyseal-demo",
        ])
        .args([
            "--login",
            "--pin",
            PIN,
            "--list-objects",
            "--type",
            "privkey",
        ])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let keys: Vec<&str> = listed.split("Private Key Object").skip(1).collect();
    assert_eq!(keys.len(), 4, "{listed}");
    for key in keys {
        let access = key
            .lines()
            .find(|l| l.trim().starts_with("Access:"))
            .unwrap();
        assert!(
            access.contains("sensitive") && access.contains("never extractable"),
            "{key}"
        );
    }
}
