//! A spool: small in memory, else encrypted under a key that lives in memory only, in an unnamed file (O_TMPFILE, 0600).
//!
//! What is spooled may be readable mail; on disk it is ciphertext only (design rule 7).

use std::fs::{DirBuilder, File};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aes::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use zeroize::Zeroizing;

use super::{Ahead, NeverWaits, read_full_at};
use crate::error::{Error, Result};

/// Bytes held in memory before a file is made.
const MEMORY: usize = 64 << 10;
/// Bytes encrypted, and read back, at a time.
const BLOCK: usize = 256 << 10;

/// Written once from front to back, then read any number of times.
pub(super) struct Spool {
    folder: PathBuf,
    store: Store,
}

enum Store {
    Memory(Vec<u8>),
    File(Box<Encrypted>),
}

impl Spool {
    pub(super) fn new(folder: PathBuf) -> Self {
        Spool {
            folder,
            store: Store::Memory(Vec::new()),
        }
    }

    #[cfg(test)]
    pub(super) fn in_file(file: File) -> Result<Self> {
        Ok(Spool {
            folder: PathBuf::new(),
            store: Store::File(Box::new(Encrypted::new(file)?)),
        })
    }

    /// # Errors
    /// [`Error::NoSpace`] when the disk is full.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.store {
            Store::File(file) => file.append(data),
            Store::Memory(held) if held.len().saturating_add(data.len()) <= MEMORY => {
                held.extend_from_slice(data);
                Ok(())
            }
            Store::Memory(held) => {
                let mut file = Encrypted::new(unnamed_file(&self.folder)?)?;
                file.append(held)?;
                file.append(data)?;
                self.store = Store::File(Box::new(file));
                Ok(())
            }
        }
    }

    /// Reads what is there now.
    pub(super) fn reader(&self) -> Box<dyn Read + Send> {
        match &self.store {
            Store::Memory(held) => Box::new(Cursor::new(held.clone())),
            Store::File(file) => Box::new(Ahead::new(
                SpoolReader {
                    cipher: file.cipher(),
                    file: file.file.clone(),
                    position: 0,
                    len: file.len,
                },
                BLOCK,
                Arc::new(NeverWaits),
            )),
        }
    }
}

type Aes256Ctr = ctr::Ctr128BE<aes::Aes256>;

/// A file under AES-256 in counter mode; the key is used for this one file, so the counter starts at zero.
struct Encrypted {
    file: Arc<File>,
    key: Zeroizing<[u8; 32]>,
    writer: Aes256Ctr,
    ciphertext: Vec<u8>,
    len: u64,
}

impl Encrypted {
    fn new(file: File) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(io::Error::other)?;
        Ok(Encrypted {
            file: Arc::new(file),
            writer: Aes256Ctr::new(&(*key).into(), &[0; 16].into()),
            key,
            ciphertext: Vec::new(),
            len: 0,
        })
    }

    fn cipher(&self) -> Aes256Ctr {
        Aes256Ctr::new(&(*self.key).into(), &[0; 16].into())
    }

    fn append(&mut self, data: &[u8]) -> Result<()> {
        for block in data.chunks(BLOCK) {
            self.ciphertext.clear();
            self.ciphertext.extend_from_slice(block);
            // a write that failed halfway and is tried again must use the same keystream
            self.writer.try_seek(self.len).map_err(io::Error::other)?;
            self.writer
                .try_apply_keystream(&mut self.ciphertext)
                .map_err(io::Error::other)?;
            self.file.write_all_at(&self.ciphertext, self.len)?;
            self.len = self.len.saturating_add(block.len() as u64);
        }
        Ok(())
    }
}

/// One pass over a spool on disk.
struct SpoolReader {
    file: Arc<File>,
    cipher: Aes256Ctr,
    /// of the next byte in the file
    position: u64,
    len: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.position);
        let want = usize::try_from(left).unwrap_or(BLOCK).min(buffer.len());
        let room = buffer.get_mut(..want).unwrap_or_default();
        if read_full_at(&self.file, room, self.position)? < want {
            return Err(Error::InputChanged.into());
        }
        self.cipher
            .try_apply_keystream(room)
            .map_err(io::Error::other)?;
        self.position = self.position.saturating_add(want as u64);
        Ok(want)
    }
}

/// A file without a name, 0600, in a folder that is made (0700) if it is missing.
fn unnamed_file(folder: &Path) -> Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::openat(CWD, folder, flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    // a file system without O_TMPFILE: a random name, gone at once
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let path = folder.join(format!(".spool-{:032x}", u128::from_ne_bytes(random)));
    let file = rustix::fs::openat(CWD, &path, flags | OFlags::CREATE | OFlags::EXCL, mode)
        .map_err(io::Error::from)?;
    rustix::fs::unlinkat(CWD, &path, AtFlags::empty()).map_err(io::Error::from)?;
    Ok(file.into())
}
