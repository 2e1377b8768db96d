//! DER by hand, for certificates, CRLs and messages that no library would make.

use std::ops::Range;

use const_oid::ObjectIdentifier;
pub use privyseal_smime::ber::tlv;

pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const UTF8_STRING: u8 = 0x0c;
pub const UTC_TIME: u8 = 0x17;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

pub fn set(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SET, &parts.concat())
}

/// `[number]`, constructed
pub fn context(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(0xa0 | number, &parts.concat())
}

pub fn oid(text: &str) -> Vec<u8> {
    tlv(OID, ObjectIdentifier::new(text).unwrap().as_bytes())
}

pub fn integer(value: u8) -> Vec<u8> {
    vec![INTEGER, 1, value]
}

/// A positive number of any length.
pub fn big_integer(bytes: &[u8]) -> Vec<u8> {
    tlv(INTEGER, &[&[0], bytes].concat())
}

pub fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(BIT_STRING, &[&[0], bytes].concat())
}

pub fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(OCTET_STRING, bytes)
}

/// Name with one common name.
pub fn name(text: &str) -> Vec<u8> {
    let attribute = seq(&[&oid("2.5.4.3"), &tlv(UTF8_STRING, text.as_bytes())]);
    seq(&[&set(&[&attribute])])
}

pub fn utc_time(text: &str) -> Vec<u8> {
    tlv(UTC_TIME, text.as_bytes())
}

pub fn extension(number: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 1, 0xff] } else { &[] };
    seq(&[&oid(number), critical, &octets(value)])
}

/// Where the elements inside this one lie, headers and all; DER.
pub fn children(der: &[u8], element: &Range<usize>) -> Vec<Range<usize>> {
    let mut at = content(der, element.start).start;
    let mut all = Vec::new();
    while at < element.end {
        let end = content(der, at).end;
        all.push(at..end);
        at = end;
    }
    all
}

/// Where the content of the element lies that starts here.
pub fn content(der: &[u8], start: usize) -> Range<usize> {
    let first = usize::from(der[start + 1]);
    let more = first.saturating_sub(0x80);
    let begin = start + 2 + more;
    let len = match more {
        0 => first,
        _ => der[start + 2..begin]
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte)),
    };
    begin..begin + len
}
