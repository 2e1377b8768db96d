//! An X.509 certificate (RFC 5280) as the rest of Privyseal sees it: parsed once, shared, with its original bytes.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use const_oid::db;
use der::asn1::{Any, ObjectIdentifier, Utf8StringRef};
use der::{Decode, Tag, Tagged};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};

use crate::algorithm::MlDsa;
use crate::ber::{Cursor, id, single};
use crate::error::{Error, Result};
use crate::key::VerifyingKey;
use crate::mime::pem;

#[cfg(test)]
mod tests;

/// What kind of public key a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// modulus length in bits
    Rsa(usize),
    Ec(Curve),
    Ed25519,
    /// for key agreement (RFC 8410)
    X25519,
    /// for key encapsulation (RFC 9935)
    MlKem(MlKem),
    /// for signatures (RFC 9881)
    MlDsa(MlDsa),
    /// for signatures only, here
    Brainpool(Brainpool),
    /// SubjectPublicKeyInfo algorithm we have no name for
    Other(ObjectIdentifier),
}

/// A named curve (SEC 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            Curve::P256 => db::rfc5912::SECP_256_R_1,
            Curve::P384 => db::rfc5912::SECP_384_R_1,
            Curve::P521 => db::rfc5912::SECP_521_R_1,
        }
    }

    /// Bytes of one coordinate.
    pub fn field_len(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }
}

/// A curve of RFC 5639.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brainpool {
    P256r1,
    P384r1,
}

/// Parameter set of ML-KEM (FIPS 203 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlKem {
    MlKem512,
    MlKem768,
    MlKem1024,
}

impl MlKem {
    pub(crate) const ALL: [Self; 3] = [Self::MlKem512, Self::MlKem768, Self::MlKem1024];

    /// Of the key as of the encapsulation (RFC 9936 §3).
    pub fn oid(self) -> ObjectIdentifier {
        match self {
            MlKem::MlKem512 => db::fips203::ID_ALG_ML_KEM_512,
            MlKem::MlKem768 => db::fips203::ID_ALG_ML_KEM_768,
            MlKem::MlKem1024 => db::fips203::ID_ALG_ML_KEM_1024,
        }
    }

    /// `ml-kem-768`.
    pub fn name(self) -> &'static str {
        match self {
            MlKem::MlKem512 => "ml-kem-512",
            MlKem::MlKem768 => "ml-kem-768",
            MlKem::MlKem1024 => "ml-kem-1024",
        }
    }

    /// Bytes of a ciphertext (FIPS 203 table 3).
    pub fn ciphertext_len(self) -> usize {
        match self {
            MlKem::MlKem512 => 768,
            MlKem::MlKem768 => 1088,
            MlKem::MlKem1024 => 1568,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyType::Rsa(bits) => write!(f, "rsa:{bits}"),
            KeyType::Ec(Curve::P256) => f.write_str("ec:p256"),
            KeyType::Ec(Curve::P384) => f.write_str("ec:p384"),
            KeyType::Ec(Curve::P521) => f.write_str("ec:p521"),
            KeyType::Ed25519 => f.write_str("ed25519"),
            KeyType::X25519 => f.write_str("x25519"),
            KeyType::MlKem(set) => f.write_str(set.name()),
            KeyType::MlDsa(set) => f.write_str(set.name()),
            KeyType::Brainpool(Brainpool::P256r1) => f.write_str("ec:brainpoolP256r1"),
            KeyType::Brainpool(Brainpool::P384r1) => f.write_str("ec:brainpoolP384r1"),
            KeyType::Other(oid) => write!(f, "{oid}"),
        }
    }
}

struct Inner {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    sha256: [u8; 32],
    fields: Fields,
    key_type: KeyType,
    ski: Option<Vec<u8>>,
    /// made when the first signature is verified: most certificates never verify one
    verifying_key: OnceLock<Option<VerifyingKey>>,
}

/// Where things lie in the DER. Names are compared byte by byte, so they are taken as they are, not encoded anew.
struct Fields {
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
}

