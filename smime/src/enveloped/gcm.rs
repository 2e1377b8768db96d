//! AES-GCM as a stream: counter mode and GHASH apart (NIST SP 800-38D). aws-lc's own GCM takes whole messages only.

use std::io;

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{EncryptionContext, StreamingEncryptingKey};
use ghash::universal_hash::UniversalHash;
use ghash::{Block, GHash};
use zeroize::Zeroizing;

use super::SLACK;
use super::cbc::{aes_key, failed};
use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// Bytes that one key and nonce may encrypt (SP 800-38D §5.2.1.1: 2³⁹ − 256 bits).
const MAX_LEN: u64 = (1 << 36) - 32;

/// Blocks after which the 32-bit counter starts anew.
const COUNTER_PERIOD: u64 = 1 << 32;

/// Counter mode and authenticator for one message.
pub(super) fn start(key: &[u8], nonce: &[u8]) -> Result<(Counter, Authenticator)> {
    let mut h = Block::default();
    Counter::new(key, [0; 16])?.block(&mut h)?;
    let first = first_counter(&h, nonce);
    let mut counter = Counter::new(key, first)?;
    let mut mask = Block::default();
    counter.block(&mut mask)?;
    Ok((counter, Authenticator::new(key, h, mask)?))
}

/// J₀ (SP 800-38D §7.1 step 2).
fn first_counter(h: &Block, nonce: &[u8]) -> [u8; 16] {
    if let Ok(nonce) = <[u8; 12]>::try_from(nonce) {
        let mut block = [0; 16];
        for (to, from) in block.iter_mut().zip(nonce.into_iter().chain([0, 0, 0, 1])) {
            *to = from;
        }
        return block;
    }
    let mut hash = GHash::new(h);
    hash.update_padded(nonce);
    hash.update(&[lengths(0, nonce.len() as u64)]);
    hash.finalize().into()
}

/// The block of two bit lengths that ends every GHASH.
fn lengths(first: u64, second: u64) -> Block {
    let bits = |bytes: u64| u128::from(bytes.saturating_mul(8));
    Block::from((bits(first) << 64 | bits(second)).to_be_bytes())
}

/// Encrypts and authenticates what it encrypted.
pub(super) struct GcmEncryptor {
    counter: Counter,
    authenticator: Authenticator,
}

impl GcmEncryptor {
    pub(super) fn new(key: &[u8], nonce: &[u8]) -> Result<Self> {
        let (counter, authenticator) = start(key, nonce)?;
        Ok(GcmEncryptor {
            counter,
            authenticator,
        })
    }

    /// Encrypts into `out`, which is [`SLACK`] bytes longer.
    pub(super) fn update(&mut self, plain: &[u8], out: &mut [u8]) -> Result<()> {
        self.counter.apply(plain, out)?;
        self.authenticator
            .update(out.get(..plain.len()).unwrap_or(&[]))
    }

    /// The tag over the ciphertext and these additional data.
    pub(super) fn finish(self, aad: &[u8]) -> Result<[u8; 16]> {
        self.authenticator.finish(aad)
    }
}

/// Counter mode whose counter is 32 bits wide.
pub(super) struct Counter {
    key: Zeroizing<Vec<u8>>,
    /// The 96 bits that stay.
    prefix: [u8; 12],
    cipher: StreamingEncryptingKey,
    /// Bytes until the counter wraps.
    left: u64,
}

impl Counter {
    fn new(key: &[u8], block: [u8; 16]) -> Result<Self> {
        let value = u128::from_be_bytes(block);
        let mut prefix = [0; 12];
        prefix.copy_from_slice(block.first_chunk::<12>().unwrap_or(&[0; 12]));
        let used = (value & u128::from(u32::MAX)) as u64;
        Ok(Counter {
            key: Zeroizing::new(key.to_vec()),
            prefix,
            cipher: cipher(key, block)?,
            left: COUNTER_PERIOD.saturating_sub(used).saturating_mul(16),
        })
    }

    /// Encrypts or decrypts into `out`, which is [`SLACK`] bytes longer.
    pub(super) fn apply(&mut self, mut data: &[u8], mut out: &mut [u8]) -> Result<()> {
        while !data.is_empty() {
            if self.left == 0 {
                // aws-lc's counter is 128 bits wide: its carry must not reach the nonce
                let mut block = [0; 16];
                for (to, from) in block.iter_mut().zip(self.prefix) {
                    *to = from;
                }
                self.cipher = cipher(&self.key, block)?;
                self.left = COUNTER_PERIOD.saturating_mul(16);
            }
            let now = usize::try_from(self.left).unwrap_or(usize::MAX);
            let (part, later) = data.split_at_checked(now).unwrap_or((data, &[]));
            self.cipher.update(part, out).map_err(failed)?;
            self.left = self.left.saturating_sub(part.len() as u64);
            data = later;
            out = out
                .split_at_mut_checked(part.len())
                .map_or(&mut [], |(_, rest)| rest);
        }
        Ok(())
    }

    /// One block of key stream, with which the counter goes on.
    fn block(&mut self, block: &mut Block) -> Result<()> {
        let mut out = [0; 16 + SLACK];
        self.apply(&[0; 16], &mut out)?;
        for (to, from) in block.iter_mut().zip(out) {
            *to = from;
        }
        Ok(())
    }
}

fn cipher(key: &[u8], block: [u8; 16]) -> Result<StreamingEncryptingKey> {
    StreamingEncryptingKey::less_safe_ctr(aes_key(key)?, EncryptionContext::Iv128(block.into()))
        .map_err(failed)
}

