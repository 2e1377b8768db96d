//! Enhanced security services (RFC 2634, RFC 5035): signed receipts, security labels, mailing-list histories.
//!
//! Here are the attributes' types, read strictly and written in DER, and the rules that need no key. Attributes come from
//! signatures that hold: RFC 2634 §2.3 and §3.2 forbid to act on others. Must not judge certificates.

use der::asn1::ObjectIdentifier;

use crate::algorithm_id::oid;
use crate::ber::{Cursor, Tlv, id, single, tlv};
use crate::error::{Error, Result};

mod check;
mod history;
mod label;
mod receipt;
mod request;

#[cfg(test)]
mod tests;

pub use check::{ReceiptMatch, check_receipt, read_receipt};
pub use history::{EntityIdentifier, MlData, MlReceiptPolicy};
pub use label::{SecurityCategory, SecurityLabel};
pub use receipt::{ID_CT_RECEIPT, Receipt};
pub use request::{ReceiptRequest, ReceiptsFrom, Refusal, Requested, requested};

pub(crate) const RECEIPT_REQUEST: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.1");
pub(crate) const SECURITY_LABEL: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.2");
pub(crate) const ML_EXPANSION_HISTORY: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.3");
pub(crate) const MSG_SIG_DIGEST: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.5");
pub(crate) const CONTENT_IDENTIFIER: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.7");
pub(crate) const EQUIVALENT_LABELS: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.9");
pub(crate) const CONTENT_REFERENCE: ObjectIdentifier = aa("1.2.840.113549.1.9.16.2.10");

const fn aa(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// The name of an attribute that RFC 2634 §1.3.4 wants signed and once (contentIdentifier may be unsigned: it is not among them).
pub(crate) fn signed_only(kind: &ObjectIdentifier) -> Option<&'static str> {
    Some(match *kind {
        RECEIPT_REQUEST => "receiptRequest",
        SECURITY_LABEL => "eSSSecurityLabel",
        ML_EXPANSION_HISTORY => "mlExpansionHistory",
        MSG_SIG_DIGEST => "msgSigDigest",
        EQUIVALENT_LABELS => "equivalentLabels",
        CONTENT_REFERENCE => "contentReference",
        _ => return None,
    })
}

/// What the enhanced services need to know of one SignerInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ess {
    /// The signature value, as a receipt repeats it.
    pub signature: Vec<u8>,
    /// Digests of the signed attributes in the signer's own digest algorithm: as they came and, where that differs, in the order
    /// of DER. What msgSigDigest is compared with; empty without signed attributes, or for a digest that is not known.
    pub attribute_digests: Vec<Vec<u8>>,
    /// Empty unless the signature is valid.
    pub attributes: Attributes,
}

/// The attributes themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub receipt_request: Option<ReceiptRequest>,
    pub security_label: Option<SecurityLabel>,
    pub equivalent_labels: Vec<SecurityLabel>,
    /// The last one is the list that the message passed last; `Some` and empty never happens (SIZE (1..)).
    pub ml_expansion_history: Option<Vec<MlData>>,
    pub msg_sig_digest: Option<Vec<u8>>,
    /// Names of those that are there but cannot be read, each with the reason.
    pub unreadable: Vec<(&'static str, String)>,
}

impl Attributes {
    /// From the content of the SET OF of signed attributes, which has been parsed once: what is wrong with its shape is known.
    pub(crate) fn read(set: &[u8]) -> Self {
        let mut all = Attributes::default();
        let mut cursor = Cursor::new(set);
        while let Ok(Some(attribute)) = cursor.next() {
            let Ok((kind, values)) = split(&attribute) else {
                continue;
            };
            let Some(name) = signed_only(&kind) else {
                continue;
            };
            if let Err(error) = only_value(values).and_then(|value| all.take(&kind, value)) {
                all.unreadable.push((name, error.to_string()));
            }
        }
        all
    }

    /// Whether the label is there, readable or not.
    pub fn is_labelled(&self) -> bool {
        self.security_label.is_some() || self.label_trouble().is_some()
    }

    /// Why the label, or one of its equivalents, cannot be read.
    pub fn label_trouble(&self) -> Option<&str> {
        self.unreadable
            .iter()
            .find(|(name, _)| ["eSSSecurityLabel", "equivalentLabels"].contains(name))
            .map(|(_, why)| why.as_str())
    }

