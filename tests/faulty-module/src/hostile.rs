//! What a hostile module would try, one thing at a time. The log then says what came of it: `tried KIND WITH: done`, or why not.
//!
//! ```text
//! connect PATH            to a socket of this path
//! connect-abstract NAME   to a socket of this abstract name
//! datagram PATH           to a socket of this path, from one end of a pair
//! tcp HOST:PORT           a connection
//! read PATH               a file, or the list of a folder
//! write PATH              a file, which is made if need be
//! exec PATH               a program in the module's place
//! spawn PATH              a program beside it
//! core                    have a core file written
//! debug                   let others look into the process
//! signal PID              any signal, to a process
//! namespace               a user namespace, in which to be privileged
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, set_dumpable_behavior, setrlimit, test_kill_process,
};

/// The kinds.
pub(crate) const ATTEMPTS: [&str; 12] = [
    "connect",
    "connect-abstract",
    "datagram",
    "tcp",
    "read",
    "write",
    "exec",
    "spawn",
    "core",
    "debug",
    "signal",
    "namespace",
];

pub(crate) fn attempt(kind: &str, with: &str) -> io::Result<()> {
    match kind {
        "connect" => UnixStream::connect(with).map(drop),
        "connect-abstract" => {
            let address = SocketAddr::from_abstract_name(with)?;
            UnixStream::connect_addr(&address).map(drop)
        }
        "datagram" => {
            let (end, _other) = UnixDatagram::pair()?;
            end.send_to(b"x", with).map(drop)
        }
        "tcp" => TcpStream::connect(with).map(drop),
        "read" if fs::metadata(with)?.is_dir() => fs::read_dir(with).map(drop),
        "read" => fs::read(with).map(drop),
        "write" => {
            let file = OpenOptions::new().create(true).append(true).open(with);
            file?.write_all(b"x")
        }
        "exec" => Err(Command::new(with).exec()),
        "spawn" => Command::new(with).status().map(drop),
        "core" => {
            let unlimited = Rlimit {
                current: None,
                maximum: None,
            };
            Ok(setrlimit(Resource::Core, unlimited)?)
        }
        "debug" => Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?),
        "signal" => {
            let pid = with.parse().ok().and_then(Pid::from_raw);
            Ok(test_kill_process(pid.ok_or(io::ErrorKind::InvalidInput)?)?)
        }
        "namespace" => {
            // SAFETY: shares nothing with other threads that would be parted from them.
            let done =
                unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER) };
            Ok(done?)
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
