//! ChaCha20-Poly1305, and the ciphers of old mail.

use super::hostile::{content_type_attribute, no_change_opens};
use super::support::{
    Parts, cbc_parts, chacha_parts, content, gcm_parts, open, openssl_with, pki, refusal, seal,
};
use crate::algorithm::Cipher;
use crate::ber::{constructed, id, tlv};
use crate::content::{ID_AUTH_ENVELOPED_DATA, ID_DATA, ID_ENVELOPED_DATA, ID_SIGNED_DATA};
use crate::enveloped::{EncryptOptions, Encryptor};
use crate::error::Error;
use crate::mime::Form;

const LEGACY: [(Cipher, &str); 4] = [
    (Cipher::DesEde3Cbc, "-des3"),
    (Cipher::Rc2Cbc, "-rc2-128"),
    (Cipher::Rc264Cbc, "-rc2-64"),
    (Cipher::Rc240Cbc, "-rc2-40"),
];

#[test]
fn chacha_messages_of_every_length_and_form_come_back() {
    let pki = pki();
    for name in ["rsa", "p256"] {
        let opener = pki.opener(&[name]);
        for form in [Form::Smime, Form::Der, Form::Pem] {
            for len in [0, 1, 63, 64, 65, 10_000, 256 << 10, 400_000] {
                let plain = content(len);
                let to = [pki.certificate(name)];
                let message = seal(&plain, &to, Cipher::ChaCha20Poly1305, false, form);
                let (opened, outcome) = open(&message, &opener)
                    .unwrap_or_else(|(e, _)| panic!("{len} bytes for {name}: {e}"));
                assert!(opened == plain, "{len} bytes for {name}");
                assert_eq!(outcome.cipher, "chacha20-poly1305");
                assert!(outcome.authenticated && !outcome.weak);
            }
        }
    }
}

#[test]
fn no_changed_bit_in_a_chacha_message_opens_or_writes() {
    let pki = pki();
    let attributes = content_type_attribute(&ID_DATA);
    for attributes in [&[][..], &attributes] {
        let (parts, opener) = chacha_parts(&pki, b"attack at dawn, or a little later", attributes);
        no_change_opens(&parts.message(), &opener);
    }
}

/// RFC 8103 §2: the attributes are the additional data. They come last and count first.
#[test]
fn chacha_authenticates_the_attributes() {
    let pki = pki();
    let plain = content(70_000);
    let attributes = content_type_attribute(&ID_DATA);
    let (parts, opener) = chacha_parts(&pki, &plain, &attributes);
    let (opened, outcome) = open(&parts.message(), &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    assert!(opened == plain && outcome.authenticated);

    let without = Parts {
        attributes: Vec::new(),
        ..parts.clone()
    };
    assert!(matches!(
        refusal(&without.message(), &opener),
        Error::DecryptionFailed
    ));
    let (mut added, opener) = chacha_parts(&pki, &plain, &[]);
    added.attributes = attributes;
    assert!(matches!(
        refusal(&added.message(), &opener),
        Error::DecryptionFailed
    ));
    let (parts, opener) = chacha_parts(&pki, &plain, &content_type_attribute(&ID_SIGNED_DATA));
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::Malformed(_)
    ));
}

#[test]
fn chacha_takes_tags_of_16_bytes_and_nonces_of_12() {
    let pki = pki();
    for len in 0..=17usize {
        let (mut parts, opener) = chacha_parts(&pki, b"text", &[]);
        let mut mac = parts.mac.unwrap();
        mac.resize(len, 0);
        parts.mac = Some(mac);
        match open(&parts.message(), &opener) {
            Ok(_) => assert_eq!(len, 16),
            Err((error, written)) => assert!(
                len != 16 && written.is_empty() && matches!(error, Error::Malformed(_)),
                "{len}: {error}"
            ),
        }
        let (mut parts, opener) = chacha_parts(&pki, b"text", &[]);
        parts.parameters = tlv(id::OCTET_STRING, &vec![3; len]);
        match open(&parts.message(), &opener) {
            Ok(_) => assert_eq!(len, 12),
            Err((error, _)) => assert!(
                len != 12 && matches!(error, Error::Malformed(_)),
                "{len}: {error}"
            ),
        }
    }
    let gcm_like = constructed(
        id::SEQUENCE,
        &[&tlv(id::OCTET_STRING, &[3; 12]), &[id::INTEGER, 1, 16]],
    );
    for parameters in [&[][..], &[id::NULL, 0], &gcm_like] {
        let (mut parts, opener) = chacha_parts(&pki, b"text", &[]);
        parts.parameters = parameters.to_vec();
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::Malformed(_)
        ));
    }
    let (mut parts, opener) = chacha_parts(&pki, b"text", &[]);
    parts.mac = None;
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::Malformed(_)
    ));
}

