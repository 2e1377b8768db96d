//! Encrypting, as a sink: one pass.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use super::address::recipient_info;
use super::cbc::CbcEncryptor;
use super::chacha::{self, ChaChaEncryptor};
use super::gcm::GcmEncryptor;
use super::{BLOCK, EncryptOptions, EncryptResult, SLACK};
use crate::algorithm::Cipher;
use crate::algorithm_id::encode;
use crate::ber::{HELD, Writer, constructed, id, tlv};
use crate::cert::{Certificate, KeyType};
use crate::content::{ID_AUTH_ENVELOPED_DATA, ID_DATA, ID_ENVELOPED_DATA};
use crate::error::{Error, Result};
use crate::io::read_some;
use crate::limits::RECIPIENTS;
use crate::mime::{CmsWriter, MediaType};

/// Encrypts `input` as it is (the caller canonicalises) for every recipient and writes the message.
///
/// # Errors
/// Those of [`Encryptor::new`] and of the streams.
pub fn encrypt(
    input: &mut dyn Read,
    output: &mut dyn Write,
    recipients: &[Certificate],
    options: &EncryptOptions,
) -> Result<EncryptResult> {
    let mut encryptor = Encryptor::new(output, recipients, options)?;
    let mut buffer = vec![0; BLOCK];
    loop {
        let chunk = read_some(input, &mut buffer)?;
        if chunk.is_empty() {
            return encryptor.finish();
        }
        encryptor.push(chunk)?;
    }
}

/// The same as a `Write`, so that a signature can be written straight into it.
pub struct Encryptor<W: Write> {
    out: Writer<CmsWriter<W>>,
    head: Head,
    seal: Seal,
    /// Content that waits: all of it while it may still be short, then less than one block.
    held: Vec<u8>,
    /// One encrypted block; allocated with the first.
    block: Vec<u8>,
    streaming: bool,
    result: EncryptResult,
}

/// What is written before the content.
struct Head {
    authenticated: bool,
    /// DER of EnvelopedData's version
    version: [u8; 3],
    /// SET OF RecipientInfo
    recipients: Vec<u8>,
    /// contentType and contentEncryptionAlgorithm
    content: Vec<u8>,
}

impl Head {
    fn content_type(&self) -> ObjectIdentifier {
        if self.authenticated {
            ID_AUTH_ENVELOPED_DATA
        } else {
            ID_ENVELOPED_DATA
        }
    }
}

impl<W: Write> Encryptor<W> {
    /// Makes a content-encryption key and encrypts it to each certificate (named twice, it gets it once).
    ///
    /// # Errors
    /// `Certificate` for no recipient, or one whose key or key usage does not allow encryption; `WeakAlgorithm` and `Refused` for
    /// what the profile does not write; `LimitExceeded` above [`RECIPIENTS`].
    pub fn new(out: W, recipients: &[Certificate], options: &EncryptOptions) -> Result<Self> {
        if recipients.is_empty() {
            return Err(Error::Certificate("no recipient was given".to_owned()));
        }
        if recipients.len() > RECIPIENTS {
            return Err(Error::LimitExceeded {
                what: "recipients",
                limit: RECIPIENTS as u64,
            });
        }
        let cipher = options.cipher;
        options.profile.writes_cipher(cipher)?;
        let mut key = Zeroizing::new([0u8; 32]);
        let key = key.get_mut(..cipher.key_len()).unwrap_or(&mut []);
        random(key)?;

        let mut seen = HashSet::new();
        let mut infos = Vec::new();
        let mut version = 0;
        for certificate in recipients {
            if seen.insert(certificate.sha256()) {
                infos.push(recipient_info(certificate, key, options)?);
                // RFC 5652 §6.1: 3 with an OtherRecipientInfo, 2 where not every RecipientInfo has version 0
                version = version.max(match certificate.key_type() {
                    KeyType::Rsa(_) => 0,
                    KeyType::MlKem(_) => 3,
                    _ => 2,
                });
            }
        }
        // SET OF in DER: in ascending order (X.690 §11.6)
        infos.sort_unstable();

        let (seal, parameters) = Seal::new(cipher, key)?;
        let authenticated = cipher.is_authenticated();
        // RFC 5083 §2.1
        let version = if authenticated { 0 } else { version };
        let media_type = if authenticated {
            MediaType::AuthEnvelopedData
        } else {
            MediaType::EnvelopedData
        };
        Ok(Encryptor {
            out: Writer::new(CmsWriter::new(out, options.format, media_type, true)?),
            head: Head {
                authenticated,
                version: [id::INTEGER, 1, version],
                recipients: tlv(id::SET, &infos.concat()),
                content: [
                    tlv(id::OID, ID_DATA.as_bytes()),
                    encode(&cipher.oid(), &parameters),
                ]
                .concat(),
            },
            seal,
            held: Vec::new(),
            block: Vec::new(),
            streaming: false,
            result: EncryptResult {
                profile: options.profile.name().to_owned(),
                cipher,
                recipients: u32::try_from(infos.len()).unwrap_or(u32::MAX),
            },
        })
    }

