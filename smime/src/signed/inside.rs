//! What was signed: mail that a person reads, or ciphertext that only looks signed (RFC 9787 §6.2, design rule 10).
//!
//! Whoever signs ciphertext need not know what is in it: the signature says nothing about the text that a reader will see.

use crate::ber::Reader;
use crate::content::{self, ID_AUTH_ENVELOPED_DATA, ID_ENVELOPED_DATA};
use crate::error::Result;
use crate::layer::Layer;
use crate::mime::{Headers, Opened, Part, Parts, Structure, open};

/// How much of the content is looked at as a layer: all headers that an entity may have, and the beginning of what follows.
pub(super) const LOOKED_AT: usize = crate::limits::HEADERS + 4096;

/// Looks at signed content while it is hashed.
pub(super) struct Look {
    structure: Structure,
}

/// What is encrypted in signed content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Encrypted {
    /// parts of it
    pub(super) parts: usize,
    /// there is more than was looked at
    pub(super) unseen: bool,
}

impl Look {
    pub(super) fn new() -> Self {
        Look {
            structure: Structure::of_entity(),
        }
    }

    pub(super) fn update(&mut self, content: &[u8]) {
        self.structure.update(content);
    }

    pub(super) fn finish(self) -> Encrypted {
        let Parts { parts, more } = self.structure.finish();
        Encrypted {
            parts: parts.iter().filter(|part| is_encrypted(part)).count(),
            unseen: more,
        }
    }
}

/// Whether a part is ciphertext; one that cannot be told is taken for it.
pub(crate) fn is_encrypted(part: &Part) -> bool {
    !part.clear && !matches!(entity(&part.start), Ok((_, None)))
}

/// The headers of an entity, and the encrypted layer that it is, from its first [`LOOKED_AT`] bytes.
///
/// # Errors
/// Why the entity's headers cannot be read.
pub(super) fn entity(start: &[u8]) -> Result<(Headers, Option<Layer>)> {
    let (headers, body) = match open(Box::new(start))? {
        Opened::Cms { headers, body, .. } => (headers, body),
        Opened::Signed(multipart) => return Ok((multipart.headers, None)),
        Opened::Other { headers, .. } => return Ok((headers, None)),
    };
    // what is cut off by the end of `start` comes behind the content type
    let layer = match content::enter(&mut Reader::new(body)) {
        Ok(ID_ENVELOPED_DATA) => Some(Layer::plain("enveloped")),
        Ok(ID_AUTH_ENVELOPED_DATA) => Some(Layer::plain("auth-enveloped")),
        _ => None,
    };
    Ok((headers, layer))
}