impl Fields {
    /// TBSCertificate (RFC 5280 §4.1.2): `[0] version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo`.
    fn find(der: &[u8]) -> Result<Self> {
        let certificate = single(der, id::SEQUENCE, "Certificate")?;
        let tbs = Cursor::new(certificate.content).expect(id::SEQUENCE, "TBSCertificate")?;
        let mut cursor = Cursor::new(tbs.content);
        let range = |part: &[u8]| {
            // `part` lies in `der`: its place is the difference of the two addresses
            let start = part.as_ptr().addr().saturating_sub(der.as_ptr().addr());
            start..start.saturating_add(part.len())
        };
        cursor.optional(id::context_constructed(0))?;
        let serial = range(cursor.expect(id::INTEGER, "serialNumber")?.content);
        cursor.expect(id::SEQUENCE, "signature")?;
        let issuer = range(cursor.expect(id::SEQUENCE, "issuer")?.whole);
        cursor.expect(id::SEQUENCE, "validity")?;
        let subject = range(cursor.expect(id::SEQUENCE, "subject")?.whole);
        let spki = range(cursor.expect(id::SEQUENCE, "subjectPublicKeyInfo")?.whole);
        Ok(Fields {
            serial,
            issuer,
            subject,
            spki,
        })
    }
}

/// A certificate; cloning shares it.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.sha256 == other.0.sha256
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {})", self.sha256_hex(), self.subject())
    }
}

impl Certificate {
    /// One certificate in DER.
    pub fn from_der(der: &[u8]) -> Result<Self> {
        let parsed = x509_cert::Certificate::from_der(der)
            .map_err(|e| Error::Certificate(format!("not a certificate: {e}")))?;
        let fields =
            Fields::find(der).map_err(|e| Error::Certificate(format!("not a certificate: {e}")))?;
        let key_type = key_type(parsed.tbs_certificate().subject_public_key_info());
        let ski = parsed
            .tbs_certificate()
            .get_extension::<SubjectKeyIdentifier>()
            .ok()
            .flatten()
            .map(|(_, ski)| ski.0.as_bytes().to_vec());
        Ok(Certificate(Arc::new(Inner {
            der: der.to_vec(),
            parsed,
            sha256: Sha256::digest(der).into(),
            fields,
            key_type,
            ski,
            verifying_key: OnceLock::new(),
        })))
    }

    /// All certificates of a file: one in DER, or any number in PEM.
    pub fn all_from_pem_or_der(data: &[u8]) -> Result<Vec<Self>> {
        if data.first() == Some(&0x30) {
            return Ok(vec![Self::from_der(data)?]);
        }
        let blocks = pem::blocks(
            data,
            &["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"],
        )?;
        if blocks.is_empty() {
            return Err(Error::Certificate(
                "no certificate in this file (neither PEM nor DER)".into(),
            ));
        }
        blocks.iter().map(|block| Self::from_der(block)).collect()
    }

    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    pub fn parsed(&self) -> &x509_cert::Certificate {
        &self.0.parsed
    }

    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// SHA-256 of the DER, lowercase hex.
    pub fn sha256_hex(&self) -> String {
        hex(&self.0.sha256)
    }

    /// Subject as an RFC 4514 string.
    pub fn subject(&self) -> String {
        self.0.parsed.tbs_certificate().subject().to_string()
    }

    /// Issuer as an RFC 4514 string.
    pub fn issuer(&self) -> String {
        self.0.parsed.tbs_certificate().issuer().to_string()
    }

    /// The issuer's Name in DER.
    pub fn issuer_der(&self) -> Vec<u8> {
        self.issuer_bytes().to_vec()
    }

    /// The issuer's Name as it lies in the certificate.
    pub(crate) fn issuer_bytes(&self) -> &[u8] {
        self.part(&self.0.fields.issuer)
    }

    pub fn subject_der(&self) -> Vec<u8> {
        self.part(&self.0.fields.subject).to_vec()
    }

    /// Content octets of the serial number's INTEGER.
    pub fn serial(&self) -> &[u8] {
        self.part(&self.0.fields.serial)
    }

