//! PINs in memory: gone from the daemon once they are passed on, in a worker only where the configuration has them kept, and in no core file.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use privyseal_tests::memory::{Pins, may_look, pins_in, processes};
use privyseal_tests::process::Process;
use privyseal_tests::{World, WorldOptions, not_run};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello\r\n";

#[test]
fn a_pin_that_was_passed_on_is_nowhere_in_memory() {
    if !may_look("a_pin_that_was_passed_on_is_nowhere_in_memory") {
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
            assert_eq!(pins_in(pid), Pins::default(), "process {pid}, by {by}");
        }
        world.privyseal(["token", "lock"]).ok();
    }
}

#[test]
fn a_kept_pin_is_in_one_page_that_is_in_no_core_file() {
    if !may_look("a_kept_pin_is_in_one_page_that_is_in_no_core_file") {
        return;
    }
    let world = World::with(WorldOptions {
        config: "\n[pin]\nbatch-uses = 5\n".into(),
        ..WorldOptions::default()
    });
    world.unlock();
    let found: Vec<Pins> = processes(&world).into_iter().map(pins_in).collect();
    let kept: usize = found.iter().map(|f| f.kept).sum();
    assert_eq!(kept, 1, "{found:?}");
    assert!(found.iter().all(|f| f.exposed == 0), "{found:?}");
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
        not_run("no_core_file_is_written", "no program's is, here");
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
        let worker = Process::of(pid);
        worker.signal(Signal::ABORT);
        assert!(worker.ends_within(Duration::from_secs(10)));
    }
    assert_eq!(cores(), before);
    let status = world.kill_daemon(Signal::ABORT);
    assert_eq!(
        (status.signal(), status.core_dumped()),
        (Some(Signal::ABORT.as_raw()), false)
    );
    assert_eq!(cores(), before);
}
