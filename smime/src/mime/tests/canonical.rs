use super::super::{CanonicalReader, CrlfHasher};
use super::{STEPS, read_in_steps, trickle};
use crate::algorithm::DigestAlgorithm::{Sha1, Sha256};

/// What RFC 8551 §3.1.1 asks for, byte by byte.
fn canonical(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in data {
        if byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

fn shapes() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b""[..],
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\n\r",
        b"\r\r\n",
        b"\r\n\n",
        b"\n\r\n",
        b"a\nb\r\nc\rd\n",
        b"no line end",
        b"a\r\nb\r\nc\r\n",
        b"a\nb\nc\n",
        b"\0\n\xff\r\n",
        b"ends with cr\r",
    ]
    .iter()
    .map(|s| s.to_vec())
    .collect();
    // every text of CR, LF and a letter of length six
    for n in 0..3usize.pow(6) {
        all.push((0..6).map(|i| b"\r\nx"[n / 3usize.pow(i) % 3]).collect());
    }
    // long ones, of one kind and turning from one to the other
    for (a, b) in [
        ("\r\n", "\r\n"),
        ("\n", "\n"),
        ("\r\n", "\n"),
        ("\n", "\r\n"),
    ] {
        let mut text = Vec::new();
        for n in 0..3000 {
            text.extend(vec![b'a'; n % 97]);
            text.extend_from_slice(if n < 2000 { a } else { b }.as_bytes());
        }
        all.push(text);
    }
    // one bare LF, or none, around the border of what is searched at a time
    for at in 4090..4100 {
        for end in [&b"\n"[..], b"\r\n", b"\r\n\n", b"\n\r\n"] {
            let mut text = vec![b'a'; at];
            text.extend_from_slice(end);
            text.extend(vec![b'b'; 5000]);
            all.push(text);
        }
    }
    all
}

#[test]
fn bare_line_feeds_become_crlf_at_every_buffer_border() {
    for text in shapes() {
        let expected = canonical(&text);
        for from in STEPS {
            let to_steps: &[usize] = if text.len() > 100 {
                &[5, 4096, 65_536]
            } else {
                &[1, 2, 3, 4096]
            };
            for &to in to_steps {
                let reader = CanonicalReader::new(trickle(&text, from));
                let read = read_in_steps(reader, to).unwrap();
                assert!(
                    read == expected,
                    "{:?} by {from}, {to}",
                    String::from_utf8_lossy(&text[..text.len().min(80)])
                );
            }
        }
    }
}

#[test]
fn both_digests_are_right_and_the_second_is_there_only_if_it_differs() {
    for text in shapes() {
        let expected = canonical(&text);
        for step in STEPS {
            let mut hasher = CrlfHasher::new([Sha256, Sha1, Sha256]);
            for chunk in text.chunks(step.min(text.len().max(1))) {
                hasher.update(chunk);
            }
            let (with_crlf, as_it_came) = hasher.finish();
            assert_eq!(
                with_crlf,
                [
                    (Sha1, Sha1.digest(&expected)),
                    (Sha256, Sha256.digest(&expected))
                ]
            );
            let other = (expected != text)
                .then(|| vec![(Sha1, Sha1.digest(&text)), (Sha256, Sha256.digest(&text))]);
            assert_eq!(as_it_came, other);
        }
    }
}
