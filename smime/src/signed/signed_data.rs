//! SignedData (RFC 5652 §5.1) as a stream: what stands before the content, the content, what stands behind it.

use std::io::Read;

use der::asn1::ObjectIdentifier;

use super::signer::SignerInfo;
use crate::algorithm::DigestAlgorithm;
use crate::algorithm_id::AlgorithmId;
use crate::ber::{Header, Reader, id, single, tag};
use crate::cert::Certificate;
use crate::content::{self, ID_SIGNED_DATA};
use crate::error::{Error, Result};
use crate::limits;

/// A SignedData, read up to its content.
pub(super) struct SignedDataReader<R: Read> {
    reader: Reader<R>,
    /// digestAlgorithms that we know and whose parameters are as they should be
    pub(super) announced: Vec<DigestAlgorithm>,
    /// eContentType
    pub(super) kind: ObjectIdentifier,
}

/// What stands behind the content.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) certificates: Vec<Certificate>,
    /// DER
    pub(super) crls: Vec<Vec<u8>>,
    /// SignerInfos with definite lengths; each was parsed once, so it is well-formed
    pub(super) signer_infos: Vec<Vec<u8>>,
}

impl<R: Read> SignedDataReader<R> {
    /// Reads `ContentInfo { SignedData { version, digestAlgorithms, encapContentInfo { eContentType`.
    ///
    /// # Errors
    /// [`Error::NotSigned`] for CMS of another type.
    pub(super) fn open(body: R) -> Result<Self> {
        let mut reader = Reader::new(body);
        if content::enter(&mut reader)? != ID_SIGNED_DATA {
            return Err(Error::NotSigned);
        }
        reader.enter_universal(tag::SEQUENCE, "SignedData")?;
        let version = reader.expect("version")?;
        if !version.is_universal(tag::INTEGER)
            || version.constructed
            || version.len.is_none_or(|len| len > 8)
        {
            return Err(Error::malformed("version of the SignedData expected"));
        }
        reader.skip(&version)?;
        reader.enter_universal(tag::SET, "digestAlgorithms")?;
        let announced = read_digests(&mut reader)?;
        reader.leave()?;
        reader.enter_universal(tag::SEQUENCE, "encapContentInfo")?;
        let kind = content::read_oid(&mut reader, "eContentType")?;
        Ok(SignedDataReader {
            reader,
            announced,
            kind,
        })
    }

    /// Streams eContent; false if there is none.
    pub(super) fn content(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let Some(octets) = content::enter_octets(&mut self.reader)? else {
            self.reader.leave()?;
            return Ok(false);
        };
        self.reader.octets(&octets, sink)?;
        self.reader.leave()?;
        self.reader.leave()?;
        Ok(true)
    }

    /// After [`Self::content`]: certificates, CRLs and SignerInfos, and the end of the input.
    pub(super) fn finish(mut self) -> Result<Rest> {
        let mut rest = Rest::default();
        let mut next = self.reader.expect("signerInfos")?;
        if next.is_context(0) {
            self.read_certificates(&next, &mut rest)?;
            next = self.reader.expect("signerInfos")?;
        }
        if next.is_context(1) {
            let what = Limit {
                what: "CRLs",
                most: limits::CERTIFICATES,
            };
            each(&mut self.reader, &next, &what, |der, header| {
                // OtherRevocationInfoFormat (OCSP) is [1]: not a CRL
                if header.is_universal(tag::SEQUENCE) {
                    rest.crls.push(der);
                }
                Ok(())
            })?;
            next = self.reader.expect("signerInfos")?;
        }
        if !next.is_universal(tag::SET) {
            return Err(Error::malformed("signerInfos expected"));
        }
        let what = Limit {
            what: "signers",
            most: limits::SIGNERS,
        };
        each(&mut self.reader, &next, &what, |der, _| {
            SignerInfo::parse(&der)?;
            rest.signer_infos.push(der);
            Ok(())
        })?;
        self.reader.leave()?;
        content::leave(self.reader)?;
        Ok(rest)
    }

    fn read_certificates(&mut self, set: &Header, rest: &mut Rest) -> Result<()> {
        let what = Limit {
            what: "certificates",
            most: limits::CERTIFICATES,
        };
        each(&mut self.reader, set, &what, |der, header| {
            // the other choices are PKCS#6 and attribute certificates (RFC 5652 §10.2.2). An X.509 one that cannot be read is
            // passed over too: it may be a stranger's, and the signer's own is then missing
            if header.is_universal(tag::SEQUENCE)
                && let Ok(certificate) = Certificate::from_der(&der)
            {
                rest.certificates.push(certificate);
            }
            Ok(())
        })
    }
}

struct Limit {
    what: &'static str,
    most: usize,
}

/// Every element of a SET OF, in at most [`limits::ELEMENT`] bytes together.
fn each<R: Read>(
    reader: &mut Reader<R>,
    set: &Header,
    limit: &Limit,
    mut take: impl FnMut(Vec<u8>, &Header) -> Result<()>,
) -> Result<()> {
    reader.enter(set)?;
    let mut room = limits::ELEMENT;
    let mut count = 0usize;
    while let Some(header) = reader.next()? {
        count = count.saturating_add(1);
        if count > limit.most {
            return Err(Error::LimitExceeded {
                what: limit.what,
                limit: limit.most as u64,
            });
        }
        let der = reader.element(&header, room)?;
        room = room.saturating_sub(der.len());
        take(der, &header)?;
    }
    reader.leave()
}

fn read_digests<R: Read>(reader: &mut Reader<R>) -> Result<Vec<DigestAlgorithm>> {
    let mut known = Vec::new();
    let mut count = 0usize;
    while let Some(header) = reader.next()? {
        count = count.saturating_add(1);
        if count > limits::DIGESTS {
            return Err(Error::LimitExceeded {
                what: "digest algorithms",
                limit: limits::DIGESTS as u64,
            });
        }
        let der = reader.element(&header, ALGORITHM)?;
        let algorithm = AlgorithmId::parse(single(&der, id::SEQUENCE, "digestAlgorithm")?.content)?;
        if let Some(digest) =
            DigestAlgorithm::from_oid(&algorithm.oid).filter(|_| algorithm.is_plain())
            && !known.contains(&digest)
        {
            known.push(digest);
        }
    }
    Ok(known)
}

/// Longest AlgorithmIdentifier of a digest, bytes.
const ALGORITHM: usize = 1024;
