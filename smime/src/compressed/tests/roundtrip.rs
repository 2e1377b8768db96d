//! What we write, we and others read.

use std::io::{Cursor, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::support::{Count, Parts, made, open, text, zlib};
use crate::ber::{HELD, id, tlv};
use crate::compressed::{CompressOptions, compress, decompress};
use crate::io::{NeverWaits, StreamInput};
use crate::mime::Form;

#[test]
fn every_form_and_size_comes_back() {
    for len in [0, 1, 1000, HELD, 4 * HELD, 3 << 20] {
        let content = text(len);
        for format in [Form::Smime, Form::Der, Form::Pem] {
            let (read, outcome) = open(&made(&content, format)).unwrap();
            assert_eq!(read, content, "{len} {format:?}");
            assert_eq!(outcome.algorithm, "zlib");
            let media_type = outcome.headers.content_type();
            assert_eq!(media_type.is_some(), format == Form::Smime);
            if let Some(media_type) = media_type {
                assert_eq!(media_type.media_type, "application/pkcs7-mime");
                assert_eq!(media_type.parameter("smime-type"), Some("compressed-data"));
                assert_eq!(media_type.parameter("name"), Some("smime.p7z"));
            }
        }
    }
}

#[test]
fn short_ones_are_der_and_long_ones_are_streamed() {
    let mut stream = zlib(b"text");
    // the header says how hard was tried (RFC 1950 §2.2): differs
    stream[1] = 0x5e;
    let short = made(b"text", Form::Der);
    assert_eq!(short, Parts::new(&stream).message());
    // incompressible, so that the compressed bytes are as many
    let mut random = vec![0; 2 * HELD];
    getrandom::fill(&mut random).unwrap();
    let long = made(&random, Form::Der);
    assert_eq!(long[..2], [id::SEQUENCE, 0x80]);
    assert!(long.ends_with(&[0; 12]), "six ends of contents");
    assert!(long.len() < random.len() + 1000);
    assert_eq!(open(&long).unwrap().0, random);
}

#[test]
fn content_that_hardly_varies_stays_within_the_limit_that_readers_set() {
    for (period, len) in [
        (1, 1 << 20),
        (1, (1 << 20) + 1),
        (1, 3 << 20),
        (1, 40 << 20),
        (2, 9 << 20),
        (300, 9 << 20),
        (30_000, 9 << 20),
    ] {
        let content: Vec<u8> = text(period).into_iter().cycle().take(len).collect();
        let message = made(&content, Form::Der);
        let (read, _) = open(&message).unwrap_or_else(|(e, _)| panic!("{period} {len}: {e}"));
        assert!(read == content, "{period} {len}");
        assert!(
            message.len() * 10 < len,
            "{period} {len}: {}",
            message.len()
        );
    }
    // and where it changes on the way
    let mut content = text(500_000);
    content.resize(8 << 20, b' ');
    content.extend(text(500_000));
    content.resize(20 << 20, 0);
    assert!(open(&made(&content, Form::Der)).unwrap().0 == content);
}

#[test]
fn ber_of_every_shape_is_read() {
    let content = text(200_000);
    let zlib = zlib(&content);
    let segments = |size: usize| -> Vec<u8> {
        zlib.chunks(size)
            .flat_map(|s| tlv(id::OCTET_STRING, s))
            .collect()
    };
    let indefinite = |tag: u8, content: &[u8]| [&[tag, 0x80], content, &[0, 0]].concat();
    let octets = id::OCTET_STRING | id::CONSTRUCTED;
    let explicit = id::context_constructed(0);
    let nested = tlv(octets, &indefinite(octets, &segments(7)));
    for octets in [
        tlv(octets, &segments(1)),
        indefinite(octets, &segments(1000)),
        indefinite(octets, &[&nested[..], &tlv(id::OCTET_STRING, &[])].concat()),
    ] {
        for content_field in [tlv(explicit, &octets), indefinite(explicit, &octets)] {
            let mut parts = Parts::new(&zlib);
            parts.content = content_field;
            // both ways of saying that there are no parameters
            for null in [&[][..], &[id::NULL, 0]] {
                parts.algorithm = crate::algorithm_id::encode(&super::super::ID_ZLIB, null);
                assert!(open(&parts.message()).unwrap().0 == content);
            }
        }
    }
    // a length in more octets than it needs
    let mut long = vec![id::OCTET_STRING, 0x88];
    long.extend((zlib.len() as u64).to_be_bytes());
    long.extend(&zlib);
    let mut parts = Parts::new(&[]);
    parts.content = tlv(explicit, &long);
    assert!(open(&parts.message()).unwrap().0 == content);
}

#[test]
fn every_level_and_window_of_zlib_is_read() {
    let script = "import sys,zlib\n\
        l,w=int(sys.argv[1]),int(sys.argv[2])\n\
        c=zlib.compressobj(l,zlib.DEFLATED,w)\n\
        d=sys.stdin.buffer.read()\n\
        o=c.compress(d[:50000])+c.flush(zlib.Z_FULL_FLUSH)+c.compress(d[50000:])+c.flush()\n\
        sys.stdout.buffer.write(o)";
    let content = text(150_000);
    for level in ["0", "1", "6", "9"] {
        for window in ["9", "12", "15"] {
            let stream = python(script, &[level, window], &content);
            let (read, _) = open(&Parts::new(&stream).message()).unwrap();
            assert!(read == content, "{level} {window}");
        }
    }
}

#[test]
fn zlib_itself_reads_what_we_write() {
    let script = "import sys,zlib\n\
        d=zlib.decompressobj()\n\
        o=d.decompress(sys.stdin.buffer.read())+d.flush()\n\
        assert d.eof and not d.unused_data\n\
        sys.stdout.buffer.write(o)";
    // short enough for DER; once with the blocks that keep the ratio low
    for content in [text(100_000), vec![0; 5 << 20]] {
        let message = made(&content, Form::Der);
        let mut stream = Vec::new();
        let mut reader = crate::ber::Reader::new(message.as_slice());
        crate::content::enter(&mut reader).unwrap();
        let octets = super::super::decompress::read_up_to_content(&mut reader).unwrap();
        reader
            .octets(&octets, &mut |data| {
                stream.extend_from_slice(data);
                Ok(())
            })
            .unwrap();
        assert!(python(script, &[], &stream) == content);
    }
}

#[test]
fn a_pipe_is_read_twice_too() {
    let folder = tempfile::tempdir().unwrap();
    let content = text(2 << 20);
    let message = made(&content, Form::Smime);
    let mut out = Vec::new();
    let mut input = StreamInput::new(
        Cursor::new(message),
        folder.path().to_owned(),
        Arc::new(NeverWaits),
    );
    decompress(&mut input, &mut out).unwrap();
    assert!(out == content);
}

#[test]
fn a_mail_around_it_is_passed_over() {
    let message = made(b"text", Form::Smime);
    let mail = [b"From: a@example.org\r\nSubject: x\r\n", &message[..]].concat();
    let (read, outcome) = open(&mail).unwrap();
    assert_eq!(read, b"text");
    assert_eq!(outcome.headers.addresses("From"), ["a@example.org"]);
    // by its file name only, with line ends of LF
    let renamed = String::from_utf8(message).unwrap().replace(
        "application/pkcs7-mime; smime-type=compressed-data;",
        "application/octet-stream;",
    );
    assert_eq!(
        open(renamed.replace('\r', "").as_bytes()).unwrap().0,
        b"text"
    );
}

#[test]
fn much_of_the_same_shrinks_to_between_a_tenth_and_a_hundredth() {
    let mut out = Count(0);
    let mut input = std::io::repeat(b' ').take(64 << 20);
    let options = CompressOptions { format: Form::Der };
    let made = compress(&mut input, &mut out, &options).unwrap();
    assert_eq!(made.content_len, 64 << 20);
    assert!(out.0 >= made.content_len / 100 && out.0 < made.content_len / 10);
}

fn python(script: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    output.stdout
}
