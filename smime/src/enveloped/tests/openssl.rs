//! `openssl cms` as the other side, both ways.

use std::path::Path;

use super::support::{Pki, content, open, openssl, openssl_with, pki, seal};
use crate::algorithm::Cipher;
use crate::error::Error;
use crate::mime::Form;

const CIPHERS: [Cipher; 6] = [
    Cipher::Aes128Cbc,
    Cipher::Aes192Cbc,
    Cipher::Aes256Cbc,
    Cipher::Aes128Gcm,
    Cipher::Aes192Gcm,
    Cipher::Aes256Gcm,
];
const FORMS: [Form; 3] = [Form::Smime, Form::Der, Form::Pem];

/// `-aes-256-gcm` for `aes256-gcm`
fn option(cipher: Cipher) -> String {
    format!("-{}", cipher.name().replacen("aes", "aes-", 1))
}

fn openssl_form(form: Form) -> &'static str {
    match form {
        Form::Smime => "SMIME",
        Form::Der => "DER",
        Form::Pem => "PEM",
    }
}

fn openssl_encrypts(
    pki: &Pki,
    to: &str,
    how: &[&str],
    cipher: Cipher,
    form: Form,
    stream: bool,
    plain: &[u8],
) -> Vec<u8> {
    let (cipher, recipient) = (option(cipher), format!("{to}.pem"));
    let mut args = vec![
        "cms",
        "-encrypt",
        "-binary",
        &cipher,
        "-outform",
        openssl_form(form),
        "-recip",
        &recipient,
    ];
    args.extend(how);
    args.push(if stream { "-stream" } else { "-noindef" });
    openssl_with(pki.folder.path(), &args, plain)
}

/// Whether openssl opens a message with the key of this name.
fn openssl_decrypts(folder: &Path, name: &str, form: Form, message: &[u8]) -> Vec<u8> {
    let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
    let args = [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        openssl_form(form),
        "-recip",
        &certificate,
        "-inkey",
        &key,
    ];
    openssl_with(folder, &args, message)
}

#[test]
fn what_openssl_encrypts_is_opened() {
    const OAEP: [&str; 2] = ["-keyopt", "rsa_padding_mode:oaep"];
    const OAEP_SHA256: [&str; 4] = [
        "-keyopt",
        "rsa_padding_mode:oaep",
        "-keyopt",
        "rsa_oaep_md:sha256",
    ];
    const MIXED: [&str; 6] = [
        "-keyopt",
        "rsa_padding_mode:oaep",
        "-keyopt",
        "rsa_oaep_md:sha512",
        "-keyopt",
        "rsa_mgf1_md:sha1",
    ];
    let methods: [(&str, &[&str], &str); 6] = [
        ("rsa", &[], "rsa-pkcs1"),
        ("rsa", &OAEP, "rsa-oaep"),
        ("rsa", &OAEP_SHA256, "rsa-oaep"),
        ("p256", &[], "ecdh"),
        ("rsa", &["-keyid"], "rsa-pkcs1"),
        ("p256", &["-keyid"], "ecdh"),
    ];
    let pki = pki();
    let opener = pki.opener(&["rsa", "rsa-other", "p256", "p384", "p521"]);
    let plain = content(30_001);
    let mut cells = 0;
    let mut check =
        |name: &str, how: &[&str], management: &str, cipher: Cipher, form: Form, stream: bool| {
            let message = openssl_encrypts(&pki, name, how, cipher, form, stream, &plain);
            let cell = format!(
                "{name} {how:?} {} {} stream {stream}",
                cipher.name(),
                form.name()
            );
            let (opened, outcome) =
                open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{cell}: {e}"));
            assert!(opened == plain, "{cell}");
            assert_eq!(outcome.key_management, management, "{cell}");
            assert_eq!(outcome.cipher, cipher.name(), "{cell}");
            assert_eq!(outcome.authenticated, cipher.is_authenticated(), "{cell}");
            assert_eq!(outcome.certificate, pki.certificate(name), "{cell}");
            assert_eq!((outcome.recipients, outcome.weak), (1, false), "{cell}");
            cells += 1;
        };
    for (name, how, management) in methods {
        for cipher in CIPHERS {
            for form in FORMS {
                for stream in [false, true] {
                    check(name, how, management, cipher, form, stream);
                }
            }
        }
    }
    for cipher in [Cipher::Aes128Cbc, Cipher::Aes256Gcm] {
        check("rsa", &MIXED, "rsa-oaep", cipher, Form::Der, true);
        for name in ["p384", "p521"] {
            check(name, &[], "ecdh", cipher, Form::Der, true);
        }
        for kdf in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
            let kdf = format!("ecdh_kdf_md:{kdf}");
            check("p256", &["-keyopt", &kdf], "ecdh", cipher, Form::Der, false);
            check(
                "p384",
                &["-keyopt", &kdf, "-keyopt", "ecdh_cofactor_mode:1"],
                "ecdh",
                cipher,
                Form::Der,
                false,
            );
        }
        for wrap in ["-aes128-wrap", "-aes192-wrap", "-aes256-wrap"] {
            check("p256", &[wrap], "ecdh", cipher, Form::Der, false);
        }
    }
    println!("openssl encrypts, we decrypt: {cells} cells");
    assert_eq!(cells, 6 * 6 * 3 * 2 + 2 * (1 + 2 + 10 + 3));
}

