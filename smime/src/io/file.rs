//! A regular file of the client, read with `pread`: its offset and flags stay as they are.

use std::fs::File;
use std::io::{self, Read};

use ghash::GHash;
use ghash::universal_hash::UniversalHash;

use super::{Input, read_full_at};
use crate::error::{Error, Result};

/// A file whose passes are compared block by block (1 MiB) through a keyed universal hash, so that a client that changes the
/// file between two passes is noticed before a changed byte is used (design rule 8).
///
/// The hash is GHASH under a random key that never leaves memory: whoever changes the file cannot aim for a collision, whose
/// chance is 2^-112 a block. It costs 16 bytes of memory for each MiB of the file.
pub struct FileInput {
    file: File,
    start: u64,
    check: Box<dyn Fn() -> Result<()> + Send>,
    /// keyed at the first pass
    key: Option<GHash>,
    /// of the blocks that were read so far, in order
    hashes: Vec<[u8; 16]>,
    /// once a pass has seen the end: bytes from `start` on
    len: Option<u64>,
}

/// Bytes compared at a time.
const BLOCK: usize = 1 << 20;

impl FileInput {
    /// Reads from `start` to the end of the file. `check` is called for every block and may end the work
    /// ([`crate::Error::Cancelled`]).
    pub fn new(file: File, start: u64, check: Box<dyn Fn() -> Result<()> + Send>) -> Self {
        FileInput {
            file,
            start,
            check,
            key: None,
            hashes: Vec::new(),
            len: None,
        }
    }

    /// Reads the block of this number. Gives its length, after comparing it with what an earlier pass saw.
    fn block(&mut self, number: usize, buffer: &mut [u8]) -> Result<usize> {
        (self.check)()?;
        let offset = (number as u64).saturating_mul(BLOCK as u64);
        let count = read_full_at(&self.file, buffer, self.start.saturating_add(offset))?;
        let data = buffer.get(..count).unwrap_or(&[]);
        if !data.is_empty() {
            let hash = self.hash(data)?;
            match self.hashes.get(number) {
                Some(before) if *before != hash => return Err(Error::InputChanged),
                Some(_) => {}
                None => self.hashes.push(hash),
            }
        }
        let end = offset.saturating_add(count as u64);
        match self.len {
            // a file that grew, or lost a whole block
            Some(len) if end > len || count < BLOCK && end < len => {
                return Err(Error::InputChanged);
            }
            None if count < BLOCK => {
                if self.hashes.len() > number.saturating_add(usize::from(count > 0)) {
                    return Err(Error::InputChanged);
                }
                self.len = Some(end);
            }
            _ => {}
        }
        Ok(count)
    }

    fn hash(&mut self, data: &[u8]) -> Result<[u8; 16]> {
        let mut hash = match &self.key {
            Some(key) => key.clone(),
            None => {
                let mut key = ghash::Key::default();
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                self.key.insert(GHash::new(&key)).clone()
            }
        };
        hash.update_padded(data);
        let mut len = ghash::Block::default();
        if let Some(low) = len.last_chunk_mut::<8>() {
            *low = (data.len() as u64).to_be_bytes();
        }
        hash.update(&[len]);
        Ok(hash.finalize().into())
    }
}

impl Input for FileInput {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(FilePass {
            input: self,
            block: vec![0; BLOCK].into_boxed_slice(),
            number: 0,
            start: 0,
            end: 0,
            ended: false,
        }))
    }
}

struct FilePass<'a> {
    input: &'a mut FileInput,
    /// the current block; `start..end` is still to be handed out
    block: Box<[u8]>,
    number: usize,
    start: usize,
    end: usize,
    ended: bool,
}

impl Read for FilePass<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && !self.ended && !buffer.is_empty() {
            self.start = 0;
            self.end = 0;
            self.end = self.input.block(self.number, &mut self.block)?;
            self.number = self.number.saturating_add(1);
            self.ended = self.end < BLOCK;
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
