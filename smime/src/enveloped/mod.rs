//! EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083): AES in CBC and GCM (RFC 3565, RFC 5084), ChaCha20-Poly1305
//! (RFC 8103), and what old mail used, which is only read; keys by RSA, ECDH with NIST curves and X25519, and ML-KEM.
//!
//! `encrypt` is one pass; `decrypt` looks at a message at least twice, so that nothing leaves before it is judged. Private keys
//! are reached through [`crate::KeyOpener`]; key derivation, key unwrap and the bulk cipher are software. Must not decide
//! whom a message may be encrypted to, beyond what a certificate's key and key usage say.

use std::io::Read;
use std::sync::Arc;

use crate::algorithm::Cipher;
use crate::ber::Reader;
use crate::cert::Certificate;
use crate::error::Result;
use crate::mime::{Form, Headers};
use crate::profile::Profile;

mod address;
mod agree;
mod cbc;
mod chacha;
mod decrypt;
mod encrypt;
mod envelope;
mod gcm;
mod kdf;
mod kem;
mod legacy;
mod oaep;
mod open;
mod originator;
mod recipient;
mod wrap;

#[cfg(test)]
mod tests;

pub use decrypt::{decrypt, decrypt_with};
pub use encrypt::{Encryptor, encrypt};
pub(crate) use kdf::Kdf;
pub(crate) use oaep::{hash as oaep_hash, parameters as oaep_parameters};

/// How to encrypt.
#[derive(Clone, Debug)]
pub struct EncryptOptions {
    pub cipher: Cipher,
    /// RSAES-OAEP (RFC 8017 §7.1), with the profile's hash, instead of PKCS#1 v1.5 for RSA recipients
    pub oaep: bool,
    pub format: Form,
    /// what may be written
    pub profile: Arc<Profile>,
}

impl Default for EncryptOptions {
    fn default() -> Self {
        EncryptOptions {
            cipher: Cipher::default(),
            oaep: false,
            format: Form::default(),
            profile: Profile::rfc8551(),
        }
    }
}

/// What was made.
#[derive(Clone, Debug)]
pub struct EncryptResult {
    /// name of the profile it was made by
    pub profile: String,
    pub cipher: Cipher,
    /// certificates it was encrypted to, each counted once
    pub recipients: u32,
}

/// What was opened.
#[derive(Clone, Debug)]
pub struct DecryptOutcome {
    /// `aes256-gcm` …
    pub cipher: String,
    /// whether the cipher authenticates; CBC does not
    pub authenticated: bool,
    /// `rsa-pkcs1`, `rsa-oaep`, `ecdh` or `kem`
    pub key_management: &'static str,
    /// ours, that opened it
    pub certificate: Certificate,
    /// the profile calls the cipher, or how the key was carried, weak
    pub weak: bool,
    /// recipients that the message names, of every kind
    pub recipients: u32,
    /// of the message around the CMS object
    pub headers: Headers,
}

/// Reads a message as far as its encrypted content, for who only wants to know whether that can be done.
///
/// # Errors
/// `NotEncrypted` for CMS of another type, `Malformed`, `LimitExceeded`, `UnsupportedAlgorithm`, those of the input.
pub(crate) fn look(body: impl Read) -> Result<()> {
    envelope::Envelope::read(&mut Reader::new(body), None).map(|_| ())
}

/// Bytes that are encrypted or decrypted at a time.
const BLOCK: usize = 64 << 10;

/// A cipher's output buffer is this much longer than its input: one AES block that was held back.
const SLACK: usize = 16;
