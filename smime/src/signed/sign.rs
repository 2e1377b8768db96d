//! Making a signature: one pass over the content.

use std::io::{Read, Write};

use super::{SignForm, SignOptions, SignResult, attributes, claims, scheme};
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{HELD, Writer, constructed, id, tlv};
use crate::cert::{Certificate, hex};
use crate::content::{ID_DATA, ID_SIGNED_DATA};
use crate::error::{Error, Result};
use crate::io::read_some;
use crate::key::{KeyError, Signer, verify_message};
use crate::mime::{CanonicalReader, CmsWriter, Form, MediaType, SevenBit};

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Signs `input` and writes the message. One pass, constant memory. The signature is verified against `certificate` before
/// anything of the SignedData is written (design rule 4); only the content of a long opaque message goes out earlier, because
/// it lies in front of its signature.
///
/// # Errors
/// [`crate::Error::Key`] from the signer, `Certificate` when the key type cannot sign, `WeakAlgorithm` and `Refused` for what the
/// profile does not write, `InvalidOption` for a clear signature in another format than S/MIME and for a content hint that is too long, `Io`/`NoSpace` of the streams.
pub fn sign(
    input: &mut dyn Read,
    output: &mut dyn Write,
    certificate: &Certificate,
    signer: &dyn Signer,
    options: &SignOptions,
) -> Result<SignResult> {
    let scheme = scheme::choose(certificate, options)?;
    let signing = Signing {
        certificate,
        signer,
        options,
        scheme,
    };
    let mut canonical;
    let content: &mut dyn Read = if options.canonicalize {
        canonical = CanonicalReader::new(input);
        &mut canonical
    } else {
        input
    };
    let mut seven_bit = SevenBit::default();
    let content_len = match options.form {
        SignForm::Clear => signing.clear(content, output, &mut seven_bit)?,
        SignForm::Opaque => signing.opaque(content, output)?,
        SignForm::Detached => signing.detached(content, output)?,
    };
    output.flush()?;
    Ok(SignResult {
        profile: options.profile.name().to_owned(),
        digest: scheme.digest(),
        algorithm: scheme.name(),
        content_len,
        may_break: !seven_bit.holds(),
    })
}

/// Whether [`sign`] could sign so, for who wants to know before a person is asked for a PIN.
///
/// # Errors
/// Those that do not come from key and streams.
pub fn check_signing(certificate: &Certificate, options: &SignOptions) -> Result<()> {
    scheme::choose(certificate, options)?;
    claims::encode(certificate, options).map(|_| ())
}

struct Signing<'a> {
    certificate: &'a Certificate,
    signer: &'a dyn Signer,
    options: &'a SignOptions,
    scheme: SignatureScheme,
}

