//! PINs in memory: gone from the daemon once they are passed on, in a worker only where the configuration has them kept, and in no core file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use privyseal_tests::memory::processes;
use privyseal_tests::{PIN, World, WorldOptions};
use rustix::process::{Pid, Resource, Rlimit, Signal, geteuid, getrlimit, kill_process, setrlimit};

const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello\r\n";

/// Where a process has the PIN: `core` would be in a core file, `kept` not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    core: usize,
    kept: usize,
}

fn find(pid: u32) -> Found {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut found = Found::default();
    let mut looked_at = 0;
    let mut area = None;
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap();
        if let Some((start, end)) = first.split_once('-')
            && let (Ok(start), Ok(end)) =
                (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16))
        {
            let readable = line.split(' ').nth(1).unwrap().starts_with('r');
            area = readable.then_some((start, end));
        }
        if let (Some(flags), Some((start, end))) = (line.strip_prefix("VmFlags:"), area) {
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // the kernel's own pages cannot be read so
            if memory.read_exact_at(&mut bytes, start).is_err() {
                continue;
            }
            looked_at += bytes.len();
            let count = bytes
                .windows(PIN.len())
                .filter(|w| *w == PIN.as_bytes())
                .count();
            if flags.split_whitespace().any(|flag| flag == "dd") {
                found.kept += count;
            } else {
                found.core += count;
            }
        }
    }
    assert!(looked_at > 1 << 20);
    found
}

fn only_root(what: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        // not eprintln: the harness hides what a passing test prints
        let line = format!("NOT RUN: {what}: only root sees the memory of other processes\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    root
}

#[test]
fn a_pin_that_was_passed_on_is_nowhere_in_memory() {
    if !only_root("a_pin_that_was_passed_on_is_nowhere_in_memory") {
        return;
    }
    let world = World::with(WorldOptions {
        pinentry: Some("D c4nary-97531\\nOK"),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    let sign = [
        "sign",
        "mail.txt",
        "-s",
        "alice@example.org",
        "-o",
        "signed",
    ];
    for by in ["a descriptor", "a prompt"] {
        match by {
            "a descriptor" => world.unlock(),
            _ => drop(
                world
                    .command(privyseal_tests::binary("privyseal", false))
                    .env("DISPLAY", ":99")
                    .args(sign)
                    .output()
                    .unwrap(),
            ),
        }
        world.privyseal(sign).ok();
        for pid in processes(&world) {
            assert_eq!(find(pid), Found::default(), "process {pid}, by {by}");
        }
        world.privyseal(["token", "lock"]).ok();
    }
}

#[test]
fn a_kept_pin_is_in_one_page_that_is_in_no_core_file() {
    if !only_root("a_kept_pin_is_in_one_page_that_is_in_no_core_file") {
        return;
    }
    let world = World::with(WorldOptions {
        config: "\n[pin]\nbatch-uses = 5\n".into(),
        ..WorldOptions::default()
    });
    world.unlock();
    let found: Vec<Found> = processes(&world).into_iter().map(find).collect();
    let kept: usize = found.iter().map(|f| f.kept).sum();
    assert_eq!(kept, 1, "{found:?}");
    assert!(found.iter().all(|f| f.core == 0), "{found:?}");
}

#[test]
fn no_core_file_is_written() {
    // what the user's session allows, the daemon and its workers forbid themselves
    let most = getrlimit(Resource::Core).maximum;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: most,
            maximum: most,
        },
    )
    .unwrap();
    let mut world = World::unlocked();
    let other = Command::new("sh")
        .args(["-c", "kill -ABRT $$"])
        .current_dir(world.dir())
        .status()
        .unwrap();
    if !other.core_dumped() {
        let line =
            b"NOT RUN: no_core_file_is_written: no core file of any program is written here\n";
        std::io::stderr().write_all(line).unwrap();
        return;
    }
    let dir = world.dir().to_owned();
    let cores = || {
        let names = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("core"))
            .count()
    };
    let before = cores();
    let workers: Vec<u32> = processes(&world).into_iter().skip(1).collect();
    for pid in workers {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let ended = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        kill_process(pid, Signal::ABORT).unwrap();
        let mut wait = [rustix::event::PollFd::new(
            &ended,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut wait, None).unwrap();
    }
    assert_eq!(cores(), before);
    let status = world.kill_daemon(Signal::ABORT);
    assert_eq!(
        (status.signal(), status.core_dumped()),
        (Some(Signal::ABORT.as_raw()), false)
    );
    assert_eq!(cores(), before);
}
