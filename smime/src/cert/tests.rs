use super::Certificate;
use crate::signed::testkit::{Kind, Person};

/// A self-signed certificate, every `from` in it replaced: nobody looks at its signature here.
fn changed(der: &[u8], from: &[u8], to: &[u8]) -> Certificate {
    assert_eq!(from.len(), to.len());
    let mut der = der.to_vec();
    while let Some(at) = der.windows(from.len()).position(|w| w == from) {
        der[at..at.saturating_add(to.len())].copy_from_slice(to);
    }
    Certificate::from_der(&der).unwrap()
}

#[test]
fn an_email_address_in_the_subject_is_read_from_every_kind_of_string() {
    let subject = ["-subj", "/CN=A/emailAddress=b\u{40}mail.example.org"];
    let person = Person::new(Kind::P256, &subject);
    let der = person.certificate.der();
    let (tagged, text): (&[u8], _) = (b"\x16\x12b@mail.example.org", "b@mail.example.org");
    assert_eq!(person.certificate.emails(), ["alice@example.org", text]);
    // UTF8String, PrintableString, TeletexString, VisibleString, GeneralString
    for tag in [0x0c, 0x13, 0x14, 0x1a, 0x1b] {
        let to = [&[tag][..], &tagged[1..]].concat();
        let emails = changed(der, tagged, &to).emails();
        assert_eq!(emails, ["alice@example.org", text], "{tag:#x}");
    }
    let bmp = b"\x1e\x12\0b\0@\0\xfc\0x\0.\0o\0r\0g\0x";
    let emails = changed(der, tagged, bmp).emails();
    assert_eq!(emails, ["alice@example.org", "b@\u{fc}x.orgx"]);
    // half a surrogate pair, and what is no string
    let broken = b"\x1e\x12\0b\0@\xd8\0\0x\0.\0o\0r\0g\0x";
    assert_eq!(changed(der, tagged, broken).emails(), ["alice@example.org"]);
    let octets = [&[0x04][..], &tagged[1..]].concat();
    assert_eq!(
        changed(der, tagged, &octets).emails(),
        ["alice@example.org"]
    );
}
