//! Counts what is read, for `Job.Progress`.

use std::io::{self, Read};
use std::sync::Arc;

use privyseal_smime::{Error, Input, Result};

use super::Control;

/// A stream that is read once.
pub(super) struct Counting<R> {
    inner: R,
    control: Arc<Control>,
    /// of a file, when it came
    size: Option<u64>,
    read: u64,
}

impl<R> Counting<R> {
    pub fn new(inner: R, size: Option<u64>, control: &Arc<Control>) -> Self {
        Counting {
            inner,
            control: control.clone(),
            size,
            read: 0,
        }
    }
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.control.advance(read);
        self.read = sum(self.read, read);
        is_as_it_was(self.read, read == 0 && !buffer.is_empty(), self.size)?;
        Ok(read)
    }
}

/// An input that is read in passes.
pub(super) struct Counted {
    inner: Box<dyn Input>,
    control: Arc<Control>,
    /// of one pass; a stream's is known after the first
    size: Option<u64>,
    passes: u32,
}

impl Counted {
    pub fn new(inner: Box<dyn Input>, size: Option<u64>, control: &Arc<Control>) -> Self {
        control.has_passes();
        if let Some(size) = size {
            control.expect(size);
        }
        Counted {
            inner,
            control: control.clone(),
            size,
            passes: 0,
        }
    }
}

impl Input for Counted {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        self.passes = self.passes.saturating_add(1);
        self.control
            .pass_begins(self.passes, self.size.unwrap_or(0));
        Ok(Box::new(CountedPass {
            inner: self.inner.pass()?,
            control: &self.control,
            size: &mut self.size,
            read: 0,
        }))
    }
}

struct CountedPass<'a> {
    inner: Box<dyn Read + Send + 'a>,
    control: &'a Control,
    size: &'a mut Option<u64>,
    read: u64,
}

impl Read for CountedPass<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.control.advance(read);
        self.read = sum(self.read, read);
        let at_end = read == 0 && !buffer.is_empty();
        is_as_it_was(self.read, at_end, *self.size)?;
        if at_end && self.size.is_none() {
            *self.size = Some(self.read);
            self.control.expect(self.read);
        }
        Ok(read)
    }
}

/// Refuses a file that has another length than when it came: one that is written to all the time would never end, and half of
/// one that is just replaced is not what was meant.
fn is_as_it_was(read: u64, at_end: bool, size: Option<u64>) -> Result<()> {
    match size {
        Some(size) if read > size || at_end && read < size => Err(Error::InputChanged),
        _ => Ok(()),
    }
}

fn sum(before: u64, read: usize) -> u64 {
    before.saturating_add(u64::try_from(read).unwrap_or(u64::MAX))
}
