//! Small elements in memory, read where they lie: what [`super::Reader::element`] gave back (definite lengths only).

use crate::error::{Error, Result};

/// Identifier octets of what CMS uses.
pub(crate) mod id {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// The bit that says so (X.690 §8.1.2.5).
    pub(crate) const CONSTRUCTED: u8 = 0x20;
    /// `[n]`, primitive
    pub(crate) const fn context(n: u8) -> u8 {
        0x80 | n
    }
    /// `[n]`, constructed
    pub(crate) const fn context_constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    pub(crate) id: u8,
    pub(crate) content: &'a [u8],
    /// with its identifier and length octets
    pub(crate) whole: &'a [u8],
}

/// Elements one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// The next element; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Tlv<'a>>> {
        let all = self.0;
        let Some((&id, rest)) = all.split_first() else {
            return Ok(None);
        };
        if id & 0x1f == 0x1f {
            return Err(Error::malformed("a tag number above 30"));
        }
        let (&first, mut rest) = rest.split_first().ok_or_else(short)?;
        let len = match first {
            0..=0x7f => usize::from(first),
            0x80 => return Err(Error::malformed("an indefinite length out of place")),
            _ => {
                let (octets, after) = rest
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or_else(short)?;
                rest = after;
                octets
                    .iter()
                    .try_fold(0usize, |len, b| {
                        Some(len.checked_mul(256)? | usize::from(*b))
                    })
                    .ok_or_else(|| Error::malformed("a length beyond reason"))?
            }
        };
        let (content, after) = rest.split_at_checked(len).ok_or_else(short)?;
        self.0 = after;
        let whole = all
            .get(..all.len().saturating_sub(after.len()))
            .unwrap_or(all);
        Ok(Some(Tlv { id, content, whole }))
    }

    /// The next element, if it has this identifier octet.
    pub(crate) fn optional(&mut self, id: u8) -> Result<Option<Tlv<'a>>> {
        if self.0.first() == Some(&id) {
            self.next()
        } else {
            Ok(None)
        }
    }

    /// The next element, which must have this identifier octet.
    pub(crate) fn expect(&mut self, id: u8, what: &'static str) -> Result<Tlv<'a>> {
        self.optional(id)?
            .ok_or_else(|| Error::malformed(format!("{what} expected")))
    }

    /// Insists on the end.
    pub(crate) fn end(&self, what: &'static str) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::malformed(format!(
                "more in {what} than belongs there"
            )))
        }
    }
}

/// The only element of `bytes`.
pub(crate) fn single<'a>(bytes: &'a [u8], id: u8, what: &'static str) -> Result<Tlv<'a>> {
    let mut cursor = Cursor::new(bytes);
    let element = cursor.expect(id, what)?;
    cursor.end(what)?;
    Ok(element)
}

fn short() -> Error {
    Error::malformed("an element reaches past the one around it")
}
