//! The pinentry process: found, started, talked to, and in every case ended and reaped.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use privyseal_proto::limits;
use privyseal_smime::Error;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use zeroize::Zeroizing;

use super::PinentryError;
use super::assuan::{Line, Lines, Malformed, decode_pin, parse};
use crate::descriptor::{Control, Deadline, poll};

/// A program that was told to end may put its terminal back in order.
const GRACE: Duration = Duration::from_secs(1);
/// Lines of one answer.
const LINES_MAX: usize = 1000;
/// util-linux; takes the program out of the daemon's session.
const SETSID: &str = "/usr/bin/setsid";

/// libgpg-error
const TIMEOUT: u32 = 62;
const CANCELED: u32 = 99;
const NOT_CONFIRMED: u32 = 114;
const FULLY_CANCELED: u32 = 198;

/// How a command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    Cancelled,
    NotConfirmed,
    Timeout,
    Failed(String),
}

/// The program to run: the configured one (a path, or a name for the daemon's own PATH), else `pinentry`. `None`: it is not
/// there or cannot be executed.
pub fn find_program(configured: Option<&Path>) -> Option<PathBuf> {
    let named = configured.unwrap_or(Path::new("pinentry"));
    if named.is_absolute() {
        return is_executable(named).then(|| named.to_path_buf());
    }
    if named.components().count() != 1 {
        return None;
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(named))
        .find(|program| is_executable(program))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
}

/// A running program. Dropping it ends and reaps the process.
pub(super) struct Conversation<'a> {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    lines: Lines,
    control: &'a Control,
    deadline: Deadline,
    /// no command waits for its answer
    idle: bool,
    /// for errors
    name: String,
}

