//! EnvelopedData and AuthEnvelopedData around their content (RFC 5652 §6.1, RFC 5083 §2.1).

use std::io::Read;

use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_ENCRYPTED_DATA};

use super::originator::Certificates;
use super::recipient::{Recipients, version};
use super::{cbc, chacha};
use crate::algorithm::Cipher;
use crate::algorithm_id::{AlgorithmId, oid};
use crate::ber::{Cursor, Header, Reader, Tlv, id, single, tag};
use crate::content::{ID_AUTH_ENVELOPED_DATA, ID_DATA, ID_ENVELOPED_DATA};
use crate::error::{Error, Result};
use crate::key::KeyOpener;
use crate::limits::ATTRIBUTES;

/// An object identifier or algorithm of the envelope, bytes.
const SMALL: usize = 4096;
/// A nonce of AES-GCM, bytes. 12 is usual; RFC 5084 §3.2 allows others.
const NONCE: usize = 64;

/// What stands before the encrypted content.
pub(super) struct Envelope {
    pub(super) recipients: Recipients,
    pub(super) cipher: Cipher,
    pub(super) parameters: Parameters,
    /// encryptedContent, whose octets come next
    pub(super) content: Header,
}

/// Parameters of the content cipher.
pub(super) enum Parameters {
    /// one block (RFC 3565 §2.3.1, RFC 3370 §5)
    Cbc { iv: Vec<u8> },
    /// GCMParameters (RFC 5084 §3.2)
    Gcm { nonce: Vec<u8>, tag_len: usize },
    /// RFC 8103 §2
    ChaCha { nonce: [u8; chacha::NONCE] },
}

/// What stands behind it.
pub(super) struct Tail {
    /// authAttrs as a SET OF in DER, or nothing: what is authenticated beside the content (RFC 5083 §2.2)
    pub(super) aad: Vec<u8>,
    pub(super) mac: Vec<u8>,
}

impl Envelope {
    /// Reads as far as the encrypted content. Without an opener nobody is found among the recipients.
    pub(super) fn read<R: Read>(
        reader: &mut Reader<R>,
        opener: Option<&dyn KeyOpener>,
    ) -> Result<Self> {
        reader.enter_universal(tag::SEQUENCE, "ContentInfo")?;
        let outer = element(reader, "contentType")?;
        let authenticated = match oid(single(&outer, id::OID, "contentType")?.content)? {
            ID_ENVELOPED_DATA => false,
            ID_AUTH_ENVELOPED_DATA => true,
            ID_ENCRYPTED_DATA => {
                return Err(Error::UnsupportedAlgorithm(
                    "EncryptedData: a key that no recipient is given".to_owned(),
                ));
            }
            _ => return Err(Error::NotEncrypted),
        };
        let wrapper = reader.expect("content")?;
        if !wrapper.is_context(0) {
            return Err(Error::malformed("a ContentInfo without content"));
        }
        reader.enter(&wrapper)?;
        reader.enter_universal(tag::SEQUENCE, "EnvelopedData")?;
        version(&mut Cursor::new(&element(reader, "version")?))?;
        let mut certificates = Certificates::new(opener);
        if let Some(header) = reader.peek()?
            && header.is_context(0)
        {
            let header = reader.expect("originatorInfo")?;
            certificates.read_info(reader, &header)?;
        }
        let recipients = Recipients::read(reader, &certificates)?;

        reader.enter_universal(tag::SEQUENCE, "EncryptedContentInfo")?;
        let inner = element(reader, "contentType")?;
        let inner = oid(single(&inner, id::OID, "contentType")?.content)?;
        let algorithm = element(reader, "contentEncryptionAlgorithm")?;
        let algorithm = AlgorithmId::parse(
            single(&algorithm, id::SEQUENCE, "contentEncryptionAlgorithm")?.content,
        )?;
        let content = reader.expect("encryptedContent")?;
        if !content.is_context(0) {
            return Err(Error::malformed(
                "the encrypted content is not in the message",
            ));
        }
        // RFC 8551 §2.4.3. In AuthEnvelopedData another type would need authAttrs to be trusted (RFC 5083 §2.1).
        if inner != ID_DATA {
            return Err(Error::UnsupportedAlgorithm(format!(
                "encrypted content of type {inner}"
            )));
        }
        let cipher = Cipher::from_oid(&algorithm.oid)?;
        let (cipher, parameters) = match (authenticated, cipher.is_authenticated()) {
            (false, false) if cipher == Cipher::Rc2Cbc => rc2_parameters(algorithm.parameters)?,
            (false, false) => (cipher, cbc_parameters(cipher, algorithm.parameters)?),
            (true, true) if cipher == Cipher::ChaCha20Poly1305 => {
                (cipher, chacha_parameters(algorithm.parameters)?)
            }
            (true, true) => (cipher, gcm_parameters(algorithm.parameters)?),
            (false, true) => {
                return Err(Error::malformed(
                    "an authenticating cipher in EnvelopedData (RFC 5083 §1)",
                ));
            }
            (true, false) => {
                return Err(Error::malformed(
                    "a cipher that does not authenticate in AuthEnvelopedData",
                ));
            }
        };
        Ok(Envelope {
            recipients,
            cipher,
            parameters,
            content,
        })
    }

