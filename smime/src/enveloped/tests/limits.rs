//! Each limit at it and one past it.

use super::support::{Parts, cbc_parts, gcm_parts, open, pki, refusal};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::cert::Certificate;
use crate::enveloped::{EncryptOptions, Encryptor};
use crate::error::Error;
use crate::limits::{RECIPIENTS, WRAPPED_KEY};

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
