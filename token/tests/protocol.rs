//! Workers and clients that do not keep to the protocol.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{eventually, worker};
use privyseal_token::{Module, ModuleConfig, ModuleStatus};

/// What the worker answers to these bytes, and how it ends.
fn send(bytes: &[u8]) -> (Vec<u8>, Option<i32>, String) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(worker())
        .arg("--worker")
        .env("RUST_LOG", "error")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // it may end before it has read all
    let _ = ours.write_all(bytes);
    let mut answer = Vec::new();
    let _ = ours.read_to_end(&mut answer);
    let output = child.wait_with_output().unwrap();
    (
        answer,
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_worker_ends_at_the_first_frame_that_is_none() {
    for (what, bytes) in [
        (
            "too long",
            [&(64 * 1024 + 1_u32).to_le_bytes()[..], &[0; 100]].concat(),
        ),
        ("the longest length", vec![0xff; 64]),
        (
            "at the limit, but garbage",
            [&(64 * 1024_u32).to_le_bytes()[..], &[0xff; 64 * 1024]].concat(),
        ),
        ("an empty frame", vec![0; 4]),
        ("a call before Start", vec![2, 0, 0, 0, 0, 2]),
        ("an unknown call", vec![2, 0, 0, 0, 0, 99]),
    ] {
        let (answer, code, said) = send(&bytes);
        assert!(answer.is_empty(), "{what}");
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(said.starts_with("ERROR "), "{what}: {said}");
    }
}

#[test]
fn a_worker_does_not_serve_a_client_that_is_not_its_parent() {
    // Start { module: "/x", init_args: None, allowed: nothing, scope: All, opensc_conf: None, reset_card: false, client: 1 }
    let start = &[0, 0, 2, b'/', b'x', 0, 0, 0, 0, 0, 0, 0, 0, 1][..];
    // WatchReaders { client: 1 }
    let watch = &[0, 1, 1][..];
    for body in [start, watch] {
        let frame = [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], body].concat();
        let (answer, code, said) = send(&frame);
        assert!(answer.is_empty() && code == Some(1), "{said}");
        assert!(said.contains("the client is gone"), "{said}");
    }
}

#[test]
fn a_person_is_told_what_this_program_is() {
    for args in [&[][..], &["--worker"], &["--help"]] {
        let output = Command::new(worker())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("started by privyseald"), "{said}");
    }
    let output = Command::new(worker()).arg("--version").output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"privyseal-token "));
}

/// A module with a shell script for a worker.
fn with_script(dir: &Path, script: &str) -> std::sync::Arc<Module> {
    let path = dir.join("worker");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let config = ModuleConfig {
        path: path.clone(),
        ..ModuleConfig::default()
    };
    Module::start_with_deadline(config, &path, Duration::from_secs(2), Box::new(|_| ()))
}

fn failure(module: &Module) -> String {
    eventually("it failed", || {
        matches!(module.status(), ModuleStatus::Failed(_))
    });
    match module.status() {
        ModuleStatus::Failed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_that_sends_garbage_is_ended() {
    for (script, expected) in [
        // 4 MiB and one byte
        (r"printf '\001\000\100\000' >&0; cat", "sent garbage"),
        (
            r"printf '\002\000\000\000\377\377' >&0; cat",
            "sent garbage",
        ),
        // Reply { id: 77, result: Ok(Done), listing: None }
        (
            r"printf '\004\000\000\000\115\000\000\000' >&0; cat",
            "what nobody asked",
        ),
        // Reply { id: 0, result: Ok(Done), listing: None }
        (
            r"printf '\004\000\000\000\000\000\000\000' >&0; cat",
            "another question",
        ),
        ("exit 3", "exit status: 3"),
        ("kill -SEGV $$", "SIGSEGV"),
        ("cat >/dev/null", "not loaded within"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let module = with_script(dir.path(), script);
        let why = failure(&module);
        assert!(why.contains(expected), "{script}: {why}");
        module.shutdown();
        assert_eq!(module.status(), ModuleStatus::Disabled);
    }
}

#[test]
fn the_workers_environment_is_the_configurations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("worker");
    let config = ModuleConfig {
        path: path.clone(),
        env: [("MODULE_CONF".to_owned(), "/x y".to_owned())].into(),
        ..ModuleConfig::default()
    };
    let seen = dir.path().join("seen");
    fs::write(
        &path,
        format!(
            "#!/bin/sh\nenv > {0}.part; mv {0}.part {0}; exit 1\n",
            seen.display()
        ),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let _module = Module::start(config, &path, Box::new(|_| ()));
    eventually("it ran", || seen.exists());
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("MODULE_CONF=/x y\n"), "{seen}");
    assert!(
        !seen.contains("CARGO"),
        "cargo sets these for a test; they are none of a module's business: {seen}"
    );
}

#[test]
fn what_cannot_be_loaded_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.so");
    let empty = dir.path().join("empty.so");
    fs::write(&empty, "").unwrap();
    for (path, worker, expected) in [
        (missing.as_path(), worker(), "No such file"),
        (Path::new("relative.so"), worker(), "no absolute path"),
        (&empty, worker(), "file too short"),
        (&empty, Path::new("privyseal-token"), "no absolute path"),
        (&empty, &missing, "No such file"),
    ] {
        let config = ModuleConfig {
            path: path.to_owned(),
            ..ModuleConfig::default()
        };
        let module = Module::start(config, worker, Box::new(|_| ()));
        let why = failure(&module);
        assert!(why.contains(expected), "{}: {why}", path.display());
        assert!(module.rescan().is_err());
    }
}