    /// Reads what follows the content, to the end of the message.
    pub(super) fn finish<R: Read>(&self, mut reader: Reader<R>) -> Result<Tail> {
        let mut tail = Tail {
            aad: Vec::new(),
            mac: Vec::new(),
        };
        reader.leave()?;
        if self.cipher.is_authenticated() {
            if reader.peek()?.is_some_and(|h| h.is_context(1)) {
                let header = reader.expect("authAttrs")?;
                tail.aad = auth_attributes(reader.element(&header, ATTRIBUTES)?)?;
            }
            let mac = element(&mut reader, "mac")?;
            tail.mac = single(&mac, id::OCTET_STRING, "mac")?.content.to_vec();
        }
        let unprotected = if self.cipher.is_authenticated() { 2 } else { 1 };
        if reader.peek()?.is_some_and(|h| h.is_context(unprotected)) {
            let header = reader.expect("unprotected attributes")?;
            reader.skip(&header)?;
        }
        reader.leave()?;
        reader.leave()?;
        reader.leave()?;
        reader.finish()?;
        Ok(tail)
    }
}

fn element<R: Read>(reader: &mut Reader<R>, what: &'static str) -> Result<Vec<u8>> {
    let header = reader.expect(what)?;
    reader.element(&header, SMALL)
}

fn cbc_parameters(cipher: Cipher, parameters: Option<Tlv<'_>>) -> Result<Parameters> {
    let iv = parameters
        .filter(|p| p.id == id::OCTET_STRING && p.content.len() == cbc::block_len(cipher))
        .ok_or_else(|| Error::malformed("a CBC IV that is not one block"))?;
    Ok(Parameters::Cbc {
        iv: iv.content.to_vec(),
    })
}

/// RC2CBCParameter (RFC 3370 §5.2), whose version stands for the effective bits (RFC 2268 §6).
fn rc2_parameters(parameters: Option<Tlv<'_>>) -> Result<(Cipher, Parameters)> {
    let parameters = parameters
        .filter(|p| p.id == id::SEQUENCE)
        .ok_or_else(|| Error::malformed("RC2 without parameters"))?;
    let mut cursor = Cursor::new(parameters.content);
    let cipher = match cursor.expect(id::INTEGER, "rc2ParameterVersion")?.content {
        [58] => Cipher::Rc2Cbc,
        [120] => Cipher::Rc264Cbc,
        [0, 160] => Cipher::Rc240Cbc,
        _ => {
            return Err(Error::UnsupportedAlgorithm(
                "RC2 with other than 40, 64 or 128 effective bits".to_owned(),
            ));
        }
    };
    let iv = cursor.next()?;
    cursor.end("RC2CBCParameter")?;
    Ok((cipher, cbc_parameters(cipher, iv)?))
}

fn chacha_parameters(parameters: Option<Tlv<'_>>) -> Result<Parameters> {
    let nonce = parameters
        .filter(|p| p.id == id::OCTET_STRING)
        .and_then(|p| p.content.try_into().ok());
    let nonce =
        nonce.ok_or_else(|| Error::malformed("a ChaCha20-Poly1305 nonce that is not 12 bytes"))?;
    Ok(Parameters::ChaCha { nonce })
}

fn gcm_parameters(parameters: Option<Tlv<'_>>) -> Result<Parameters> {
    let parameters = parameters
        .filter(|p| p.id == id::SEQUENCE)
        .ok_or_else(|| Error::malformed("AES-GCM without parameters"))?;
    let mut cursor = Cursor::new(parameters.content);
    let nonce = cursor
        .expect(id::OCTET_STRING, "aes-nonce")?
        .content
        .to_vec();
    let tag_len = match cursor.optional(id::INTEGER)?.map(|i| i.content) {
        None => 12,
        Some([len @ 12..=16]) => usize::from(*len),
        Some(_) => {
            return Err(Error::malformed(
                "an AES-GCM tag length other than 12 to 16",
            ));
        }
    };
    cursor.end("GCMParameters")?;
    if nonce.is_empty() || nonce.len() > NONCE {
        return Err(Error::malformed("an AES-GCM nonce of unreasonable length"));
    }
    Ok(Parameters::Gcm { nonce, tag_len })
}

/// authAttrs, `[1] IMPLICIT`, with the tag of a SET OF that the MAC is computed with (RFC 5083 §2.2). The content type in them
/// is the one outside, or somebody changed that.
fn auth_attributes(mut element: Vec<u8>) -> Result<Vec<u8>> {
    let mut all = Cursor::new(single(&element, id::context_constructed(1), "authAttrs")?.content);
    while let Some(attribute) = all.next()? {
        let mut attribute =
            Cursor::new(single(attribute.whole, id::SEQUENCE, "attribute")?.content);
        if oid(attribute.expect(id::OID, "attribute type")?.content)? == ID_CONTENT_TYPE {
            let values = attribute.expect(id::SET, "attribute values")?;
            if oid(single(values.content, id::OID, "content-type")?.content)? != ID_DATA {
                return Err(Error::malformed(
                    "a content-type attribute that contradicts the content",
                ));
            }
        }
    }
    if let Some(first) = element.first_mut() {
        *first = id::SET;
    }
    Ok(element)
}
