//! SMIMECapabilities (RFC 8551 §2.5.2): what a correspondent says that he can read. Each has exactly one encoding, which is compared
//! byte by byte; what is unknown has its OID for a name.

use std::fmt;

use const_oid::db;
use der::asn1::ObjectIdentifier;

use crate::algorithm::{Cipher, DigestAlgorithm, KeyWrap, MlDsa, SignatureScheme, ecdsa_oid};
use crate::algorithm_id::{AlgorithmId, PssParameters, encode, oid};
use crate::ber::{Cursor, Tlv, id, tlv};
use crate::cert::MlKem;
use crate::enveloped::{Kdf, oaep_hash, oaep_parameters};
use crate::error::Result;
use crate::limits;

/// One SMIMECapability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    oid: ObjectIdentifier,
    /// DER; empty: absent
    parameters: Vec<u8>,
}

impl Capability {
    pub fn oid(&self) -> ObjectIdentifier {
        self.oid
    }

    /// A content cipher that this crate knows.
    pub fn cipher(&self) -> Option<Cipher> {
        let cipher = Cipher::from_oid(&self.oid).ok()?;
        if cipher != Cipher::Rc2Cbc {
            return Some(cipher);
        }
        // the effective bits as they are (RFC 2633 §2.5.2), not as RC2's own parameters code them
        match self.parameters.as_slice() {
            [id::INTEGER, 1, 40] => Some(Cipher::Rc240Cbc),
            [id::INTEGER, 1, 64] => Some(Cipher::Rc264Cbc),
            [id::INTEGER, 2, 0, 128] => Some(Cipher::Rc2Cbc),
            _ => None,
        }
    }

    /// `aes256-gcm`, `ecdh-x963-sha256/aes128-wrap` …; else the OID.
    pub fn name(&self) -> String {
        if let Some(cipher) = self.cipher() {
            return cipher.name().into();
        }
        if let Some(known) = self.known() {
            return known;
        }
        NAMED
            .iter()
            .find(|(oid, _)| *oid == self.oid)
            .map_or_else(|| self.oid.to_string(), |(_, name)| (*name).into())
    }

    /// Names that depend on the parameters.
    fn known(&self) -> Option<String> {
        let parameters = Cursor::new(&self.parameters).next().ok()?;
        if let Some(kdf) = Kdf::from_scheme(&self.oid) {
            let wrap = parameters
                .filter(|p| p.id == id::SEQUENCE)
                .and_then(|p| AlgorithmId::parse(p.content).ok())
                .and_then(|p| KeyWrap::from_oid(&p.oid));
            return Some(match wrap {
                Some(wrap) => format!("ecdh-{kdf}/{wrap}"),
                None => format!("ecdh-{kdf}"),
            });
        }
        if self.oid == db::rfc5912::ID_RSAES_OAEP {
            return Some(match oaep_hash(parameters) {
                Some(hash) => format!("rsa-oaep-{}", hash.name()),
                None => "rsa-oaep".into(),
            });
        }
        if self.oid == db::rfc5912::ID_RSASSA_PSS {
            return Some(match PssParameters::parse(parameters) {
                Ok(pss) => format!("rsa-pss-{}", pss.hash.name()),
                Err(_) => "rsa-pss".into(),
            });
        }
        if let Some(set) = MlKem::ALL.into_iter().find(|set| set.oid() == self.oid) {
            return Some(set.name().into());
        }
        if let Some(digest) = DigestAlgorithm::from_oid(&self.oid) {
            return Some(digest.name().into());
        }
        // whatever digest stands for those that have none in their name
        let scheme = SignatureScheme::from_oid(&self.oid, DigestAlgorithm::Sha512)?;
        Some(match scheme {
            SignatureScheme::RsaPkcs1(digest) | SignatureScheme::Ecdsa(digest) => {
                format!("{}-{}", scheme.name(), digest.name())
            }
            _ => scheme.name().into(),
        })
    }

    fn encode(&self) -> Vec<u8> {
        encode(&self.oid, &self.parameters)
    }
}

