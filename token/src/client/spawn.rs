//! Starts a worker process and listens to its standard error.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use super::shared::Setup;
use crate::readers::{CONF_AT_STDIN, OPENSC_CONF, Scope};

/// What a worker gets of our environment; everything else is the module's configuration to say.
const INHERITED: [&str; 10] = [
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "RUST_LOG",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
    "LC_ALL",
];
/// A longer line of a module is cut into several.
const MAX_LINE: u64 = 4096;

/// The worker and our end of its socket. One that reads no requests for as long as a call may take fails the next one.
pub(super) fn spawn(setup: &Setup, scope: &Scope) -> Result<(Child, UnixStream), String> {
    let (worker, config): (&Path, _) = (&setup.worker, &setup.config);
    if !worker.is_absolute() {
        // Command would look for a bare name in PATH
        return Err(format!(
            "{} is no absolute path of a worker",
            worker.display()
        ));
    }
    let failed = |e: std::io::Error| format!("{}: {e}", worker.display());
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    ours.set_write_timeout(Some(setup.deadline))
        .map_err(failed)?;
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut child = Command::new(worker)
        .arg("--worker")
        .env_clear()
        .envs(inherited.collect::<Vec<(&str, OsString)>>())
        .envs(&config.env)
        .envs((*scope != Scope::All).then_some((OPENSC_CONF, CONF_AT_STDIN)))
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // ^C at a terminal is for the daemon, which then locks the tokens
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    if let Some(stderr) = child.stderr.take() {
        let module = config.path.display().to_string();
        let listener = thread::Builder::new().name("token-stderr".into());
        // without a listener the pipe is closed, and the worker's lines are lost
        let _ = listener.spawn(move || relay(stderr, &module));
    }
    Ok((child, ours))
}

/// Passes on what the worker, and the module in it, print.
fn relay(stderr: ChildStderr, module: &str) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match stderr.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        match text.split_once(' ') {
            Some(("ERROR", said)) => tracing::error!(module, "{said}"),
            Some(("WARN", said)) => tracing::warn!(module, "{said}"),
            Some(("INFO", said)) => tracing::info!(module, "{said}"),
            Some(("DEBUG", said)) => tracing::debug!(module, "{said}"),
            Some(("TRACE", said)) => tracing::trace!(module, "{said}"),
            _ if text.is_empty() => {}
            _ => tracing::info!(module, "{text}"),
        }
    }
}
