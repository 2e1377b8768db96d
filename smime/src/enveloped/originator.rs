//! Whose public key a key agreement is made with: a key in the message, or a certificate (RFC 5652 §6.2.2, RFC 5753 §3.1,
//! RFC 8418 §3.1). Nothing here says who sent a message: certificates are used for their keys only.

use std::cell::OnceCell;
use std::io::Read;

use const_oid::db::rfc5912::ID_EC_PUBLIC_KEY;
use const_oid::db::rfc8410::ID_X_25519;
use p256::elliptic_curve::sec1::ToSec1Point;

use super::recipient::issuer_and_serial;
use crate::algorithm_id::{AlgorithmId, oid};
use crate::ber::{Cursor, Header, Reader, id, single, tag};
use crate::cert::{Certificate, Curve, KeyType};
use crate::error::{Error, Result};
use crate::key::{KeyOpener, RecipientId};
use crate::limits::CERTIFICATES;

/// Certificates that a message may carry for its key agreements, bytes in sum.
const CARRIED: usize = 1 << 20;
/// Bytes of an X25519 public key (RFC 7748 §5).
const X25519: usize = 32;

/// Where certificates are looked for. A message is read with none once its key is known.
pub(super) struct Certificates<'a> {
    opener: Option<&'a dyn KeyOpener>,
    /// of the OriginatorInfo, in DER
    carried: Vec<Vec<u8>>,
    parsed: OnceCell<Vec<Certificate>>,
}

impl<'a> Certificates<'a> {
    pub(super) fn new(opener: Option<&'a dyn KeyOpener>) -> Self {
        Certificates {
            opener,
            carried: Vec::new(),
            parsed: OnceCell::new(),
        }
    }

    /// OriginatorInfo (RFC 5652 §6.1), `[0]`: `certs [0]`, `crls [1]`.
    pub(super) fn read_info<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        header: &Header,
    ) -> Result<()> {
        if self.opener.is_none() {
            return reader.skip(header);
        }
        let mut room = CARRIED;
        reader.enter(header)?;
        while let Some(set) = reader.next()? {
            if !set.is_context(0) {
                reader.skip(&set)?;
                continue;
            }
            reader.enter(&set)?;
            while let Some(certificate) = reader.next()? {
                if !certificate.is_universal(tag::SEQUENCE) {
                    // kinds of certificate that nobody issues any more
                    reader.skip(&certificate)?;
                    continue;
                }
                if self.carried.len() >= CERTIFICATES {
                    return Err(Error::LimitExceeded {
                        what: "certificates",
                        limit: CERTIFICATES as u64,
                    });
                }
                let der = reader.element(&certificate, room)?;
                room = room.saturating_sub(der.len());
                self.carried.push(der);
            }
            reader.leave()?;
        }
        reader.leave()
    }

    /// Ours that a recipient identifier means.
    pub(super) fn ours(&self, id: &RecipientId) -> Vec<Certificate> {
        self.opener
            .map(|opener| opener.find(id))
            .unwrap_or_default()
    }

    /// Anybody's, with a key of this kind.
    fn anybodys(&self, id: &RecipientId, key_type: KeyType) -> Option<Certificate> {
        let fits = |c: &Certificate| c.key_type() == key_type && id.matches(c);
        let carried = self.parsed.get_or_init(|| {
            self.carried
                .iter()
                .filter_map(|der| Certificate::from_der(der).ok())
                .collect()
        });
        if let Some(found) = carried.iter().find(|c| fits(c)) {
            return Some(found.clone());
        }
        let opener = self.opener?;
        let known = opener.find(id).into_iter().chain(opener.certificate_of(id));
        known.into_iter().find(fits)
    }
}

/// The sender's public key.
pub(super) struct Originator {
    /// its kind; `None` for an elliptic curve that the sender did not name
    key_type: Option<KeyType>,
    /// as it came, unchecked
    point: Vec<u8>,
}

