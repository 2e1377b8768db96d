//! Signed receipts with openssl as the other side, security labels, and countersignatures of Bouncy Castle, through the built
//! programs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::path::Path;

use privyseal_tests::{Run, World, WorldOptions};
use serde_json::Value;

const MAIL: &str = "Content-Type: text/plain\r\n\r\nplease acknowledge\r\n";

/// Bob, whose keys lie in files, signs and asks for a receipt.
fn asked_by_bob(world: &World, out: &str, more: &str) {
    world.write("mail.txt", MAIL);
    let sign = format!(
        "cms -sign -in mail.txt -signer token/peer-rsa.pem -inkey token/peer-rsa.key -certfile token/intermediate.pem \
         -receipt_request_to bob@example.org {more} -out {out}"
    );
    world.openssl(&sign).ok();
}

fn make(world: &World, message: &str, out: &str) -> Run {
    world.privyseal(["receipt", "make", message, "-o", out, "--json"])
}

fn check(world: &World, receipt: &str, original: &str) -> Value {
    let args = [
        "receipt",
        "check",
        receipt,
        "--original",
        original,
        "--json",
    ];
    let run = world.privyseal(args);
    let all = run.json();
    let good = all["verdict"] == "good";
    assert_eq!(run.code, if good { 0 } else { 3 }, "{all}");
    all
}

#[track_caller]
fn assert_reason(all: &Value, verdict: &str, reason: &str) {
    assert_eq!(all["verdict"], verdict, "{all}");
    let reasons = all["reasons"].as_array().unwrap();
    let found = reasons.iter().any(|r| r.as_str().unwrap().contains(reason));
    assert!(found, "no {reason:?}: {all}");
}

#[test]
fn a_receipt_that_openssl_asks_for_is_made_with_the_token_and_openssl_takes_it() {
    let world = World::unlocked();
    for (name, more) in [
        ("clear.eml", "-receipt_request_all"),
        ("opaque.eml", "-receipt_request_all -nodetach"),
        ("first.eml", "-receipt_request_first"),
        ("named.eml", "-receipt_request_from alice@example.org"),
    ] {
        asked_by_bob(&world, name, more);
        let seen = world.privyseal(["verify", name, "--json"]).ok().json();
        let request = &seen["receipt_request"];
        assert_eq!(request["to"][0], "bob@example.org", "{seen}");
        assert_eq!(request["by"][0]["emails"][0], "bob@example.org", "{seen}");
        let from = ["all", "first-tier", "list"];
        assert!(from.iter().any(|word| request["from"] == *word), "{seen}");
        let text = world.privyseal(["verify", name]).ok().text();
        assert!(text.contains("receipt    is asked for"), "{text}");

        let made = make(&world, name, "receipt.eml").ok().json();
        assert_eq!(made["send_to"][0], "bob@example.org", "{made}");
        assert_eq!(made["identifier"], request["identifier"], "{made}");
        let receipt = String::from_utf8(world.read("receipt.eml")).unwrap();
        assert!(receipt.contains("application/pkcs7-mime; smime-type=signed-receipt"));
        let verify = |original: &str| {
            world.openssl(&format!(
                "cms -verify_receipt receipt.eml -in {original} -CAfile token/anchor.pem"
            ))
        };
        verify(name).ok();
        let checked = check(&world, "receipt.eml", name);
        assert_eq!(checked["verdict"], "good", "{checked}");
        assert_eq!(checked["acknowledged_by"]["emails"][0], "alice@example.org");
        assert_eq!(checked["identifier"], request["identifier"]);

        // another message of his
        asked_by_bob(&world, "other.eml", more);
        assert_ne!(verify("other.eml").code, 0);
        assert_reason(
            &check(&world, "receipt.eml", "other.eml"),
            "bad",
            "another message",
        );
    }
    // as mail it is what it is
    let seen = world.privyseal(["verify", "receipt.eml", "--json"]);
    assert_eq!(seen.code, 3);
    assert_reason(&seen.json(), "unknown", "privyseal receipt check");
    for format in ["der", "pem"] {
        let args = [
            "receipt",
            "make",
            "clear.eml",
            "--format",
            format,
            "-o",
            "r",
        ];
        world.privyseal(args).ok();
        assert_eq!(check(&world, "r", "clear.eml")["verdict"], "good");
    }
}

