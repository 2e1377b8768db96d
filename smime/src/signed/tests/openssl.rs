//! openssl signs and we verify, we sign and openssl verifies.

use std::fs;
use std::path::Path;

use super::*;
use crate::algorithm::DigestAlgorithm;
use crate::mime::Form;
use crate::signed::SignatureState;
use crate::signed::testkit::try_openssl;

const MAIL: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n\r\n.\r\n-- \r\nAlice\r\n";

fn assert_signed_by(outcome: &VerifyOutcome, person: &Person, what: &str) {
    assert_eq!(outcome.signers.len(), 1, "{what}");
    let signer = &outcome.signers[0];
    assert_eq!(signer.state, SignatureState::Valid, "{what}");
    assert_eq!(
        signer.certificate.as_ref(),
        Some(&person.certificate),
        "{what}"
    );
    assert_eq!(signer.digest, Some(DigestAlgorithm::Sha256), "{what}");
    assert!(!signer.weak, "{what}");
    assert!(
        outcome.contradictions.is_empty(),
        "{what}: {:?}",
        outcome.contradictions
    );
    assert_eq!(outcome.layers[0].kind, "signed", "{what}");
    assert_eq!(
        outcome.certificates,
        std::slice::from_ref(&person.certificate),
        "{what}"
    );
}

#[test]
fn we_verify_whatever_openssl_signs() {
    let (mut cells, mut refused) = (0, 0);
    for (kind, pss) in [(Kind::Rsa, false), (Kind::Rsa, true), (Kind::P256, false)] {
        let person = Person::shared(kind);
        let folder = tempfile::tempdir().unwrap();
        person.write(folder.path());
        for (opaque, format) in [
            (false, "SMIME"),
            (true, "SMIME"),
            (true, "DER"),
            (true, "PEM"),
            (false, "DER"),
            (false, "PEM"),
        ] {
            for extra in 0..8u8 {
                let mut args = vec![
                    "cms", "-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-md", "sha256",
                    "-outform", format,
                ];
                if opaque {
                    args.push("-nodetach");
                }
                for (bit, option) in ["-stream", "-keyid", "-noattr"].into_iter().enumerate() {
                    if extra & 1 << bit != 0 {
                        args.push(option);
                    }
                }
                if pss {
                    args.extend(["-keyopt", "rsa_padding_mode:pss"]);
                }
                let what = args.join(" ");
                let message = match try_openssl(folder.path(), &args, MAIL) {
                    Ok(message) => message,
                    // openssl 3.0 writes the PSS parameters of a streamed message too late, and gives up
                    Err(why) if pss && why.contains("illegal zero content") => {
                        refused += 1;
                        continue;
                    }
                    Err(why) => panic!("openssl {what}: {why}"),
                };
                let detached = !opaque && format != "SMIME";
                let content = detached.then_some(MAIL);
                let outcome = match content {
                    Some(content) => check_detached(&message, content),
                    None => check(&message),
                };
                let outcome = outcome.unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_signed_by(&outcome, person, &what);
                assert_eq!(outcome.content_len, MAIL.len() as u64, "{what}");
                assert_eq!(
                    outcome.signers[0].signing_time.is_some(),
                    extra & 4 == 0,
                    "{what}"
                );
                let algorithm = if pss {
                    "rsa-pss"
                } else if kind == Kind::Rsa {
                    "rsa-pkcs1"
                } else {
                    "ecdsa"
                };
                assert_eq!(outcome.signers[0].algorithm, algorithm, "{what}");
                assert_eq!(released(&message, content).unwrap(), MAIL, "{what}");
                if detached {
                    let other = [MAIL, b"PS: more"].concat();
                    let outcome = check_detached(&message, &other).unwrap();
                    assert!(
                        matches!(outcome.signers[0].state, SignatureState::Invalid(_)),
                        "{what}"
                    );
                }
                cells += 1;
            }
        }
    }
    println!("openssl signs, we verify: {cells} cells; openssl itself cannot make {refused}");
    assert_eq!(cells + refused, 144);
    assert!(refused <= 20);
}

#[test]
fn rsa_keys_up_to_4096_bits_verify() {
    for (bits, pss) in [(3072, false), (4096, false), (4096, true)] {
        let person = Person::new(Kind::Rsa, &["-newkey", &format!("rsa:{bits}")]);
        let folder = tempfile::tempdir().unwrap();
        person.write(folder.path());
        let mut args = vec![
            "cms", "-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-md", "sha256",
        ];
        if pss {
            args.extend(["-keyopt", "rsa_padding_mode:pss"]);
        }
        let what = format!("{bits} {pss}");
        let message = try_openssl(folder.path(), &args, MAIL).unwrap();
        assert_signed_by(&check(&message).unwrap(), &person, &what);
        let options = SignOptions {
            pss,
            ..options(SignForm::Clear)
        };
        let message = signed(&person, MAIL, &options);
        assert_signed_by(&check(&message).unwrap(), &person, &what);
        let seen = openssl_verifies(folder.path(), &message, Form::Smime, None);
        assert_eq!(seen.as_deref(), Ok(MAIL), "{what}");
    }
}

