//! Reading a CompressedData: pass 1 inflates and judges, pass 2 releases.

use std::io::{Read, Write};

use super::inflate::Inflater;
use super::{DecompressOutcome, ID_ZLIB, ZLIB};
use crate::algorithm_id::AlgorithmId;
use crate::ber::{Header, Reader, id, single, tag};
use crate::content::{self, ID_COMPRESSED_DATA, ID_DATA};
use crate::error::{Error, Result};
use crate::io::Input;
use crate::mime::{Opened, open};

/// version or compressionAlgorithm, bytes.
const SMALL: usize = 4096;

/// Opens one compressed layer in any form. Not a byte is written before the whole has been inflated once and its checksum is
/// right.
///
/// # Errors
/// `NotCompressed`, `UnsupportedAlgorithm`, `Malformed` (also: damaged, truncated, or with something behind its end), and
/// `LimitExceeded` for more than [`crate::limits::INFLATED_RATIO`] bytes of content from each compressed one.
pub fn decompress(message: &mut dyn Input, out: &mut dyn Write) -> Result<DecompressOutcome> {
    decompress_up_to(message, out, u64::MAX)
}

/// The same, with `most` bytes of content at most.
pub(crate) fn decompress_up_to(
    message: &mut dyn Input,
    out: &mut dyn Write,
    most: u64,
) -> Result<DecompressOutcome> {
    pass(message, most, &mut |_| Ok(()))?;
    let outcome = pass(message, most, &mut |data| Ok(out.write_all(data)?))?;
    out.flush()?;
    Ok(outcome)
}

/// One look at the message.
fn pass(
    message: &mut dyn Input,
    most: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<DecompressOutcome> {
    let Opened::Cms { headers, body, .. } = open(message.pass()?)? else {
        return Err(Error::NotCompressed);
    };
    let mut reader = Reader::new(body);
    if content::enter(&mut reader)? != ID_COMPRESSED_DATA {
        return Err(Error::NotCompressed);
    }
    let octets = read_up_to_content(&mut reader)?;
    let mut inflater = Inflater::new(most);
    reader.octets(&octets, &mut |data| inflater.update(data, sink))?;
    let (compressed_len, content_len) = inflater.finish(sink)?;
    for _ in 0..3 {
        reader.leave()?;
    }
    content::leave(reader)?;
    Ok(DecompressOutcome {
        algorithm: ZLIB,
        content_len,
        headers,
        compressed_len,
    })
}

/// CompressedData up to eContent, whose octets come next (RFC 3274 §1.1).
pub(super) fn read_up_to_content<R: Read>(reader: &mut Reader<R>) -> Result<Header> {
    reader.enter_universal(tag::SEQUENCE, "CompressedData")?;
    let version = element(reader, "version")?;
    if single(&version, id::INTEGER, "version")?.content != [0] {
        return Err(Error::malformed("a version that is not defined"));
    }
    let algorithm = element(reader, "compressionAlgorithm")?;
    let algorithm =
        AlgorithmId::parse(single(&algorithm, id::SEQUENCE, "compressionAlgorithm")?.content)?;
    if algorithm.oid != ID_ZLIB {
        return Err(Error::UnsupportedAlgorithm(format!(
            "compression {}",
            algorithm.oid
        )));
    }
    if !algorithm.is_plain() {
        return Err(Error::malformed("zlib has no parameters (RFC 3274 §2)"));
    }
    reader.enter_universal(tag::SEQUENCE, "encapContentInfo")?;
    let inner = content::read_oid(reader, "eContentType")?;
    // RFC 8551 §2.4.5
    if inner != ID_DATA {
        return Err(Error::UnsupportedAlgorithm(format!(
            "compressed content of type {inner}"
        )));
    }
    content::enter_octets(reader)?
        .ok_or_else(|| Error::malformed("the compressed content is not in the message"))
}

fn element<R: Read>(reader: &mut Reader<R>, what: &'static str) -> Result<Vec<u8>> {
    let header = reader.expect(what)?;
    reader.element(&header, SMALL)
}
