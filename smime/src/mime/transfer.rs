//! Content-Transfer-Encoding (RFC 2045 §6), and what senders write instead of naming it.

use std::io::{self, Read};

use super::Headers;
use super::base64::{Base64Decoder, Until};
use super::headers::line_ahead;
use super::source::Source;
use crate::error::{Error, Result};

/// Undoes the transfer encoding that the headers name. Where they name none, or one that changes nothing, base64 is recognised
/// by how a CMS object begins.
pub(super) fn decode<'a>(
    headers: &Headers,
    mut body: Source<'a>,
) -> Result<Box<dyn Read + Send + 'a>> {
    const FIELD: &str = "Content-Transfer-Encoding";
    if headers.count(FIELD) > 1 {
        return Err(Error::malformed("two Content-Transfer-Encoding fields"));
    }
    let (encoding, _) = super::parameters::parse(headers.get(FIELD).unwrap_or(""));
    match encoding.as_str() {
        "base64" => Ok(Box::new(Base64Decoder::new(body, Until::End))),
        "quoted-printable" => Ok(Box::new(QuotedPrintable::new(body))),
        "" | "7bit" | "8bit" | "binary" => {
            if is_base64(&mut body, 0)? {
                Ok(Box::new(Base64Decoder::new(body, Until::End)))
            } else {
                Ok(Box::new(body))
            }
        }
        _ => Err(Error::malformed("unknown Content-Transfer-Encoding")),
    }
}

/// Whether what stands `from` bytes ahead is a CMS object in base64: `MI` is how a SEQUENCE begins whose length takes more than
/// one octet or is indefinite. Blank lines may come before.
pub(super) fn is_base64(source: &mut Source<'_>, from: usize) -> Result<bool> {
    let mut at = from;
    let limit = from.saturating_add(LOOK);
    while at < limit {
        let line = line_ahead(source, at, limit)?;
        let text = line.trim_ascii();
        if text.is_empty() && !line.is_empty() {
            at = at.saturating_add(line.len());
            continue;
        }
        let alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        return Ok(text.len() >= 16 && text.starts_with(b"MI") && text.iter().all(alphabet));
    }
    Ok(false)
}

/// How far a look for base64 goes, bytes.
const LOOK: usize = 4 << 10;

/// Decodes quoted-printable (RFC 2045 §6.7). Line ends stay as they are.
struct QuotedPrintable<R> {
    inner: R,
    /// raw text; `start..end` is still to be decoded
    text: Box<[u8]>,
    start: usize,
    end: usize,
    state: State,
    /// white space that counts only if something follows on its line
    space: Vec<u8>,
    decoded: Vec<u8>,
    given: usize,
}

#[derive(Clone, Copy)]
enum State {
    Text,
    /// after `=`
    Escape,
    /// after `=` and one digit
    Digit(u8),
    /// after `=` and white space: a soft line break must follow
    Soft,
}

/// White space in a row, bytes (a line has at most 76 characters).
const SPACE: usize = 1024;

impl<R: Read> QuotedPrintable<R> {
    fn new(inner: R) -> Self {
        QuotedPrintable {
            inner,
            text: vec![0; 16 << 10].into_boxed_slice(),
            start: 0,
            end: 0,
            state: State::Text,
            space: Vec::new(),
            decoded: Vec::new(),
            given: 0,
        }
    }

    fn decode_block(&mut self) -> Result<()> {
        for &byte in self.text.get(self.start..self.end).unwrap_or(&[]) {
            self.state = match (self.state, byte) {
                (State::Text, b'=') => {
                    self.decoded.append(&mut self.space);
                    State::Escape
                }
                (State::Text, b' ' | b'\t' | b'\r') => {
                    // a CR waits as well: behind it the line may end
                    if self.space.len() >= SPACE {
                        return Err(Error::malformed("a quoted-printable line that is too long"));
                    }
                    self.space.push(byte);
                    State::Text
                }
                (State::Text, b'\n') => {
                    let crlf = self.space.last() == Some(&b'\r');
                    self.space.clear();
                    self.decoded
                        .extend_from_slice(if crlf { b"\r\n" } else { b"\n" });
                    State::Text
                }
                (State::Text, _) => {
                    self.decoded.append(&mut self.space);
                    self.decoded.push(byte);
                    State::Text
                }
                (State::Escape | State::Soft, b'\n') => State::Text,
                (State::Escape | State::Soft, b' ' | b'\t' | b'\r') => State::Soft,
                (State::Escape, _) => State::Digit(hex(byte)?),
                (State::Digit(high), _) => {
                    self.decoded.push(high << 4 | hex(byte)?);
                    State::Text
                }
                (State::Soft, _) => return Err(Error::malformed("a quoted-printable escape")),
            };
        }
        Ok(())
    }
}

impl<R: Read> Read for QuotedPrintable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let ready = self.decoded.get(self.given..).unwrap_or(&[]);
            if !ready.is_empty() || buffer.is_empty() {
                let count = (&*ready).read(buffer)?;
                self.given = self.given.saturating_add(count);
                return Ok(count);
            }
            self.decoded.clear();
            self.given = 0;
            self.start = 0;
            self.end = 0;
            self.end = self.inner.read(&mut self.text)?;
            if self.end == 0 {
                return match self.state {
                    State::Digit(_) => Err(Error::malformed(
                        "quoted-printable that ends in the middle (truncated)",
                    )
                    .into()),
                    _ => Ok(0),
                };
            }
            self.decode_block()?;
        }
    }
}

fn hex(byte: u8) -> Result<u8> {
    let digit = char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok());
    digit.ok_or_else(|| Error::malformed("a quoted-printable escape"))
}
