//! RecipientInfos as they come (RFC 5652 §6.2): who is meant, and how a content-encryption key of ours could be had.
//!
//! Thousands of recipients pass through; only what names a certificate of ours stays in memory.

use std::io::Read;
use std::sync::Arc;

use const_oid::db::rfc5912::{ID_RSAES_OAEP, RSA_ENCRYPTION};
use der::asn1::ObjectIdentifier;

use super::agree::Scheme;
use super::kdf::Kdf;
use super::open::{Agreement, Candidate, Opening};
use super::originator::{Certificates, Originator};
use super::{kem, oaep};
use crate::algorithm::KeyWrap;
use crate::algorithm_id::AlgorithmId;
use crate::ber::{Class, Cursor, Header, Reader, Tlv, id, single, tag};
use crate::cert::{Certificate, KeyType};
use crate::error::{Error, Result};
use crate::key::{RecipientId, RsaPadding};
use crate::limits::{RECIPIENTS, WRAPPED_KEY};

/// One RecipientInfo, or one RecipientEncryptedKey of a key agreement, bytes.
const ELEMENT: usize = 64 << 10;
/// User keying material, bytes.
const UKM: usize = 4096;
/// Keys that are tried at most: each may cost a token operation and one more look at the message.
const CANDIDATES: usize = 8;

/// All recipients of a message.
///
/// Whoever is not ours is none of our business: what is odd about somebody else's RecipientInfo, in BER that is well-formed, is
/// passed over. What versions say the fields say as well, so they are not looked at.
#[derive(Default)]
pub(super) struct Recipients {
    pub(super) count: u32,
    /// in the order of the message
    candidates: Vec<Candidate>,
    /// why a recipient that is ours cannot be used
    trouble: Option<Error>,
    /// why it cannot be said who is meant
    odd: Option<Error>,
    /// there are recipients by certificate
    by_certificate: bool,
    /// there are recipients by password
    by_password: bool,
    /// there are recipients by a secret key that both sides have
    by_shared_key: bool,
}

impl Recipients {
    /// Reads the SET.
    pub(super) fn read<R: Read>(
        reader: &mut Reader<R>,
        certificates: &Certificates<'_>,
    ) -> Result<Self> {
        let mut all = Recipients::default();
        reader.enter_universal(tag::SET, "RecipientInfos")?;
        while let Some(header) = reader.next()? {
            match (header.class, header.number) {
                (Class::Universal, tag::SEQUENCE) => {
                    all.transport(reader, &header, certificates)?;
                }
                (Class::Context, 1) => all.agreement(reader, &header, certificates)?,
                (Class::Context, 4) => all.other(reader, &header, certificates)?,
                // KEKRecipientInfo, PasswordRecipientInfo: keys that are no certificate's
                (Class::Context, kind @ 2..=3) => {
                    all.count_one()?;
                    all.by_password |= kind == 3;
                    all.by_shared_key |= kind == 2;
                    reader.skip(&header)?;
                }
                _ => {
                    all.count_one()?;
                    all.odd(Error::malformed("a RecipientInfo of no known kind"));
                    reader.skip(&header)?;
                }
            }
        }
        reader.leave()?;
        if all.count == 0 {
            return Err(Error::malformed("an encrypted message without recipients"));
        }
        Ok(all)
    }

