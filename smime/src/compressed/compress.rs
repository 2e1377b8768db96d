//! Writing a CompressedData, in one pass.

use std::io::{Read, Write};

use super::deflate::Deflater;
use super::{BLOCK, CompressOptions, CompressResult, ID_ZLIB, ZLIB};
use crate::algorithm_id::encode;
use crate::ber::{HELD, Writer, constructed, id, tlv};
use crate::content::{ID_COMPRESSED_DATA, ID_DATA};
use crate::error::Result;
use crate::io::read_some;
use crate::mime::{CmsWriter, MediaType};

/// Compresses `input` as it is (the caller canonicalises) and writes the message, which [`super::decompress`] will take
/// whatever was in it.
///
/// # Errors
/// Those of the streams.
pub fn compress(
    input: &mut dyn Read,
    output: &mut dyn Write,
    options: &CompressOptions,
) -> Result<CompressResult> {
    let mut out = Output {
        out: Writer::new(CmsWriter::new(
            output,
            options.format,
            MediaType::CompressedData,
            true,
        )?),
        held: Vec::new(),
        streaming: false,
    };
    let mut deflater = Deflater::new();
    let mut buffer = vec![0; BLOCK];
    loop {
        let chunk = read_some(input, &mut buffer)?;
        if chunk.is_empty() {
            break;
        }
        deflater.push(chunk, &mut |data| out.push(data))?;
    }
    let content_len = deflater.finish(&mut |data| out.push(data))?;
    out.finish()?.flush()?;
    Ok(CompressResult {
        algorithm: ZLIB,
        content_len,
    })
}

/// Takes the compressed bytes.
struct Output<W: Write> {
    out: Writer<CmsWriter<W>>,
    /// all of them, while they may still be few
    held: Vec<u8>,
    streaming: bool,
}

impl<W: Write> Output<W> {
    fn push(&mut self, data: &[u8]) -> Result<()> {
        if !self.streaming {
            if self.held.len().saturating_add(data.len()) <= HELD {
                self.held.extend_from_slice(data);
                return Ok(());
            }
            self.start_stream()?;
        }
        Ok(self.out.octets_chunk(data)?)
    }

    fn start_stream(&mut self) -> Result<()> {
        self.out.begin(id::SEQUENCE)?;
        self.out.raw(&tlv(id::OID, ID_COMPRESSED_DATA.as_bytes()))?;
        self.out.begin(id::context_constructed(0))?;
        self.out.begin(id::SEQUENCE)?;
        self.out.raw(&before_content())?;
        self.out.begin(id::SEQUENCE)?;
        self.out.raw(&tlv(id::OID, ID_DATA.as_bytes()))?;
        self.out.begin(id::context_constructed(0))?;
        self.out.octets_begin(id::OCTET_STRING | id::CONSTRUCTED)?;
        self.out.octets_chunk(&std::mem::take(&mut self.held))?;
        self.streaming = true;
        Ok(())
    }

    fn finish(mut self) -> Result<W> {
        if self.streaming {
            self.out.octets_end()?;
            for _ in 0..5 {
                self.out.end()?;
            }
        } else {
            let octets = tlv(id::OCTET_STRING, &self.held);
            let content = constructed(
                id::SEQUENCE,
                &[
                    &tlv(id::OID, ID_DATA.as_bytes()),
                    &tlv(id::context_constructed(0), &octets),
                ],
            );
            let data = constructed(id::SEQUENCE, &[&before_content(), &content]);
            self.out.raw(&constructed(
                id::SEQUENCE,
                &[
                    &tlv(id::OID, ID_COMPRESSED_DATA.as_bytes()),
                    &tlv(id::context_constructed(0), &data),
                ],
            ))?;
        }
        Ok(self.out.into_inner().finish()?)
    }
}

/// version, which is 0, and compressionAlgorithm, whose parameters are absent (RFC 3274 §1.1, §2).
fn before_content() -> Vec<u8> {
    [&[id::INTEGER, 1, 0][..], &encode(&ID_ZLIB, &[])].concat()
}