#[test]
fn what_we_encrypt_openssl_opens_and_so_do_we() {
    let pki = pki();
    let opener = pki.opener(&["rsa", "p256", "p384", "p521"]);
    // short: definite lengths; long: streamed
    let plains = [content(0), content(10_000), content(400_000)];
    let methods = [
        ("rsa", false),
        ("rsa", true),
        ("p256", false),
        ("p384", false),
        ("p521", false),
    ];
    let mut cells = 0;
    for (name, oaep) in methods {
        for cipher in CIPHERS {
            for form in FORMS {
                for plain in &plains {
                    let message = seal(plain, &[pki.certificate(name)], cipher, oaep, form);
                    let cell = format!(
                        "{name} oaep {oaep} {} {} {} bytes",
                        cipher.name(),
                        form.name(),
                        plain.len()
                    );
                    let theirs = openssl_decrypts(pki.folder.path(), name, form, &message);
                    assert!(theirs == *plain, "{cell}: openssl");
                    let (ours, outcome) =
                        open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{cell}: {e}"));
                    assert!(ours == *plain, "{cell}");
                    assert_eq!(outcome.certificate, pki.certificate(name), "{cell}");
                    cells += 1;
                }
            }
        }
    }
    println!("we encrypt, openssl and we decrypt: {cells} cells");
    assert_eq!(cells, 5 * 6 * 3 * 3);
}

#[test]
fn a_message_for_many_is_opened_by_each_and_by_nobody_else() {
    let pki = pki();
    let names = ["rsa", "p256", "p521", "rsa-other", "p384"];
    let to: Vec<_> = names.iter().map(|name| pki.certificate(name)).collect();
    let plain = content(5000);
    let ours = seal(&plain, &to, Cipher::Aes192Cbc, true, Form::Smime);
    let mut args = vec![
        "cms",
        "-encrypt",
        "-binary",
        "-aes-256-gcm",
        "-outform",
        "SMIME",
    ];
    args.extend([
        "rsa.pem",
        "p256.pem",
        "p521.pem",
        "rsa-other.pem",
        "p384.pem",
    ]);
    let theirs = openssl_with(pki.folder.path(), &args, &plain);
    for message in [&ours, &theirs] {
        for name in names {
            let (opened, outcome) =
                open(message, &pki.opener(&[name])).unwrap_or_else(|(e, _)| panic!("{name}: {e}"));
            assert!(opened == plain, "{name}");
            assert_eq!(outcome.recipients, 5);
        }
        let (error, written) = open(message, &pki.opener(&["p256-other"])).unwrap_err();
        assert!(
            matches!(error, Error::NoRecipientMatch) && written.is_empty(),
            "{error}"
        );
    }
    for name in names {
        assert!(
            openssl_decrypts(pki.folder.path(), name, Form::Smime, &ours) == plain,
            "{name}"
        );
    }
}

#[test]
fn other_kinds_of_message_are_named() {
    let pki = pki();
    let opener = pki.opener(&["rsa"]);
    let folder = pki.folder.path();
    let make = |args: &[&str]| openssl_with(folder, args, b"text\r\n");
    let signed = make(&[
        "cms",
        "-sign",
        "-nodetach",
        "-outform",
        "DER",
        "-signer",
        "rsa-signing.pem",
        "-inkey",
        "rsa-signing.key",
    ]);
    assert!(matches!(
        open(&signed, &opener).unwrap_err().0,
        Error::NotEncrypted
    ));
    let mail = b"From: a@example.org\r\nSubject: no\r\n\r\nplain\r\n";
    assert!(matches!(
        open(mail, &opener).unwrap_err().0,
        Error::NotEncrypted
    ));
    let password = make(&[
        "cms",
        "-encrypt",
        "-outform",
        "DER",
        "-aes-256-cbc",
        "-pwri_password",
        "secret",
    ]);
    assert!(matches!(
        open(&password, &opener).unwrap_err().0,
        Error::UnsupportedAlgorithm(what) if what.contains("encrypted with a password")
    ));
    let shared_key = [
        "-secretkey",
        "000102030405060708090a0b0c0d0e0f",
        "-secretkeyid",
        "0102",
    ];
    let shared = make(
        &[
            &["cms", "-encrypt", "-outform", "DER", "-aes-128-cbc"][..],
            &shared_key,
        ]
        .concat(),
    );
    assert!(matches!(
        open(&shared, &opener).unwrap_err().0,
        Error::UnsupportedAlgorithm(what) if what.contains("shared secret key")
    ));
    // both beside a certificate: opened by it, and counted
    let args = [
        &["cms", "-encrypt", "-outform", "DER", "-aes-256-cbc"][..],
        &shared_key,
        &["-pwri_password", "s", "rsa.pem"],
    ];
    let (_, outcome) = open(&make(&args.concat()), &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    assert_eq!(outcome.recipients, 3);
    let other = make(&[
        "cms",
        "-encrypt",
        "-outform",
        "DER",
        "-camellia128",
        "rsa.pem",
    ]);
    assert!(matches!(
        open(&other, &opener).unwrap_err().0,
        Error::UnsupportedAlgorithm(_)
    ));
    let compress = [
        "cms",
        "-EncryptedData_encrypt",
        "-outform",
        "DER",
        "-aes-128-cbc",
        "-secretkey",
        shared_key[1],
    ];
    assert!(matches!(
        open(&make(&compress), &opener).unwrap_err().0,
        Error::UnsupportedAlgorithm(_)
    ));
    assert!(!openssl(folder, &["version"]).is_empty());
}
