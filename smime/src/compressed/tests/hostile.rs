//! Damaged, forged and contradictory messages. None of them releases a byte.

use super::support::{Parts, made, open, refusal, text, with_dictionary, zlib};
use crate::algorithm_id::encode;
use crate::ber::{id, tlv};
use crate::content::ID_SIGNED_DATA;
use crate::error::Error;
use crate::io::{FileInput, MemoryInput};
use crate::mime::Form;

#[track_caller]
fn malformed(message: &[u8]) -> String {
    match refusal(message) {
        Error::Malformed(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_cut_off_anywhere_is_refused() {
    let whole = made(&text(3000), Form::Der);
    for len in 2..whole.len() {
        malformed(&whole[..len]);
    }
    let long = made(&text(2 << 20), Form::Der);
    for len in (2..long.len())
        .step_by(10_007)
        .chain(long.len() - 20..long.len())
    {
        malformed(&long[..len]);
    }
}

#[test]
fn a_stream_cut_off_anywhere_is_refused() {
    let stream = zlib(&text(3000));
    for len in 0..stream.len() {
        malformed(&Parts::new(&stream[..len]).message());
    }
}

#[test]
fn a_flipped_bit_is_noticed_or_changes_nothing() {
    let content = text(3000);
    let stream = zlib(&content);
    for bit in 0..stream.len() * 8 {
        let mut changed = stream.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match open(&Parts::new(&changed).message()) {
            // the level that the header tells (RFC 1950 §2.2), and the bits that fill up the last byte
            Ok((read, _)) => assert!(read == content, "{bit}"),
            Err((error, written)) => {
                assert!(matches!(error, Error::Malformed(_)), "{error}");
                assert!(written.is_empty());
            }
        }
    }
}

#[test]
fn the_checksum_counts() {
    let mut stream = zlib(&text(200_000));
    *stream.last_mut().unwrap() ^= 1;
    assert!(malformed(&Parts::new(&stream).message()).contains("zlib"));
}

#[test]
fn nothing_may_follow_the_stream_or_the_message() {
    let stream = zlib(b"text");
    for more in [&[0][..], b"x", &stream] {
        let longer = [&stream[..], more].concat();
        let why = malformed(&Parts::new(&longer).message());
        assert!(why.contains("after the end of the zlib stream"), "{why}");
        // also in a segment of its own
        let mut parts = Parts::new(&stream);
        let segments = [tlv(id::OCTET_STRING, &stream), tlv(id::OCTET_STRING, more)].concat();
        let octets = tlv(id::OCTET_STRING | id::CONSTRUCTED, &segments);
        parts.content = tlv(id::context_constructed(0), &octets);
        malformed(&parts.message());
    }
    let message = Parts::new(&stream).message();
    malformed(&[&message[..], b"x"].concat());
    malformed(&[&message[..], &message].concat());
    // end-of-line and zero bytes are harmless
    open(&[&message[..], b"\r\n\0"].concat()).unwrap();
}

#[test]
fn fields_say_what_they_must() {
    let good = Parts::new(&zlib(b"text"));
    assert_eq!(open(&good.message()).unwrap().0, b"text");
    let change = |change: &dyn Fn(&mut Parts)| {
        let mut parts = good.clone();
        change(&mut parts);
        refusal(&parts.message())
    };
    for version in [&[id::INTEGER, 1, 2][..], &[id::INTEGER, 0], &[4, 1, 0], &[]] {
        let error = change(&|p| p.version = version.to_vec());
        assert!(matches!(error, Error::Malformed(_)), "{error}");
    }
    // RFC 3274 defines no other compression
    let error = change(&|p| p.algorithm = encode(&ID_SIGNED_DATA, &[]));
    assert!(matches!(error, Error::UnsupportedAlgorithm(_)), "{error}");
    let parameters = [id::OCTET_STRING, 1, 1];
    let error = change(&|p| p.algorithm = encode(&super::super::ID_ZLIB, &parameters));
    assert!(matches!(error, Error::Malformed(_)), "{error}");
    let error = change(&|p| p.kind = tlv(id::OID, ID_SIGNED_DATA.as_bytes()));
    assert!(matches!(error, Error::UnsupportedAlgorithm(_)), "{error}");
    for content in [
        vec![],
        tlv(id::context_constructed(0), &[]),
        tlv(id::context_constructed(1), &tlv(id::OCTET_STRING, &[])),
        tlv(id::context_constructed(0), &tlv(id::INTEGER, &[1])),
        tlv(id::context_constructed(0), &tlv(id::OCTET_STRING, &[])),
        // one field too many
        [&good.content[..], &tlv(id::OCTET_STRING, &[1])].concat(),
    ] {
        let error = change(&|p| p.content = content.clone());
        assert!(matches!(error, Error::Malformed(_)), "{error}");
    }
}

#[test]
fn a_dictionary_is_refused() {
    malformed(&Parts::new(&with_dictionary()).message());
    // raw deflate and gzip are not zlib
    let zlib = zlib(b"text");
    malformed(&Parts::new(&zlib[2..zlib.len() - 4]).message());
    malformed(&Parts::new(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).message());
}

#[test]
fn other_messages_are_not_compressed() {
    let signed = [
        &tlv(id::OID, ID_SIGNED_DATA.as_bytes())[..],
        &tlv(id::context_constructed(0), &tlv(id::SEQUENCE, &[])),
    ]
    .concat();
    for message in [
        &b"Subject: hello\r\n\r\ntext\r\n"[..],
        b"",
        b"Content-Type: multipart/signed; boundary=x\r\n\r\n--x--\r\n",
        &tlv(id::SEQUENCE, &signed),
    ] {
        assert!(matches!(refusal(message), Error::NotCompressed));
    }
}

#[test]
fn a_file_that_changes_between_the_passes_releases_nothing_that_was_not_judged() {
    use std::os::unix::fs::FileExt;
    struct Changing {
        inner: FileInput,
        file: std::fs::File,
        other: Vec<u8>,
        passes: u32,
    }
    impl crate::io::Input for Changing {
        fn pass(&mut self) -> crate::Result<Box<dyn std::io::Read + Send + '_>> {
            self.passes += 1;
            if self.passes == 2 {
                self.file.write_all_at(&self.other, 0).unwrap();
            }
            self.inner.pass()
        }
    }
    let mut random = vec![0; 3000];
    getrandom::fill(&mut random).unwrap();
    let first = made(&random, Form::Der);
    random.reverse();
    let second = made(&random, Form::Der);
    assert_eq!(first.len(), second.len());
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&first, 0).unwrap();
    let mut input = Changing {
        inner: FileInput::new(file.try_clone().unwrap(), 0, Box::new(|| Ok(()))),
        file,
        other: second.clone(),
        passes: 0,
    };
    let mut out = Vec::new();
    let error = super::super::decompress(&mut input, &mut out).unwrap_err();
    assert!(matches!(error, Error::InputChanged), "{error}");
    assert!(out.is_empty());
    super::super::decompress(&mut MemoryInput::new(second), &mut out).unwrap();
}
