//! Writes CMS as a stream: indefinite lengths around 64 KiB OCTET STRING segments, ready-made DER for everything small.

use std::io::{self, Write};

/// One element with a definite length. `tag` is the identifier octet.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(6));
    out.push(tag);
    push_length(&mut out, content.len());
    out.extend_from_slice(content);
    out
}

/// A sequence of ready elements under one identifier octet.
pub(crate) fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

pub(super) fn push_length(out: &mut Vec<u8>, len: usize) {
    match u8::try_from(len) {
        Ok(short @ 0..=0x7f) => out.push(short),
        _ => {
            let bytes = (len as u64).to_be_bytes();
            let significant = bytes.iter().skip_while(|b| **b == 0);
            out.push(0x80 | significant.clone().count() as u8);
            out.extend(significant);
        }
    }
}

/// Stream writer; dropping it without the matching ends leaves a truncated message behind.
pub struct Writer<W: Write> {
    out: W,
    segment: Vec<u8>,
}

/// Content up to this many bytes is held and written in DER; for more the end is not waited for.
pub(crate) const HELD: usize = 256 << 10;

/// Content of one segment, bytes.
const SEGMENT: usize = 64 << 10;

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Self {
        Writer {
            out,
            segment: Vec::new(),
        }
    }

    /// Opens a constructed element of indefinite length.
    pub fn begin(&mut self, tag: u8) -> io::Result<()> {
        self.out.write_all(&[tag, 0x80])
    }

    /// Closes the innermost one.
    pub fn end(&mut self) -> io::Result<()> {
        self.out.write_all(&[0, 0])
    }

    /// Ready DER.
    pub fn raw(&mut self, der: &[u8]) -> io::Result<()> {
        self.out.write_all(der)
    }

    /// Opens a segmented OCTET STRING: 0x24, or 0xA0 where it is `[0] IMPLICIT`.
    pub fn octets_begin(&mut self, tag: u8) -> io::Result<()> {
        self.segment = Vec::with_capacity(SEGMENT);
        self.begin(tag)
    }

    pub fn octets_chunk(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            if self.segment.is_empty() && data.len() >= SEGMENT {
                let (now, later) = data.split_at_checked(SEGMENT).unwrap_or((data, &[]));
                self.write_segment(now)?;
                data = later;
                continue;
            }
            let room = SEGMENT.saturating_sub(self.segment.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.segment.extend_from_slice(now);
            data = later;
            if self.segment.len() == SEGMENT {
                self.flush_segment()?;
            }
        }
        Ok(())
    }

    pub fn octets_end(&mut self) -> io::Result<()> {
        if !self.segment.is_empty() {
            self.flush_segment()?;
        }
        self.end()
    }

    pub fn into_inner(self) -> W {
        self.out
    }

    fn flush_segment(&mut self) -> io::Result<()> {
        let mut segment = std::mem::take(&mut self.segment);
        self.write_segment(&segment)?;
        segment.clear();
        self.segment = segment;
        Ok(())
    }

    fn write_segment(&mut self, data: &[u8]) -> io::Result<()> {
        let mut head = vec![0x04];
        push_length(&mut head, data.len());
        self.out.write_all(&head)?;
        self.out.write_all(data)
    }
}
