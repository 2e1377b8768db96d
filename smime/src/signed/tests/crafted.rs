//! SignedData put together by hand, signed by a P-256 key over whatever its author wants.

use der::asn1::ObjectIdentifier;

use super::*;
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::content::{ID_DATA, ID_SIGNED_DATA};
use crate::key::{RecipientId, Signer};

pub(super) const NULL: &[u8] = &[5, 0];

pub(super) fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new(text).unwrap()
}

pub(super) fn attribute(kind: &str, values: &[&[u8]]) -> Vec<u8> {
    constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OID, oid(kind).as_bytes()),
            &constructed(id::SET, values),
        ],
    )
}

pub(super) const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub(super) const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub(super) const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";

pub(super) struct Crafted {
    pub(super) signer: &'static Person,
    pub(super) kind: ObjectIdentifier,
    pub(super) content: Option<Vec<u8>>,
    /// digestAlgorithms
    pub(super) announced: Vec<Vec<u8>>,
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) crls: Vec<Vec<u8>>,
    pub(super) id: RecipientId,
    pub(super) digest: Vec<u8>,
    pub(super) algorithm: Vec<u8>,
    /// how it is signed, whatever the two above say
    pub(super) scheme: SignatureScheme,
    /// `None`: a signature without attributes
    pub(super) attributes: Option<Vec<Vec<u8>>>,
    /// unsignedAttrs, empty: none
    pub(super) unsigned: Vec<Vec<u8>>,
    /// how often the SignerInfo is there
    pub(super) copies: usize,
}

pub(super) const BODY: &[u8] = b"Content-Type: text/plain\r\n\r\nhello\r\n";

impl Crafted {
    /// As an honest sender makes it.
    pub(super) fn honest() -> Self {
        let signer = Person::shared(Kind::P256);
        let sha256 = encode(&DigestAlgorithm::Sha256.oid(), &[]);
        Crafted {
            signer,
            kind: ID_DATA,
            content: Some(BODY.to_vec()),
            announced: vec![sha256.clone()],
            certificates: vec![signer.certificate.der().to_vec()],
            crls: Vec::new(),
            id: RecipientId::IssuerSerial {
                issuer: signer.certificate.issuer_der(),
                serial: signer.certificate.serial().to_vec(),
            },
            digest: sha256,
            algorithm: encode(&oid("1.2.840.10045.4.3.2"), &[]),
            scheme: SignatureScheme::Ecdsa(DigestAlgorithm::Sha256),
            attributes: Some(vec![
                Self::content_type(&ID_DATA),
                Self::message_digest(BODY),
            ]),
            unsigned: Vec::new(),
            copies: 1,
        }
    }

    /// The same by a key that signs no digest.
    pub(super) fn pure(kind: Kind, scheme: SignatureScheme, algorithm: &ObjectIdentifier) -> Self {
        let signer = Person::shared(kind);
        let digest = encode(&scheme.digest().oid(), &[]);
        let of_content = tlv(id::OCTET_STRING, &scheme.digest().digest(BODY));
        Crafted {
            signer,
            announced: vec![digest.clone()],
            certificates: vec![signer.certificate.der().to_vec()],
            id: RecipientId::IssuerSerial {
                issuer: signer.certificate.issuer_der(),
                serial: signer.certificate.serial().to_vec(),
            },
            digest,
            algorithm: encode(algorithm, &[]),
            scheme,
            attributes: Some(vec![
                Self::content_type(&ID_DATA),
                attribute(MESSAGE_DIGEST, &[&of_content]),
            ]),
            ..Self::honest()
        }
    }

    pub(super) fn content_type(kind: &ObjectIdentifier) -> Vec<u8> {
        attribute(CONTENT_TYPE, &[&tlv(id::OID, kind.as_bytes())])
    }

    pub(super) fn message_digest(content: &[u8]) -> Vec<u8> {
        attribute(
            MESSAGE_DIGEST,
            &[&tlv(
                id::OCTET_STRING,
                &DigestAlgorithm::Sha256.digest(content),
            )],
        )
    }

    /// One more attribute.
    pub(super) fn with(mut self, attribute: Vec<u8>) -> Self {
        self.attributes.as_mut().unwrap().push(attribute);
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let set = self.attributes.as_ref().map(|a| a.concat());
        let covered = match &set {
            Some(set) => tlv(id::SET, set),
            None => self.content.clone().unwrap_or_default(),
        };
        let signature = self.signer.sign_message(self.scheme, &covered).unwrap();
        let signer_id = match &self.id {
            RecipientId::IssuerSerial { issuer, serial } => {
                constructed(id::SEQUENCE, &[issuer, &tlv(id::INTEGER, serial)])
            }
            RecipientId::Ski(ski) => tlv(id::context(0), ski),
        };
        let unsigned = if self.unsigned.is_empty() {
            Vec::new()
        } else {
            tlv(0xa1, &self.unsigned.concat())
        };
        let info = constructed(
            id::SEQUENCE,
            &[
                &tlv(id::INTEGER, &[1]),
                &signer_id,
                &self.digest,
                &set.map(|set| tlv(0xa0, &set)).unwrap_or_default(),
                &self.algorithm,
                &tlv(id::OCTET_STRING, &signature),
                &unsigned,
            ],
        );
        let explicit = self
            .content
            .as_ref()
            .map(|c| tlv(0xa0, &tlv(id::OCTET_STRING, c)))
            .unwrap_or_default();
        let field = |identifier: u8, all: &[Vec<u8>]| {
            if all.is_empty() {
                Vec::new()
            } else {
                tlv(identifier, &all.concat())
            }
        };
        let signed_data = constructed(
            id::SEQUENCE,
            &[
                &tlv(id::INTEGER, &[1]),
                &tlv(id::SET, &self.announced.concat()),
                &constructed(
                    id::SEQUENCE,
                    &[&tlv(id::OID, self.kind.as_bytes()), &explicit],
                ),
                &field(0xa0, &self.certificates),
                &field(0xa1, &self.crls),
                &tlv(id::SET, &info.repeat(self.copies)),
            ],
        );
        constructed(
            id::SEQUENCE,
            &[
                &tlv(id::OID, ID_SIGNED_DATA.as_bytes()),
                &tlv(0xa0, &signed_data),
            ],
        )
    }

    pub(super) fn outcome(&self) -> VerifyOutcome {
        check(&self.build()).unwrap()
    }
}
