//! The encryptor as a sink, and whom it refuses.

use std::io::{self, Write};

use zeroize::Zeroizing;

use super::support::{Pki, content, gcm_parts, open, openssl_with, pki, seal};
use crate::algorithm::Cipher;
use crate::cert::Certificate;
use crate::enveloped::{EncryptOptions, Encryptor, decrypt};
use crate::error::Error;
use crate::io::MemoryInput;
use crate::key::{KeyError, KeyOpener, RecipientId, RsaPadding};
use crate::mime::Form;

const HELD: usize = 256 << 10;

#[test]
fn every_length_in_every_piece_size_comes_back() {
    let pki = pki();
    let to = [pki.certificate("p256")];
    let opener = pki.opener(&["p256"]);
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Cbc] {
        let options = EncryptOptions {
            cipher,
            format: Form::Der,
            ..EncryptOptions::default()
        };
        for len in [
            0,
            1,
            15,
            16,
            17,
            HELD - 1,
            HELD,
            HELD + 1,
            HELD + (64 << 10),
            3_000_017,
        ] {
            for piece in [997, 64 << 10, 70_000, 4 << 20] {
                let plain = content(len);
                let mut message = Vec::new();
                let mut encryptor = Encryptor::new(&mut message, &to, &options).unwrap();
                for part in plain.chunks(piece) {
                    encryptor.write_all(part).unwrap();
                }
                let result = encryptor.finish().unwrap();
                assert_eq!((result.cipher, result.recipients), (cipher, 1));
                // definite lengths where the content was held
                assert_eq!(message[1] == 0x80, len > HELD, "{len}");
                let (opened, _) = open(&message, &opener)
                    .unwrap_or_else(|(e, _)| panic!("{len} by {piece}: {e}"));
                assert!(opened == plain, "{} {len} by {piece}", cipher.name());
            }
        }
    }
}

#[test]
fn keys_and_nonces_are_never_used_twice() {
    let pki = pki();
    let to = [pki.certificate("rsa")];
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes128Cbc] {
        let one = seal(b"the same", &to, cipher, false, Form::Der);
        let two = seal(b"the same", &to, cipher, false, Form::Der);
        assert_eq!(one.len(), two.len());
        let tail = one.len() - 50;
        assert_ne!(one[tail..], two[tail..]);
    }
}

#[test]
fn certificates_that_cannot_be_encrypted_to_are_named() {
    let pki = pki();
    let options = EncryptOptions::default();
    let refused = |name: &str| {
        Encryptor::new(
            Vec::new(),
            &[pki.certificate("rsa"), pki.certificate(name)],
            &options,
        )
        .err()
        .unwrap()
    };
    assert!(
        matches!(refused("rsa-signing"), Error::Certificate(why) if why.contains("CN=rsa-signing"))
    );
    assert!(
        matches!(refused("rsa-weak"), Error::WeakAlgorithm(why) if why.contains("CN=rsa-weak"))
    );
    assert!(matches!(refused("ed25519"), Error::Certificate(why) if why.contains("CN=ed25519")));
}

#[test]
fn weak_keys_still_open_old_mail() {
    let pki = pki();
    let folder = pki.folder.path();
    let args = [
        "cms",
        "-encrypt",
        "-binary",
        "-outform",
        "DER",
        "-aes-128-cbc",
        "-recip",
        "rsa-weak.pem",
    ];
    let message = openssl_with(folder, &args, b"old");
    let opener = WeakKey(pki.certificate("rsa-weak"), folder.join("rsa-weak.key"));
    let (plain, outcome) = open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    assert!(plain == b"old" && outcome.weak);
}

#[test]
fn rsa_keys_up_to_4096_bits_open() {
    let pki = Pki::of(&[
        ("rsa-3072", "rsa:3072", "keyEncipherment"),
        ("rsa-4096", "rsa:4096", "keyEncipherment"),
    ]);
    for name in ["rsa-3072", "rsa-4096"] {
        let opener = pki.opener(&[name]);
        let file = format!("{name}.pem");
        for oaep in [false, true] {
            let mut args = vec![
                "cms",
                "-encrypt",
                "-binary",
                "-outform",
                "DER",
                "-aes-128-cbc",
                "-recip",
                &file,
            ];
            if oaep {
                args.extend(["-keyopt", "rsa_padding_mode:oaep"]);
            }
            let theirs = openssl_with(pki.folder.path(), &args, b"text");
            let to = [pki.certificate(name)];
            let ours = seal(b"text", &to, Cipher::Aes256Gcm, oaep, Form::Der);
            for message in [theirs, ours] {
                let (plain, outcome) =
                    open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{name} {oaep}: {e}"));
                assert!(plain == b"text" && !outcome.weak, "{name} {oaep}");
            }
        }
    }
}

/// 1024 bits, which the software opener's library refuses.
struct WeakKey(Certificate, std::path::PathBuf);

impl KeyOpener for WeakKey {
    fn find(&self, id: &RecipientId) -> Vec<Certificate> {
        if id.matches(&self.0) {
            vec![self.0.clone()]
        } else {
            Vec::new()
        }
    }

    fn rsa_unwrap(
        &self,
        _: &Certificate,
        _: &RsaPadding,
        key: &[u8],
        _: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let folder = self.1.parent().unwrap();
        let args = ["pkeyutl", "-decrypt", "-inkey", self.1.to_str().unwrap()];
        Ok(Zeroizing::new(openssl_with(folder, &args, key)))
    }

    fn ecdh(&self, _: &Certificate, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        panic!("no key agreement here");
    }
}

/// A disk that is full.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_named_both_ways() {
    let pki = pki();
    let (parts, opener) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let result = decrypt(&mut MemoryInput::new(parts.message()), &opener, &mut Full);
    assert!(matches!(result, Err(Error::NoSpace)));
    let options = EncryptOptions {
        format: Form::Der,
        ..EncryptOptions::default()
    };
    let mut encryptor = Encryptor::new(Full, &[pki.certificate("p256")], &options).unwrap();
    let result = encryptor.write_all(&content(500_000)).map_err(Error::from);
    assert!(matches!(result, Err(Error::NoSpace)));
}
