//! ML-KEM recipients (RFC 9629, RFC 9936).

use super::hostile::no_change_opens_but;
use super::keys::{KEY_AGREEMENT, KEY_ENCIPHERMENT, certificate_with, ml_kem};
use super::support::{FixedKey, Parts, SoftKeys, gcm_parts, open, pki, random, refusal, seal};
use crate::algorithm::Cipher;
use crate::ber::{id, tlv};
use crate::cert::{Certificate, KeyType, MlKem};
use crate::enveloped::kem::recipient_info;
use crate::enveloped::{EncryptOptions, Encryptor};
use crate::error::Error;
use crate::mime::Form;

const SETS: [(MlKem, &str); 3] = [
    (MlKem::MlKem512, "ml-kem-512"),
    (MlKem::MlKem768, "ml-kem-768"),
    (MlKem::MlKem1024, "ml-kem-1024"),
];

#[test]
fn what_we_encrypt_to_ml_kem_opens() {
    let pki = pki();
    for (set, name) in SETS {
        let key = ml_kem(set);
        let certificate = key.certificate.clone();
        assert_eq!(certificate.key_type().to_string(), name);
        let opener = SoftKeys::new(vec![key]);
        let others = pki.opener(&["rsa", "p256"]);
        for cipher in [
            Cipher::Aes128Cbc,
            Cipher::Aes256Cbc,
            Cipher::Aes128Gcm,
            Cipher::Aes192Gcm,
            Cipher::Aes256Gcm,
            Cipher::ChaCha20Poly1305,
        ] {
            let to = [
                certificate.clone(),
                pki.certificate("rsa"),
                pki.certificate("p256"),
            ];
            let message = seal(b"for later", &to, cipher, false, Form::Der);
            let (text, outcome) = open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
            assert_eq!(text, b"for later");
            assert_eq!((outcome.key_management, outcome.recipients), ("kem", 3));
            assert!(!outcome.weak && outcome.certificate == certificate);
            assert!(open(&message, &others).is_ok());
        }
    }
}

/// RFC 5652 §6.1: version 3 where there is an OtherRecipientInfo.
#[test]
fn the_version_says_that_there_is_another_kind_of_recipient() {
    let key = ml_kem(MlKem::MlKem768);
    let to = [key.certificate.clone(), pki().certificate("p256")];
    for (cipher, version) in [(Cipher::Aes256Cbc, 3), (Cipher::Aes256Gcm, 0)] {
        let message = seal(b"x", &to, cipher, false, Form::Der);
        let at = message
            .windows(4)
            .position(|w| w == [id::INTEGER, 1, version, id::SET]);
        assert!(at.is_some_and(|at| at < 40), "{}", cipher.name());
    }
}

fn kem_parts(certificate: &Certificate, set: MlKem) -> (Parts, FixedKey) {
    let (mut parts, fixed) = gcm_parts(&pki(), b"text", &[3; 12], 16, &[]);
    parts.infos = vec![
        recipient_info(
            certificate,
            set,
            &fixed.key,
            &crate::profile::Profile::rfc8551(),
        )
        .unwrap(),
    ];
    (parts, fixed)
}

/// FIPS 203 §7.3: another length is never given to a decapsulation.
#[test]
fn the_ciphertext_has_its_exact_length() {
    for (set, name) in SETS {
        let key = ml_kem(set);
        let certificate = key.certificate.clone();
        let opener = SoftKeys::new(vec![key]);
        let (parts, fixed) = kem_parts(&certificate, set);
        assert!(open(&parts.message(), &opener).is_ok());
        let asked = opener.agreements.get();
        let right = set.ciphertext_len();
        for len in [0, 1, right - 1, right + 1, 768, 1088, 1568, 4000] {
            if len == right {
                continue;
            }
            let changed = Parts {
                infos: vec![with_ciphertext(&parts.infos[0], set, &random(len))],
                ..parts.clone()
            };
            assert!(
                matches!(refusal(&changed.message(), &opener), Error::Malformed(_)),
                "{name} {len}"
            );
        }
        assert_eq!(opener.agreements.get(), asked);
        // of the right length but another: FIPS 203's implicit rejection makes another secret
        let changed = Parts {
            infos: vec![with_ciphertext(&parts.infos[0], set, &random(right))],
            ..parts.clone()
        };
        assert!(matches!(
            refusal(&changed.message(), &opener),
            Error::DecryptionFailed
        ));
        drop(fixed);
    }
}

