//! A message in every shape that it takes on its way: media types, names, transfer encodings, line ends, mailbox files, no headers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::World;
use privyseal_tests::table::Table;

/// A MIME entity, canonical.
const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello Bob,\r\n\r\nthe contract is signed.\r\n";
const ENVELOPE: &str =
    "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: contract\r\nMIME-Version: 1.0\r\n";
const MAILBOX: &str = "From alice@example.org Wed Nov 25 04:00:00 2026\r\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    CrLf,
    Lf,
    /// every other line has a bare LF
    Mixed,
}

impl Ends {
    const ALL: [Ends; 3] = [Ends::CrLf, Ends::Lf, Ends::Mixed];

    fn of(self, text: &str) -> String {
        match self {
            Ends::CrLf => text.to_owned(),
            Ends::Lf => text.replace("\r\n", "\n"),
            Ends::Mixed => {
                let mut lines = 0;
                text.split_inclusive("\r\n")
                    .map(|line| {
                        lines += 1;
                        if lines % 2 == 0 {
                            line.replace("\r\n", "\n")
                        } else {
                            line.to_owned()
                        }
                    })
                    .collect()
            }
        }
    }
}

/// Content-Transfer-Encoding and the body under it; the encodings of text get their line ends later.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    Base64,
    QuotedPrintable,
    Raw(&'static str),
}

impl Encoding {
    const ALL: [Encoding; 5] = [
        Encoding::Base64,
        Encoding::QuotedPrintable,
        Encoding::Raw("Content-Transfer-Encoding: binary\r\n"),
        Encoding::Raw("Content-Transfer-Encoding: 8bit\r\n"),
        Encoding::Raw(""),
    ];

    fn field(self) -> &'static str {
        match self {
            Encoding::Base64 => "Content-Transfer-Encoding: base64\r\n",
            Encoding::QuotedPrintable => "Content-Transfer-Encoding: quoted-printable\r\n",
            Encoding::Raw(field) => field,
        }
    }

    fn body(self, der: &[u8], base64: &str, ends: Ends) -> Vec<u8> {
        match self {
            Encoding::Base64 => ends.of(base64).into_bytes(),
            Encoding::QuotedPrintable => {
                let lines = der.chunks(24).map(|chunk| {
                    let line: String = chunk.iter().map(|byte| format!("={byte:02X}")).collect();
                    format!("{line}=\r\n")
                });
                ends.of(&lines.collect::<String>()).into_bytes()
            }
            Encoding::Raw(_) => der.to_vec(),
        }
    }
}

struct Message {
    name: &'static str,
    /// smime-type
    kind: &'static str,
    file: &'static str,
    der: Vec<u8>,
    /// 76 columns, CRLF
    base64: String,
}

/// What Privyseal makes, as DER and in base64.
fn messages(world: &World) -> Vec<Message> {
    let peer = world.token_file("me-rsa-encrypt.pem").display().to_string();
    let made = [
        (
            "signed",
            "signed-data",
            "smime.p7m",
            vec!["sign", "-s", "alice@example.org", "--form", "opaque"],
        ),
        (
            "enveloped",
            "enveloped-data",
            "smime.p7m",
            vec!["encrypt", "-r", &peer, "--cipher", "aes256-cbc"],
        ),
        (
            "authenticated",
            "authEnveloped-data",
            "smime.p7m",
            vec!["encrypt", "-r", &peer],
        ),
        (
            "compressed",
            "compressed-data",
            "smime.p7z",
            vec!["compress"],
        ),
    ];
    made.map(|(name, kind, file, mut args)| {
        args.extend(["--format", "der", "-o", "der", "mail.txt"]);
        world.privyseal(&args).ok();
        let base64 = world.openssl("base64 -in der").ok().text();
        Message {
            name,
            kind,
            file,
            der: world.read("der"),
            base64: base64.replace('\n', "\r\n"),
        }
    })
    .into()
}

/// Verifies, decrypts or decompresses what is in the file `message`, and compares the content but for line ends: a clear-signed
/// message is judged as it was sent, and released as it is stored.
fn read(world: &World, name: &str) -> Result<(), String> {
    let run = match name {
        "signed" | "clear" => world.privyseal(["verify", "--json", "message", "-o", "seen"]),
        "compressed" => world.privyseal(["decompress", "--json", "message", "-o", "seen"]),
        _ => world.privyseal(["decrypt", "--json", "message", "-o", "seen"]),
    };
    let seen = world.path("seen");
    let content = std::fs::read(&seen).unwrap_or_default();
    let _ = std::fs::remove_file(seen);
    let judged = !matches!(name, "signed" | "clear") || run.json()["verdict"] == "good";
    let good = run.code == 0 && judged;
    let content = String::from_utf8(content).unwrap();
    let same = if name == "clear" {
        content.replace('\r', "") == MAIL.replace('\r', "")
    } else {
        content == MAIL
    };
    if good && same {
        Ok(())
    } else {
        Err(format!("exit {}: {} {}", run.code, run.text(), run.stderr))
    }
}

