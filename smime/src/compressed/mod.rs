//! CompressedData (RFC 3274) with zlib (RFC 1950), which is all that S/MIME has (RFC 8551 §2.4.5, §3.6).
//!
//! Compressing is one pass. zlib authenticates nothing, but its checksum comes last: reading takes two passes, so that content
//! appears whole or not at all. What it grows to is bounded ([`crate::limits::INFLATED_RATIO`]).

use crate::limits::{INFLATED_FLOOR, INFLATED_RATIO};
use crate::mime::{Form, Headers};

mod compress;
mod decompress;
mod deflate;
mod inflate;

#[cfg(test)]
mod tests;

pub use compress::compress;
pub use decompress::decompress;
pub(crate) use decompress::decompress_up_to;

/// id-alg-zlibCompress (RFC 3274 §2)
const ID_ZLIB: der::asn1::ObjectIdentifier =
    der::asn1::ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.3.8");

/// The only algorithm, as results name it.
const ZLIB: &str = "zlib";

/// Bytes that are read, deflated or inflated at a time.
const BLOCK: usize = 64 << 10;

/// How to compress.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompressOptions {
    pub format: Form,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressResult {
    /// `zlib`
    pub algorithm: &'static str,
    /// bytes before they were compressed
    pub content_len: u64,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct DecompressOutcome {
    /// `zlib`
    pub algorithm: &'static str,
    /// bytes that were released
    pub content_len: u64,
    /// of the message around the CMS object
    pub headers: Headers,
    /// bytes it was made from
    compressed_len: u64,
}

impl DecompressOutcome {
    /// The most content that its compressed bytes may stand for, in all layers below it as well.
    pub(crate) fn allowed(&self) -> u64 {
        allowed(self.compressed_len)
    }
}

/// The most content that so many compressed bytes may stand for.
fn allowed(compressed: u64) -> u64 {
    compressed
        .saturating_mul(INFLATED_RATIO)
        .max(INFLATED_FLOOR)
}
