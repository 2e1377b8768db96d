//! zlib streams and CompressedData built by hand.

use std::io::{self, Write};

use flate2::write::ZlibEncoder;
use flate2::{Compression, FlushCompress, Status};

use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::compressed::{CompressOptions, DecompressOutcome, ID_ZLIB, compress, decompress};
use crate::content::{ID_COMPRESSED_DATA, ID_DATA};
use crate::error::{Error, Result};
use crate::io::MemoryInput;
use crate::mime::Form;

/// The fields of a CompressedData, each in DER.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) version: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    pub(super) kind: Vec<u8>,
    /// eContent with its `[0]`
    pub(super) content: Vec<u8>,
}

impl Parts {
    pub(super) fn new(zlib: &[u8]) -> Self {
        Parts {
            version: vec![id::INTEGER, 1, 0],
            algorithm: encode(&ID_ZLIB, &[]),
            kind: tlv(id::OID, ID_DATA.as_bytes()),
            content: tlv(id::context_constructed(0), &tlv(id::OCTET_STRING, zlib)),
        }
    }

    pub(super) fn message(&self) -> Vec<u8> {
        let content = constructed(id::SEQUENCE, &[&self.kind, &self.content]);
        let data = constructed(id::SEQUENCE, &[&self.version, &self.algorithm, &content]);
        constructed(
            id::SEQUENCE,
            &[
                &tlv(id::OID, ID_COMPRESSED_DATA.as_bytes()),
                &tlv(id::context_constructed(0), &data),
            ],
        )
    }
}

/// Text that neither repeats nor stays small.
pub(super) fn text(len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 80);
    let mut state = 1u64;
    while text.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(format!("{state:016x} a line of some length\r\n").as_bytes());
    }
    text.truncate(len);
    text
}

pub(super) fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// zlib of so many zero bytes, in exactly `compressed` bytes or up to four more: filled up with empty stored blocks.
pub(super) fn zeros(len: usize, compressed: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    let block = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        let now = left.min(block.len());
        encoder.write_all(&block[..now]).unwrap();
        left -= now;
    }
    encoder.flush().unwrap();
    let mut out = encoder.get_ref().clone();
    let mut rest = encoder.finish().unwrap().split_off(out.len());
    while out.len() + rest.len() < compressed {
        out.extend_from_slice(&[0, 0, 0, 0xff, 0xff]);
    }
    out.append(&mut rest);
    out
}

/// With a dictionary that the reader would have to know (RFC 1950 §2.2).
pub(super) fn with_dictionary() -> Vec<u8> {
    let mut out = vec![0x78, 0xbb, 1, 2, 3, 4];
    let mut deflate = flate2::Compress::new(Compression::default(), false);
    let mut body = Vec::with_capacity(100);
    let status = deflate
        .compress_vec(b"text", &mut body, FlushCompress::Finish)
        .unwrap();
    assert_eq!(status, Status::StreamEnd);
    out.extend(body);
    out.extend([4, 0x5d, 1, 0xc1]);
    out
}

pub(super) fn made(content: &[u8], format: Form) -> Vec<u8> {
    let mut out = Vec::new();
    let made = compress(&mut &*content, &mut out, &CompressOptions { format }).unwrap();
    assert_eq!(made.algorithm, "zlib");
    assert_eq!(made.content_len, content.len() as u64);
    out
}

/// Content and outcome; a failure comes with what had been written.
pub(super) fn open(message: &[u8]) -> Result<(Vec<u8>, DecompressOutcome), (Error, Vec<u8>)> {
    let mut out = Vec::new();
    match decompress(&mut MemoryInput::new(message.to_vec()), &mut out) {
        Ok(outcome) => {
            assert_eq!(outcome.content_len, out.len() as u64);
            Ok((out, outcome))
        }
        Err(error) => Err((error, out)),
    }
}

/// The error of a message that must be refused with nothing written.
#[track_caller]
pub(super) fn refusal(message: &[u8]) -> Error {
    let (error, written) = open(message).unwrap_err();
    assert!(written.is_empty(), "{error}: {} bytes", written.len());
    error
}

/// Counts.
pub(super) struct Count(pub(super) u64);

impl Write for Count {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0 += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
