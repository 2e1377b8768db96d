//! Messages as bytes that can be read more than once, in constant memory.
//!
//! A file of the client is read where it lies and watched for changes; what comes through a pipe is spooled on its first pass.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::error::Result;

mod file;
mod held;
mod memory;
mod part;
mod spool;
mod stream;

#[cfg(test)]
mod tests;

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
