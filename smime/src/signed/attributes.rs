//! Signed attributes (RFC 5652 §11, RFC 8551 §2.5, RFC 5035): made, and read with their uniqueness rules.

use const_oid::db::rfc5911;
use der::DateTime;
use der::asn1::ObjectIdentifier;

use super::SignatureState;
use crate::algorithm::DigestAlgorithm;
use crate::algorithm_id::{AlgorithmId, oid};
use crate::ber::{Cursor, Tlv, constructed, id, single, tlv};
use crate::cert::Certificate;
use crate::content::ID_DATA;
use crate::error::{Error, Result};
use crate::ess::{ID_CT_RECEIPT, MSG_SIG_DIGEST, signed_only};

const CONTENT_TYPE: ObjectIdentifier = rfc5911::ID_CONTENT_TYPE;
const MESSAGE_DIGEST: ObjectIdentifier = rfc5911::ID_MESSAGE_DIGEST;
const SIGNING_TIME: ObjectIdentifier = rfc5911::ID_SIGNING_TIME;
pub(super) const SMIME_CAPABILITIES: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.15");
pub(super) const ENCRYPTION_KEY_PREFERENCE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.11");
const SIGNING_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
pub(super) const COUNTER_SIGNATURE: ObjectIdentifier = rfc5911::ID_COUNTERSIGNATURE;
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// 2050-01-01: from here on a time is a GeneralizedTime (RFC 5652 §11.3).
const UTC_TIME_ENDS: u64 = 2_524_608_000;

/// The content of the SET OF that is signed, in DER; `more` are attributes besides those that all signatures have.
pub(super) fn encode_signed(
    message_digest: &[u8],
    signing_time: u64,
    certificate: &Certificate,
    more: Vec<Vec<u8>>,
) -> Result<Vec<u8>> {
    let mut all = vec![
        attribute(&CONTENT_TYPE, &tlv(id::OID, ID_DATA.as_bytes())),
        attribute(&MESSAGE_DIGEST, &tlv(id::OCTET_STRING, message_digest)),
        attribute(&SIGNING_TIME, &encode_time(signing_time)?),
        signing_certificate(certificate),
    ];
    all.extend(more);
    all.sort_unstable();
    Ok(all.concat())
}

/// The same for a receipt (RFC 2634 §2.5 steps 4 to 7).
pub(super) fn encode_for_receipt(
    message_digest: &[u8],
    msg_sig_digest: &[u8],
    signing_time: u64,
    certificate: &Certificate,
) -> Result<Vec<u8>> {
    let mut all = [
        attribute(&CONTENT_TYPE, &tlv(id::OID, ID_CT_RECEIPT.as_bytes())),
        attribute(&MESSAGE_DIGEST, &tlv(id::OCTET_STRING, message_digest)),
        attribute(&SIGNING_TIME, &encode_time(signing_time)?),
        attribute(&MSG_SIG_DIGEST, &tlv(id::OCTET_STRING, msg_sig_digest)),
        signing_certificate(certificate),
    ];
    all.sort_unstable();
    Ok(all.concat())
}

/// signingCertificateV2 with ESSCertIDv2's default hash, which is SHA-256, left out (RFC 5035 §4); the issuer is a directoryName.
fn signing_certificate(certificate: &Certificate) -> Vec<u8> {
    let issuer = tlv(id::context_constructed(4), certificate.issuer_bytes());
    let issuer_serial = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::SEQUENCE, &issuer),
            &tlv(id::INTEGER, certificate.serial()),
        ],
    );
    let essence = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OCTET_STRING, &certificate.sha256()),
            &issuer_serial,
        ],
    );
    attribute(
        &SIGNING_CERTIFICATE_V2,
        &tlv(id::SEQUENCE, &tlv(id::SEQUENCE, &essence)),
    )
}

pub(super) fn attribute(kind: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    constructed(
        id::SEQUENCE,
        &[&tlv(id::OID, kind.as_bytes()), &tlv(id::SET, value)],
    )
}

fn encode_time(seconds: u64) -> Result<Vec<u8>> {
    let time = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
        .map_err(|_| Error::InvalidOption("a signing time beyond the year 9999".into()))?;
    let (date, clock) = (
        format!("{:02}{:02}", time.month(), time.day()),
        format!(
            "{:02}{:02}{:02}Z",
            time.hour(),
            time.minutes(),
            time.seconds()
        ),
    );
    let year = time.year();
    Ok(if seconds < UTC_TIME_ENDS {
        let short = year.checked_rem(100).unwrap_or(0);
        tlv(id::UTC_TIME, format!("{short:02}{date}{clock}").as_bytes())
    } else {
        tlv(
            id::GENERALIZED_TIME,
            format!("{year:04}{date}{clock}").as_bytes(),
        )
    })
}

