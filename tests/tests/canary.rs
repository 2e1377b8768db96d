//! A PIN is seen nowhere: not in logs (at trace level), not on the bus, not in files, not in arguments or environments.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use privyseal_tests::{PIN, World, WorldOptions, wait_until};

/// The PIN is changed to this one, and back.
const OTHER: &str = "c4nary-86420";

/// Also as it would look in a debug print of bytes.
fn spellings() -> Vec<Vec<u8>> {
    let all = [PIN, OTHER].map(|pin| {
        let bytes = pin.as_bytes();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
        vec![
            bytes.to_vec(),
            hex.clone().into_bytes(),
            hex.to_uppercase().into_bytes(),
            list.join(", ").into_bytes(),
        ]
    });
    all.concat()
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

/// Kept by the worker, passed along, wrong, changed there and back.
fn pins_at_every_use(world: &World) {
    let sign = ["sign", "mail.txt", "-s", "token/peer-rsa.pem", "-o", "each"];
    for _ in 0..2 {
        world.privyseal(sign).ok();
    }
    world.privyseal(sign).fails_with(4);
    let with_pin = [&sign[..], &["--pin-fd", "0"]].concat();
    world.privyseal_in(&with_pin, b"c4nary-97530").fails_with(4);
    world.privyseal_in(&with_pin, PIN.as_bytes()).ok();
    let change = |old: &str, new: &str| {
        let program = privyseal_tests::binary("privyseal", false);
        let mut child = world
            .command("sh")
            .args(["-c", "read -r old; read -r new; exec 3<<E 4<<F\n$old\nE\n$new\nF\nexec \"$0\" token change-pin --pin-fd 3 --new-pin-fd 4"])
            .arg(program)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(format!("{old}\n{new}\n").as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
    };
    change(PIN, OTHER);
    change(OTHER, PIN);
}

#[test]
fn a_pin_is_in_no_log_no_message_no_file_no_argument() {
    let world = World::with(WorldOptions {
        log: Some("trace"),
        config: "\n[pin]\nbatch-uses = 2\n".into(),
        // a key that wants its PIN at every use
        pkcs11_tool: &[
            "--write-object token/peer-rsa.key --type privkey --id c1 --label each --always-auth --usage-sign",
            "--write-object token/peer-rsa.pem --type cert --id c1 --label each",
        ],
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
            // to nobody's key that wants its PIN at every use
            "--no-self",
            "-o",
            "secret",
        ])
        .ok();
    world.privyseal(["decrypt", "secret", "-o", "opened"]).ok();
    pins_at_every_use(&world);

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
            && world
                .read("monitored")
                .windows(9)
                .any(|w| w == b"ChangePin")
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
