//! What a signer says of himself in signed attributes: what he can read (SMIMECapabilities, RFC 8551 §2.5.2), which certificate he
//! wants to be written to (SMIMEEncryptionKeyPreference, §2.5.3), and what the content is (contentHints, RFC 2634 §2.9). None of it
//! bears on whether a signature holds.

use der::asn1::ObjectIdentifier;

use super::attributes::{ENCRYPTION_KEY_PREFERENCE, SMIME_CAPABILITIES, attribute, split};
use super::{SignOptions, VerifyOutcome};
use crate::algorithm_id::oid;
use crate::ber::{Cursor, Tlv, constructed, id, single, tlv};
use crate::capability::{self, Capability};
use crate::cert::Certificate;
use crate::content::ID_DATA;
use crate::error::{Error, Result};
use crate::key::RecipientId;
use crate::limits;

const CONTENT_HINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.4");
const UTF8_STRING: u8 = 0x0c;

/// The claims of one signer. To be believed only as far as his signature is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// what he can read, by kind the best first; empty: he does not say
    pub capabilities: Vec<Capability>,
    /// whose key he wants to be encrypted to
    pub encryption_key: Option<RecipientId>,
    pub content_hint: Option<ContentHint>,
}

/// What the content is, which may be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHint {
    /// for people
    pub description: Option<String>,
    /// of the innermost content
    pub content_type: ObjectIdentifier,
}

impl VerifyOutcome {
    /// The certificate that a signer wants to be encrypted to, if the message carries it.
    pub fn encryption_certificate(&self, claims: &Claims) -> Option<&Certificate> {
        let wanted = claims.encryption_key.as_ref()?;
        self.certificates.iter().find(|c| wanted.matches(c))
    }
}

/// From the content of the SET OF signed attributes. What cannot be read is not claimed.
pub(super) fn read(set: &[u8]) -> Claims {
    let mut claims = Claims::default();
    let mut cursor = Cursor::new(set);
    while let Ok(Some(one)) = cursor.next() {
        let Ok((kind, values)) = split(&one) else {
            continue;
        };
        let Ok(Some(value)) = Cursor::new(values).next() else {
            continue;
        };
        match kind {
            SMIME_CAPABILITIES => claims.capabilities = capability::decode_all(&value),
            ENCRYPTION_KEY_PREFERENCE => claims.encryption_key = preference(&value).ok().flatten(),
            CONTENT_HINTS if claims.content_hint.is_none() => {
                claims.content_hint = content_hint(&value).ok();
            }
            _ => {}
        }
    }
    claims
}

/// SMIMEEncryptionKeyPreference: a CHOICE, tagged IMPLICIT.
fn preference(value: &Tlv<'_>) -> Result<Option<RecipientId>> {
    let mut fields = Cursor::new(value.content);
    Ok(match value.id {
        ISSUER_AND_SERIAL => {
            let issuer = fields.expect(id::SEQUENCE, "issuer")?.whole.to_vec();
            let serial = fields.expect(id::INTEGER, "serialNumber")?.content.to_vec();
            fields.end("an IssuerAndSerialNumber")?;
            Some(RecipientId::IssuerSerial { issuer, serial })
        }
        RECIPIENT_KEY_ID => {
            // a date and another attribute may follow
            let ski = fields.expect(id::OCTET_STRING, "subjectKeyIdentifier")?;
            Some(RecipientId::Ski(ski.content.to_vec()))
        }
        SUBJECT_KEY_ID => Some(RecipientId::Ski(value.content.to_vec())),
        _ => None,
    })
}

const ISSUER_AND_SERIAL: u8 = id::context_constructed(0);
const RECIPIENT_KEY_ID: u8 = id::context_constructed(1);
const SUBJECT_KEY_ID: u8 = id::context(2);

fn content_hint(value: &Tlv<'_>) -> Result<ContentHint> {
    let mut fields = Cursor::new(single(value.whole, id::SEQUENCE, "ContentHints")?.content);
    let description = fields
        .optional(UTF8_STRING)?
        .and_then(|text| std::str::from_utf8(text.content).ok())
        .filter(|text| text.chars().count() <= limits::CONTENT_HINT)
        .map(str::to_owned);
    let content_type = oid(fields.expect(id::OID, "contentType")?.content)?;
    fields.end("ContentHints")?;
    Ok(ContentHint {
        description,
        content_type,
    })
}

/// The attributes to sign.
///
/// # Errors
/// `InvalidOption` for a hint that is too long.
pub(super) fn encode(certificate: &Certificate, options: &SignOptions) -> Result<Vec<Vec<u8>>> {
    let capabilities = options.profile.capabilities();
    let mut all = Vec::new();
    if !capabilities.is_empty() {
        all.push(attribute(
            &SMIME_CAPABILITIES,
            &capability::encode_all(&capabilities),
        ));
    }
    if let Some(preferred) = &options.encryption_certificate
        && preferred != certificate
    {
        let serial = tlv(id::INTEGER, preferred.serial());
        all.push(attribute(
            &ENCRYPTION_KEY_PREFERENCE,
            &constructed(ISSUER_AND_SERIAL, &[preferred.issuer_bytes(), &serial]),
        ));
    }
    if let Some(hint) = &options.content_hint {
        if hint.chars().count() > limits::CONTENT_HINT {
            return Err(Error::InvalidOption(format!(
                "a content hint of more than {} characters",
                limits::CONTENT_HINT
            )));
        }
        let text = tlv(UTF8_STRING, hint.as_bytes());
        all.push(attribute(
            &CONTENT_HINTS,
            &constructed(id::SEQUENCE, &[&text, &tlv(id::OID, ID_DATA.as_bytes())]),
        ));
    }
    Ok(all)
}
