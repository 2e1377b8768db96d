//! The lines of Assuan (libassuan's manual, "Client requests" and "Server responses"): bounded, percent-encoded.

use std::io;

use privyseal_proto::limits;
use zeroize::{Zeroize, Zeroizing};

/// Longest line with its LF, bytes.
pub(super) const LINE_MAX: usize = 1000;
/// Room for a line and the beginning of the next.
const BUFFER: usize = 2 * LINE_MAX;

/// Not what the protocol says; in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// A command line (without its LF) with a text that people read: encoded, made harmless, and cut to what a line holds.
pub(super) fn command(verb: &str, text: &str) -> String {
    let mut line = format!("{verb} ");
    for c in shown(text).chars() {
        let mut raw = [0u8; 4];
        let encoded: &str = match c {
            '%' => "%25",
            '\n' => "%0A",
            other => other.encode_utf8(&mut raw),
        };
        // the LF and the mark of the cut must fit as well
        if line.len().saturating_add(encoded.len()) > LINE_MAX - 4 {
            line.push('…');
            break;
        }
        line.push_str(encoded);
    }
    line
}

/// Without what could steer a terminal or reorder text: labels and program names come from others.
pub(super) fn shown(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' => '\n',
            c if c.is_control() => ' ',
            '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Appends the data of a `D` line, decoded. Never lets `pin` grow beyond what a PIN may have: it would leave copies behind.
pub(super) fn decode_pin(data: &[u8], pin: &mut Zeroizing<Vec<u8>>) -> Result<(), Malformed> {
    let mut rest = data.iter().copied();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => match (rest.next().and_then(hex), rest.next().and_then(hex)) {
                (Some(high), Some(low)) => (high << 4) | low,
                _ => return Err(Malformed("a % without two hexadecimal digits")),
            },
            plain => plain,
        };
        if byte == 0 {
            return Err(Malformed("a PIN with a NUL byte"));
        }
        if pin.len() >= limits::PIN_MAX {
            return Err(Malformed("a PIN of more than 255 bytes"));
        }
        pin.push(byte);
    }
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// An answer's line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Ok,
    /// code without its source (libgpg-error), and the text
    Err(u32, String),
    Data(&'a [u8]),
    Inquire,
    /// status or comment
    Other,
}

/// The meaning of a line.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, Malformed> {
    let (verb, rest) = match line.iter().position(|b| *b == b' ') {
        Some(at) => (
            line.get(..at).unwrap_or_default(),
            line.get(at.saturating_add(1)..).unwrap_or_default(),
        ),
        None => (line, &[][..]),
    };
    match verb {
        b"OK" => Ok(Line::Ok),
        b"D" => Ok(Line::Data(rest)),
        b"ERR" => {
            let text = String::from_utf8_lossy(rest);
            let (code, text) = text.split_once(' ').unwrap_or((&text, ""));
            match code.parse::<u32>() {
                Ok(code) => Ok(Line::Err(code & 0xffff, text.into())),
                Err(_) => Err(Malformed("an error without a number")),
            }
        }
        b"INQUIRE" => Ok(Line::Inquire),
        b"S" => Ok(Line::Other),
        _ if verb.first() == Some(&b'#') => Ok(Line::Other),
        _ => Err(Malformed("something that is not Assuan")),
    }
}

/// Cuts what is read into lines; wiped when dropped, for PINs pass through it.
pub(super) struct Lines {
    /// of a length that never changes
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
    /// of the line that was handed out last, with its LF
    taken: usize,
}

impl Lines {
    pub fn new() -> Self {
        Lines {
            buffer: Zeroizing::new(vec![0; BUFFER]),
            filled: 0,
            taken: 0,
        }
    }

    /// Whether a whole line is there.
    pub fn has_line(&mut self) -> Result<bool, Malformed> {
        self.drop_taken();
        match self.end() {
            Some(end) if end < LINE_MAX => Ok(true),
            None if self.filled < LINE_MAX => Ok(false),
            _ => Err(Malformed("a line of more than 1000 bytes")),
        }
    }

    /// The next line, without its end.
    pub fn next(&mut self) -> Option<&[u8]> {
        self.drop_taken();
        let end = self.end()?;
        self.taken = end.saturating_add(1);
        let line = self.buffer.get(..end)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Reads once into the free room; 0 is the end.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.drop_taken();
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = read(room)?;
        self.filled = self.filled.saturating_add(read).min(BUFFER);
        Ok(read)
    }

    fn end(&self) -> Option<usize> {
        let filled = self.buffer.get(..self.filled)?;
        filled.iter().position(|b| *b == b'\n')
    }

    fn drop_taken(&mut self) {
        let taken = std::mem::take(&mut self.taken).min(self.filled);
        if taken == 0 {
            return;
        }
        self.buffer.copy_within(taken..self.filled, 0);
        self.filled = self.filled.saturating_sub(taken);
        if let Some(stale) = self.buffer.get_mut(self.filled..) {
            stale.zeroize();
        }
    }
}