impl Originator {
    /// OriginatorIdentifierOrKey in its `[0]`, for a recipient whose key is of this kind.
    ///
    /// # Errors
    /// `UnsupportedAlgorithm` for kinds of key that no recipient can have, and where the certificate that is named is not known.
    pub(super) fn parse(
        element: &[u8],
        recipient: KeyType,
        certificates: &Certificates<'_>,
    ) -> Result<Self> {
        let content = single(element, id::context_constructed(0), "originator")?.content;
        let mut cursor = Cursor::new(content);
        let named = match cursor.next()? {
            Some(key) if key.id == id::context_constructed(1) => {
                cursor.end("an originator")?;
                return Self::parse_key(key.content);
            }
            Some(name) if name.id == id::SEQUENCE => issuer_and_serial(name)?,
            Some(ski) if ski.id == id::context(0) => RecipientId::Ski(ski.content.to_vec()),
            _ => return Err(Error::malformed("an originator of no known kind")),
        };
        cursor.end("an originator")?;
        let certificate = certificates.anybodys(&named, recipient).ok_or_else(|| {
            Error::UnsupportedAlgorithm(
                "key agreement with a static key of the sender, whose certificate is not known"
                    .to_owned(),
            )
        })?;
        let spki = certificate
            .parsed()
            .tbs_certificate()
            .subject_public_key_info();
        Ok(Originator {
            key_type: Some(recipient),
            point: spki.subject_public_key.raw_bytes().to_vec(),
        })
    }

    /// OriginatorPublicKey.
    fn parse_key(content: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(content);
        let algorithm = AlgorithmId::parse(
            cursor
                .expect(id::SEQUENCE, "originatorKey algorithm")?
                .content,
        )?;
        let key_type = match (algorithm.oid, algorithm.parameters) {
            (ID_X_25519, _) if algorithm.is_plain() => Some(KeyType::X25519),
            (ID_EC_PUBLIC_KEY, _) if algorithm.is_plain() => None,
            (ID_EC_PUBLIC_KEY, Some(curve)) if curve.id == id::OID => {
                let named = oid(curve.content)?;
                let known = [Curve::P256, Curve::P384, Curve::P521];
                let known = known.into_iter().find(|curve| curve.oid() == named);
                Some(known.map_or(KeyType::Other(named), KeyType::Ec))
            }
            (ID_EC_PUBLIC_KEY, _) => {
                return Err(Error::UnsupportedAlgorithm(
                    "elliptic curves by explicit parameters".to_owned(),
                ));
            }
            (other, _) => {
                return Err(Error::UnsupportedAlgorithm(format!(
                    "key agreement with {other}"
                )));
            }
        };
        let bits = cursor.expect(BIT_STRING, "originator's publicKey")?.content;
        cursor.end("an OriginatorPublicKey")?;
        let Some((0, point)) = bits.split_first() else {
            return Err(Error::malformed("an originator's public key of odd bits"));
        };
        Ok(Originator {
            key_type,
            point: point.to_vec(),
        })
    }

    /// The key as a token takes it, if it goes with one of this kind: an uncompressed point of the curve other than infinity, or
    /// 32 bytes for X25519.
    pub(super) fn point_for(&self, key_type: KeyType) -> Option<Vec<u8>> {
        let point = self.point.as_slice();
        let curve = match (self.key_type, key_type) {
            (Some(KeyType::X25519), KeyType::X25519) => {
                return (point.len() == X25519).then(|| point.to_vec());
            }
            (None, KeyType::Ec(curve)) => curve,
            (Some(named), KeyType::Ec(curve)) if named == key_type => curve,
            _ => return None,
        };
        Some(match curve {
            Curve::P256 => p256::PublicKey::from_sec1_bytes(point)
                .ok()?
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
            Curve::P384 => p384::PublicKey::from_sec1_bytes(point)
                .ok()?
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
            Curve::P521 => p521::PublicKey::from_sec1_bytes(point)
                .ok()?
                .to_sec1_point(false)
                .as_bytes()
                .to_vec(),
        })
    }
}

const BIT_STRING: u8 = 0x03;
