//! What one SignerInfo must keep to.

use super::crafted::{
    BODY, CONTENT_TYPE, Crafted, MESSAGE_DIGEST, NULL, SIGNING_TIME, attribute, oid,
};
use super::*;
use crate::algorithm::DigestAlgorithm;
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::content::ID_DATA;
use crate::key::RecipientId;
use crate::signed::SignatureState;

/// id-ct-authData
const AUTH_DATA: &str = "1.2.840.113549.1.9.16.1.2";
const RECEIPT: &str = "1.2.840.113549.1.9.16.1.1";

fn state(crafted: &Crafted) -> SignatureState {
    crafted.outcome().signers.remove(0).state
}

#[track_caller]
fn assert_invalid(crafted: &Crafted, words: &str) {
    match state(crafted) {
        SignatureState::Invalid(why) if why.contains(words) => {}
        other => panic!("{other:?}, not invalid for: {words}"),
    }
}

#[track_caller]
fn assert_unsupported(crafted: &Crafted, words: &str) {
    match state(crafted) {
        SignatureState::Unsupported(why) if why.contains(words) => {}
        other => panic!("{other:?}, not unsupported for: {words}"),
    }
}

#[test]
fn the_honest_message_of_these_tests_is_valid() {
    assert_eq!(state(&Crafted::honest()), SignatureState::Valid);
    assert_eq!(
        state(&Crafted {
            attributes: None,
            ..Crafted::honest()
        }),
        SignatureState::Valid
    );
}

#[test]
fn content_type_and_message_digest_must_be_there_once_with_one_value() {
    let content_type = Crafted::content_type(&ID_DATA);
    let message_digest = Crafted::message_digest(BODY);
    let with = |attributes: Vec<Vec<u8>>| Crafted {
        attributes: Some(attributes),
        ..Crafted::honest()
    };
    assert_invalid(&with(vec![message_digest.clone()]), "lack contentType");
    assert_invalid(&with(vec![content_type.clone()]), "lack messageDigest");
    assert_invalid(
        &Crafted::honest().with(content_type.clone()),
        "contentType more than once",
    );
    assert_invalid(
        &Crafted::honest().with(message_digest.clone()),
        "messageDigest more than once",
    );
    let digest = tlv(id::OCTET_STRING, &DigestAlgorithm::Sha256.digest(BODY));
    let wrong = tlv(id::OCTET_STRING, &DigestAlgorithm::Sha256.digest(b"other"));
    for values in [
        vec![],
        vec![digest.as_slice(), &wrong],
        vec![&wrong, &digest],
        vec![&digest, &digest],
    ] {
        let twice = attribute(MESSAGE_DIGEST, &values);
        assert_invalid(
            &with(vec![content_type.clone(), twice]),
            "not exactly one value",
        );
    }
    let data = tlv(id::OID, ID_DATA.as_bytes());
    assert_invalid(
        &with(vec![
            attribute(CONTENT_TYPE, &[&data, &data]),
            message_digest.clone(),
        ]),
        "not exactly one",
    );
    assert_invalid(
        &with(vec![
            Crafted::content_type(&oid(RECEIPT)),
            message_digest.clone(),
        ]),
        "another type of content",
    );
    assert_invalid(
        &with(vec![
            content_type.clone(),
            Crafted::message_digest(b"other"),
        ]),
        "it was changed",
    );
    assert_invalid(
        &with(vec![
            content_type.clone(),
            attribute(MESSAGE_DIGEST, &[&data]),
        ]),
        "wrong kind",
    );
    assert_invalid(
        &with(vec![attribute(CONTENT_TYPE, &[&digest]), message_digest]),
        "wrong kind",
    );
    assert_invalid(
        &with(vec![content_type, vec![0x30, 0x03, 0x02, 0x01, 0x00]]),
        "cannot be read",
    );
    assert_invalid(&with(vec![vec![0x04, 0x00]]), "cannot be read");
}

