//! One SignerInfo (RFC 5652 §5.3): read, and judged against content and certificates.

use der::asn1::ObjectIdentifier;

use super::attributes::{self, SignedAttributes, looks_like_attributes, sorted};
use super::restrict::is_weak;
use super::{Claims, SignatureState, SignerOutcome, claims, scheme};
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::AlgorithmId;
use crate::ber::{Cursor, id, tlv};
use crate::cert::{Certificate, KeyType, hex};
use crate::content::ID_DATA;
use crate::error::{Error, Result};
use crate::ess::{Attributes, Ess};
use crate::key::{RecipientId, VerifyingKey, verify_message, verify_signature};
use crate::limits;
use crate::profile::Profile;

/// The fields of a SignerInfo, as they lie there. Its version says nothing that the fields do not say, so it is not looked at.
#[derive(Debug)]
pub(super) struct SignerInfo<'a> {
    pub(super) id: RecipientId,
    pub(super) digest: AlgorithmId<'a>,
    /// content of the `[0] IMPLICIT SET OF`
    pub(super) signed_attributes: Option<&'a [u8]>,
    pub(super) algorithm: AlgorithmId<'a>,
    pub(super) signature: &'a [u8],
    /// content of the `[1] IMPLICIT SET OF`
    pub(super) unsigned_attributes: Option<&'a [u8]>,
}

