//! Messages that were changed, cut short or made to break something.

use const_oid::db::rfc5912::RSA_ENCRYPTION;

use super::support::{
    FixedKey, Parts, cbc_parts, content, gcm_parameters, gcm_parts, open, pki, refusal, seal,
};
use crate::algorithm::Cipher;
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::content::{ID_AUTH_ENVELOPED_DATA, ID_DATA, ID_ENVELOPED_DATA, ID_SIGNED_DATA};
use crate::enveloped::EncryptOptions;
use crate::enveloped::address::{issuer_and_serial, recipient_info};
use crate::error::Error;
use crate::key::KeyOpener;
use crate::mime::Form;

/// Every change of one byte: each bit, and all of them.
fn changes(message: &[u8]) -> impl Iterator<Item = (usize, u8, Vec<u8>)> {
    (0..message.len()).flat_map(move |at| {
        [1, 2, 4, 8, 16, 32, 64, 128, 255]
            .into_iter()
            .map(move |bits| {
                let mut changed = message.to_vec();
                changed[at] ^= bits;
                (at, bits, changed)
            })
    })
}

pub(super) fn no_change_opens(message: &[u8], opener: &dyn KeyOpener) {
    no_change_opens_but(message, opener, &|_, _| false);
}

/// `harmless` says which changes of which byte are none. A version says nothing, so a message with another opens as it did.
pub(super) fn no_change_opens_but(
    message: &[u8],
    opener: &dyn KeyOpener,
    harmless: &dyn Fn(usize, u8) -> bool,
) {
    let (right, _) = open(message, opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    for (at, bits, changed) in changes(message) {
        if harmless(at, bits) {
            continue;
        }
        match open(&changed, opener) {
            Ok((text, _)) if is_version(message, at) => assert!(text == right),
            Ok(_) => panic!("opened with byte {at} of {} xor {bits:#x}", message.len()),
            Err((error, written)) => {
                assert!(written.is_empty(), "byte {at} xor {bits:#x}: {error}")
            }
        }
    }
}

/// An INTEGER of 0, 2 or 3.
fn is_version(message: &[u8], at: usize) -> bool {
    at >= 2 && message[at - 2..at] == [id::INTEGER, 1] && matches!(message[at], 0 | 2 | 3)
}

#[test]
fn a_changed_bit_in_a_gcm_message_opens_nothing_and_writes_nothing() {
    let pki = pki();
    let attributes = content_type_attribute(&ID_DATA);
    for attributes in [&[][..], &attributes] {
        let (parts, opener) = gcm_parts(
            &pki,
            b"attack at dawn, or a little later",
            &[3; 12],
            16,
            attributes,
        );
        no_change_opens(&parts.message(), &opener);
    }
}

#[test]
fn a_changed_bit_in_a_gcm_message_by_key_agreement_opens_nothing() {
    let pki = pki();
    let message = seal(
        b"to the point",
        &[pki.certificate("p256")],
        Cipher::Aes128Gcm,
        false,
        Form::Der,
    );
    no_change_opens(&message, &pki.opener(&["p256"]));
}

#[test]
fn a_changed_bit_in_a_cbc_message_never_panics() {
    let pki = pki();
    let (parts, opener) = cbc_parts(&pki, b"nobody vouches for this");
    let message = parts.message();
    for (_, _, changed) in changes(&message) {
        if let Err((_, written)) = open(&changed, &opener) {
            assert!(written.is_empty());
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_refused_before_anything_is_written() {
    let pki = pki();
    let (gcm, gcm_opener) = gcm_parts(&pki, &content(100), &[3; 12], 16, &[]);
    let (cbc, cbc_opener) = cbc_parts(&pki, &content(100));
    let openers: [(&Parts, &FixedKey); 2] = [(&gcm, &gcm_opener), (&cbc, &cbc_opener)];
    for (parts, opener) in openers {
        let message = parts.message();
        for len in 0..message.len() {
            refusal(&message[..len], opener);
        }
    }
    // indefinite lengths, several segments
    let message = seal(
        &content(300_000),
        &[pki.certificate("p256")],
        Cipher::Aes256Cbc,
        false,
        Form::Der,
    );
    let opener = pki.opener(&["p256"]);
    for cut in (1..40).chain([70_000, 140_000, 200_000]) {
        refusal(&message[..message.len() - cut], &opener);
    }
}

#[test]
fn what_follows_the_message_is_refused() {
    let pki = pki();
    let (parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let message = parts.message();
    assert!(matches!(
        refusal(&[&message[..], b"x"].concat(), &opener),
        Error::Malformed(_)
    ));
    assert!(matches!(
        refusal(&[&message[..], &message[..]].concat(), &opener),
        Error::Malformed(_)
    ));
}

#[test]
fn tags_of_12_to_16_bytes_that_say_so_and_no_others() {
    let pki = pki();
    let mut accepted = Vec::new();
    for declared in 0..=17u8 {
        for actual in 0..=17usize {
            let (mut parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
            parts.parameters = gcm_parameters(&[3; 12], declared);
            let mut mac = parts.mac.unwrap();
            mac.resize(actual, 0);
            parts.mac = Some(mac);
            match open(&parts.message(), &opener) {
                Ok(_) => accepted.push((usize::from(declared), actual)),
                Err((error, written)) => {
                    assert!(
                        matches!(error, Error::Malformed(_)) && written.is_empty(),
                        "{declared} {actual}: {error}"
                    );
                }
            }
        }
    }
    assert_eq!(accepted, (12..=16).map(|n| (n, n)).collect::<Vec<_>>());

    // the default is 12 (RFC 5084 §3.2); no tag at all is no message
    let (mut parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 12, &[]);
    parts.parameters = tlv(id::SEQUENCE, &tlv(id::OCTET_STRING, &[3; 12]));
    assert!(open(&parts.message(), &opener).is_ok());
    parts.mac = None;
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::Malformed(_)
    ));
}

#[test]
fn nonces_of_1_to_64_bytes_and_ivs_of_16() {
    let pki = pki();
    for len in 0..=70usize {
        let nonce = vec![5; len];
        let (parts, opener) = gcm_parts(&pki, b"text", &nonce, 16, &[]);
        assert_eq!(
            open(&parts.message(), &opener).is_ok(),
            (1..=64).contains(&len),
            "{len}"
        );
        let (mut parts, opener) = cbc_parts(&pki, b"text");
        parts.parameters = tlv(id::OCTET_STRING, &vec![7; len]);
        assert_eq!(open(&parts.message(), &opener).is_ok(), len == 16, "{len}");
    }
    for parameters in [&[][..], &[id::NULL, 0], &tlv(id::SEQUENCE, &[])] {
        let (mut parts, opener) = gcm_parts(&pki, b"text", &[1; 12], 16, &[]);
        parts.parameters = parameters.to_vec();
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::Malformed(_)
        ));
        let (mut parts, opener) = cbc_parts(&pki, b"text");
        parts.parameters = parameters.to_vec();
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::Malformed(_)
        ));
    }
}

