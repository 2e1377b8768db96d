//! AlgorithmIdentifier (RFC 5280 §4.1.1.2) and RSASSA-PSS-params (RFC 4055 §3.1), read strictly.

use const_oid::db;
use der::asn1::ObjectIdentifier;

use crate::algorithm::DigestAlgorithm;
use crate::ber::{Cursor, Tlv, constructed, id, single, tlv};
use crate::error::{Error, Result};

/// An algorithm and its parameters, as they lie in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlgorithmId<'a> {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) parameters: Option<Tlv<'a>>,
}

impl<'a> AlgorithmId<'a> {
    /// From the content of its SEQUENCE.
    pub(crate) fn parse(content: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(content);
        let oid = oid(cursor.expect(id::OID, "algorithm")?.content)?;
        let parameters = cursor.next()?;
        cursor.end("an AlgorithmIdentifier")?;
        Ok(AlgorithmId { oid, parameters })
    }

    /// The two ways of saying that there are no parameters (RFC 5754 §2).
    pub(crate) fn is_plain(&self) -> bool {
        self.parameters.is_none_or(|p| p.whole == [id::NULL, 0])
    }
}

/// An OID from its content octets.
pub(crate) fn oid(content: &[u8]) -> Result<ObjectIdentifier> {
    ObjectIdentifier::from_bytes(content)
        .map_err(|_| Error::malformed("an object identifier that is none"))
}

/// `SEQUENCE { oid }`, or with these parameters.
pub(crate) fn encode(oid: &ObjectIdentifier, parameters: &[u8]) -> Vec<u8> {
    constructed(id::SEQUENCE, &[&tlv(id::OID, oid.as_bytes()), parameters])
}

/// How an RSASSA-PSS signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PssParameters {
    pub(crate) hash: DigestAlgorithm,
    pub(crate) mgf_hash: DigestAlgorithm,
    pub(crate) salt_len: usize,
}

/// Why PSS parameters cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PssError {
    Invalid(&'static str),
    Unsupported(String),
}

impl From<Error> for PssError {
    fn from(_: Error) -> Self {
        PssError::Invalid("the RSASSA-PSS parameters cannot be read")
    }
}

impl PssParameters {
    /// What absent fields mean (RFC 4055 §3.1).
    const DEFAULT: Self = PssParameters {
        hash: DigestAlgorithm::Sha1,
        mgf_hash: DigestAlgorithm::Sha1,
        salt_len: 20,
    };

    /// From the content of their SEQUENCE; `None` stands for the defaults.
    pub(crate) fn parse(parameters: Option<Tlv<'_>>) -> std::result::Result<Self, PssError> {
        let mut all = Self::DEFAULT;
        let Some(parameters) = parameters else {
            return Ok(all);
        };
        if parameters.id != id::SEQUENCE {
            return Err(PssError::Invalid(
                "the RSASSA-PSS parameters are no SEQUENCE",
            ));
        }
        let mut cursor = Cursor::new(parameters.content);
        if let Some(field) = cursor.optional(id::context_constructed(0))? {
            let hash = single(field.content, id::SEQUENCE, "hashAlgorithm")?;
            all.hash = hash_of(&AlgorithmId::parse(hash.content)?)?;
        }
        if let Some(field) = cursor.optional(id::context_constructed(1))? {
            let mask = AlgorithmId::parse(
                single(field.content, id::SEQUENCE, "maskGenAlgorithm")?.content,
            )?;
            if mask.oid != db::rfc5912::ID_MGF_1 {
                return Err(PssError::Unsupported(format!(
                    "RSASSA-PSS with the mask {}",
                    mask.oid
                )));
            }
            match mask.parameters {
                Some(hash) if hash.id == id::SEQUENCE => {
                    all.mgf_hash = hash_of(&AlgorithmId::parse(hash.content)?)?
                }
                _ => return Err(PssError::Invalid("an MGF1 without its hash")),
            }
        }
        if let Some(field) = cursor.optional(id::context_constructed(2))? {
            all.salt_len = small(single(field.content, id::INTEGER, "saltLength")?.content)?;
        }
        if let Some(field) = cursor.optional(id::context_constructed(3))?
            && small(single(field.content, id::INTEGER, "trailerField")?.content)? != 1
        {
            return Err(PssError::Invalid(
                "an RSASSA-PSS trailer that is not defined",
            ));
        }
        cursor.end("RSASSA-PSS parameters")?;
        Ok(all)
    }

    /// As DER, with every field that differs from its default. Hash parameters are NULL (RFC 4055 §2.1: both forms are to be
    /// accepted; NULL is what peers write).
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.hash != DigestAlgorithm::Sha1 {
            out.extend(tlv(
                id::context_constructed(0),
                &encode(&self.hash.oid(), &[id::NULL, 0]),
            ));
        }
        if self.mgf_hash != DigestAlgorithm::Sha1 {
            let mask = encode(
                &db::rfc5912::ID_MGF_1,
                &encode(&self.mgf_hash.oid(), &[id::NULL, 0]),
            );
            out.extend(tlv(id::context_constructed(1), &mask));
        }
        if self.salt_len != 20 {
            let bytes = (self.salt_len as u64).to_be_bytes();
            let digits: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
            let sign: &[u8] = if digits.first().is_none_or(|b| *b >= 0x80) {
                &[0]
            } else {
                &[]
            };
            out.extend(tlv(
                id::context_constructed(2),
                &constructed(id::INTEGER, &[sign, &digits]),
            ));
        }
        tlv(id::SEQUENCE, &out)
    }
}

fn hash_of(algorithm: &AlgorithmId<'_>) -> std::result::Result<DigestAlgorithm, PssError> {
    if !algorithm.is_plain() {
        return Err(PssError::Invalid("a digest with parameters"));
    }
    DigestAlgorithm::from_oid(&algorithm.oid).ok_or_else(|| {
        PssError::Unsupported(format!("RSASSA-PSS with the digest {}", algorithm.oid))
    })
}

/// A minimal INTEGER from 0 to 65535.
fn small(content: &[u8]) -> Result<usize> {
    match *content {
        [low @ 0..=0x7f] => Ok(usize::from(low)),
        [0, low @ 0x80..=0xff] => Ok(usize::from(low)),
        [high @ 1..=0x7f, low] => Ok(usize::from(u16::from_be_bytes([high, low]))),
        [0, high @ 0x80..=0xff, low] => Ok(usize::from(u16::from_be_bytes([high, low]))),
        _ => Err(Error::malformed("a number out of range")),
    }
}
