//! RSAES-OAEP-params (RFC 4055 §4.1).

use const_oid::db::rfc5912::{ID_MGF_1, ID_P_SPECIFIED};

use crate::algorithm::DigestAlgorithm;
use crate::algorithm_id::{AlgorithmId, encode};
use crate::ber::{Cursor, Tlv, constructed, id, single, tlv};
use crate::error::{Error, Result};
use crate::key::RsaPadding;

/// A label longer than this is refused, bytes.
const LABEL: usize = 256;

/// What the parameters say. Absent fields have their defaults (SHA-1, MGF1 with SHA-1, no label); the parameters themselves must
/// be there.
pub(super) fn parse(parameters: Option<Tlv<'_>>) -> Result<RsaPadding> {
    let Some(Tlv {
        id: id::SEQUENCE,
        content,
        ..
    }) = parameters
    else {
        return Err(Error::malformed("RSAES-OAEP without its parameters"));
    };
    let mut hash = DigestAlgorithm::Sha1;
    let mut mgf = DigestAlgorithm::Sha1;
    let mut label = Vec::new();
    let mut cursor = Cursor::new(content);
    if let Some(field) = cursor.optional(id::context_constructed(0))? {
        hash = digest(field.content)?;
    }
    if let Some(field) = cursor.optional(id::context_constructed(1))? {
        let mask = AlgorithmId::parse(single(field.content, id::SEQUENCE, "maskGenFunc")?.content)?;
        if mask.oid != ID_MGF_1 {
            return Err(Error::UnsupportedAlgorithm(format!(
                "RSAES-OAEP with the mask {}",
                mask.oid
            )));
        }
        let of = mask
            .parameters
            .ok_or_else(|| Error::malformed("an MGF1 without its hash"))?;
        mgf = digest(of.whole)?;
    }
    if let Some(field) = cursor.optional(id::context_constructed(2))? {
        let source =
            AlgorithmId::parse(single(field.content, id::SEQUENCE, "pSourceFunc")?.content)?;
        if source.oid != ID_P_SPECIFIED {
            return Err(Error::UnsupportedAlgorithm(format!(
                "RSAES-OAEP with the label source {}",
                source.oid
            )));
        }
        let value = source.parameters.filter(|p| p.id == id::OCTET_STRING);
        label = value
            .ok_or_else(|| Error::malformed("an OAEP label that is no OCTET STRING"))?
            .content
            .to_vec();
        if label.len() > LABEL {
            return Err(Error::LimitExceeded {
                what: "bytes in an OAEP label",
                limit: LABEL as u64,
            });
        }
    }
    cursor.end("RSAES-OAEP parameters")?;
    Ok(RsaPadding::Oaep { hash, mgf, label })
}

fn digest(whole: &[u8]) -> Result<DigestAlgorithm> {
    let algorithm = AlgorithmId::parse(single(whole, id::SEQUENCE, "hash algorithm")?.content)?;
    if !algorithm.is_plain() {
        return Err(Error::malformed("a digest with parameters"));
    }
    DigestAlgorithm::from_oid(&algorithm.oid).ok_or_else(|| {
        Error::UnsupportedAlgorithm(format!("RSAES-OAEP with the digest {}", algorithm.oid))
    })
}

/// The hash that the parameters name.
pub(crate) fn hash(parameters: Option<Tlv<'_>>) -> Option<DigestAlgorithm> {
    match parse(parameters) {
        Ok(RsaPadding::Oaep { hash, .. }) => Some(hash),
        _ => None,
    }
}

/// One digest for hash and mask, no label.
pub(crate) fn parameters(digest: DigestAlgorithm) -> Vec<u8> {
    let hash = encode(&digest.oid(), &[id::NULL, 0]);
    let mask = encode(&ID_MGF_1, &hash);
    let field = |tag: u8, value: &[u8]| tlv(id::context_constructed(tag), value);
    constructed(id::SEQUENCE, &[&field(0, &hash), &field(1, &mask)])
}
