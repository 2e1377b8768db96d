//! Everything that openssl makes is read through the token, and everything that Privyseal makes is read by openssl.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use privyseal_tests::World;
use privyseal_tests::table::Table;

/// A MIME entity, canonical.
const MAIL: &str = "Content-Type: text/plain; charset=utf-8\r\n\r\nHello Bob,\r\n\r\nthe contract is signed.\r\n\r\nAlice\r\n";

fn check(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

/// Sizes below and above where the writer goes from definite to indefinite lengths.
fn bodies() -> [(&'static str, Vec<u8>); 2] {
    let mut long = MAIL.as_bytes().to_vec();
    while long.len() < 700_000 {
        long.extend_from_slice(b"A line of some length, so that a long mail comes together.\r\n");
    }
    [("short", MAIL.as_bytes().to_vec()), ("long", long)]
}

#[test]
fn what_privyseal_signs_openssl_verifies() {
    let world = World::unlocked();
    let mut table = Table::new("sign -> openssl cms -verify");
    let anchor = world.token_file("anchor.pem").display().to_string();
    for (size, body) in bodies() {
        world.write("mail.txt", &body);
        for (key, more) in [
            ("rsa", ""),
            ("rsa", "--pss"),
            ("ec", ""),
            ("rsa", "--digest sha512"),
            ("ec", "--digest sha384"),
        ] {
            for (form, format) in [
                ("clear", "smime"),
                ("opaque", "smime"),
                ("opaque", "der"),
                ("opaque", "pem"),
                ("detached", "smime"),
                ("detached", "der"),
                ("detached", "pem"),
            ] {
                for input in ["file", "pipe"] {
                    let cell = format!("{size} {key} {more} {form} {format} from a {input}");
                    let signer = world.token_file(&format!("me-{key}-sign.pem"));
                    let mut args = vec![
                        "sign",
                        "-s",
                        signer.to_str().unwrap(),
                        "--form",
                        form,
                        "--format",
                        format,
                        "-o",
                        "out",
                    ];
                    args.extend(more.split_whitespace());
                    let signed = if input == "file" {
                        args.push("mail.txt");
                        world.privyseal(&args)
                    } else {
                        world.privyseal_in(&args, &body)
                    };
                    if signed.code != 0 {
                        table.cell(&cell, Err(signed.stderr));
                        continue;
                    }
                    let content = if form == "detached" {
                        " -content mail.txt"
                    } else {
                        ""
                    };
                    // with -binary openssl 3.0 does not even verify its own multipart/signed with CRLF line ends
                    let binary = if form == "clear" { "" } else { " -binary" };
                    let verified = world.openssl(&format!(
                        "cms -verify{binary} -in out -inform {format}{content} -CAfile {anchor} -purpose smimesign -out seen"
                    ));
                    let same = world.path("seen").exists() && world.read("seen") == body;
                    table.cell(
                        &cell,
                        check(verified.code == 0 && same, || {
                            format!("same content: {same}; {}", verified.stderr)
                        }),
                    );
                    let _ = std::fs::remove_file(world.path("seen"));
                }
            }
        }
    }
    table.finish(140);
}

#[test]
fn what_openssl_signs_privyseal_verifies() {
    let world = World::unlocked();
    let mut table = Table::new("openssl cms -sign -> verify");
    let chain = world.token_file("intermediate.pem").display().to_string();
    for (size, body) in bodies() {
        world.write("mail.txt", &body);
        for (key, more) in [
            ("rsa", ""),
            ("rsa", " -keyopt rsa_padding_mode:pss"),
            ("ec", ""),
            ("rsa", " -noattr"),
            ("ec", " -md sha512"),
            ("rsa", " -keyid"),
        ] {
            let signer = world
                .token_file(&format!("peer-{key}.pem"))
                .display()
                .to_string();
            let signer_key = world
                .token_file(&format!("peer-{key}.key"))
                .display()
                .to_string();
            for form in ["clear", "opaque", "detached"] {
                for format in ["smime", "der", "pem"] {
                    if form == "clear" && format != "smime" {
                        continue;
                    }
                    for stream in ["", " -stream"] {
                        let cell = format!("{size} {key}{more} {form} {format}{stream}");
                        let opaque = if form == "opaque" { " -nodetach" } else { "" };
                        // openssl calls multipart/signed what it writes in the form smime without -nodetach
                        if form == "detached" && format == "smime" {
                            continue;
                        }
                        let made = world.openssl(&format!(
                            "cms -sign -binary -in mail.txt -signer {signer} -inkey {signer_key} -certfile {chain} -outform {format} -out signed{more}{opaque}{stream}"
                        ));
                        if more.contains("pss") && made.stderr.contains("illegal zero content") {
                            table.skip(&cell, "openssl 3.0 cannot stream PSS into this form");
                            continue;
                        }
                        assert_eq!(made.code, 0, "{cell}: {}", made.stderr);
                        let mut args = vec![
                            "verify",
                            "signed",
                            "--json",
                            "-o",
                            "seen",
                            "--sender",
                            "bob@example.org",
                        ];
                        if form == "detached" {
                            args.extend(["--content", "mail.txt"]);
                        }
                        let verified = world.privyseal(&args);
                        let same = world.path("seen").exists() && world.read("seen") == body;
                        table.cell(
                            &cell,
                            check(
                                verified.code == 0 && same && verified.json()["verdict"] == "good",
                                || {
                                    format!(
                                        "same content: {same}; {} {}",
                                        verified.text(),
                                        verified.stderr
                                    )
                                },
                            ),
                        );
                        let _ = std::fs::remove_file(world.path("seen"));
                    }
                }
            }
        }
    }
    table.finish(134);
}

#[test]
fn what_privyseal_encrypts_openssl_decrypts() {
    let world = World::unlocked();
    let mut table = Table::new("encrypt -> openssl cms -decrypt");
    for (size, body) in bodies() {
        world.write("mail.txt", &body);
        for (key, more) in [("rsa", ""), ("rsa", "--oaep"), ("ec", "")] {
            let recipient = world
                .token_file(&format!("peer-{key}.pem"))
                .display()
                .to_string();
            let recipient_key = world
                .token_file(&format!("peer-{key}.key"))
                .display()
                .to_string();
            for cipher in [
                "aes128-cbc",
                "aes192-cbc",
                "aes256-cbc",
                "aes128-gcm",
                "aes192-gcm",
                "aes256-gcm",
            ] {
                for format in ["smime", "der", "pem"] {
                    for input in ["file", "pipe"] {
                        let cell = format!("{size} {key} {more} {cipher} {format} from a {input}");
                        let mut args = vec![
                            "encrypt", "-r", &recipient, "--cipher", cipher, "--format", format,
                            "-o", "out",
                        ];
                        args.extend(more.split_whitespace());
                        let made = if input == "file" {
                            args.push("mail.txt");
                            world.privyseal(&args)
                        } else {
                            world.privyseal_in(&args, &body)
                        };
                        if made.code != 0 {
                            table.cell(&cell, Err(made.stderr));
                            continue;
                        }
                        let opened = world.openssl(&format!(
                            "cms -decrypt -binary -in out -inform {format} -recip {recipient} -inkey {recipient_key} -out seen"
                        ));
                        let same = world.path("seen").exists() && world.read("seen") == body;
                        table.cell(
                            &cell,
                            check(opened.code == 0 && same, || {
                                format!("same: {same}; {}", opened.stderr)
                            }),
                        );
                        let _ = std::fs::remove_file(world.path("seen"));
                    }
                }
            }
        }
    }
    table.finish(216);
}

#[test]
fn what_openssl_encrypts_the_token_opens() {
    let world = World::unlocked();
    let mut table = Table::new("openssl cms -encrypt -> decrypt");
    for (size, body) in bodies() {
        world.write("mail.txt", &body);
        for (key, more, management) in [
            ("rsa", "", "rsa-pkcs1"),
            ("rsa", " -keyopt rsa_padding_mode:oaep", "rsa-oaep"),
            (
                "rsa",
                " -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256",
                "rsa-oaep",
            ),
            ("ec", "", "ecdh"),
            ("ec", " -keyopt ecdh_kdf_md:sha256", "ecdh"),
        ] {
            let recipient = world
                .token_file(&format!("me-{key}-encrypt.pem"))
                .display()
                .to_string();
            for cipher in ["aes-128-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm"] {
                for format in ["smime", "der", "pem"] {
                    for stream in ["", " -stream"] {
                        for keyid in ["", " -keyid"] {
                            if !keyid.is_empty()
                                && (size == "long" || key == "ec" && !more.is_empty())
                            {
                                continue;
                            }
                            let cell =
                                format!("{size} {key}{more} {cipher} {format}{stream}{keyid}");
                            let made = world.openssl(&format!(
                                "cms -encrypt -binary -{cipher} -in mail.txt -outform {format} -out secret{stream}{keyid} -recip {recipient}{more}"
                            ));
                            assert_eq!(made.code, 0, "{cell}: {}", made.stderr);
                            let opened =
                                world.privyseal(["decrypt", "secret", "--json", "-o", "seen"]);
                            let same = world.path("seen").exists() && world.read("seen") == body;
                            let right = opened.code == 0 && same && {
                                let json = opened.json();
                                json["key_management"] == management
                                    && json["authenticated"] == cipher.ends_with("gcm")
                            };
                            table.cell(
                                &cell,
                                check(right, || {
                                    format!("same: {same}; {} {}", opened.text(), opened.stderr)
                                }),
                            );
                            let _ = std::fs::remove_file(world.path("seen"));
                        }
                    }
                }
            }
        }
    }
    table.finish(336);
}