/// What the signed attributes of a SignerInfo say.
#[derive(Debug, Default)]
pub(super) struct SignedAttributes<'a> {
    pub(super) content_type: Option<ObjectIdentifier>,
    pub(super) message_digest: Option<&'a [u8]>,
    pub(super) signing_time: Option<u64>,
    /// hashes of the signer's certificate: from signingCertificate and signingCertificateV2
    certificate_hashes: Vec<(DigestAlgorithm, &'a [u8])>,
}

impl<'a> SignedAttributes<'a> {
    /// Reads the content of the SET OF. Attributes that may come once only and with one value (RFC 8551 §2.5, RFC 5035 §5) are
    /// held to it; unknown ones are passed over.
    pub(super) fn parse(set: &'a [u8]) -> std::result::Result<Self, SignatureState> {
        let mut all = SignedAttributes::default();
        let mut seen: Vec<ObjectIdentifier> = Vec::new();
        let mut cursor = Cursor::new(set);
        while let Some(one) = cursor.next().map_err(unreadable)? {
            let (kind, values) = split(&one).map_err(unreadable)?;
            if kind == COUNTER_SIGNATURE {
                return Err(invalid(
                    "a countersignature among the signed attributes (RFC 5652 §11.4)".into(),
                ));
            }
            let Some(name) = single_instance(&kind) else {
                continue;
            };
            if seen.contains(&kind) {
                return Err(invalid(format!(
                    "the signed attributes hold {name} more than once"
                )));
            }
            seen.push(kind);
            let mut values = Cursor::new(values);
            let first = values.next().map_err(unreadable)?;
            let (Some(value), Ok(())) = (first, values.end("attribute")) else {
                return Err(invalid(format!(
                    "the signed attribute {name} has not exactly one value"
                )));
            };
            all.take(&kind, name, &value)?;
        }
        Ok(all)
    }

