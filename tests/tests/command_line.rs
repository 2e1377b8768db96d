//! The command line's contract (docs/cli.md) against the real daemon: JSON, exit codes, files that appear whole or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::fs;

use privyseal_tests::{PIN, Run, World, WorldOptions};
use serde_json::Value;

const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello\r\n";

fn names(world: &World) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(world.dir())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

#[test]
fn tokens_and_certificates_are_listed_as_documented() {
    let world = World::new();
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    assert_eq!(list["schema"], 1);
    let tokens = list["tokens"].as_array().unwrap();
    assert_eq!(
        tokens.len(),
        1,
        "the spare, uninitialised token is hidden: {list}"
    );
    let token = &tokens[0];
    assert_eq!(token["label"], "privyseal-demo");
    assert_eq!(token["state"], "locked");
    assert_eq!(token["tries_left"], Value::Null);
    assert!(token["uri"].as_str().unwrap().starts_with("pkcs11:"));
    let all = world
        .privyseal(["token", "list", "--all", "--json"])
        .ok()
        .json();
    assert_eq!(all["tokens"].as_array().unwrap().len(), 2);

    // by label, serial, id and URI
    for key in ["label", "serial", "id", "uri"] {
        let selector = token[key].as_str().unwrap();
        let shown = world.privyseal(["token", "show", selector, "--json"]).ok();
        assert!(shown.text().contains("privyseal-demo"), "{key}");
    }
    world
        .privyseal(["token", "show", "no such token"])
        .fails_with(4);

    let certificates = world.privyseal(["cert", "list", "--json"]).ok().json();
    let all = certificates["certificates"].as_array().unwrap();
    assert_eq!(all.len(), 4);
    for certificate in all {
        assert_eq!(certificate["emails"][0], "alice@example.org");
        assert_eq!(certificate["token"], "privyseal-demo");
        assert_eq!(certificate["has_private_key"], true);
        assert_eq!(certificate["source"], "token");
        assert_eq!(
            certificate["usages"].as_array().unwrap().len(),
            1,
            "{certificate}"
        );
        assert!(certificate["not_after"].as_str().unwrap().ends_with('Z'));
        let hex = certificate["sha256"]
            .as_str()
            .unwrap()
            .trim_start_matches("sha256:")
            .to_owned();
        assert_eq!(hex.len(), 64);
        let pem = world
            .privyseal(["cert", "export", &format!("sha256:{}", &hex[..12])])
            .ok();
        world.write("exported.pem", &pem.stdout);
        assert_eq!(world.fingerprint("exported.pem"), hex);
    }
    let kinds: Vec<&str> = all
        .iter()
        .map(|c| c["key_type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.iter().filter(|k| **k == "rsa:2048").count(), 2);
    assert_eq!(kinds.iter().filter(|k| **k == "ec:p256").count(), 2);
}

#[test]
fn unlocking_counts_each_entry_once_and_says_what_is_wrong() {
    let world = World::new();
    world.write("mail.txt", MAIL);
    let refused = world
        .privyseal([
            "sign",
            "mail.txt",
            "-s",
            "alice@example.org",
            "-o",
            "signed",
            "--json",
        ])
        .fails_with(4);
    assert_eq!(refused.json()["error"], "org.privyseal1.Error.PinRequired");
    assert!(
        refused.json()["hint"]
            .as_str()
            .unwrap()
            .contains("token unlock")
    );
    assert!(!world.path("signed").exists());

    let wrong = world
        .privyseal_in(
            [
                "token",
                "unlock",
                "privyseal-demo",
                "--pin-fd",
                "0",
                "--json",
            ],
            b"wrong-one\n",
        )
        .fails_with(4);
    assert!(
        wrong.json()["error"].as_str().unwrap().contains("BadPin"),
        "{wrong:?}"
    );
    world.unlock();
    // unlocked already: no PIN is sent, so a wrong one does no harm
    world
        .privyseal_in(
            ["token", "unlock", "privyseal-demo", "--pin-fd", "0"],
            b"wrong-one",
        )
        .ok();
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    assert_eq!(list["tokens"][0]["state"], "unlocked");
    world
        .privyseal([
            "sign",
            "mail.txt",
            "-s",
            "alice@example.org",
            "-o",
            "signed",
        ])
        .ok();
    world.privyseal(["token", "lock", "privyseal-demo"]).ok();
    world
        .privyseal(["sign", "mail.txt", "-s", "alice@example.org", "-o", "again"])
        .fails_with(4);
    assert!(!world.path("again").exists());
}

#[test]
fn a_pin_is_1_to_255_bytes() {
    let world = World::new();
    for (pin, error) in [
        ("".to_owned(), "PinInvalid"),
        ("9".repeat(255), "BadPin"),
        ("9".repeat(256), "PinInvalid"),
    ] {
        let answer = world
            .privyseal_in(
                [
                    "token",
                    "unlock",
                    "privyseal-demo",
                    "--pin-fd",
                    "0",
                    "--json",
                ],
                pin.as_bytes(),
            )
            .fails_with(4);
        let name = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(name.contains(error), "{} bytes: {name}", pin.len());
    }
    world
        .privyseal_in(
            ["token", "unlock", "privyseal-demo", "--pin-fd", "0"],
            format!("{PIN}\nrest").as_bytes(),
        )
        .ok();
}

#[test]
fn verdicts_and_exit_codes() {
    let world = World::unlocked();
    let signer = world.token_file("me-rsa-sign.pem");
    let signer = signer.to_str().unwrap();
    world.write("mail.txt", MAIL);
    world
        .privyseal(["sign", "mail.txt", "-s", signer, "-o", "signed.eml"])
        .ok();

    let good = world
        .privyseal(["verify", "signed.eml", "--json"])
        .ok()
        .json();
    assert_eq!(good["schema"], 1);
    assert_eq!(good["verdict"], "good");
    let signature = &good["signatures"][0];
    assert_eq!(signature["signature"], "valid");
    assert_eq!(signature["chain"], "valid");
    assert_eq!(signature["revocation"], "good");
    assert_eq!(signature["sender"], "not-checked");
    assert_eq!(signature["digest"], "sha256");
    assert_eq!(signature["algorithm"], "rsa-pkcs1");
    assert_eq!(signature["weak"], false);
    assert_eq!(signature["signer"]["emails"][0], "alice@example.org");
    assert_eq!(good["layers"][0]["kind"], "signed");

    // who it claims to be from
    let mut from = b"From: Mallory <mallory@example.org>\r\nTo: bob@example.org\r\n".to_vec();
    from.extend(world.read("signed.eml"));
    world.write("from.eml", &from);
    let bad = world
        .privyseal(["verify", "from.eml", "--json", "-o", "content"])
        .fails_with(3)
        .json();
    assert_eq!(bad["verdict"], "bad");
    assert_eq!(bad["signatures"][0]["sender"], "mismatch");
    assert!(!world.path("content").exists());
    world
        .privyseal(["verify", "from.eml", "-o", "content", "--even-if-bad"])
        .fails_with(3);
    assert_eq!(world.read("content"), MAIL.as_bytes());
    world
        .privyseal(["verify", "signed.eml", "--sender", "alice@example.org"])
        .ok();

    // what stands around the signed part is not signed, and said not to be
    let mut footer = world.read("signed.eml");
    footer.extend(b"\r\nSend your money elsewhere\r\n");
    world.write("footer.eml", &footer);
    let seen = world
        .privyseal(["verify", "footer.eml", "--json", "-o", "inside"])
        .ok()
        .json();
    assert!(
        seen["warnings"][0]
            .as_str()
            .unwrap()
            .contains("nobody signed it"),
        "{seen}"
    );
    assert_eq!(world.read("inside"), MAIL.as_bytes());
    assert!(
        world
            .privyseal(["verify", "footer.eml"])
            .ok()
            .stderr
            .contains("nobody signed it")
    );

    // what a reader takes for the sender must be the signer, all of it
    for (head, code) in [
        ("From: Alice <alice@example.org>", 0),
        (
            "From: Mallory <mallory@example.org>\r\nSender: alice@example.org",
            3,
        ),
        ("From: mallory@example.org, alice@example.org", 3),
        ("From: mallory@example.org: alice@example.org;", 3),
        ("From: mallory@example.org:;", 3),
        ("From:", 3),
    ] {
        let mut message = format!("{head}\r\n").into_bytes();
        message.extend(world.read("signed.eml"));
        world.write("claims.eml", &message);
        let seen = world.privyseal(["verify", "claims.eml", "--json"]);
        assert_eq!(seen.code, code, "{head}: {}", seen.text());
    }

    // changed, not signed, not even a message, another anchor, another time, revoked
    let tampered = String::from_utf8(world.read("signed.eml"))
        .unwrap()
        .replace("Hello", "Adieu");
    world.write("tampered.eml", tampered);
    let bad = world
        .privyseal(["verify", "tampered.eml", "--json"])
        .fails_with(3)
        .json();
    assert_eq!(
        (
            bad["verdict"].as_str(),
            bad["signatures"][0]["signature"].as_str()
        ),
        (Some("bad"), Some("invalid"))
    );
    let plain = world
        .privyseal(["verify", "mail.txt", "--json"])
        .fails_with(3)
        .json();
    assert_eq!(plain["verdict"], "not-signed");
    world.write("cut.eml", &world.read("signed.eml")[..900]);
    let cut = world
        .privyseal(["verify", "cut.eml", "--json"])
        .fails_with(3)
        .json();
    assert_eq!(cut["verdict"], "bad");
    assert_eq!(cut["signatures"], serde_json::json!([]));
    let peer = world.token_file("peer-rsa.pem");
    let unknown = world
        .privyseal([
            "verify",
            "signed.eml",
            "--json",
            "--trust-anchor",
            peer.to_str().unwrap(),
        ])
        .fails_with(3)
        .json();
    assert_eq!(unknown["verdict"], "unknown");
    let later = world
        .privyseal([
            "verify",
            "signed.eml",
            "--json",
            "--at",
            "2090-01-01T00:00:00Z",
        ])
        .fails_with(3)
        .json();
    assert_eq!(later["verdict"], "bad");
    assert_eq!(later["signatures"][0]["chain_error"], "expired");
    world.privyseal(["verify", "no-such-file"]).fails_with(1);
    world
        .privyseal(["verify", "--no-such-option"])
        .fails_with(2);
}

#[test]
fn recipients_are_found_or_named_in_the_error() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let missing = world
        .privyseal([
            "encrypt",
            "mail.txt",
            "-r",
            "nobody@example.org",
            "-o",
            "secret",
            "--json",
        ])
        .fails_with(8);
    assert_eq!(
        missing.json()["error"],
        "org.privyseal1.Error.RecipientMissing"
    );
    assert!(
        missing.json()["message"]
            .as_str()
            .unwrap()
            .contains("nobody@example.org")
    );
    assert!(!world.path("secret").exists());
    let sign_only = world.token_file("me-rsa-sign.pem");
    world
        .privyseal([
            "encrypt",
            "mail.txt",
            "-r",
            sign_only.to_str().unwrap(),
            "-o",
            "secret",
        ])
        .fails_with(8);
    world
        .privyseal([
            "sign",
            "mail.txt",
            "-s",
            "nobody@example.org",
            "-o",
            "signed",
        ])
        .fails_with(8);

    // to Bob's file, and to ourselves: both open it
    let bob = world.token_file("peer-ec.pem");
    let bob_key = world.token_file("peer-ec.key");
    world
        .privyseal([
            "encrypt",
            "mail.txt",
            "-r",
            bob.to_str().unwrap(),
            "-o",
            "secret",
        ])
        .ok();
    let json = world
        .privyseal(["decrypt", "secret", "-o", "plain", "--json"])
        .ok()
        .json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["cipher"], "aes256-gcm");
    assert_eq!(json["authenticated"], true);
    assert_eq!(world.read("plain"), MAIL.as_bytes());
    world
        .openssl(&format!(
            "cms -decrypt -in secret -inkey {} -recip {} -out bob",
            bob_key.display(),
            bob.display()
        ))
        .ok();
    assert_eq!(world.read("bob"), MAIL.as_bytes());
    // not to ourselves: nobody here can open it
    world
        .privyseal([
            "encrypt",
            "mail.txt",
            "-r",
            bob.to_str().unwrap(),
            "--no-self",
            "-o",
            "secret",
        ])
        .ok();
    let refused = world.privyseal(["decrypt", "secret", "-o", "never", "--json"]);
    assert_ne!(refused.code, 0);
    assert_eq!(
        refused.json()["error"],
        "org.privyseal1.Error.NoRecipientMatch"
    );
    assert!(!world.path("never").exists());
}

