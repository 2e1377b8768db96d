//! ML-KEM recipients: KEMRecipientInfo (RFC 9629) as RFC 9936 uses it.

use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use super::kdf::{HKDF_SHA256, Kdf};
use super::recipient::{issuer_and_serial, version, wrap_of, wrapped_key};
use super::{address, wrap};
use crate::algorithm::{DigestAlgorithm, KeyWrap};
use crate::algorithm_id::{AlgorithmId, encode, oid};
use crate::ber::{Cursor, constructed, id, single, tlv};
use crate::cert::{Certificate, KeyType, MlKem};
use crate::error::{Error, Result};
use crate::key::RecipientId;
use crate::profile::{KeyProtection, Profile};

/// id-ori-kem (RFC 9629 §3).
const ORI_KEM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.13.3");
/// User keying material, bytes.
const UKM: usize = 4096;

/// A content-encryption key behind an encapsulated secret.
#[derive(Clone)]
pub(super) struct Encapsulated {
    kem: ObjectIdentifier,
    pub(super) ciphertext: Vec<u8>,
    pub(super) kdf: Kdf,
    pub(super) wrap: KeyWrap,
    /// CMSORIforKEMOtherInfo, DER
    info: Vec<u8>,
    pub(super) encrypted_key: Vec<u8>,
}

impl Encapsulated {
    /// Whether a key of this kind can open it.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn is_for(&self, key_type: KeyType) -> Result<()> {
        match key_type {
            KeyType::MlKem(set) if set.oid() != self.kem => {}
            KeyType::MlKem(set) if set.ciphertext_len() != self.ciphertext.len() => {
                return Err(Error::malformed("an ML-KEM ciphertext of the wrong length"));
            }
            KeyType::MlKem(_) => return Ok(()),
            _ => {}
        }
        Err(Error::UnsupportedAlgorithm(format!(
            "key encapsulation {} with a key of type {key_type}",
            self.kem
        )))
    }

    /// The content-encryption key; `None` if it is not one under this secret.
    pub(super) fn unwrap(&self, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let kek = self
            .kdf
            .derive(secret, &[], &self.info, self.wrap.key_len())?;
        wrap::unwrap(self.wrap, &kek, &self.encrypted_key)
    }
}

/// Whom an OtherRecipientInfo (in its `[4]`) means, and what it has for them or why that cannot be followed, which matters to nobody
/// else. `None` for other kinds than KEM.
pub(super) fn parse(element: &[u8]) -> Result<Option<(RecipientId, Result<Encapsulated>)>> {
    let content = single(element, id::context_constructed(4), "OtherRecipientInfo")?.content;
    let mut other = Cursor::new(content);
    if oid(other.expect(id::OID, "oriType")?.content)? != ORI_KEM {
        return Ok(None);
    }
    let mut cursor = Cursor::new(other.expect(id::SEQUENCE, "KEMRecipientInfo")?.content);
    other.end("an OtherRecipientInfo")?;
    version(&mut cursor)?;
    let recipient = match cursor.next()? {
        Some(name) if name.id == id::SEQUENCE => issuer_and_serial(name)?,
        Some(ski) if ski.id == id::context(0) => RecipientId::Ski(ski.content.to_vec()),
        _ => return Err(Error::malformed("a KEMRecipientInfo without a recipient")),
    };
    Ok(Some((recipient, encapsulated(cursor))))
}