impl<'a> Conversation<'a> {
    /// Starts the program, and waits for its greeting.
    pub fn start(
        configured: Option<&Path>,
        environment: &[(&'static str, OsString)],
        control: &'a Control,
        within: Duration,
    ) -> Result<Self, PinentryError> {
        let Some(program) = find_program(configured) else {
            let named = configured.map_or("pinentry".into(), |p| p.display().to_string());
            return Err(PinentryError::Unavailable(format!(
                "the program {named} is not found: install a pinentry or set [pinentry] program"
            )));
        };
        let name = program.display().to_string();
        let failed = |e: io::Error| {
            PinentryError::Unavailable(format!("{} does not start: {e}", program.display()))
        };
        let mut child = out_of_our_session(&program)
            .env_clear()
            .envs(environment.iter().map(|(k, v)| (k, v)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            kill(&mut child);
            return Err(failed(io::Error::other("no pipes")));
        };
        let mut conversation = Conversation {
            child,
            stdin: Some(stdin),
            stdout,
            lines: Lines::new(),
            control,
            deadline: Deadline::after(within),
            idle: false,
            name,
        };
        match conversation.answer()?.0 {
            Answer::Ok => Ok(conversation),
            _ => Err(conversation.malformed(&Malformed("no greeting"))),
        }
    }

    /// Sends a line whose refusal does not matter: pinentries differ in the options that they know.
    pub fn set(&mut self, line: &str) -> Result<(), PinentryError> {
        self.ask(line).map(drop)
    }

    /// Sends a line and reads its answer: how it ended, and the data, at most as long as a PIN may be.
    pub fn ask(&mut self, line: &str) -> Result<(Answer, Zeroizing<Vec<u8>>), PinentryError> {
        self.send(line)?;
        self.answer()
    }

    /// All that is ever sent before an answer is read is one short line: the pipe takes it without blocking.
    fn send(&mut self, line: &str) -> Result<(), PinentryError> {
        self.idle = false;
        let sent = match &mut self.stdin {
            Some(stdin) => stdin.write_all(format!("{line}\n").as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        sent.map_err(|_| self.gone())
    }

    fn answer(&mut self) -> Result<(Answer, Zeroizing<Vec<u8>>), PinentryError> {
        let mut pin = Zeroizing::new(Vec::with_capacity(limits::PIN_MAX));
        for _ in 0..LINES_MAX {
            self.wait_for_line()?;
            let Some(line) = self.lines.next() else {
                continue;
            };
            let read = match parse(line) {
                Ok(Line::Ok) => {
                    self.idle = true;
                    return Ok((Answer::Ok, pin));
                }
                Ok(Line::Err(code, text)) => {
                    self.idle = true;
                    return Ok((meaning(code, text), pin));
                }
                Ok(Line::Data(data)) => decode_pin(data, &mut pin),
                // only asked for what we never switch on (the quality bar)
                Ok(Line::Inquire) => {
                    self.send("CAN")?;
                    continue;
                }
                Ok(Line::Other) => continue,
                Err(malformed) => Err(malformed),
            };
            read.map_err(|m| self.malformed(&m))?;
        }
        Err(self.malformed(&Malformed("an answer without an end")))
    }

    fn wait_for_line(&mut self) -> Result<(), PinentryError> {
        loop {
            match self.lines.has_line() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(malformed) => return Err(self.malformed(&malformed)),
            }
            self.control
                .wait(self.stdout.as_fd(), PollFlags::IN, &self.deadline)
                .map_err(|error| match error {
                    Error::Cancelled => PinentryError::Cancelled,
                    Error::Timeout => PinentryError::Timeout,
                    other => PinentryError::Unavailable(other.to_string()),
                })?;
            let stdout = &self.stdout;
            match self.lines.fill(|room| Ok(rustix::io::read(stdout, room)?)) {
                Ok(0) => return Err(self.gone()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(self.gone()),
            }
        }
    }

    fn gone(&self) -> PinentryError {
        PinentryError::Unavailable(format!("{} ended by itself: is it a pinentry?", self.name))
    }

    fn malformed(&self, Malformed(what): &Malformed) -> PinentryError {
        PinentryError::Unavailable(format!("{} sent {what}", self.name))
    }
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take()
            && self.idle
        {
            let _ = stdin.write_all(b"BYE\n");
        }
        let ended = self.idle && closes(&self.stdout, GRACE);
        if !ended {
            // curses puts the terminal back in order
            signal(&self.child, Signal::TERM);
            closes(&self.stdout, GRACE);
        }
        kill(&mut self.child);
    }
}

fn meaning(code: u32, text: String) -> Answer {
    match code {
        TIMEOUT => Answer::Timeout,
        CANCELED | FULLY_CANCELED => Answer::Cancelled,
        NOT_CONFIRMED => Answer::NotConfirmed,
        _ => Answer::Failed(text),
    }
}

/// A daemon that was started from a shell shares that shell's terminal: a child of the same session that used the terminal
/// would be stopped as a background job. It leads a session (or at least a group) of its own, and can be ended with all that
/// it started.
fn out_of_our_session(program: &Path) -> Command {
    if is_executable(Path::new(SETSID)) {
        let mut command = Command::new(SETSID);
        command.arg(program);
        return command;
    }
    let mut command = Command::new(program);
    command.process_group(0);
    command
}

/// Kills what is left, also of what the program started, and reaps.
fn kill(child: &mut Child) {
    signal(child, Signal::KILL);
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "a pinentry was not reaped");
    }
}

/// The child is not reaped yet, so that its number is still its own; its group may not be there yet.
fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    let _ = kill_process_group(pid, signal);
    let _ = kill_process(pid, signal);
}

/// Whether the other end closes in time. What is still sent is not looked at.
fn closes(stdout: &ChildStdout, within: Duration) -> bool {
    let deadline = Deadline::after(within);
    let mut waste = Zeroizing::new([0u8; 256]);
    loop {
        let mut fds = [PollFd::new(stdout, PollFlags::IN)];
        match poll(&mut fds, &deadline) {
            Ok(true) => {}
            _ => return false,
        }
        match rustix::io::read(stdout, &mut waste[..]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
