//! Keys that openssl 3.0 makes no certificates with, X25519 and ML-KEM, and certificates by hand.

use std::path::PathBuf;

use aws_lc_rs::agreement::{self, PrivateKey};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024};

use super::support::SoftKey;
use crate::algorithm::DigestAlgorithm;
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::cert::{Certificate, MlKem};
use crate::key::RecipientId;

/// A certificate with this key and an issuer of its own name; its signature is none.
pub(super) fn certificate_with(
    name: &str,
    algorithm: &der::asn1::ObjectIdentifier,
    public: &[u8],
    usage: u8,
) -> Certificate {
    let attribute = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OID, const_oid::db::rfc4519::CN.as_bytes()),
            &tlv(0x0c, name.as_bytes()),
        ],
    );
    let name = tlv(id::SEQUENCE, &tlv(id::SET, &attribute));
    let bits = |bytes: &[u8]| constructed(0x03, &[&[0], bytes]);
    let signature = encode(
        &const_oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
        &[id::NULL, 0],
    );
    let time = tlv(0x17, b"250101000000Z");
    let usage = tlv(id::OCTET_STRING, &[0x03, 2, 0, usage]);
    let usage = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OID, const_oid::db::rfc5280::ID_CE_KEY_USAGE.as_bytes()),
            &usage,
        ],
    );
    let tbs = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::context_constructed(0), &[id::INTEGER, 1, 2]),
            &[id::INTEGER, 1, 7],
            &signature,
            &name,
            &constructed(id::SEQUENCE, &[&time, &tlv(0x17, b"450101000000Z")]),
            &name,
            &constructed(id::SEQUENCE, &[&encode(algorithm, &[]), &bits(public)]),
            &tlv(id::context_constructed(3), &tlv(id::SEQUENCE, &usage)),
        ],
    );
    let der = constructed(id::SEQUENCE, &[&tbs, &signature, &bits(&[1; 32])]);
    Certificate::from_der(&der).unwrap()
}

pub(super) const KEY_ENCIPHERMENT: u8 = 0x20;
pub(super) const KEY_AGREEMENT: u8 = 0x08;

/// An X25519 key of 32 bytes with its certificate.
pub(super) fn x25519(private: [u8; 32]) -> SoftKey {
    let key = PrivateKey::from_private_key(&agreement::X25519, &private).unwrap();
    let public = key.compute_public_key().unwrap();
    SoftKey {
        certificate: certificate_with(
            "x25519",
            &const_oid::db::rfc8410::ID_X_25519,
            public.as_ref(),
            KEY_AGREEMENT,
        ),
        der: private.to_vec(),
        file: PathBuf::new(),
    }
}

/// A fresh ML-KEM key with its certificate.
pub(super) fn ml_kem(set: MlKem) -> SoftKey {
    let algorithm = match set {
        MlKem::MlKem512 => &ML_KEM_512,
        MlKem::MlKem768 => &ML_KEM_768,
        MlKem::MlKem1024 => &ML_KEM_1024,
    };
    let key = DecapsulationKey::generate(algorithm).unwrap();
    let public = key.encapsulation_key().unwrap();
    SoftKey {
        certificate: certificate_with(
            set.name(),
            &set.oid(),
            public.key_bytes().unwrap().as_ref(),
            KEY_ENCIPHERMENT,
        ),
        der: key.key_bytes().unwrap().as_ref().to_vec(),
        file: PathBuf::new(),
    }
}

/// RFC 8551 §2.6: by key identifier too. What Outlook takes where the certificate has none is Windows' own.
#[test]
fn a_certificate_without_a_key_identifier_has_the_computed_ones() {
    let certificate = x25519([1; 32]).certificate;
    let spki = certificate.spki_der();
    let key = &spki[spki.len() - 32..];
    let sha1 = |data: &[u8]| DigestAlgorithm::Sha1.digest(data);
    for right in [sha1(&spki), sha1(key)] {
        assert!(RecipientId::Ski(right).matches(&certificate));
    }
    for wrong in [sha1(certificate.der()), key[..20].to_vec(), Vec::new()] {
        assert!(!RecipientId::Ski(wrong).matches(&certificate));
    }
    // one with the extension has that alone
    let certificate = super::support::pki().certificate("rsa");
    assert!(RecipientId::Ski(certificate.ski().unwrap()).matches(&certificate));
    let computed = sha1(&certificate.spki_der());
    assert!(!RecipientId::Ski(computed).matches(&certificate));
}