#[test]
fn every_attribute_of_a_single_instance_is_held_to_it() {
    let time = tlv(id::UTC_TIME, b"260101000000Z");
    for kind in [
        SIGNING_TIME,
        "1.2.840.113549.1.9.15",
        "1.2.840.113549.1.9.16.2.11",
        "1.2.840.113549.1.9.16.2.12",
        "1.2.840.113549.1.9.16.2.47",
    ] {
        let value: Vec<u8> = match kind {
            SIGNING_TIME => time.clone(),
            "1.2.840.113549.1.9.16.2.12" => {
                essence(&DigestAlgorithm::Sha1.digest(signer_der()), None)
            }
            "1.2.840.113549.1.9.16.2.47" => {
                essence(&DigestAlgorithm::Sha256.digest(signer_der()), None)
            }
            _ => vec![0x30, 0],
        };
        let one = attribute(kind, &[&value]);
        assert_eq!(
            state(&Crafted::honest().with(one.clone())),
            SignatureState::Valid,
            "{kind}"
        );
        assert_invalid(
            &Crafted::honest().with(one.clone()).with(one),
            "more than once",
        );
        assert_invalid(
            &Crafted::honest().with(attribute(kind, &[&value, &value])),
            "not exactly one value",
        );
        assert_invalid(
            &Crafted::honest().with(attribute(kind, &[])),
            "not exactly one value",
        );
    }
    let unknown = attribute("1.3.6.1.4.1.311.16.4", &[&time, &time]);
    assert_eq!(
        state(&Crafted::honest().with(unknown.clone()).with(unknown)),
        SignatureState::Valid
    );
}

fn signer_der() -> &'static [u8] {
    Person::shared(Kind::P256).certificate.der()
}

/// SigningCertificate(V2) with one ESSCertID(v2).
fn essence(hash: &[u8], algorithm: Option<&[u8]>) -> Vec<u8> {
    let certificate = constructed(
        id::SEQUENCE,
        &[algorithm.unwrap_or_default(), &tlv(id::OCTET_STRING, hash)],
    );
    tlv(id::SEQUENCE, &tlv(id::SEQUENCE, &certificate))
}

#[test]
fn attributes_are_only_where_they_belong() {
    let with = |unsigned: Vec<u8>| Crafted {
        unsigned: vec![unsigned],
        ..Crafted::honest()
    };
    let time = tlv(id::UTC_TIME, b"260101000000Z");
    for kind in [
        CONTENT_TYPE,
        MESSAGE_DIGEST,
        SIGNING_TIME,
        "1.2.840.113549.1.9.15",
        "1.2.840.113549.1.9.16.2.11",
        "1.2.840.113549.1.9.16.2.12",
        "1.2.840.113549.1.9.16.2.47",
    ] {
        assert_invalid(&with(attribute(kind, &[&time])), "must not be");
    }
    assert_invalid(&with(vec![0x04, 0x00]), "cannot be read");
    // a timestamp and a countersignature belong there
    for kind in ["1.2.840.113549.1.9.16.2.14", COUNTER_SIGNATURE] {
        let crafted = with(attribute(kind, &[&[0x30, 0]]));
        assert_eq!(state(&crafted), SignatureState::Valid);
    }
    assert_invalid(
        &Crafted::honest().with(attribute(COUNTER_SIGNATURE, &[&[0x30, 0]])),
        "countersignature",
    );
}

const COUNTER_SIGNATURE: &str = "1.2.840.113549.1.9.6";

#[test]
fn a_signing_certificate_attribute_binds_the_certificate() {
    let (v1, v2) = ("1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47");
    let with = |kind: &str, value: Vec<u8>| Crafted::honest().with(attribute(kind, &[&value]));
    for digest in [
        DigestAlgorithm::Sha1,
        DigestAlgorithm::Sha256,
        DigestAlgorithm::Sha384,
        DigestAlgorithm::Sha512,
    ] {
        let named = encode(&digest.oid(), &[]);
        let right = essence(&digest.digest(signer_der()), Some(&named));
        assert_eq!(state(&with(v2, right)), SignatureState::Valid);
        let wrong = essence(&digest.digest(b"another certificate"), Some(&named));
        assert_invalid(&with(v2, wrong), "another certificate");
    }
    assert_invalid(&with(v1, essence(&[7; 20], None)), "another certificate");
    assert_invalid(&with(v2, essence(&[7; 32], None)), "another certificate");
    assert_invalid(&with(v2, vec![0x30, 0x00]), "wrong kind");
    let unknown = encode(&oid("1.2.3.4"), &[]);
    assert_unsupported(&with(v2, essence(&[7; 32], Some(&unknown))), "1.2.3.4");
}