    pub fn serial_hex(&self) -> String {
        hex(self.serial())
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> Vec<u8> {
        self.part(&self.0.fields.spki).to_vec()
    }

    /// Mail addresses: subjectAltName rfc822Name and SmtpUTF8Mailbox (RFC 9598), and the subject's PKCS#9 emailAddress.
    pub fn emails(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(SubjectAltName(names)) = self.extension::<SubjectAltName>() {
            for name in &names {
                match name {
                    GeneralName::Rfc822Name(mail) => all.push(mail.as_str().to_owned()),
                    GeneralName::OtherName(other) if other.type_id == SMTP_UTF8_MAILBOX => {
                        if let Ok(mail) = other.value.decode_as::<Utf8StringRef<'_>>() {
                            all.push(mail.as_str().to_owned());
                        }
                    }
                    _ => {}
                }
            }
        }
        for attribute in self.0.parsed.tbs_certificate().subject().iter() {
            if attribute.oid == db::rfc3280::EMAIL_ADDRESS
                && let Some(mail) = text(&attribute.value)
            {
                all.push(mail);
            }
        }
        let mut seen = HashSet::new();
        all.retain(|mail| seen.insert(mail.to_ascii_lowercase()));
        all
    }

    pub fn key_type(&self) -> KeyType {
        self.0.key_type
    }

    /// Seconds since 1970.
    pub fn not_before(&self) -> u64 {
        self.0
            .parsed
            .tbs_certificate()
            .validity()
            .not_before
            .to_unix_duration()
            .as_secs()
    }

    /// Seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.0
            .parsed
            .tbs_certificate()
            .validity()
            .not_after
            .to_unix_duration()
            .as_secs()
    }

    /// Key usage allows signing mail: digitalSignature or nonRepudiation, or no key usage (RFC 8550 §4.4.2).
    pub fn can_sign(&self) -> bool {
        self.extension::<KeyUsage>()
            .is_none_or(|u| u.digital_signature() || u.non_repudiation())
    }

    /// Key usage allows encrypting to it: keyEncipherment (RSA, ML-KEM) or keyAgreement (EC, X25519), or no key usage.
    pub fn can_decrypt(&self) -> bool {
        self.extension::<KeyUsage>()
            .is_none_or(|u| match self.key_type() {
                KeyType::Rsa(_) | KeyType::MlKem(_) => u.key_encipherment(),
                _ => u.key_agreement(),
            })
    }

    /// Extended key usage allows mail: absent, emailProtection or anyExtendedKeyUsage.
    pub fn email_protection(&self) -> bool {
        self.extension::<ExtendedKeyUsage>()
            .is_none_or(|ExtendedKeyUsage(all)| {
                all.iter().any(|oid| {
                    *oid == db::rfc5280::ID_KP_EMAIL_PROTECTION
                        || *oid == db::rfc5280::ANY_EXTENDED_KEY_USAGE
                })
            })
    }

    /// Key usages by their RFC 5280 names; empty if there is no such extension.
    pub fn key_usage(&self) -> Vec<String> {
        let Some(usage) = self.extension::<KeyUsage>() else {
            return Vec::new();
        };
        [
            ("digitalSignature", usage.digital_signature()),
            ("nonRepudiation", usage.non_repudiation()),
            ("keyEncipherment", usage.key_encipherment()),
            ("dataEncipherment", usage.data_encipherment()),
            ("keyAgreement", usage.key_agreement()),
            ("keyCertSign", usage.key_cert_sign()),
            ("cRLSign", usage.crl_sign()),
            ("encipherOnly", usage.encipher_only()),
            ("decipherOnly", usage.decipher_only()),
        ]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| name.to_owned())
        .collect()
    }

    /// Extended key usages by name where we have one, else by OID.
    pub fn extended_key_usage(&self) -> Vec<String> {
        let Some(ExtendedKeyUsage(all)) = self.extension::<ExtendedKeyUsage>() else {
            return Vec::new();
        };
        all.iter()
            .map(|oid| match *oid {
                db::rfc5280::ID_KP_EMAIL_PROTECTION => "emailProtection".to_owned(),
                db::rfc5280::ID_KP_CLIENT_AUTH => "clientAuth".to_owned(),
                db::rfc5280::ID_KP_SERVER_AUTH => "serverAuth".to_owned(),
                db::rfc5280::ANY_EXTENDED_KEY_USAGE => "anyExtendedKeyUsage".to_owned(),
                other => other.to_string(),
            })
            .collect()
    }

    /// Subject key identifier (RFC 5280 §4.2.1.2).
    pub fn ski(&self) -> Option<Vec<u8>> {
        self.0.ski.clone()
    }

    pub fn is_ca(&self) -> bool {
        self.extension::<BasicConstraints>().is_some_and(|b| b.ca)
    }

    pub fn is_self_issued(&self) -> bool {
        let tbs = self.0.parsed.tbs_certificate();
        tbs.subject() == tbs.issuer()
    }

    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.0.der)
    }

    /// Whether this is the certificate's subject key identifier. One without the extension has what others compute: SHA-1 of the
    /// key (RFC 5280 §4.2.1.2), or of the whole SubjectPublicKeyInfo (Windows, so Outlook).
    pub(crate) fn has_ski(&self, ski: &[u8]) -> bool {
        match &self.0.ski {
            Some(own) => own == ski,
            None if ski.len() == 20 => {
                let spki = self.0.parsed.tbs_certificate().subject_public_key_info();
                let key = spki.subject_public_key.raw_bytes();
                [key, self.part(&self.0.fields.spki)]
                    .into_iter()
                    .any(|of| sha1::Sha1::digest(of).as_slice() == ski)
            }
            None => false,
        }
    }

    /// The public key, ready to verify signatures.
    pub(crate) fn verifying_key(&self) -> Option<&VerifyingKey> {
        self.0
            .verifying_key
            .get_or_init(|| {
                VerifyingKey::new(
                    self.0.parsed.tbs_certificate().subject_public_key_info(),
                    self.0.key_type,
                )
            })
            .as_ref()
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.0.der.get(range.clone()).unwrap_or(&[])
    }

    fn extension<'a, T: Decode<'a> + const_oid::AssociatedOid>(&'a self) -> Option<T> {
        self.0
            .parsed
            .tbs_certificate()
            .get_extension::<T>()
            .ok()
            .flatten()
            .map(|(_, value)| value)
    }
}