/// CVE-2026-34182, CVE-2026-5500: a cipher in the wrong structure.
#[test]
fn aead_only_in_auth_enveloped_data_and_cbc_only_in_enveloped_data() {
    let pki = pki();
    let (mut gcm, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    gcm.outer = ID_ENVELOPED_DATA;
    gcm.mac = None;
    assert!(matches!(
        refusal(&gcm.message(), &opener),
        Error::Malformed(_)
    ));
    for mac in [None, Some(vec![0; 16])] {
        let (mut cbc, opener) = cbc_parts(&pki, b"text");
        cbc.outer = ID_AUTH_ENVELOPED_DATA;
        cbc.mac = mac;
        assert!(matches!(
            refusal(&cbc.message(), &opener),
            Error::Malformed(_)
        ));
    }
    let (mut parts, opener) = cbc_parts(&pki, b"text");
    parts.inner = ID_SIGNED_DATA;
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::UnsupportedAlgorithm(_)
    ));
    let (mut parts, opener) = cbc_parts(&pki, b"text");
    parts.mac = Some(vec![0; 16]);
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::Malformed(_)
    ));
}

pub(super) fn content_type_attribute(oid: &der::asn1::ObjectIdentifier) -> Vec<u8> {
    let content_type = const_oid::db::rfc5911::ID_CONTENT_TYPE;
    let values = tlv(id::SET, &tlv(id::OID, oid.as_bytes()));
    let attribute = constructed(
        id::SEQUENCE,
        &[&tlv(id::OID, content_type.as_bytes()), &values],
    );
    tlv(id::context_constructed(1), &attribute)
}

