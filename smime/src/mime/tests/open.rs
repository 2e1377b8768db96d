use super::super::{Form, Opened, open};
use super::{STEPS, read_in_steps, trickle};
use crate::algorithm::DigestAlgorithm::{Md5, Sha1, Sha256, Sha384, Sha512};
use crate::error::{Error, Result};
use crate::limits::BOUNDARY;

/// `SEQUENCE { OID signedData, [0] 130 bytes }`
fn cms() -> Vec<u8> {
    [
        &[
            0x30, 0x81, 144, 6, 9, 42, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 2, 0xa0, 0x81, 130,
        ][..],
        &[0x55; 130],
    ]
    .concat()
}

fn base64(columns: usize, line_end: &str) -> String {
    let pem = super::super::pem::encode("X", &cms());
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let lines: Vec<&str> = (0..text.len())
        .step_by(columns)
        .map(|at| &text[at..text.len().min(at + columns)])
        .collect();
    lines
        .iter()
        .map(|line| format!("{line}{line_end}"))
        .collect()
}

/// `cms <form>`, `signed` or `other`, and the body.
fn recognise(data: &[u8], step: usize) -> Result<(String, Vec<u8>)> {
    Ok(match open(trickle(data, step))? {
        Opened::Cms { form, body, .. } => {
            (format!("cms {}", form.name()), read_in_steps(body, step)?)
        }
        Opened::Signed(_) => ("signed".into(), Vec::new()),
        Opened::Other { body, .. } => ("other".into(), read_in_steps(body, step)?),
    })
}

#[test]
fn every_form_of_a_cms_object_is_recognised() {
    let mail = |fields: &str, body: &str| format!("{fields}\r\n\r\n{body}").into_bytes();
    let lines = base64(76, "\r\n");
    let indefinite = [&[0x30, 0x80][..], &cms()[3..], &[0, 0]].concat();
    assert_eq!(
        recognise(&indefinite, 1).unwrap(),
        ("cms der".into(), indefinite.clone())
    );

    let mime = "Content-Type: application/pkcs7-mime; smime-type=signed-data";
    let encoded = "Content-Transfer-Encoding: base64";
    let quoted: String = cms().iter().map(|b| format!("={b:02X}=\r\n")).collect();
    let binary = [
        format!("{mime}\nContent-Transfer-Encoding: binary\n\n").into_bytes(),
        cms(),
    ]
    .concat();
    let unnamed = [format!("{mime}\n\n").into_bytes(), cms()].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("cms der", cms()),
        (
            "cms pem",
            format!(
                "-----BEGIN CMS-----\n{}-----END CMS-----\n",
                base64(64, "\n")
            )
            .into(),
        ),
        (
            "cms pem",
            format!(
                "-----BEGIN PKCS7-----\r\n{}-----END PKCS7-----\r\n",
                base64(64, "\r\n")
            )
            .into(),
        ),
        (
            "cms pem",
            format!(
                "-----BEGIN PKCS #7 SIGNED DATA-----\n{}-----END PKCS #7 SIGNED DATA-----",
                base64(64, "\n")
            )
            .into(),
        ),
        (
            "cms pem",
            format!(
                "Some text:\n\n about it\n-----BEGIN CMS-----\n{}-----END CMS-----\nand more\n",
                base64(64, "\n")
            )
            .into(),
        ),
        (
            "cms pem",
            format!(
                "\u{feff}-----BEGIN CMS-----\n{}-----END CMS-----\n",
                base64(64, "\n")
            )
            .into(),
        ),
        ("cms smime", base64(76, "\n").into()),
        (
            "cms smime",
            format!("\r\n\n{}", base64(1000, "\r\n")).into(),
        ),
        ("cms smime", base64(1000, "").into()),
        ("cms smime", mail(&format!("{mime}\r\n{encoded}"), &lines)),
        (
            "cms smime",
            mail(
                &format!("From bob Mon Jan 1\nSubject: x\n{mime}\n{encoded}"),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(&format!("\r\n\n{mime}\n{encoded}"), &lines),
        ),
        (
            "cms smime",
            mail(
                &format!("{mime}\n{encoded}"),
                &format!("\n\n{}", base64(60, " \n")),
            ),
        ),
        ("cms smime", mail(mime, &lines)),
        (
            "cms smime",
            mail(&format!("{mime}\nContent-Transfer-Encoding: 7bit"), &lines),
        ),
        (
            "cms smime",
            mail(
                &format!("{mime}\nContent-Transfer-Encoding: quoted-printable"),
                &quoted,
            ),
        ),
        ("cms smime", binary),
        ("cms smime", unnamed),
        (
            "cms smime",
            mail(
                &format!("CONTENT-TYPE: APPLICATION/X-PKCS7-MIME\n{encoded}"),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!("Content-Type: application/pkcs7-signature; name=smime.p7s\n{encoded}"),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!("Content-Type: application/x-pkcs7-signature\n{encoded}"),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!("Content-Type: application/octet-stream; name=\"A.P7M\"\n{encoded}"),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!(
                    "Content-Type: application/octet-stream; name=\"=?utf-8?B?c21pbWUucDdt?=\"\n{encoded}"
                ),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!(
                    "Content-Type: application/octet-stream\nContent-Disposition: attachment;\n filename==?us-ascii?Q?smime=2Ep7s?=\n{encoded}"
                ),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!(
                    "Content-Type: Application/CMS; encapsulatingContent=signedData; innerContent=data\n{encoded}"
                ),
                &lines,
            ),
        ),
        (
            "cms smime",
            mail(
                &format!(
                    "Content-Type: application/octet-stream\nContent-Disposition: attachment;\n filename*=utf-8''x%2Ep7z\n{encoded}"
                ),
                &lines,
            ),
        ),
    ];
    for (expected, data) in cases {
        for step in STEPS {
            let (kind, body) = recognise(&data, step).unwrap();
            let shown = String::from_utf8_lossy(&data[..data.len().min(90)]).into_owned();
            assert_eq!(kind, expected, "{shown:?} by {step}");
            assert!(body == cms(), "{shown:?} by {step}");
        }
    }
}

