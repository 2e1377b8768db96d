//! A pcscd of one's own: in mount and network namespaces that nobody else sees, so that the machine's own pcscd, its socket
//! and the ports of its virtual readers are left alone.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "for tests, which may fail loudly"
)]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::not_run;

const PCSCD: &str = "/usr/sbin/pcscd";
const RUN: &str = "/run/pcscd";
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// Set in the process that runs inside.
const INSIDE: &str = "PRIVYSEAL_PRIVATE_PLACE";

/// Runs a test in namespaces of its own: this program once more, for that test only. `test` is its full name.
///
/// # Panics
/// When the test fails inside. Where namespaces are not allowed, one visible line says that it was not run.
pub fn in_private_place(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        prepare();
        body();
        return;
    }
    match once_more(&["--exact", test, "--nocapture", "--test-threads=1"]) {
        Some(said) => {
            print!("{said}");
            assert!(said.contains("1 passed"), "in its private place:\n{said}");
        }
        None => not_run(test, "namespaces are not allowed here"),
    }
}

/// Runs this program once more, with these arguments, in namespaces of its own, where it is to call [`prepare`]. Gives what it
/// printed; `None`: namespaces are not allowed here.
///
/// # Panics
/// When it fails.
pub fn once_more(arguments: &[&str]) -> Option<String> {
    let root = rustix::process::geteuid().is_root();
    let namespaces: &[&str] = if root {
        &["--mount", "--net"]
    } else {
        &["--map-root-user", "--mount", "--net"]
    };
    let allowed = Command::new("unshare")
        .args(namespaces)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        return None;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("unshare")
        .args(namespaces)
        .arg("--")
        .arg(program)
        .args(arguments)
        .env(INSIDE, "1")
        .output()
        .expect("unshare is of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "in its private place:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(said)
}

/// Loopback is up, and the place of pcscd's socket is empty. Only inside.
pub fn prepare() {
    run("ip", &["link", "set", "lo", "up"]);
    fs::create_dir_all(RUN).expect("a place for pcscd's socket");
    run("mount", &["-t", "tmpfs", "none", RUN]);
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} ({e}): scripts/install-deps.sh"));
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

/// A running pcscd; ended with this.
pub struct Pcscd(Child);

impl Pcscd {
    /// With the ports of its virtual readers (35963, 35964) open.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let log = fs::File::create(Path::new(RUN).join("log")).expect("a private place");
        let child = Command::new(PCSCD)
            .arg("--foreground")
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("pcscd: scripts/install-deps.sh");
        let pcscd = Self(child);
        until("pcscd listens", || UnixStream::connect(SOCKET).is_ok());
        pcscd
    }

    /// SIGTERM, and its end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
        let _ = fs::remove_file(SOCKET);
    }
}

impl Drop for Pcscd {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.end();
        }
    }
}

/// Asks again until it holds.
///
/// # Panics
/// After half a minute.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now().checked_add(Duration::from_secs(30));
    while !holds() {
        assert!(
            deadline.is_some_and(|end| Instant::now() < end),
            "waited too long: {what}"
        );
        std::thread::yield_now();
    }
}
