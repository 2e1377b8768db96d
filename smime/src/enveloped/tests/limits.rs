//! Each limit at it and one past it.

use super::support::{Parts, cbc_parts, gcm_parts, open, pki, refusal, seal};
use crate::algorithm::Cipher;
use crate::algorithm_id::encode;
use crate::ber::{Cursor, constructed, id, tlv};
use crate::cert::Certificate;
use crate::enveloped::address::recipient_info;
use crate::enveloped::{EncryptOptions, Encryptor};
use crate::error::Error;
use crate::limits::{RECIPIENTS, WRAPPED_KEY};
use crate::mime::Form;

fn info(certificate: &Certificate, encrypted_key: &[u8]) -> Vec<u8> {
    let name = constructed(
        id::SEQUENCE,
        &[
            certificate.issuer_bytes(),
            &tlv(id::INTEGER, certificate.serial()),
        ],
    );
    let algorithm = encode(&const_oid::db::rfc5912::RSA_ENCRYPTION, &[id::NULL, 0]);
    constructed(
        id::SEQUENCE,
        &[
            &[id::INTEGER, 1, 0],
            &name,
            &algorithm,
            &tlv(id::OCTET_STRING, encrypted_key),
        ],
    )
}

#[test]
fn recipients_to_read() {
    let pki = pki();
    let (parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let other = info(&pki.certificate("rsa-other"), &[1; 256]);
    let ours = parts.infos[0].clone();
    for (others, fits) in [(RECIPIENTS - 1, true), (RECIPIENTS, false)] {
        let mut infos = vec![other.clone(); others];
        infos.push(ours.clone());
        let message = Parts {
            infos,
            ..parts.clone()
        }
        .message();
        match open(&message, &opener) {
            Ok((_, outcome)) => assert!(fits && outcome.recipients as usize == RECIPIENTS),
            Err((error, _)) => assert!(
                !fits && matches!(error, Error::LimitExceeded { .. }),
                "{error}"
            ),
        }
    }
    // also those that share one key agreement
    let name = constructed(
        id::SEQUENCE,
        &[&tlv(id::SEQUENCE, &[]), &[id::INTEGER, 1, 1]],
    );
    let key = constructed(id::SEQUENCE, &[&name, &tlv(id::OCTET_STRING, &[1; 40])]);
    for (others, fits) in [(RECIPIENTS - 1, true), (RECIPIENTS, false)] {
        let keys = tlv(id::SEQUENCE, &vec![key.clone(); others].concat());
        let element = tlv(
            id::context_constructed(0),
            &tlv(id::context_constructed(1), &[]),
        );
        let agreement = constructed(
            id::context_constructed(1),
            &[
                &[id::INTEGER, 1, 3],
                &element,
                &tlv(id::SEQUENCE, &[]),
                &keys,
            ],
        );
        let message = Parts {
            infos: vec![agreement, ours.clone()],
            ..parts.clone()
        }
        .message();
        assert_eq!(open(&message, &opener).is_ok(), fits);
    }
}

#[test]
fn recipients_to_write() {
    let pki = pki();
    let all = vec![pki.certificate("rsa"); RECIPIENTS + 1];
    let options = EncryptOptions::default();
    let result = Encryptor::new(Vec::new(), &all[..RECIPIENTS], &options)
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(
        result.recipients, 1,
        "one certificate is one recipient, however often it is named"
    );
    assert!(matches!(
        Encryptor::new(Vec::new(), &all, &options),
        Err(Error::LimitExceeded { .. })
    ));
    assert!(matches!(
        Encryptor::new(Vec::new(), &[], &options),
        Err(Error::Certificate(_))
    ));
}

/// CVE-2026-24881: an oversized wrapped key must not reach where the key lives.
#[test]
fn encrypted_keys() {
    let pki = pki();
    let certificate = pki.certificate("rsa");
    let (mut parts, opener) = cbc_parts(&pki, b"text");
    for len in [0, 257, 512, WRAPPED_KEY] {
        parts.infos = vec![info(&certificate, &vec![1; len])];
        assert!(
            matches!(refusal(&parts.message(), &opener), Error::DecryptionFailed),
            "{len}"
        );
    }
    for len in [WRAPPED_KEY + 1, 100_000, 10_000_000] {
        parts.infos = vec![info(&certificate, &vec![1; len])];
        assert!(
            matches!(
                refusal(&parts.message(), &opener),
                Error::LimitExceeded { .. }
            ),
            "{len}"
        );
    }
}

/// A content-encryption key of 32 bytes is wrapped in 40: the token is asked for a secret with nothing else.
#[test]
fn wrapped_keys_of_key_agreement_have_one_length() {
    let pki = pki();
    let opener = pki.opener(&["p256"]);
    let certificate = [pki.certificate("p256")];
    let message = seal(b"x", &certificate, Cipher::Aes256Gcm, false, Form::Der);
    let (mut parts, _) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    // the KeyAgreeRecipientInfo of a right message, whose wrapped key is its end
    let right = {
        let info = recipient_info(&certificate[0], &[9; 32], &EncryptOptions::default()).unwrap();
        assert!(open(&message, &opener).is_ok());
        info
    };
    let asked = opener.agreements.get();
    for len in [0, 1, 24, 32, 39, 41, 48, 256, WRAPPED_KEY, WRAPPED_KEY + 1] {
        parts.infos = vec![with_wrapped(&right, &vec![1; len])];
        let error = refusal(&parts.message(), &opener);
        let expected = match error {
            Error::DecryptionFailed => len <= WRAPPED_KEY,
            Error::LimitExceeded { .. } => len > WRAPPED_KEY,
            _ => false,
        };
        assert!(expected, "{len}: {error}");
    }
    assert_eq!(opener.agreements.get(), asked, "the key was asked for");
    parts.infos = vec![with_wrapped(&right, &[1; 40])];
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::DecryptionFailed
    ));
    assert_eq!(opener.agreements.get(), asked + 1);
}

