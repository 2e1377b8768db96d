use super::super::base64::{Base64Decoder, Until};
use super::super::pem;
use super::{STEPS, read_in_steps, sample, trickle};
use crate::error::{Error, Result};

fn decode_in(text: &[u8], until: Until, from: usize, to: usize) -> Result<Vec<u8>> {
    Ok(read_in_steps(
        Base64Decoder::new(trickle(text, from), until),
        to,
    )?)
}

fn decode(text: &[u8]) -> Result<Vec<u8>> {
    decode_in(text, Until::End, usize::MAX, usize::MAX)
}

/// Standard base64 in lines, made without the code under test.
fn encode(data: &[u8], columns: usize, line_end: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in data.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| {
            bits << 8 | u32::from(*group.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            text.push(if i > group.len() {
                '='
            } else {
                ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char
            });
        }
    }
    let lines: Vec<&str> = (0..text.len())
        .step_by(columns)
        .map(|at| &text[at..text.len().min(at + columns)])
        .collect();
    lines
        .iter()
        .map(|line| format!("{line}{line_end}"))
        .collect()
}

#[test]
fn every_line_length_line_end_and_buffer_border_decodes_alike() {
    let data = sample(301);
    for columns in [1, 2, 3, 5, 60, 64, 76, 77, 4000] {
        for line_end in ["\n", "\r\n", "\r", " \t\r\n", "\n\n"] {
            let text = encode(&data, columns, line_end);
            for from in STEPS {
                for to in [1, 5, 200_000] {
                    let decoded = decode_in(text.as_bytes(), Until::End, from, to).unwrap();
                    assert!(decoded == data, "{columns} {line_end:?} {from} {to}");
                }
            }
        }
    }
}

#[test]
fn sizes_around_the_block_decode_to_what_was_encoded() {
    for len in [0, 1, 2, 3, 49_151, 49_152, 49_153, 58_368, 300_007] {
        let data = sample(len);
        for (columns, line_end) in [(76, "\r\n"), (64, "\n"), (1_000_000, "")] {
            let text = encode(&data, columns, line_end);
            for to in [1000, 65_536] {
                let decoded = decode_in(text.as_bytes(), Until::End, 60_001, to).unwrap();
                assert!(decoded == data, "{len} {columns}");
            }
        }
    }
}

#[test]
fn shapes_of_the_end() {
    let cases: [(&str, Option<&[u8]>); 20] = [
        ("", Some(b"")),
        (" \r\n\t", Some(b"")),
        ("QUJD", Some(b"ABC")),
        ("QUI=", Some(b"AB")),
        ("QUI", Some(b"AB")),
        ("QQ==", Some(b"A")),
        ("QQ=", Some(b"A")),
        ("QQ", Some(b"A")),
        ("QQ=\r\n =\r\n\r\n", Some(b"A")),
        ("Q", None),
        ("QUJDR", None),
        ("QUI==", None),
        ("QQ===", None),
        ("QUJD=", None),
        ("=", None),
        ("QQ==QUJD", None),
        ("QQ==\nQ", None),
        ("QR==", None), // bits in the padding
        ("QUJD\n--", None),
        ("QU-D", None),
    ];
    for (text, expected) in cases {
        for from in STEPS {
            let decoded = decode_in(text.as_bytes(), Until::End, from, 200_000);
            assert_eq!(
                decoded.as_deref().ok(),
                expected,
                "{text:?} by {from}: {decoded:?}"
            );
            assert!(decoded.is_ok() || matches!(decoded, Err(Error::Malformed(_))));
        }
    }
}

#[test]
fn a_byte_outside_the_alphabet_is_refused_wherever_it_stands() {
    let text = encode(&sample(1000), 76, "\r\n");
    for at in (0..text.len()).step_by(13).chain(70..80) {
        for byte in [0u8, b'-', b'_', b'!', b'*', 0x80, 0xff] {
            let mut bad = text.clone().into_bytes();
            bad[at] = byte;
            assert!(decode(&bad).is_err(), "{byte} at {at}");
        }
    }
}

#[test]
fn no_flipped_bit_changes_content_unnoticed_but_as_a_changed_character() {
    // one that turns a line end or a character into another must change the bytes or be refused
    let data = sample(120);
    let text = encode(&data, 76, "\r\n");
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut flipped = text.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            let was_space = text.as_bytes()[at].is_ascii_whitespace();
            let is_space = flipped[at].is_ascii_whitespace() || flipped[at] == 0x0b;
            match decode(&flipped) {
                Ok(decoded) if was_space && is_space => assert_eq!(decoded, data),
                Ok(decoded) => assert_ne!(decoded, data, "bit {bit} of {at}"),
                Err(error) => assert!(matches!(error, Error::Malformed(_))),
            }
        }
    }
}

