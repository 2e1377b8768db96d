//! A PIN is seen nowhere: not in logs (at trace level), not on the bus, not in files, not in arguments or environments.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use privyseal_tests::{PIN, World, WorldOptions, wait_until};

/// Also as it would look in a debug print of bytes.
fn spellings() -> Vec<Vec<u8>> {
    let bytes = PIN.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    vec![
        bytes.to_vec(),
        hex.clone().into_bytes(),
        hex.to_uppercase().into_bytes(),
        list.join(", ").into_bytes(),
    ]
}

fn holds(haystack: &[u8]) -> bool {
    spellings()
        .iter()
        .any(|pin| haystack.windows(pin.len()).any(|w| w == pin.as_slice()))
}

struct Monitor(Child);

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn files_below(folder: &Path, all: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), all);
        } else if entry.file_type().unwrap().is_file() {
            all.push(entry.path());
        }
    }
}

#[test]
fn a_pin_is_in_no_log_no_message_no_file_no_argument() {
    let world = World::with(WorldOptions {
        log: Some("trace"),
        ..WorldOptions::default()
    });
    let seen = fs::File::create(world.path("monitored")).unwrap();
    let monitor = Monitor(
        Command::new("dbus-monitor")
            .args(["--address", world.bus_address()])
            .stdin(Stdio::null())
            .stdout(seen)
            .spawn()
            .unwrap(),
    );
    wait_until("the monitor to see a call", || {
        world.privyseal(["status"]).ok();
        world
            .read("monitored")
            .windows(15)
            .any(|w| w == b"org.privyseal1.")
    });

    // wrong first, by as much as one letter: that one must not show either
    world
        .privyseal_in(
            ["token", "unlock", "privyseal-demo", "--pin-fd", "0"],
            b"c4nary-97530",
        )
        .fails_with(4);
    world.unlock();
    world.write("mail.txt", "Content-Type: text/plain\r\n\r\nHello\r\n");
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
    world
        .privyseal([
            "encrypt",
            "mail.txt",
            "-r",
            "alice@example.org",
            "-o",
            "secret",
        ])
        .ok();
    world.privyseal(["decrypt", "secret", "-o", "opened"]).ok();

    let mut looked_at = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for name in ["cmdline", "environ"] {
            if let Ok(content) = fs::read(process.path().join(name)) {
                looked_at += 1;
                // this test's own memory is not looked at, its arguments are
                assert!(!holds(&content), "{:?}", process.path());
            }
        }
    }
    assert!(looked_at > 4);

    wait_until("the monitor to see the unlocking", || {
        world.read("monitored").windows(6).any(|w| w == b"Unlock")
            && world.read("monitored").windows(7).any(|w| w == b"Decrypt")
    });
    drop(monitor);
    assert!(!holds(&world.read("monitored")), "on the bus");

    let log = fs::read(world.log_file()).unwrap();
    let traces = String::from_utf8_lossy(&log)
        .lines()
        .filter(|l| l.contains("TRACE"))
        .count();
    assert!(
        traces > 10,
        "only {traces} trace lines: the test would prove nothing"
    );
    assert!(!holds(&log), "in the log");

    let mut files = Vec::new();
    files_below(world.dir(), &mut files);
    assert!(files.len() > 20);
    for file in &files {
        assert!(!holds(&fs::read(file).unwrap()), "in {}", file.display());
    }
    println!(
        "{traces} trace lines, {} files, {looked_at} process entries looked at",
        files.len()
    );
}