/// A KeyAgreeRecipientInfo with another encryptedKey (RFC 5652 §6.2.2).
fn with_wrapped(info: &[u8], wrapped: &[u8]) -> Vec<u8> {
    let fields = |element: &[u8]| {
        let mut cursor = Cursor::new(element);
        let mut all = Vec::new();
        while let Some(field) = cursor.next().unwrap() {
            all.push(field.whole.to_vec());
        }
        all
    };
    let inside = |element: &[u8]| {
        Cursor::new(element)
            .next()
            .unwrap()
            .unwrap()
            .content
            .to_vec()
    };
    let mut agreement = fields(&inside(info));
    let keys = agreement.pop().unwrap();
    let key = fields(&inside(&inside(&keys)));
    let key = constructed(id::SEQUENCE, &[&key[0], &tlv(id::OCTET_STRING, wrapped)]);
    agreement.push(tlv(id::SEQUENCE, &key));
    tlv(id::context_constructed(1), &agreement.concat())
}

/// CVE-2025-9230: nothing of a PasswordRecipientInfo is used, so nothing in it can do harm.
#[test]
fn recipients_by_password_are_passed_over_whatever_is_in_them() {
    let pki = pki();
    let (parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let ours = parts.infos[0].clone();
    for content in [
        Vec::new(),
        vec![0xff; 3],
        tlv(id::OCTET_STRING, &[1; 7]),
        tlv(id::OCTET_STRING, &vec![1; 100_000]),
        [
            &[id::INTEGER, 1, 0][..],
            &[id::SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat(),
    ] {
        for kind in [2, 3] {
            let other = tlv(id::context_constructed(kind), &content);
            for infos in [
                vec![other.clone(), ours.clone()],
                vec![ours.clone(), other.clone()],
            ] {
                let message = Parts {
                    infos,
                    ..parts.clone()
                }
                .message();
                let (text, outcome) =
                    open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
                assert_eq!((&text[..], outcome.recipients), (&b"text"[..], 2));
            }
            let message = Parts {
                infos: vec![other],
                ..parts.clone()
            }
            .message();
            let error = refusal(&message, &opener);
            assert!(matches!(error, Error::UnsupportedAlgorithm(_)), "{error}");
        }
    }
}

#[test]
fn oaep_labels() {
    let pki = pki();
    let certificate = pki.certificate("rsa");
    let (mut parts, opener) = cbc_parts(&pki, b"text");
    for (len, fits) in [(0, true), (256, true), (257, false)] {
        let source = encode(
            &const_oid::db::rfc5912::ID_P_SPECIFIED,
            &tlv(id::OCTET_STRING, &vec![1; len]),
        );
        let parameters = tlv(id::SEQUENCE, &tlv(id::context_constructed(2), &source));
        let algorithm = encode(&const_oid::db::rfc5912::ID_RSAES_OAEP, &parameters);
        let name = constructed(
            id::SEQUENCE,
            &[
                certificate.issuer_bytes(),
                &tlv(id::INTEGER, certificate.serial()),
            ],
        );
        let key = tlv(id::OCTET_STRING, &[1; 256]);
        parts.infos = vec![constructed(
            id::SEQUENCE,
            &[&[id::INTEGER, 1, 0], &name, &algorithm, &key],
        )];
        // read, and then of course not the right key (a random one passes for CBC once in 256)
        match open(&parts.message(), &opener) {
            Err((Error::LimitExceeded { .. }, _)) => assert!(!fits, "{len}"),
            Err((Error::DecryptionFailed, _)) | Ok(_) => assert!(fits, "{len}"),
            Err((error, _)) => panic!("{len}: {error}"),
        }
    }
}