    fn take(
        &mut self,
        kind: &ObjectIdentifier,
        name: &'static str,
        value: &Tlv<'a>,
    ) -> std::result::Result<(), SignatureState> {
        let wrong = || {
            invalid(format!(
                "the signed attribute {name} has a value of the wrong kind"
            ))
        };
        match *kind {
            CONTENT_TYPE if value.id == id::OID => {
                self.content_type = Some(oid(value.content).map_err(|_| wrong())?);
            }
            MESSAGE_DIGEST if value.id == id::OCTET_STRING => {
                self.message_digest = Some(value.content)
            }
            CONTENT_TYPE | MESSAGE_DIGEST => return Err(wrong()),
            SIGNING_TIME => self.signing_time = decode_time(value),
            SIGNING_CERTIFICATE => {
                let hash = first_certificate(value).and_then(|essence| {
                    Ok(Cursor::new(essence)
                        .expect(id::OCTET_STRING, "certHash")?
                        .content)
                });
                self.certificate_hashes
                    .push((DigestAlgorithm::Sha1, hash.map_err(|_| wrong())?));
            }
            SIGNING_CERTIFICATE_V2 => {
                let mut cursor = Cursor::new(first_certificate(value).map_err(|_| wrong())?);
                let algorithm = match cursor.optional(id::SEQUENCE).map_err(|_| wrong())? {
                    None => DigestAlgorithm::Sha256,
                    Some(named) => {
                        let named = AlgorithmId::parse(named.content).map_err(|_| wrong())?;
                        DigestAlgorithm::from_oid(&named.oid).ok_or_else(|| {
                            SignatureState::Unsupported(format!(
                                "{name} uses the digest {}",
                                named.oid
                            ))
                        })?
                    }
                };
                let hash = cursor
                    .expect(id::OCTET_STRING, "certHash")
                    .map_err(|_| wrong())?;
                self.certificate_hashes.push((algorithm, hash.content));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the signer, where he said so, meant this certificate.
    pub(super) fn names(&self, certificate: &Certificate) -> bool {
        self.certificate_hashes
            .iter()
            .all(|(algorithm, hash)| match algorithm {
                DigestAlgorithm::Sha256 => *hash == certificate.sha256(),
                other => *hash == other.digest(certificate.der()).as_slice(),
            })
    }
}

/// Attributes that only mean something when they are signed must not be among those that are not: whoever reads them there
/// believes what anybody can have written (RFC 5652 §11.1–3, RFC 8551 §2.5.2–3, RFC 5035 §3).
pub(super) fn check_unsigned(set: &[u8]) -> std::result::Result<(), SignatureState> {
    let wrong = |error: Error| invalid(format!("the unsigned attributes cannot be read ({error})"));
    let mut cursor = Cursor::new(set);
    while let Some(one) = cursor.next().map_err(wrong)? {
        let (kind, _) = split(&one).map_err(wrong)?;
        if let Some(name) = single_instance(&kind) {
            return Err(invalid(format!(
                "{name} among the unsigned attributes, where it must not be"
            )));
        }
    }
    Ok(())
}

/// The content of the SET OF in the order of DER (X.690 §11.6), for signers that wrote it in another but signed this one.
pub(super) fn sorted(set: &[u8]) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut cursor = Cursor::new(set);
    while let Some(one) = cursor.next()? {
        all.push(one.whole);
    }
    all.sort_unstable();
    Ok(all.concat())
}

/// Whether content begins as signed attributes do. Content that does, signed without attributes, may be the attributes of
/// another signature, with the signature moved over (RFC 5652 §5.4 hashes both as the same bytes).
pub(super) fn looks_like_attributes(start: &[u8]) -> bool {
    let inside = |bytes: &[u8], identifier: u8| -> Option<usize> {
        let (&first, rest) = bytes.split_first()?;
        let (&length, _) = rest.split_first()?;
        let octets = if length > 0x80 {
            usize::from(length & 0x7f)
        } else {
            0
        };
        (first == identifier).then(|| octets.saturating_add(2))
    };
    let Some(attribute) = inside(start, id::SET).and_then(|skip| start.get(skip..)) else {
        return false;
    };
    let Some(kind) = inside(attribute, id::SEQUENCE).and_then(|skip| attribute.get(skip..)) else {
        return false;
    };
    kind.first() == Some(&id::OID)
}

/// How much of the content [`looks_like_attributes`] wants to see: three headers with the longest lengths.
pub(super) const START: usize = 512;

fn single_instance(kind: &ObjectIdentifier) -> Option<&'static str> {
    Some(match *kind {
        CONTENT_TYPE => "contentType",
        MESSAGE_DIGEST => "messageDigest",
        SIGNING_TIME => "signingTime",
        SMIME_CAPABILITIES => "SMIMECapabilities",
        ENCRYPTION_KEY_PREFERENCE => "SMIMEEncryptionKeyPreference",
        SIGNING_CERTIFICATE => "signingCertificate",
        SIGNING_CERTIFICATE_V2 => "signingCertificateV2",
        _ => return signed_only(kind),
    })
}

pub(super) fn split<'a>(attribute: &Tlv<'a>) -> Result<(ObjectIdentifier, &'a [u8])> {
    let mut cursor = Cursor::new(single(attribute.whole, id::SEQUENCE, "Attribute")?.content);
    let kind = oid(cursor.expect(id::OID, "attrType")?.content)?;
    let values = cursor.expect(id::SET, "attrValues")?.content;
    cursor.end("an Attribute")?;
    Ok((kind, values))
}

/// The content of the first ESSCertID(v2) of a SigningCertificate(V2).
fn first_certificate<'a>(value: &Tlv<'a>) -> Result<&'a [u8]> {
    let certificates = single(value.whole, id::SEQUENCE, "SigningCertificate")?;
    let certificates = Cursor::new(certificates.content).expect(id::SEQUENCE, "certs")?;
    Ok(Cursor::new(certificates.content)
        .expect(id::SEQUENCE, "ESSCertID")?
        .content)
}

/// Seconds since 1970. A time that cannot be read is no time: it is a claim only, and proves nothing either way.
fn decode_time(value: &Tlv<'_>) -> Option<u64> {
    let text = std::str::from_utf8(value.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match value.id {
        id::UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            // RFC 5652 §11.3: 50 and above is the last century
            (
                if year >= 50 {
                    year.checked_add(1900)?
                } else {
                    year.checked_add(2000)?
                },
                rest,
            )
        }
        id::GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.is_ascii() {
        return None;
    }
    let part = |from: usize| -> Option<u8> {
        u8::try_from(number(rest.get(from..from.checked_add(2)?)?)?).ok()
    };
    let time = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?).ok()?;
    Some(time.unix_duration().as_secs())
}

fn number(digits: &str) -> Option<u16> {
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn invalid(why: String) -> SignatureState {
    SignatureState::Invalid(why)
}

fn unreadable(error: Error) -> SignatureState {
    SignatureState::Invalid(format!("the signed attributes cannot be read ({error})"))
}
