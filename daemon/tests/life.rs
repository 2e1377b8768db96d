//! The daemon's own life: one for each user, a quick and clean end, contexts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::{World, cms, error_name, manager, null, pipe};
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_names_the_first() {
    let world = World::start();
    let second = world.refused(&mut world.command());
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    let first = format!("as process {}", world.daemon.id());
    assert!(said.contains(&first), "{said}");

    // another data folder, but the same bus
    let elsewhere = world.folder().join("elsewhere");
    let third = world.refused(world.command().env("XDG_DATA_HOME", elsewhere));
    assert_eq!(third.status.code(), Some(1));
    let said = String::from_utf8(third.stderr).unwrap();
    assert!(said.contains("another privyseald runs"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_quickly_with_a_job_at_work() {
    let mut world = World::start();
    let client = world.connect().await;
    let (message, _hold) = pipe();
    cms(&client)
        .await
        .verify(
            message.as_fd().into(),
            null().as_fd().into(),
            null().as_fd().into(),
            HashMap::new(),
        )
        .await
        .unwrap();
    world.daemon.signal(Signal::TERM);
    let begun = Instant::now();
    assert!(world.told().starts_with("STOPPING=1"));
    let (status, _) = world.daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", world.log());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_are_checked() {
    let world = World::start();
    let client = world.connect().await;
    let manager = manager(&client).await;
    manager
        .set_context(HashMap::from([
            ("application", "mutt".into()),
            ("interactive", true.into()),
            ("tty-fd", zbus::Fd::from(null().as_fd()).into()),
        ]))
        .await
        .unwrap();
    for bad in [
        HashMap::from([("pinentry-program", "/bin/evil".into())]),
        HashMap::from([("tty", "/dev/pts/1\nEVIL".into())]),
        HashMap::from([("interactive", "yes".into())]),
    ] {
        assert_eq!(
            error_name(manager.set_context(bad).await),
            "InvalidArgument"
        );
    }
    assert_eq!(manager.version().await.unwrap(), 1);
    assert_eq!(
        manager.features().await.unwrap(),
        [
            "sign",
            "verify",
            "encrypt",
            "decrypt",
            "compress",
            "decompress",
            "open",
            "receipts",
            "agents",
            "audit"
        ]
    );
    assert_eq!(
        error_name(manager.rescan(HashMap::from([("x", true.into())])).await),
        "InvalidArgument"
    );
    manager.rescan(HashMap::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_configuration_again_and_keeps_it_when_it_is_wrong() {
    let world = World::start();
    let file = world.folder().join("privyseal.toml");
    fs::write(&file, "nonsense = 1\n").unwrap();
    world.daemon.signal(Signal::HUP);
    let told = world.told();
    assert!(told.contains("stays as it was"), "{told}");
    assert!(told.contains("nonsense"), "{told}");

    fs::write(&file, "[modules]\np11-kit = false\n").unwrap();
    world.daemon.signal(Signal::HUP);
    let told = world.told();
    assert!(told.contains("was read again"), "{told}");
    let client = world.connect().await;
    assert_eq!(manager(&client).await.version().await.unwrap(), 1);
}

#[test]
fn check_config_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("privyseal.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_privyseald"))
            .arg("--check-config")
            .arg(&file)
            .arg("--json")
            .output()
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), json)
    };
    let (code, json) = check("[modules]\np11-kit = false\n");
    assert_eq!((code, &json["valid"]), (Some(0), &true.into()), "{json}");
    let (code, json) = check("nonsense = 1\n");
    assert_eq!((code, &json["valid"]), (Some(1), &false.into()));
    assert_eq!(json["schema"], 1);
    assert!(json["message"].as_str().unwrap().contains("nonsense"));
}