/// CVE-2026-34182, CVE-2026-5500
#[test]
fn chacha_and_old_ciphers_in_the_wrong_structure_are_refused() {
    let pki = pki();
    let (mut chacha, opener) = chacha_parts(&pki, b"text", &[]);
    chacha.outer = ID_ENVELOPED_DATA;
    for mac in [None, Some(vec![0; 16])] {
        chacha.mac = mac;
        assert!(matches!(
            refusal(&chacha.message(), &opener),
            Error::Malformed(_)
        ));
    }
    let rc2 = constructed(
        id::SEQUENCE,
        &[&[id::INTEGER, 1, 58], &tlv(id::OCTET_STRING, &[7; 8])],
    );
    for (cipher, parameters) in [
        (Cipher::DesEde3Cbc, tlv(id::OCTET_STRING, &[7; 8])),
        (Cipher::Rc2Cbc, rc2),
    ] {
        let (mut parts, opener) = cbc_parts(&pki, b"text");
        parts.outer = ID_AUTH_ENVELOPED_DATA;
        parts.cipher = cipher.oid();
        parts.parameters = parameters;
        parts.mac = Some(vec![0; 16]);
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::Malformed(_)
        ));
    }
    // the one cipher's message under the other's name
    let (mut parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    parts.cipher = Cipher::ChaCha20Poly1305.oid();
    parts.parameters = tlv(id::OCTET_STRING, &[3; 12]);
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::DecryptionFailed
    ));
}

fn by_openssl(option: &str, recipient: &str, plain: &[u8], more: &[&str]) -> Vec<u8> {
    let mut args = vec![
        "cms",
        "-encrypt",
        "-binary",
        "-provider",
        "legacy",
        "-provider",
        "default",
        option,
        "-outform",
        "DER",
        "-recip",
        recipient,
    ];
    args.extend(more);
    openssl_with(pki().folder.path(), &args, plain)
}

#[test]
fn what_old_programs_encrypted_is_read_and_called_weak() {
    let pki = pki();
    let opener = pki.opener(&["rsa", "p256"]);
    for (cipher, option) in LEGACY {
        for len in [0, 1, 7, 8, 9, 10_000, 300_001] {
            for stream in ["-noindef", "-stream"] {
                let plain = content(len);
                let message = by_openssl(option, "rsa.pem", &plain, &[stream]);
                let (opened, outcome) = open(&message, &opener)
                    .unwrap_or_else(|(e, _)| panic!("{option} {len} {stream}: {e}"));
                assert!(opened == plain, "{option} {len} {stream}");
                assert_eq!(outcome.cipher, cipher.name());
                assert!(outcome.weak && !outcome.authenticated);
            }
        }
    }
    // triple-DES key wrap after a key agreement
    let message = by_openssl("-des3", "p256.pem", b"text", &["-des3-wrap"]);
    let (opened, outcome) = open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    assert_eq!(opened, b"text");
    assert_eq!((outcome.key_management, outcome.weak), ("ecdh", true));
    // the weaker of the two counts (RFC 8551 §2.3)
    let message = by_openssl("-aes192", "p256.pem", b"text", &["-des3-wrap"]);
    assert!(open(&message, &opener).is_ok_and(|(_, outcome)| outcome.weak));
    // an AES content under an AES wrap is not
    let message = by_openssl("-aes128", "p256.pem", b"text", &[]);
    assert!(open(&message, &opener).is_ok_and(|(_, outcome)| !outcome.weak));
    // 56 bits are refused
    let message = by_openssl("-des", "rsa.pem", b"text", &[]);
    assert!(matches!(
        refusal(&message, &opener),
        Error::UnsupportedAlgorithm(_)
    ));
}

#[test]
fn old_messages_that_were_changed_write_nothing() {
    let pki = pki();
    let opener = pki.opener(&["rsa"]);
    for (_, option) in LEGACY {
        let message = by_openssl(option, "rsa.pem", b"nobody vouches for this", &["-noindef"]);
        assert!(open(&message, &opener).is_ok());
        for cut in 1..30 {
            refusal(&message[..message.len() - cut], &opener);
        }
        // padding: the last block of three, by the block before it
        let at = message.len() - 9;
        let mut changed = message.clone();
        changed[at] ^= 0x80;
        assert!(matches!(
            refusal(&changed, &opener),
            Error::DecryptionFailed
        ));
    }
}

