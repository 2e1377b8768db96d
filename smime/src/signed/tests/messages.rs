//! What a message as a whole must keep to, and what signing refuses.

use std::path::Path;

use super::crafted::{BODY, Crafted, NULL, oid};
use super::*;
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::content::ID_DATA;
use crate::error::Error;
use crate::key::{KeyError, Signer};
use crate::mime::Form;
use crate::signed::SignatureState;
use crate::signed::testkit::openssl;

#[test]
fn a_detached_signature_wants_its_content() {
    let person = Person::shared(Kind::P256);
    let message = signed(person, BODY, &options(SignForm::Detached));
    assert!(matches!(check(&message), Err(Error::ContentMissing)));
    assert!(matches!(
        released(&message, None),
        Err(Error::ContentMissing)
    ));
    assert_eq!(
        check_detached(&message, BODY).unwrap().signers[0].state,
        SignatureState::Valid
    );
}

#[test]
fn a_second_content_beside_the_message_s_own_must_be_the_same() {
    let person = Person::shared(Kind::P256);
    for form in [SignForm::Clear, SignForm::Opaque] {
        let message = signed(person, BODY, &options(form));
        assert_eq!(
            check_detached(&message, BODY).unwrap().signers[0].state,
            SignatureState::Valid
        );
        match &check_detached(&message, b"another").unwrap().signers[0].state {
            SignatureState::Invalid(why) => assert!(why.contains("given along")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_not_signed_says_so() {
    let envelope = |inside: &[u8]| {
        constructed(
            id::SEQUENCE,
            &[
                &tlv(id::OID, crate::content::ID_ENVELOPED_DATA.as_bytes()),
                &tlv(0xa0, &tlv(id::SEQUENCE, inside)),
            ],
        )
    };
    let rsa = encode(&oid("1.2.840.113549.1.1.1"), NULL);
    let recipient = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::INTEGER, &[2]),
            &tlv(id::context(0), b"whose"),
            &rsa,
            &tlv(id::OCTET_STRING, &[1; 256]),
        ],
    );
    let aes = encode(
        &oid("2.16.840.1.101.3.4.1.42"),
        &tlv(id::OCTET_STRING, &[2; 16]),
    );
    let content = constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OID, ID_DATA.as_bytes()),
            &aes,
            &tlv(id::context(0), &[3; 16]),
        ],
    );
    let version = tlv(id::INTEGER, &[2]);
    let encrypted = envelope(&[version, tlv(id::SET, &recipient), content].concat());
    let plain = b"From: a@example.org\r\nContent-Type: text/plain\r\n\r\nhello\r\n";
    for message in [&encrypted[..], plain] {
        assert!(matches!(check(message), Err(Error::NotSigned)));
        assert!(matches!(released(message, None), Err(Error::NotSigned)));
    }
    // encrypted, it says, and is not
    let damaged = envelope(&[]);
    assert!(matches!(check(&damaged), Err(Error::Malformed(_))));
}

#[test]
fn a_from_field_that_shows_another_address_is_a_contradiction() {
    let message = signed(Person::shared(Kind::P256), BODY, &options(SignForm::Clear));
    for (from, fine) in [
        ("Alice <alice@example.org>", true),
        ("\"alice@example.org\" <alice@example.org>", true),
        ("bob@example.org <alice@example.org>", false),
        ("=?utf-8?q?bob=40example.org?= <alice@example.org>", false),
        ("bob@example.org, alice@example.org", false),
        ("bob@example.org\r\nFrom: alice@example.org", false),
    ] {
        let message = [format!("From: {from}\r\n").as_bytes(), &message].concat();
        let outcome = check(&message).unwrap();
        assert_eq!(outcome.contradictions.is_empty(), fine, "{from}");
    }
}