/// The same RecipientInfo with another kemct: both of its lengths and its three parents' are made anew.
fn with_ciphertext(info: &[u8], set: MlKem, ciphertext: &[u8]) -> Vec<u8> {
    let old = tlv(id::OCTET_STRING, &vec![0; set.ciphertext_len()]);
    let header = &old[..old.len() - set.ciphertext_len()];
    let at = info
        .windows(header.len())
        .position(|w| w == header)
        .unwrap();
    let mut kem = crate::ber::Cursor::new(info);
    let other = kem.next().unwrap().unwrap();
    let mut other = crate::ber::Cursor::new(other.content);
    let kind = other.next().unwrap().unwrap();
    let kem = other.next().unwrap().unwrap();
    let start = kem.content.as_ptr().addr() - info.as_ptr().addr();
    let content = [
        &info[start..at],
        &tlv(id::OCTET_STRING, ciphertext),
        &info[at + old.len()..],
    ]
    .concat();
    tlv(
        id::context_constructed(4),
        &[kind.whole, &tlv(id::SEQUENCE, &content)].concat(),
    )
}

#[test]
fn no_changed_bit_opens() {
    let key = ml_kem(MlKem::MlKem512);
    let certificate = key.certificate.clone();
    let opener = SoftKeys::new(vec![key]);
    let message = seal(b"x", &[certificate], Cipher::Aes128Gcm, false, Form::Der);
    no_change_opens_but(&message, &opener, &|_, _| false);
}

#[test]
fn fields_that_contradict_each_other_and_unknown_functions_are_refused() {
    let key = ml_kem(MlKem::MlKem768);
    let certificate = key.certificate.clone();
    let opener = SoftKeys::new(vec![key]);
    let (parts, _) = kem_parts(&certificate, MlKem::MlKem768);
    let change = |from: &[u8], to: &[u8]| {
        let mut info = parts.infos[0].clone();
        let at = info.windows(from.len()).rposition(|w| w == from).unwrap();
        info[at..at + to.len()].copy_from_slice(to);
        refusal(
            &Parts {
                infos: vec![info],
                ..parts.clone()
            }
            .message(),
            &opener,
        )
    };
    // kekLength 32, then the wrap
    let length = [id::INTEGER, 1, 32, id::SEQUENCE];
    assert!(matches!(
        change(&length, &[id::INTEGER, 1, 16]),
        Error::Malformed(_)
    ));
    // id-alg-hkdf-with-sha256, then one that is none
    let kdf = [0x09, 0x10, 0x03, 28];
    assert!(matches!(
        change(&kdf, &[0x09, 0x10, 0x03, 99]),
        Error::UnsupportedAlgorithm(_)
    ));
    // another function, known: another key
    assert!(matches!(
        change(&kdf, &[0x09, 0x10, 0x03, 29]),
        Error::DecryptionFailed
    ));
    // the parameter set is not the certificate's
    let set = [0x65, 3, 4, 4, 2];
    assert!(matches!(
        change(&set, &[0x65, 3, 4, 4, 3]),
        Error::UnsupportedAlgorithm(_)
    ));
    // another kind of OtherRecipientInfo
    assert!(matches!(
        change(&[0x09, 0x10, 0x0d, 3], &[0x09, 0x10, 0x0d, 9]),
        Error::UnsupportedAlgorithm(_)
    ));
}

#[test]
fn an_opener_without_such_keys_says_so() {
    let certificate = ml_kem(MlKem::MlKem768).certificate;
    let (parts, fixed) = kem_parts(&certificate, MlKem::MlKem768);
    let opener = FixedKey {
        certificate,
        ..fixed
    };
    match refusal(&parts.message(), &opener) {
        Error::Key(error) => assert_eq!(error.name, "UnsupportedAlgorithm"),
        other => panic!("{other}"),
    }
}

#[test]
fn certificates_that_nothing_can_be_encrypted_to() {
    let set = MlKem::MlKem768;
    let signing = ml_kem(set).certificate;
    let spki = signing.parsed().tbs_certificate().subject_public_key_info();
    let public = spki.subject_public_key.raw_bytes().to_vec();
    let short = &public[1..];
    // FIPS 203 §7.2: coefficients of a key are below the modulus
    let beyond = vec![0xff; public.len()];
    for (public, usage) in [
        (&public[..], KEY_AGREEMENT),
        (short, KEY_ENCIPHERMENT),
        (&beyond, KEY_ENCIPHERMENT),
    ] {
        let certificate = certificate_with("unusable", &set.oid(), public, usage);
        assert_eq!(certificate.key_type(), KeyType::MlKem(set));
        let refused = Encryptor::new(Vec::new(), &[certificate], &EncryptOptions::default());
        assert!(matches!(refused.err(), Some(Error::Certificate(_))));
    }
}
