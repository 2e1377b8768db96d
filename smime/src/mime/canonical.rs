//! Canonical line ends (RFC 8551 §3.1.1): CRLF.

use std::io::{self, Read};

use crate::algorithm::{DigestAlgorithm, Digests, Hashers};

/// Reads `inner` with every bare LF as CRLF. A lone CR stays.
pub struct CanonicalReader<R> {
    inner: R,
    /// what was read and is not yet converted: `start..end`
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// the last byte was a CR
    after_cr: bool,
    /// the last block was canonical already, so the next is read straight into the caller's buffer
    clean: bool,
}

/// Bytes read at a time where conversion is needed.
const BLOCK: usize = 64 << 10;
/// Below this the caller's buffer is not worth reading into directly.
const DIRECT: usize = 4 << 10;

impl<R: Read> CanonicalReader<R> {
    pub fn new(inner: R) -> Self {
        CanonicalReader {
            inner,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            after_cr: false,
            clean: true,
        }
    }

    /// Reads into the caller's buffer; what follows the first bare LF is kept for conversion.
    fn read_direct(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = buffer.get(..count).unwrap_or(&[]);
        let Some(bare) = bare_lf(read, self.after_cr) else {
            if let Some(last) = read.last() {
                self.after_cr = *last == b'\r';
            }
            return Ok(count);
        };
        self.clean = false;
        self.keep(read.get(bare..).unwrap_or(&[]));
        self.after_cr = false;
        if bare > 0 {
            return Ok(bare);
        }
        Ok(self.convert(buffer))
    }

    fn keep(&mut self, data: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(data);
        self.start = 0;
        self.end = data.len();
    }

    /// Converts as much as fits; at least one byte when there is any.
    fn convert(&mut self, out: &mut [u8]) -> usize {
        let mut rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
        let mut room = &mut *out;
        let mut written = 0usize;
        while !rest.is_empty() && !room.is_empty() {
            // a run that needs no change ends before a bare LF
            let run = match memchr::memchr(b'\n', rest) {
                Some(at) if preceding(rest, at, self.after_cr) => at.saturating_add(1),
                Some(at) => at,
                None => rest.len(),
            };
            if run == 0 {
                // the LF itself comes next and is no longer bare
                put(&mut room, b"\r");
                self.after_cr = true;
                written = written.saturating_add(1);
                continue;
            }
            let run = run.min(room.len());
            let (now, later) = rest.split_at_checked(run).unwrap_or((rest, &[]));
            put(&mut room, now);
            self.after_cr = now.last() == Some(&b'\r');
            rest = later;
            written = written.saturating_add(run);
        }
        self.start = self.end.saturating_sub(rest.len());
        written
    }
}

impl<R: Read> Read for CanonicalReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.start == self.end {
            if self.clean && buffer.len() >= DIRECT {
                return self.read_direct(buffer);
            }
            self.buffer.resize(BLOCK, 0);
            self.start = 0;
            self.end = 0;
            self.end = self.inner.read(&mut self.buffer)?;
            let block = self.buffer.get(..self.end).unwrap_or(&[]);
            self.clean = bare_lf(block.get(..DIRECT).unwrap_or(block), self.after_cr).is_none();
        }
        Ok(self.convert(buffer))
    }
}

/// Writes to the front of `room`, which has the room, and shortens it.
fn put(room: &mut &mut [u8], data: &[u8]) {
    let (to, later) = std::mem::take(room)
        .split_at_mut_checked(data.len())
        .unwrap_or_default();
    to.copy_from_slice(data);
    *room = later;
}

/// Whether the byte before `at` is a CR.
fn preceding(data: &[u8], at: usize, after_cr: bool) -> bool {
    match at.checked_sub(1) {
        Some(before) => data.get(before) == Some(&b'\r'),
        None => after_cr,
    }
}

/// Where the first LF without a CR before it is. A search from line end to line end would cost as much as half of AES-GCM.
fn bare_lf(data: &[u8], mut after_cr: bool) -> Option<usize> {
    const PIECE: usize = 4 << 10;
    for (number, piece) in data.chunks(PIECE).enumerate() {
        if has_bare_lf(piece, after_cr) {
            let at =
                memchr::memchr_iter(b'\n', piece).find(|at| !preceding(piece, *at, after_cr))?;
            return Some(number.saturating_mul(PIECE).saturating_add(at));
        }
        after_cr = piece.last() == Some(&b'\r');
    }
    None
}

/// Without a branch, so that the compiler makes vector instructions of it.
fn has_bare_lf(data: &[u8], after_cr: bool) -> bool {
    let first = data.first() == Some(&b'\n') && !after_cr;
    let pairs = data.iter().zip(data.iter().skip(1));
    let rest = pairs.fold(false, |found, (before, byte)| {
        found | ((*byte == b'\n') & (*before != b'\r'))
    });
    first | rest
}

/// Hashes content twice where it matters: with CRLF line ends, and as it came. The second set of hashers starts (as a copy of
/// the first) at the first bare LF, so ordinary content is hashed once.
pub struct CrlfHasher {
    canonical: Hashers,
    /// once there was a bare LF
    as_it_came: Option<Hashers>,
    after_cr: bool,
    /// holds what is converted
    buffer: Vec<u8>,
}

impl CrlfHasher {
    pub fn new(algorithms: impl IntoIterator<Item = DigestAlgorithm>) -> Self {
        CrlfHasher {
            canonical: Hashers::new(algorithms),
            as_it_came: None,
            after_cr: false,
            buffer: Vec::new(),
        }
    }

    pub fn update(&mut self, data: &[u8]) {
        for block in data.chunks(BLOCK) {
            self.update_block(block);
        }
    }

    fn update_block(&mut self, data: &[u8]) {
        let Some(last) = data.last() else { return };
        match bare_lf(data, self.after_cr) {
            None => {
                self.canonical.update(data);
                if let Some(hashers) = &mut self.as_it_came {
                    hashers.update(data);
                }
            }
            Some(first) => {
                self.as_it_came
                    .get_or_insert_with(|| self.canonical.clone())
                    .update(data);
                self.buffer.clear();
                let mut from = 0;
                let bare = memchr::memchr_iter(b'\n', data).filter(|at| *at >= first);
                for at in bare.filter(|at| !preceding(data, *at, self.after_cr)) {
                    self.buffer
                        .extend_from_slice(data.get(from..at).unwrap_or(&[]));
                    self.buffer.push(b'\r');
                    from = at;
                }
                self.buffer
                    .extend_from_slice(data.get(from..).unwrap_or(&[]));
                self.canonical.update(&self.buffer);
            }
        }
        self.after_cr = *last == b'\r';
    }

    /// (digests with CRLF line ends, digests as it came where they differ).
    pub fn finish(self) -> (Digests, Option<Digests>) {
        (
            self.canonical.finish(),
            self.as_it_came.map(Hashers::finish),
        )
    }
}
