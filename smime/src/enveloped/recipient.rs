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
#[derive(Default)]
pub(super) struct Recipients {
    pub(super) count: u32,
    /// in the order of the message
    candidates: Vec<Candidate>,
    /// why a recipient that is ours cannot be used
    unsupported: Option<String>,
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
                _ => return Err(Error::malformed("a RecipientInfo of no known kind")),
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
        Err(match self.unsupported {
            Some(what) => Error::UnsupportedAlgorithm(what),
            None if self.by_certificate => Error::NoRecipientMatch,
            None if self.by_password => Error::UnsupportedAlgorithm(
                "the message is encrypted with a password, not to a certificate".to_owned(),
            ),
            None if self.by_shared_key => Error::UnsupportedAlgorithm(
                "the message is encrypted with a shared secret key, not to a certificate"
                    .to_owned(),
            ),
            None => {
                Error::UnsupportedAlgorithm("recipients of kinds that are not known".to_owned())
            }
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

    /// KeyTransRecipientInfo (RFC 5652 §6.2.1).
    fn transport<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        header: &Header,
        certificates: &Certificates<'_>,
    ) -> Result<()> {
        self.count_one()?;
        self.by_certificate = true;
        let element = reader.element(header, ELEMENT)?;
        let content = single(&element, id::SEQUENCE, "KeyTransRecipientInfo")?.content;
        let mut cursor = Cursor::new(content);
        let version = cursor.expect(id::INTEGER, "version")?.content;
        let recipient = match cursor.next()? {
            Some(
                name @ Tlv {
                    id: id::SEQUENCE, ..
                },
            ) if version == [0] => issuer_and_serial(name)?,
            Some(ski) if ski.id == id::context(0) && version == [2] => {
                RecipientId::Ski(ski.content.to_vec())
            }
            _ => {
                return Err(Error::malformed(
                    "a KeyTransRecipientInfo whose version and identifier do not agree",
                ));
            }
        };
        let algorithm = AlgorithmId::parse(
            cursor
                .expect(id::SEQUENCE, "keyEncryptionAlgorithm")?
                .content,
        )?;
        let encrypted_key = wrapped_key(&mut cursor)?;
        cursor.end("a KeyTransRecipientInfo")?;

        for certificate in certificates.ours(&recipient) {
            if !matches!(certificate.key_type(), KeyType::Rsa(_)) {
                self.unsupported = Some(format!(
                    "{} with a key of type {}",
                    algorithm.oid,
                    certificate.key_type()
                ));
                continue;
            }
            match rsa_padding(&algorithm) {
                Ok(padding) => self.keep(
                    certificate,
                    Opening::Rsa {
                        padding,
                        encrypted_key: encrypted_key.clone(),
                    },
                ),
                Err(Error::UnsupportedAlgorithm(what)) => self.unsupported = Some(what),
                Err(other) => return Err(other),
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
        let Some(recipient) = kem::parse(&reader.element(header, ELEMENT)?)? else {
            return Ok(());
        };
        self.by_certificate = true;
        for certificate in certificates.ours(&recipient.recipient) {
            let set = match certificate.key_type() {
                KeyType::MlKem(set) if set.oid() == recipient.kem => set,
                other => {
                    self.unsupported = Some(format!(
                        "key encapsulation {} with a key of type {other}",
                        recipient.kem
                    ));
                    continue;
                }
            };
            match &recipient.encapsulated {
                Ok(encapsulated) if encapsulated.ciphertext.len() != set.ciphertext_len() => {
                    return Err(Error::malformed("an ML-KEM ciphertext of the wrong length"));
                }
                Ok(encapsulated) => {
                    self.keep(certificate, Opening::Kem(encapsulated.clone()));
                }
                Err(Error::UnsupportedAlgorithm(what)) => self.unsupported = Some(what.clone()),
                Err(_) => return recipient.encapsulated.map(|_| ()),
            }
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
        self.by_certificate = true;
        reader.enter(header)?;
        let version = reader.expect("version")?;
        if reader.element(&version, ELEMENT)? != [id::INTEGER, 1, 3] {
            return Err(Error::malformed(
                "a KeyAgreeRecipientInfo whose version is not 3",
            ));
        }
        let originator = element(reader, "originator")?;
        let mut ukm = None;
        if reader.peek()?.is_some_and(|h| h.is_context(1)) {
            ukm = Some(user_keying_material(&element(reader, "ukm")?)?);
        }
        let algorithm = element(reader, "keyEncryptionAlgorithm")?;

        let mut parsed: Option<Arc<Agreement>> = None;
        let mut named = 0u32;
        reader.enter_universal(tag::SEQUENCE, "RecipientEncryptedKeys")?;
        while let Some(header) = reader.next()? {
            self.count_one()?;
            named = named.saturating_add(1);
            let element = reader.element(&header, ELEMENT)?;
            let (recipient, encrypted_key) = encrypted_key(&element)?;
            for certificate in certificates.ours(&recipient) {
                let key_type = certificate.key_type();
                if !matches!(key_type, KeyType::Ec(_) | KeyType::X25519) {
                    self.unsupported = Some(format!("key agreement with a key of type {key_type}"));
                    continue;
                }
                let agreement = match &parsed {
                    Some(agreement) => agreement.clone(),
                    None => match Originator::parse(&originator, key_type, certificates).and_then(
                        |originator| {
                            Ok(Agreement {
                                originator,
                                scheme: parse_scheme(ukm.clone(), &algorithm)?,
                            })
                        },
                    ) {
                        Ok(agreement) => parsed.insert(Arc::new(agreement)).clone(),
                        Err(Error::UnsupportedAlgorithm(what)) => {
                            self.unsupported = Some(what);
                            continue;
                        }
                        Err(other) => return Err(other),
                    },
                };
                self.keep(
                    certificate,
                    Opening::Ecdh {
                        agreement,
                        encrypted_key: encrypted_key.clone(),
                    },
                );
            }
        }
        reader.leave()?;
        if named == 0 {
            return Err(Error::malformed(
                "a KeyAgreeRecipientInfo without recipients",
            ));
        }
        reader.leave()
    }
}

fn element<R: Read>(reader: &mut Reader<R>, what: &'static str) -> Result<Vec<u8>> {
    let header = reader.expect(what)?;
    reader.element(&header, ELEMENT)
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

/// RecipientEncryptedKey.
fn encrypted_key(element: &[u8]) -> Result<(RecipientId, Vec<u8>)> {
    let mut cursor = Cursor::new(single(element, id::SEQUENCE, "RecipientEncryptedKey")?.content);
    let recipient = match cursor.next()? {
        Some(
            name @ Tlv {
                id: id::SEQUENCE, ..
            },
        ) => issuer_and_serial(name)?,
        Some(key) if key.id == id::context_constructed(0) => {
            // RecipientKeyIdentifier; a date and other attributes may follow
            let mut key = Cursor::new(key.content);
            RecipientId::Ski(
                key.expect(id::OCTET_STRING, "subjectKeyIdentifier")?
                    .content
                    .to_vec(),
            )
        }
        _ => {
            return Err(Error::malformed(
                "a RecipientEncryptedKey without a recipient",
            ));
        }
    };
    let key = wrapped_key(&mut cursor)?;
    cursor.end("a RecipientEncryptedKey")?;
    Ok((recipient, key))
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
