//! This process: what it must not leak, what it needs, and where its worker is.

use std::env;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Descriptors wanted: each job of a client may hold four, each worker two.
const DESCRIPTORS: u64 = 4096;

/// No core files and no ptrace (a PIN passes through this process), files for the user only, enough descriptors.
pub fn harden() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // a kernel that refuses these is no reason not to start: they are a second line
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let files = rustix::process::getrlimit(Resource::Nofile);
    let wanted = files
        .maximum
        .map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if files.current.is_some_and(|now| now < wanted) {
        let _ = rustix::process::setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: files.maximum,
            },
        );
    }
}

/// The worker binary: beside the daemon's own, or in libexec; never through PATH (design rule 14).
pub fn worker() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| format!("cannot tell where this program is: {e}"))?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    let beside = folder.join("privyseal-token");
    let libexec = folder.join("../libexec/privyseal/privyseal-token");
    if beside.is_file() {
        return Ok(beside);
    }
    if libexec.is_file() {
        return Ok(libexec);
    }
    Err(format!(
        "the worker privyseal-token is neither {} nor {}: install it there",
        beside.display(),
        libexec.display()
    ))
}