#[test]
fn text_stored_with_lf_alone_was_sent_with_crlf() {
    let person = Person::shared(Kind::P256);
    let unix: Vec<u8> = BODY.iter().copied().filter(|b| *b != b'\r').collect();
    let exact = SignOptions {
        canonicalize: false,
        ..options(SignForm::Clear)
    };
    // as it is, in a message with CRLF
    let message = signed(person, &unix, &exact);
    assert_eq!(
        check(&message).unwrap().signers[0].state,
        SignatureState::Valid
    );
    // on its way the same message has got CRLF everywhere, which is what others hash
    let stored: Vec<u8> = message.iter().copied().filter(|b| *b != b'\r').collect();
    assert!(matches!(
        check(&stored).unwrap().signers[0].state,
        SignatureState::Invalid(_)
    ));
}

#[test]
fn certificates_alone_are_no_signature() {
    let folder = tempfile::tempdir().unwrap();
    let person = Person::shared(Kind::Rsa);
    person.write(folder.path());
    let message = openssl(
        folder.path(),
        &[
            "crl2pkcs7",
            "-nocrl",
            "-certfile",
            "cert.pem",
            "-outform",
            "DER",
        ],
        &[],
    );
    let outcome = check(&message).unwrap();
    assert!(outcome.signers.is_empty());
    assert_eq!(outcome.layers[0].kind, "certs-only");
    assert_eq!(
        outcome.certificates,
        std::slice::from_ref(&person.certificate)
    );
    assert_eq!(
        crate::verdict::judge(&outcome, &[]).0,
        crate::verdict::Verdict::NotSigned
    );
    assert_eq!(released(&message, None).unwrap(), b"");
    // content without a signer is not certs-only, and not signed either
    let nobody = Crafted {
        copies: 0,
        ..Crafted::honest()
    }
    .outcome();
    assert_eq!(nobody.layers[0].kind, "signed");
    assert_eq!(
        crate::verdict::judge(&nobody, &[]).0,
        crate::verdict::Verdict::NotSigned
    );
}

/// A clear-signed message around this signature.
fn multipart(fields: &str, micalg: &str, content: &[u8], der: &[u8]) -> Vec<u8> {
    let base64 = openssl(Path::new("."), &["base64"], der);
    [
        format!(
            "{fields}MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\
             {micalg} boundary=b\r\n\r\nThis is signed\r\n--b\r\n"
        )
        .as_bytes(),
        content,
        b"\r\n--b\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        &base64,
        b"\r\n--b--\r\n",
    ]
    .concat()
}

#[test]
fn a_micalg_that_lies_or_lacks_only_costs_a_pass() {
    let person = Person::shared(Kind::P256);
    let options = SignOptions {
        digest: DigestAlgorithm::Sha512,
        format: Form::Der,
        ..options(SignForm::Detached)
    };
    let der = signed(person, BODY, &options);
    for micalg in [
        " micalg=sha-512;",
        " micalg=sha-256;",
        " micalg=sha1;",
        " micalg=md5;",
        " micalg=\"sha1, sha-384\";",
        "",
    ] {
        let message = multipart("", micalg, BODY, &der);
        assert_eq!(
            check(&message).unwrap().signers[0].state,
            SignatureState::Valid,
            "{micalg}"
        );
        let changed = multipart(
            "",
            micalg,
            b"Content-Type: text/plain\r\n\r\nhallo\r\n",
            &der,
        );
        assert!(
            matches!(
                check(&changed).unwrap().signers[0].state,
                SignatureState::Invalid(_)
            ),
            "{micalg}"
        );
    }
}

#[test]
fn content_inside_the_signature_part_of_a_clear_message_is_a_contradiction() {
    let message = multipart("", "", BODY, &Crafted::honest().build());
    let outcome = check(&message).unwrap();
    assert_eq!(outcome.contradictions.len(), 1);
    // what is judged and released is what is shown
    let message = multipart(
        "",
        "",
        b"Content-Type: text/plain\r\n\r\nforged\r\n",
        &Crafted::honest().build(),
    );
    let outcome = check(&message).unwrap();
    assert!(matches!(
        outcome.signers[0].state,
        SignatureState::Invalid(_)
    ));
    assert!(released(&message, None).unwrap().ends_with(b"forged\r\n"));
}

