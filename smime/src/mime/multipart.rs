//! `multipart/signed` (RFC 1847, RFC 2046 §5.1.1) as a stream: the exact bytes of its first part.

use std::io::{self, Read};
use std::ops::Range;

use memchr::memmem::Finder;

use super::headers::Headers;
use super::source::Source;
use super::{DigestAlgorithm, Result, transfer};
use crate::ber;
use crate::error::Error;
use crate::limits::ELEMENT;

/// A `multipart/signed`, positioned at its first part.
pub struct MultipartSigned<'a> {
    pub headers: Headers,
    /// the digests that `micalg` names and we know
    pub micalg: Vec<DigestAlgorithm>,
    parts: Box<Parts<'a>>,
    content_read: bool,
    outside: bool,
}

impl<'a> MultipartSigned<'a> {
    pub(super) fn new(
        headers: Headers,
        micalg: Vec<DigestAlgorithm>,
        boundary: &str,
        body: Source<'a>,
    ) -> Self {
        MultipartSigned {
            headers,
            micalg,
            parts: Box::new(Parts::new(body, boundary)),
            content_read: false,
            outside: false,
        }
    }

    /// Streams the first part as it lies there, headers and all, without the line end that belongs to the boundary.
    ///
    /// # Errors
    /// [`Error::Malformed`] where a boundary is missing; those of the sink and the input.
    pub fn content(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut preamble = Vec::new();
        let mut len = 0usize;
        while let Some(range) = self.parts.next()? {
            let text = self.parts.bytes(range);
            len = len.saturating_add(text.len());
            preamble.extend(text.iter().take(NOTICE.saturating_sub(preamble.len())));
        }
        self.parts.enter_next("the multipart has no parts")?;
        self.outside = len > NOTICE || !is_notice(&preamble);
        self.content_read = true;
        while let Some(range) = self.parts.next()? {
            sink(self.parts.bytes(range))?;
        }
        self.parts
            .enter_next("the signed part does not end, or nothing follows it (truncated)")
    }

    /// After [`Self::content`]: the boundary lines end with LF alone, so the message is not as it was on its way (RFC 5321
    /// §2.3.8), but as some mail store keeps it.
    pub(crate) fn was_stored_with_lf(&self) -> bool {
        self.parts.lf_alone
    }

