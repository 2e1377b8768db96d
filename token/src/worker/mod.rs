//! The worker process: the only place where a PKCS#11 module is loaded.
//!
//! It reads requests from the socket that is its standard input and answers them there. Its threads take turns at reading, and
//! each carries out what it has read: no request passes through a queue. One thread more than the module is entered by waits at
//! the socket, so the client's end is noticed at once.

mod confine;
mod fault;
mod kept;
mod login;
mod look;
mod module;
mod oaep;
mod objects;
mod open;
mod opensc;
mod pins;
mod public_key;
mod raw;
mod readers;
mod server;
mod sign;
mod token;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::sockopt::socket_domain;
use rustix::process::getppid;
use tracing_subscriber::EnvFilter;

/// The `privyseal-token` binary.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let said: Vec<_> = arguments.iter().filter_map(|a| a.to_str()).collect();
    match said.as_slice() {
        ["--version"] => {
            println!("privyseal-token {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--worker"] if is_socket() => match serve() {
            Ok(never) => match never {},
            Err(e) => {
                tracing::error!(error = %e, "worker ends");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!(
                "privyseal-token is started by privyseald, for each PKCS#11 module; there is nothing to do with it by hand. \
                 `privyseal token list` shows your tokens."
            );
            ExitCode::from(2)
        }
    }
}

fn is_socket() -> bool {
    socket_domain(io::stdin()).is_ok_and(|domain| domain == rustix::net::AddressFamily::UNIX)
}

fn serve() -> io::Result<std::convert::Infallible> {
    confine::harden()?;
    let no_cryptoki = "cryptoki=off".parse().map_err(io::Error::other)?;
    tracing_subscriber::fmt()
        // cryptoki calls each mechanism that it has no name for an error
        .with_env_filter(EnvFilter::from_default_env().add_directive(no_cryptoki))
        .with_writer(io::stderr)
        // said on stderr too, by a macro that panics where the client is gone
        .log_internal_errors(false)
        .with_ansi(false)
        .event_format(server::Lines)
        .init();
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // a module that reads its standard input must not read our requests
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    server::run(socket, getppid())
}
