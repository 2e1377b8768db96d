//! What comes through a pipe, spooled on its way.

use std::io::{self, Read};
use std::path::PathBuf;

use super::Input;
use super::spool::Spool;
use crate::error::Result;

/// A stream whose first pass writes a spool and whose later passes read it.
///
/// A later pass that begins before the first came to its end has the rest of the stream spooled first.
pub struct StreamInput<R> {
    stream: R,
    spool: Spool,
    begun: bool,
    ended: bool,
}

/// Bytes read at a time: what a large pipe holds.
const BLOCK: usize = 256 << 10;

impl<R: Read + Send> StreamInput<R> {
    /// `folder` is where the spool's unnamed file is made, when more than 64 KiB have come (below that it is memory). It is
    /// created if it is missing.
    pub fn new(stream: R, folder: PathBuf) -> Self {
        StreamInput {
            stream,
            spool: Spool::new(folder),
            begun: false,
            ended: false,
        }
    }

    /// Reads and spools up to a buffer.
    fn forward(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.ended = count == 0;
        self.spool.append(buffer.get(..count).unwrap_or(&[]))?;
        Ok(count)
    }
}

impl<R: Read + Send> Input for StreamInput<R> {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        if !self.begun {
            self.begun = true;
            return Ok(Box::new(FirstPass {
                input: self,
                block: vec![0; BLOCK].into_boxed_slice(),
                start: 0,
                end: 0,
            }));
        }
        let mut block = Vec::new();
        while !self.ended {
            block.resize(BLOCK, 0);
            match self.forward(&mut block) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => drop(other?),
            }
        }
        Ok(self.spool.reader())
    }
}

struct FirstPass<'a, R> {
    input: &'a mut StreamInput<R>,
    block: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read + Send> Read for FirstPass<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && !self.input.ended && !buffer.is_empty() {
            self.start = 0;
            self.end = 0;
            self.end = self.input.forward(&mut self.block)?;
        }
        let count = self
            .block
            .get(self.start..self.end)
            .unwrap_or(&[])
            .read(buffer)?;
        self.start = self.start.saturating_add(count);
        Ok(count)
    }
}