impl<'a> SignerInfo<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self> {
        let mut outer = Cursor::new(der);
        let mut cursor = Cursor::new(outer.expect(id::SEQUENCE, "SignerInfo")?.content);
        outer.end("a SignerInfo")?;
        cursor.expect(id::INTEGER, "version of a SignerInfo")?;
        let signer = cursor
            .next()?
            .ok_or_else(|| Error::malformed("a SignerInfo without a signer"))?;
        let signer_id = match signer.id {
            id::SEQUENCE => issuer_and_serial(signer.content)?,
            SKI => RecipientId::Ski(signer.content.to_vec()),
            _ => {
                return Err(Error::malformed(
                    "a SignerInfo that names its signer in an unknown way",
                ));
            }
        };
        let digest = AlgorithmId::parse(cursor.expect(id::SEQUENCE, "digestAlgorithm")?.content)?;
        let signed_attributes = cursor
            .optional(id::context_constructed(0))?
            .map(|a| a.content);
        if signed_attributes.is_some_and(|a| a.len() > limits::ATTRIBUTES) {
            return Err(Error::LimitExceeded {
                what: "bytes of signed attributes",
                limit: limits::ATTRIBUTES as u64,
            });
        }
        let algorithm =
            AlgorithmId::parse(cursor.expect(id::SEQUENCE, "signatureAlgorithm")?.content)?;
        let signature = cursor.expect(id::OCTET_STRING, "signature")?.content;
        let unsigned_attributes = cursor
            .optional(id::context_constructed(1))?
            .map(|a| a.content);
        cursor.end("a SignerInfo")?;
        Ok(SignerInfo {
            id: signer_id,
            digest,
            signed_attributes,
            algorithm,
            signature,
            unsigned_attributes,
        })
    }

    /// Its digest, if it is one we know.
    pub(super) fn digest(&self) -> Option<DigestAlgorithm> {
        DigestAlgorithm::from_oid(&self.digest.oid)
    }

    /// Its signature is over the content itself, not over a digest of it.
    pub(super) fn needs_whole_content(&self) -> bool {
        self.signed_attributes.is_none()
            && scheme::resolve(&self.digest, &self.algorithm)
                .is_ok_and(|scheme| scheme.prehash().is_none())
    }

    /// `named` are the certificates that its identifier fits.
    pub(super) fn judge(&self, content: &Content<'_>, named: &[&Certificate]) -> SignerOutcome {
        let attributes = self.signed_attributes.map(SignedAttributes::parse);
        let signing_time = attributes
            .as_ref()
            .and_then(|a| a.as_ref().ok())
            .and_then(|a| a.signing_time);
        let (state, certificates) = match self.check_content(attributes, content) {
            Ok((scheme, attributes)) => {
                self.check_signature(scheme, attributes.as_ref(), content, named)
            }
            Err(state) => (state, named.first().copied().into_iter().collect()),
        };
        SignerOutcome {
            alternatives: certificates.iter().skip(1).copied().cloned().collect(),
            ..self.outcome(state, certificates.first().copied(), signing_time)
        }
    }

    pub(super) fn outcome(
        &self,
        state: SignatureState,
        certificate: Option<&Certificate>,
        signing_time: Option<u64>,
    ) -> SignerOutcome {
        let scheme = scheme::resolve(&self.digest, &self.algorithm).ok();
        let claims = match self.signed_attributes {
            Some(set) if state == SignatureState::Valid => claims::read(set),
            _ => Claims::default(),
        };
        let key = certificate.map(Certificate::key_type);
        SignerOutcome {
            ess: self.ess(&state),
            countersignatures: Vec::new(),
            id: self.id.clone(),
            state,
            certificate: certificate.cloned(),
            alternatives: Vec::new(),
            digest: self.digest(),
            algorithm: scheme::name(&self.algorithm.oid),
            signing_time,
            weak: is_weak(&Profile::legacy_read(), self.digest(), scheme, key),
            scheme,
            claims,
        }
    }

    fn ess(&self, state: &SignatureState) -> Ess {
        let set = self.signed_attributes.unwrap_or_default();
        let forms = covered(set)
            .into_iter()
            .flatten()
            .filter(|_| self.signed_attributes.is_some());
        let digests = self
            .digest()
            .map(|digest| forms.map(|form| digest.digest(&form)).collect());
        Ess {
            signature: self.signature.to_vec(),
            attribute_digests: digests.unwrap_or_default(),
            attributes: if *state == SignatureState::Valid {
                Attributes::read(set)
            } else {
                Attributes::default()
            },
        }
    }

    /// All that needs no key: algorithms, attributes, the content's digest.
    fn check_content(
        &self,
        attributes: Option<std::result::Result<SignedAttributes<'a>, SignatureState>>,
        content: &Content<'_>,
    ) -> std::result::Result<(SignatureScheme, Option<SignedAttributes<'a>>), SignatureState> {
        let scheme = scheme::resolve(&self.digest, &self.algorithm)?;
        if !content.announced.contains(&scheme.digest()) {
            return Err(invalid(
                "its digest is not among the digestAlgorithms of the message",
            ));
        }
        if let Some(unsigned) = self.unsigned_attributes {
            attributes::check_unsigned(unsigned)?;
        }
        let Some(attributes) = attributes.transpose()? else {
            if content.kind != ID_DATA {
                return Err(invalid(
                    "no signed attributes, though the content is not plain data (RFC 5652 §5.3)",
                ));
            }
            if looks_like_attributes(content.start) {
                return Err(invalid(
                    "no signed attributes, over content that looks like such: the signature of something else, moved",
                ));
            }
            return Ok((scheme, None));
        };
        match attributes.content_type {
            None => return Err(invalid("the signed attributes lack contentType")),
            Some(kind) if kind != content.kind => {
                return Err(invalid(
                    "the signed attributes were made for another type of content",
                ));
            }
            Some(_) => {}
        }
        let Some(expected) = attributes.message_digest else {
            return Err(invalid("the signed attributes lack messageDigest"));
        };
        if !content
            .digests(scheme.digest())
            .any(|digest| digest == expected)
        {
            return Err(invalid(
                "the content is not what was signed: it was changed on its way",
            ));
        }
        Ok((scheme, Some(attributes)))
    }

    /// Tries every certificate that the SignerInfo may mean (RFC 8551 §2.6): gives those by which it is valid, else the first.
    pub(super) fn check_signature<'c>(
        &self,
        scheme: SignatureScheme,
        attributes: Option<&SignedAttributes<'_>>,
        content: &Content<'_>,
        named: &[&'c Certificate],
    ) -> (SignatureState, Vec<&'c Certificate>) {
        let mut valid = Vec::new();
        let mut verdict = None;
        for &certificate in named {
            let state = if attributes.is_some_and(|a| !a.names(certificate)) {
                invalid("the signer meant another certificate (signingCertificate attribute)")
            } else {
                self.check_with(scheme, content, certificate)
            };
            if state == SignatureState::Valid {
                valid.push(certificate);
            }
            verdict.get_or_insert((state, vec![certificate]));
        }
        if !valid.is_empty() {
            return (SignatureState::Valid, valid);
        }
        verdict.unwrap_or_else(|| {
            (
                SignatureState::Unsupported(self.missing_certificate()),
                Vec::new(),
            )
        })
    }

    fn check_with(
        &self,
        scheme: SignatureScheme,
        content: &Content<'_>,
        certificate: &Certificate,
    ) -> SignatureState {
        match certificate.key_type() {
            KeyType::Rsa(bits) if bits < 1024 => {
                return invalid(&format!(
                    "a signature by an RSA key of {bits} bits proves nothing"
                ));
            }
            KeyType::Rsa(_) => {
                let key = certificate.verifying_key();
                if let Some(why) = key.and_then(VerifyingKey::out_of_reach) {
                    return SignatureState::Unsupported(why);
                }
            }
            KeyType::Ec(_) | KeyType::Brainpool(_) | KeyType::Ed25519 | KeyType::MlDsa(_) => {}
            other => {
                return SignatureState::Unsupported(format!(
                    "keys of the kind {other} are not known"
                ));
            }
        }
        let over = |message: &[u8]| verify_message(certificate, scheme, message, self.signature);
        let good = match (self.signed_attributes, scheme.prehash()) {
            (Some(set), _) => covered(set).into_iter().flatten().any(|set| over(&set)),
            (None, Some(digest)) => content
                .digests(digest)
                .any(|digest| verify_signature(certificate, scheme, digest, self.signature)),
            (None, None) => match content.whole {
                Some(whole) => whole.iter().any(|content| over(content)),
                None => {
                    return SignatureState::Unsupported(format!(
                        "{} over the content itself, which is longer than {} bytes (no signed attributes)",
                        scheme.name(),
                        limits::WHOLE_CONTENT
                    ));
                }
            },
        };
        if good {
            SignatureState::Valid
        } else {
            invalid(
                "the signature is not by the key of the certificate, or signed attributes were changed",
            )
        }
    }

    fn missing_certificate(&self) -> String {
        let who = match &self.id {
            RecipientId::IssuerSerial { serial, .. } => format!("serial number {}", hex(serial)),
            RecipientId::Ski(ski) => format!("key identifier {}", hex(ski)),
        };
        format!("the signer's certificate ({who}) is neither in the message nor known here")
    }
}

