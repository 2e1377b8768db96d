//! Encoded words (RFC 2047), as lenient as readers are.
//!
//! For names that are looked at, never for what is written: a word that is not quite right is decoded as the most lenient reader
//! may, for a verdict hangs on what that one shows.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

/// Two things in which readers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// whether the bytes of neighbours in one charset are put together before they become characters (§5 (3) forbids to need it)
    neighbours: Neighbours,
    /// what `=` is in the middle of base64
    padding: Padding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbours {
    Apart,
    Together,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// the end of one piece, and another follows
    Ends,
    /// as any other character that does not belong there
    Nothing,
}

impl Reading {
    pub(super) const USUAL: Reading = Reading {
        neighbours: Neighbours::Apart,
        padding: Padding::Ends,
    };

    pub(super) const ALL: [Reading; 4] = [
        Reading::USUAL,
        Reading {
            neighbours: Neighbours::Together,
            padding: Padding::Ends,
        },
        Reading {
            neighbours: Neighbours::Apart,
            padding: Padding::Nothing,
        },
        Reading {
            neighbours: Neighbours::Together,
            padding: Padding::Nothing,
        },
    ];
}

/// The text with its encoded words as a person sees them; white space between two of them is gone (§6.2).
pub(super) fn decode(field: &str, reading: Reading) -> Cow<'_, str> {
    if !field.contains("=?") {
        return Cow::Borrowed(field);
    }
    let mut text = String::new();
    let mut rest = field;
    // the word before, not yet text
    let mut open: Option<(&str, Vec<u8>)> = None;
    while let Some((before, word)) = rest.find("=?").and_then(|at| rest.split_at_checked(at)) {
        if !word.contains("?=") {
            break;
        }
        let Some(found) = Word::parse(word) else {
            close(&mut open, &mut text);
            text.push_str(before);
            text.push_str("=?");
            rest = word.get(2..).unwrap_or("");
            continue;
        };
        let neighbour = open.is_some() && before.trim_ascii().is_empty();
        let bytes = found.bytes(reading.padding);
        match &mut open {
            Some((charset, all))
                if neighbour
                    && reading.neighbours == Neighbours::Together
                    && charset.eq_ignore_ascii_case(found.charset) =>
            {
                all.extend(bytes);
            }
            _ => {
                close(&mut open, &mut text);
                if !neighbour {
                    text.push_str(before);
                }
                open = Some((found.charset, bytes));
            }
        }
        rest = found.behind;
    }
    close(&mut open, &mut text);
    text.push_str(rest);
    Cow::Owned(text)
}

fn close(open: &mut Option<(&str, Vec<u8>)>, text: &mut String) {
    if let Some((charset, bytes)) = open.take() {
        text.push_str(&characters(charset, &bytes));
    }
}

/// `=?charset?encoding?text?=`
struct Word<'a> {
    /// without the language (RFC 2231 §5)
    charset: &'a str,
    is_base64: bool,
    text: &'a str,
    behind: &'a str,
}

impl<'a> Word<'a> {
    /// At the start of `word`.
    fn parse(word: &'a str) -> Option<Self> {
        let (charset, rest) = word.strip_prefix("=?")?.split_once('?')?;
        let (encoding, rest) = rest.split_once('?')?;
        let (text, behind) = rest.split_once("?=")?;
        let is_base64 = encoding.eq_ignore_ascii_case("b");
        if !is_base64 && !encoding.eq_ignore_ascii_case("q") {
            return None;
        }
        Some(Word {
            charset: charset.split('*').next().unwrap_or(charset).trim(),
            is_base64,
            text,
            behind,
        })
    }

    fn bytes(&self, padding: Padding) -> Vec<u8> {
        if self.is_base64 {
            base64(self.text, padding)
        } else {
            quoted(self.text)
        }
    }
}

/// The B encoding (§4.1). What is not of the alphabet is passed over.
fn base64(text: &str, padding: Padding) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut filled) = (0u32, 0u32);
    for c in text.bytes() {
        if c == b'=' && padding == Padding::Ends {
            filled = 0;
        }
        let Some(six) = sextet(c) else { continue };
        bits = bits << 6 | six;
        filled = filled.saturating_add(6);
        if let Some(over) = filled.checked_sub(8) {
            filled = over;
            bytes.push(bits.checked_shr(over).unwrap_or(0).to_le_bytes()[0]);
        }
    }
    bytes
}

fn sextet(c: u8) -> Option<u32> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let place = ALPHABET.iter().position(|a| *a == c)?;
    u32::try_from(place).ok()
}

/// The Q encoding (§4.2). What is no escape stands for itself.
fn quoted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let escaped = behind
            .get(..2)
            .filter(|_| first == b'=')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escaped) {
            (_, Some(byte)) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or(&[]);
            }
            (b'_', None) => bytes.push(b' '),
            (other, None) => bytes.push(other),
        }
    }
    bytes
}

/// In a charset that is not known the ASCII stays, and what else is UTF-8.
fn characters(charset: &str, bytes: &[u8]) -> String {
    let name = charset.to_ascii_lowercase();
    if name.contains("utf-7") {
        return utf7(bytes);
    }
    match Encoding::for_label(name.as_bytes()) {
        // the byte order is guessed, for readers do: letters have their zeros in front, or behind
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => {
            let zeros = |at| {
                bytes
                    .iter()
                    .skip(at)
                    .step_by(2)
                    .filter(|b| **b == 0)
                    .count()
            };
            let big = zeros(0) > zeros(1);
            let order = if big { UTF_16BE } else { UTF_16LE };
            order.decode(bytes).0.into_owned()
        }
        // charsets that the standard of the web knows and does not read; ISO-2022-KR and -CN, by their shifts
        Some(encoding) if encoding == REPLACEMENT => {
            let mut wide = false;
            let narrow = bytes.iter().copied().filter(|b| {
                match b {
                    0x0e => wide = true,
                    0x0f => wide = false,
                    _ => {}
                }
                !wide
            });
            narrow.map(char::from).collect()
        }
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        // such as UTF-32, whose zeros hide no letters
        None => {
            let bytes: Vec<u8> = bytes.iter().copied().filter(|b| *b != 0).collect();
            UTF_8.decode_without_bom_handling(&bytes).0.into_owned()
        }
    }
}

/// UTF-7 (RFC 2152): `+`, UTF-16 in base64, and what is not of its alphabet, where `-` is no text.
fn utf7(bytes: &[u8]) -> String {
    let mut text = String::new();
    let all = String::from_utf8_lossy(bytes);
    let mut rest: &str = &all;
    while let Some((plain, shifted)) = rest.split_once('+') {
        text.push_str(plain);
        let end = shifted
            .find(|c: char| !u8::try_from(c).is_ok_and(|c| sextet(c).is_some()))
            .unwrap_or(shifted.len());
        let (coded, behind) = shifted.split_at_checked(end).unwrap_or((shifted, ""));
        rest = behind.strip_prefix('-').unwrap_or(behind);
        if coded.is_empty() {
            text.push('+');
            continue;
        }
        let coded = base64(coded, Padding::Ends);
        // an odd byte is the rest of the bits
        let whole = coded.chunks_exact(2).flatten().copied();
        let whole: Vec<u8> = whole.collect();
        text.push_str(&UTF_16BE.decode_without_bom_handling(&whole).0);
    }
    text.push_str(rest);
    text
}