const fn named(text: &'static str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// What needs no more than a name.
const NAMED: [(ObjectIdentifier, &str); 6] = [
    (db::rfc5912::RSA_ENCRYPTION, "rsa-pkcs1"),
    (named("1.3.14.3.2.7"), "des-cbc"),
    (named("1.2.840.113549.3.2"), "rc2-cbc"),
    // RFC 8551 §2.5.2.1
    (named("1.2.840.113549.1.9.16.11.1"), "prefer-binary-inside"),
    // RFC 7191 and before it: wants to be asked before it is sent anything encrypted
    (named("1.2.840.113549.1.9.16.11.2"), "cannot-decrypt-any"),
    (named("1.2.840.113549.1.9.16.3.8"), "zlib"),
];

/// SEQUENCE OF SMIMECapability.
pub(crate) fn encode_all(all: &[Capability]) -> Vec<u8> {
    let parts: Vec<u8> = all.iter().flat_map(Capability::encode).collect();
    tlv(id::SEQUENCE, &parts)
}

/// The list of an attribute's value, [`limits::CAPABILITIES`] of them at most. One that cannot be read is passed over, and so is a
/// value that is no list: it is the other's word about himself, and no reason to doubt his signature.
pub(crate) fn decode_all(value: &Tlv<'_>) -> Vec<Capability> {
    let mut all = Vec::new();
    if value.id != id::SEQUENCE {
        return all;
    }
    let mut cursor = Cursor::new(value.content);
    while all.len() < limits::CAPABILITIES
        && let Ok(Some(one)) = cursor.next()
    {
        if one.id == id::SEQUENCE
            && let Ok(capability) = decode(one.content)
            && !all.contains(&capability)
        {
            all.push(capability);
        }
    }
    all
}

fn decode(content: &[u8]) -> Result<Capability> {
    let mut cursor = Cursor::new(content);
    let oid = oid(cursor.expect(id::OID, "capabilityID")?.content)?;
    let parameters = cursor.next()?;
    cursor.end("an SMIMECapability")?;
    Ok(Capability {
        oid,
        parameters: parameters.map(|p| p.whole.to_vec()).unwrap_or_default(),
    })
}

/// What a profile may announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    Cipher(Cipher),
    /// key agreement with its key wrap (RFC 5753 §8, RFC 8418 §6)
    Ecdh(Kdf, KeyWrap),
    Oaep(DigestAlgorithm),
    Kem(MlKem),
    RsaPkcs1(DigestAlgorithm),
    RsaPss(DigestAlgorithm),
    Ecdsa(DigestAlgorithm),
    Ed25519,
    MlDsa(MlDsa),
}

