use super::super::structure::{Part, Parts, Structure};
use super::STEPS;
use crate::limits::{HEADERS, MULTIPARTS, PARTS};

/// The same in one piece and in small ones, wherever they end.
fn found(entity: &str) -> Parts {
    let mut whole = Structure::of_entity();
    whole.update(entity.as_bytes());
    let whole = whole.finish();
    for step in STEPS {
        let mut structure = Structure::of_entity();
        for piece in entity.as_bytes().chunks(step) {
            structure.update(piece);
        }
        assert_eq!(structure.finish(), whole, "in steps of {step}");
    }
    whole
}

fn texts<'e>(entity: &'e str, parts: &[Part]) -> Vec<&'e str> {
    parts
        .iter()
        .map(|part| {
            let range = part.range.start as usize..part.range.end as usize;
            &entity[range]
        })
        .collect()
}

const SIGNED: &str = "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=in\r\n\r\n\
    --in\r\n\r\ntext\r\n--in\r\nContent-Type: application/pkcs7-signature\r\n\r\nMIIB\r\n--in--";
const ENCRYPTED: &str =
    "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMIIC";

#[test]
fn parts_are_found_where_they_lie() {
    let entity = format!(
        "Content-Type: multipart/mixed; boundary=\"out\"\r\n\r\npreamble\r\n--out\r\n\r\nhello\r\n--outer\r\n\
         --out \r\n{SIGNED}\r\n--out\r\n{ENCRYPTED}\r\n--out--\r\n{ENCRYPTED}\r\n"
    );
    let found = found(&entity);
    assert!(!found.more);
    assert_eq!(texts(&entity, &found.parts), [SIGNED, ENCRYPTED]);
    assert!(found.parts[0].clear && !found.parts[1].clear);
    assert_eq!(found.parts[1].start, ENCRYPTED.as_bytes());
    assert!(!found.parts[0].attached);
}

#[test]
fn line_ends_of_either_kind_belong_to_the_boundary() {
    let entity = format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n{ENCRYPTED}\n--b--\n")
        .replace("\r\n", "\n");
    let expected = ENCRYPTED.replace("\r\n", "\n");
    let found = found(&entity);
    assert_eq!(texts(&entity, &found.parts), [expected.as_str()]);
}

#[test]
fn a_part_ends_with_the_multipart_around_it_or_with_the_input() {
    let entity = format!(
        "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
         --b\r\n{ENCRYPTED}\r\n--a\r\n{ENCRYPTED}"
    );
    let found = found(&entity);
    assert_eq!(texts(&entity, &found.parts), [ENCRYPTED, ENCRYPTED]);
}

#[test]
fn what_is_attached_as_a_message_is_told_apart() {
    let entity = format!(
        "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n\
         From: bob@example.org\r\n{SIGNED}\r\n--a\r\n{ENCRYPTED}\r\n--a--\r\n"
    );
    let found = found(&entity);
    assert_eq!(found.parts.len(), 2);
    assert!(found.parts[0].attached && found.parts[0].clear);
    assert!(!found.parts[1].attached);
    assert!(texts(&entity, &found.parts)[0].starts_with("From: bob"));
}

#[test]
fn the_root_itself_and_what_is_no_mime_are_no_parts() {
    for entity in [
        SIGNED,
        ENCRYPTED,
        "",
        "\r\n",
        "\0\x01 binary",
        "Content-Type: text/plain\r\n\r\n--b\r\n",
    ] {
        assert_eq!(found(entity), Parts::default(), "{entity:?}");
    }
    // a file that begins like a header section that never ends
    let long = "x: y\r\n".repeat(HEADERS);
    let mut structure = Structure::of_entity();
    structure.update(long.as_bytes());
    assert_eq!(structure.finish(), Parts::default());
}

#[test]
fn many_parts_and_deep_ones_are_counted_not_kept() {
    let many = |count: usize| {
        let part = format!("--b\r\n{ENCRYPTED}\r\n");
        let entity = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
            part.repeat(count)
        );
        let mut structure = Structure::of_entity();
        structure.update(entity.as_bytes());
        let found = structure.finish();
        (found.parts.len(), found.more)
    };
    assert_eq!(many(PARTS), (PARTS, false));
    assert_eq!(many(PARTS + 1), (PARTS, true));

    let deep = |depth: usize| {
        let mut entity = String::new();
        for level in 0..depth {
            entity +=
                &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
        }
        entity += ENCRYPTED;
        let mut structure = Structure::of_entity();
        structure.update(entity.as_bytes());
        let found = structure.finish();
        (found.parts.len(), found.more)
    };
    assert_eq!(deep(MULTIPARTS), (1, false));
    assert_eq!(deep(MULTIPARTS + 1), (0, true));
}

#[test]
fn the_beginning_of_a_part_is_all_that_is_kept() {
    let body = "MIIC\r\n".repeat(100_000);
    let entity = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/pkcs7-mime\r\n\r\n{body}\r\n--b--"
    );
    let mut structure = Structure::of_entity();
    structure.update(entity.as_bytes());
    let found = structure.finish();
    assert!(found.parts[0].start.len() <= HEADERS + 4096);
    assert_eq!(
        found.parts[0].range.end,
        (entity.len() - "\r\n--b--".len()) as u64
    );
}
