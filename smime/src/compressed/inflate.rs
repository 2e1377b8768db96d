//! zlib, reading: bounded, its checksum verified, nothing behind its end.

use flate2::{Decompress, FlushDecompress, Status};

use super::{BLOCK, allowed};
use crate::error::{Error, Result};
use crate::limits::{INFLATED_AHEAD, INFLATED_RATIO};

type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A zlib stream being read.
pub(super) struct Inflater {
    inflate: Decompress,
    /// content; `..filled` is still to be given
    block: Box<[u8]>,
    filled: usize,
    ended: bool,
    /// bytes of content, whatever the ratio
    most: u64,
}

impl Inflater {
    pub(super) fn new(most: u64) -> Self {
        Inflater {
            inflate: Decompress::new(true),
            block: vec![0; BLOCK].into_boxed_slice(),
            filled: 0,
            ended: false,
            most,
        }
    }

    /// Takes compressed bytes; gives what they stand for in blocks of [`BLOCK`].
    pub(super) fn update(&mut self, mut data: &[u8], sink: Sink<'_>) -> Result<()> {
        loop {
            if self.ended {
                return if data.is_empty() {
                    Ok(())
                } else {
                    Err(Error::malformed("data after the end of the zlib stream"))
                };
            }
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let room = self.block.get_mut(self.filled..).unwrap_or_default();
            let status = self
                .inflate
                .decompress(data, room, FlushDecompress::None)
                .map_err(|_| damaged())?;
            let (compressed, content) = (self.inflate.total_in(), self.inflate.total_out());
            let used = span(before_in, compressed);
            let made = span(before_out, content);
            data = data.get(used..).unwrap_or(&[]);
            self.filled = self.filled.saturating_add(made);
            self.ended = status == Status::StreamEnd;
            if content > allowed(compressed).saturating_add(INFLATED_AHEAD) || content > self.most {
                return Err(too_much());
            }
            if self.filled == self.block.len() {
                self.give(sink)?;
            }
            if !self.ended && used == 0 && made == 0 {
                return if data.is_empty() {
                    Ok(())
                } else {
                    Err(damaged())
                };
            }
        }
    }

    /// Insists on the end; says how many bytes were compressed, and how much content that was.
    pub(super) fn finish(mut self, sink: Sink<'_>) -> Result<(u64, u64)> {
        self.update(&[], sink)?;
        if !self.ended {
            return Err(Error::malformed(
                "the zlib stream ends in the middle (truncated)",
            ));
        }
        if self.inflate.total_out() > allowed(self.inflate.total_in()) {
            return Err(too_much());
        }
        self.give(sink)?;
        Ok((self.inflate.total_in(), self.inflate.total_out()))
    }

    fn give(&mut self, sink: Sink<'_>) -> Result<()> {
        sink(self.block.get(..self.filled).unwrap_or(&[]))?;
        self.filled = 0;
        Ok(())
    }
}

fn damaged() -> Error {
    Error::malformed("the zlib stream is damaged")
}

fn span(from: u64, to: u64) -> usize {
    usize::try_from(to.saturating_sub(from)).unwrap_or(0)
}

fn too_much() -> Error {
    Error::LimitExceeded {
        what: "bytes of content for each compressed byte",
        limit: INFLATED_RATIO,
    }
}
