//! What one core can do at most, measured in this run: the same libraries in one loop over memory, block by block; and the disk
//! beside it. No BER, no MIME, no D-Bus, no second pass.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, StreamingDecryptingKey, StreamingEncryptingKey,
    UnboundCipherKey,
};
use base64_simd::{AsOut, STANDARD};
use chacha20::cipher::{KeyIvInit, StreamCipher};
use poly1305::universal_hash::{KeyInit, UniversalHash};
use sha2::Digest;

/// Bytes of one block: whole lines of base64, and small enough for the second-level cache.
const BLOCK: usize = 57 << 10;
/// Measured over so much at most, bytes.
const MOST: usize = 256 << 20;
const KEY: [u8; 32] = [7; 32];

/// What a row does to every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Hash,
    CbcEncrypt,
    CbcDecrypt,
    Gcm,
    ChaCha,
}

/// Whether base64 comes in, goes out, or is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64 {
    No,
    Encode,
    Decode,
}

/// Seconds that one core needs for a byte of content.
pub struct Limits {
    content: Vec<u8>,
    /// the same as lines of base64
    text: Vec<u8>,
    /// reading a file from the page cache; writing one and having it on disk
    read: f64,
    write: f64,
}

impl Limits {
    /// Makes content of `len` bytes, and a file of it in `folder` to measure the disk with.
    pub fn new(folder: &Path, content: &[u8]) -> Self {
        let content = content[..content.len().min(MOST)].to_vec();
        let mut text = Vec::new();
        for block in content.chunks(BLOCK) {
            encode(block, &mut Vec::new(), &mut text);
        }
        let path = folder.join("limit");
        let mut buffer = vec![0; BLOCK];
        let write = time(&content, || {
            let mut file = File::create(&path).unwrap();
            for block in content.chunks(BLOCK) {
                file.write_all(block).unwrap();
            }
            file.sync_all().unwrap();
        });
        let read = time(&content, || {
            let mut file = File::open(&path).unwrap();
            while file.read(&mut buffer).unwrap() > 0 {}
        });
        std::fs::remove_file(&path).unwrap();
        Limits {
            content,
            text,
            read,
            write,
        }
    }

    /// Megabytes of content a second: in memory, and with the files of that row (`writes`: there is an output).
    pub fn of(&self, work: Work, base64: Base64, writes: bool) -> (f64, f64) {
        let memory = self.memory(work, base64);
        let larger = |grows: bool| if grows { 78.0 / 57.0 } else { 1.0 };
        let mut files = memory + self.read * larger(base64 == Base64::Decode);
        if writes {
            files += self.write * larger(base64 == Base64::Encode);
        }
        (1e-6 / memory, 1e-6 / files)
    }

    fn memory(&self, work: Work, base64: Base64) -> f64 {
        let mut worker = Worker::new(work);
        let (mut text, mut lines) = (Vec::new(), Vec::new());
        match base64 {
            Base64::No => time(&self.content, || {
                for block in self.content.chunks(BLOCK) {
                    worker.block(block);
                }
            }),
            Base64::Encode => time(&self.content, || {
                for block in self.content.chunks(BLOCK) {
                    let made = worker.block(block);
                    lines.clear();
                    encode(made, &mut text, &mut lines);
                }
            }),
            Base64::Decode => time(&self.content, || {
                for block in self.text.chunks(BLOCK / 57 * 78) {
                    decode(block, &mut text, &mut lines);
                    worker.block(&lines);
                }
            }),
        }
    }
}

/// Seconds a byte, the better of two.
fn time(content: &[u8], mut work: impl FnMut()) -> f64 {
    let mut once = || {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    };
    once().min(once()) / content.len() as f64
}

/// Lines of 76 columns and CRLF, appended to `lines`.
fn encode(block: &[u8], text: &mut Vec<u8>, lines: &mut Vec<u8>) {
    text.resize(STANDARD.encoded_length(block.len()), 0);
    let text = &*STANDARD.encode(block, text.as_mut_slice().as_out());
    let (whole, last) = text.as_chunks::<76>();
    for line in whole {
        lines.extend_from_slice(line);
        lines.extend_from_slice(b"\r\n");
    }
    if !last.is_empty() {
        lines.extend_from_slice(last);
        lines.extend_from_slice(b"\r\n");
    }
}

/// Lines of 78 bytes back into `out`.
fn decode(block: &[u8], text: &mut Vec<u8>, out: &mut Vec<u8>) {
    text.clear();
    for line in block.chunks(78) {
        text.extend_from_slice(&line[..line.len() - 2]);
    }
    out.resize(STANDARD.estimated_decoded_length(text.len()), 0);
    let len = STANDARD
        .decode(text, out.as_mut_slice().as_out())
        .unwrap()
        .len();
    out.truncate(len);
}

/// The cipher or digest, as the programs use it.
enum Worker {
    Hash(sha2::Sha256),
    CbcEncrypt(StreamingEncryptingKey, Vec<u8>),
    CbcDecrypt(StreamingDecryptingKey, Vec<u8>),
    Gcm(StreamingEncryptingKey, LessSafeKey, Vec<u8>),
    ChaCha(Box<chacha20::ChaCha20>, Box<poly1305::Poly1305>, Vec<u8>),
}

impl Worker {
    fn new(work: Work) -> Self {
        let aes = || UnboundCipherKey::new(&AES_256, &KEY).unwrap();
        let context = || EncryptionContext::Iv128([1; 16].into());
        let out = vec![0; BLOCK + 32];
        match work {
            Work::Hash => Worker::Hash(sha2::Sha256::new()),
            Work::CbcEncrypt => Worker::CbcEncrypt(
                StreamingEncryptingKey::less_safe_cbc_pkcs7(aes(), context()).unwrap(),
                out,
            ),
            Work::CbcDecrypt => Worker::CbcDecrypt(
                StreamingDecryptingKey::cbc_pkcs7(aes(), DecryptionContext::Iv128([1; 16].into()))
                    .unwrap(),
                out,
            ),
            Work::Gcm => Worker::Gcm(
                StreamingEncryptingKey::less_safe_ctr(aes(), context()).unwrap(),
                LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap()),
                out,
            ),
            Work::ChaCha => Worker::ChaCha(
                Box::new(chacha20::ChaCha20::new(&KEY.into(), &[1; 12].into())),
                Box::new(poly1305::Poly1305::new(&KEY.into())),
                out,
            ),
        }
    }

    /// What becomes of a block; a digest leaves it as it is.
    fn block<'a>(&'a mut self, block: &'a [u8]) -> &'a [u8] {
        match self {
            Worker::Hash(hash) => {
                hash.update(block);
                block
            }
            Worker::CbcEncrypt(key, out) => {
                let len = key.update(block, out).unwrap().written().len();
                &out[..len]
            }
            Worker::CbcDecrypt(key, out) => {
                let len = key.update(block, out).unwrap().written().len();
                &out[..len]
            }
            Worker::Gcm(key, mac, out) => {
                key.update(block, out).unwrap();
                let out = &out[..block.len()];
                let nonce = Nonce::assume_unique_for_key([0; 12]);
                let tag = mac.seal_in_place_separate_tag(nonce, Aad::from(out), &mut []);
                let _ = std::hint::black_box(tag.unwrap());
                out
            }
            Worker::ChaCha(stream, mac, out) => {
                let out = &mut out[..block.len()];
                out.copy_from_slice(block);
                stream.apply_keystream(out);
                mac.update_padded(out);
                out
            }
        }
    }
}