#[test]
fn what_is_none_is_handed_on_whole() {
    let cases: [(&str, &str); 15] = [
        ("", ""),
        ("\n \r To: a\n\nbody", "\n \r To: a\n\nbody"),
        ("\n\nTo: a\n\nbody", "body"),
        ("\n\n \n", "\n\n \n"),
        ("just text\n", "just text\n"),
        ("0 at the beginning", "0 at the beginning"),
        ("MIAMI\n", "MIAMI\n"),
        ("MIME and other words\n", "MIME and other words\n"),
        ("From here on\nno headers\n", "From here on\nno headers\n"),
        ("Note: x\n\nbody", "body"),
        (
            "Content-Type: text/plain\n\n-----BEGIN CMS-----\nMIIB\n",
            "-----BEGIN CMS-----\nMIIB\n",
        ),
        (
            "-----BEGIN PGP MESSAGE-----\n\nabc\n",
            "-----BEGIN PGP MESSAGE-----\n\nabc\n",
        ),
        (
            "Content-Type: application/octet-stream; name=x.pdf\n\nMIIBAAYJKoZIhvcNAQcC",
            "MIIBAAYJKoZIhvcNAQcC",
        ),
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n",
            "--x\n",
        ),
        (
            "Content-Type: multipart/signed; boundary=x; protocol=\"application/pgp-signature\"\n\n--x\n",
            "--x\n",
        ),
    ];
    for (data, body) in cases {
        for step in STEPS {
            let seen = recognise(data.as_bytes(), step).unwrap();
            assert_eq!(seen, ("other".into(), body.into()), "{data:?} by {step}");
        }
    }
}

#[test]
fn headers_come_along() {
    let data = b"From: a@x\r\nContent-Type: application/pkcs7-mime\r\n\r\nMIIBAAYJKoZIhvcNAQcC";
    let Opened::Cms { headers, form, .. } = open(trickle(data, 5)).unwrap() else {
        panic!()
    };
    assert_eq!(
        (headers.addresses("from"), form),
        (vec!["a@x".to_owned()], Form::Smime)
    );
}

#[test]
fn headers_that_say_two_things_are_refused() {
    for data in [
        "Content-Type: text/plain\nContent-Type: application/pkcs7-mime\n\n",
        "Content-Type: multipart/signed; boundary=a; boundary=b\n\n",
        "Content-Type: multipart/signed; boundary=a; boundary*0=a\n\n",
        "Content-Type: multipart/signed\n\n",
        "Content-Type: multipart/signed; boundary=\"\"\n\n",
        "Content-Type: multipart/signed; boundary*=us-ascii''a%0Ab\n\n",
    ] {
        assert!(
            matches!(open(trickle(data.as_bytes(), 9)), Err(Error::Malformed(_))),
            "{data:?}"
        );
    }
}

#[test]
fn micalg_is_read_in_its_spellings() {
    for (value, expected) in [
        ("sha-256", vec![Sha256]),
        ("SHA256", vec![Sha256]),
        ("\"sha1,sha-256, Sha-512\"", vec![Sha1, Sha256, Sha512]),
        ("\"md5,sha384\"", vec![Md5, Sha384]),
        ("unknown", vec![]),
    ] {
        let data = format!("Content-Type: multipart/signed; micalg={value}; boundary=x\n\n");
        let Opened::Signed(signed) = open(trickle(data.as_bytes(), 9)).unwrap() else {
            panic!("{value}")
        };
        assert_eq!(signed.micalg, expected, "{value}");
    }
}

#[test]
fn a_boundary_at_the_limit_passes_and_one_past_it_is_refused() {
    for (len, fits) in [(BOUNDARY, true), (BOUNDARY + 1, false)] {
        let data = format!(
            "Content-Type: multipart/signed; boundary=\"{}\"\n\n",
            "b".repeat(len)
        );
        match open(trickle(data.as_bytes(), 9)) {
            Ok(opened) => assert!(fits && matches!(opened, Opened::Signed(_))),
            Err(error) => assert!(!fits && matches!(error, Error::LimitExceeded { .. })),
        }
    }
}

#[test]
fn an_endless_input_is_recognised_from_its_beginning() {
    for start in ["", "\n", "text", "From x\n", "0"] {
        let input = std::io::Read::chain(start.as_bytes(), std::io::repeat(b'\n'));
        assert!(
            matches!(open(Box::new(input)).unwrap(), Opened::Other { .. }),
            "{start:?}"
        );
    }
}