#[test]
fn attributes_out_of_order_are_verified_as_they_came() {
    let mut crafted = Crafted::honest();
    crafted.attributes.as_mut().unwrap().reverse();
    assert_eq!(state(&crafted), SignatureState::Valid);
    // signed in the order of DER, sent in another
    let right = Crafted::honest().build();
    let (first, second) = (
        Crafted::content_type(&ID_DATA),
        Crafted::message_digest(BODY),
    );
    let at = memchr::memmem::find(&right, &[first.clone(), second.clone()].concat()).unwrap();
    let mut turned = right.clone();
    turned[at..at + first.len() + second.len()].copy_from_slice(&[second, first].concat());
    assert_ne!(turned, right);
    assert_eq!(
        check(&turned).unwrap().signers[0].state,
        SignatureState::Valid
    );
}

#[test]
fn without_attributes_only_plain_data_that_is_no_attributes() {
    let moved = [
        Crafted::content_type(&ID_DATA),
        Crafted::message_digest(BODY),
    ]
    .concat();
    let stolen = |content: Vec<u8>| Crafted {
        attributes: None,
        content: Some(content),
        ..Crafted::honest()
    };
    assert_invalid(&stolen(tlv(id::SET, &moved)), "looks like such");
    let long_form = [
        &[0x31, 0x83, 0, 0, u8::try_from(moved.len()).unwrap()][..],
        &moved,
    ]
    .concat();
    assert_invalid(&stolen(long_form), "looks like such");
    let indefinite = [&[0x31, 0x80][..], &moved, &[0, 0]].concat();
    assert_invalid(&stolen(indefinite), "looks like such");
    assert_eq!(
        state(&stolen(b"1 is a number".to_vec())),
        SignatureState::Valid
    );
    assert_eq!(state(&stolen(b"1".to_vec())), SignatureState::Valid);
    let kind = oid(RECEIPT);
    let crafted = Crafted {
        attributes: None,
        kind,
        ..Crafted::honest()
    };
    assert_invalid(&crafted, "not plain data");
}

#[test]
fn content_of_another_type_than_data_is_a_contradiction_even_if_well_signed() {
    let kind = oid(AUTH_DATA);
    let attributes = Some(vec![
        Crafted::content_type(&kind),
        Crafted::message_digest(BODY),
    ]);
    let outcome = Crafted {
        kind,
        attributes,
        ..Crafted::honest()
    }
    .outcome();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    assert_eq!(outcome.contradictions.len(), 1);
    assert!(outcome.contradictions[0].contains(AUTH_DATA));
}

