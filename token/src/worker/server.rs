//! Requests in, replies out, and an orderly end.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::module::Module;
use super::token::lock;
use super::{confine, opensc, raw, readers};
use crate::error::Error;
use crate::frame;
use crate::protocol::{Answer, Call, Reply, Request};
use crate::quirks;
use crate::readers::Scope;

/// For C_Logout and C_Finalize; a module that takes longer hangs.
const FINISH: Duration = Duration::from_secs(5);

struct Server {
    module: Module,
    reader: Mutex<UnixStream>,
    writer: Mutex<UnixStream>,
    ending: AtomicBool,
    /// requests that were read and not yet answered
    at_work: AtomicUsize,
}

/// Serves the client at the other end of `socket`; exits the process at its end.
pub(super) fn run(mut socket: UnixStream, parent: Option<Pid>) -> io::Result<Infallible> {
    let first = read(&mut socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let is_parent =
        |client| parent.is_some_and(|parent| u32::try_from(parent.as_raw_pid()) == Ok(client));
    let (module, init_args, allowed, scope, opensc_conf, reset) = match first.call {
        Call::WatchReaders { client } if is_parent(client) => {
            let lacks = confine::for_readers()?;
            if !lacks.is_empty() {
                tracing::debug!(lacks = lacks.join("; "), "confined less than it could be");
            }
            return readers::watch(first.id, socket);
        }
        Call::Start {
            module,
            init_args,
            allowed,
            scope,
            opensc_conf,
            reset_card,
            client,
        } if is_parent(client) => (module, init_args, allowed, scope, opensc_conf, reset_card),
        Call::Start { .. } | Call::WatchReaders { .. } => {
            return Err(io::Error::other("the client is gone"));
        }
        _ => return Err(io::Error::other("the first request must be Start")),
    };
    let signals = Signals::new([SIGTERM])?;
    if scope != Scope::All {
        opensc::configure(&scope, opensc_conf.as_deref())?;
    }
    let known = quirks::by_file(&module);
    let unconfined = confine::for_module(&module, known, init_args.as_deref(), &allowed)?;
    if let (Scope::Reader(name), true) = (&scope, reset) {
        readers::reset_card(name);
    }
    let writer = socket.try_clone()?;
    let server = match Module::load(&module, init_args, scope) {
        Ok((module, info)) => {
            let threads = threads(module.quirks.parallel);
            let server = Arc::new(Server {
                module,
                reader: Mutex::new(socket),
                writer: Mutex::new(writer),
                ending: AtomicBool::new(false),
                at_work: AtomicUsize::new(0),
            });
            server.reply(Reply {
                id: first.id,
                result: Ok(Answer::Started {
                    info,
                    parallel: threads,
                    unconfined,
                }),
                listing: server.module.first_listing(),
            });
            for _ in 0..threads {
                let server = Arc::clone(&server);
                thread::Builder::new().spawn(move || server.serve())?;
            }
            server
        }
        Err(error) => {
            let reply = Reply {
                id: first.id,
                result: Err(error),
                listing: None,
            };
            frame::write(&mut &writer, &frame::encode(&reply, frame::MAX_REPLY)?)?;
            return Err(io::Error::other("module not loaded"));
        }
    };
    let on_term = Arc::clone(&server);
    thread::Builder::new().spawn(move || {
        let _guard = AbortOnPanic;
        let mut signals = signals;
        signals.forever().next();
        on_term.end("SIGTERM")
    })?;
    server.serve()
}

/// How many calls to take at a time.
fn threads(parallel: bool) -> u32 {
    let cores = thread::available_parallelism().map_or(2, |n| u32::try_from(n.get()).unwrap_or(8));
    if parallel {
        cores.saturating_mul(2).clamp(4, 8)
    } else {
        1
    }
}

fn read(socket: &mut UnixStream) -> io::Result<Option<Request>> {
    match frame::read_to(socket, frame::MAX_REQUEST, keep_in_memory)? {
        Some(body) => {
            let request: Request = frame::decode(&body)?;
            for pin in request.call.pins() {
                keep_in_memory(&pin.0);
            }
            Ok(Some(request))
        }
        None => Ok(None),
    }
}

/// A PIN is not to be written to a swap file; where it is from here on, it stays until it is wiped.
pub(super) fn keep_in_memory(secret: &[u8]) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if let Err(error) = raw::lock_in_memory(secret)
        && !SAID.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(%error, "PINs are not locked in memory");
    }
}

impl Server {
    /// One thread's work: read a request, let the next thread read, carry it out.
    fn serve(&self) -> ! {
        let _guard = AbortOnPanic;
        loop {
            let mut reader = lock(&self.reader);
            let request = match read(&mut reader) {
                Ok(Some(request)) => request,
                Ok(None) => self.end("the client has closed the connection"),
                Err(e) => self.end(&e.to_string()),
            };
            self.at_work.fetch_add(1, Ordering::AcqRel);
            drop(reader);
            if matches!(request.call, Call::Shutdown) {
                self.end("told to");
            }
            let (result, listing) = self.module.handle(request.call);
            self.reply(Reply {
                id: request.id,
                result,
                listing,
            });
            // not before every answer is out: another thread may be about to give its own
            let last = self.at_work.fetch_sub(1, Ordering::AcqRel) == 1;
            if last && self.module.must_restart() {
                self.end("to let go of the token");
            }
        }
    }

    fn reply(&self, reply: Reply) {
        let encoded = frame::encode(&reply, frame::MAX_REPLY).or_else(|e| {
            let error = Error::TokenError(format!("the answer is too long to send: {e}"));
            let reply = Reply {
                id: reply.id,
                result: Err(error),
                listing: None,
            };
            frame::encode(&reply, frame::MAX_REPLY)
        });
        let sent = encoded.and_then(|frame| frame::write(&mut *lock(&self.writer), &frame));
        if let Err(e) = sent {
            self.end(&e.to_string());
        }
    }

    /// Logs out everywhere and exits; kills itself if the module does not let it.
    fn end(&self, why: &str) -> ! {
        if self.ending.swap(true, Ordering::AcqRel) {
            // another thread is at it already
            loop {
                thread::park();
            }
        }
        tracing::debug!(why, "worker ends");
        let watchdog = thread::Builder::new().spawn(|| {
            thread::sleep(FINISH);
            let _ = kill_process(getpid(), Signal::KILL);
        });
        if watchdog.is_ok() {
            self.module.finish();
        }
        std::process::exit(0)
    }
}

/// A request without an answer would hang its caller; a dead worker does not.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            std::process::abort();
        }
    }
}

/// `LEVEL target: fields` on one line: the client reads the level and passes the line on.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write!(writer, "{} {}: ", metadata.level(), metadata.target())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