    /// Those that are ours.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn candidates(self) -> Result<Vec<Candidate>> {
        if !self.candidates.is_empty() {
            return Ok(self.candidates);
        }
        let unsupported = |what: &str| Error::UnsupportedAlgorithm(what.to_owned());
        Err(match (self.trouble, self.odd) {
            (Some(trouble), _) => trouble,
            _ if self.by_certificate => Error::NoRecipientMatch,
            _ if self.by_password => {
                unsupported("the message is encrypted with a password, not to a certificate")
            }
            _ if self.by_shared_key => unsupported(
                "the message is encrypted with a shared secret key, not to a certificate",
            ),
            (None, Some(odd)) => odd,
            (None, None) => unsupported("recipients of kinds that are not known"),
        })
    }

    fn count_one(&mut self) -> Result<()> {
        self.count = self.count.saturating_add(1);
        if usize::try_from(self.count).is_ok_and(|count| count <= RECIPIENTS) {
            Ok(())
        } else {
            Err(Error::LimitExceeded {
                what: "recipients",
                limit: RECIPIENTS as u64,
            })
        }
    }

    fn keep(&mut self, certificate: Certificate, opening: Opening) {
        if self.candidates.len() < CANDIDATES {
            self.candidates.push(Candidate {
                certificate,
                opening,
            });
        }
    }

    /// A recipient that is ours and cannot be used. The first reason is told, if there is no other of ours.
    fn trouble(&mut self, why: Error) {
        self.trouble.get_or_insert(why);
    }

    fn odd(&mut self, why: Error) {
        self.odd.get_or_insert(why);
    }

    /// KeyTransRecipientInfo (RFC 5652 §6.2.1).
    fn transport<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        header: &Header,
        certificates: &Certificates<'_>,
    ) -> Result<()> {
        self.count_one()?;
        let element = reader.element(header, ELEMENT)?;
        let (recipient, fields) = match transport_recipient(&element) {
            Ok(found) => found,
            Err(why) => {
                self.odd(why);
                return Ok(());
            }
        };
        self.by_certificate = true;
        for certificate in certificates.ours(&recipient) {
            match transport_opening(fields, certificate.key_type()) {
                Ok(opening) => self.keep(certificate, opening),
                Err(why) => self.trouble(why),
            }
        }
        Ok(())
    }

    /// OtherRecipientInfo (RFC 5652 §6.2.5): KEMRecipientInfo, or nothing that is known.
    fn other<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        header: &Header,
        certificates: &Certificates<'_>,
    ) -> Result<()> {
        self.count_one()?;
        let (recipient, encapsulated) = match kem::parse(&reader.element(header, ELEMENT)?) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(why) => {
                self.odd(why);
                return Ok(());
            }
        };
        self.by_certificate = true;
        let ours = certificates.ours(&recipient);
        match encapsulated {
            Ok(encapsulated) => {
                for certificate in ours {
                    match encapsulated.is_for(certificate.key_type()) {
                        Ok(()) => self.keep(certificate, Opening::Kem(encapsulated.clone())),
                        Err(why) => self.trouble(why),
                    }
                }
            }
            Err(why) if !ours.is_empty() => self.trouble(why),
            Err(_) => {}
        }
        Ok(())
    }

    /// KeyAgreeRecipientInfo (RFC 5652 §6.2.2), which may name any number of recipients.
    fn agreement<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        header: &Header,
        certificates: &Certificates<'_>,
    ) -> Result<()> {
        let (counted, kept) = (self.count, self.candidates.len());
        reader.enter(header)?;
        if let Some(terms) = Terms::read(reader)?
            && let Some(keys) = reader.peek()?
            && keys.is_universal(tag::SEQUENCE)
        {
            self.agreed(reader, &terms, certificates)?;
        }
        let mut more = false;
        while let Some(field) = reader.next()? {
            reader.skip(&field)?;
            more = true;
        }
        reader.leave()?;
        if self.count == counted {
            self.count_one()?;
            self.odd(Error::malformed(
                "a KeyAgreeRecipientInfo without recipients",
            ));
        } else if more && self.candidates.len() > kept {
            self.candidates.truncate(kept);
            self.trouble(Error::malformed(
                "a KeyAgreeRecipientInfo with more than its fields",
            ));
        }
        Ok(())
    }

    /// RecipientEncryptedKeys.
    fn agreed<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        terms: &Terms,
        certificates: &Certificates<'_>,
    ) -> Result<()> {
        let mut parsed: Option<Arc<Agreement>> = None;
        reader.enter_universal(tag::SEQUENCE, "RecipientEncryptedKeys")?;
        while let Some(header) = reader.next()? {
            self.count_one()?;
            let element = reader.element(&header, ELEMENT)?;
            let (recipient, fields) = match agreement_recipient(&element) {
                Ok(found) => found,
                Err(why) => {
                    self.odd(why);
                    continue;
                }
            };
            self.by_certificate = true;
            for certificate in certificates.ours(&recipient) {
                let key_type = certificate.key_type();
                let agreement = agrees(key_type).and_then(|()| match &parsed {
                    Some(agreement) => Ok(agreement.clone()),
                    None => terms.parse(key_type, certificates).map(Arc::new),
                });
                let opening = agreement.and_then(|agreement| {
                    let agreement = parsed.insert(agreement).clone();
                    agreement_opening(agreement, fields)
                });
                match opening {
                    Ok(opening) => self.keep(certificate, opening),
                    Err(why) => self.trouble(why),
                }
            }
        }
        reader.leave()
    }
}

