//! Base64 as streams (RFC 2045 §6.8, RFC 7468): lines out, anything with white space in.
//!
//! Reading is strict where a changed bit could hide: a character outside the alphabet that is not white space is an error, and
//! so is anything behind the padding or in its unused bits. It is lenient where senders are: line lengths, line ends, padding
//! left out.

use std::io::{self, Read, Write};

use base64_simd::{AsOut, STANDARD, STANDARD_NO_PAD};

use crate::error::Error;

/// Text read at a time, bytes: large enough for the SIMD loops, small enough for the cache; less while the message may be small.
const TEXT: usize = 64 << 10;
const SMALL: usize = 8 << 10;
/// What one decoding step can give at most: the text and up to three characters kept from before.
const DECODED: usize = (TEXT + 4) / 4 * 3;

/// Where the text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// at the end of the input
    End,
    /// at a line `-----END `, which must come (RFC 7468 §2); the input is left unread behind it, but for what is buffered
    PemEnd,
}

/// Decodes what `inner` reads.
pub(super) struct Base64Decoder<R> {
    inner: R,
    until: Until,
    /// raw text; `start..end` is not yet packed
    text: Vec<u8>,
    start: usize,
    end: usize,
    at_line_start: bool,
    /// of the last line, with and of its line end: the next one is guessed to be alike
    line: usize,
    line_end: usize,
    /// text without line ends, not yet decoded; other white space and the padding may be in it
    packed: Vec<u8>,
    finished: bool,
    /// for readers with small buffers; `given..` is still to be handed out
    decoded: Vec<u8>,
    given: usize,
}

impl<R: Read> Base64Decoder<R> {
    pub(super) fn new(inner: R, until: Until) -> Self {
        Base64Decoder {
            inner,
            until,
            text: vec![0; SMALL],
            start: 0,
            end: 0,
            at_line_start: true,
            line: 78,
            line_end: 2,
            packed: Vec::new(),
            finished: false,
            decoded: Vec::new(),
            given: 0,
        }
    }

    /// Packs more text, until there is a group to decode or the end is reached.
    fn fill(&mut self) -> io::Result<()> {
        while !self.finished {
            if self.start == self.end {
                if self.end == self.text.len() {
                    self.text.resize(TEXT, 0);
                }
                self.start = 0;
                self.end = loop {
                    match self.inner.read(&mut self.text) {
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        other => break other?,
                    }
                };
                if self.end == 0 {
                    if self.until == Until::PemEnd {
                        return Err(malformed("the PEM end line is missing (truncated)"));
                    }
                    self.finished = true;
                }
            }
            self.pack()?;
            if self.packed.len() >= 4 {
                break;
            }
        }
        Ok(())
    }

    /// Moves the unread text to `packed`, line by line.
    fn pack(&mut self) -> io::Result<()> {
        while self.start < self.end {
            let rest = self.text.get(self.start..self.end).unwrap_or(&[]);
            if self.until == Until::PemEnd && self.at_line_start && rest.first() == Some(&b'-') {
                return self.pem_end();
            }
            let (line, line_end) = match self.line_of(rest) {
                Some(found) => found,
                None => {
                    self.packed.extend_from_slice(rest);
                    self.start = self.end;
                    self.at_line_start = false;
                    return Ok(());
                }
            };
            self.packed
                .extend_from_slice(rest.get(..line.saturating_sub(line_end)).unwrap_or(&[]));
            if self.at_line_start {
                (self.line, self.line_end) = (line, line_end);
            }
            self.start = self.start.saturating_add(line);
            self.at_line_start = true;
        }
        Ok(())
    }

    /// Length of the first line with its line end, and of that alone.
    ///
    /// A line that ends where the one before did costs no search. Should an earlier line end be passed over by that, it is
    /// white space to the decoder; in PEM, where the end line could be passed over so, lines are searched for.
    fn line_of(&self, rest: &[u8]) -> Option<(usize, usize)> {
        if self.until == Until::End && self.at_line_start {
            let guess = rest.get(self.line.saturating_sub(self.line_end)..self.line);
            if matches!(
                (guess, self.line_end),
                (Some(b"\r\n"), 2) | (Some(b"\n"), 1)
            ) {
                return Some((self.line, self.line_end));
            }
        }
        let at = memchr::memchr(b'\n', rest)?;
        let crlf = at.checked_sub(1).and_then(|before| rest.get(before)) == Some(&b'\r');
        Some((at.saturating_add(1), if crlf { 2 } else { 1 }))
    }

    /// At a `-` that begins a line: insists on the end line.
    fn pem_end(&mut self) -> io::Result<()> {
        const END: &[u8] = b"-----END ";
        let mut seen = self.text.get(self.start..self.end).unwrap_or(&[]).to_vec();
        let missing = END.len().saturating_sub(seen.len());
        (&mut self.inner)
            .take(missing as u64)
            .read_to_end(&mut seen)?;
        if !seen.starts_with(END) {
            return Err(malformed(
                "a line in PEM that is neither base64 nor the end line",
            ));
        }
        self.start = self.end;
        self.finished = true;
        Ok(())
    }
}