#[test]
fn a_receipt_of_openssl_is_checked_against_what_was_sent() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let sign = |out: &str, more: &[&str]| {
        let mut args = vec!["sign", "mail.txt", "-o", out];
        args.extend(more);
        world.privyseal(args).ok();
    };
    let ask = ["--request-receipt", "alice@example.org"];
    sign("sent.eml", &ask);
    sign("plain.eml", &[]);
    let answer = "cms -sign_receipt -signer token/peer-rsa.pem -inkey token/peer-rsa.key -certfile token/intermediate.pem \
                  -in sent.eml -out receipt.eml";
    world.openssl(answer).ok();
    let checked = check(&world, "receipt.eml", "sent.eml");
    assert_eq!(checked["verdict"], "good", "{checked}");
    assert_eq!(checked["acknowledged_by"]["emails"][0], "bob@example.org");
    assert!(checked["acknowledged_at"].is_string(), "{checked}");

    let original = String::from_utf8(world.read("sent.eml")).unwrap();
    world.write(
        "changed.eml",
        original.replacen("acknowledge", "acknowlegde", 1),
    );
    let changed = check(&world, "receipt.eml", "changed.eml");
    assert_reason(&changed, "bad", "not as it was signed");
    let plain = check(&world, "receipt.eml", "plain.eml");
    assert_reason(&plain, "bad", "another message");
    assert_reason(
        &check(&world, "sent.eml", "sent.eml"),
        "bad",
        "no signed receipt",
    );
    assert_reason(
        &check(&world, "mail.txt", "sent.eml"),
        "bad",
        "no signed receipt",
    );
    // whom nobody trusts here has acknowledged nothing yet
    let stranger =
        "req -x509 -newkey rsa:2048 -nodes -subj /CN=Eve -days 3 -keyout eve.key -out eve.pem";
    world.openssl(stranger).ok();
    world
        .openssl("cms -sign_receipt -signer eve.pem -inkey eve.key -in sent.eml -out eve.eml")
        .ok();
    assert_ne!(check(&world, "eve.eml", "sent.eml")["verdict"], "good");
    let missing = [
        "receipt",
        "check",
        "receipt.eml",
        "--original",
        "mail.txt",
        "--json",
    ];
    let missing = world.privyseal(missing).fails_with(1);
    assert!(
        missing.text().contains("the original message"),
        "{missing:?}"
    );

    // a detached signature, whose content is given along
    let form = ["--form", "detached", "--format", "der", "--no-canonicalize"];
    sign("sent.p7s", &[&ask[..], &form].concat());
    world
        .openssl(&answer.replace("sent.eml", "sent.p7s -inform DER"))
        .ok();
    let mut args = vec!["receipt", "check", "receipt.eml", "--original", "sent.p7s"];
    args.extend(["--content", "mail.txt"]);
    world.privyseal(args).ok();
}

