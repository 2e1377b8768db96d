//! What a profile lets be written, and what it lets be read.

use super::support::{open, pki, seal, try_seal};
use crate::algorithm::{Cipher, DigestAlgorithm};
use crate::enveloped::{EncryptOptions, decrypt_with};
use crate::error::Error;
use crate::io::MemoryInput;
use crate::key::KeyOpener;
use crate::mime::Form;
use crate::profile::{Profile, Profiles};

fn read(message: &[u8], opener: &dyn KeyOpener, profile: &Profile) -> Result<bool, Error> {
    let mut out = Vec::new();
    let message = &mut MemoryInput::new(message.to_vec());
    decrypt_with(message, opener, profile, &mut out).map(|opened| opened.weak)
}

#[test]
fn a_profile_decides_what_is_encrypted_and_to_whom() {
    let pki = pki();
    let profiles = Profiles::built_in();
    let options = |profile: &str, cipher, oaep| EncryptOptions {
        cipher,
        oaep,
        format: Form::Der,
        profile: profiles.get(profile).unwrap().clone(),
    };
    let seal =
        |to: &str, options: &EncryptOptions| try_seal(b"text", &[pki.certificate(to)], options);
    let edi = options("edi-energy", Cipher::Aes128Gcm, true);
    let message = seal("rsa", &edi).unwrap();
    let (plain, outcome) = open(&message, &pki.opener(&["rsa"])).ok().unwrap();
    assert_eq!(
        (plain.as_slice(), outcome.key_management),
        (&b"text"[..], "rsa-oaep")
    );
    for (to, options, word) in [
        (
            "rsa",
            options("edi-energy", Cipher::Aes128Cbc, true),
            "aes128-cbc",
        ),
        (
            "rsa",
            options("edi-energy", Cipher::Aes128Gcm, false),
            "CN=rsa",
        ),
        ("p256", edi, "rsa-oaep"),
        ("rsa", options("bsi", Cipher::Aes256Gcm, true), "rsa:3000"),
        (
            "p256",
            options("bsi", Cipher::ChaCha20Poly1305, true),
            "chacha20",
        ),
    ] {
        match seal(to, &options) {
            Err(Error::Refused(why)) if why.contains(word) => {}
            other => panic!("{to} {word}: {other:?}"),
        }
    }
    seal("p256", &options("bsi", Cipher::Aes256Gcm, false)).unwrap();
}

#[test]
fn oaep_is_written_with_the_profile_s_hash() {
    let pki = pki();
    for digest in [
        DigestAlgorithm::Sha1,
        DigestAlgorithm::Sha256,
        DigestAlgorithm::Sha384,
        DigestAlgorithm::Sha512,
    ] {
        let text = format!(
            "name = \"mine\"\nextends = \"rfc8551\"\n[write]\noaep-digests = [\"{digest}\"]\n"
        );
        let options = EncryptOptions {
            oaep: true,
            format: Form::Der,
            profile: Profiles::built_in().add(&text).unwrap(),
            ..EncryptOptions::default()
        };
        let message = try_seal(b"text", &[pki.certificate("rsa")], &options).unwrap();
        let folder = pki.folder.path();
        let args = [
            "cms", "-decrypt", "-inform", "DER", "-inkey", "rsa.key", "-recip", "rsa.pem",
        ];
        let plain = super::support::openssl_with(folder, &args, &message);
        assert_eq!(plain, b"text", "{digest}");
    }
}

#[test]
fn what_a_profile_does_not_read_is_refused_before_a_key_is_used() {
    let pki = pki();
    let profiles = Profiles::built_in();
    let opener = pki.opener(&["rsa", "rsa-weak"]);
    let tdes = super::support::openssl_with(
        pki.folder.path(),
        &["cms", "-encrypt", "-des3", "-outform", "DER", "rsa.pem"],
        b"text",
    );
    let get = |name: &str| profiles.get(name).unwrap().clone();
    assert!(read(&tdes, &opener, &get("legacy-read")).unwrap());
    let refused = read(&tdes, &opener, &get("rfc8551"));
    assert!(
        matches!(&refused, Err(Error::WeakAlgorithm(why)) if why.contains("des-ede3-cbc")),
        "{refused:?}"
    );
    let pkcs1 = seal(
        b"text",
        &[pki.certificate("rsa")],
        Cipher::Aes256Gcm,
        false,
        Form::Der,
    );
    assert!(!read(&pkcs1, &opener, &get("rfc8551")).unwrap());
    let refused = read(&pkcs1, &opener, &get("edi-energy"));
    assert!(
        matches!(&refused, Err(Error::Refused(why)) if why.contains("rsa-oaep")),
        "{refused:?}"
    );
    // RSA of 1024 bits: weak here, not read there
    let short = super::support::openssl_with(
        pki.folder.path(),
        &[
            "cms",
            "-encrypt",
            "-aes-128-cbc",
            "-outform",
            "DER",
            "rsa-weak.pem",
        ],
        b"text",
    );
    assert!(read(&short, &opener, &get("rfc8551")).unwrap());
    assert!(matches!(
        read(&short, &opener, &get("br-strict")),
        Err(Error::WeakAlgorithm(_))
    ));
}