/// What a key agreement says before its recipients, not looked into: that is done for who is ours.
struct Terms {
    originator: Vec<u8>,
    ukm: Option<Vec<u8>>,
    algorithm: Vec<u8>,
}

impl Terms {
    /// `None` where there is something else; it is left to be read.
    fn read<R: Read>(reader: &mut Reader<R>) -> Result<Option<Self>> {
        let version = field(reader, |h| h.is_universal(tag::INTEGER))?;
        if version.is_none_or(|element| self::version(&mut Cursor::new(&element)).is_err()) {
            return Ok(None);
        }
        let Some(originator) = field(reader, |h| h.is_context(0))? else {
            return Ok(None);
        };
        let ukm = field(reader, |h| h.is_context(1))?;
        let algorithm = field(reader, |h| h.is_universal(tag::SEQUENCE))?;
        Ok(algorithm.map(|algorithm| Terms {
            originator,
            ukm,
            algorithm,
        }))
    }

    /// For a recipient with a key of this kind.
    fn parse(&self, key_type: KeyType, certificates: &Certificates<'_>) -> Result<Agreement> {
        let ukm = self.ukm.as_deref().map(user_keying_material).transpose()?;
        Ok(Agreement {
            originator: Originator::parse(&self.originator, key_type, certificates)?,
            scheme: parse_scheme(ukm, &self.algorithm)?,
        })
    }
}