#[test]
fn algorithms_that_do_not_say_exactly_what_was_done_are_refused() {
    let sha256 = DigestAlgorithm::Sha256.oid();
    let algorithm = |text: &str, parameters: &[u8]| Crafted {
        algorithm: encode(&oid(text), parameters),
        ..Crafted::honest()
    };
    let digest = |parameters: &[u8]| Crafted {
        digest: encode(&sha256, parameters),
        ..Crafted::honest()
    };
    assert_eq!(state(&digest(NULL)), SignatureState::Valid);
    assert_invalid(&digest(&[4, 0]), "has parameters");
    assert_invalid(&digest(&[5, 1, 0]), "has parameters");
    // as gpgsm writes it
    assert_eq!(
        state(&algorithm("1.2.840.10045.4.3.2", NULL)),
        SignatureState::Valid
    );
    assert_invalid(&algorithm("1.2.840.10045.4.3.2", &[4, 0]), "do not belong");
    assert_invalid(&algorithm("1.2.840.10045.4.3.3", &[]), "do not agree");
    assert_invalid(&algorithm("1.2.840.113549.1.1.5", NULL), "do not agree");
    // an RSA algorithm with an EC key
    assert_invalid(&algorithm("1.2.840.113549.1.1.1", NULL), "not by the key");
    assert_invalid(
        &algorithm("1.2.840.113549.1.1.11", &[4, 0]),
        "do not belong",
    );
    assert_invalid(&algorithm("1.3.101.112", &[]), "do not agree");
    assert_unsupported(&algorithm("1.3.101.113", &[]), "ed448");
    assert_unsupported(&algorithm("1.2.3.4", &[]), "1.2.3.4");
    let crafted = Crafted {
        digest: encode(&oid("1.3.36.3.2.1"), NULL),
        ..Crafted::honest()
    };
    assert_unsupported(&crafted, "1.3.36.3.2.1");
    for broken in ["1.2.840.113549.2.2", "1.2.840.113549.2.4"] {
        let crafted = Crafted {
            digest: encode(&oid(broken), NULL),
            ..Crafted::honest()
        };
        assert_invalid(&crafted, "forge");
        assert_invalid(&algorithm("1.2.840.113549.1.1.3", NULL), "forge");
    }
    // announced differently, or with parameters that no digest has
    for announced in [
        vec![],
        vec![encode(&DigestAlgorithm::Sha512.oid(), &[])],
        vec![encode(&sha256, &[4, 0])],
    ] {
        assert_invalid(
            &Crafted {
                announced,
                ..Crafted::honest()
            },
            "digestAlgorithms",
        );
    }
}

#[test]
fn pss_parameters_are_read_to_the_last_bit() {
    let hash = |digest: DigestAlgorithm| tlv(0xa0, &encode(&digest.oid(), NULL));
    let mask = |digest: DigestAlgorithm| {
        tlv(
            0xa1,
            &encode(&oid("1.2.840.113549.1.1.8"), &encode(&digest.oid(), NULL)),
        )
    };
    let salt = |salt: &[u8]| tlv(0xa2, &tlv(id::INTEGER, salt));
    let trailer = |n: u8| tlv(0xa3, &tlv(id::INTEGER, &[n]));
    let pss = |fields: &[Vec<u8>]| Crafted {
        algorithm: encode(
            &oid("1.2.840.113549.1.1.10"),
            &tlv(id::SEQUENCE, &fields.concat()),
        ),
        ..Crafted::honest()
    };
    let (h, m) = (hash(DigestAlgorithm::Sha256), mask(DigestAlgorithm::Sha256));
    // read, so that only the key is wrong
    for fields in [
        vec![h.clone(), m.clone()],
        vec![h.clone(), m.clone(), salt(&[32])],
        vec![h.clone(), m.clone(), salt(&[1, 0xde]), trailer(1)],
        vec![h.clone()],
        vec![h.clone(), mask(DigestAlgorithm::Sha512)],
    ] {
        assert_invalid(&pss(&fields), "not by the key");
    }
    // the defaults are SHA-1
    assert_invalid(&pss(&[]), "do not agree");
    let absent = Crafted {
        algorithm: encode(&oid("1.2.840.113549.1.1.10"), &[]),
        ..Crafted::honest()
    };
    assert_invalid(&absent, "do not agree");
    assert_unsupported(
        &pss(&[h.clone(), mask(DigestAlgorithm::Shake256)]),
        "SHAKE256",
    );
    assert_invalid(
        &pss(&[hash(DigestAlgorithm::Sha512), m.clone()]),
        "do not agree",
    );
    let other_mask = tlv(0xa1, &encode(&oid("1.2.3"), NULL));
    assert_unsupported(&pss(&[h.clone(), other_mask]), "1.2.3");
    let bare_mask = tlv(0xa1, &encode(&oid("1.2.840.113549.1.1.8"), NULL));
    assert_invalid(&pss(&[h.clone(), bare_mask]), "MGF1");
    assert_invalid(&pss(&[h.clone(), m.clone(), trailer(2)]), "trailer");
    for wrong in [
        salt(&[0, 32]),
        salt(&[0x80]),
        salt(&[]),
        salt(&[1, 0, 0]),
        vec![0xa2, 0],
    ] {
        assert_invalid(&pss(&[h.clone(), m.clone(), wrong]), "cannot be read");
    }
    assert_invalid(&pss(&[m.clone(), h.clone()]), "cannot be read");
    assert_invalid(&pss(&[h, m, tlv(0xa4, &[])]), "cannot be read");
    let null = Crafted {
        algorithm: encode(&oid("1.2.840.113549.1.1.10"), NULL),
        ..Crafted::honest()
    };
    assert_invalid(&null, "no SEQUENCE");
}

