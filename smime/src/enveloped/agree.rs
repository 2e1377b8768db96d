//! Key agreement after the shared secret (RFC 5753): X9.63 key derivation over ECC-CMS-SharedInfo, and AES key wrap (RFC 3394).

use aes_kw::{KeyInit, KwAes128, KwAes192, KwAes256};
use ansi_x963_kdf::derive_key_into;
use const_oid::db::rfc5753;
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use crate::algorithm::{DigestAlgorithm, KeyWrap};
use crate::ber::{constructed, id, tlv};

/// dhSinglePass-cofactorDH schemes: the same as stdDH here, since the cofactor of these curves is 1 (SEC 1 §3.3.2).
const COFACTOR: [(ObjectIdentifier, DigestAlgorithm); 5] = [
    (
        ObjectIdentifier::new_unwrap("1.3.133.16.840.63.0.3"),
        DigestAlgorithm::Sha1,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.132.1.14.0"),
        DigestAlgorithm::Sha224,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.132.1.14.1"),
        DigestAlgorithm::Sha256,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.132.1.14.2"),
        DigestAlgorithm::Sha384,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.132.1.14.3"),
        DigestAlgorithm::Sha512,
    ),
];

/// dhSinglePass-stdDH with this digest in its KDF (RFC 5753 §7.1.4).
pub(super) fn scheme_oid(kdf: DigestAlgorithm) -> ObjectIdentifier {
    match kdf {
        DigestAlgorithm::Sha1 => rfc5753::DH_SINGLE_PASS_STD_DH_SHA_1_KDF_SCHEME,
        DigestAlgorithm::Sha224 => rfc5753::DH_SINGLE_PASS_STD_DH_SHA_224_KDF_SCHEME,
        DigestAlgorithm::Sha256 => rfc5753::DH_SINGLE_PASS_STD_DH_SHA_256_KDF_SCHEME,
        DigestAlgorithm::Sha384 => rfc5753::DH_SINGLE_PASS_STD_DH_SHA_384_KDF_SCHEME,
        DigestAlgorithm::Sha512 => rfc5753::DH_SINGLE_PASS_STD_DH_SHA_512_KDF_SCHEME,
    }
}

/// The digest of a scheme's KDF; `None` for schemes that are no one-pass ECDH (MQV).
pub(super) fn scheme_kdf(oid: &ObjectIdentifier) -> Option<DigestAlgorithm> {
    use DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
    let standard = [Sha1, Sha224, Sha256, Sha384, Sha512].map(|kdf| (scheme_oid(kdf), kdf));
    standard
        .into_iter()
        .chain(COFACTOR)
        .find(|(scheme, _)| scheme == oid)
        .map(|(_, kdf)| kdf)
}

/// How a shared secret becomes a key-encryption key.
pub(super) struct Scheme {
    pub(super) kdf: DigestAlgorithm,
    pub(super) wrap: KeyWrap,
    /// AlgorithmIdentifier of the key wrap in DER, as both sides put it in the SharedInfo
    pub(super) key_info: Vec<u8>,
    pub(super) ukm: Option<Vec<u8>>,
}

impl Scheme {
    /// The content-encryption key, encrypted.
    pub(super) fn wrap(&self, secret: &[u8], key: &[u8]) -> Option<Vec<u8>> {
        let kek = self.kek(secret)?;
        let mut out = vec![0; key.len().checked_add(aes_kw::IV_LEN)?];
        match self.wrap {
            KeyWrap::Aes128 => KwAes128::new_from_slice(&kek)
                .ok()?
                .wrap_key(key, &mut out)
                .ok()?,
            KeyWrap::Aes192 => KwAes192::new_from_slice(&kek)
                .ok()?
                .wrap_key(key, &mut out)
                .ok()?,
            KeyWrap::Aes256 => KwAes256::new_from_slice(&kek)
                .ok()?
                .wrap_key(key, &mut out)
                .ok()?,
        };
        Some(out)
    }

    /// The content-encryption key; `None` if it is not one under this secret.
    pub(super) fn unwrap(&self, secret: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let kek = self.kek(secret)?;
        let mut out = Zeroizing::new(vec![0; wrapped.len().checked_sub(aes_kw::IV_LEN)?]);
        match self.wrap {
            KeyWrap::Aes128 => KwAes128::new_from_slice(&kek)
                .ok()?
                .unwrap_key(wrapped, &mut out)
                .ok()?,
            KeyWrap::Aes192 => KwAes192::new_from_slice(&kek)
                .ok()?
                .unwrap_key(wrapped, &mut out)
                .ok()?,
            KeyWrap::Aes256 => KwAes256::new_from_slice(&kek)
                .ok()?
                .unwrap_key(wrapped, &mut out)
                .ok()?,
        };
        Some(out)
    }

    fn kek(&self, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let info = self.shared_info();
        let mut kek = Zeroizing::new(vec![0; self.wrap.key_len()]);
        match self.kdf {
            DigestAlgorithm::Sha1 => derive_key_into::<sha1::Sha1>(secret, &info, &mut kek),
            DigestAlgorithm::Sha224 => derive_key_into::<sha2::Sha224>(secret, &info, &mut kek),
            DigestAlgorithm::Sha256 => derive_key_into::<sha2::Sha256>(secret, &info, &mut kek),
            DigestAlgorithm::Sha384 => derive_key_into::<sha2::Sha384>(secret, &info, &mut kek),
            DigestAlgorithm::Sha512 => derive_key_into::<sha2::Sha512>(secret, &info, &mut kek),
        }
        .ok()?;
        Some(kek)
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