#[test]
fn no_receipt_where_none_is_owed() {
    let world = World::unlocked();
    asked_by_bob(&world, "asking.eml", "-receipt_request_all");
    let refused = |message: &str, why: &str| {
        let run = make(&world, message, "receipt.eml").fails_with(5);
        assert!(run.text().contains(why), "{run:?}");
        assert!(!world.path("receipt.eml").exists());
    };
    world
        .privyseal(["sign", "mail.txt", "-o", "plain.eml"])
        .ok();
    refused("plain.eml", "asks for no receipt");
    asked_by_bob(
        &world,
        "others.eml",
        "-receipt_request_from carol@example.org",
    );
    refused("others.eml", "asked of others");
    let text = String::from_utf8(world.read("asking.eml")).unwrap();
    world.write("changed.eml", text.replacen("please", "plaese", 1));
    refused("changed.eml", "good signature only");
    world
        .openssl(
            "req -x509 -newkey rsa:2048 -nodes -subj /CN=Eve -days 3 -keyout eve.key -out eve.pem",
        )
        .ok();
    world
        .openssl("cms -sign -in mail.txt -signer eve.pem -inkey eve.key -receipt_request_to e@example.org -receipt_request_all -out eve.eml")
        .ok();
    refused("eve.eml", "good signature only");
    make(&world, "asking.eml", "receipt.p7m").ok();
    refused("receipt.p7m", "good signature only");

    let bad = world.privyseal(["sign", "mail.txt", "-o", "x", "--request-receipt", "nobody"]);
    bad.fails_with(2);
    world.privyseal(["token", "lock"]).ok();
    let locked = ["receipt", "make", "asking.eml", "-o", "x", "--batch"];
    world.privyseal(locked).fails_with(4);
}

#[test]
fn labels_are_shown_and_what_is_above_the_clearance_is_refused() {
    let world = World::with(WorldOptions {
        config: "\n[labels]\nunknown = \"refuse\"\nclearance = { \"1.2.3.4\" = \"secret\" }\n"
            .into(),
        ..WorldOptions::default()
    });
    world.unlock();
    world.write("mail.txt", MAIL);
    for (label, refused) in [
        ("1.2.3.4:secret:for Bob", false),
        ("1.2.3.4:0", false),
        ("1.2.3.4:top-secret", true),
        ("1.2.3.4:256", true),
        ("1.2.3.5:0", true),
    ] {
        let sign = ["sign", "mail.txt", "-o", "labelled.eml", "--label", label];
        world.privyseal(sign).ok();
        let args = [
            "verify",
            "labelled.eml",
            "--json",
            "-o",
            "seen",
            "--even-if-bad",
        ];
        let run = world.privyseal(args);
        let all = run.json();
        let shown = &all["security_label"];
        let mut parts = label.splitn(3, ':');
        assert_eq!(shown["policy"], parts.next().unwrap(), "{all}");
        assert!(shown["classification"].is_u64(), "{all}");
        if refused {
            assert_eq!(run.code, 3, "{label}: {all}");
            assert_reason(&all, "unknown", "refused by policy");
            assert!(all["refused"].is_string(), "{all}");
            assert_eq!(all["content_written"], false, "{all}");
            assert!(!world.path("seen").exists(), "{label}");
        } else {
            assert_eq!(run.code, 0, "{label}: {all}");
            assert_eq!(world.read("seen"), MAIL.as_bytes());
            std::fs::remove_file(world.path("seen")).unwrap();
        }
    }
    // labelled and asking: no receipt for what may not be read
    let sign = ["sign", "mail.txt", "-o", "x.eml", "--label", "1.2.3.4:5"];
    let ask = ["--request-receipt", "alice@example.org"];
    world.privyseal([&sign[..], &ask].concat()).ok();
    let run = make(&world, "x.eml", "receipt.eml").fails_with(5);
    assert!(run.text().contains("refused by policy"), "{run:?}");
    // and an encrypted message has its label inside
    let to = ["--encrypt-to", "alice@example.org"];
    world.privyseal([&sign[..], &to].concat()).ok();
    world
        .privyseal(["decrypt", "x.eml", "-o", "inner.eml"])
        .ok();
    let inner = world.privyseal(["verify", "inner.eml", "--json"]).json();
    assert_eq!(inner["security_label"]["classification_word"], "top-secret");

    // the label of the signature around an encrypted message binds too (RFC 2634 §1.1)
    world.privyseal(["sign", "mail.txt", "-o", "a.eml"]).ok();
    for (label, refused) in [("1.2.3.4:secret", false), ("1.2.3.4:top-secret", true)] {
        let to = ["encrypt", "a.eml", "-r", "alice@example.org", "-o", "b.eml"];
        world.privyseal(to).ok();
        let sign = ["sign", "b.eml", "--form", "opaque", "--label", label];
        world.privyseal([&sign[..], &["-o", "c.eml"]].concat()).ok();
        let open = ["mail", "open", "c.eml", "--json", "-o", "seen"];
        let all = world
            .privyseal([&open[..], &["--even-if-bad"]].concat())
            .json();
        assert_eq!(all["content_written"], !refused, "{all}");
        assert_eq!(world.path("seen").exists(), !refused, "{all}");
        if refused {
            assert_reason(&all, "unknown", "refused by policy");
        } else {
            assert_eq!(all["verdict"], "good", "{all}");
            std::fs::remove_file(world.path("seen")).unwrap();
        }
    }

    world
        .privyseal(["sign", "mail.txt", "-o", "x", "--label", "1.2.3.4:257"])
        .fails_with(2);
}

