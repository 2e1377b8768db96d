//! The audit trail, through the built programs: what is in it and what is not, and that it outlives crashes and full disks.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use privyseal_tests::bytes::Client;
use privyseal_tests::{PIN, Run, World, WorldOptions, binary, wait_until};
use privyseal_virtual_card::pcscd::in_private_place;
use serde_json::Value;

const MAIL: &str = "Subject: canary-subject\r\nContent-Type: text/plain\r\n\r\ncanary-content\r\n";
const SIGNER: &str = "token/me-rsa-sign.pem";

fn unlocked() -> World {
    let world = World::new();
    world.write("mail.txt", MAIL);
    world.unlock();
    world
}

fn sign(world: &World) -> Run {
    world.privyseal(["sign", "mail.txt", "-s", SIGNER, "-o", "signed", "--json"])
}

fn records(world: &World) -> Vec<Value> {
    let all = world
        .privyseal(["audit", "--limit", "5000", "--json"])
        .ok()
        .json();
    assert_eq!(all["schema"], 1);
    all["records"].as_array().unwrap().clone()
}

/// Kind and result of each record since the last start.
fn told(world: &World) -> Vec<String> {
    let all = records(world);
    let begun = all.iter().rposition(|r| r["result"] == "begun").unwrap();
    let word = |r: &Value| {
        format!(
            "{} {}",
            r["kind"].as_str().unwrap(),
            r["result"].as_str().unwrap()
        )
    };
    all[begun + 1..].iter().map(word).collect()
}

fn trail(world: &World) -> std::path::PathBuf {
    world.path("token/data/privyseal/audit.jsonl")
}

#[track_caller]
fn is_whole(world: &World) -> Value {
    let found = world.privyseal(["audit", "verify", "--json"]).ok().json();
    assert_eq!(found["valid"], true, "{found}");
    found
}

