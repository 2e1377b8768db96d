//! Each limit at it and one past it.

use super::support::{Count, Parts, open, refusal, zeros};
use crate::compressed::decompress;
use crate::error::Error;
use crate::io::MemoryInput;
use crate::limits::{BER_DEPTH, INFLATED_AHEAD, INFLATED_FLOOR, INFLATED_RATIO};

fn is_limit(error: &Error) -> bool {
    matches!(
        error,
        Error::LimitExceeded {
            what: "bytes of content for each compressed byte",
            limit: INFLATED_RATIO
        }
    )
}

#[test]
fn content_for_each_compressed_byte() {
    let compressed = 40_000;
    // filling up goes in steps of five bytes
    let compressed = zeros(compressed * 100, compressed).len();
    let at = zeros(compressed * 100, compressed);
    let past = zeros(compressed * 100 + 1, compressed);
    assert_eq!((at.len(), past.len()), (compressed, compressed));
    let (content, outcome) = open(&Parts::new(&at).message()).unwrap();
    assert_eq!(content.len(), compressed * 100);
    assert_eq!(outcome.content_len, content.len() as u64);
    assert!(content.iter().all(|byte| *byte == 0));
    let error = refusal(&Parts::new(&past).message());
    assert!(is_limit(&error), "{error}");
    assert_eq!(
        error.to_string(),
        "the message has more than 100 bytes of content for each compressed byte"
    );
}

#[test]
fn content_that_is_always_allowed() {
    let floor = usize::try_from(INFLATED_FLOOR).unwrap();
    let at = zeros(floor, 0);
    assert!(at.len() * 100 < floor / 2);
    assert_eq!(open(&Parts::new(&at).message()).unwrap().0.len(), floor);
    let error = refusal(&Parts::new(&zeros(floor + 1, 0)).message());
    assert!(is_limit(&error), "{error}");
}

/// The beginning may be far above the ratio when the end makes up for it; how far is what an attacker's message costs.
#[test]
fn content_that_comes_ahead_of_its_bytes() {
    let ahead = usize::try_from(INFLATED_AHEAD).unwrap();
    let within = zeros(ahead, ahead / 100 + 1);
    let mut out = Count(0);
    let message = Parts::new(&within).message();
    decompress(&mut MemoryInput::new(message), &mut out).unwrap();
    assert_eq!(out.0, INFLATED_AHEAD);
    // the same ratio in sum, but the zeros at the start are more than that and what they may be
    let ahead = ahead * 5 / 4;
    let beyond = zeros(ahead, ahead / 100 + 1);
    let error = refusal(&Parts::new(&beyond).message());
    assert!(is_limit(&error), "{error}");
}

#[test]
fn a_bomb_is_given_up_early() {
    // cut off near its end: reading as far as that would be another error
    let start = zeros(200 << 20, 0);
    let bomb = Parts::new(&start[..start.len() - 1000]).message();
    assert!(is_limit(&refusal(&bomb)));
}

#[test]
fn levels_of_nesting() {
    use crate::ber::{id, tlv};
    let stream = super::support::zlib(b"text");
    // ContentInfo, [0], CompressedData, encapContentInfo, [0] are five levels
    for (depth, fits) in [(BER_DEPTH - 5, true), (BER_DEPTH - 4, false)] {
        let mut octets = tlv(id::OCTET_STRING, &stream);
        for _ in 0..depth {
            octets = tlv(id::OCTET_STRING | id::CONSTRUCTED, &octets);
        }
        let mut parts = Parts::new(&[]);
        parts.content = tlv(id::context_constructed(0), &octets);
        match open(&parts.message()) {
            Ok((content, _)) => assert!(fits && content == b"text"),
            Err((error, _)) => {
                assert!(
                    !fits && matches!(error, Error::LimitExceeded { .. }),
                    "{error}"
                );
            }
        }
    }
}
