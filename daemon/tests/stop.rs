//! SIGTERM ends the daemon also while it reads a configuration that does not come to its end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use common::{DEADLINE, Process, World};
use rustix::process::Signal;

/// A file that never comes to its end.
fn endless(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// The other end, once the daemon has opened its own.
fn opened(path: &Path) -> File {
    let (told, opened) = mpsc::channel();
    let path = path.to_owned();
    thread::spawn(move || told.send(fs::OpenOptions::new().write(true).open(path)));
    opened.recv_timeout(DEADLINE).unwrap().unwrap()
}

#[test]
fn sigterm_ends_a_daemon_that_has_not_read_its_configuration_yet() {
    let world = World::start();
    let config = world.folder().join("endless.toml");
    endless(&config);
    let mut command = world.command();
    command
        .env("PRIVYSEAL_CONFIG", &config)
        .env("XDG_DATA_HOME", world.folder().join("elsewhere"))
        .stdout(Stdio::null());
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Process::of(command.spawn().unwrap());
        let _hold = opened(&config);
        daemon.signal(signal);
        let (status, stderr) = daemon.wait();
        assert_eq!(status.code(), Some(0), "{stderr}");
    }
}

#[test]
fn sigterm_ends_a_daemon_that_reads_its_configuration_again() {
    let mut world = World::start();
    let config = world.folder().join("privyseal.toml");
    fs::remove_file(&config).unwrap();
    endless(&config);
    world.daemon.signal(Signal::HUP);
    let _hold = opened(&config);
    world.daemon.signal(Signal::TERM);
    let (status, _) = world.daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", world.log());
}