#[test]
fn authenticated_attributes_are_authenticated() {
    let pki = pki();
    let plain = content(70_000);
    let attributes = content_type_attribute(&ID_DATA);
    let (parts, opener) = gcm_parts(&pki, &plain, &[3; 12], 16, &attributes);
    let (opened, outcome) = open(&parts.message(), &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    assert!(opened == plain && outcome.authenticated);

    let mut without = parts.clone();
    without.attributes = Vec::new();
    assert!(matches!(
        refusal(&without.message(), &opener),
        Error::DecryptionFailed
    ));
    let (mut added, opener) = gcm_parts(&pki, &plain, &[3; 12], 16, &[]);
    added.attributes = attributes;
    assert!(matches!(
        refusal(&added.message(), &opener),
        Error::DecryptionFailed
    ));
    // rightly authenticated, but of another type than the message says
    let (parts, opener) = gcm_parts(
        &pki,
        &plain,
        &[3; 12],
        16,
        &content_type_attribute(&ID_SIGNED_DATA),
    );
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::Malformed(_)
    ));
}

#[test]
fn wrong_padding_and_part_blocks_are_refused() {
    let pki = pki();
    let (parts, opener) = cbc_parts(&pki, &content(64));
    for len in [0, 1, 15, 17, 79] {
        let mut short = parts.clone();
        short.encrypted.truncate(len);
        assert!(
            matches!(refusal(&short.message(), &opener), Error::Malformed(_)),
            "{len}"
        );
    }
    // the last block is all padding; without it the text's own last byte is taken for padding
    let mut cut = parts.clone();
    cut.encrypted.truncate(64);
    let last = content(64)[63];
    assert!(
        !(1..=16).contains(&last),
        "the test's content ends in something like padding"
    );
    assert!(matches!(
        refusal(&cut.message(), &opener),
        Error::DecryptionFailed
    ));
}

