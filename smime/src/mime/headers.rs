//! Header fields (RFC 5322 §2.2): one section, read within its limit and unfolded.

use std::io::Read;

use super::source::Source;
use super::words::{self, Reading};
use super::{address, parameters, shown};
use crate::error::{Error, Result};
use crate::limits::HEADERS;

/// The header section of a message or body part, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    fields: Vec<(String, String)>,
    torn: bool,
}

/// What tells a letter from a body part.
const OF_A_LETTER: [&str; 8] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
];

/// A parsed Content-Type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// lowercase, `type/subtype`
    pub media_type: String,
    /// (lowercase name, value)
    pub parameters: Vec<(String, String)>,
}

impl ContentType {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
}

impl Headers {
    /// Of a message or body part of which only the beginning is known: the fields that are in it, none where it begins with none.
    pub fn of_beginning(beginning: &[u8]) -> Headers {
        let looked = Headers::look(&mut Source::new(Box::new(beginning)), 0);
        looked.ok().flatten().unwrap_or_default().0
    }

    /// Fields as (name, unfolded value). Bytes that are not UTF-8, and a CR alone, show as U+FFFD.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The value of the first field of this name (ASCII case does not matter).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The same as a person sees it: encoded words (RFC 2047) are decoded.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        Some(words::decode(value, Reading::USUAL).into_owned())
    }

    /// How many fields have this name.
    pub fn count(&self, name: &str) -> usize {
        self.fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .count()
    }

    /// The first Content-Type; `None` where there is none, or one without `type/subtype`.
    pub fn content_type(&self) -> Option<ContentType> {
        let (media_type, parameters) = parameters::parse(self.get("Content-Type")?);
        let (kind, subtype) = media_type.split_once('/')?;
        if kind.is_empty() || subtype.is_empty() || subtype.contains('/') {
            return None;
        }
        Some(ContentType {
            media_type,
            parameters,
        })
    }

    /// The file name that Content-Disposition or Content-Type gives (RFC 2183 §2.3). RFC 2047 §5 forbids encoded words in it, and
    /// gateways write them.
    pub(super) fn file_name(&self) -> Option<String> {
        let named = |field: &str, parameter: &str| {
            let (_, parameters) = parameters::parse(self.get(field)?);
            parameters
                .into_iter()
                .find(|(n, _)| n == parameter)
                .map(|(_, v)| v)
        };
        let name =
            named("Content-Disposition", "filename").or_else(|| named("Content-Type", "name"))?;
        Some(words::decode(&name, Reading::USUAL).into_owned())
    }

    /// Every mail address of every field of this name (`From`, `Sender`), without display names and comments.
    ///
    /// What stands where an address belongs and is none comes back as it stands: it equals no certificate's address, and so
    /// never makes an unreadable sender look like none.
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let fields = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fields.flat_map(|(_, value)| address::list(value)).collect()
    }

    /// Addresses that display names and comments of every field of this name show, and that are none of [`Self::addresses`].
    pub fn addresses_beside(&self, name: &str) -> Vec<String> {
        let addresses = self.addresses(name);
        let fields = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fields
            .flat_map(|(_, value)| shown::beside(value, &addresses))
            .collect()
    }

    /// Whether these are a letter's headers, and not those of a body part.
    pub fn are_of_a_letter(&self) -> bool {
        OF_A_LETTER.iter().any(|name| self.count(name) > 0)
    }

    /// The section ended in a line that is no field, and a letter's field stands behind it, before the first blank line: some
    /// readers take that field for one of the letter's, others for text.
    pub fn are_torn(&self) -> bool {
        self.torn
    }

    /// Looks at the section that starts `from` bytes ahead. Gives it with the position of the body; `None` when the first line
    /// is no header field. A line that is neither field nor continuation ends the section and belongs to the body.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] beyond [`HEADERS`] bytes.
    pub(super) fn look(source: &mut Source<'_>, from: usize) -> Result<Option<(Headers, usize)>> {
        let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
        let mut torn = false;
        let mut at = from;
        loop {
            let line = line_ahead(source, at, from.saturating_add(HEADERS))?;
            let text = without_line_end(line);
            let next = at.saturating_add(line.len());
            if line.is_empty() && fields.is_empty() {
                return Ok(None);
            }
            if text.is_empty() {
                at = next;
                break;
            }
            if text.first().is_some_and(|b| matches!(b, b' ' | b'\t'))
                && let Some((_, value)) = fields.last_mut()
            {
                value.extend_from_slice(text);
            } else if let Some((name, value)) = field(text) {
                fields.push((name, value.to_vec()));
            } else if fields.is_empty() {
                return Ok(None);
            } else if !text.starts_with(b">From ") {
                torn = goes_on(source, next, from.saturating_add(HEADERS))?;
                break;
            }
            if next.saturating_sub(from) > HEADERS {
                return Err(too_long());
            }
            at = next;
        }
        if at.saturating_sub(from) > HEADERS {
            return Err(too_long());
        }
        // a CR alone is a line's end to some readers and none to others (RFC 5322 §2.2): no address is read across one
        let text =
            |value: Vec<u8>| String::from_utf8_lossy(value.trim_ascii()).replace('\r', "\u{fffd}");
        let fields = fields
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect();
        Ok(Some((Headers { fields, torn }, at)))
    }
}

