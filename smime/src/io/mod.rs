//! Messages as bytes that can be read more than once, in constant memory.
//!
//! A file of the client is read where it lies and watched for changes; what comes through a pipe is spooled on its first pass.
//! Of large messages, reading and writing have threads of their own ([`Ahead`], [`Behind`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Result;

mod ahead;
mod behind;
mod file;
mod held;
mod memory;
mod part;
mod spool;
mod stream;

#[cfg(test)]
mod tests;

pub use ahead::Ahead;
pub use behind::Behind;
pub use file::FileInput;
pub use held::HeldInput;
pub use memory::MemoryInput;
pub(crate) use part::PartInput;
pub use stream::StreamInput;

/// A message that can be read from its start several times.
///
/// Each later pass gives the same bytes as the first or fails with [`crate::Error::InputChanged`] *before* it hands out a byte
/// that is not as it was. A pass may be left before its end: what no pass has read yet is taken as it is found then.
pub trait Input: Send {
    /// Begins a pass at the start.
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>>;
}

/// Ends what waits for a stream's other end in another thread.
pub trait Stop: Send + Sync {
    /// A read or write that waits ends with an error, and so does every one to come.
    fn stop(&self);
    /// They may wait again.
    fn resume(&self);
}

/// For what never waits for anybody.
pub struct NeverWaits;

impl Stop for NeverWaits {
    fn stop(&self) {}
    fn resume(&self) {}
}

/// Bytes that pass before a thread is worth its start.
const ALONE: usize = 1 << 20;
/// Blocks between two threads.
const BLOCKS: usize = 3;

/// Whoever held it has ended; what it guards is as good as an error left it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended(what: &str) -> io::Error {
    io::Error::other(format!("{what} has ended before"))
}

/// The next bytes; none at the end.
pub(crate) fn read_some<'b>(input: &mut dyn Read, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    loop {
        match input.read(buffer) {
            Ok(count) => return Ok(buffer.get(..count).unwrap_or(&[])),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Fills `buffer` from `offset` on, as far as the file goes.
fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0usize;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