/// What a SubjectPublicKeyInfo holds.
pub(crate) fn key_type(spki: &SubjectPublicKeyInfoOwned) -> KeyType {
    let oid = spki.algorithm.oid;
    if oid == db::rfc5912::RSA_ENCRYPTION || oid == db::rfc5912::ID_RSASSA_PSS {
        return KeyType::Rsa(crate::key::rsa_bits(spki).unwrap_or(0));
    }
    if oid == db::rfc5912::ID_EC_PUBLIC_KEY {
        let curve = spki
            .algorithm
            .parameters
            .as_ref()
            .and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
        return match curve {
            Some(db::rfc5912::SECP_256_R_1) => KeyType::Ec(Curve::P256),
            Some(db::rfc5912::SECP_384_R_1) => KeyType::Ec(Curve::P384),
            Some(db::rfc5912::SECP_521_R_1) => KeyType::Ec(Curve::P521),
            Some(db::rfc5639::BRAINPOOL_P_256_R_1) => KeyType::Brainpool(Brainpool::P256r1),
            Some(db::rfc5639::BRAINPOOL_P_384_R_1) => KeyType::Brainpool(Brainpool::P384r1),
            Some(other) => KeyType::Other(other),
            None => KeyType::Other(oid),
        };
    }
    if oid == db::rfc8410::ID_ED_25519 {
        return KeyType::Ed25519;
    }
    if oid == db::rfc8410::ID_X_25519 {
        return KeyType::X25519;
    }
    if let Some(set) = MlKem::ALL.into_iter().find(|set| set.oid() == oid) {
        return KeyType::MlKem(set);
    }
    if let Some(set) = MlDsa::from_oid(&oid) {
        return KeyType::MlDsa(set);
    }
    KeyType::Other(oid)
}

/// id-on-SmtpUTF8Mailbox (RFC 9598 §3).
const SMTP_UTF8_MAILBOX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.9");

/// A string of whatever kind. PKCS #9 wants IA5String for emailAddress; issuers write every other one.
fn text(value: &Any) -> Option<String> {
    let bytes = value.value();
    match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::Ia5String | Tag::PrintableString | Tag::VisibleString => bytes
            .is_ascii()
            .then(|| bytes.iter().copied().map(char::from).collect()),
        // whatever T.61 would make of it, mail programs read Latin-1
        Tag::TeletexString | Tag::GeneralString => {
            Some(bytes.iter().copied().map(char::from).collect())
        }
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |unit, b| unit << 8 | u16::from(*b)));
            char::decode_utf16(units)
                .collect::<std::result::Result<_, _>>()
                .ok()
        }
        _ => None,
    }
}

/// Lowercase hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