/// Whether a field of a letter stands `at` bytes ahead or later, before the first blank line and the limit.
fn goes_on(source: &mut Source<'_>, mut at: usize, limit: usize) -> Result<bool> {
    while at <= limit {
        let line = line_ahead(source, at, limit)?;
        let text = without_line_end(line);
        if text.is_empty() {
            return Ok(false);
        }
        let named = field(text).is_some_and(|(name, _)| {
            OF_A_LETTER
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&name))
        });
        if named {
            return Ok(true);
        }
        at = at.saturating_add(line.len());
    }
    Ok(false)
}

/// The fields of a message's header section that `wanted` takes by their names, as they lie there. The section ends where
/// [`Headers::look`] has it end.
///
/// # Errors
/// [`Error::LimitExceeded`] beyond [`HEADERS`] bytes, those of the input.
pub(crate) fn letter_fields(
    message: Box<dyn Read + Send + '_>,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<u8>> {
    let mut source = Source::new(message);
    let (mut all, mut at, mut taken, mut begun) = (Vec::new(), 0usize, false, false);
    loop {
        let line = line_ahead(&mut source, at, HEADERS)?;
        let text = without_line_end(line);
        if at > HEADERS {
            return Err(too_long());
        }
        at = at.saturating_add(line.len());
        let continues = matches!(text.first(), Some(b' ' | b'\t'));
        if continues && taken {
            all.extend_from_slice(line);
        } else if let Some((name, _)) = field(text).filter(|_| !continues) {
            (begun, taken) = (true, wanted(&name));
            if taken {
                all.extend_from_slice(line);
            }
        } else if line.is_empty() || (begun && !continues && !text.starts_with(b">From ")) {
            return Ok(all);
        } else if !begun {
            // a "From " line of a mailbox, blank lines before the first field
            taken = false;
        }
    }
}

/// The line that starts `at` bytes ahead, with its line end; empty at the end of the input. It may be cut behind `limit`.
pub(super) fn line_ahead<'s>(
    source: &'s mut Source<'_>,
    at: usize,
    limit: usize,
) -> Result<&'s [u8]> {
    let mut want = at.saturating_add(1);
    let end = loop {
        let seen = source.ahead(want)?;
        let rest = seen.get(at..).unwrap_or(&[]);
        match memchr::memchr(b'\n', rest) {
            Some(found) => break at.saturating_add(found).saturating_add(1),
            None if seen.len() < want || seen.len() > limit => break seen.len().max(at),
            None => want = seen.len().saturating_add(1),
        }
    };
    Ok(source.ahead(0)?.get(at..end).unwrap_or(&[]))
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `name: value`; white space before the colon is obsolete but allowed (RFC 5322 §4.5).
fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some((String::from_utf8_lossy(name).into_owned(), value.get(1..)?))
}

fn too_long() -> Error {
    Error::LimitExceeded {
        what: "bytes in one header section",
        limit: HEADERS as u64,
    }
}
