use super::super::{MultipartSigned, Opened, open, pem};
use super::{STEPS, sample, trickle};
use crate::ber::tlv;
use crate::error::{Error, Result};
use crate::limits::ELEMENT;

fn signed(data: &[u8], step: usize) -> MultipartSigned<'_> {
    match open(trickle(data, step)).unwrap() {
        Opened::Signed(signed) => signed,
        _ => panic!("not recognised"),
    }
}

/// First part, signature, text outside.
fn split(data: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, bool)> {
    let mut signed = signed(data, step);
    let mut content = Vec::new();
    signed.content(&mut |chunk| {
        content.extend_from_slice(chunk);
        Ok(())
    })?;
    let (signature, outside) = signed.signature()?;
    Ok((content, signature, outside))
}

fn signature() -> Vec<u8> {
    tlv(0x30, &[7; 200])
}

fn signature_part() -> String {
    let pem = pem::encode("X", &signature());
    let body: String = pem
        .split_inclusive('\n')
        .filter(|line| !line.starts_with('-'))
        .collect();
    format!(
        "Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Transfer-Encoding: base64\n\n{body}"
    )
}

const TOP: &str = "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; boundary=\"=_b?\"\n\n";

#[test]
fn the_first_part_is_exactly_what_lies_between_the_boundaries() {
    let contents = [
        "",
        "x",
        "Content-Type: text/plain\n\nHello\n",
        "\n",
        "\n\n\nx\n\n\n",
        "ends with cr\r",
        "--=_b\nnot one\n",
        "--=_b?x\n--=_b?-\n --=_b?\nx--=_b?\n--=_b?--x\n-\n--\n",
        "\r\n\r\r\n\r",
        "--=_B?\n",
    ];
    let (long, part) = ("0123456789abcdef\n".repeat(20_000), signature_part());
    for content in contents.into_iter().chain([long.as_str()]) {
        for line_end in ["\n", "\r\n"] {
            for (padding, end) in [("", "--\n"), (" \t", "-- \n"), ("", "--"), ("  ", "--\t")] {
                let content = content.replace('\n', line_end);
                let message = format!("--=_b?{padding}\n").replace('\n', line_end)
                    + &content
                    + &format!("\n--=_b?{padding}\n{part}\n--=_b?{end}").replace('\n', line_end);
                let message = TOP.to_owned() + &message;
                // CR and LF before a boundary are one line end
                let content = content
                    .strip_suffix('\r')
                    .filter(|_| line_end == "\n")
                    .unwrap_or(&content);
                for step in if content.len() > 1000 {
                    &[999, usize::MAX][..]
                } else {
                    &STEPS
                } {
                    let (seen, sig, outside) = split(message.as_bytes(), *step).unwrap();
                    assert!(
                        seen == content.as_bytes(),
                        "{:?} {line_end:?} by {step}",
                        &content[..content.len().min(80)]
                    );
                    assert!(sig == signature() && !outside);
                }
            }
        }
    }
}

#[test]
fn a_boundary_is_found_wherever_the_buffer_ends() {
    // the window is 128 KiB: put the boundary around its border
    for len in (128 << 10) - 40..(128 << 10) + 10 {
        let content = vec![b'c'; len];
        let end = format!("\r\n--=_b?  \r\n{}\n--=_b?--", signature_part());
        let message = [TOP.as_bytes(), b"--=_b?\r\n", &content, end.as_bytes()].concat();
        let (seen, sig, _) = split(&message, usize::MAX).unwrap();
        assert!(seen == content && sig == signature(), "{len}");
    }
}

#[test]
fn text_outside_is_reported_but_for_the_usual_notice() {
    let part = signature_part();
    let preambles = [
        ("", false),
        ("\n  \n", false),
        ("This is an S/MIME signed message\n\n", false),
        (
            "This is a cryptographically signed message in MIME format.\r\n\r\n",
            false,
        ),
        ("This is a multi-part message in MIME format...\n", false),
        ("This is an S/MIME signed message\nSend money\n", true),
        ("text\n", true),
    ];
    for (preamble, in_front) in preambles {
        for (epilogue, behind) in [
            ("", false),
            ("\n\n \n", false),
            ("\nlist footer\n", true),
            ("\n--=_b?--\n", true),
        ] {
            let message =
                format!("{TOP}{preamble}--=_b?\ncontent\n--=_b?\n{part}\n--=_b?--{epilogue}");
            for step in STEPS {
                let (content, _, outside) = split(message.as_bytes(), step).unwrap();
                assert_eq!(
                    (content.as_slice(), outside),
                    (&b"content"[..], in_front || behind),
                    "{message} by {step}"
                );
            }
        }
    }
    let long = format!(
        "{TOP}{}\n--=_b?\ncontent\n--=_b?\n{part}\n--=_b?--",
        " ".repeat(300)
    );
    assert!(split(long.as_bytes(), 50).unwrap().2);
}

#[test]
fn a_cut_message_is_malformed_unless_only_the_closing_boundary_is_lost() {
    let part = signature_part();
    let message = format!("{TOP}--=_b?\ncontent\n--=_b?\n{part}\n--=_b?--\n");
    let from = TOP.len();
    let signature_end = message.rfind("\n--=_b?--").unwrap();
    for cut in from..message.len() {
        for step in [3, usize::MAX] {
            let result = split(&message.as_bytes()[..cut], step);
            match result {
                Ok((content, sig, _)) => {
                    assert!(cut >= signature_end - 3, "{cut}");
                    assert!(content == b"content" && sig == signature());
                }
                Err(error) => {
                    assert!(cut < signature_end + 9, "{cut}: {error}");
                    assert!(matches!(error, Error::Malformed(_)), "{error}");
                }
            }
        }
    }
    assert!(split(&message.as_bytes()[..signature_end], 7).is_ok());
}