impl<R: Read> Read for Base64Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = self.decoded.get(self.given..).unwrap_or(&[]);
            if !ready.is_empty() || buffer.is_empty() {
                let count = (&*ready).read(buffer)?;
                self.given = self.given.saturating_add(count);
                return Ok(count);
            }
            self.fill()?;
            if self.packed.is_empty() && self.finished {
                return Ok(0);
            }
            if buffer.len() >= DECODED {
                let count = decode_packed(&mut self.packed, self.finished, buffer)?;
                if count > 0 {
                    return Ok(count);
                }
            } else {
                let most = (self.packed.len().saturating_add(4) / 4).saturating_mul(3);
                self.decoded.resize(most, 0);
                let count = decode_packed(&mut self.packed, self.finished, &mut self.decoded)?;
                self.decoded.truncate(count);
                self.given = 0;
            }
        }
    }
}

/// Decodes what is packed into `out`, which has room for it ([`DECODED`] bytes at most); returns how many it got. An incomplete group and
/// the padding stay, until `finished`.
fn decode_packed(packed: &mut Vec<u8>, finished: bool, out: &mut [u8]) -> io::Result<usize> {
    let mut groups = packed.len() & !3;
    let simple = !finished || groups == packed.len();
    if simple
        && let Ok(decoded) =
            STANDARD_NO_PAD.decode(packed.get(..groups).unwrap_or(&[]), out.as_out())
    {
        let len = decoded.len();
        packed.drain(..groups);
        return Ok(len);
    }
    packed.retain(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c));
    let data = memchr::memchr(b'=', packed).unwrap_or(packed.len());
    let (rest, padding) = (data & 3, packed.get(data..).unwrap_or(&[]));
    if padding.iter().any(|byte| *byte != b'=') {
        return Err(malformed("base64 goes on after its padding"));
    }
    if padding.len() > 2
        || finished && !matches!((rest, padding.len()), (_, 0) | (2, 1 | 2) | (3, 1))
    {
        return Err(malformed("base64 with wrong padding"));
    }
    groups = if finished { data } else { data & !3 };
    let decoded = match STANDARD_NO_PAD.decode(packed.get(..groups).unwrap_or(&[]), out.as_out()) {
        Ok(decoded) => decoded.len(),
        Err(_) if finished && rest == 1 => {
            return Err(malformed("base64 that ends in the middle (truncated)"));
        }
        Err(_) => return Err(malformed("a character that is not base64")),
    };
    packed.drain(..if finished { packed.len() } else { groups });
    Ok(decoded)
}

/// Writes binary as lines of base64.
pub(super) struct Base64Lines {
    line_end: &'static [u8],
    /// columns of a line, and the bytes that make them
    columns: usize,
    bytes: usize,
    /// binary that does not fill a line yet
    pending: Vec<u8>,
    text: Vec<u8>,
    /// lines that are not written yet
    lines: Vec<u8>,
}

/// Lines encoded, and written, at a time.
const LINES: usize = 1024;

impl Base64Lines {
    /// 76 columns and CRLF (RFC 2045 §6.8).
    pub(super) fn mime() -> Self {
        Self::new(b"\r\n", 57)
    }

    /// 64 columns and LF (RFC 7468 §2).
    pub(super) fn pem() -> Self {
        Self::new(b"\n", 48)
    }

    fn new(line_end: &'static [u8], bytes: usize) -> Self {
        Base64Lines {
            line_end,
            columns: STANDARD.encoded_length(bytes),
            bytes,
            pending: Vec::new(),
            text: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Takes more; writes many lines at a time.
    pub(super) fn push(&mut self, mut data: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if !self.pending.is_empty() {
            let room = self.bytes.saturating_sub(self.pending.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.pending.extend_from_slice(now);
            data = later;
            if self.pending.len() < self.bytes {
                return Ok(());
            }
            self.encode_pending();
        }
        let rest = data.len().checked_rem(self.bytes).unwrap_or(0);
        let whole = data.len().saturating_sub(rest);
        let (whole, rest) = data.split_at_checked(whole).unwrap_or((data, &[]));
        for block in whole.chunks(self.bytes.saturating_mul(LINES)) {
            self.encode(block);
            if self.lines.len() >= self.columns.saturating_mul(LINES) {
                self.write_lines(out)?;
            }
        }
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    /// Writes the whole lines there are.
    pub(super) fn flush_lines(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.write_lines(out)
    }

    /// Writes everything, the last line with its padding.
    pub(super) fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.encode_pending();
        self.write_lines(out)
    }

    fn write_lines(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }

    fn encode_pending(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        self.encode(&pending);
        pending.clear();
        self.pending = pending;
    }

    /// Adds to the lines.
    fn encode(&mut self, data: &[u8]) {
        self.text.resize(STANDARD.encoded_length(data.len()), 0);
        let text = &*STANDARD.encode(data, self.text.as_mut_slice().as_out());
        let before = self.lines.len();
        if self.columns == 76 {
            let (whole, last) = text.as_chunks::<76>();
            let len = before.saturating_add(whole.len().saturating_mul(78));
            self.lines.resize(len, 0);
            let room = self.lines.get_mut(before..).unwrap_or_default();
            for (to, from) in room.as_chunks_mut::<78>().0.iter_mut().zip(whole) {
                if let Some((to, line_end)) = to.split_first_chunk_mut::<76>() {
                    *to = *from;
                    line_end.copy_from_slice(b"\r\n");
                }
            }
            if !last.is_empty() {
                self.lines.extend_from_slice(last);
                self.lines.extend_from_slice(self.line_end);
            }
        } else {
            for line in text.chunks(self.columns) {
                self.lines.extend_from_slice(line);
                self.lines.extend_from_slice(self.line_end);
            }
        }
    }
}

fn malformed(what: &str) -> io::Error {
    Error::malformed(what).into()
}