#[test]
fn several_senders_and_one_signature_contradict() {
    let der = Crafted {
        content: None,
        ..Crafted::honest()
    }
    .build();
    let of = |fields: &str| check(&multipart(fields, "", BODY, &der)).unwrap();
    let one = of("From: Alice <alice@example.org>\r\nSender: Bob <bob@example.org>\r\n");
    assert_eq!(one.from, ["alice@example.org"]);
    assert!(one.contradictions.is_empty());
    assert_eq!(one.headers.get("from"), Some("Alice <alice@example.org>"));
    let two_fields = of("From: alice@example.org\r\nFrom: mallory@example.org\r\n");
    assert!(two_fields.contradictions[0].contains("several From fields"));
    let two_addresses = of("From: alice@example.org, mallory@example.org\r\n");
    assert!(two_addresses.contradictions[0].contains("2 addresses"));
}

#[test]
fn crls_and_foreign_certificates_are_handed_on_or_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let person = Person::shared(Kind::Rsa);
    person.write(folder.path());
    std::fs::write(folder.path().join("index"), "").unwrap();
    std::fs::write(
        folder.path().join("ca.cnf"),
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index\ndefault_md=sha256\n",
    )
    .unwrap();
    let args = [
        "ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "key.pem", "-cert", "cert.pem",
        "-crldays", "3",
    ];
    let pem = openssl(folder.path(), &args, &[]);
    let crl = openssl(folder.path(), &["crl", "-outform", "DER"], &pem);
    let mut crafted = Crafted::honest();
    let own = crafted.certificates.remove(0);
    // a PKCS#6 certificate ([0]), an attribute certificate ([2]), one that is no certificate, then the signer's
    crafted.certificates = vec![vec![0xa0, 0], vec![0xa2, 0], vec![0x30, 3, 2, 1, 0], own];
    // an OCSP response ([1]), then the CRL
    crafted.crls = vec![vec![0xa1, 0], crl.clone()];
    let outcome = crafted.outcome();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    assert_eq!(outcome.certificates, [crafted.signer.certificate.clone()]);
    assert_eq!(outcome.crls, [crl]);
}

#[test]
fn ber_of_every_shape_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let person = Person::shared(Kind::P256);
    person.write(folder.path());
    let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let args = [
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-stream",
        "-signer",
        "cert.pem",
        "-inkey",
        "key.pem",
        "-outform",
        "DER",
    ];
    let message = openssl(folder.path(), &args, &content);
    assert_eq!(message[1], 0x80, "an indefinite length");
    assert_eq!(
        check(&message).unwrap().signers[0].state,
        SignatureState::Valid
    );
    assert!(released(&message, None).unwrap() == content);
    // cut anywhere, it is malformed
    for cut in [
        0,
        1,
        40,
        1000,
        300_000,
        message.len() - 2000,
        message.len() - 1,
    ] {
        assert!(check(&message[..cut]).is_err(), "{cut}");
    }
    // and nothing may stand behind it
    assert!(matches!(
        check(&[&message[..], b"x"].concat()),
        Err(Error::Malformed(_))
    ));
}

