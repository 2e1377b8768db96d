//! Layers that need no private key; encrypted ones are in `tests/tests/layers.rs`, with real keys.

use super::{Opened, Opener, open, type_name};
use crate::ber::{constructed, id, tlv};
use crate::compressed::{CompressOptions, compress};
use crate::content::ID_DATA;
use crate::error::Error;
use crate::io::MemoryInput;
use crate::limits::{HEADERS, LAYERS, SIGNED_PARTS};
use crate::mime::Form;
use crate::signed::testkit::{Kind, Person, options};
use crate::signed::{SignForm, SignOptions, SignatureState, sign};

const LETTER: &str = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: hello\r\n";
const BODY: &[u8] = b"Content-Type: text/plain\r\n\r\nhello\r\n";

fn opened(message: &[u8]) -> (Opened, MemoryInput) {
    let mut input = MemoryInput::new(message.to_vec());
    let profile = crate::profile::Profile::legacy_read();
    let opener = Opener {
        keys: None,
        candidates: &[],
        profile: &profile,
        spool: std::env::temp_dir(),
    };
    let opened = open(&mut input, None, &opener).unwrap();
    (opened, input)
}

fn kinds(opened: &Opened) -> Vec<&str> {
    opened.layers.iter().map(|layer| layer.kind).collect()
}