#[test]
fn labels_of_unknown_policies_are_shown_unless_the_configuration_says_otherwise() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let sign = [
        "sign",
        "mail.txt",
        "-o",
        "x.eml",
        "--label",
        "1.2.3.4:top-secret:mine",
    ];
    world.privyseal(sign).ok();
    let text = world.privyseal(["verify", "x.eml"]).ok().text();
    let line = "label      top-secret (5), \"mine\", policy 1.2.3.4\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn countersignatures_are_shown_and_change_no_verdict() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let sign = [
        "sign",
        "mail.txt",
        "-s",
        "alice@example.org",
        "--form",
        "opaque",
    ];
    let out = ["--format", "der", "-o", "signed.der", "--no-canonicalize"];
    world.privyseal([&sign[..], &out].concat()).ok();
    let jars =
        ["bcmail", "bcpkix", "bcutil", "bcprov"].map(|jar| format!("/usr/share/java/{jar}.jar"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/SignedData.java");
    let (jars, program) = (jars.join(":"), program.display().to_string());
    let mut args = vec!["-cp", &jars, &program];
    let (key, certificate) = ("token/peer-rsa.key", "token/peer-rsa.pem");
    for (from, to) in [("signed.der", "one.der"), ("one.der", "two.der")] {
        args.extend(["countersign", "SHA256WITHRSA", key, certificate, from, to]);
    }
    world.run("java", args).ok();
    for (message, depth) in [("one.der", 1), ("two.der", 2)] {
        let all = world.privyseal(["verify", message, "--json"]).ok().json();
        let mut level = &all["signatures"][0];
        assert_eq!(level["signer"]["emails"][0], "alice@example.org", "{all}");
        for _ in 0..depth {
            level = &level["countersignatures"][0];
            assert_eq!(level["signature"], "valid", "{all}");
            assert_eq!(level["chain"], "valid", "{all}");
            assert_eq!(level["signer"]["emails"][0], "bob@example.org", "{all}");
        }
        assert!(level.get("countersignatures").is_none(), "{all}");
        let text = world.privyseal(["verify", message]).ok().text();
        assert_eq!(text.matches("countersig valid").count(), depth, "{text}");
    }
    // one that does not hold is a warning; the last octets of the message are the countersignature's
    let mut forged = world.read("one.der");
    let at = forged.iter().rposition(|byte| *byte != 0).unwrap();
    forged[at] ^= 1;
    world.write("forged.der", &forged);
    let all = world
        .privyseal(["verify", "forged.der", "--json"])
        .ok()
        .json();
    let counter = &all["signatures"][0]["countersignatures"][0];
    assert_eq!(counter["signature"], "invalid", "{all}");
    assert!(
        all["warnings"][0]
            .as_str()
            .unwrap()
            .contains("countersignature"),
        "{all}"
    );
}
