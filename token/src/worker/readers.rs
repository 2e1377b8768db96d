//! The worker that loads no module: it tells which PC/SC readers there are, and which have a card in them, whenever that changes. It
//! connects to no card.

use std::ffi::CString;
use std::io;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::raw::{Pcsc, PcscContext, PcscError};
use crate::error::{Error, Result};
use crate::frame;
use crate::protocol::{Answer, Reply};
use crate::readers::Reader;

/// Looks anew after this time even if nothing is told (a reader that comes between two calls is not), and for a pcscd that
/// was not there.
const AT_MOST: Duration = Duration::from_secs(5);

/// Answers the request `id` again and again, until the client closes the connection.
pub(super) fn watch(id: u64, socket: UnixStream) -> io::Result<std::convert::Infallible> {
    let mut client = socket.try_clone()?;
    thread::Builder::new().spawn(move || {
        // it sends nothing more; whatever comes is the end
        let _ = frame::read(&mut client, frame::MAX_REQUEST);
        std::process::exit(0);
    })?;
    let mut teller = Teller {
        id,
        socket,
        told: None,
    };
    let pcsc = match Pcsc::load() {
        Ok(pcsc) => pcsc,
        Err(why) => {
            teller.send(Err(Error::Module(why)))?;
            return Err(io::Error::other("PC/SC not loaded"));
        }
    };
    loop {
        let gone = match pcsc.context() {
            Ok(context) => teller.follow(&context)?,
            Err(error) => error,
        };
        tracing::debug!(error = format!("{:#010x}", gone.0), "no PC/SC");
        // also when pcscd was restarted: what was connected through it is gone
        teller.tell(Vec::new())?;
        thread::sleep(AT_MOST);
    }
}

struct Teller {
    id: u64,
    socket: UnixStream,
    told: Option<Vec<Reader>>,
}

impl Teller {
    /// Tells of changes for as long as pcscd is there.
    fn follow(&mut self, context: &PcscContext<'_>) -> io::Result<PcscError> {
        loop {
            let seen = match context.readers().and_then(|names| context.look(names)) {
                Ok(seen) => seen,
                Err(error) => return Ok(error),
            };
            let readers = seen.iter().map(|seen| Reader {
                name: seen.name.to_string_lossy().into_owned(),
                card: seen.card(),
            });
            self.tell(readers.collect())?;
            if let Err(error) = context.wait_for_change(&seen, AT_MOST) {
                return Ok(error);
            }
        }
    }

    fn tell(&mut self, readers: Vec<Reader>) -> io::Result<()> {
        if self.told.as_ref() == Some(&readers) {
            return Ok(());
        }
        self.send(Ok(Answer::Readers(readers.clone())))?;
        self.told = Some(readers);
        Ok(())
    }

    fn send(&mut self, result: Result<Answer>) -> io::Result<()> {
        let reply = Reply {
            id: self.id,
            result,
            listing: None,
        };
        let reply = frame::encode(&reply, frame::MAX_REPLY)?;
        frame::write(&mut self.socket, &reply)
    }
}

/// Has the card in a reader forget that a PIN was right. A card that is gone has forgotten it.
pub(super) fn reset_card(reader: &str) {
    let done = CString::new(reader)
        .map_err(|e| e.to_string())
        .and_then(|name| {
            let pcsc = Pcsc::load()?;
            let reset = pcsc.context().and_then(|context| context.reset_card(&name));
            reset.map_err(|e| format!("{:#010x}", e.0))
        });
    match done {
        Ok(()) => tracing::debug!(reader, "card reset"),
        Err(error) => tracing::debug!(reader, error, "card not reset"),
    }
}
