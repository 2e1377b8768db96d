//! How much memory the daemon, its workers and the command line need at most, and how long an operation takes, on files and
//! through pipes.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::World;

/// How the message comes and where the result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Files,
    /// a pipe on each side
    Pipes,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Way::Files => "files",
            Way::Pipes => "pipes",
        }
    }
}

/// What one run of the command line took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub time: Duration,
    /// the program's highest resident set, bytes; the daemon's is [`daemon_peak`]
    pub memory: u64,
}

/// One operation of the command line.
pub struct Operation<'a> {
    /// `IN` stands for the message
    pub args: &'a [String],
    pub input: &'a str,
    /// where the result goes; `None`: there is none but what is printed
    pub output: Option<&'a str>,
}

/// Runs it in the world's folder; it must succeed.
pub fn run(world: &World, program: Command, operation: &Operation<'_>, way: Way) -> Spent {
    let began = Instant::now();
    let memory = match way {
        Way::Files => on_files(program, operation),
        Way::Pipes => through_pipes(world, program, operation),
    };
    Spent {
        time: began.elapsed(),
        memory,
    }
}

fn on_files(mut program: Command, operation: &Operation<'_>) -> u64 {
    program.args(arguments(operation.args, operation.input));
    if let Some(output) = operation.output {
        program.args(["-o", output]);
    }
    program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    finish(program.spawn().unwrap(), operation.args)
}

fn through_pipes(world: &World, mut program: Command, operation: &Operation<'_>) -> u64 {
    let mut from = world
        .command("cat")
        .arg(operation.input)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    program
        .args(arguments(operation.args, "-"))
        .stdin(from.stdout.take().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if operation.output.is_some() {
        program.args(["-o", "-"]);
    }
    let mut running = program.spawn().unwrap();
    // its own end must be gone, or nobody sees the end of the data
    drop(program);
    let into = operation.output.unwrap_or("/dev/null");
    let mut into = world
        .command("cat")
        .stdin(running.stdout.take().unwrap())
        .stdout(File::create(world.path(into)).unwrap())
        .spawn()
        .unwrap();
    let memory = finish(running, operation.args);
    assert!(from.wait().unwrap().success());
    assert!(into.wait().unwrap().success());
    memory
}

fn arguments<'a>(args: &'a [String], input: &'a str) -> impl Iterator<Item = &'a str> {
    args.iter()
        .map(move |arg| if arg == "IN" { input } else { arg.as_str() })
}

/// Waits for the end, and looks at the peak (which only grows) every few milliseconds until then.
fn finish(mut program: Child, args: &[String]) -> u64 {
    let mut memory = 0;
    let pidfd = pidfd_open(Pid::from_child(&program), PidfdFlags::empty()).unwrap();
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 5_000_000,
    };
    loop {
        memory = memory.max(peak(program.id()));
        if let Some(status) = program.try_wait().unwrap() {
            assert!(status.success(), "{args:?}");
            return memory;
        }
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&tick)).unwrap();
    }
}

/// Highest resident set ever (or since [`forget`]), bytes; 0 for a process that is gone.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Lets the peaks of the daemon and its workers begin anew, where the kernel allows it.
pub fn forget(world: &World) {
    for pid in processes(world) {
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

/// The peaks of the daemon and its workers together, and memory-backed files that they hold open, bytes.
pub fn daemon_peak(world: &World) -> u64 {
    let pids = processes(world);
    assert!(pids.len() >= 2, "the worker is a process of its own");
    pids.into_iter()
        .map(|pid| peak(pid) + memory_files(pid))
        .sum()
}

/// The daemon, and then its workers.
pub fn processes(world: &World) -> Vec<u32> {
    let daemon = world.daemon_pid();
    let tasks = fs::read_dir(format!("/proc/{daemon}/task")).unwrap();
    let children = tasks
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let mut pids = vec![daemon];
    for list in children {
        pids.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    pids
}

fn memory_files(pid: u32) -> u64 {
    let files = fs::read_dir(format!("/proc/{pid}/fd"));
    let sizes = files.into_iter().flatten().flatten().map(|fd| {
        let target = fs::read_link(fd.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        match target.starts_with("/memfd:") || target.starts_with("/dev/shm/") {
            true => fs::metadata(fd.path()).map_or(0, |m| m.len()),
            false => 0,
        }
    });
    sizes.sum()
}
