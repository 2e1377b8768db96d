//! Pull parser over any `Read`: definite and indefinite lengths, segmented and nested OCTET STRINGs, 64-bit lengths.
//!
//! The caller takes one header at a time and then *enters* it, takes it whole, streams its octets or skips it. Nothing is read
//! past the end of an element that the caller did not ask for, but for what lies in the 64 KiB buffer.

use std::io::Read;

use crate::error::{Error, Result};
use crate::limits::BER_DEPTH;

use super::{tag, tlv};

/// Tag class (X.690 §8.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Universal,
    Application,
    Context,
    Private,
}

/// Identifier and length of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub class: Class,
    pub constructed: bool,
    pub number: u32,
    /// `None`: indefinite
    pub len: Option<u64>,
    raw: [u8; 16],
    raw_len: u8,
}

impl Header {
    pub fn is_universal(&self, number: u32) -> bool {
        self.class == Class::Universal && self.number == number
    }

    pub fn is_context(&self, number: u32) -> bool {
        self.class == Class::Context && self.number == number
    }

    fn is_end_of_contents(&self) -> bool {
        self.is_universal(0)
    }

    fn raw(&self) -> &[u8] {
        self.raw.get(..usize::from(self.raw_len)).unwrap_or(&[])
    }
}

struct Frame {
    /// Absolute position of the end; `None` for an indefinite length.
    end: Option<u64>,
    /// No child may pass this position (the nearest definite end around).
    limit: Option<u64>,
    /// The end-of-contents octets of an indefinite frame were consumed.
    done: bool,
}

/// Pull parser.
pub struct Reader<R: Read> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position: u64,
    frames: Vec<Frame>,
    peeked: Option<Option<Header>>,
}

/// Of the buffer, at first (a small message needs no large one) and at most.
const SMALL: usize = 4 << 10;
const BUFFER: usize = 64 << 10;

impl<R: Read> Reader<R> {
    pub fn new(input: R) -> Self {
        Reader {
            input,
            buffer: vec![0; SMALL],
            start: 0,
            end: 0,
            position: 0,
            frames: Vec::new(),
            peeked: None,
        }
    }