/// What the SignerInfos are judged against.
pub(super) struct Content<'a> {
    pub(super) kind: ObjectIdentifier,
    /// digestAlgorithms of the SignedData that we know
    pub(super) announced: &'a [DigestAlgorithm],
    /// digests with CRLF line ends where that matters, and of the bytes as they came
    pub(super) digests: &'a [(DigestAlgorithm, Vec<u8>)],
    /// the first [`super::attributes::START`] bytes
    pub(super) start: &'a [u8],
    /// the content with CRLF line ends where that matters, and as it came; `None`: too long, or nobody needs it
    pub(super) whole: Option<&'a [Vec<u8>]>,
}

impl Content<'_> {
    pub(super) fn digests(&self, algorithm: DigestAlgorithm) -> impl Iterator<Item = &[u8]> {
        self.digests
            .iter()
            .filter(move |(a, _)| *a == algorithm)
            .map(|(_, digest)| digest.as_slice())
    }
}

/// What a signature may cover: the attributes as a SET as they came, and in the order of DER if they came in another.
fn covered(set: &[u8]) -> [Option<Vec<u8>>; 2] {
    let in_order = sorted(set)
        .ok()
        .filter(|s| s != set)
        .map(|s| tlv(id::SET, &s));
    [Some(tlv(id::SET, set)), in_order]
}

/// `[0] IMPLICIT SubjectKeyIdentifier`
const SKI: u8 = id::context(0);

fn issuer_and_serial(content: &[u8]) -> Result<RecipientId> {
    let mut cursor = Cursor::new(content);
    let issuer = cursor.expect(id::SEQUENCE, "issuer")?.whole.to_vec();
    let serial = cursor.expect(id::INTEGER, "serialNumber")?.content.to_vec();
    cursor.end("an IssuerAndSerialNumber")?;
    Ok(RecipientId::IssuerSerial { issuer, serial })
}

fn invalid(why: &str) -> SignatureState {
    SignatureState::Invalid(why.to_owned())
}
