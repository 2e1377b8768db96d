use super::*;
use crate::ber::constructed;
use crate::limits;

const POLICY: &[u8] = &[0x06, 0x03, 0x2a, 0x03, 0x04];

fn set(parts: &[&[u8]]) -> Vec<u8> {
    constructed(id::SET, parts)
}

fn category(value: &[u8]) -> Vec<u8> {
    let value = tlv(id::OCTET_STRING, value);
    constructed(
        id::SEQUENCE,
        &[
            &tlv(0x80, &[0x2a, 0x05]),
            &tlv(id::context_constructed(1), &value),
        ],
    )
}

#[test]
fn a_label_is_written_in_the_order_of_der() {
    let label = SecurityLabel::from_text("1.2.3.4:4:FOR A: B").unwrap();
    let printable = constructed(0x13, &[b"FOR A: B"]);
    assert_eq!(
        label.to_der().unwrap(),
        set(&[&[2, 1, 4], POLICY, &printable])
    );
    let label = SecurityLabel {
        categories: vec![
            SecurityCategory {
                kind: aa("1.2.5"),
                value: tlv(id::OCTET_STRING, b"b"),
            },
            SecurityCategory {
                kind: aa("1.2.5"),
                value: tlv(id::OCTET_STRING, b"a"),
            },
        ],
        ..SecurityLabel::from_text("1.2.3.4:256:f\u{fc}r B").unwrap()
    };
    let utf8 = constructed(0x0c, &["f\u{fc}r B".as_bytes()]);
    let categories = set(&[&category(b"a"), &category(b"b")]);
    let der = label.to_der().unwrap();
    assert_eq!(der, set(&[&[2, 2, 1, 0], POLICY, &utf8, &categories]));
    let read = SecurityLabel::parse(&der).unwrap();
    assert_eq!(read.to_der().unwrap(), der);
    assert_eq!((read.classification, read.word()), (Some(256), None));
}

#[test]
fn two_labels_are_the_same_in_whatever_order_they_stand() {
    let (a, b) = (category(b"a"), category(b"b"));
    let one = set(&[POLICY, &[2, 1, 0], &set(&[&b, &a])]);
    let other = set(&[&set(&[&a, &b]), &[2, 1, 0], POLICY]);
    assert_eq!(
        SecurityLabel::parse(&one).unwrap(),
        SecurityLabel::parse(&other).unwrap()
    );
    let bare = SecurityLabel::parse(&set(&[POLICY])).unwrap();
    assert_eq!((bare.classification, bare.word()), (None, None));
}

#[test]
fn what_is_no_label_is_refused() {
    let twice: [&[u8]; 2] = [POLICY, POLICY];
    let hostile: [(&str, Vec<u8>); 13] = [
        ("no policy", set(&[&[2, 1, 1]])),
        ("nothing", set(&[])),
        ("a SEQUENCE", constructed(id::SEQUENCE, &[POLICY])),
        ("two policies", set(&twice)),
        ("two levels", set(&[POLICY, &[2, 1, 1], &[2, 1, 1]])),
        ("below zero", set(&[POLICY, &[2, 1, 0xff]])),
        ("257", set(&[POLICY, &[2, 2, 1, 1]])),
        ("an empty number", set(&[POLICY, &[2, 0]])),
        ("a padded number", set(&[POLICY, &[2, 2, 0, 1]])),
        ("an empty mark", set(&[POLICY, &[0x0c, 0]])),
        ("a mark that is no UTF-8", set(&[POLICY, &[0x0c, 1, 0xff]])),
        (
            "a mark that is not printable",
            set(&[POLICY, &[0x13, 1, b'@']]),
        ),
        ("no categories", set(&[POLICY, &[0x31, 0]])),
    ];
    for (what, der) in hostile {
        assert!(SecurityLabel::parse(&der).is_err(), "{what}");
    }
    let whole = set(&[POLICY, &[2, 1, 4], &set(&[&category(b"a")])]);
    for end in 0..whole.len() {
        assert!(SecurityLabel::parse(&whole[..end]).is_err(), "{end}");
    }
}

#[test]
fn labels_are_bounded() {
    let categories = |count: usize| {
        let all: Vec<Vec<u8>> = (0..count).map(|n| category(&[n as u8])).collect();
        SecurityLabel::parse(&set(&[POLICY, &tlv(id::SET, &all.concat())]))
    };
    let most = limits::SECURITY_CATEGORIES;
    assert_eq!(categories(most).unwrap().categories.len(), most);
    assert!(matches!(
        categories(most + 1),
        Err(Error::LimitExceeded { .. })
    ));

    let mark =
        |tag: u8, len: usize| SecurityLabel::parse(&set(&[POLICY, &tlv(tag, &vec![b'x'; len])]));
    assert!(mark(0x0c, limits::PRIVACY_MARK).is_ok());
    assert!(matches!(
        mark(0x0c, limits::PRIVACY_MARK + 1),
        Err(Error::LimitExceeded { .. })
    ));
    assert!(mark(0x13, 128).is_ok());
    assert!(matches!(mark(0x13, 129), Err(Error::LimitExceeded { .. })));

    let equivalents = |count: usize| {
        let all = set(&[POLICY]).repeat(count);
        label::equivalents(&tlv(id::SEQUENCE, &all))
    };
    let most = limits::EQUIVALENT_LABELS;
    assert_eq!(equivalents(most).unwrap().len(), most);
    assert!(matches!(
        equivalents(most + 1),
        Err(Error::LimitExceeded { .. })
    ));
}

#[test]
fn a_label_in_words_becomes_one() {
    for (text, level, mark) in [
        ("1.2.3.4:0", 0, None),
        ("1.2.3.4:top-secret", 5, None),
        ("1.2.3.4:256:mark", 256, Some("mark")),
    ] {
        let label = SecurityLabel::from_text(text).unwrap();
        assert_eq!(label.classification, Some(level), "{text}");
        assert_eq!(label.privacy_mark.as_deref(), mark, "{text}");
    }
    let long = format!("1.2.3.4:1:{}", "x".repeat(limits::PRIVACY_MARK + 1));
    for wrong in [
        "",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:257",
        "1.2.3.4:-1",
        "1.2.3.4:Secret!",
        "secret:1.2.3.4",
        "1.2.3.4:1:",
        "1.2.3.4:1:a\nb",
        &long,
    ] {
        assert!(
            matches!(
                SecurityLabel::from_text(wrong),
                Err(Error::InvalidOption(_))
            ),
            "{wrong}"
        );
    }
}

#[test]
fn signers_must_agree_on_label_and_request() {
    let with = |text: Option<&str>| Attributes {
        security_label: text.map(|text| SecurityLabel::from_text(text).unwrap()),
        ..Attributes::default()
    };
    let findings = |all: &[Attributes]| Findings::of(all.iter()).contradictions.len();
    assert_eq!(findings(&[with(Some("1.2.3:1")), with(Some("1.2.3:1"))]), 0);
    assert_eq!(findings(&[with(Some("1.2.3:1")), with(None)]), 0);
    assert_eq!(findings(&[with(Some("1.2.3:1")), with(Some("1.2.3:2"))]), 1);
    assert_eq!(
        findings(&[with(None), with(Some("1.2.3:1")), with(Some("1.2.4:1"))]),
        1
    );
}