    /// The next element's header; `None` at the end of the current frame, or of the input outside any frame.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator cannot fail and be entered"
    )]
    pub fn next(&mut self) -> Result<Option<Header>> {
        match self.peeked.take() {
            Some(header) => Ok(header),
            None => self.read_header(),
        }
    }

    /// Like [`Self::next`], and the same header comes again.
    pub fn peek(&mut self) -> Result<Option<Header>> {
        if self.peeked.is_none() {
            self.peeked = Some(self.read_header()?);
        }
        Ok(self.peeked.flatten())
    }

    /// The next element, which must be there.
    pub fn expect(&mut self, what: &'static str) -> Result<Header> {
        self.next()?
            .ok_or_else(|| Error::malformed(format!("{what} is missing")))
    }

    /// The next element, which must be a universal one of this number; entered if it is constructed by nature.
    pub fn enter_universal(&mut self, number: u32, what: &'static str) -> Result<()> {
        let header = self.expect(what)?;
        if !header.is_universal(number) || !header.constructed {
            return Err(Error::malformed(format!("{what} expected")));
        }
        self.enter(&header)
    }

    /// Goes into a constructed element.
    pub fn enter(&mut self, header: &Header) -> Result<()> {
        if !header.constructed {
            return Err(Error::malformed(
                "a primitive element where a constructed one belongs",
            ));
        }
        if self.frames.len() >= BER_DEPTH {
            return Err(Error::LimitExceeded {
                what: "levels of ASN.1 nesting",
                limit: BER_DEPTH as u64,
            });
        }
        let outer = self.frames.last().and_then(|f| f.limit);
        let end = header.len.map(|len| self.position.saturating_add(len));
        self.frames.push(Frame {
            end,
            limit: end.or(outer),
            done: false,
        });
        Ok(())
    }

    /// Leaves the current frame, which must be at its end.
    pub fn leave(&mut self) -> Result<()> {
        if self.next()?.is_some() {
            return Err(Error::malformed("unexpected further element"));
        }
        self.frames.pop();
        Ok(())
    }

    /// The whole element. One that is DER comes back byte for byte; indefinite lengths become definite and segmented
    /// OCTET STRINGs are joined.
    pub fn element(&mut self, header: &Header, cap: usize) -> Result<Vec<u8>> {
        let mut raw = Vec::new();
        self.copy_element(header, cap, &mut raw)?;
        normalise(raw)
    }

    fn copy_element(&mut self, header: &Header, cap: usize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(header.raw());
        let room = cap.saturating_sub(out.len()) as u64;
        match header.len {
            Some(len) if len > room => Err(too_big(cap)),
            Some(len) => self.consume(len, &mut |chunk| {
                out.extend_from_slice(chunk);
                Ok(())
            }),
            None => {
                self.enter(header)?;
                while let Some(child) = self.next()? {
                    self.copy_element(&child, cap, out)?;
                }
                self.frames.pop();
                out.extend_from_slice(&[0, 0]);
                if out.len() > cap {
                    Err(too_big(cap))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Streams the content of an OCTET STRING, or of an element that is one by an implicit tag.
    pub fn octets(
        &mut self,
        header: &Header,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if !header.constructed {
            let len = header.len.unwrap_or(0);
            return self.consume(len, sink);
        }
        self.enter(header)?;
        while let Some(segment) = self.next()? {
            if !segment.is_universal(tag::OCTET_STRING) {
                return Err(Error::malformed("a segment that is no OCTET STRING"));
            }
            self.octets(&segment, sink)?;
        }
        self.frames.pop();
        Ok(())
    }

    /// Passes over an element.
    pub fn skip(&mut self, header: &Header) -> Result<()> {
        match header.len {
            Some(len) => self.consume(len, &mut |_| Ok(())),
            None => {
                self.enter(header)?;
                while let Some(child) = self.next()? {
                    self.skip(&child)?;
                }
                self.frames.pop();
                Ok(())
            }
        }
    }

    /// Insists on the end of the input; zero bytes and line ends may trail.
    pub fn finish(mut self) -> Result<()> {
        loop {
            if self.start == self.end && !self.fill()? {
                return Ok(());
            }
            let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            if rest.iter().any(|b| !matches!(b, 0 | b'\r' | b'\n')) {
                return Err(Error::malformed("data after the end of the CMS object"));
            }
            self.start = self.end;
        }
    }

    fn read_header(&mut self) -> Result<Option<Header>> {
        let (indefinite, limit) = match self.frames.last() {
            Some(frame) if frame.done || frame.end == Some(self.position) => return Ok(None),
            Some(frame) => (frame.end.is_none(), frame.limit),
            None => (false, None),
        };
        if self.frames.is_empty() && self.start == self.end && !self.fill()? {
            return Ok(None);
        }
        let mut raw = [0u8; 16];
        let mut raw_len = 0u8;
        let first = self.header_byte(&mut raw, &mut raw_len)?;
        let class = match first >> 6 {
            0 => Class::Universal,
            1 => Class::Application,
            2 => Class::Context,
            _ => Class::Private,
        };
        let constructed = first & 0x20 != 0;
        let mut number = u32::from(first & 0x1f);
        if number == 0x1f {
            number = 0;
            loop {
                let byte = self.header_byte(&mut raw, &mut raw_len)?;
                if number == 0 && byte == 0x80 || number > u32::MAX >> 7 {
                    return Err(Error::malformed("tag number"));
                }
                number = number << 7 | u32::from(byte & 0x7f);
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        let len = match self.header_byte(&mut raw, &mut raw_len)? {
            short @ 0..=0x7f => Some(u64::from(short)),
            0x80 if constructed => None,
            0x80 => return Err(Error::malformed("a primitive element of indefinite length")),
            long => {
                let count = long & 0x7f;
                if count > 8 {
                    return Err(Error::malformed("length of more than 64 bits"));
                }
                let mut len = 0u64;
                for _ in 0..count {
                    len = len << 8 | u64::from(self.header_byte(&mut raw, &mut raw_len)?);
                }
                Some(len)
            }
        };
        let header = Header {
            class,
            constructed,
            number,
            len,
            raw,
            raw_len,
        };
        let end = match len {
            Some(len) => self.position.checked_add(len),
            None => Some(self.position),
        };
        if end.is_none() || limit.is_some_and(|limit| end > Some(limit)) {
            return Err(Error::malformed(
                "an element reaches past the one around it",
            ));
        }
        if header.is_end_of_contents() {
            if !indefinite || header.constructed || header.len != Some(0) {
                return Err(Error::malformed("end-of-contents octets out of place"));
            }
            if let Some(frame) = self.frames.last_mut() {
                frame.done = true;
            }
            return Ok(None);
        }
        Ok(Some(header))
    }

    fn header_byte(&mut self, raw: &mut [u8; 16], raw_len: &mut u8) -> Result<u8> {
        if self.start == self.end && !self.fill()? {
            return Err(truncated());
        }
        let byte = self.buffer.get(self.start).copied().ok_or_else(truncated)?;
        self.start = self.start.saturating_add(1);
        self.position = self.position.saturating_add(1);
        *raw.get_mut(usize::from(*raw_len))
            .ok_or_else(|| Error::malformed("header too long"))? = byte;
        *raw_len = raw_len.saturating_add(1);
        Ok(byte)
    }

    fn consume(&mut self, len: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = len;
        while left > 0 {
            if self.start == self.end && !self.fill()? {
                return Err(truncated());
            }
            let there = self.end.saturating_sub(self.start);
            let take = usize::try_from(left).map_or(there, |left| left.min(there));
            let stop = self.start.saturating_add(take);
            sink(self.buffer.get(self.start..stop).unwrap_or(&[]))?;
            self.start = stop;
            self.position = self.position.saturating_add(take as u64);
            left = left.saturating_sub(take as u64);
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<bool> {
        if self.end == self.buffer.len() && self.end < BUFFER {
            self.buffer.resize(BUFFER, 0);
        }
        self.start = 0;
        self.end = 0;
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(count) => {
                    self.end = count;
                    return Ok(count > 0);
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

fn truncated() -> Error {
    Error::malformed("the message ends in the middle (truncated)")
}

fn too_big(cap: usize) -> Error {
    Error::LimitExceeded {
        what: "bytes in one ASN.1 element",
        limit: cap as u64,
    }
}

/// Definite lengths, joined OCTET STRINGs; bytes that are so already are left alone.
fn normalise(raw: Vec<u8>) -> Result<Vec<u8>> {
    if is_definite(&raw, 0)? {
        return Ok(raw);
    }
    let mut reader = Reader::new(raw.as_slice());
    let header = reader.expect("element")?;
    rebuild(&mut reader, &header)
}

fn rebuild(reader: &mut Reader<&[u8]>, header: &Header) -> Result<Vec<u8>> {
    if !header.constructed {
        let mut out = header.raw().to_vec();
        reader.consume(header.len.unwrap_or(0), &mut |chunk| {
            out.extend_from_slice(chunk);
            Ok(())
        })?;
        return Ok(out);
    }
    if header.is_universal(tag::OCTET_STRING) {
        let mut joined = Vec::new();
        reader.octets(header, &mut |chunk| {
            joined.extend_from_slice(chunk);
            Ok(())
        })?;
        return Ok(tlv(0x04, &joined));
    }
    let mut content = Vec::new();
    reader.enter(header)?;
    while let Some(child) = reader.next()? {
        content.extend_from_slice(&rebuild(reader, &child)?);
    }
    reader.frames.pop();
    let tag_len = usize::from(header.raw_len).saturating_sub(length_octets(header));
    let mut out = header.raw().get(..tag_len).unwrap_or(&[]).to_vec();
    super::writer::push_length(&mut out, content.len());
    out.extend_from_slice(&content);
    Ok(out)
}

fn length_octets(header: &Header) -> usize {
    // short form and the indefinite octet take one; the long form's count is found behind the tag
    // a small number may be written in the long form, too
    let long = header.raw().first().is_some_and(|b| b & 0x1f == 0x1f);
    let tag_len = if !long {
        1
    } else {
        header
            .raw()
            .iter()
            .skip(1)
            .take_while(|b| **b & 0x80 != 0)
            .count()
            .saturating_add(2)
    };
    usize::from(header.raw_len).saturating_sub(tag_len)
}

/// No indefinite length and no constructed OCTET STRING anywhere inside.
fn is_definite(mut data: &[u8], depth: usize) -> Result<bool> {
    if depth > BER_DEPTH {
        return Err(Error::LimitExceeded {
            what: "levels of ASN.1 nesting",
            limit: BER_DEPTH as u64,
        });
    }
    while let Some((&first, rest)) = data.split_first() {
        let mut rest = rest;
        if first & 0x1f == 0x1f {
            let more = rest
                .iter()
                .take_while(|b| **b & 0x80 != 0)
                .count()
                .saturating_add(1);
            rest = rest.get(more..).ok_or_else(truncated)?;
        }
        let (&length, mut rest) = rest.split_first().ok_or_else(truncated)?;
        let len = match length {
            0x80 => return Ok(false),
            0..=0x7f => usize::from(length),
            _ => {
                let (octets, after) = rest
                    .split_at_checked(usize::from(length & 0x7f))
                    .ok_or_else(truncated)?;
                rest = after;
                octets
                    .iter()
                    .fold(0usize, |len, b| len.wrapping_shl(8) | usize::from(*b))
            }
        };
        if first == 0x24 {
            return Ok(false);
        }
        let (content, after) = rest.split_at_checked(len).ok_or_else(truncated)?;
        if first & 0x20 != 0 && !is_definite(content, depth.saturating_add(1))? {
            return Ok(false);
        }
        data = after;
    }
    Ok(true)
}