fn inside(opened: &mut Opened, input: &mut MemoryInput) -> String {
    let mut out = Vec::new();
    opened.write_content(input, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn letter(opened: &mut Opened, input: &mut MemoryInput) -> String {
    let mut out = Vec::new();
    opened.write_letter(input, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn signed(content: &[u8], form: SignForm) -> Vec<u8> {
    let person = Person::shared(Kind::P256);
    let mut out = Vec::new();
    sign(
        &mut &content[..],
        &mut out,
        &person.certificate,
        person,
        &options(form),
    )
    .unwrap();
    out
}

fn compressed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let options = CompressOptions {
        format: Form::Smime,
    };
    compress(&mut &content[..], &mut out, &options).unwrap();
    out
}

#[test]
fn layers_of_every_kind_are_opened_to_the_innermost() {
    let inner = signed(BODY, SignForm::Clear);
    let message = signed(&compressed(&inner), SignForm::Opaque);
    let message = [LETTER.as_bytes(), &message].concat();
    let (mut opened, mut input) = opened(&message);
    assert_eq!(kinds(&opened), ["signed", "compressed", "signed"]);
    assert!(opened.stopped.is_none());
    let places: Vec<usize> = opened.signed.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 2]);
    let deciding = opened.deciding().unwrap();
    assert_eq!(deciding.signers[0].state, SignatureState::Valid);
    assert_eq!(deciding.from, ["alice@example.org"]);
    assert_eq!(inside(&mut opened, &mut input).as_bytes(), BODY);
    assert_eq!(
        letter(&mut opened, &mut input),
        format!("{LETTER}MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n")
    );
}

#[test]
fn a_message_without_layers_stays_as_it_is() {
    let message = format!("{LETTER}\r\nhello\r\n");
    let (mut opened, mut input) = opened(message.as_bytes());
    assert!(opened.layers.is_empty() && opened.deciding().is_none());
    assert_eq!(inside(&mut opened, &mut input), message);
    assert_eq!(letter(&mut opened, &mut input), message);
}

#[test]
fn the_fields_of_what_is_inside_win_over_those_outside() {
    let inner = b"Subject: the real one\r\nContent-Type: text/plain\r\n\r\nhello\r\n";
    let message = [
        b"From alice Mon Nov 23\r\n" as &[u8],
        LETTER.as_bytes(),
        b"X-Long: one\r\n two\r\n",
        &signed(inner, SignForm::Opaque),
    ]
    .concat();
    let (mut opened, mut input) = opened(&message);
    assert_eq!(
        letter(&mut opened, &mut input),
        "From: alice@example.org\r\nTo: bob@example.org\r\nX-Long: one\r\n two\r\nMIME-Version: 1.0\r\n\
         Subject: the real one\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    );
}

#[test]
fn another_from_inside_is_a_contradiction() {
    let there = "alice@example.org";
    for (outer, from, fine) in [
        (there, "alice@example.org", true),
        (there, "mallory@example.org", false),
        ("a@bücher.example", "a@xn--bcher-kva.example", true),
        ("a@bücher.example", "a@bucher.example", false),
    ] {
        let inner = format!("From: {from}\r\nContent-Type: text/plain\r\n\r\nhello\r\n");
        let message = [
            LETTER.replace(there, outer).as_bytes(),
            &signed(inner.as_bytes(), SignForm::Opaque),
        ]
        .concat();
        let (opened, _) = opened(&message);
        assert_eq!(
            opened.deciding().unwrap().contradictions.is_empty(),
            fine,
            "{from}"
        );
    }
}

#[test]
fn the_from_inside_is_judged_like_the_one_outside() {
    let outside = "From: Alice@Example.org\r\n";
    for (outer, inner, fine) in [
        (outside, "From: alice@example.org\r\n", true),
        ("", "From: alice@example.org\r\n", true),
        (
            outside,
            "From: \"ceo@corp.example\" <alice@example.org>\r\n",
            false,
        ),
        (
            outside,
            "From: alice@example.org\r\nFrom: alice@example.org\r\n",
            false,
        ),
        ("", "From: alice@example.org, ceo@corp.example\r\n", false),
    ] {
        let inner = format!("{inner}Content-Type: text/plain\r\n\r\nhello\r\n");
        for form in [SignForm::Clear, SignForm::Opaque] {
            let message = [outer.as_bytes(), &signed(inner.as_bytes(), form)].concat();
            let (opened, _) = opened(&message);
            let outcome = opened.deciding().unwrap();
            assert_eq!(outcome.contradictions.is_empty(), fine, "{outer}{inner}");
            assert_eq!(outcome.from.len(), if inner.contains(',') { 2 } else { 1 });
        }
    }
}

#[test]
fn a_from_behind_a_line_that_is_no_field_is_a_contradiction() {
    let body = signed(BODY, SignForm::Clear);
    let body = String::from_utf8(body).unwrap();
    let (head, rest) = body.split_once("\r\n\r\n").unwrap();
    for (before, behind, fine) in [
        (
            "From: alice@example.org\r\n",
            "x\r\nFrom: ceo@corp.example\r\n",
            false,
        ),
        ("", "x\r\nfrom : ceo@corp.example\r\n", false),
        ("", "x\r\ny\r\nSubject: z\r\n", false),
        ("From: alice@example.org\r\n", "x\r\nX-Other: y\r\n", true),
        (
            "From: alice@example.org\r\n",
            ">From x\r\nTo: bob@example.org\r\n",
            true,
        ),
    ] {
        let message = format!("{before}{head}\r\n{behind}\r\n{rest}");
        let (mut found, mut input) = opened(message.as_bytes());
        let contradictions = found.deciding().unwrap().contradictions.clone();
        assert_eq!(
            contradictions.is_empty(),
            fine,
            "{behind}: {contradictions:?}"
        );
        let letter = letter(&mut found, &mut input);
        assert!(!letter.contains("ceo@"), "{letter}");
    }
}

/// Zeros compressed twice are small, and each layer alone keeps to its ratio.
#[test]
fn compressed_layers_are_bounded_together() {
    let text = |len: usize| [BODY, &b"hello\r\n".repeat(len / 7)].concat();
    let (mut fine, mut input) = opened(&compressed(&compressed(&text(900 << 10))));
    assert_eq!(kinds(&fine), ["compressed", "compressed"]);
    assert!(fine.stopped.is_none());
    assert_eq!(inside(&mut fine, &mut input).len(), text(900 << 10).len());
    // our own compressing keeps to the ratio: a mebibyte at most, and far less the next time
    let (bomb, _) = opened(&compressed(&compressed(&compressed(&text(18 << 20)))));
    assert_eq!(kinds(&bomb), ["compressed"; 3], "{:?}", bomb.stopped);
    assert!(matches!(
        bomb.stopped,
        Some(Error::LimitExceeded { limit: 100, .. })
    ));
}

#[test]
fn content_of_another_type_is_no_layer() {
    let data = tlv(id::OCTET_STRING, b"hello");
    let data = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OID, ID_DATA.as_bytes()),
            &tlv(id::context_constructed(0), &data),
        ],
    );
    let (found, _) = opened(&data);
    assert!(found.layers.is_empty() && found.stopped.is_none());
    assert_eq!(type_name(&found.foreign.unwrap()), "Data");
    let entity = [
        b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            as &[u8],
        &data,
    ]
    .concat();
    let (found, _) = opened(&signed(&entity, SignForm::Opaque));
    assert_eq!(found.deciding().unwrap().reservations.len(), 1);
}