/// The fields of a KEMRecipientInfo after its recipient.
fn encapsulated(mut fields: Cursor<'_>) -> Result<Encapsulated> {
    let kem = AlgorithmId::parse(fields.expect(id::SEQUENCE, "kem")?.content)?;
    let ciphertext = fields.expect(id::OCTET_STRING, "kemct")?.content;
    let kdf = AlgorithmId::parse(fields.expect(id::SEQUENCE, "kdf")?.content)?;
    let kek_length = fields.expect(id::INTEGER, "kekLength")?;
    let ukm = fields.optional(id::context_constructed(0))?;
    let wrap_id = fields.expect(id::SEQUENCE, "wrap")?;
    let encrypted_key = wrapped_key(&mut fields)?;
    fields.end("a KEMRecipientInfo")?;

    if !kem.is_plain() {
        return Err(Error::malformed("a key encapsulation with parameters"));
    }
    if let Some(ukm) = ukm
        && single(ukm.content, id::OCTET_STRING, "ukm")?.content.len() > UKM
    {
        return Err(Error::LimitExceeded {
            what: "bytes of user keying material",
            limit: UKM as u64,
        });
    }
    if !kdf.is_plain() {
        return Err(Error::malformed("a key derivation with parameters"));
    }
    let function = Kdf::from_oid(&kdf.oid)
        .ok_or_else(|| Error::UnsupportedAlgorithm(format!("key derivation {}", kdf.oid)))?;
    let wrap = wrap_of(&AlgorithmId::parse(wrap_id.content)?)?;
    if small(kek_length.content) != wrap.key_len() as u64 {
        return Err(Error::malformed("a kekLength that is not its key wrap's"));
    }
    let ukm = ukm.map(|ukm| ukm.whole).unwrap_or_default();
    Ok(Encapsulated {
        kem: kem.oid,
        ciphertext: ciphertext.to_vec(),
        kdf: function,
        wrap,
        info: constructed(id::SEQUENCE, &[wrap_id.whole, kek_length.whole, ukm]),
        encrypted_key,
    })
}

/// A one-byte INTEGER; key lengths are no longer.
fn small(content: &[u8]) -> u64 {
    match content {
        [value @ ..=0x7f] => u64::from(*value),
        _ => u64::MAX,
    }
}

/// The RecipientInfo that carries `key` to the owner of this ML-KEM certificate (RFC 9936 §2.1: HKDF with SHA-256 and AES key wrap).
pub(super) fn recipient_info(
    certificate: &Certificate,
    set: MlKem,
    key: &[u8],
    profile: &Profile,
) -> Result<Vec<u8>> {
    let failed = || address::unusable(certificate, "an ML-KEM key that cannot be used");
    let algorithm = match set {
        MlKem::MlKem512 => &ML_KEM_512,
        MlKem::MlKem768 => &ML_KEM_768,
        MlKem::MlKem1024 => &ML_KEM_1024,
    };
    let wrap = match set {
        MlKem::MlKem512 => KeyWrap::for_key_len(key.len()),
        // no weaker than the encapsulation (RFC 9936 §2.1)
        MlKem::MlKem768 | MlKem::MlKem1024 => KeyWrap::Aes256,
    };
    let kdf = Kdf::Hkdf(DigestAlgorithm::Sha256);
    address::check(certificate, KeyProtection::Kem(kdf, wrap), profile)?;
    let spki = certificate
        .parsed()
        .tbs_certificate()
        .subject_public_key_info();
    let public = spki.subject_public_key.as_bytes().ok_or_else(failed)?;
    let public = EncapsulationKey::new(algorithm, public).map_err(|_| failed())?;
    let (ciphertext, secret) = public.encapsulate().map_err(|_| failed())?;

    let wrap_id = encode(&wrap.oid(), &[]);
    let kek_length = [id::INTEGER, 1, u8::try_from(wrap.key_len()).unwrap_or(0)];
    let info = constructed(id::SEQUENCE, &[&wrap_id, &kek_length]);
    let kek = kdf
        .derive(secret.as_ref(), &[], &info, wrap.key_len())
        .ok_or_else(failed)?;
    let wrapped = wrap::wrap(wrap, &kek, key).ok_or_else(failed)?;
    let kem = constructed(
        id::SEQUENCE,
        &[
            &[id::INTEGER, 1, 0],
            &address::issuer_and_serial(certificate),
            &encode(&set.oid(), &[]),
            &tlv(id::OCTET_STRING, ciphertext.as_ref()),
            &encode(&HKDF_SHA256, &[]),
            &kek_length,
            &wrap_id,
            &tlv(id::OCTET_STRING, &wrapped),
        ],
    );
    Ok(constructed(
        id::context_constructed(4),
        &[&tlv(id::OID, ORI_KEM.as_bytes()), &kem],
    ))
}
