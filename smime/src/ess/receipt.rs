//! Receipt (RFC 2634 §2.8): the content of a signed receipt.

use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, Encode, Sequence};

use crate::error::{Error, Result};

/// The content type of a signed receipt.
pub const ID_CT_RECEIPT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.1");

/// "I have verified this signature": names the signature it answers.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct Receipt {
    version: u8,
    /// of the message that is answered
    pub content_type: ObjectIdentifier,
    /// as the request named it
    pub signed_content_identifier: OctetString,
    /// the signature value of the SignerInfo that asked
    pub originator_signature_value: OctetString,
}

impl Receipt {
    pub(super) fn new(
        content_type: ObjectIdentifier,
        identifier: &[u8],
        signature: &[u8],
    ) -> Result<Self> {
        Ok(Receipt {
            version: 1,
            content_type,
            signed_content_identifier: OctetString::new(identifier)?,
            originator_signature_value: OctetString::new(signature)?,
        })
    }

    /// Strictly DER, version 1 (RFC 2634 §2.5: it is DER that is signed).
    pub fn parse(der: &[u8]) -> Result<Self> {
        let receipt = Receipt::from_der(der)
            .map_err(|error| Error::malformed(format!("not a receipt: {error}")))?;
        if receipt.version != 1 {
            return Err(Error::malformed(format!(
                "a receipt of the version {}",
                receipt.version
            )));
        }
        Ok(receipt)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        Ok(self.to_der()?)
    }
}
