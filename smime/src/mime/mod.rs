//! MIME as S/MIME needs it (RFC 8551 §3): what a message is, its headers, its transfer encodings, the forms it is written in.
//!
//! Everything streams. Must not know CMS beyond its media types.

use std::io::Read;

use crate::algorithm::DigestAlgorithm;
use crate::error::Result;

pub mod pem;

mod address;
mod base64;
mod canonical;
mod form;
mod headers;
mod multipart;
mod open;
mod parameters;
mod seven_bit;
mod shown;
mod source;
mod structure;
mod transfer;
mod words;

#[cfg(test)]
mod tests;

pub use canonical::{CanonicalReader, CrlfHasher};
pub use form::{CmsWriter, Form, MediaType};
pub(crate) use headers::letter_fields;
pub use headers::{ContentType, Headers};
pub use multipart::MultipartSigned;
pub use open::{Opened, open};
pub(crate) use seven_bit::SevenBit;
pub(crate) use structure::{Part, Parts, Structure};