#[test]
fn signed_and_encrypted_in_one_go() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let bob = world.token_file("peer-rsa.pem");
    let bob_key = world.token_file("peer-rsa.key");
    world
        .privyseal([
            "sign",
            "mail.txt",
            "-s",
            "alice@example.org",
            "--encrypt-to",
            bob.to_str().unwrap(),
            "-o",
            "both",
        ])
        .ok();
    world
        .openssl(&format!(
            "cms -decrypt -in both -inkey {} -recip {} -out inner",
            bob_key.display(),
            bob.display()
        ))
        .ok();
    let anchor = world.token_file("anchor.pem");
    world
        .openssl(&format!(
            "cms -verify -in inner -CAfile {} -out seen",
            anchor.display()
        ))
        .ok();
    assert_eq!(world.read("seen"), MAIL.as_bytes());
    world.privyseal(["decrypt", "both", "-o", "ours"]).ok();
    world.privyseal(["verify", "ours"]).ok();
}

#[test]
fn data_goes_to_standard_output_and_json_beside_it() {
    let world = World::unlocked();
    let signed = world
        .privyseal_in(
            ["sign", "-s", "alice@example.org", "--json"],
            MAIL.as_bytes(),
        )
        .ok();
    assert!(signed.text().contains("multipart/signed"));
    let line: Value = serde_json::from_str(signed.stderr.trim()).unwrap();
    assert_eq!(line["schema"], 1);
    world.privyseal_in(["verify"], &signed.stdout).ok();
    // a file that was there survives a failure, and nothing is left beside it
    world.write("out", "precious");
    let before = names(&world);
    world
        .privyseal_in(["decrypt", "-o", "out"], MAIL.as_bytes())
        .fails_with(1);
    assert_eq!(world.read("out"), b"precious");
    assert_eq!(names(&world), before);
}

