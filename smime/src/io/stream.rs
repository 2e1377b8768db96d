//! What comes through a pipe, spooled on its way.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::spool::Spool;
use super::{Ahead, Input, Stop, lock};
use crate::error::Result;

/// A stream whose first pass writes a spool and whose later passes read it.
///
/// A later pass that begins before the first came to its end has the rest of the stream spooled first.
pub struct StreamInput<R> {
    state: Arc<Mutex<Spooling<R>>>,
    stop: Arc<dyn Stop>,
    begun: bool,
}

struct Spooling<R> {
    stream: R,
    spool: Spool,
    ended: bool,
}

/// Bytes read at a time: what a large pipe holds.
const BLOCK: usize = 256 << 10;
/// Bytes read at a time while the message may be a small one: what a pipe usually holds.
const SMALL: usize = 64 << 10;

impl<R: Read + Send + 'static> StreamInput<R> {
    /// `folder` is where the spool's unnamed file is made, when more than 64 KiB have come (below that it is memory). It is
    /// created if it is missing. `stop` ends a read of the stream that waits.
    pub fn new(stream: R, folder: PathBuf, stop: Arc<dyn Stop>) -> Self {
        StreamInput {
            state: Arc::new(Mutex::new(Spooling {
                stream,
                spool: Spool::new(folder),
                ended: false,
            })),
            stop,
            begun: false,
        }
    }
}

impl<R: Read> Spooling<R> {
    /// Reads and spools up to a buffer.
    fn forward(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let count = self.stream.read(buffer)?;
        self.ended = count == 0;
        self.spool.append(buffer.get(..count).unwrap_or(&[]))?;
        Ok(count)
    }

    fn spool_the_rest(&mut self) -> Result<()> {
        let mut block = Vec::new();
        while !self.ended {
            block.resize(BLOCK, 0);
            match self.forward(&mut block) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

impl<R: Read + Send + 'static> Input for StreamInput<R> {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        if self.begun {
            let mut state = lock(&self.state);
            state.spool_the_rest()?;
            return Ok(state.spool.reader());
        }
        self.begun = true;
        let first = FirstPass {
            state: self.state.clone(),
            block: Vec::new(),
            start: 0,
            end: 0,
        };
        Ok(Box::new(Ahead::new(first, BLOCK, self.stop.clone())))
    }
}

struct FirstPass<R> {
    state: Arc<Mutex<Spooling<R>>>,
    /// for those who read little at a time; `start..end` is still to be handed out
    block: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Read for FirstPass<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && !buffer.is_empty() {
            if buffer.len() >= SMALL {
                return lock(&self.state).forward(buffer);
            }
            self.block.resize(SMALL, 0);
            (self.start, self.end) = (0, 0);
            self.end = lock(&self.state).forward(&mut self.block)?;
        }
        let ready = self.block.get(self.start..self.end);
        let count = ready.unwrap_or(&[]).read(buffer)?;
        self.start = self.start.saturating_add(count);
        Ok(count)
    }
}
