use super::super::source::Source;
use super::super::{Headers, parameters};
use super::{STEPS, trickle};
use crate::error::{Error, Result};
use crate::limits::HEADERS;

/// The section and what follows it.
fn look(data: &[u8], step: usize) -> Result<Option<(Headers, Vec<u8>)>> {
    let mut source = Source::new(trickle(data, step));
    Ok(Headers::look(&mut source, 0)?.map(|(headers, body)| (headers, data[body..].to_vec())))
}

fn headers(text: &str) -> Headers {
    look(text.as_bytes(), usize::MAX).unwrap().unwrap().0
}

#[test]
fn sections_end_where_the_body_begins_whatever_the_line_ends() {
    let cases: [(&str, &[(&str, &str)], &str); 12] = [
        ("A: b\r\n\r\nbody", &[("A", "b")], "body"),
        ("A: b\n\nbody", &[("A", "b")], "body"),
        ("A: b\n\r\nbody", &[("A", "b")], "body"),
        ("A: b\r\n c\r\n\td\r\n\r\nbody", &[("A", "b c\td")], "body"),
        (
            "A:b\nB :c\nc:\n\n",
            &[("A", "b"), ("B", "c"), ("c", "")],
            "",
        ),
        ("A:\r\n b\r\n\r\n\r\nbody", &[("A", "b")], "\r\nbody"),
        ("A: b", &[("A", "b")], ""),
        ("A: b\r\n", &[("A", "b")], ""),
        ("\r\nbody", &[], "body"),
        ("A: b\nno field\n\nbody", &[("A", "b")], "no field\n\nbody"),
        (
            "A: b\n>From x\nB: c\n\nbody",
            &[("A", "b"), ("B", "c")],
            "body",
        ),
        ("A: b\n \n\nbody", &[("A", "b")], "body"),
    ];
    for (text, fields, body) in cases {
        for step in STEPS {
            let (headers, rest) = look(text.as_bytes(), step).unwrap().unwrap();
            let seen: Vec<(&str, &str)> = headers
                .fields()
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            assert_eq!(
                (seen.as_slice(), rest.as_slice()),
                (fields, body.as_bytes()),
                "{text:?} by {step}"
            );
        }
    }
    for text in [
        "body",
        "two words: x\n\n",
        ": x\n\n",
        " A: b\n\n",
        "\u{e9}: x\n\n",
        "\0: x",
    ] {
        assert!(look(text.as_bytes(), 1).unwrap().is_none(), "{text:?}");
    }
}

#[test]
fn bytes_that_are_no_text_do_not_break_the_section() {
    let (headers, _) = look(b"A: \xff\xfe\0x\r\nB: c\r\n\r\n", 3).unwrap().unwrap();
    assert_eq!(headers.get("a"), Some("\u{fffd}\u{fffd}\0x"));
    assert_eq!(headers.get("B"), Some("c"));
}

#[test]
fn a_section_at_the_limit_passes_and_one_past_it_is_refused() {
    for (len, fits) in [(HEADERS, true), (HEADERS + 1, false)] {
        // one long line, many lines, many continuations
        for unit in [
            "x".repeat(len - 7),
            "A: bcdef\r\n".repeat(len / 10),
            " xxxxxxx\r\n".repeat(len / 10),
        ] {
            let mut text = format!("A: {unit}");
            // in a line or behind one, this stays within the section
            text.truncate(len - 6);
            text.push_str("z:\r\n\r\n");
            assert_eq!(text.len(), len);
            text.push_str("body");
            for step in [1000, usize::MAX] {
                match look(text.as_bytes(), step) {
                    Ok(found) => assert!(fits && found.unwrap().1 == b"body", "{len}"),
                    Err(error) => assert!(
                        !fits && matches!(error, Error::LimitExceeded { .. }),
                        "{len}: {error}"
                    ),
                }
            }
        }
    }
    // and nothing is read without end in search of a line's end
    let endless = std::io::Read::chain(&b"A: "[..], std::io::repeat(b'x'));
    let mut source = Source::new(Box::new(endless));
    assert!(matches!(
        Headers::look(&mut source, 0),
        Err(Error::LimitExceeded { .. })
    ));
}

