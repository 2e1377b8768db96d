//! An input that comes in pieces: how bytes are cut must make no difference.

use std::io::{self, Read};

use privyseal_smime::{Input, Result};

/// In memory; a read gives `step` bytes at most.
pub struct Pieces<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl<'a> Pieces<'a> {
    pub fn whole(bytes: &'a [u8]) -> Self {
        Pieces {
            bytes,
            step: usize::MAX,
        }
    }

    /// About a hundred pieces, of an odd length.
    pub fn small(bytes: &'a [u8]) -> Self {
        Pieces {
            bytes,
            step: (bytes.len() / 97) | 1,
        }
    }

    pub fn reader(&self) -> PiecesReader<'a> {
        PiecesReader {
            rest: self.bytes,
            step: self.step,
        }
    }
}

impl Input for Pieces<'_> {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.reader()))
    }
}

pub struct PiecesReader<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for PiecesReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.step.min(buffer.len()).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(now);
        buffer[..now].copy_from_slice(piece);
        self.rest = rest;
        Ok(now)
    }
}
