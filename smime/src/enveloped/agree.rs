//! Key agreement after the shared secret (RFC 5753, RFC 8418): a KDF over ECC-CMS-SharedInfo, and a key wrap.

use zeroize::Zeroizing;

use super::kdf::Kdf;
use super::wrap;
use crate::algorithm::KeyWrap;
use crate::ber::{constructed, id, tlv};

/// How a shared secret becomes a key-encryption key.
pub(super) struct Scheme {
    pub(super) kdf: Kdf,
    pub(super) wrap: KeyWrap,
    /// AlgorithmIdentifier of the key wrap in DER, as both sides put it in the SharedInfo
    pub(super) key_info: Vec<u8>,
    pub(super) ukm: Option<Vec<u8>>,
}

impl Scheme {
    /// The content-encryption key, encrypted.
    pub(super) fn wrap(&self, secret: &[u8], key: &[u8]) -> Option<Vec<u8>> {
        wrap::wrap(self.wrap, &self.kek(secret)?, key)
    }

    /// The content-encryption key; `None` if it is not one under this secret.
    pub(super) fn unwrap(&self, secret: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        wrap::unwrap(self.wrap, &self.kek(secret)?, wrapped)
    }

    fn kek(&self, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        // the ukm is HKDF's salt, and in the SharedInfo too (RFC 8418 §2.2)
        let salt = self.ukm.as_deref().unwrap_or_default();
        self.kdf
            .derive(secret, salt, &self.shared_info(), self.wrap.key_len())
    }

    /// ECC-CMS-SharedInfo (RFC 5753 §7.2): keyInfo, entityUInfo from the ukm, suppPubInfo with the key's length in bits.
    fn shared_info(&self) -> Vec<u8> {
        let octets = |tag: u8, value: &[u8]| {
            tlv(id::context_constructed(tag), &tlv(id::OCTET_STRING, value))
        };
        let entity = self
            .ukm
            .as_ref()
            .map(|ukm| octets(0, ukm))
            .unwrap_or_default();
        let bits = (self.wrap.key_len() as u32).saturating_mul(8).to_be_bytes();
        constructed(id::SEQUENCE, &[&self.key_info, &entity, &octets(2, &bits)])
    }
}
