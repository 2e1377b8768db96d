//! `privyseal doctor`: each usual trouble is made for real, and is named with its next step.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{World, WorldOptions, openssl, wait_until};
use serde_json::Value;

/// The findings, and the exit code.
fn doctor(world: &World) -> (Vec<Value>, i32) {
    let run = world.privyseal(["doctor", "--json"]);
    let value = run.json();
    let findings = value["findings"].as_array().unwrap().clone();
    for finding in &findings {
        for field in ["severity", "id", "message", "next"] {
            assert!(!finding[field].as_str().unwrap().is_empty(), "{finding}");
        }
    }
    assert_eq!(value["ok"], run.code == 0, "{value}");
    (findings, run.code)
}

#[track_caller]
fn has(world: &World, id: &str, severity: &str) -> Value {
    let (findings, code) = doctor(world);
    let found = findings.iter().find(|f| f["id"] == id);
    let found = found.unwrap_or_else(|| panic!("no {id}: {findings:?}"));
    assert_eq!(found["severity"], severity, "{found}");
    assert!(severity != "error" || code == 1);
    found.clone()
}

#[test]
fn a_healthy_world_has_nothing_wrong() {
    let world = World::with(WorldOptions {
        pinentry: Some("D 123456\\nOK"),
        ..WorldOptions::default()
    });
    let (findings, code) = doctor(&world);
    assert_eq!((findings.len(), code), (0, 0), "{findings:?}");
    let text = world.privyseal(["doctor"]).ok().text();
    assert!(text.contains("nothing is wrong"), "{text}");
}

#[test]
fn modules_that_are_missing_or_fail_are_named() {
    let world = World::with(WorldOptions {
        config:
            "\n[[module]]\npath = \"/nonexistent/pkcs11.so\"\n[[module]]\npath = \"/bin/true\"\n"
                .into(),
        ..WorldOptions::default()
    });
    wait_until("both have failed", || {
        let (findings, _) = doctor(&world);
        findings.iter().filter(|f| f["id"] == "module").count() == 2
    });
    let found = has(&world, "configuration", "error");
    assert!(
        found["message"].to_string().contains("/nonexistent"),
        "{found}"
    );
    assert!(has(&world, "module", "error")["subject"].is_string());
}

#[test]
fn wrong_pins_are_told_before_they_block() {
    let world = World::new();
    let wrong = ["token", "unlock", "privyseal-demo", "--pin-fd", "0"];
    for id in ["pin-tries", "pin-final-try"] {
        world.privyseal_in(wrong, b"000000\n").fails_with(4);
        let found = has(&world, id, "warning");
        assert_eq!(found["subject"], "privyseal-demo");
    }
    // which the right one sets back, confirmed by a person; the daemon's own count ends with it
}

#[test]
fn certificates_that_are_of_no_use_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for step in [
        "req -new -newkey rsa:2048 -nodes -keyout old.key -subj /CN=Old -addext subjectAltName=email:old@example.org -out old.csr",
        "x509 -req -in old.csr -signkey old.key -copy_extensions copy -days -1 -out old.pem",
        "req -x509 -newkey rsa:2048 -nodes -keyout soon.key -subj /CN=Soon -days 3 -out soon.pem",
        "req -x509 -newkey rsa:2048 -nodes -keyout lost.key -subj /CN=Lost -addext subjectAltName=email:lost@example.org -days 90 -out lost.pem",
        "x509 -in lost.pem -outform DER -out lost.der",
    ] {
        openssl(at, step).ok();
    }
    let mut world = World::with(WorldOptions {
        keys: ["old", "soon"]
            .map(|name| {
                (
                    at.join(format!("{name}.pem")),
                    at.join(format!("{name}.key")),
                )
            })
            .to_vec(),
        ..WorldOptions::default()
    });
    assert_eq!(world.stop_daemon(), 0);
    let lost = at.join("lost.der").display().to_string();
    let write = [
        "--module",
        "/usr/lib/softhsm/libsofthsm2.so",
        "--token-label",
        "privyseal-demo",
        "--login",
        "--pin",
        privyseal_tests::PIN,
        "--write-object",
        &lost,
        "--type",
        "cert",
        "--id",
        "77",
        "--label",
        "lost",
    ];
    world.run("pkcs11-tool", write).ok();
    world.start_daemon();
    world.unlock();
    for (id, who) in [
        ("expired", "CN=Old"),
        ("expiring", "CN=Soon"),
        ("no-address", "CN=Soon"),
        ("no-key", "CN=Lost"),
    ] {
        let found = has(&world, id, "warning");
        assert!(found["subject"].to_string().contains(who), "{found}");
    }
}

#[test]
fn a_daemon_that_cannot_be_reached_is_an_error() {
    let mut world = World::new();
    assert_eq!(world.stop_daemon(), 0);
    has(&world, "no-daemon", "error");
}

#[test]
fn a_key_without_a_certificate_is_told() {
    let world = World::with(WorldOptions {
        pkcs11_tool: &["--keypairgen --key-type EC:prime256v1 --id 0b0b --label lone"],
        ..WorldOptions::default()
    });
    // only who is logged in sees private keys
    let (findings, _) = doctor(&world);
    assert!(
        findings
            .iter()
            .all(|f| f["id"] != "key-without-certificate")
    );
    world.unlock();
    let found = has(&world, "key-without-certificate", "warning");
    assert_eq!(found["subject"], "privyseal-demo");
    assert!(found["next"].as_str().unwrap().contains("--id 0b0b"));
    world.privyseal(["token", "lock"]).ok();
    let (findings, _) = doctor(&world);
    assert!(
        findings
            .iter()
            .all(|f| f["id"] != "key-without-certificate")
    );
}
