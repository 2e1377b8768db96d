//! Bouncy Castle as the witness for ChaCha20-Poly1305, which openssl 3.0 has not in CMS.

use std::io::Write;
use std::process::{Command, Stdio};

use super::hostile::content_type_attribute;
use super::support::{chacha_parts, content, openssl, pki, seal};
use crate::algorithm::Cipher;
use crate::content::ID_DATA;
use crate::enveloped::EncryptOptions;
use crate::enveloped::address::recipient_info;
use crate::mime::Form;

/// Debian's libbcpkix-java.
const CLASSES: &str =
    "/usr/share/java/bcprov.jar:/usr/share/java/bcpkix.jar:/usr/share/java/bcutil.jar";

fn bouncy_castle(message: &[u8]) -> Vec<u8> {
    let pki = pki();
    let folder = pki.folder.path();
    let key = tempfile::NamedTempFile::new_in(folder).unwrap();
    let path = key.path().to_str().unwrap();
    let args = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"];
    openssl(
        folder,
        &[&args[..], &["-in", "rsa.key", "-out", path]].concat(),
    );
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/enveloped/tests/BouncyCastle.java"
    );
    let mut child = Command::new("timeout")
        .args(["60", "java", "-cp", CLASSES, source, path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("java is needed: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(message)));
        child.wait_with_output().unwrap()
    });
    assert!(
        output.status.success(),
        "java: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn bouncy_castle_opens_our_chacha_messages() {
    let pki = pki();
    // short: definite lengths; long: streamed
    for len in [0, 10_000, 400_000] {
        let plain = content(len);
        let to = [pki.certificate("rsa")];
        let message = seal(&plain, &to, Cipher::ChaCha20Poly1305, false, Form::Der);
        assert!(bouncy_castle(&message) == plain, "{len} bytes");
    }
    // authenticated attributes are the additional data for both
    let (parts, opener) = chacha_parts(&pki, b"text", &content_type_attribute(&ID_DATA));
    let certificate = pki.certificate("rsa");
    let mut parts = parts;
    parts.infos =
        vec![recipient_info(&certificate, &opener.key, &EncryptOptions::default()).unwrap()];
    assert_eq!(bouncy_castle(&parts.message()), b"text");
}