    /// Writes tag and end; without this the message is truncated.
    pub fn finish(self) -> Result<EncryptResult> {
        let Encryptor {
            mut out,
            head,
            seal,
            held,
            ..
        } = self;
        if self.streaming {
            finish_stream(&mut out, seal, &held)?;
        } else {
            finish_short(&mut out, &head, seal, &held)?;
        }
        out.into_inner().finish()?.flush()?;
        Ok(self.result)
    }

    fn push(&mut self, mut data: &[u8]) -> Result<()> {
        if !self.streaming {
            if self.held.len().saturating_add(data.len()) <= HELD {
                self.held.extend_from_slice(data);
                return Ok(());
            }
            self.start_stream()?;
        }
        if !self.held.is_empty() {
            let room = BLOCK.saturating_sub(self.held.len());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.held.extend_from_slice(now);
            data = later;
            if self.held.len() < BLOCK {
                return Ok(());
            }
            let held = std::mem::take(&mut self.held);
            self.encrypt_block(&held)?;
            self.held = held;
            self.held.clear();
        }
        let mut blocks = data.chunks_exact(BLOCK);
        for block in &mut blocks {
            self.encrypt_block(block)?;
        }
        self.held.extend_from_slice(blocks.remainder());
        Ok(())
    }

    /// Everything up to the content, in indefinite lengths, and what was held of the content.
    fn start_stream(&mut self) -> Result<()> {
        self.out.begin(id::SEQUENCE)?;
        self.out
            .raw(&tlv(id::OID, self.head.content_type().as_bytes()))?;
        self.out.begin(id::context_constructed(0))?;
        self.out.begin(id::SEQUENCE)?;
        self.out.raw(&self.head.version)?;
        self.out.raw(&self.head.recipients)?;
        self.out.begin(id::SEQUENCE)?;
        self.out.raw(&self.head.content)?;
        self.out.octets_begin(id::context_constructed(0))?;
        self.streaming = true;
        self.block = vec![0; BLOCK + SLACK];

        let held = std::mem::take(&mut self.held);
        self.held.reserve_exact(BLOCK);
        let mut blocks = held.chunks_exact(BLOCK);
        for block in &mut blocks {
            self.encrypt_block(block)?;
        }
        self.held.extend_from_slice(blocks.remainder());
        Ok(())
    }

    fn encrypt_block(&mut self, plain: &[u8]) -> Result<()> {
        let count = self.seal.update(plain, &mut self.block)?;
        self.out
            .octets_chunk(self.block.get(..count).unwrap_or(&[]))?;
        Ok(())
    }
}

fn finish_stream<W: Write>(out: &mut Writer<W>, seal: Seal, rest: &[u8]) -> Result<()> {
    let mut buffer = vec![0; rest.len().saturating_add(2 * SLACK)];
    let (count, tag) = seal.last(rest, &mut buffer)?;
    out.octets_chunk(buffer.get(..count).unwrap_or(&[]))?;
    out.octets_end()?;
    out.end()?;
    if let Some(tag) = tag {
        out.raw(&tlv(id::OCTET_STRING, &tag))?;
    }
    for _ in 0..3 {
        out.end()?;
    }
    Ok(())
}

