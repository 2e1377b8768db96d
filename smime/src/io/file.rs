//! A regular file of the client, read with `pread`: its offset and flags stay as they are.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{Ahead, Input, NeverWaits, lock, read_full_at};
use crate::error::{Error, Result};

/// A file whose passes are compared block by block (1 MiB) through a keyed universal hash, so that a client that changes the
/// file between two passes is noticed before a changed byte is used (design rule 8).
///
/// The hash is GHASH under a random key that never leaves memory: whoever changes the file cannot aim for a collision, whose
/// chance is 2^-112 a block. It costs 16 bytes of memory for each MiB of the file.
pub struct FileInput(Arc<Mutex<Blocks>>);

/// The file, block by block.
struct Blocks {
    file: File,
    start: u64,
    check: Box<dyn Fn() -> Result<()> + Send>,
    /// made for the first block
    key: Option<LessSafeKey>,
    /// of the blocks that were read so far, in order
    hashes: Vec<[u8; 16]>,
    /// once a pass has seen the end: bytes from `start` on
    len: Option<u64>,
}

/// Bytes compared at a time.
const BLOCK: usize = 1 << 20;
/// Of every hash: GMAC's mask is the same for all of them, and none is given away.
const NONCE: [u8; 12] = [0; 12];

impl FileInput {
    /// Reads from `start` to the end of the file. `check` is called for every block and may end the work
    /// ([`crate::Error::Cancelled`]).
    pub fn new(file: File, start: u64, check: Box<dyn Fn() -> Result<()> + Send>) -> Self {
        FileInput(Arc::new(Mutex::new(Blocks {
            file,
            start,
            check,
            key: None,
            hashes: Vec::new(),
            len: None,
        })))
    }
}

impl Blocks {
    /// Reads as much of the block of this number as there is room for. Nothing of it may be used before [`Self::accept`].
    fn load(&mut self, number: usize, buffer: &mut [u8]) -> Result<usize> {
        (self.check)()?;
        let offset = self.start.saturating_add(offset_of(number));
        Ok(read_full_at(&self.file, buffer, offset)?)
    }

    /// Compares a block with what an earlier pass saw.
    fn accept(&mut self, number: usize, data: &[u8]) -> Result<()> {
        let count = data.len();
        if !data.is_empty() {
            let hash = self.hash(data)?;
            match self.hashes.get(number) {
                Some(before) if *before != hash => return Err(Error::InputChanged),
                Some(_) => {}
                None => self.hashes.push(hash),
            }
        }
        let end = offset_of(number).saturating_add(count as u64);
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
        Ok(())
    }

    /// GMAC, which is GHASH over the block and its length, under a constant mask.
    fn hash(&mut self, data: &[u8]) -> Result<[u8; 16]> {
        let failed = |_| Error::Io(io::Error::other("AES failed"));
        let key = match &self.key {
            Some(key) => key,
            None => {
                let mut key = Zeroizing::new([0; 16]);
                getrandom::fill(&mut *key).map_err(io::Error::other)?;
                let key = UnboundKey::new(&AES_128_GCM, &*key).map_err(failed)?;
                self.key.insert(LessSafeKey::new(key))
            }
        };
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(data), &mut [])
            .map_err(failed)?;
        <[u8; 16]>::try_from(tag.as_ref()).map_err(|_| failed(aws_lc_rs::error::Unspecified))
    }

    /// Room for what there is of the file, and for one byte more: a small one needs no large buffer.
    fn room(&self) -> usize {
        let size = self.file.metadata().map_or(u64::MAX, |m| m.len());
        let left = size.saturating_sub(self.start).saturating_add(1);
        usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)
    }
}

fn offset_of(number: usize) -> u64 {
    (number as u64).saturating_mul(BLOCK as u64)
}

impl Input for FileInput {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        let pass = FilePass {
            blocks: self.0.clone(),
            block: Vec::new(),
            number: 0,
            start: 0,
            end: 0,
            ended: false,
        };
        Ok(Box::new(Ahead::new(pass, BLOCK, Arc::new(NeverWaits))))
    }
}

struct FilePass {
    blocks: Arc<Mutex<Blocks>>,
    /// the current block; `start..end` is still to be handed out
    block: Vec<u8>,
    number: usize,
    start: usize,
    end: usize,
    ended: bool,
}

impl FilePass {
    /// The next block into a buffer with room for it. After an error nothing in there may be used.
    fn next_into(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut blocks = lock(&self.blocks);
        let room = buffer.get_mut(..BLOCK).unwrap_or_default();
        let count = blocks.load(self.number, room)?;
        blocks.accept(self.number, buffer.get(..count).unwrap_or(&[]))?;
        drop(blocks);
        self.count(count);
        Ok(count)
    }

    /// The next block into a buffer of our own.
    fn next(&mut self) -> Result<()> {
        (self.start, self.end) = (0, 0);
        let mut blocks = lock(&self.blocks);
        let mut room = blocks.room();
        let count = loop {
            self.block.resize(room, 0);
            let count = blocks.load(self.number, &mut self.block)?;
            if count < room || room == BLOCK {
                break count;
            }
            room = BLOCK;
        };
        blocks.accept(self.number, self.block.get(..count).unwrap_or(&[]))?;
        drop(blocks);
        self.end = count;
        self.count(count);
        Ok(())
    }

    fn count(&mut self, count: usize) {
        self.number = self.number.saturating_add(1);
        self.ended = count < BLOCK;
    }
}

impl Read for FilePass {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && !self.ended && !buffer.is_empty() {
            if buffer.len() >= BLOCK {
                self.block = Vec::new();
                return Ok(self.next_into(buffer)?);
            }
            self.next()?;
        }
        let ready = self.block.get(self.start..self.end);
        let count = ready.unwrap_or(&[]).read(buffer)?;
        self.start = self.start.saturating_add(count);
        Ok(count)
    }
}