/// The tag over a ciphertext, whose additional data need not be known before its end: CMS has them behind the content.
///
/// aws-lc hashes several times faster than the `ghash` crate, but only whole messages. So each chunk is the additional data of an
/// empty message of its own, whose tag is H · GHASH(chunk) ⊕ H · L ⊕ mask; tags are never given away, so nonces may repeat.
/// GHASH is a polynomial in H: GHASH(P ‖ chunk) = GHASH(P) · Hⁿ ⊕ GHASH(chunk), where the chunk has n blocks.
pub(super) struct Authenticator {
    key: LessSafeKey,
    h: Zeroizing<[u8; 16]>,
    /// of the message
    mask: Zeroizing<[u8; 16]>,
    /// of each chunk
    chunk_mask: Zeroizing<[u8; 16]>,
    /// Hⁿ of a whole chunk; made with the first
    step: Option<Block>,
    /// H · GHASH of the chunks so far
    sum: u128,
    /// less than one chunk
    held: Vec<u8>,
    length: u64,
}

/// Bytes that are hashed at a time.
const CHUNK: usize = 64 << 10;
/// Nonce of every chunk.
const CHUNK_NONCE: [u8; 12] = [0; 12];

impl Authenticator {
    fn new(key: &[u8], h: Block, mask: Block) -> Result<Self> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            _ => &AES_256_GCM,
        };
        let mut chunk_mask = Block::default();
        Counter::new(key, first_counter(&h, &CHUNK_NONCE))?.block(&mut chunk_mask)?;
        Ok(Authenticator {
            key: LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(failed)?),
            h: Zeroizing::new(h.into()),
            mask: Zeroizing::new(mask.into()),
            chunk_mask: Zeroizing::new(chunk_mask.into()),
            step: None,
            sum: 0,
            held: Vec::new(),
            length: 0,
        })
    }

    pub(super) fn update(&mut self, mut data: &[u8]) -> Result<()> {
        self.length = self.length.saturating_add(data.len() as u64);
        if self.length > MAX_LEN {
            return Err(Error::LimitExceeded {
                what: "bytes under one AES-GCM key",
                limit: MAX_LEN,
            });
        }
        if !self.held.is_empty() {
            let room = CHUNK.saturating_sub(self.held.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.held.extend_from_slice(now);
            data = later;
            if self.held.len() < CHUNK {
                return Ok(());
            }
            let mut held = std::mem::take(&mut self.held);
            self.chunk(&held)?;
            held.clear();
            self.held = held;
        }
        let mut chunks = data.chunks_exact(CHUNK);
        for chunk in &mut chunks {
            self.chunk(chunk)?;
        }
        self.held.extend_from_slice(chunks.remainder());
        Ok(())
    }

    fn chunk(&mut self, chunk: &[u8]) -> Result<()> {
        let h = Block::from(*self.h);
        let step = *self
            .step
            .get_or_insert_with(|| power(h, (CHUNK / 16) as u64));
        self.sum = self.after(chunk, &step)?;
        Ok(())
    }

    /// The sum with what follows; `step` is H to the number of its blocks.
    fn after(&self, data: &[u8], step: &Block) -> Result<u128> {
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(CHUNK_NONCE),
                Aad::from(data),
                &mut [],
            )
            .map_err(failed)?;
        let tag = <[u8; 16]>::try_from(tag.as_ref())
            .map_err(|_| Error::Io(io::Error::other("AES failed")))?;
        let before = multiply(&Block::from(self.sum.to_be_bytes()), step);
        let length = self.times_h(lengths(data.len() as u64, 0));
        Ok(u128::from_be_bytes(before.into())
            ^ u128::from_be_bytes(tag)
            ^ length
            ^ u128::from_be_bytes(*self.chunk_mask))
    }

    fn times_h(&self, block: Block) -> u128 {
        u128::from_be_bytes(multiply(&block, &Block::from(*self.h)).into())
    }

    /// The tag, of which a message may carry the first 12 bytes or more. Additional data that are prepended move up by as many
    /// powers as blocks follow them.
    pub(super) fn finish(mut self, aad: &[u8]) -> Result<[u8; 16]> {
        let h = Block::from(*self.h);
        if !self.held.is_empty() {
            let step = power(h, self.held.len().div_ceil(16) as u64);
            self.sum = self.after(&self.held, &step)?;
        }
        let mut tag = self.sum ^ self.times_h(lengths(aad.len() as u64, self.length));
        if !aad.is_empty() {
            let mut moved = GHash::new(&h);
            moved.update_padded(aad);
            let exponent = self.length.div_ceil(16).saturating_add(1);
            tag ^= u128::from_be_bytes(multiply(&moved.finalize(), &power(h, exponent)).into());
        }
        Ok((tag ^ u128::from_be_bytes(*self.mask)).to_be_bytes())
    }
}

/// a · b in GCM's field: GHASH of one block is the block times H.
fn multiply(a: &Block, b: &Block) -> Block {
    let mut hash = GHash::new(a);
    hash.update(std::slice::from_ref(b));
    hash.finalize()
}

/// baseⁿ for n ≥ 1, by squaring.
fn power(base: Block, n: u64) -> Block {
    let mut result = base;
    let top = n.checked_ilog2().unwrap_or(0);
    for bit in (0..top).rev() {
        result = multiply(&result, &result);
        if n.checked_shr(bit).is_some_and(|n| n & 1 == 1) {
            result = multiply(&result, &base);
        }
    }
    result
}
