//! Key wraps: AES (RFC 3394), and triple-DES (RFC 3217 §3.2), which is only read.

use aes_kw::{KeyInit, KwAes128, KwAes192, KwAes256};
use cbc::Decryptor;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::algorithm::{DigestAlgorithm, KeyWrap};

/// `key`, encrypted with a key-encryption key.
pub(super) fn wrap(with: KeyWrap, kek: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; key.len().checked_add(with.overhead())?];
    match with {
        KeyWrap::Aes128 => KwAes128::new_from_slice(kek)
            .ok()?
            .wrap_key(key, &mut out)
            .ok()?,
        KeyWrap::Aes192 => KwAes192::new_from_slice(kek)
            .ok()?
            .wrap_key(key, &mut out)
            .ok()?,
        KeyWrap::Aes256 => KwAes256::new_from_slice(kek)
            .ok()?
            .wrap_key(key, &mut out)
            .ok()?,
        KeyWrap::Des3 => return None,
    };
    Some(out)
}

/// The key; `None` if it is not one under this key-encryption key.
pub(super) fn unwrap(with: KeyWrap, kek: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let len = wrapped.len().checked_sub(with.overhead())?;
    // RFC 3394 §2: two blocks at least; the crate takes none and one
    if len < 16 {
        return None;
    }
    let mut out = Zeroizing::new(vec![0; len]);
    match with {
        KeyWrap::Aes128 => KwAes128::new_from_slice(kek)
            .ok()?
            .unwrap_key(wrapped, &mut out)
            .ok()?,
        KeyWrap::Aes192 => KwAes192::new_from_slice(kek)
            .ok()?
            .unwrap_key(wrapped, &mut out)
            .ok()?,
        KeyWrap::Aes256 => KwAes256::new_from_slice(kek)
            .ok()?
            .unwrap_key(wrapped, &mut out)
            .ok()?,
        KeyWrap::Des3 => return unwrap_des3(kek, wrapped),
    };
    Some(out)
}

/// The first IV of RFC 3217 §3.1 step 7.
const IV: [u8; 8] = [0x4a, 0xdd, 0xa2, 0x2c, 0x79, 0xe8, 0x21, 0x05];

fn unwrap_des3(kek: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(<[u8; 40]>::try_from(wrapped).ok()?);
    decrypt(kek, &IV, &mut *bytes)?;
    bytes.reverse();
    let (iv, rest) = bytes.split_first_chunk_mut::<8>()?;
    decrypt(kek, iv, rest)?;
    let (key, check) = rest.split_at_checked(24)?;
    let expected = DigestAlgorithm::Sha1.digest(key);
    let right: bool = expected.get(..8)?.ct_eq(check).into();
    right.then(|| Zeroizing::new(key.to_vec()))
}

fn decrypt(kek: &[u8], iv: &[u8; 8], data: &mut [u8]) -> Option<()> {
    let mut mode = Decryptor::<TdesEde3>::new_from_slices(kek, iv).ok()?;
    for block in data.chunks_exact_mut(8) {
        mode.decrypt_block(block.try_into().ok()?);
    }
    Some(())
}
