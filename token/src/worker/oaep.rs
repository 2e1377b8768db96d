//! Choosing between what came out of a wrapped key and a random substitute, without telling which (RFC 3218 §2.3.2), and
//! EME-OAEP decoding for tokens whose own lacks the hash.
//!
//! No branch and no index here depends on a decrypted byte.

use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::Hash;

/// `block`'s last `substitute.len()` bytes if `good`, else `substitute`. A block that is shorter is not good.
pub(super) fn select(good: Choice, block: &[u8], substitute: &mut Zeroizing<Vec<u8>>) {
    let Some(found) = block
        .len()
        .checked_sub(substitute.len())
        .and_then(|start| block.get(start..))
    else {
        return;
    };
    for (out, byte) in substitute.iter_mut().zip(found) {
        out.conditional_assign(byte, good);
    }
}

/// RFC 8017 §7.1.2 step 3, for a message whose length is known: wipes the mask off `block` in place and tells whether it is
/// `0 ‖ seed ‖ lHash ‖ 0… ‖ 1 ‖ M` with M of `len` bytes, which are then the last of it.
pub(super) fn decode(block: &mut [u8], hash: Hash, mgf: Hash, label: &[u8], len: usize) -> Choice {
    let hash_len = hash.digest_len();
    let Some((first, rest)) = block.split_first_mut() else {
        return Choice::from(0);
    };
    let Some((seed, data)) = rest.split_at_mut_checked(hash_len) else {
        return Choice::from(0);
    };
    // the shortest block for such a message: lengths are public
    if data.len() < hash_len.saturating_add(1).saturating_add(len) {
        return Choice::from(0);
    }
    mask(seed, data, mgf);
    mask(data, seed, mgf);
    let (label_hash, padded) = data.split_at(hash_len);
    let mut good = first.ct_eq(&0) & label_hash.ct_eq(&digest(hash, &[label]));
    let zeros = padded.len().saturating_sub(len).saturating_sub(1);
    for (at, byte) in padded.iter().enumerate() {
        if at < zeros {
            good &= byte.ct_eq(&0);
        } else if at == zeros {
            good &= byte.ct_eq(&1);
        }
    }
    good
}

/// MGF1 (RFC 8017 §B.2.1) of `seed`, exclusive-or'ed into `target`.
fn mask(target: &mut [u8], seed: &[u8], hash: Hash) {
    for (counter, chunk) in (0_u32..).zip(target.chunks_mut(hash.digest_len())) {
        let block = digest(hash, &[seed, &counter.to_be_bytes()]);
        for (byte, mask) in chunk.iter_mut().zip(block.iter()) {
            *byte ^= mask;
        }
    }
}

fn digest(hash: Hash, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    fn with<D: Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        let mut digest = D::new();
        for part in parts {
            digest.update(part);
        }
        Zeroizing::new(digest.finalize().to_vec())
    }
    match hash {
        Hash::Sha1 => with::<Sha1>(parts),
        Hash::Sha224 => with::<Sha224>(parts),
        Hash::Sha256 => with::<Sha256>(parts),
        Hash::Sha384 => with::<Sha384>(parts),
        Hash::Sha512 => with::<Sha512>(parts),
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]
mod wycheproof;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    /// EME-OAEP encoding (RFC 8017 §7.1.1 step 2) with a fixed seed.
    fn encode(message: &[u8], hash: Hash, mgf: Hash, label: &[u8], size: usize) -> Vec<u8> {
        let hash_len = hash.digest_len();
        let mut data = digest(hash, &[label]).to_vec();
        data.resize(size - hash_len - 1 - message.len() - 1, 0);
        data.push(1);
        data.extend_from_slice(message);
        let mut seed = vec![0x5a; hash_len];
        mask(&mut data, &seed, mgf);
        mask(&mut seed, &data, mgf);
        [vec![0], seed, data].concat()
    }

    #[test]
    fn only_the_right_block_of_the_right_length_is_good() {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512] {
            let key = [9; 32];
            let block = encode(&key, hash, Hash::Sha1, b"label", 256);
            let decoded = |label: &[u8], len: usize, flip: usize| {
                let mut block = block.clone();
                block[flip] ^= u8::from(flip != 1000);
                let good = decode(&mut block, hash, Hash::Sha1, label, len);
                let mut key = Zeroizing::new(vec![0; len]);
                select(good, &block, &mut key);
                (bool::from(good), key.to_vec())
            };
            let mut block = block.clone();
            assert!(bool::from(decode(
                &mut block,
                hash,
                Hash::Sha1,
                b"label",
                32
            )));
            assert_eq!(&block[224..], key);
            for at in 0..224 {
                let (good, key) = decoded(b"label", 32, at);
                assert!(!good, "byte {at}");
                assert_eq!(key, [0; 32], "the substitute");
            }
            assert!(!decoded(b"other", 32, 255).0);
            for len in [0, 16, 31, 33, 128, 256] {
                assert!(!decoded(b"label", len, 255).0, "length {len}");
            }
        }
    }

    #[test]
    fn blocks_too_short_for_anything_are_not_good() {
        for size in 0..66 {
            let mut block = vec![0; size];
            assert!(!bool::from(decode(
                &mut block,
                Hash::Sha256,
                Hash::Sha256,
                b"",
                0
            )));
        }
    }
}
