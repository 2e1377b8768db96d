//! What was signed: mail that a person reads, or ciphertext that only looks signed (RFC 9787 §6.2, design rule 10).
//!
//! Whoever signs ciphertext need not know what is in it: the signature says nothing about the text that a reader will see.

use crate::ber::Reader;
use crate::content::{self, ID_AUTH_ENVELOPED_DATA, ID_ENVELOPED_DATA};
use crate::layer::Layer;
use crate::mime::{Opened, open};

/// How much of the content is looked at: all headers that an entity may have, and the beginning of what follows.
pub(super) const LOOKED_AT: usize = crate::limits::HEADERS + 4096;

/// The encrypted layer that the signed content begins with, from its first [`LOOKED_AT`] bytes.
///
/// # Errors
/// Why the content's own headers cannot be read, in words.
pub(super) fn encrypted_layer(start: &[u8]) -> Result<Option<Layer>, String> {
    let body = match open(Box::new(start)) {
        Ok(Opened::Cms { body, .. }) => body,
        Ok(_) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // what is cut off by the end of `start` comes behind the content type
    Ok(match content::enter(&mut Reader::new(body)) {
        Ok(ID_ENVELOPED_DATA) => Some(Layer::plain("enveloped")),
        Ok(ID_AUTH_ENVELOPED_DATA) => Some(Layer::plain("auth-enveloped")),
        _ => None,
    })
}