/// The content that openssl saw, after it found the message good.
fn openssl_verifies(
    folder: &Path,
    message: &[u8],
    format: Form,
    content: Option<&[u8]>,
) -> Result<Vec<u8>, String> {
    fs::write(folder.join("message"), message).unwrap();
    let inform = match format {
        Form::Smime => "SMIME",
        Form::Der => "DER",
        Form::Pem => "PEM",
    };
    let mut args = vec![
        "cms", "-verify", "-in", "message", "-inform", inform, "-CAfile", "cert.pem",
    ];
    if let Some(content) = content {
        fs::write(folder.join("content"), content).unwrap();
        args.extend(["-content", "content"]);
    }
    try_openssl(folder, &args, &[])
}

type Result<T, E = String> = std::result::Result<T, E>;

#[test]
fn openssl_verifies_whatever_we_sign() {
    let large: Vec<u8> = (0..9_000u32)
        .flat_map(|n| format!("{n}: a line of a rather long mail\r\n").into_bytes())
        .collect();
    assert!(large.len() > 256 << 10);
    let mut cells = 0;
    for (kind, pss) in [
        (Kind::Rsa, false),
        (Kind::Rsa, true),
        (Kind::P256, false),
        (Kind::P384, false),
        (Kind::P521, false),
    ] {
        let person = Person::shared(kind);
        let folder = tempfile::tempdir().unwrap();
        person.write(folder.path());
        for (form, format) in [
            (SignForm::Clear, Form::Smime),
            (SignForm::Opaque, Form::Smime),
            (SignForm::Opaque, Form::Der),
            (SignForm::Opaque, Form::Pem),
            (SignForm::Detached, Form::Smime),
            (SignForm::Detached, Form::Der),
            (SignForm::Detached, Form::Pem),
        ] {
            for digest in [
                DigestAlgorithm::Sha256,
                DigestAlgorithm::Sha384,
                DigestAlgorithm::Sha512,
            ] {
                for content in [MAIL, &large] {
                    let options = SignOptions {
                        format,
                        pss,
                        digest,
                        ..options(form)
                    };
                    let what = format!(
                        "{kind:?} {form:?} {format:?} {digest:?} {} bytes",
                        content.len()
                    );
                    let message = signed(person, content, &options);
                    let detached = (form == SignForm::Detached).then_some(content);
                    let seen = openssl_verifies(folder.path(), &message, format, detached)
                        .unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert!(seen == content, "{what}");
                    let outcome = match detached {
                        Some(content) => check_detached(&message, content),
                        None => check(&message),
                    };
                    let outcome = outcome.unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!(outcome.signers[0].state, SignatureState::Valid, "{what}");
                    assert_eq!(
                        outcome.signers[0].signing_time,
                        Some(options.signing_time),
                        "{what}"
                    );
                    assert!(released(&message, detached).unwrap() == content, "{what}");
                    cells += 1;
                }
            }
        }
    }
    println!("we sign, openssl verifies: {cells} cells");
    assert_eq!(cells, 210);
}

#[test]
fn line_ends_are_made_canonical_before_they_are_signed() {
    let person = Person::shared(Kind::P256);
    let folder = tempfile::tempdir().unwrap();
    person.write(folder.path());
    let unix = MAIL
        .iter()
        .copied()
        .filter(|b| *b != b'\r')
        .collect::<Vec<u8>>();
    for form in [SignForm::Clear, SignForm::Opaque, SignForm::Detached] {
        let message = signed(person, &unix, &options(form));
        let detached = (form == SignForm::Detached).then_some(MAIL);
        assert_eq!(
            openssl_verifies(folder.path(), &message, Form::Smime, detached).unwrap(),
            MAIL
        );
    }
    // a detached signature holds for the file with either line ends
    let message = signed(person, &unix, &options(SignForm::Detached));
    assert_eq!(
        check_detached(&message, &unix).unwrap().signers[0].state,
        SignatureState::Valid
    );
    // as it is, where it is to be so
    let exact = SignOptions {
        canonicalize: false,
        format: Form::Der,
        ..options(SignForm::Opaque)
    };
    let message = signed(person, &unix, &exact);
    assert_eq!(released(&message, None).unwrap(), unix);
    assert_eq!(
        check(&message).unwrap().signers[0].state,
        SignatureState::Valid
    );
}

#[test]
fn a_mail_store_that_dropped_the_carriage_returns_did_no_harm() {
    let person = Person::shared(Kind::Rsa);
    let message = signed(person, MAIL, &options(SignForm::Clear));
    let unix: Vec<u8> = message.iter().copied().filter(|b| *b != b'\r').collect();
    let outcome = check(&unix).unwrap();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    // what is released lies in the message as it is
    assert!(!released(&unix, None).unwrap().contains(&b'\r'));
}
