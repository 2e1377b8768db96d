//! ChaCha20-Poly1305 as a stream (RFC 8103, RFC 8439 §2.8). aws-lc's takes whole messages only.

use std::io;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use poly1305::universal_hash::{KeyInit, UniversalHash};
use poly1305::{Block, Poly1305};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// Bytes that one key and nonce may encrypt (RFC 8439 §2.8: 2³² − 1 blocks of 64 bytes).
const MAX_LEN: u64 = ((1 << 32) - 1) * 64;

/// Bytes of the nonce (RFC 8103 §2) and of the tag.
pub(super) const NONCE: usize = 12;
pub(super) const TAG: usize = 16;

/// Key stream and authenticator for one message. The additional data come first, so they must be known.
pub(super) fn start(
    key: &[u8],
    nonce: &[u8; NONCE],
    aad: &[u8],
) -> Result<(KeyStream, Authenticator)> {
    let mut cipher = ChaCha20::new_from_slices(key, nonce).map_err(|_| Error::DecryptionFailed)?;
    // the one-time key is the first half of block 0 (§2.6); the text begins with block 1
    let mut one_time = Zeroizing::new([0; 32]);
    cipher
        .try_apply_keystream(&mut *one_time)
        .map_err(|_| exhausted())?;
    cipher.try_seek(64u32).map_err(|_| exhausted())?;
    let mut hash = Poly1305::new(&(*one_time).into());
    hash.update_padded(aad);
    Ok((
        KeyStream(cipher),
        Authenticator {
            hash: Blocks::new(hash),
            aad_len: aad.len() as u64,
        },
    ))
}

fn exhausted() -> Error {
    Error::LimitExceeded {
        what: "bytes under one ChaCha20 key",
        limit: MAX_LEN,
    }
}

/// Encrypts, and decrypts.
pub(super) struct KeyStream(ChaCha20);

impl KeyStream {
    /// Into the beginning of `out`.
    pub(super) fn apply(&mut self, data: &[u8], out: &mut [u8]) -> Result<()> {
        let out = out
            .get_mut(..data.len())
            .ok_or_else(|| Error::Io(io::Error::other("a buffer too short")))?;
        // in place: the crate's two-buffer form is slower than a copy that stays in the cache
        out.copy_from_slice(data);
        self.0.try_apply_keystream(out).map_err(|_| exhausted())
    }
}

/// Encrypts and authenticates what it encrypted.
pub(super) struct ChaChaEncryptor {
    stream: KeyStream,
    authenticator: Authenticator,
}

impl ChaChaEncryptor {
    pub(super) fn new(key: &[u8], nonce: &[u8; NONCE], aad: &[u8]) -> Result<Self> {
        let (stream, authenticator) = start(key, nonce, aad)?;
        Ok(ChaChaEncryptor {
            stream,
            authenticator,
        })
    }

    pub(super) fn update(&mut self, plain: &[u8], out: &mut [u8]) -> Result<()> {
        self.stream.apply(plain, out)?;
        self.authenticator
            .update(out.get(..plain.len()).unwrap_or(&[]))
    }

    pub(super) fn finish(self) -> [u8; TAG] {
        self.authenticator.finish()
    }
}

/// The tag over additional data and ciphertext.
pub(super) struct Authenticator {
    hash: Blocks,
    aad_len: u64,
}

impl Authenticator {
    pub(super) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.hash.update(data);
        if self.hash.length() > MAX_LEN {
            return Err(exhausted());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> [u8; TAG] {
        let length = self.hash.length();
        let mut hash = self.hash.pad();
        // both lengths, little-endian (§2.8)
        let lengths = u128::from(length) << 64 | u128::from(self.aad_len);
        hash.update(&[Block::from(lengths.to_le_bytes())]);
        hash.finalize().into()
    }
}

/// Poly1305 over pieces of any length.
struct Blocks {
    hash: Poly1305,
    partial: [u8; 16],
    filled: usize,
    length: u64,
}

impl Blocks {
    fn new(hash: Poly1305) -> Self {
        Blocks {
            hash,
            partial: [0; 16],
            filled: 0,
            length: 0,
        }
    }

    fn update(&mut self, mut data: &[u8]) {
        self.length = self.length.saturating_add(data.len() as u64);
        if self.filled > 0 {
            let room = self.partial.get_mut(self.filled..).unwrap_or(&mut []);
            let (now, later) = data.split_at_checked(room.len()).unwrap_or((data, &[]));
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            self.filled = self.filled.saturating_add(now.len());
            data = later;
            if self.filled < 16 {
                return;
            }
            self.hash.update(&[Block::from(self.partial)]);
            self.filled = 0;
        }
        let (blocks, rest) = Block::slice_as_chunks(data);
        self.hash.update(blocks);
        for (to, from) in self.partial.iter_mut().zip(rest) {
            *to = *from;
        }
        self.filled = rest.len();
    }

    /// Bytes so far.
    fn length(&self) -> u64 {
        self.length
    }

    #[cfg(test)]
    fn set_length(&mut self, length: u64) {
        self.length = length;
    }

    /// Fills the last block with zeros.
    fn pad(mut self) -> Poly1305 {
        self.hash
            .update_padded(self.partial.get(..self.filled).unwrap_or(&[]));
        self.hash
    }
}