#[test]
fn pem_text_stops_at_its_end_line_and_insists_on_it() {
    let data = sample(500);
    for line_end in ["\n", "\r\n"] {
        let body = encode(&data, 64, line_end);
        for from in STEPS {
            let whole = format!("{body}-----END CMS-----{line_end}text that follows: --{line_end}");
            assert_eq!(
                decode_in(whole.as_bytes(), Until::PemEnd, from, 64).unwrap(),
                data
            );
            for cut in [
                body.clone(),
                format!("{body}-----EN"),
                format!("{body}--{line_end}"),
            ] {
                assert!(decode_in(cut.as_bytes(), Until::PemEnd, from, 64).is_err());
            }
        }
    }
}

#[test]
fn the_end_line_is_seen_whatever_the_length_of_the_last_line() {
    // also where a line end stands just where a full line would have had it
    for len in 1..200 {
        let data = sample(len);
        let text = format!("{}-----END CMS-----\nmore\n", encode(&data, 64, "\n"));
        assert_eq!(
            decode_in(text.as_bytes(), Until::PemEnd, usize::MAX, 64).unwrap(),
            data,
            "{len}"
        );
    }
}

#[test]
fn pem_blocks_are_found_by_label_among_other_text() {
    let (one, two, other) = (sample(10), sample(700), sample(40));
    let text = format!(
        "subject=/CN=x\n{}\n{}trailing\r\n{}",
        pem::encode("CERTIFICATE", &one),
        pem::encode("PRIVATE KEY", &other),
        pem::encode("CERTIFICATE", &two).replace('\n', " \r\n"),
    );
    assert_eq!(
        pem::blocks(text.as_bytes(), &["CERTIFICATE"]).unwrap(),
        [one.clone(), two.clone()]
    );
    assert_eq!(
        pem::blocks(text.as_bytes(), &["X", "PRIVATE KEY"]).unwrap(),
        [other]
    );
    assert!(
        pem::blocks(b"no block", &["CERTIFICATE"])
            .unwrap()
            .is_empty()
    );
    assert!(pem::blocks(b"-----BEGIN CERTIFICATE-----\nQUJD\n", &["CERTIFICATE"]).is_err());
    assert!(
        pem::blocks(
            b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END KEY-----\n",
            &["CERTIFICATE"]
        )
        .is_err()
    );
    assert!(
        pem::blocks(
            b"-----BEGIN CERTIFICATE-----\nQU?D\n-----END CERTIFICATE-----\n",
            &["CERTIFICATE"]
        )
        .is_err()
    );
    // an unfinished block that nobody asked for is in nobody's way
    let text = format!(
        "-----BEGIN OTHER-----\nQUJD\n{}",
        pem::encode("CERTIFICATE", &two)
    );
    assert_eq!(
        pem::blocks(text.as_bytes(), &["CERTIFICATE"]).unwrap(),
        [two]
    );
}

#[test]
fn pem_is_written_in_64_columns() {
    assert_eq!(
        pem::encode("X", b""),
        "-----BEGIN X-----\n-----END X-----\n"
    );
    for len in [1, 47, 48, 49, 49_152, 60_000] {
        let data = sample(len);
        let expected = format!(
            "-----BEGIN X Y-----\n{}-----END X Y-----\n",
            encode(&data, 64, "\n")
        );
        assert!(pem::encode("X Y", &data) == expected, "{len}");
    }
}

#[test]
fn our_lines_are_those_of_openssl() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let data = sample(100_000);
    let mut openssl = Command::new("openssl")
        .args(["base64", "-e"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    let mut input = openssl.stdin.take().unwrap();
    let written = std::thread::spawn({
        let data = data.clone();
        move || input.write_all(&data)
    });
    let output = openssl.wait_with_output().unwrap();
    written.join().unwrap().unwrap();
    let ours = pem::encode("X", &data);
    let body = ours
        .strip_prefix("-----BEGIN X-----\n")
        .unwrap()
        .strip_suffix("-----END X-----\n")
        .unwrap();
    assert!(body.as_bytes() == output.stdout);
    assert!(decode(&output.stdout).unwrap() == data);
}