#[test]
fn status_and_config_check() {
    let world = World::new();
    let status = world.privyseal(["status", "--json"]).ok().json();
    assert_eq!(status["schema"], 1);
    world.privyseal(["config", "check"]).ok();
    world.write("wrong.toml", "[modules]\np11-kit = false\n[trsut]\n");
    let wrong = world
        .privyseal(["config", "check", "wrong.toml"])
        .fails_with(1);
    assert!(
        format!("{}{}", wrong.text(), wrong.stderr).contains("trsut"),
        "{wrong:?}"
    );
}

#[test]
fn a_signature_around_ciphertext_is_not_good() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    for cipher in ["aes256-gcm", "aes256-cbc"] {
        let kind = if cipher.ends_with("gcm") {
            "auth-enveloped"
        } else {
            "enveloped"
        };
        world
            .privyseal([
                "encrypt",
                "mail.txt",
                "-r",
                "alice@example.org",
                "--cipher",
                cipher,
                "-o",
                "secret",
            ])
            .ok();
        for form in ["clear", "opaque"] {
            world
                .privyseal([
                    "sign",
                    "secret",
                    "-s",
                    "alice@example.org",
                    "--form",
                    form,
                    "-o",
                    "signed",
                ])
                .ok();
            let seen = world
                .privyseal(["verify", "signed", "--json", "-o", "content"])
                .fails_with(3)
                .json();
            assert_eq!(seen["verdict"], "unknown", "{cipher} {form}: {seen}");
            assert_eq!(seen["signatures"][0]["signature"], "valid");
            assert_eq!(seen["layers"][1]["kind"], kind);
            assert!(!world.path("content").exists());
        }
    }
}

