//! A gibibyte needs the same memory as ten kibibytes, from a file as from a pipe.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use privyseal_tests::{World, binary};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const SIZE: u64 = 1 << 30;
/// Daemon, worker and command line together, bytes.
const MEMORY: u64 = 64 << 20;

/// Text of CRLF lines that do not repeat, so that a lost or doubled block shows.
fn write_big(path: &Path) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    out.write_all(b"Content-Type: text/plain\r\n\r\n").unwrap();
    let mut written = 28u64;
    let mut number = 0u64;
    while written < SIZE {
        let line =
            format!("{number:016x} the quick brown fox jumps over the lazy dog {number:016x}\r\n");
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        number += 1;
    }
    out.flush().unwrap();
}

/// Highest resident set ever, and what is shared memory now, bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> u64 {
        let line = status
            .lines()
            .find(|l| l.starts_with(name))
            .unwrap_or_default();
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse::<u64>().ok())
            .unwrap_or(0)
            << 10
    };
    field("VmHWM:")
}

/// The daemon, its children, and memory-backed files that they hold open.
fn daemon_peak(world: &World) -> u64 {
    let daemon = world.daemon_pid();
    let mut pids = vec![daemon];
    let children = fs::read_dir(format!("/proc/{daemon}/task"))
        .unwrap()
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    for list in children {
        pids.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    assert!(pids.len() >= 2, "the worker is a process of its own");
    let mut sum = 0;
    for pid in pids {
        sum += peak(pid);
        for fd in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            if target.starts_with("/memfd:") || target.starts_with("/dev/shm/") {
                sum += fs::metadata(fd.path()).map(|m| m.len()).unwrap_or(0);
            }
        }
    }
    sum
}

/// Runs `privyseal ARGS` on files, or with pipes on both sides, and gives the program's peak memory.
fn run(world: &World, args: &[&str], input: &str, output: &str, piped: bool) -> u64 {
    let mut command = world.command(binary("privyseal", false));
    command.args(args);
    if !piped {
        command.args([input, "-o", output]).stdin(Stdio::null());
        return finish(command.spawn().unwrap(), args);
    }
    let mut from = world
        .command("cat")
        .arg(input)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    command
        .stdin(from.stdout.take().unwrap())
        .stdout(Stdio::piped());
    let mut program = command.spawn().unwrap();
    let to = File::create(world.path(output)).unwrap();
    let mut into = world
        .command("cat")
        .stdin(program.stdout.take().unwrap())
        .stdout(to)
        .spawn()
        .unwrap();
    let memory = finish(program, args);
    assert!(from.wait().unwrap().success());
    assert!(into.wait().unwrap().success());
    memory
}

/// Waits for the end, and looks at the peak (which only grows) every few milliseconds until then.
fn finish(mut program: std::process::Child, args: &[&str]) -> u64 {
    let mut memory = 0;
    let pidfd = pidfd_open(Pid::from_child(&program), PidfdFlags::empty()).unwrap();
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    loop {
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", program.id()))
            && let Some(line) = status.lines().find(|l| l.starts_with("VmHWM:"))
        {
            let kib = line
                .split_whitespace()
                .nth(1)
                .and_then(|kib| kib.parse::<u64>().ok());
            memory = memory.max(kib.unwrap_or(0) << 10);
        }
        if let Some(status) = program.try_wait().unwrap() {
            assert!(status.success(), "{args:?}");
            return memory;
        }
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&tick)).unwrap();
    }
}

fn same(world: &World, one: &str, other: &str) {
    let compared = world.command("cmp").args([one, other]).status().unwrap();
    assert!(compared.success(), "{one} and {other} differ");
}

#[test]
fn a_gibibyte_passes_every_operation_in_64_mebibytes() {
    let world = World::unlocked();
    write_big(&world.path("big"));
    let recipient = world.token_file("me-rsa-encrypt.pem").display().to_string();
    let mut rows = 0;
    for piped in [false, true] {
        for (there, back, options) in [
            (
                vec!["sign", "-s", "alice@example.org"],
                vec!["verify"],
                "multipart/signed",
            ),
            (
                vec![
                    "sign",
                    "-s",
                    "alice@example.org",
                    "--form",
                    "opaque",
                    "--format",
                    "der",
                ],
                vec!["verify"],
                "opaque DER",
            ),
            (
                vec!["encrypt", "-r", &recipient, "--cipher", "aes256-gcm"],
                vec!["decrypt"],
                "AES-256-GCM S/MIME",
            ),
            (
                vec![
                    "encrypt",
                    "-r",
                    &recipient,
                    "--cipher",
                    "aes256-cbc",
                    "--format",
                    "der",
                ],
                vec!["decrypt"],
                "AES-256-CBC DER",
            ),
            (vec!["compress"], vec!["decompress"], "zlib S/MIME"),
        ] {
            let way = if piped { "pipes" } else { "files" };
            let mut back = back;
            if piped && back == ["verify"] {
                // verify prints its verdict unless it is told where the content goes
                back.extend(["-o", "/dev/stdout"]);
            }
            let made = run(&world, &there, "big", "made", piped);
            let opened = run(&world, &back, "made", "opened", piped);
            same(&world, "big", "opened");
            let memory = daemon_peak(&world) + made.max(opened);
            println!(
                "{options} through {way}: {} MiB for daemon, worker and command line",
                memory >> 20
            );
            assert!(memory <= MEMORY, "{options} through {way}: {memory} bytes");
            rows += 2;
            for file in ["made", "opened"] {
                fs::remove_file(world.path(file)).unwrap();
            }
        }
    }
    println!("1 GiB: {rows} operations");
    assert_eq!(rows, 20);
}
