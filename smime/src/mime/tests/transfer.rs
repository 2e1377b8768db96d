use super::super::source::Source;
use super::super::{Headers, transfer};
use super::{STEPS, read_in_steps, trickle};
use crate::error::{Error, Result};

fn decode(encoding: &str, body: &[u8], step: usize) -> Result<Vec<u8>> {
    let text = format!("{encoding}\n\n");
    let mut source = Source::new(Box::new(text.as_bytes()));
    let (headers, _) = Headers::look(&mut source, 0)?.unwrap();
    Ok(read_in_steps(
        transfer::decode(&headers, Source::new(trickle(body, step)))?,
        step,
    )?)
}

#[test]
fn quoted_printable_in_every_shape() {
    let cases: [(&[u8], Option<&[u8]>); 18] = [
        (b"", Some(b"")),
        (b"plain", Some(b"plain")),
        (b"=30=80=0a=FF", Some(b"0\x80\n\xff")),
        (b"a=\r\nb=\nc", Some(b"abc")),
        (b"a= \t\r\nb", Some(b"ab")),
        (b"a  \r\nb\t\nc", Some(b"a\r\nb\nc")),
        (b"a b\tc", Some(b"a b\tc")),
        (b"a =3D b", Some(b"a = b")),
        (b"a\rb", Some(b"a\rb")),
        (b"a\r\nb\n", Some(b"a\r\nb\n")),
        (b"trailing  ", Some(b"trailing")),
        (b"end=", Some(b"end")),
        (b"a =\r\nb", Some(b"a b")),
        (b"=3", None),
        (b"=3G", None),
        (b"=G3", None),
        (b"= x", None),
        (b"a==", None),
    ];
    for (text, expected) in cases {
        for step in STEPS {
            let decoded = decode("Content-Transfer-Encoding: Quoted-Printable", text, step);
            if text == b"a==" || text == b"= x" {
                assert!(decoded.is_err());
                continue;
            }
            assert_eq!(
                decoded.as_deref().ok(),
                expected,
                "{:?} by {step}",
                String::from_utf8_lossy(text)
            );
        }
    }
    let spaces = |count: usize| [vec![b' '; count], b"x".to_vec()].concat();
    let encoding = "Content-Transfer-Encoding: quoted-printable";
    assert_eq!(decode(encoding, &spaces(1024), 100).unwrap(), spaces(1024));
    assert!(decode(encoding, &spaces(1025), 100).is_err());
}

#[test]
fn a_missing_or_wrong_name_is_made_good_for_base64() {
    let text = b"\r\nMIIBAAYJKoZIhvcNAQcC\r\n";
    let binary = [
        0x30, 0x82, 1, 0, 6, 9, 42, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 2,
    ];
    for encoding in [
        "X: y",
        "Content-Transfer-Encoding: 7bit",
        "Content-Transfer-Encoding: 8Bit (x)",
        "CONTENT-TRANSFER-ENCODING:  BASE64",
    ] {
        for step in STEPS {
            assert_eq!(decode(encoding, text, step).unwrap(), binary, "{encoding}");
        }
    }
    for encoding in ["X: y", "Content-Transfer-Encoding: binary"] {
        assert_eq!(decode(encoding, &binary, 2).unwrap(), binary);
    }
    assert!(matches!(
        decode("Content-Transfer-Encoding: x-uuencode", text, 9),
        Err(Error::Malformed(_))
    ));
    let twice = "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: base64";
    assert!(matches!(decode(twice, text, 9), Err(Error::Malformed(_))));
}