    fn take(&mut self, kind: &ObjectIdentifier, value: Tlv<'_>) -> Result<()> {
        match *kind {
            RECEIPT_REQUEST => self.receipt_request = Some(ReceiptRequest::parse(value.whole)?),
            SECURITY_LABEL => self.security_label = Some(SecurityLabel::parse(value.whole)?),
            ML_EXPANSION_HISTORY => {
                self.ml_expansion_history = Some(history::parse(value.whole)?);
            }
            MSG_SIG_DIGEST => self.msg_sig_digest = Some(octets(value)?),
            EQUIVALENT_LABELS => self.equivalent_labels = label::equivalents(value.whole)?,
            _ => {}
        }
        Ok(())
    }
}

/// What a new signature says besides its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignEss {
    pub receipt_request: Option<ReceiptRequest>,
    pub security_label: Option<SecurityLabel>,
}

impl SignEss {
    /// Types and values (DER) of the signed attributes. A request brings the contentIdentifier that it names (RFC 2634 §2.7).
    pub(crate) fn attributes(&self) -> Result<Vec<(ObjectIdentifier, Vec<u8>)>> {
        let mut all = Vec::new();
        if let Some(request) = &self.receipt_request {
            all.push((RECEIPT_REQUEST, request.to_der()?));
            let identifier = tlv(id::OCTET_STRING, request.content_identifier());
            all.push((CONTENT_IDENTIFIER, identifier));
        }
        if let Some(label) = &self.security_label {
            all.push((SECURITY_LABEL, label.to_der()?));
        }
        Ok(all)
    }
}

/// What the signers of one SignedData say against each other, and what cannot be followed.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) contradictions: Vec<String>,
    pub(crate) reservations: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Findings {
    /// All labels of a SignedData must be identical, and so must all requests (RFC 2634 §1.3.4, §2.3, §3.2).
    pub(crate) fn of<'a>(signers: impl Iterator<Item = &'a Attributes>) -> Self {
        let mut all = Findings::default();
        let signers: Vec<&Attributes> = signers.collect();
        if differ(signers.iter().filter_map(|a| a.security_label.as_ref())) {
            all.contradictions
                .push("its signers put different security labels on it".into());
        }
        if differ(signers.iter().filter_map(|a| a.receipt_request.as_ref())) {
            all.warnings
                .push("its signers ask for different receipts: none can be given".into());
        }
        for attributes in signers {
            if let Some(why) = attributes.label_trouble() {
                all.reservations.push(format!(
                    "it carries a security label that cannot be read ({why})"
                ));
            }
            for (name, why) in &attributes.unreadable {
                all.warnings
                    .push(format!("the attribute {name} cannot be read ({why})"));
            }
        }
        all
    }
}

fn differ<'a, T: PartialEq + 'a>(mut all: impl Iterator<Item = &'a T>) -> bool {
    all.next()
        .is_some_and(|first| all.any(|other| other != first))
}

fn split<'a>(attribute: &Tlv<'a>) -> Result<(ObjectIdentifier, &'a [u8])> {
    let mut cursor = Cursor::new(single(attribute.whole, id::SEQUENCE, "Attribute")?.content);
    let kind = oid(cursor.expect(id::OID, "attrType")?.content)?;
    Ok((kind, cursor.expect(id::SET, "attrValues")?.content))
}

fn only_value(values: &[u8]) -> Result<Tlv<'_>> {
    let mut cursor = Cursor::new(values);
    let value = cursor.next()?.ok_or_else(|| Error::malformed("no value"))?;
    cursor.end("attrValues")?;
    Ok(value)
}

fn octets(value: Tlv<'_>) -> Result<Vec<u8>> {
    Ok(single(value.whole, id::OCTET_STRING, "an OCTET STRING")?
        .content
        .to_vec())
}

/// INTEGER from 0 to `most`.
fn number(content: &[u8], most: u16, what: &'static str) -> Result<u16> {
    let value = match *content {
        [low @ 0..=0x7f] => Some(u16::from(low)),
        [0, low @ 0x80..=0xff] => Some(u16::from(low)),
        [high @ 1..=0x7f, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    };
    value
        .filter(|value| *value <= most)
        .ok_or_else(|| Error::malformed(format!("{what} that is not between 0 and {most}")))
}

/// The elements of a SEQUENCE OF or SET OF, `limit` at most and at least one.
fn elements<'a>(content: &'a [u8], limit: usize, what: &'static str) -> Result<Vec<Tlv<'a>>> {
    let mut all = Vec::new();
    let mut cursor = Cursor::new(content);
    while let Some(element) = cursor.next()? {
        if all.len() >= limit {
            return Err(Error::LimitExceeded {
                what,
                limit: limit as u64,
            });
        }
        all.push(element);
    }
    if all.is_empty() {
        return Err(Error::malformed(format!("no {what}")));
    }
    Ok(all)
}
