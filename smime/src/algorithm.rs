//! Digests, ciphers, key wraps and signature schemes by their object identifiers and by their names.

use std::fmt;

use const_oid::db;
use der::asn1::ObjectIdentifier;

use crate::error::{Error, Result};

mod digest;
mod signature;

pub use digest::{DigestAlgorithm, Digests, Hashers};
pub(crate) use signature::ecdsa_oid;
pub use signature::{MlDsa, SignatureScheme};

/// A content cipher: CBC modes belong in EnvelopedData, authenticating ciphers in AuthEnvelopedData.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cipher {
    Aes128Cbc,
    Aes192Cbc,
    Aes256Cbc,
    Aes128Gcm,
    Aes192Gcm,
    #[default]
    Aes256Gcm,
    /// RFC 8103
    ChaCha20Poly1305,
    /// Read only (RFC 3370 §5.1).
    DesEde3Cbc,
    /// Read only: 128 effective bits (RFC 3370 §5.2).
    Rc2Cbc,
    /// Read only: 64 effective bits.
    Rc264Cbc,
    /// Read only: 40 effective bits.
    Rc240Cbc,
}

impl Cipher {
    pub(crate) const ALL: [Self; 11] = [
        Self::Aes128Cbc,
        Self::Aes192Cbc,
        Self::Aes256Cbc,
        Self::Aes128Gcm,
        Self::Aes192Gcm,
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
        Self::DesEde3Cbc,
        Self::Rc2Cbc,
        Self::Rc264Cbc,
        Self::Rc240Cbc,
    ];

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Aes128Cbc => db::rfc5911::ID_AES_128_CBC,
            Self::Aes192Cbc => db::rfc5911::ID_AES_192_CBC,
            Self::Aes256Cbc => db::rfc5911::ID_AES_256_CBC,
            Self::Aes128Gcm => db::rfc5911::ID_AES_128_GCM,
            Self::Aes192Gcm => db::rfc5911::ID_AES_192_GCM,
            Self::Aes256Gcm => db::rfc5911::ID_AES_256_GCM,
            Self::ChaCha20Poly1305 => AEAD_CHACHA20_POLY1305,
            Self::DesEde3Cbc => DES_EDE3_CBC,
            Self::Rc2Cbc | Self::Rc264Cbc | Self::Rc240Cbc => RC2_CBC,
        }
    }

    /// By OID; RC2's says nothing about the effective bits, which are in its parameters.
    pub fn from_oid(oid: &ObjectIdentifier) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|c| c.oid() == *oid)
            .ok_or_else(|| Error::UnsupportedAlgorithm(format!("content cipher {oid}")))
    }

    /// `aes256-gcm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Cbc => "aes128-cbc",
            Self::Aes192Cbc => "aes192-cbc",
            Self::Aes256Cbc => "aes256-cbc",
            Self::Aes128Gcm => "aes128-gcm",
            Self::Aes192Gcm => "aes192-gcm",
            Self::Aes256Gcm => "aes256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::DesEde3Cbc => "des-ede3-cbc",
            Self::Rc2Cbc => "rc2-cbc",
            Self::Rc264Cbc => "rc2-64-cbc",
            Self::Rc240Cbc => "rc2-40-cbc",
        }
    }

    /// By name; which may be used, a profile says.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|c| c.name().eq_ignore_ascii_case(name))
    }

    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm => 16,
            Self::Aes192Cbc | Self::Aes192Gcm | Self::DesEde3Cbc => 24,
            Self::Aes256Cbc | Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
            Self::Rc2Cbc => 16,
            Self::Rc264Cbc => 8,
            Self::Rc240Cbc => 5,
        }
    }

    pub fn is_authenticated(self) -> bool {
        matches!(
            self,
            Self::Aes128Gcm | Self::Aes192Gcm | Self::Aes256Gcm | Self::ChaCha20Poly1305
        )
    }

    /// There is nothing here to write it with.
    pub fn is_only_read(self) -> bool {
        matches!(
            self,
            Self::DesEde3Cbc | Self::Rc2Cbc | Self::Rc264Cbc | Self::Rc240Cbc
        )
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// id-alg-AEADChaCha20Poly1305 (RFC 8103 §1.1).
const AEAD_CHACHA20_POLY1305: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.3.18");
/// des-ede3-cbc and rc2-cbc (RFC 3370 §5).
const DES_EDE3_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.3.7");
const RC2_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.3.2");
/// id-alg-CMS3DESwrap (RFC 3370 §4.3.1).
const CMS_3DES_WRAP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.3.6");

/// AES key wrap (RFC 3394) by the length of its key, and an older one that is only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWrap {
    Aes128,
    Aes192,
    Aes256,
    /// Triple-DES key wrap (RFC 3217 §3), for 3DES keys only.
    Des3,
}

impl KeyWrap {
    pub(crate) const ALL: [Self; 4] = [Self::Aes128, Self::Aes192, Self::Aes256, Self::Des3];

    pub fn from_oid(oid: &ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.oid() == *oid)
    }

    /// `aes128-wrap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128 => "aes128-wrap",
            Self::Aes192 => "aes192-wrap",
            Self::Aes256 => "aes256-wrap",
            Self::Des3 => "des-ede3-wrap",
        }
    }

    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Aes128 => db::rfc5911::ID_AES_128_WRAP,
            Self::Aes192 => db::rfc5911::ID_AES_192_WRAP,
            Self::Aes256 => db::rfc5911::ID_AES_256_WRAP,
            Self::Des3 => CMS_3DES_WRAP,
        }
    }

    /// The wrap as strong as the key it wraps.
    pub fn for_key_len(len: usize) -> Self {
        match len {
            0..=16 => Self::Aes128,
            17..=24 => Self::Aes192,
            _ => Self::Aes256,
        }
    }

    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::Des3 => 24,
            Self::Aes256 => 32,
        }
    }

    /// Bytes that a wrapped key is longer than the key.
    pub fn overhead(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 8,
            Self::Des3 => 16,
        }
    }
}

impl fmt::Display for KeyWrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