#[test]
fn every_private_operation_is_told_with_who_and_which_key_and_never_what_about() {
    let world = unlocked();
    sign(&world).ok();
    for key in ["rsa", "ec"] {
        let to = format!("token/me-{key}-encrypt.pem");
        world
            .privyseal([
                "encrypt",
                "mail.txt",
                "-r",
                &to,
                "--no-self",
                "-o",
                "secret",
            ])
            .ok();
        world.privyseal(["decrypt", "secret", "-o", "opened"]).ok();
    }
    world.privyseal(["token", "lock", "privyseal-demo"]).ok();
    world
        .privyseal_in(["token", "unlock", "--pin-fd", "0"], b"c4nary-00000")
        .fails_with(4);
    sign(&world).fails_with(4);
    let mut change = world.command("sh");
    world.write("old.pin", PIN);
    world.write("new.pin", "c4nary-24680");
    let line = format!(
        "exec '{}' token change-pin --pin-fd 3 --new-pin-fd 4 3<old.pin 4<new.pin",
        binary("privyseal", false).display()
    );
    world.says_pin();
    Run::of(change.args(["-c", &line]).output().unwrap()).ok();
    assert_eq!(
        told(&world),
        [
            "unlock ok",
            "sign ok",
            "unwrap ok",
            "derive ok",
            "lock ok",
            "unlock BadPin",
            "unlock PinRequired",
            "change-pin ok"
        ]
    );
    let all = records(&world);
    let signed = all.iter().find(|r| r["kind"] == "sign").unwrap();
    let certificate = world.privyseal(["cert", "list", "--json"]).ok().json();
    let certificate = certificate["certificates"].as_array().unwrap();
    let digits = signed["certificate"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:");
    let ours = certificate.iter().find(|c| c["sha256"] == digits).unwrap();
    assert_eq!(ours["usages"][0], "sign");
    assert_eq!(signed["token_label"], "privyseal-demo");
    assert_eq!(signed["uid"], rustix::process::geteuid().as_raw());
    assert!(
        signed["program"].as_str().unwrap().ends_with("/privyseal"),
        "{signed}"
    );
    assert!(signed["pid"].as_u64().unwrap() > 1);
    assert_eq!(signed["consent"], "session");
    assert_eq!(signed["purpose"], "sign a message");
    // those of one token; those since a time
    let token = [
        "audit",
        "--token",
        "privyseal-demo",
        "--since",
        "2020-01-01T00:00:00Z",
        "--json",
    ];
    let of_token = world.privyseal(token).ok().json();
    assert_eq!(of_token["records"].as_array().unwrap().len(), 8);
    let future = world
        .privyseal(["audit", "--since", "9000-01-01T00:00:00Z", "--json"])
        .ok()
        .json();
    assert_eq!(future["records"], Value::Array(vec![]));
    let text = world.privyseal(["audit", "--limit", "3"]).ok().text();
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(
        text.contains("change-pin") && text.contains("BadPin") && !text.contains("derive"),
        "{text}"
    );

    let written = fs::read_to_string(trail(&world)).unwrap();
    for secret in ["canary", "c4nary", "alice", "Alice", "example.org"] {
        assert!(!written.contains(secret), "{secret}");
    }
    is_whole(&world);
}

#[test]
fn a_damaged_message_and_a_good_one_are_told_alike() {
    let world = unlocked();
    let to = "token/me-rsa-encrypt.pem";
    world
        .privyseal([
            "encrypt",
            "mail.txt",
            "-r",
            to,
            "--no-self",
            "--format",
            "der",
            "-o",
            "secret",
        ])
        .ok();
    let good = world.read("secret");
    // the end of the wrapped key, which comes before the content's algorithm
    let oid = [
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01,
    ];
    let content = good.windows(oid.len()).position(|w| w == oid).unwrap();
    let mut bad = good.clone();
    bad[content - 40] ^= 1;
    world.write("bad", &bad);
    world.privyseal(["decrypt", "secret", "-o", "opened"]).ok();
    world
        .privyseal(["decrypt", "bad", "-o", "opened"])
        .fails_with(1);
    let all = records(&world);
    let [.., one, other] = &all[..] else {
        panic!("{all:?}");
    };
    for field in ["kind", "result", "consent", "purpose", "certificate"] {
        assert_eq!(one[field], other[field], "{field}");
    }
    assert_eq!(one["result"], "ok");
}

#[test]
fn a_trail_that_somebody_changed_is_told_with_the_place() {
    let world = unlocked();
    sign(&world).ok();
    is_whole(&world);
    let text = fs::read_to_string(trail(&world)).unwrap();
    fs::write(trail(&world), text.replacen("\"sign\"", "\"lock\"", 1)).unwrap();
    let run = world.privyseal(["audit", "verify"]).fails_with(3);
    assert!(
        run.text().contains("audit.jsonl, line 3") || run.text().contains("the trail ends"),
        "{run:?}"
    );
    assert!(run.text().contains("not as it was written"), "{run:?}");
    fs::write(trail(&world), &text).unwrap();
    is_whole(&world);
    // taken out while the daemon is down
    let mut world = world;
    assert_eq!(world.stop_daemon(), 0);
    let text = fs::read_to_string(trail(&world)).unwrap();
    let kept: Vec<&str> = text.lines().take(2).collect();
    fs::write(trail(&world), kept.join("\n") + "\n").unwrap();
    world.start_daemon();
    world.unlock();
    let found = world
        .privyseal(["audit", "verify", "--json"])
        .fails_with(3)
        .json();
    assert!(
        found["problems"][0]
            .as_str()
            .unwrap()
            .contains("not as it had been left"),
        "{found}"
    );
}

#[test]
fn what_was_answered_is_told_also_when_the_daemon_is_killed() {
    let mut world = World::with(WorldOptions {
        // so that it is killed amid rotations too
        config: "\n[audit]\nmax-kib = 128\n".into(),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    let signer = world.fingerprint(world.token_file("me-ec-sign.pem"));
    let signer = format!("sha256:{signer}");
    for round in 0..5 {
        world.unlock();
        let answered = AtomicUsize::new(0);
        let pid = rustix::process::Pid::from_raw(world.daemon_pid().try_into().unwrap()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let client = Client::connect(world.bus_address());
                    let options = [("signer", signer.as_str())];
                    while client.sign(MAIL.as_bytes(), &options).is_ok() {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            wait_until("signatures", || {
                answered.load(Ordering::SeqCst) > 40 + round * 7
            });
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        world.stop_daemon();
        world.start_daemon();
        world.unlock();
        let found = is_whole(&world);
        assert!(found["last"].as_u64().unwrap() > 40);
        let all = records(&world);
        let begins: Vec<usize> = (0..all.len())
            .filter(|n| all[*n]["result"] == "begun")
            .collect();
        let [.., before, last] = begins[..] else {
            // the start was rotated away
            continue;
        };
        let signed = all[before..last]
            .iter()
            .filter(|r| r["kind"] == "sign")
            .count();
        assert!(
            signed >= answered.load(Ordering::SeqCst),
            "{round}: {signed} of {answered:?}"
        );
    }
}

/// A file system of 256 KiB in an empty folder of the test's own. It is taken away again before the folder is.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(folder: std::path::PathBuf) -> Self {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=256k,mode=700", "none"]);
        assert!(mount.arg(&folder).status().unwrap().success());
        SmallDisk(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // the daemon may still have files open there
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_no_key_is_used_and_no_token_unlocked_but_each_is_locked() {
    in_private_place(
        "on_a_full_disk_no_key_is_used_and_no_token_unlocked_but_each_is_locked",
        || {
            let mut world = World::new();
            world.write("mail.txt", MAIL);
            assert_eq!(world.stop_daemon(), 0);
            let small = SmallDisk::at(world.path("token/data/privyseal"));
            world.start_daemon();
            world.unlock();
            sign(&world).ok();
            let mut ballast = fs::File::create(small.0.join("ballast")).unwrap();
            while ballast.write_all(&[0; 512]).is_ok() {}
            // what is left of the trail's own last block is used up
            let refused = (0..30).find_map(|_| {
                let run = sign(&world);
                (run.code != 0).then_some(run)
            });
            let refused = refused.unwrap();
            assert_eq!(refused.json()["error"], "org.privyseal1.Error.NoSpace");
            fs::remove_file(world.path("signed")).unwrap();
            sign(&world).fails_with(1);
            assert!(!world.path("signed").exists());
            world.privyseal(["token", "lock"]).ok();
            let state = || {
                let list = world.privyseal(["token", "list", "--json"]).ok().json();
                list["tokens"][0]["state"].as_str().unwrap().to_owned()
            };
            assert_eq!(state(), "locked");
            let unlock = ["token", "unlock", "--pin-fd", "0", "--json"];
            let refused = world.privyseal_in(unlock, PIN.as_bytes()).fails_with(1);
            assert_eq!(refused.json()["error"], "org.privyseal1.Error.NoSpace");
            assert_eq!(state(), "locked");
            drop(ballast);
            fs::remove_file(small.0.join("ballast")).unwrap();
            world.unlock();
            sign(&world).ok();
            is_whole(&world);
            assert_eq!(world.stop_daemon(), 0);
        },
    );
}

#[test]
fn a_watcher_hears_of_each_use_of_a_key() {
    let world = unlocked();
    let mut watch = world
        .command(binary("privyseal", false))
        .args(["token", "watch", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (heard, events) = mpsc::channel();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let listener = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap();
            heard.send(event).unwrap();
        }
    });
    let next = || events.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(next()["event"], "present");
    sign(&world).ok();
    let mut event = next();
    // SoftHSM's blank token comes first
    while event["event"] != "used" {
        event = next();
    }
    assert_eq!(event["kind"], "sign");
    assert_eq!(event["result"], "ok");
    assert_eq!(event["token"]["label"], "privyseal-demo");
    assert!(
        event["program"].as_str().unwrap().ends_with("/privyseal"),
        "{event}"
    );
    assert!(
        event["certificate"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
    let text = event.to_string();
    assert!(
        !text.contains("canary") && !text.contains("alice"),
        "{text}"
    );
    watch.kill().unwrap();
    watch.wait().unwrap();
    listener.join().unwrap();
}