struct Wrong(&'static Person);

impl Signer for Wrong {
    fn sign_digest(
        &self,
        scheme: SignatureScheme,
        digest: &[u8],
    ) -> std::result::Result<Vec<u8>, KeyError> {
        let mut digest = digest.to_vec();
        digest[0] ^= 1;
        self.0.sign_digest(scheme, &digest)
    }
}

#[test]
fn a_signature_that_does_not_verify_never_leaves() {
    for kind in [Kind::Rsa, Kind::P256, Kind::P384, Kind::P521] {
        let person = Person::shared(kind);
        for form in [SignForm::Clear, SignForm::Opaque, SignForm::Detached] {
            let mut out = Vec::new();
            match sign(
                &mut &BODY[..],
                &mut out,
                &person.certificate,
                &Wrong(person),
                &options(form),
            ) {
                Err(Error::Key(error)) => assert_eq!(error.name, "TokenError"),
                other => panic!("{other:?}"),
            }
            assert!(memchr::memmem::find(&out, b"pkcs7-signature;").is_none());
            assert!(form == SignForm::Clear || out.is_empty());
        }
    }
}

#[test]
fn errors_of_the_key_come_through_as_they_are() {
    struct Removed;
    impl Signer for Removed {
        fn sign_digest(
            &self,
            _: SignatureScheme,
            _: &[u8],
        ) -> std::result::Result<Vec<u8>, KeyError> {
            Err(KeyError::new("TokenRemoved", "the card was pulled"))
        }
    }
    let certificate = &Person::shared(Kind::P256).certificate;
    let result = sign(
        &mut &BODY[..],
        &mut Vec::new(),
        certificate,
        &Removed,
        &options(SignForm::Clear),
    );
    assert!(matches!(
        result,
        Err(Error::Key(KeyError {
            name: "TokenRemoved",
            ..
        }))
    ));
}

#[test]
fn weak_keys_and_digests_make_no_new_signatures() {
    let refuse = |person: &Person, options: &SignOptions| {
        let mut out = Vec::new();
        let result = sign(
            &mut &BODY[..],
            &mut out,
            &person.certificate,
            person,
            options,
        );
        assert!(out.is_empty());
        result.unwrap_err()
    };
    let sha1 = SignOptions {
        digest: DigestAlgorithm::Sha1,
        ..options(SignForm::Clear)
    };
    assert!(matches!(
        refuse(Person::shared(Kind::P256), &sha1),
        Error::WeakAlgorithm(_)
    ));
    assert!(matches!(
        refuse(Person::shared(Kind::Rsa1024), &options(SignForm::Clear)),
        Error::WeakAlgorithm(_)
    ));
    for format in [Form::Der, Form::Pem] {
        let clear = SignOptions {
            format,
            ..options(SignForm::Clear)
        };
        let Error::InvalidOption(words) = refuse(Person::shared(Kind::P256), &clear) else {
            panic!()
        };
        assert!(words.contains("opaque or detached"));
    }
}

#[test]
fn weak_signatures_of_others_are_read_and_flagged() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, md, weak) in [
        (Kind::Rsa1024, "sha256", true),
        (Kind::Rsa, "sha1", true),
        (Kind::Rsa, "sha256", false),
        (Kind::P256, "sha1", true),
    ] {
        let person = Person::shared(kind);
        person.write(folder.path());
        let args = [
            "cms", "-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-md", md,
        ];
        let outcome = check(&openssl(folder.path(), &args, BODY)).unwrap();
        assert_eq!(
            outcome.signers[0].state,
            SignatureState::Valid,
            "{kind:?} {md}"
        );
        assert_eq!(outcome.signers[0].weak, weak, "{kind:?} {md}");
    }
}

#[test]
fn a_signature_by_an_rsa_key_below_1024_bits_is_invalid() {
    for bits in [512, 768, 1016] {
        let (message, _) = by_rsa(&["-newkey", &format!("rsa:{bits}")]);
        let outcome = check(&message).unwrap();
        assert_eq!(
            outcome.signers[0].state,
            SignatureState::Invalid(format!(
                "a signature by an RSA key of {bits} bits proves nothing"
            ))
        );
    }
}