#[test]
fn fields_are_found_without_regard_to_case() {
    let headers = headers("From: a@x\nfrom: b@x\nFROM: \"c@y\" <c@x>, d@x\n\n");
    assert_eq!(headers.get("FROM"), Some("a@x"));
    assert_eq!(headers.count("from"), 3);
    assert_eq!(headers.addresses("From"), ["a@x", "b@x", "c@x", "d@x"]);
    assert!(headers.addresses("Sender").is_empty());
}

#[test]
fn parameters_are_read_in_every_spelling() {
    let cases: [(&str, &str, &[(&str, &str)]); 19] = [
        ("text/plain", "text/plain", &[]),
        (
            "Text/PLAIN; Charset=UTF-8",
            "text/plain",
            &[("charset", "UTF-8")],
        ),
        ("a/b;c=d;e=f", "a/b", &[("c", "d"), ("e", "f")]),
        ("a/b; c=\"d; e=f\"", "a/b", &[("c", "d; e=f")]),
        ("a/b; c=\"d\\\"\\\\e\"", "a/b", &[("c", "d\"\\e")]),
        (
            "a (x) / (y (z)) b (;q=1) ; (w) c (v) = (u) d (t)",
            "a/b",
            &[("c", "d")],
        ),
        ("a/b;; ;c=d;", "a/b", &[("c", "d")]),
        ("a/b; c; d=e", "a/b", &[("d", "e")]),
        ("a/b; c = d junk; e=f", "a/b", &[("c", "d"), ("e", "f")]),
        (
            "a/b; boundary=----=_Part_1.2",
            "a/b",
            &[("boundary", "----=_Part_1.2")],
        ),
        ("a/b; c=\"unterminated", "a/b", &[("c", "unterminated")]),
        ("a/b; c=", "a/b", &[("c", "")]),
        ("a/b; c=\"\"", "a/b", &[("c", "")]),
        (
            "a/b; n*=utf-8''%c3%a4%20x.p7m; n=x",
            "a/b",
            &[("n", "ä x.p7m"), ("n", "x")],
        ),
        ("a/b; n*=iso-8859-1'de'%e4", "a/b", &[("n", "ä")]),
        ("a/b; n*1=cd; n*0=ab; n*2=e", "a/b", &[("n", "abcde")]),
        (
            "a/b; n*0*=utf-8''%41; n*1=%41; n*2*=%42%4",
            "a/b",
            &[("n", "A%41B%4")],
        ),
        ("a/b; n*1=late; m*0=x; m*2=gap; n*x=y", "a/b", &[("m", "x")]),
        ("a/b; c=d; C=e", "a/b", &[("c", "d"), ("c", "e")]),
    ];
    for (field, value, expected) in cases {
        let (seen, all) = parameters::parse(field);
        let all: Vec<(&str, &str)> = all.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            (seen.as_str(), all.as_slice()),
            (value, expected),
            "{field:?}"
        );
    }
}

#[test]
fn a_content_type_needs_type_and_subtype() {
    for (field, expected) in [
        (
            "application/pkcs7-mime; name=x",
            Some("application/pkcs7-mime"),
        ),
        ("text", None),
        ("/plain", None),
        ("text/", None),
        ("a/b/c", None),
        ("", None),
    ] {
        let content_type = headers(&format!("Content-Type: {field}\n\n")).content_type();
        assert_eq!(
            content_type.map(|t| t.media_type).as_deref(),
            expected,
            "{field:?}"
        );
    }
    let folded = headers(
        "CONTENT-TYPE:\r\n multipart/signed;\r\n\tboundary=\"a b\"; micalg=sha-256\r\n\r\n",
    );
    let content_type = folded.content_type().unwrap();
    assert_eq!(content_type.parameter("boundary"), Some("a b"));
    assert_eq!(content_type.parameter("micalg"), Some("sha-256"));
    assert_eq!(content_type.parameter("protocol"), None);
}

/// Found by fuzzing.
#[test]
fn a_cr_alone_never_hides_in_a_value() {
    let headers =
        headers("From: alice@example.org\rFrom: mallory@example.org\r\nTo: \rbob\r\n\r\n");
    assert_eq!(
        headers.get("From"),
        Some("alice@example.org\u{fffd}From: mallory@example.org")
    );
    assert!(
        !headers
            .addresses("From")
            .contains(&"alice@example.org".to_owned())
    );
    assert_eq!(headers.get("To"), Some("bob"));
}