/// A file may begin with any number of lines that look like header fields.
#[test]
fn a_file_that_looks_like_headers_is_one() {
    let log = b"2026-01-01T00:00:00Z: started\r\n".repeat(2 * HEADERS / 31);
    let person = Person::shared(Kind::P256);
    let mut message = Vec::new();
    let options = SignOptions {
        format: Form::Der,
        ..options(SignForm::Opaque)
    };
    sign(
        &mut &log[..],
        &mut message,
        &person.certificate,
        person,
        &options,
    )
    .unwrap();
    let (mut found, mut input) = opened(&message);
    assert!(found.stopped.is_none());
    let outcome = found.deciding().unwrap();
    assert!(outcome.reservations.is_empty() && outcome.contradictions.is_empty());
    assert_eq!(inside(&mut found, &mut input).len(), log.len());
    // below a letter's headers it is a letter's content, and too long a section hides what follows it
    let message = [LETTER.as_bytes(), &signed(&log, SignForm::Opaque)].concat();
    assert!(opened(&message).0.stopped.is_some());
}

#[test]
fn a_signed_part_is_reported_and_decides_nothing() {
    let part = signed(BODY, SignForm::Clear);
    let mixed = [
        LETTER.as_bytes(),
        b"Content-Type: multipart/mixed; boundary=outside\r\n\r\n--outside\r\n\r\nunsigned text\r\n--outside\r\n",
        &part,
        b"\r\n--outside--\r\n",
    ]
    .concat();
    let (found, _) = opened(&mixed);
    assert!(found.deciding().is_none() && found.layers.is_empty());
    assert_eq!(found.parts.len(), 1);
    assert_eq!(found.parts[0].signers[0].state, SignatureState::Valid);

    // inside a signed message, as when one forwards another
    let entity = &mixed[LETTER.len()..];
    let (found, _) = opened(&signed(entity, SignForm::Opaque));
    assert_eq!(found.parts.len(), 1);
    let deciding = found.deciding().unwrap();
    assert!(deciding.reservations.is_empty() && deciding.contradictions.is_empty());
}

#[test]
fn an_encrypted_part_of_what_was_signed_is_not_vouched_for() {
    // EnvelopedData as far as its content type
    let entity = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nplease reply\r\n--b\r\n\
        Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAGCSqGSIb3DQEHA6CA\r\n--b--\r\n";
    for form in [SignForm::Clear, SignForm::Opaque] {
        let (opened, _) = opened(&signed(entity, form));
        let deciding = opened.deciding().unwrap();
        assert_eq!(deciding.signers[0].state, SignatureState::Valid);
        assert!(deciding.reservations[0].contains("ciphertext"), "{form:?}");
        assert_eq!(opened.encrypted_parts, 1);
    }
}

#[test]
fn nesting_ends_at_its_limit() {
    let nested = |depth: usize| {
        let mut message = BODY.to_vec();
        for _ in 0..depth {
            message = compressed(&message);
        }
        opened(&message).0
    };
    let most = nested(LAYERS);
    assert_eq!(most.layers.len(), LAYERS);
    assert!(most.stopped.is_none());
    let more = nested(LAYERS + 1);
    assert_eq!(more.layers.len(), LAYERS);
    assert!(matches!(
        more.stopped,
        Some(Error::LimitExceeded { limit, .. }) if limit == LAYERS as u64
    ));
}

#[test]
fn more_signed_parts_than_the_limit_are_left_out_and_said_so() {
    let part = signed(BODY, SignForm::Clear);
    let with = |count: usize| {
        let mut entity = b"Content-Type: multipart/mixed; boundary=outside\r\n\r\n".to_vec();
        for _ in 0..count {
            entity.extend_from_slice(b"--outside\r\n");
            entity.extend_from_slice(&part);
            entity.extend_from_slice(b"\r\n");
        }
        entity.extend_from_slice(b"--outside--\r\n");
        let (opened, _) = opened(&entity);
        (opened.parts.len(), opened.more_parts)
    };
    assert_eq!(with(SIGNED_PARTS), (SIGNED_PARTS, false));
    assert_eq!(with(SIGNED_PARTS + 1), (SIGNED_PARTS, true));
}

#[test]
fn a_damaged_layer_stops_the_walk_with_what_was_found() {
    let damaged = compressed(BODY);
    let damaged = String::from_utf8(damaged).unwrap();
    let (head, body) = damaged.split_once("\r\n\r\n").unwrap();
    let damaged = format!("{head}\r\n\r\n{}", &body[..body.len() / 2]);
    let (opened, _) = opened(&signed(damaged.as_bytes(), SignForm::Opaque));
    assert_eq!(kinds(&opened), ["signed", "compressed"]);
    assert!(matches!(opened.stopped, Some(Error::Malformed(_))));
    assert!(opened.deciding().is_some());
}

#[test]
fn an_encrypted_layer_without_keys_is_the_last() {
    let message = b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\nMIAGCSqGSIb3DQEHA6CA\r\n";
    let (opened, _) = opened(message);
    assert_eq!(kinds(&opened), ["enveloped"]);
    assert!(opened.stopped.is_none() && opened.decrypted.is_empty());
}