#[test]
fn an_rsa_key_that_nothing_here_computes_with_is_not_called_a_bad_signature() {
    // 2^33 + 17
    let big = [
        "-newkey",
        "rsa:2048",
        "-pkeyopt",
        "rsa_keygen_pubexp:8589934609",
    ];
    let (message, person) = by_rsa(&big);
    let outcome = check(&message).unwrap();
    let SignatureState::Unsupported(why) = &outcome.signers[0].state else {
        panic!("{:?}", outcome.signers[0].state)
    };
    assert!(why.contains("public exponent"), "{why}");
    assert_eq!(
        outcome.signers[0].certificate.as_ref(),
        Some(&person.certificate)
    );
    assert_eq!(
        crate::verdict::judge(&outcome, &[]).0,
        crate::verdict::Verdict::Unknown
    );
}

/// What openssl signs with a new key.
fn by_rsa(newkey: &[&str]) -> (Vec<u8>, Person) {
    let person = Person::new(Kind::Rsa, newkey);
    let folder = tempfile::tempdir().unwrap();
    person.write(folder.path());
    let args = [
        "cms", "-sign", "-signer", "cert.pem", "-inkey", "key.pem", "-md", "sha256",
    ];
    (openssl(folder.path(), &args, BODY), person)
}

#[test]
fn the_chain_travels_along_once() {
    let (person, other) = (Person::shared(Kind::P256), Person::shared(Kind::Rsa));
    let chain = vec![
        other.certificate.clone(),
        person.certificate.clone(),
        other.certificate.clone(),
    ];
    let options = SignOptions {
        chain,
        ..options(SignForm::Opaque)
    };
    let outcome = check(&signed(person, BODY, &options)).unwrap();
    assert_eq!(outcome.certificates.len(), 2);
    assert!(outcome.certificates.contains(&other.certificate));
    assert_eq!(
        outcome.signers[0].certificate.as_ref(),
        Some(&person.certificate)
    );
}

#[test]
fn certificates_are_sent_and_no_attribute_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let options = SignOptions {
        chain: vec![Person::shared(Kind::Rsa).certificate.clone()],
        format: Form::Der,
        ..options(SignForm::Opaque)
    };
    let message = signed(Person::shared(Kind::P256), BODY, &options);
    let args = ["cms", "-cmsout", "-print", "-noout", "-inform", "DER"];
    let shown = String::from_utf8(openssl(folder.path(), &args, &message)).unwrap();
    assert_eq!(shown.matches("d.certificate:").count(), 2, "{shown}");
    assert!(!shown.contains("AttrCert"), "{shown}");
}

#[test]
fn streams_of_any_length_and_any_pieces_give_the_same_content() {
    /// Hands out odd pieces.
    struct Pieces<'a>(&'a [u8], usize);
    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1 % 7919 + 13;
            let count = self.1.min(buffer.len()).min(self.0.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }
    let person = Person::shared(Kind::P256);
    let content: Vec<u8> = (0..262_145u32 * 3).map(|n| (n % 251) as u8).collect();
    for len in [
        0,
        1,
        65_536,
        262_143,
        262_144,
        262_145,
        262_144 + 65_536,
        content.len(),
    ] {
        for form in [SignForm::Opaque, SignForm::Clear, SignForm::Detached] {
            let content = &content[..len];
            let options = SignOptions {
                canonicalize: false,
                ..options(form)
            };
            let mut message = Vec::new();
            let result = sign(
                &mut Pieces(content, 0),
                &mut message,
                &person.certificate,
                person,
                &options,
            )
            .unwrap();
            assert_eq!(result.content_len, len as u64);
            let detached = (form == SignForm::Detached).then_some(content);
            let outcome = match detached {
                Some(content) => check_detached(&message, content).unwrap(),
                None => check(&message).unwrap(),
            };
            assert_eq!(
                outcome.signers[0].state,
                SignatureState::Valid,
                "{form:?} {len}"
            );
            assert_eq!(outcome.content_len, len as u64);
            assert!(
                released(&message, detached).unwrap() == content,
                "{form:?} {len}"
            );
        }
    }
}
