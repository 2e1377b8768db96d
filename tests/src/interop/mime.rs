//! What a mail client does around a peer that knows no MIME: it puts a detached signature into multipart/signed, and takes one out.

use std::fs;
use std::path::{Path, PathBuf};

use super::Bench;

const BOUNDARY: &str = "=_a-boundary-that-no-content-has";

/// The message at `to`, of a canonical MIME entity and a detached signature in DER.
pub fn wrap(bench: &Bench, content: &Path, signature: &Path, micalg: &str, to: &Path) {
    let base64 = bench.run(
        "openssl",
        ["base64", "-in", &signature.display().to_string()],
    );
    let base64 = base64.ok().text().replace('\n', "\r\n");
    let mut message = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n \
         micalg={micalg}; boundary=\"{BOUNDARY}\"\r\n\r\n--{BOUNDARY}\r\n"
    )
    .into_bytes();
    message.extend(fs::read(content).unwrap());
    message.extend(
        format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{base64}\r\n--{BOUNDARY}--\r\n"
        )
        .bytes(),
    );
    fs::write(to, message).unwrap();
}

/// Content and signature (DER) of a message as Privyseal writes it, in files beside `at`.
pub fn unwrap(bench: &Bench, message: &Path, at: &Path) -> (PathBuf, PathBuf) {
    let bytes = fs::read(message).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let boundary = text
        .split("boundary=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let delimiter = format!("--{boundary}");
    let mut parts = text.split(delimiter.as_str());
    // what is before the first boundary is the header
    let content = parts.nth(1).unwrap();
    let content = content.strip_prefix("\r\n").unwrap();
    let content = content.strip_suffix("\r\n").unwrap();
    let signature = parts.next().unwrap().split_once("\r\n\r\n").unwrap().1;
    let (content_at, der_at, base64_at) = (
        at.with_extension("content"),
        at.with_extension("p7s"),
        at.with_extension("base64"),
    );
    fs::write(&content_at, content).unwrap();
    fs::write(&base64_at, signature.replace('\r', "")).unwrap();
    let (from, to) = (
        base64_at.display().to_string(),
        der_at.display().to_string(),
    );
    bench
        .run("openssl", ["base64", "-d", "-in", &from, "-out", &to])
        .ok();
    (content_at, der_at)
}