    /// After [`Self::content`]: the decoded CMS object of the second part (at most [`ELEMENT`] bytes), and insists that no third
    /// part follows. What stands outside the multipart (preamble, epilogue) is ignored but reported: the `bool` is true when
    /// there was text there, other than the usual notice for readers without MIME (openssl and others write one).
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::LimitExceeded`], those of the input.
    pub fn signature(mut self) -> Result<(Vec<u8>, bool)> {
        if !self.content_read {
            self.content(&mut |_| Ok(()))?;
        }
        let mut part = Source::new(Box::new(PartReader {
            parts: &mut self.parts,
            range: 0..0,
        }));
        let (headers, body) = Headers::look(&mut part, 0)?.unwrap_or_default();
        part.consume(body);
        let media_type = headers
            .content_type()
            .map(|t| t.media_type)
            .unwrap_or_default();
        let named = headers
            .file_name()
            .is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7s"));
        if !(is_signature(&media_type) || media_type == "application/octet-stream" && named) {
            return Err(Error::malformed(
                "the second part of the multipart is no S/MIME signature",
            ));
        }
        let mut signature = Vec::new();
        let most = (ELEMENT as u64).saturating_add(1);
        transfer::decode(&headers, part)?
            .take(most)
            .read_to_end(&mut signature)?;
        if signature.len() > ELEMENT {
            return Err(Error::LimitExceeded {
                what: "bytes in a detached signature",
                limit: ELEMENT as u64,
            });
        }
        match self.parts.ended {
            Some(Mark::Next) => return Err(Error::malformed("a third part in a multipart/signed")),
            Some(Mark::Close) => self.outside |= self.parts.text_follows()?,
            Some(Mark::InputEnd) | None => {
                // the closing boundary was lost; the signature itself must not have been
                let mut reader = ber::Reader::new(signature.as_slice());
                let object = reader.expect("the signature")?;
                reader.skip(&object)?;
            }
        }
        Ok((signature, self.outside))
    }
}

/// `application/pkcs7-signature` and its older name.
pub(super) fn is_signature(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/pkcs7-signature" | "application/x-pkcs7-signature"
    )
}

/// Bytes of preamble that may be a notice.
const NOTICE: usize = 256;

/// Nothing, or what programs say to readers whose client knows no MIME. It is never shown by one that does.
fn is_notice(preamble: &[u8]) -> bool {
    let text = String::from_utf8_lossy(preamble).to_ascii_lowercase();
    let text = text.trim().trim_end_matches(['.', '!']);
    matches!(
        text,
        "" | "this is an s/mime signed message"
            | "this is a cryptographically signed message in mime format"
            | "this is a multi-part message in mime format"
            | "this is a multipart message in mime format"
            | "this is a message in mime format"
            | "this is a mime message"
    )
}

/// What ended a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// `--boundary`
    Next,
    /// `--boundary--`
    Close,
    /// the input
    InputEnd,
}

/// Cuts an input at the lines of one boundary.
struct Parts<'a> {
    inner: Source<'a>,
    /// LF, `--`, boundary
    finder: Finder<'static>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// the input gave its last byte
    drained: bool,
    /// at the start of a part, where a boundary line needs no line end before it
    fresh: bool,
    /// how the current part ended
    ended: Option<Mark>,
    /// the last boundary line ended with LF and no CR
    lf_alone: bool,
}

/// Bytes searched at a time; less while the message may be small.
const WINDOW: usize = 128 << 10;
const SMALL: usize = 16 << 10;
/// White space behind a boundary, bytes.
const PADDING: usize = 1024;

/// What stands at a possible boundary line.
enum Line {
    /// its length with its line end
    Boundary(usize, Mark),
    Text,
    /// more input is needed to tell
    Cut,
}

impl<'a> Parts<'a> {
    fn new(inner: Source<'a>, boundary: &str) -> Self {
        Parts {
            inner,
            finder: Finder::new(format!("\n--{boundary}").as_bytes()).into_owned(),
            buffer: vec![0; SMALL],
            start: 0,
            end: 0,
            drained: false,
            fresh: true,
            ended: None,
            lf_alone: false,
        }
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or(&[])
    }

    /// Where the next bytes of the current part are in the buffer; `None` at its end.
    fn next(&mut self) -> Result<Option<Range<usize>>> {
        while self.ended.is_none() {
            let window = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let needle = self.finder.needle().len();
            if self.fresh {
                match self.line(window) {
                    Line::Boundary(len, mark) => self.end_part(len, mark),
                    Line::Text => self.fresh = false,
                    Line::Cut => self.fill()?,
                }
                continue;
            }
            let Some(at) = self.finder.find(window) else {
                // the last bytes may be the beginning of a boundary, and of the line end before it
                let safe = if self.drained {
                    window.len()
                } else {
                    window.len().saturating_sub(needle)
                };
                if safe > 0 {
                    return Ok(Some(self.take(safe)));
                }
                if self.drained {
                    self.end_part(0, Mark::InputEnd);
                } else {
                    self.fill()?;
                }
                continue;
            };
            let cr = at
                .checked_sub(1)
                .filter(|before| window.get(*before) == Some(&b'\r'));
            let content = cr.unwrap_or(at);
            let after_lf = at.saturating_add(1);
            match self.line(window.get(after_lf..).unwrap_or(&[])) {
                Line::Text => return Ok(Some(self.take(after_lf))),
                _ if content > 0 => return Ok(Some(self.take(content))),
                Line::Boundary(len, mark) => self.end_part(after_lf.saturating_add(len), mark),
                Line::Cut => self.fill()?,
            }
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Range<usize> {
        let from = self.start;
        self.start = from.saturating_add(count).min(self.end);
        from..self.start
    }

    fn end_part(&mut self, len: usize, mark: Mark) {
        let line = self.take(len);
        let line = self.bytes(line);
        self.lf_alone = line.ends_with(b"\n") && !line.ends_with(b"\r\n");
        self.ended = Some(mark);
    }

    /// Judges the line that `window` begins with: only white space may follow the boundary (RFC 2046 §5.1.1), so that one which
    /// begins another is told from it.
    fn line(&self, window: &[u8]) -> Line {
        let boundary = self.finder.needle().get(1..).unwrap_or(&[]);
        let Some(tail) = window.strip_prefix(boundary) else {
            return if !self.drained && boundary.starts_with(window) {
                Line::Cut
            } else {
                Line::Text
            };
        };
        let (mark, rest) = match tail.strip_prefix(b"--") {
            Some(rest) => (Mark::Close, rest),
            None if tail == b"-" && !self.drained => return Line::Cut,
            None => (Mark::Next, tail),
        };
        let padding = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let before_end = window
            .len()
            .saturating_sub(rest.len())
            .saturating_add(padding);
        match rest.get(padding..).unwrap_or(&[]) {
            _ if padding > PADDING => Line::Text,
            [b'\n', ..] => Line::Boundary(before_end.saturating_add(1), mark),
            [b'\r', b'\n', ..] => Line::Boundary(before_end.saturating_add(2), mark),
            [] | [b'\r'] if !self.drained => Line::Cut,
            [] | [b'\r'] => Line::Boundary(window.len(), mark),
            _ => Line::Text,
        }
    }

    /// Goes on to the next part, which must be there.
    fn enter_next(&mut self, otherwise: &'static str) -> Result<()> {
        match self.ended.take() {
            Some(Mark::Next) => {
                self.fresh = true;
                Ok(())
            }
            _ => Err(Error::malformed(otherwise)),
        }
    }

    /// Whether anything but white space follows.
    fn text_follows(&mut self) -> Result<bool> {
        loop {
            let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            if !rest.trim_ascii().is_empty() {
                return Ok(true);
            }
            if self.drained {
                return Ok(false);
            }
            self.start = self.end;
            self.fill()?;
        }
    }

    /// Reads on behind what is not yet taken, which is always less than the buffer: a boundary and its padding at most.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        if self.end == self.buffer.len() {
            self.buffer.resize(WINDOW, 0);
        }
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        let read = loop {
            match self
                .inner
                .read(self.buffer.get_mut(self.end..).unwrap_or_default())
            {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.drained = read == 0;
        self.end = self.end.saturating_add(read);
        Ok(())
    }
}

/// The current part as a stream.
struct PartReader<'p, 'a> {
    parts: &'p mut Parts<'a>,
    range: Range<usize>,
}

impl Read for PartReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.range.is_empty() {
            match self.parts.next()? {
                Some(range) => self.range = range,
                None => return Ok(0),
            }
        }
        let count = self.parts.bytes(self.range.clone()).read(buffer)?;
        self.range.start = self.range.start.saturating_add(count);
        Ok(count)
    }
}