#[test]
fn every_certificate_that_the_signer_may_mean_is_tried() {
    let same = ["-addext", "subjectKeyIdentifier=0102030405060708"];
    let (stranger, signer) = (
        Person::new(Kind::P256, &same),
        Person::new(Kind::P256, &same),
    );
    let signer: &'static Person = Box::leak(Box::new(signer));
    let by = |certificates: Vec<Vec<u8>>| Crafted {
        signer,
        id: RecipientId::Ski(vec![1, 2, 3, 4, 5, 6, 7, 8]),
        certificates,
        ..Crafted::honest()
    };
    let both = by(vec![
        stranger.certificate.der().to_vec(),
        signer.certificate.der().to_vec(),
    ])
    .outcome();
    assert_eq!(both.signers[0].state, SignatureState::Valid);
    assert_eq!(
        both.signers[0].certificate.as_ref(),
        Some(&signer.certificate)
    );
    assert_invalid(
        &by(vec![stranger.certificate.der().to_vec()]),
        "not by the key",
    );
    assert_unsupported(&by(vec![]), "0102030405060708");
    // one that came from elsewhere
    let mut message = MemoryInput::new(by(vec![]).build());
    let outcome = verify(
        &mut message,
        None,
        &[stranger.certificate, signer.certificate.clone()],
    )
    .unwrap();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    assert!(outcome.certificates.is_empty());
}

#[test]
fn signing_times_of_both_kinds_are_read() {
    let time = |value: Vec<u8>| {
        let outcome = Crafted::honest()
            .with(attribute(SIGNING_TIME, &[&value]))
            .outcome();
        assert_eq!(outcome.signers[0].state, SignatureState::Valid);
        outcome.signers[0].signing_time
    };
    assert_eq!(time(tlv(id::UTC_TIME, b"700101000001Z")), Some(1));
    assert_eq!(
        time(tlv(id::UTC_TIME, b"491231235959Z")),
        Some(2_524_607_999)
    );
    assert_eq!(
        time(tlv(id::GENERALIZED_TIME, b"20500101000000Z")),
        Some(2_524_608_000)
    );
    for nonsense in [
        "991332000000Z",
        "2601010000Z",
        "260101000000",
        "26010100000\u{e9}Z",
        "",
        "+6010100000 Z",
    ] {
        assert_eq!(
            time(tlv(id::UTC_TIME, nonsense.as_bytes())),
            None,
            "{nonsense}"
        );
    }
    assert_eq!(time(tlv(id::INTEGER, b"1")), None);
    // and written
    for (seconds, text) in [
        (2_524_607_999, "491231235959Z"),
        (2_524_608_000, "20500101000000Z"),
    ] {
        let options = SignOptions {
            signing_time: seconds,
            format: crate::Form::Der,
            ..options(SignForm::Opaque)
        };
        let message = signed(Person::shared(Kind::P256), BODY, &options);
        assert!(memchr::memmem::find(&message, text.as_bytes()).is_some());
        assert_eq!(
            check(&message).unwrap().signers[0].signing_time,
            Some(seconds)
        );
    }
}