#[test]
fn rc2_and_3des_parameters_are_what_they_must_be() {
    let pki = pki();
    let iv = |len: usize| tlv(id::OCTET_STRING, &vec![7; len]);
    let rc2 =
        |version: &[u8], iv: &[u8]| constructed(id::SEQUENCE, &[&tlv(id::INTEGER, version), iv]);
    let malformed = [
        (Cipher::DesEde3Cbc, iv(7)),
        (Cipher::DesEde3Cbc, iv(9)),
        (Cipher::DesEde3Cbc, iv(16)),
        (Cipher::DesEde3Cbc, Vec::new()),
        (Cipher::Aes128Cbc, iv(8)),
        (Cipher::Rc2Cbc, iv(8)),
        (Cipher::Rc2Cbc, rc2(&[58], &iv(16))),
        (Cipher::Rc2Cbc, rc2(&[58], &[])),
        (Cipher::Rc2Cbc, rc2(&[58], &[iv(8), iv(8)].concat())),
    ];
    for (cipher, parameters) in malformed {
        let (mut parts, opener) = cbc_parts(&pki, b"text");
        parts.cipher = cipher.oid();
        parts.parameters = parameters;
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::Malformed(_)
        ));
    }
    for version in [&[0][..], &[1], &[57], &[1, 0], &[4, 0], &[0xa0], &[0x80]] {
        let (mut parts, opener) = cbc_parts(&pki, b"text");
        parts.cipher = Cipher::Rc2Cbc.oid();
        parts.parameters = rc2(version, &iv(8));
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::UnsupportedAlgorithm(_)
        ));
    }
}

#[test]
fn old_ciphers_are_never_written() {
    let pki = pki();
    for (cipher, _) in LEGACY {
        let options = EncryptOptions {
            cipher,
            ..EncryptOptions::default()
        };
        let refused = Encryptor::new(Vec::new(), &[pki.certificate("rsa")], &options);
        assert!(matches!(refused.err(), Some(Error::WeakAlgorithm(_))));
    }
    assert_eq!(
        Cipher::from_name("ChaCha20-Poly1305"),
        Some(Cipher::ChaCha20Poly1305)
    );
}

#[test]
fn oaep_with_every_pair_of_hashes_and_with_a_label() {
    use crate::algorithm::DigestAlgorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
    use crate::algorithm_id::encode;
    use const_oid::db::rfc5912::{ID_MGF_1, ID_P_SPECIFIED, ID_RSAES_OAEP};
    let pki = pki();
    let opener = pki.opener(&["rsa"]);
    let (parts, fixed) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let field = |tag: u8, value: &[u8]| tlv(id::context_constructed(tag), value);
    for hash in [Sha1, Sha224, Sha256, Sha384, Sha512] {
        for mgf in [Sha1, Sha224, Sha256, Sha384, Sha512] {
            for label in ["", "00ff"] {
                let mut args = vec![
                    "pkeyutl".to_owned(),
                    "-encrypt".to_owned(),
                    "-certin".to_owned(),
                    "-inkey".to_owned(),
                    "rsa.pem".to_owned(),
                ];
                let mut set = |option: String| args.extend(["-pkeyopt".to_owned(), option]);
                set("rsa_padding_mode:oaep".to_owned());
                set(format!("rsa_oaep_md:{}", hash.name()));
                set(format!("rsa_mgf1_md:{}", mgf.name()));
                if !label.is_empty() {
                    set(format!("rsa_oaep_label:{label}"));
                }
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let encrypted = openssl_with(pki.folder.path(), &args, &fixed.key);
                let source = encode(&ID_P_SPECIFIED, &tlv(id::OCTET_STRING, &[0, 0xff]));
                let mut parameters = vec![
                    field(0, &encode(&hash.oid(), &[id::NULL, 0])),
                    field(1, &encode(&ID_MGF_1, &encode(&mgf.oid(), &[]))),
                ];
                if !label.is_empty() {
                    parameters.push(field(2, &source));
                }
                let algorithm = encode(&ID_RSAES_OAEP, &tlv(id::SEQUENCE, &parameters.concat()));
                let info = constructed(
                    id::SEQUENCE,
                    &[
                        &[id::INTEGER, 1, 0],
                        &crate::enveloped::address::issuer_and_serial(&fixed.certificate),
                        &algorithm,
                        &tlv(id::OCTET_STRING, &encrypted),
                    ],
                );
                let message = Parts {
                    infos: vec![info],
                    ..parts.clone()
                }
                .message();
                let (text, outcome) = open(&message, &opener)
                    .unwrap_or_else(|(e, _)| panic!("{hash:?} {mgf:?} {label}: {e}"));
                assert_eq!(
                    (text.as_slice(), outcome.key_management),
                    (&b"text"[..], "rsa-oaep")
                );
            }
        }
    }
}