impl Signing<'_> {
    /// `multipart/signed` (RFC 8551 §3.5.3).
    fn clear(
        &self,
        content: &mut dyn Read,
        output: &mut dyn Write,
        seven_bit: &mut SevenBit,
    ) -> Result<u64> {
        if self.options.format != Form::Smime {
            return Err(Error::InvalidOption(
                "a clear signature is a MIME message: it has no DER or PEM format (choose the form opaque or detached)".into(),
            ));
        }
        let boundary = boundary()?;
        let head = format!(
            "MIME-Version: 1.0\r\n\
             Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n \
             micalg={};\r\n boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\n",
            self.digest().micalg()
        );
        output.write_all(head.as_bytes())?;
        let (digest, len) = self.hash(content, &mut |chunk| {
            seven_bit.update(chunk);
            Ok(output.write_all(chunk)?)
        })?;
        output.write_all(format!("\r\n--{boundary}\r\n").as_bytes())?;
        let signed_data = self.signed_data(&self.encapsulated(None), &digest)?;
        let mut signature = CmsWriter::new(&mut *output, Form::Smime, MediaType::Signature, false)?;
        signature.write_all(&signed_data)?;
        signature
            .finish()?
            .write_all(format!("\r\n--{boundary}--\r\n").as_bytes())?;
        Ok(len)
    }

    fn detached(&self, content: &mut dyn Read, output: &mut dyn Write) -> Result<u64> {
        let (digest, len) = self.hash(content, &mut |_| Ok(()))?;
        let signed_data = self.signed_data(&self.encapsulated(None), &digest)?;
        // not application/pkcs7-signature, which belongs below a multipart/signed: openssl refuses it as a message
        let mut out = CmsWriter::new(output, self.options.format, MediaType::SignedData, true)?;
        out.write_all(&signed_data)?;
        out.finish()?;
        Ok(len)
    }

    fn opaque(&self, content: &mut dyn Read, output: &mut dyn Write) -> Result<u64> {
        let mut held = Vec::with_capacity(16 << 10);
        (&mut *content).take(HELD as u64).read_to_end(&mut held)?;
        let mut hasher = self.digest().hasher();
        hasher.update(&held);
        let mut buffer = vec![0; if held.len() < HELD { 1 } else { CHUNK }];
        let mut chunk = read_some(content, &mut buffer)?;
        if chunk.is_empty() {
            let digest = hasher.finalize();
            let signed_data = self.signed_data(&self.encapsulated(Some(&held)), &digest)?;
            let mut out = CmsWriter::new(output, self.options.format, MediaType::SignedData, true)?;
            out.write_all(&signed_data)?;
            out.finish()?;
            return Ok(held.len() as u64);
        }
        let mut out = Writer::new(CmsWriter::new(
            output,
            self.options.format,
            MediaType::SignedData,
            true,
        )?);
        out.begin(id::SEQUENCE)?;
        out.raw(&tlv(id::OID, ID_SIGNED_DATA.as_bytes()))?;
        out.begin(id::context_constructed(0))?;
        out.begin(id::SEQUENCE)?;
        out.raw(&self.before_content())?;
        out.begin(id::SEQUENCE)?;
        out.raw(&tlv(id::OID, ID_DATA.as_bytes()))?;
        out.begin(id::context_constructed(0))?;
        out.octets_begin(id::OCTET_STRING | id::CONSTRUCTED)?;
        out.octets_chunk(&held)?;
        let mut len = held.len() as u64;
        drop(held);
        while !chunk.is_empty() {
            hasher.update(chunk);
            out.octets_chunk(chunk)?;
            len = len.saturating_add(chunk.len() as u64);
            chunk = read_some(content, &mut buffer)?;
        }
        out.octets_end()?;
        out.end()?;
        out.end()?;
        out.raw(&self.after_content(&hasher.finalize())?)?;
        out.end()?;
        out.end()?;
        out.end()?;
        out.into_inner().finish()?;
        Ok(len)
    }

    fn digest(&self) -> DigestAlgorithm {
        self.scheme.digest()
    }

    /// Hashes what comes, and hands it on.
    fn hash(
        &self,
        content: &mut dyn Read,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<(Box<[u8]>, u64)> {
        let mut hasher = self.digest().hasher();
        let mut buffer = vec![0; CHUNK];
        let mut len = 0u64;
        loop {
            let chunk = read_some(content, &mut buffer)?;
            if chunk.is_empty() {
                return Ok((hasher.finalize(), len));
            }
            hasher.update(chunk);
            sink(chunk)?;
            len = len.saturating_add(chunk.len() as u64);
        }
    }

    /// The whole ContentInfo, DER.
    fn signed_data(&self, encapsulated: &[u8], content_digest: &[u8]) -> Result<Vec<u8>> {
        let after = self.after_content(content_digest)?;
        let signed_data = constructed(
            id::SEQUENCE,
            &[&self.before_content(), encapsulated, &after],
        );
        let explicit = tlv(id::context_constructed(0), &signed_data);
        Ok(constructed(
            id::SEQUENCE,
            &[&tlv(id::OID, ID_SIGNED_DATA.as_bytes()), &explicit],
        ))
    }

    /// encapContentInfo.
    fn encapsulated(&self, content: Option<&[u8]>) -> Vec<u8> {
        let explicit = content
            .map(|c| tlv(id::context_constructed(0), &tlv(id::OCTET_STRING, c)))
            .unwrap_or_default();
        constructed(
            id::SEQUENCE,
            &[&tlv(id::OID, ID_DATA.as_bytes()), &explicit],
        )
    }

    /// version (1: id-data and X.509 certificates only, RFC 5652 §5.1) and digestAlgorithms.
    fn before_content(&self) -> Vec<u8> {
        let digests = tlv(id::SET, &encode(&self.digest().oid(), &[]));
        [&tlv(id::INTEGER, &[1])[..], &digests].concat()
    }

    /// certificates and signerInfos.
    fn after_content(&self, content_digest: &[u8]) -> Result<Vec<u8>> {
        Ok([
            certificates(
                std::iter::once(self.certificate)
                    .chain(&self.options.chain)
                    .chain(&self.options.encryption_certificate),
            ),
            tlv(id::SET, &self.signer_info(content_digest)?),
        ]
        .concat())
    }

    fn signer_info(&self, content_digest: &[u8]) -> Result<Vec<u8>> {
        let mut more = claims::encode(self.certificate, self.options)?;
        let ess = self.options.ess.attributes()?;
        more.extend(
            ess.iter()
                .map(|(kind, value)| attributes::attribute(kind, value)),
        );
        let attributes = attributes::encode_signed(
            content_digest,
            self.options.signing_time,
            self.certificate,
            more,
        )?;
        signer_info(self.certificate, self.signer, self.scheme, &attributes)
    }
}

/// A SignerInfo with these signed attributes (the content of their SET OF, DER). The signature is verified before it is handed on.
pub(super) fn signer_info(
    certificate: &Certificate,
    signer: &dyn Signer,
    scheme: SignatureScheme,
    attributes: &[u8],
) -> Result<Vec<u8>> {
    let message = tlv(id::SET, attributes);
    let signature = signer.sign_message(scheme, &message)?;
    if !verify_message(certificate, scheme, &message, &signature) {
        return Err(Error::Key(KeyError::new(
            "TokenError",
            "the token made a signature that its own certificate does not confirm (is it the certificate of this key?)",
        )));
    }
    let serial = tlv(id::INTEGER, certificate.serial());
    Ok(constructed(
        id::SEQUENCE,
        &[
            &tlv(id::INTEGER, &[1]),
            &constructed(id::SEQUENCE, &[certificate.issuer_bytes(), &serial]),
            &encode(&scheme.digest().oid(), &[]),
            &tlv(id::context_constructed(0), attributes),
            &scheme::signature_algorithm(scheme),
            &tlv(id::OCTET_STRING, &signature),
        ],
    ))
}

/// The certificates of a SignedData, in the order of DER.
pub(super) fn certificates<'a>(all: impl Iterator<Item = &'a Certificate>) -> Vec<u8> {
    let mut all: Vec<&[u8]> = all.map(Certificate::der).collect();
    all.sort_unstable();
    all.dedup();
    constructed(id::context_constructed(0), &all)
}

/// Random, and with `=_`, which neither base64 nor quoted-printable can produce (RFC 2045 §6.7).
fn boundary() -> Result<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|e| Error::Io(std::io::Error::other(e)))?;
    Ok(format!("----=_{}", hex(&random)))
}