#[test]
fn what_is_no_recipient_at_all_is_malformed() {
    let pki = pki();
    let (parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    for infos in [
        vec![],
        vec![tlv(id::context_constructed(5), &[])],
        vec![tlv(id::SET, &[])],
        vec![tlv(id::SEQUENCE, &[])],
        vec![tlv(id::context_constructed(1), &[])],
    ] {
        let changed = Parts {
            infos,
            ..parts.clone()
        };
        assert!(matches!(
            refusal(&changed.message(), &opener),
            Error::Malformed(_)
        ));
    }
}

/// The fields say what they are, as openssl and Bouncy Castle see it too.
#[test]
fn versions_are_not_looked_at() {
    let pki = pki();
    let rsa = pki.certificate("rsa");
    let (gcm, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let (cbc, cbc_opener) = cbc_parts(&pki, b"text");
    for version in [0, 1, 2, 3, 4, 5, 100] {
        for (parts, opener) in [(&gcm, &opener), (&cbc, &cbc_opener)] {
            let mut changed = parts.clone();
            changed.version = version;
            assert!(open(&changed.message(), opener).is_ok(), "{version}");
            // by issuer and serial number it is 0
            assert_eq!(changed.infos[0][4..7], [id::INTEGER, 1, 0]);
            changed.infos[0][6] = version;
            assert!(open(&changed.message(), opener).is_ok(), "{version}");
        }
        let by_key = constructed(
            id::SEQUENCE,
            &[
                &[id::INTEGER, 1, version],
                &tlv(id::context(0), &rsa.ski().unwrap()),
                &encode(&RSA_ENCRYPTION, &[id::NULL, 0]),
                &tlv(id::OCTET_STRING, &opener.encrypted),
            ],
        );
        let by_key = Parts {
            infos: vec![by_key],
            ..gcm.clone()
        };
        assert!(open(&by_key.message(), &opener).is_ok(), "{version}");

        let point = pki.certificate("p256");
        let mut info = recipient_info(&point, &opener.key, &EncryptOptions::default()).unwrap();
        let at = info.windows(3).position(|w| w == [id::INTEGER, 1, 3]);
        info[at.unwrap() + 2] = version;
        let by_agreement = Parts {
            infos: vec![info],
            ..gcm.clone()
        };
        let opened = open(&by_agreement.message(), &pki.opener(&["p256"]));
        assert!(opened.is_ok(), "{version}");
    }
}

/// What is wrong with a RecipientInfo matters to whom it means, and to nobody else.
#[test]
fn odd_recipients_are_trouble_for_themselves_only() {
    let pki = pki();
    let (parts, ours) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let theirs = FixedKey {
        certificate: pki.certificate("rsa-other"),
        ..ours.clone()
    };
    let named = issuer_and_serial(&theirs.certificate);
    let version = [id::INTEGER, 1, 0];
    let plain = encode(&RSA_ENCRYPTION, &[id::NULL, 0]);
    let key = tlv(id::OCTET_STRING, &[1; 256]);
    let text = tlv(0x0c, b"what is this?");
    let sequence = |fields: &[&[u8]]| constructed(id::SEQUENCE, fields);
    let agreement = |fields: &[&[u8]]| constructed(id::context_constructed(1), fields);
    let other = |fields: &[&[u8]]| constructed(id::context_constructed(4), fields);
    let originator = tlv(id::context_constructed(0), &text);
    let keys = sequence(&[&sequence(&[&named, &key])]);
    let ori_kem = tlv(id::OID, &ORI_KEM);
    // whom they mean is clear
    let meant = [
        sequence(&[&version, &named]),
        sequence(&[&version, &named, &plain]),
        sequence(&[&version, &named, &text, &key]),
        sequence(&[&version, &named, &plain, &text]),
        sequence(&[&version, &named, &plain, &key, &text]),
        sequence(&[&version, &named, &encode(&RSA_ENCRYPTION, &text), &key]),
        sequence(&[&version, &named, &plain, &tlv(id::OCTET_STRING, &[1; 9000])]),
        agreement(&[&version, &originator, &plain, &keys]),
        agreement(&[&version, &originator, &plain, &keys, &text]),
        other(&[&ori_kem, &sequence(&[&version, &named])]),
        other(&[&ori_kem, &sequence(&[&version, &named, &text])]),
    ];
    // nobody knows
    let nobodys = [
        tlv(id::context_constructed(5), &text),
        tlv(id::SET, &text),
        text.clone(),
        sequence(&[]),
        sequence(&[&named]),
        sequence(&[&version]),
        sequence(&[&version, &text, &plain, &key]),
        sequence(&[&version, &sequence(&[&text]), &plain, &key]),
        agreement(&[]),
        agreement(&[&version, &text]),
        agreement(&[&version, &originator, &plain]),
        agreement(&[&version, &originator, &plain, &sequence(&[])]),
        agreement(&[&version, &originator, &plain, &sequence(&[&text])]),
        agreement(&[
            &version,
            &originator,
            &plain,
            &sequence(&[&sequence(&[&text])]),
        ]),
        other(&[]),
        other(&[&text]),
        other(&[&ori_kem, &text]),
        other(&[&ori_kem, &sequence(&[&version, &text])]),
    ];
    let with = |infos: Vec<Vec<u8>>| {
        let changed = Parts {
            infos,
            ..parts.clone()
        };
        changed.message()
    };
    for (odd, is_meant) in
        (meant.iter().map(|odd| (odd, true))).chain(nobodys.iter().map(|odd| (odd, false)))
    {
        for infos in [
            vec![odd.clone(), parts.infos[0].clone()],
            vec![parts.infos[0].clone(), odd.clone()],
        ] {
            let (text, outcome) =
                open(&with(infos), &ours).unwrap_or_else(|(e, _)| panic!("{odd:02x?}: {e}"));
            assert_eq!((&text[..], outcome.recipients), (&b"text"[..], 2));
        }
        let alone = with(vec![odd.clone()]);
        let trouble = |error: &Error| {
            matches!(
                error,
                Error::Malformed(_) | Error::LimitExceeded { .. } | Error::UnsupportedAlgorithm(_)
            )
        };
        let error = refusal(&alone, &theirs);
        assert!(trouble(&error), "{odd:02x?}: {error}");
        let error = refusal(&alone, &ours);
        let as_expected = match error {
            Error::NoRecipientMatch => is_meant,
            _ => !is_meant && trouble(&error),
        };
        assert!(as_expected, "{odd:02x?}: {error}");
    }
}

/// A key that is named twice, once in a way that cannot be followed, still opens the message.
#[test]
fn a_usable_recipient_of_ours_counts_more_than_one_that_is_not() {
    let pki = pki();
    let (parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let name = issuer_and_serial(&opener.certificate);
    let cut = constructed(id::SEQUENCE, &[&[id::INTEGER, 1, 0], &name]);
    for infos in [
        vec![cut.clone(), parts.infos[0].clone()],
        vec![parts.infos[0].clone(), cut.clone()],
    ] {
        let message = Parts {
            infos,
            ..parts.clone()
        };
        assert!(open(&message.message(), &opener).is_ok());
    }
}

/// id-ori-kem (RFC 9629 §3), its content octets.
const ORI_KEM: [u8; 11] = [
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x0d, 0x03,
];