/// The next element, if it is the one that is looked for.
fn field<R: Read>(
    reader: &mut Reader<R>,
    is_it: impl Fn(&Header) -> bool,
) -> Result<Option<Vec<u8>>> {
    match reader.peek()? {
        Some(header) if is_it(&header) => {
            reader.next()?;
            reader.element(&header, ELEMENT).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whom a KeyTransRecipientInfo means, and its fields after that.
fn transport_recipient(element: &[u8]) -> Result<(RecipientId, Cursor<'_>)> {
    let mut cursor = Cursor::new(single(element, id::SEQUENCE, "KeyTransRecipientInfo")?.content);
    version(&mut cursor)?;
    let recipient = match cursor.next()? {
        Some(name) if name.id == id::SEQUENCE => issuer_and_serial(name)?,
        Some(ski) if ski.id == id::context(0) => RecipientId::Ski(ski.content.to_vec()),
        _ => {
            return Err(Error::malformed(
                "a KeyTransRecipientInfo without a recipient",
            ));
        }
    };
    Ok((recipient, cursor))
}

fn transport_opening(mut fields: Cursor<'_>, key_type: KeyType) -> Result<Opening> {
    let algorithm = fields
        .expect(id::SEQUENCE, "keyEncryptionAlgorithm")?
        .content;
    let algorithm = AlgorithmId::parse(algorithm)?;
    let encrypted_key = wrapped_key(&mut fields)?;
    fields.end("a KeyTransRecipientInfo")?;
    if !matches!(key_type, KeyType::Rsa(_)) {
        return Err(Error::UnsupportedAlgorithm(format!(
            "{} with a key of type {key_type}",
            algorithm.oid
        )));
    }
    Ok(Opening::Rsa {
        padding: rsa_padding(&algorithm)?,
        encrypted_key,
    })
}

/// An INTEGER; which, is said by what follows.
pub(super) fn version(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.expect(id::INTEGER, "version")?.content.is_empty() {
        return Err(Error::malformed("a version without a number"));
    }
    Ok(())
}

/// IssuerAndSerialNumber (RFC 5652 §10.2.4).
pub(super) fn issuer_and_serial(sequence: Tlv<'_>) -> Result<RecipientId> {
    let mut cursor = Cursor::new(sequence.content);
    let issuer = cursor.expect(id::SEQUENCE, "issuer")?.whole.to_vec();
    let serial = cursor.expect(id::INTEGER, "serialNumber")?.content.to_vec();
    cursor.end("an IssuerAndSerialNumber")?;
    Ok(RecipientId::IssuerSerial { issuer, serial })
}

pub(super) fn wrapped_key(cursor: &mut Cursor<'_>) -> Result<Vec<u8>> {
    let key = cursor.expect(id::OCTET_STRING, "encryptedKey")?.content;
    if key.len() > WRAPPED_KEY {
        return Err(Error::LimitExceeded {
            what: "bytes in an encrypted key",
            limit: WRAPPED_KEY as u64,
        });
    }
    Ok(key.to_vec())
}

/// Whom a RecipientEncryptedKey means, and its fields after that.
fn agreement_recipient(element: &[u8]) -> Result<(RecipientId, Cursor<'_>)> {
    let mut cursor = Cursor::new(single(element, id::SEQUENCE, "RecipientEncryptedKey")?.content);
    let recipient = match cursor.next()? {
        Some(name) if name.id == id::SEQUENCE => issuer_and_serial(name)?,
        Some(key) if key.id == id::context_constructed(0) => {
            // RecipientKeyIdentifier; a date and other attributes may follow
            let mut key = Cursor::new(key.content);
            let ski = key.expect(id::OCTET_STRING, "subjectKeyIdentifier")?;
            RecipientId::Ski(ski.content.to_vec())
        }
        _ => {
            return Err(Error::malformed(
                "a RecipientEncryptedKey without a recipient",
            ));
        }
    };
    Ok((recipient, cursor))
}

fn agrees(key_type: KeyType) -> Result<()> {
    match key_type {
        KeyType::Ec(_) | KeyType::X25519 => Ok(()),
        other => Err(Error::UnsupportedAlgorithm(format!(
            "key agreement with a key of type {other}"
        ))),
    }
}

fn agreement_opening(agreement: Arc<Agreement>, mut fields: Cursor<'_>) -> Result<Opening> {
    let encrypted_key = wrapped_key(&mut fields)?;
    fields.end("a RecipientEncryptedKey")?;
    Ok(Opening::Ecdh {
        agreement,
        encrypted_key,
    })
}

fn rsa_padding(algorithm: &AlgorithmId<'_>) -> Result<RsaPadding> {
    match algorithm.oid {
        RSA_ENCRYPTION if algorithm.is_plain() => Ok(RsaPadding::Pkcs1),
        RSA_ENCRYPTION => Err(Error::malformed("rsaEncryption with parameters")),
        ID_RSAES_OAEP => oaep::parse(algorithm.parameters),
        other => Err(Error::UnsupportedAlgorithm(format!(
            "key transport {other}"
        ))),
    }
}

fn user_keying_material(element: &[u8]) -> Result<Vec<u8>> {
    let field = single(element, id::context_constructed(1), "ukm")?;
    let ukm = single(field.content, id::OCTET_STRING, "ukm")?.content;
    if ukm.len() > UKM {
        return Err(Error::LimitExceeded {
            what: "bytes of user keying material",
            limit: UKM as u64,
        });
    }
    Ok(ukm.to_vec())
}

/// What a key agreement says beside its recipients and its sender (RFC 5753 §3.1, RFC 8418 §3).
fn parse_scheme(ukm: Option<Vec<u8>>, algorithm: &[u8]) -> Result<Scheme> {
    let algorithm =
        AlgorithmId::parse(single(algorithm, id::SEQUENCE, "keyEncryptionAlgorithm")?.content)?;
    let kdf = Kdf::from_scheme(&algorithm.oid)
        .ok_or_else(|| Error::UnsupportedAlgorithm(format!("key agreement {}", algorithm.oid)))?;
    let wrap_id = algorithm
        .parameters
        .filter(|p| p.id == id::SEQUENCE)
        .ok_or_else(|| Error::malformed("a key agreement without its key wrap"))?;
    let wrap = wrap_of(&AlgorithmId::parse(wrap_id.content)?)?;
    Ok(Scheme {
        kdf,
        wrap,
        key_info: wrap_id.whole.to_vec(),
        ukm,
    })
}

pub(super) fn wrap_of(algorithm: &AlgorithmId<'_>) -> Result<KeyWrap> {
    let unsupported =
        |oid: ObjectIdentifier| Error::UnsupportedAlgorithm(format!("key wrap {oid}"));
    let wrap = KeyWrap::from_oid(&algorithm.oid).ok_or_else(|| unsupported(algorithm.oid))?;
    if algorithm.is_plain() {
        Ok(wrap)
    } else {
        Err(Error::malformed("a key wrap with parameters"))
    }
}
