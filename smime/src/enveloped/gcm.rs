//! AES-GCM as a stream: counter mode and GHASH apart (NIST SP 800-38D). aws-lc's own GCM takes whole messages only.

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
    Ok((counter, Authenticator::new(h, mask)))
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
    pub(super) fn finish(self, aad: &[u8]) -> [u8; 16] {
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
pub(super) struct Authenticator {
    h: Zeroizing<[u8; 16]>,
    mask: Zeroizing<[u8; 16]>,
    hash: GHash,
    partial: [u8; 16],
    filled: usize,
    length: u64,
}

impl Authenticator {
    fn new(h: Block, mask: Block) -> Self {
        Authenticator {
            hash: GHash::new(&h),
            h: Zeroizing::new(h.into()),
            mask: Zeroizing::new(mask.into()),
            partial: [0; 16],
            filled: 0,
            length: 0,
        }
    }

    pub(super) fn update(&mut self, mut data: &[u8]) -> Result<()> {
        self.length = self.length.saturating_add(data.len() as u64);
        if self.length > MAX_LEN {
            return Err(Error::LimitExceeded {
                what: "bytes under one AES-GCM key",
                limit: MAX_LEN,
            });
        }
        if self.filled > 0 {
            let room = self.partial.get_mut(self.filled..).unwrap_or(&mut []);
            let (now, later) = data.split_at_checked(room.len()).unwrap_or((data, &[]));
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            self.filled = self.filled.saturating_add(now.len());
            data = later;
            if self.filled < 16 {
                return Ok(());
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
        Ok(())
    }

    /// The tag, of which a message may carry the first 12 bytes or more.
    ///
    /// GHASH is a polynomial in H, so additional data that are prepended move up by as many powers as blocks follow them:
    /// GHASH(A ‖ C ‖ L) = GHASH(A) · Hⁿ⁺¹ ⊕ GHASH(C ‖ L), where C has n blocks.
    pub(super) fn finish(mut self, aad: &[u8]) -> [u8; 16] {
        self.hash
            .update_padded(self.partial.get(..self.filled).unwrap_or(&[]));
        self.hash.update(&[lengths(aad.len() as u64, self.length)]);
        let mut tag = u128::from_be_bytes(self.hash.finalize().into());
        if !aad.is_empty() {
            let h = Block::from(*self.h);
            let mut moved = GHash::new(&h);
            moved.update_padded(aad);
            let exponent = self.length.div_ceil(16).saturating_add(1);
            tag ^= u128::from_be_bytes(multiply(&moved.finalize(), &power(h, exponent)).into());
        }
        (tag ^ u128::from_be_bytes(*self.mask)).to_be_bytes()
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