#[test]
fn a_cms_object_is_read_under_every_media_type_encoding_and_line_end() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let mut table = Table::new("forms of one part");
    for message in messages(&world) {
        let (kind, file) = (message.kind, message.file);
        let types = [
            format!("Content-Type: application/pkcs7-mime; smime-type={kind}; name={file}\r\n"),
            format!("content-type: APPLICATION/X-PKCS7-MIME;\r\n\tname=\"{file}\"\r\n"),
            "Content-Type: application/pkcs7-mime\r\n".to_owned(),
            format!("Content-Type: application/octet-stream; name=\"{file}\"\r\n"),
            format!(
                "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename={file}\r\n"
            ),
        ];
        for (number, media_type) in types.iter().enumerate() {
            for encoding in Encoding::ALL {
                for ends in Ends::ALL {
                    for envelope in ["", &format!("{MAILBOX}{ENVELOPE}")] {
                        let head = format!("{envelope}{media_type}{}\r\n", encoding.field());
                        let mut whole = ends.of(&head).into_bytes();
                        whole.extend(encoding.body(&message.der, &message.base64, ends));
                        world.write("message", whole);
                        let cell = format!(
                            "{} type {number} {encoding:?} {ends:?} {envelope:?}",
                            message.name
                        );
                        table.cell(&cell, read(&world, message.name));
                    }
                }
            }
        }
        let Message { der, base64, .. } = &message;
        let one_line = base64.replace("\r\n", "");
        let mut bare = vec![("DER", der.clone()), ("one line", one_line.into_bytes())];
        for ends in Ends::ALL {
            bare.push(("base64", ends.of(base64).into_bytes()));
            for label in ["CMS", "PKCS7", "PKCS #7 SIGNED DATA"] {
                let pem = format!("-----BEGIN {label}-----\r\n{base64}-----END {label}-----\r\n");
                bare.push((label, ends.of(&pem).into_bytes()));
            }
        }
        for (what, whole) in bare {
            world.write("message", whole);
            let cell = format!("{} without headers: {what}", message.name);
            table.cell(&cell, read(&world, message.name));
        }
    }
    table.finish(4 * (5 * 5 * 3 * 2 + 14));
}

#[test]
fn a_clear_signature_is_read_under_every_media_type_encoding_and_line_end() {
    let world = World::unlocked();
    world.write("mail.txt", MAIL);
    let args = ["sign", "-s", "alice@example.org", "--form", "detached"];
    world
        .privyseal([&args[..], &["--format", "der", "-o", "der", "mail.txt"]].concat())
        .ok();
    let der = world.read("der");
    let base64 = world.openssl("base64 -in der").ok().text();
    let base64 = base64.replace('\n', "\r\n");
    let mut table = Table::new("forms of multipart/signed");
    let outer = [
        "multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"b c\"",
        "multipart/signed; protocol=\"application/x-pkcs7-signature\";\r\n micalg=sha256; boundary=\"b c\"",
        "Multipart/Signed; boundary=\"b c\"; protocol=\"application/pkcs7-signature\"",
    ];
    let inner = [
        "Content-Type: application/pkcs7-signature; name=smime.p7s\r\n",
        "Content-Type: application/x-pkcs7-signature\r\n",
        "Content-Type: application/octet-stream; name=smime.p7s\r\n",
        "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n",
    ];
    for (outer_number, outer) in outer.iter().enumerate() {
        for (inner_number, inner) in inner.iter().enumerate() {
            for encoding in [Encoding::Base64, Encoding::QuotedPrintable] {
                for ends in Ends::ALL {
                    for envelope in ["", ENVELOPE, &format!("{MAILBOX}{ENVELOPE}")] {
                        let head = format!(
                            "{envelope}Content-Type: {outer}\r\n\r\nThis is a signed message.\r\n--b c\r\n{MAIL}\r\n\
                             --b c\r\n{inner}{}\r\n",
                            encoding.field()
                        );
                        let mut whole = ends.of(&head).into_bytes();
                        whole.extend(encoding.body(&der, &base64, ends));
                        whole.extend(ends.of("\r\n--b c--\r\n").bytes());
                        world.write("message", whole);
                        let cell = format!(
                            "outer {outer_number} inner {inner_number} {encoding:?} {ends:?} {envelope:?}"
                        );
                        table.cell(&cell, read(&world, "clear"));
                    }
                }
            }
        }
    }
    table.finish(3 * 4 * 2 * 3 * 3);
}