/// `decrypt` where a prompt could be shown.
fn decrypt_with_display(world: &World) -> Run {
    let program = privyseal_tests::binary("privyseal", false);
    let mut command = world.command(program);
    let command = command
        .args(["decrypt", "secret", "-o", "plain", "--json"])
        .env("DISPLAY", ":9");
    Run::of(command.stdin(std::process::Stdio::null()).output().unwrap())
}

/// Counts the prompts that a person saw for one message that names two keys of one token.
fn prompts(answer: &'static str, code: i32) -> usize {
    let world = World::with(WorldOptions {
        pinentry: Some(answer),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    let (one, other) = (
        world.token_file("me-rsa-encrypt.pem"),
        world.token_file("me-ec-encrypt.pem"),
    );
    world
        .openssl(&format!(
            "cms -encrypt -aes256 -in mail.txt -out secret {} {}",
            one.display(),
            other.display()
        ))
        .ok();
    decrypt_with_display(&world).fails_with(code);
    String::from_utf8(world.read("pinentry.log"))
        .unwrap()
        .lines()
        .filter(|l| *l == "GETPIN")
        .count()
}

#[test]
fn a_person_who_says_no_is_asked_once_however_many_keys_a_message_names() {
    assert_eq!(prompts("ERR 83886179 Operation cancelled", 5), 1);
}

#[test]
fn one_right_pin_opens_a_message_for_two_keys() {
    assert_eq!(prompts("D c4nary-97531\\nOK", 0), 1);
}

#[test]
fn what_is_no_mime_entity_is_signed_with_a_warning() {
    let world = World::unlocked();
    for (input, warned) in [
        (MAIL, false),
        ("just text\r\n", true),
        ("\r\nno headers, but a blank line\r\n", false),
    ] {
        let signed = world
            .privyseal_in(
                ["sign", "-s", "alice@example.org", "-o", "signed"],
                input.as_bytes(),
            )
            .ok();
        assert_eq!(
            signed.stderr.contains("MIME"),
            warned,
            "{input:?}: {}",
            signed.stderr
        );
    }
}

#[test]
fn the_call_that_starts_the_daemon_finds_the_keys() {
    let mut world = World::new();
    world.write("mail.txt", MAIL);
    let daemon = privyseal_tests::binary("privyseald", false);
    world.activate(&format!(
        "[D-BUS Service]\nName=org.privyseal1\nExec={}\n",
        daemon.display()
    ));
    // each of these starts a daemon of its own
    world.privyseal(["status"]).ok();
    world.end_activated();
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    assert_eq!(list["tokens"][0]["label"], "privyseal-demo");
    world.end_activated();
    let refused = world
        .privyseal([
            "sign",
            "mail.txt",
            "-s",
            "alice@example.org",
            "--json",
            "-o",
            "out",
        ])
        .fails_with(4);
    assert_eq!(refused.json()["error"], "org.privyseal1.Error.PinRequired");
    world.end_activated();
    world.unlock();
    world
        .privyseal(["sign", "mail.txt", "-s", "alice@example.org", "-o", "out"])
        .ok();
    world.end_activated();
}

#[test]
fn the_daemon_ends_cleanly_and_locks() {
    let mut world = World::unlocked();
    assert_eq!(world.stop_daemon(), 0);
    world.privyseal(["status"]).fails_with(6);
    world.start_daemon();
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    assert_eq!(list["tokens"][0]["state"], "locked");
}
