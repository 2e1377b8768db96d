//! zlib, writing. What is made stays within the limit that readers set, ours among them: content of ever the same bytes would
//! shrink to a thousandth and be taken for an attack.

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::BLOCK;
use crate::error::{Error, Result};
use crate::limits::{INFLATED_FLOOR, INFLATED_RATIO};

/// Measured on source text and on base64: 1 to 5 % larger than the usual level 6, and more than twice as fast (and as zlib in C).
const LEVEL: Compression = Compression::new(3);
/// Content of one block where it would shrink too much, bytes. A block costs two bytes at least and its end five (RFC 1951
/// §3.2.4): at most 37:1.
const PIECE: usize = 256;

type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// A zlib stream in the making.
pub(super) struct Deflater {
    deflate: Compress,
    block: Vec<u8>,
    /// what came last shrank so much that the next is cut into pieces
    dense: bool,
}

impl Deflater {
    pub(super) fn new() -> Self {
        Deflater {
            deflate: Compress::new(LEVEL, true),
            block: Vec::with_capacity(BLOCK),
            dense: false,
        }
    }

    /// Takes content, [`BLOCK`] bytes at most, and gives what is ready.
    pub(super) fn push(&mut self, data: &[u8], sink: Sink<'_>) -> Result<()> {
        if self.dense {
            for piece in data.chunks(PIECE) {
                self.run(piece, FlushCompress::Sync, sink)?;
            }
        } else {
            self.run(data, FlushCompress::None, sink)?;
        }
        self.dense = self.is_dense();
        if self.dense {
            // or much is only waiting inside
            self.run(&[], FlushCompress::Sync, sink)?;
            self.dense = self.is_dense();
        }
        Ok(())
    }

    /// Gives the rest; says how much content there was.
    pub(super) fn finish(mut self, sink: Sink<'_>) -> Result<u64> {
        self.run(&[], FlushCompress::Finish, sink)?;
        Ok(self.deflate.total_in())
    }

    /// Far enough below the limit that one more block does not pass it.
    fn is_dense(&self) -> bool {
        let compressed = self.deflate.total_out();
        self.deflate.total_in()
            > (compressed.saturating_mul(INFLATED_RATIO / 4)).saturating_add(INFLATED_FLOOR / 2)
    }

    fn run(&mut self, mut data: &[u8], flush: FlushCompress, sink: Sink<'_>) -> Result<()> {
        loop {
            let before = self.deflate.total_in();
            self.block.clear();
            let status = self
                .deflate
                .compress_vec(data, &mut self.block, flush)
                .map_err(failed)?;
            let used = self.deflate.total_in().saturating_sub(before);
            data = usize::try_from(used)
                .ok()
                .and_then(|used| data.get(used..))
                .unwrap_or(&[]);
            if !self.block.is_empty() {
                sink(&self.block)?;
            }
            let full = self.block.len() == self.block.capacity();
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => data.is_empty() && !full,
            };
            if done {
                return Ok(());
            }
            if used == 0 && self.block.is_empty() {
                return Err(failed("no progress"));
            }
        }
    }
}

/// What cannot happen.
fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Io(io::Error::other(error))
}