#[test]
fn parts_that_do_not_belong_are_refused() {
    let part = signature_part();
    for body in [
        format!("--=_b?\ncontent\n--=_b?\n{part}\n--=_b?\nthird\n--=_b?--"),
        "--=_b?\ncontent\n--=_b?--\n".to_owned(),
        "--=_b?--\n".to_owned(),
        "no boundary".to_owned(),
        "--=_b?\ncontent\n--=_b?\n\nno headers\n--=_b?--".to_owned(),
        "--=_b?\ncontent\n--=_b?\nno headers\n--=_b?--".to_owned(),
        "--=_b?\ncontent\n--=_b?\nContent-Type: text/plain\n\nMIIB\n--=_b?--".to_owned(),
        "--=_b?\ncontent\n--=_b?\nContent-Type: application/pgp-signature\n\nMIIB\n--=_b?--"
            .to_owned(),
    ] {
        for step in STEPS {
            let result = split((TOP.to_owned() + &body).as_bytes(), step);
            assert!(
                matches!(result, Err(Error::Malformed(_))),
                "{body}: {result:?}"
            );
        }
    }
}

#[test]
fn the_signature_may_be_named_and_encoded_otherwise() {
    let der = signature();
    let base64 = signature_part();
    let (_, base64) = base64.split_once("\n\n").unwrap();
    let quoted: String = der.iter().map(|b| format!("={b:02x}=\n")).collect();
    for (headers, body) in [
        (
            "Content-Type: application/x-pkcs7-signature\nContent-Transfer-Encoding: BASE64",
            base64.as_bytes(),
        ),
        (
            "Content-Type: application/pkcs7-signature",
            base64.as_bytes(),
        ),
        (
            "Content-Type: application/pkcs7-signature\nContent-Transfer-Encoding: binary",
            &der,
        ),
        (
            "Content-Type: application/pkcs7-signature\nContent-Transfer-Encoding: quoted-printable",
            quoted.as_bytes(),
        ),
        (
            "Content-Type: application/octet-stream; name=SMIME.P7S\nContent-Transfer-Encoding: base64",
            base64.as_bytes(),
        ),
    ] {
        let start = format!("{TOP}--=_b?\ncontent\n--=_b?\n{headers}\n\n");
        let message = [start.as_bytes(), body, b"\n--=_b?--\n"].concat();
        for step in STEPS {
            let (_, sig, _) = split(&message, step).unwrap();
            assert_eq!(sig, der, "{headers} by {step}");
        }
    }
}

#[test]
fn a_signature_at_the_limit_passes_and_one_past_it_is_refused() {
    for (len, fits) in [(ELEMENT, true), (ELEMENT + 1, false)] {
        let object = tlv(0x30, &sample(len - 5));
        assert_eq!(object.len(), len);
        let start = format!(
            "{TOP}--=_b?\n\n--=_b?\nContent-Type: application/pkcs7-signature\nContent-Transfer-Encoding: binary\n\n"
        );
        let message = [start.as_bytes(), &object, b"\n--=_b?--\n"].concat();
        match split(&message, usize::MAX) {
            Ok((_, sig, _)) => assert!(fits && sig == object),
            Err(error) => assert!(
                !fits && matches!(error, Error::LimitExceeded { .. }),
                "{error}"
            ),
        }
    }
}

#[test]
fn white_space_behind_a_boundary_has_its_bound() {
    let part = signature_part();
    for (len, fits) in [(1024, true), (1025, false)] {
        let message = format!(
            "{TOP}--=_b?\ncontent\n--=_b?{}\n{part}\n--=_b?--",
            " ".repeat(len)
        );
        assert_eq!(split(message.as_bytes(), 100).is_ok(), fits, "{len}");
    }
}

#[test]
fn the_signature_can_be_had_without_the_content() {
    let message = format!(
        "{TOP}--=_b?\ncontent\n--=_b?\n{}\n--=_b?--",
        signature_part()
    );
    assert_eq!(
        signed(message.as_bytes(), 9).signature().unwrap(),
        (signature(), false)
    );
}

#[test]
fn an_error_of_the_sink_ends_the_content() {
    let message = format!(
        "{TOP}--=_b?\ncontent\n--=_b?\n{}\n--=_b?--",
        signature_part()
    );
    let result = signed(message.as_bytes(), 9).content(&mut |_| Err(Error::Cancelled));
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn what_openssl_signs_is_cut_as_openssl_means_it() {
    use std::process::Command;
    let dir = std::env::temp_dir().join(format!("privyseal-mime-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let openssl = |args: &str| {
        let output = Command::new("openssl")
            .current_dir(&dir)
            .args(args.split(' '))
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
    };
    std::fs::write(
        dir.join("in"),
        "Content-Type: text/plain\r\n\r\nHello\r\n--\r\n",
    )
    .unwrap();
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout key -out cert",
    );
    openssl("cms -sign -in in -signer cert -inkey key -out out");
    let message = std::fs::read(dir.join("out")).unwrap();
    let (content, sig, outside) = split(&message, 100).unwrap();
    assert_eq!(
        String::from_utf8(content.clone()).unwrap(),
        "Content-Type: text/plain\r\n\r\nHello\r\n--\r\n"
    );
    assert!(!outside);
    std::fs::write(dir.join("content"), content).unwrap();
    std::fs::write(dir.join("sig"), sig).unwrap();
    openssl(
        "cms -verify -binary -inform DER -in sig -content content -CAfile cert -purpose any -out verified",
    );
    std::fs::remove_dir_all(&dir).unwrap();
}
