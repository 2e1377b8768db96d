//! RSASSA-PSS verification (RFC 8017 §8.1.2, §9.1.2) where mask and message may have different digests.

use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PublicKey};

use crate::algorithm::DigestAlgorithm;

/// Digests and salt length of one signature.
#[derive(Clone, Copy)]
pub(super) struct Pss {
    pub(super) digest: DigestAlgorithm,
    pub(super) mgf: DigestAlgorithm,
    pub(super) salt_len: usize,
}

/// Whether `signature` is over this digest. `None` is a no, too.
pub(super) fn verify(key: &PublicKey, pss: Pss, digest: &[u8], signature: &[u8]) -> Option<bool> {
    let bits = usize::try_from(key.n().bit_width()).ok()?;
    let encoded = public_operation(key, signature)?;
    // the encoded message has one bit less than the modulus: a byte less where that byte would be empty
    let em_bits = bits.checked_sub(1)?;
    let em_len = em_bits.div_ceil(8);
    let (above, em) = encoded.split_at_checked(encoded.len().checked_sub(em_len)?)?;
    let unused = em_len.checked_mul(8)?.checked_sub(em_bits)?;
    let mask_of_unused = 0xffu8.checked_shr(u32::try_from(unused).ok()?)?;

    let (body, trailer) = em.split_at_checked(em_len.checked_sub(1)?)?;
    let db_len = body.len().checked_sub(pss.digest.len())?;
    let (masked, hash) = body.split_at_checked(db_len)?;
    if above.iter().any(|b| *b != 0) || trailer != [0xbc] || masked.first()? & !mask_of_unused != 0
    {
        return None;
    }
    let mut db: Vec<u8> = masked
        .iter()
        .zip(mgf1(pss.mgf, hash, db_len))
        .map(|(a, b)| a ^ b)
        .collect();
    *db.first_mut()? &= mask_of_unused;
    let (padding, salt) = db.split_at_checked(db_len.checked_sub(pss.salt_len)?)?;
    let (one, zeros) = padding.split_last()?;
    if *one != 1 || zeros.iter().any(|b| *b != 0) {
        return None;
    }
    let mut hasher = pss.digest.hasher();
    hasher.update(&[0; 8]);
    hasher.update(digest);
    hasher.update(salt);
    Some(*hasher.finalize() == *hash)
}

/// RSAVP1 (RFC 8017 §5.2.2) of a signature as long as the modulus; the result is as long.
fn public_operation(key: &PublicKey, signature: &[u8]) -> Option<Vec<u8>> {
    let len = key.size();
    if signature.len() != len {
        return None;
    }
    let number = BoxedUint::from_be_slice(signature, key.n_bits_precision()).ok()?;
    if number >= *key.n().as_ref() {
        return None;
    }
    let result = rsa::hazmat::rsa_encrypt(key, &number).ok()?;
    let bytes = result.to_be_bytes();
    let (above, low) = bytes.split_at_checked(bytes.len().checked_sub(len)?)?;
    above.iter().all(|b| *b == 0).then(|| low.to_vec())
}

/// MGF1 (RFC 8017 §B.2.1).
fn mgf1(digest: DigestAlgorithm, seed: &[u8], len: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(len.saturating_add(digest.len()));
    for counter in 0u32.. {
        if mask.len() >= len {
            break;
        }
        let mut hasher = digest.hasher();
        hasher.update(seed);
        hasher.update(&counter.to_be_bytes());
        mask.extend_from_slice(&hasher.finalize());
    }
    mask.truncate(len);
    mask
}