impl Announcement {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|it| it.to_string() == name)
    }

    fn all() -> impl Iterator<Item = Self> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let agreements = Kdf::all().into_iter().flat_map(|kdf| {
            let wraps = [KeyWrap::Aes128, KeyWrap::Aes192, KeyWrap::Aes256];
            wraps.into_iter().map(move |wrap| Self::Ecdh(kdf, wrap))
        });
        let hashes = [Sha256, Sha384, Sha512].into_iter().flat_map(|digest| {
            [
                Self::Oaep(digest),
                Self::RsaPkcs1(digest),
                Self::RsaPss(digest),
                Self::Ecdsa(digest),
            ]
        });
        Cipher::ALL
            .into_iter()
            .filter(|cipher| !cipher.is_only_read())
            .map(Self::Cipher)
            .chain(agreements)
            .chain(hashes)
            .chain(MlKem::ALL.map(Self::Kem))
            .chain(MlDsa::ALL.map(Self::MlDsa))
            .chain([Self::Ed25519])
    }

    /// For people.
    pub(crate) fn known() -> String {
        let all: Vec<String> = Self::all().map(|it| it.to_string()).collect();
        all.join(", ")
    }

    /// As it is written: parameters complete, and absent where there are none (RFC 8551 §2.5.2). PKCS#1 v1.5 signatures have a NULL
    /// (RFC 5754 §3.2).
    pub(crate) fn capability(self) -> Capability {
        let signature = |oid: Option<ObjectIdentifier>, parameters: &[u8]| Capability {
            // every digest of `all` has one
            oid: oid.unwrap_or(db::rfc5912::RSA_ENCRYPTION),
            parameters: parameters.to_vec(),
        };
        let plain = |oid| Capability {
            oid,
            parameters: Vec::new(),
        };
        match self {
            Self::Cipher(cipher) => plain(cipher.oid()),
            Self::Ecdh(kdf, wrap) => signature(kdf.scheme(), &encode(&wrap.oid(), &[])),
            Self::Oaep(digest) => Capability {
                oid: db::rfc5912::ID_RSAES_OAEP,
                parameters: oaep_parameters(digest),
            },
            Self::Kem(set) => plain(set.oid()),
            Self::RsaPkcs1(digest) => signature(digest.with_rsa(), &[id::NULL, 0]),
            Self::RsaPss(digest) => {
                let parameters = PssParameters {
                    hash: digest,
                    mgf_hash: digest,
                    salt_len: digest.len(),
                };
                signature(Some(db::rfc5912::ID_RSASSA_PSS), &parameters.encode())
            }
            Self::Ecdsa(digest) => signature(ecdsa_oid(digest), &[]),
            Self::Ed25519 => plain(db::rfc8410::ID_ED_25519),
            Self::MlDsa(set) => plain(set.oid()),
        }
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cipher(cipher) => cipher.fmt(f),
            Self::Ecdh(kdf, wrap) => write!(f, "ecdh-{kdf}/{wrap}"),
            Self::Oaep(digest) => write!(f, "rsa-oaep-{digest}"),
            Self::Kem(set) => f.write_str(set.name()),
            Self::RsaPkcs1(digest) => write!(f, "rsa-pkcs1-{digest}"),
            Self::RsaPss(digest) => write!(f, "rsa-pss-{digest}"),
            Self::Ecdsa(digest) => write!(f, "ecdsa-{digest}"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::MlDsa(set) => f.write_str(set.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::hex;

    fn written(name: &str) -> String {
        hex(&Announcement::from_name(name).unwrap().capability().encode())
    }

    #[test]
    fn encodings_are_those_of_their_standards() {
        for (name, der) in [
            // RFC 3565 §4.3
            ("aes128-cbc", "300b0609608648016503040102"),
            ("aes256-cbc", "300b060960864801650304012a"),
            ("aes256-gcm", "300b060960864801650304012e"),
            // RFC 8103 §5
            ("chacha20-poly1305", "300d060b2a864886f70d0109100312"),
            // RFC 5753 §8
            (
                "ecdh-x963-sha256/aes128-wrap",
                "301506062b81040 10b01300b0609608648016503040105",
            ),
            // RFC 8418 §6
            (
                "ecdh-hkdf-sha256/aes128-wrap",
                "301a060b2a864886f70d0109100313300b0609608648016503040105",
            ),
            // RFC 5754 §3.2, §3.3
            ("rsa-pkcs1-sha256", "300d06092a864886f70d01010b0500"),
            ("ecdsa-sha256", "300a06082a8648ce3d040302"),
            // RFC 4055 §6
            (
                "rsa-oaep-sha256",
                "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500",
            ),
            // RFC 8419 §5
            ("ed25519", "300506032b6570"),
            // RFC 9936 §2.4
            ("ml-kem-768", "300b0609608648016503040402"),
        ] {
            assert_eq!(written(name), der.replace(' ', ""), "{name}");
        }
    }

    #[test]
    fn every_announcement_is_read_back_by_its_name() {
        for announced in Announcement::all() {
            let der = encode_all(&[announced.capability()]);
            let value = Cursor::new(&der).next().unwrap().unwrap();
            let read = decode_all(&value);
            assert_eq!(read, [announced.capability()]);
            assert_eq!(read[0].name(), announced.to_string());
            assert_eq!(
                Announcement::from_name(&announced.to_string()),
                Some(announced)
            );
        }
    }

    fn names(capabilities: &[&[u8]]) -> Vec<String> {
        let der = tlv(id::SEQUENCE, &capabilities.concat());
        let value = Cursor::new(&der).next().unwrap().unwrap();
        decode_all(&value).iter().map(Capability::name).collect()
    }

    #[test]
    fn what_others_announce_has_a_name_and_the_unknown_its_number() {
        let rc2 = |bits: &[u8]| encode(&named("1.2.840.113549.3.2"), &tlv(id::INTEGER, bits));
        let unknown = encode(&named("1.3.6.1.4.1.99999.7"), &tlv(id::OCTET_STRING, b"x"));
        let binary = encode(&named("1.2.840.113549.1.9.16.11.1"), &[]);
        let tdes = encode(&named("1.2.840.113549.3.7"), &[]);
        let broken: &[u8] = &[id::SEQUENCE, 2, id::INTEGER, 0];
        assert_eq!(
            names(&[
                &unknown,
                &tdes,
                &rc2(&[0, 128]),
                &rc2(&[40]),
                &rc2(&[58]),
                broken,
                &tdes,
                &binary,
                &encode(&db::rfc5912::ID_RSAES_OAEP, &[]),
                &encode(&db::rfc5912::RSA_ENCRYPTION, &[]),
            ]),
            [
                "1.3.6.1.4.1.99999.7",
                "des-ede3-cbc",
                "rc2-cbc",
                "rc2-40-cbc",
                "rc2-cbc",
                "prefer-binary-inside",
                "rsa-oaep",
                "rsa-pkcs1",
            ]
        );
        let octets = tlv(id::OCTET_STRING, b"no list");
        assert!(decode_all(&Cursor::new(&octets).next().unwrap().unwrap()).is_empty());
    }

    #[test]
    fn more_capabilities_than_the_limit_are_passed_over() {
        let many = |count: usize| -> Vec<Vec<u8>> {
            (0..count)
                .map(|n| {
                    let oid = format!("1.3.6.1.4.1.99999.{n}");
                    encode(&ObjectIdentifier::new(&oid).unwrap(), &[])
                })
                .collect()
        };
        for (count, kept) in [
            (limits::CAPABILITIES, limits::CAPABILITIES),
            (limits::CAPABILITIES + 1, limits::CAPABILITIES),
        ] {
            let many = many(count);
            let all: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
            assert_eq!(names(&all).len(), kept);
        }
    }
}