/// The whole message in DER.
fn finish_short<W: Write>(
    out: &mut Writer<W>,
    head: &Head,
    seal: Seal,
    content: &[u8],
) -> Result<()> {
    let mut encrypted = vec![0; content.len().saturating_add(2 * SLACK)];
    let (count, tag) = seal.last(content, &mut encrypted)?;
    encrypted.truncate(count);
    let content = constructed(
        id::SEQUENCE,
        &[&head.content, &tlv(id::context(0), &encrypted)],
    );
    let mac = tag
        .map(|tag| tlv(id::OCTET_STRING, &tag))
        .unwrap_or_default();
    let data = constructed(
        id::SEQUENCE,
        &[&head.version, &head.recipients, &content, &mac],
    );
    let wrapper = tlv(id::context_constructed(0), &data);
    out.raw(&constructed(
        id::SEQUENCE,
        &[&tlv(id::OID, head.content_type().as_bytes()), &wrapper],
    ))?;
    Ok(())
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.push(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|e| Error::Io(io::Error::other(e)))
}

/// The content cipher of a message.
enum Seal {
    Cbc(CbcEncryptor),
    Gcm(Box<GcmEncryptor>),
    ChaCha(Box<ChaChaEncryptor>),
}

impl Seal {
    /// With a fresh IV or nonce, which comes back as the AlgorithmIdentifier's parameters.
    fn new(cipher: Cipher, key: &[u8]) -> Result<(Self, Vec<u8>)> {
        if cipher == Cipher::ChaCha20Poly1305 {
            let mut nonce = [0; chacha::NONCE];
            random(&mut nonce)?;
            let chacha = ChaChaEncryptor::new(key, &nonce, &[])?;
            // RFC 8103 §2: the nonce is all there is
            let parameters = tlv(id::OCTET_STRING, &nonce);
            return Ok((Seal::ChaCha(Box::new(chacha)), parameters));
        }
        if cipher.is_authenticated() {
            let mut nonce = [0; 12];
            random(&mut nonce)?;
            let gcm = GcmEncryptor::new(key, &nonce)?;
            // the tag's length is written out because its default is 12 (RFC 5084 §3.2)
            let parameters = constructed(
                id::SEQUENCE,
                &[&tlv(id::OCTET_STRING, &nonce), &[id::INTEGER, 1, 16]],
            );
            return Ok((Seal::Gcm(Box::new(gcm)), parameters));
        }
        let mut iv = [0; 16];
        random(&mut iv)?;
        Ok((
            Seal::Cbc(CbcEncryptor::new(key, iv)?),
            tlv(id::OCTET_STRING, &iv),
        ))
    }

    /// Encrypts into `out`, [`SLACK`] bytes longer than `plain`; says how many bytes are there.
    fn update(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize> {
        match self {
            Seal::Cbc(cbc) => cbc.update(plain, out),
            Seal::Gcm(gcm) => gcm.update(plain, out).map(|()| plain.len()),
            Seal::ChaCha(chacha) => chacha.update(plain, out).map(|()| plain.len()),
        }
    }

    /// The end of the content into `out`, twice [`SLACK`] bytes longer: how many bytes are there, and the tag.
    fn last(mut self, plain: &[u8], out: &mut [u8]) -> Result<(usize, Option<[u8; 16]>)> {
        let count = self.update(plain, out)?;
        let room = out.get_mut(count..).unwrap_or(&mut []);
        match self {
            Seal::Cbc(cbc) => Ok((count.saturating_add(cbc.finish(room)?), None)),
            Seal::Gcm(gcm) => Ok((count, Some(gcm.finish(&[])?))),
            Seal::ChaCha(chacha) => Ok((count, Some(chacha.finish()))),
        }
    }
}
