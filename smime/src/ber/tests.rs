use std::io::Read;

use super::{Reader, Writer, tag, tlv};
use crate::error::{Error, Result};
use crate::limits::BER_DEPTH;

fn octets(input: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Reader::new(input);
    let header = reader.expect("octets")?;
    let mut out = Vec::new();
    reader.octets(&header, &mut |chunk| {
        out.extend_from_slice(chunk);
        Ok(())
    })?;
    reader.finish()?;
    Ok(out)
}

#[test]
fn every_shape_of_octet_string_gives_the_same_bytes() {
    let primitive = tlv(4, b"abcdef");
    let segmented = [&[0x24, 0x80][..], &tlv(4, b"abc"), &tlv(4, b"def"), &[0, 0]].concat();
    let definite = tlv(
        0x24,
        &[tlv(4, b"ab"), tlv(4, b""), tlv(4, b"cdef")].concat(),
    );
    let nested = [&[0x24, 0x80][..], &definite[..definite.len()], &[0, 0]].concat();
    for shape in [&primitive, &segmented, &definite, &nested] {
        assert_eq!(octets(shape).unwrap(), b"abcdef");
    }
}

#[test]
fn what_the_writer_segments_the_reader_joins() {
    let content: Vec<u8> = (0..200_001u32).map(|n| (n % 251) as u8).collect();
    for step in [1usize << 10, 65_536, 200_001] {
        let mut writer = Writer::new(Vec::new());
        writer.octets_begin(0x24).unwrap();
        for chunk in content.chunks(step) {
            writer.octets_chunk(chunk).unwrap();
        }
        writer.octets_end().unwrap();
        assert_eq!(octets(&writer.into_inner()).unwrap(), content);
    }
}

#[test]
fn an_element_of_der_comes_back_as_it_was_and_ber_becomes_definite() {
    let der = tlv(
        0x30,
        &[tlv(2, &[5]), tlv(0x31, &tlv(4, &[7; 300]))].concat(),
    );
    let mut reader = Reader::new(der.as_slice());
    let header = reader.expect("x").unwrap();
    assert_eq!(reader.element(&header, 1 << 20).unwrap(), der);

    let ber = [
        &[0x30, 0x80, 2, 1, 5, 0x31, 0x80, 0x24, 0x80][..],
        &tlv(4, &[7; 100]),
        &tlv(4, &[7; 200]),
        &[0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let mut reader = Reader::new(ber.as_slice());
    let header = reader.expect("x").unwrap();
    assert_eq!(reader.element(&header, 1 << 20).unwrap(), der);
}

#[test]
fn an_element_at_its_cap_passes_and_one_past_it_is_refused() {
    let der = tlv(4, &[0; 94]);
    for (cap, fits) in [(96, true), (95, false)] {
        let mut reader = Reader::new(der.as_slice());
        let header = reader.expect("x").unwrap();
        assert_eq!(reader.element(&header, cap).is_ok(), fits);
    }
}

#[test]
fn nesting_at_the_limit_passes_and_one_deeper_is_refused() {
    for (depth, fits) in [(BER_DEPTH, true), (BER_DEPTH + 1, false)] {
        let mut ber = [0x24, 0x80].repeat(depth);
        ber.extend([0, 0].repeat(depth));
        let result = octets(&ber);
        assert_eq!(result.is_ok(), fits, "{depth}: {result:?}");
    }
    let hostile = [0x30, 0x80].repeat(100_000);
    let mut reader = Reader::new(hostile.as_slice());
    let header = reader.expect("x").unwrap();
    assert!(matches!(
        reader.skip(&header),
        Err(Error::LimitExceeded { .. })
    ));
}

#[test]
fn truncation_anywhere_is_an_error() {
    let ber = [
        &[0x30, 0x80][..],
        &tlv(0x24, &tlv(4, b"hello")),
        &tlv(2, &[1]),
        &[0, 0],
    ]
    .concat();
    for cut in 1..ber.len() {
        let mut reader = Reader::new(&ber[..cut]);
        let result = reader.expect("x").and_then(|header| reader.skip(&header));
        assert!(result.is_err(), "cut at {cut}");
    }
}

#[test]
fn a_child_may_not_reach_past_its_parent() {
    let ber = [0x30, 4, 4, 9, 1, 2, 3, 4, 5, 6, 7];
    let mut reader = Reader::new(&ber[..]);
    reader.enter_universal(tag::SEQUENCE, "x").unwrap();
    assert!(matches!(reader.next(), Err(Error::Malformed(_))));
    // nor past a definite grandparent through an indefinite parent
    let ber = [0x30, 6, 0x30, 0x80, 4, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0];
    let mut reader = Reader::new(&ber[..]);
    let header = reader.expect("x").unwrap();
    reader.enter(&header).unwrap();
    let inner = reader.expect("y").unwrap();
    reader.enter(&inner).unwrap();
    assert!(matches!(reader.next(), Err(Error::Malformed(_))));
}

#[test]
fn lengths_past_four_gigabytes_are_counted_right() {
    let len = (4u64 << 30) + 5;
    let mut head = vec![4, 0x85];
    head.extend_from_slice(&len.to_be_bytes()[3..]);
    let body = std::io::repeat(0).take(len);
    let mut reader = Reader::new(head.as_slice().chain(body));
    let header = reader.expect("x").unwrap();
    let mut seen = 0u64;
    reader
        .octets(&header, &mut |chunk| {
            seen += chunk.len() as u64;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, len);
}

#[test]
fn trailing_bytes_are_noticed_but_for_zeros_and_line_ends() {
    for (trailer, fits) in [(&b""[..], true), (b"\r\n\0\0", true), (b"\n30", false)] {
        let input = [&tlv(4, b"x")[..], trailer].concat();
        assert_eq!(octets(&input).is_ok(), fits);
    }
}

/// Found by fuzzing: a tag below 31 in the long form (X.690 §8.1.2.4) lost a byte when indefinite lengths became definite.
#[test]
fn a_small_tag_number_in_the_long_form_keeps_its_bytes() {
    for (tag, name) in [(&[0xbf, 0x05][..], "5"), (&[0xbf, 0x81, 0x00], "128")] {
        let ber = [&[0x30, 0x80][..], tag, &[0x80, 0x05, 0, 0, 0, 0, 0]].concat();
        let mut reader = Reader::new(ber.as_slice());
        let header = reader.expect("").unwrap();
        let element = reader.element(&header, 100).unwrap();
        let expected = [&[0x30, tag.len() as u8 + 3][..], tag, &[2, 5, 0]].concat();
        assert_eq!(element, expected, "{name}");
    }
}
