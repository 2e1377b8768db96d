//! CBC with the 64-bit ciphers of old mail, to be read only: 3DES (RFC 3370 §5.1) and RC2 (§5.2).

use cbc::Decryptor;
use cbc::cipher::{BlockModeDecrypt, InnerIvInit, KeyIvInit};
use des::TdesEde3;
use rc2::Rc2;
use zeroize::Zeroizing;

use crate::algorithm::Cipher;
use crate::error::{Error, Result};

/// Bytes of one block.
pub(super) const BLOCK: usize = 8;

pub(super) struct LegacyDecryptor {
    mode: Mode,
    /// Ciphertext that may be the last block: its padding is looked at when the end is there.
    held: Vec<u8>,
}

enum Mode {
    Des3(Box<Decryptor<TdesEde3>>),
    Rc2(Box<Decryptor<Rc2>>),
}

impl LegacyDecryptor {
    pub(super) fn new(cipher: Cipher, key: &[u8], iv: &[u8]) -> Result<Self> {
        let wrong = |_| Error::DecryptionFailed;
        let mode = match cipher {
            Cipher::DesEde3Cbc => Mode::Des3(Box::new(
                Decryptor::new_from_slices(key, iv).map_err(wrong)?,
            )),
            _ if (1..=128).contains(&key.len()) => {
                // as many effective bits as the key has, in all three kinds
                let rc2 = Rc2::new_with_eff_key_len(key, key.len().saturating_mul(8));
                Mode::Rc2(Box::new(
                    Decryptor::inner_iv_slice_init(rc2, iv).map_err(wrong)?,
                ))
            }
            _ => return Err(Error::DecryptionFailed),
        };
        Ok(LegacyDecryptor {
            mode,
            held: Vec::new(),
        })
    }

    /// Decrypts into `out`, [`super::SLACK`] bytes longer than `data`; says how many bytes are there.
    pub(super) fn update(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize> {
        self.held.extend_from_slice(data);
        let last = self.held.len().saturating_sub(1);
        let ready = last.saturating_sub(last % BLOCK);
        let (Some(out), Some(whole)) = (out.get_mut(..ready), self.held.get(..ready)) else {
            return Err(Error::DecryptionFailed);
        };
        out.copy_from_slice(whole);
        self.mode.decrypt(out);
        self.held.drain(..ready);
        Ok(ready)
    }

    /// What is left before the padding.
    pub(super) fn finish(mut self, out: &mut [u8]) -> Result<usize> {
        let mut block: Zeroizing<[u8; BLOCK]> = Zeroizing::new(
            self.held
                .as_slice()
                .try_into()
                .map_err(|_| Error::DecryptionFailed)?,
        );
        self.mode.decrypt(&mut *block);
        let padding = block.last().copied().map_or(0, usize::from);
        let (text, rest) = block
            .split_at_checked(BLOCK.wrapping_sub(padding))
            .ok_or(Error::DecryptionFailed)?;
        if rest.is_empty() || rest.iter().any(|b| usize::from(*b) != padding) {
            return Err(Error::DecryptionFailed);
        }
        out.get_mut(..text.len())
            .ok_or(Error::DecryptionFailed)?
            .copy_from_slice(text);
        Ok(text.len())
    }
}

impl Mode {
    /// Whole blocks, in place.
    fn decrypt(&mut self, data: &mut [u8]) {
        match self {
            Mode::Des3(mode) => {
                for block in data.chunks_exact_mut(BLOCK) {
                    if let Ok(block) = block.try_into() {
                        mode.decrypt_block(block);
                    }
                }
            }
            Mode::Rc2(mode) => {
                for block in data.chunks_exact_mut(BLOCK) {
                    if let Ok(block) = block.try_into() {
                        mode.decrypt_block(block);
                    }
                }
            }
        }
    }
}
