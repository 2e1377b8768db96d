//! An input that can be looked at before it is read: the bounded look-ahead behind [`super::open`].

use std::io::{self, Read};

use crate::error::Result;

/// Reads `inner`, what was looked at first.
pub(super) struct Source<'a> {
    inner: Box<dyn Read + Send + 'a>,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
}

/// Bytes asked of the input at a time while looking ahead.
const STEP: usize = 16 << 10;

impl<'a> Source<'a> {
    pub(super) fn new(inner: Box<dyn Read + Send + 'a>) -> Self {
        Source {
            inner,
            buffer: Vec::new(),
            start: 0,
            ended: false,
        }
    }

    /// What comes next: at least `want` bytes, less only at the end of the input.
    pub(super) fn ahead(&mut self, want: usize) -> Result<&[u8]> {
        while !self.ended && self.buffer.len().saturating_sub(self.start) < want {
            let filled = self.buffer.len();
            self.buffer.resize(filled.saturating_add(STEP), 0);
            let read = self
                .inner
                .read(self.buffer.get_mut(filled..).unwrap_or_default());
            self.buffer
                .truncate(filled.saturating_add(*read.as_ref().unwrap_or(&0)));
            match read {
                Ok(0) => self.ended = true,
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e.into()),
                _ => {}
            }
        }
        Ok(self.buffer.get(self.start..).unwrap_or(&[]))
    }

    /// Passes over `count` bytes that were seen.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut seen = self.buffer.get(self.start..).unwrap_or(&[]);
        if seen.is_empty() {
            self.buffer = Vec::new();
            self.start = 0;
            return if self.ended {
                Ok(0)
            } else {
                self.inner.read(out)
            };
        }
        let count = seen.read(out)?;
        self.consume(count);
        Ok(count)
    }
}
