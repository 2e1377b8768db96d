//! mlExpansionHistory (RFC 2634 §4): which mailing lists a message passed, and what they say about receipts.

use cms::cert::IssuerAndSerialNumber;
use der::asn1::{GeneralizedTime, Null, OctetString};
use der::{Choice, Decode, Sequence};
use x509_cert::ext::pkix::name::GeneralName;

use super::elements;
use crate::ber::{id, single};
use crate::error::{Error, Result};
use crate::limits;

/// One expansion by one list.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct MlData {
    pub mail_list_identifier: EntityIdentifier,
    pub expansion_time: GeneralizedTime,
    #[asn1(optional = "true")]
    pub ml_receipt_policy: Option<MlReceiptPolicy>,
}

/// The list's own certificate.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum EntityIdentifier {
    IssuerAndSerialNumber(IssuerAndSerialNumber),
    SubjectKeyIdentifier(OctetString),
}

/// What the list says about receipts for what its members get.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum MlReceiptPolicy {
    /// give none
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    None(Null),
    /// send them to these, not to whom the originator named
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    InsteadOf(Vec<Vec<GeneralName>>),
    /// send them to these as well
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", constructed = "true")]
    InAdditionTo(Vec<Vec<GeneralName>>),
}

pub(super) fn parse(der: &[u8]) -> Result<Vec<MlData>> {
    let all = single(der, id::SEQUENCE, "mlExpansionHistory")?;
    elements(all.content, limits::ML_EXPANSIONS, "mailing lists")?
        .iter()
        .map(|data| MlData::from_der(data.whole).map_err(Error::from))
        .collect()
}
