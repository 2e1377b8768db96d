//! How much memory the daemon, its workers and the command line need at most, and how long an operation takes, on files and
//! through pipes. And where in it a PIN is.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use crate::process::Process;
use crate::{PIN, World, not_run};

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
    let process = Process::of(program.id());
    loop {
        memory = memory.max(peak(program.id()));
        if let Some(status) = program.try_wait().unwrap() {
            assert!(status.success(), "{args:?}");
            return memory;
        }
        process.ends_within(Duration::from_millis(5));
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

/// How often a process has the PIN of the demo token in its memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// where a core file or the swap space would have it
    pub exposed: usize,
    /// where neither has it
    pub kept: usize,
}

/// Whether [`pins_in`] can be asked; else one visible line says that the test was not run.
pub fn may_look(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        not_run(test, "only root sees the memory of other processes");
    }
    root
}

pub fn pins_in(pid: u32) -> Pins {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut found = Pins::default();
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
            let all = bytes.windows(PIN.len());
            let count = all.filter(|w| *w == PIN.as_bytes()).count();
            let has = |flag| flags.split_whitespace().any(|f| f == flag);
            // locked, and not dumped
            match has("lo") && has("dd") {
                true => found.kept += count,
                false => found.exposed += count,
            }
        }
    }
    assert!(looked_at > 1 << 20);
    found
}
