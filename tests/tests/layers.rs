//! Messages with layers in every order through `mail open` and `verify`: one verdict, the message inside, nothing good that is
//! only partly so (RFC 9787, design rule 10).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{Run, World};
use serde_json::Value;

const LETTER: &str = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: layers\r\n";
const ENTITY: &str = "Content-Type: text/plain\r\n\r\nhello\r\n";

struct Seen {
    value: Value,
    code: i32,
}

impl Seen {
    fn of(run: &Run) -> Self {
        let value = serde_json::from_slice(&run.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}{}", run.text(), run.stderr));
        Seen {
            value,
            code: run.code,
        }
    }

    fn verdict(&self) -> &str {
        self.value["verdict"].as_str().unwrap()
    }

    fn layers(&self) -> Vec<&str> {
        let layers = self.value["layers"].as_array().unwrap();
        layers.iter().map(|l| l["kind"].as_str().unwrap()).collect()
    }

    fn reasons(&self) -> String {
        self.value["reasons"].to_string()
    }
}

fn world() -> World {
    let world = World::new();
    world.unlock();
    world
}

/// Runs a step of making a message: `entity.eml` becomes `entity.eml` in one more layer.
fn wrap(world: &World, step: &str) {
    let me = world.token_file("me-rsa-sign.pem").display().to_string();
    let to = world.token_file("me-rsa-encrypt.pem").display().to_string();
    let input = world.path("entity.eml").display().to_string();
    let args: Vec<&str> = match step {
        "clear" => vec!["sign", "-s", &me],
        "opaque" => vec!["sign", "-s", &me, "--form", "opaque"],
        "encrypt" => vec!["encrypt", "-r", &to],
        "cbc" => vec!["encrypt", "-r", &to, "--cipher", "aes256-cbc"],
        "compress" => vec!["compress"],
        other => panic!("{other}"),
    };
    let run = world.privyseal(args.into_iter().chain([input.as_str(), "-o", &input]));
    assert_eq!(run.code, 0, "{step}: {}", run.stderr);
}

fn made(world: &World, steps: &[&str]) -> Vec<u8> {
    world.write("entity.eml", ENTITY.as_bytes());
    for step in steps {
        wrap(world, step);
    }
    std::fs::read(world.path("entity.eml")).unwrap()
}

fn open(world: &World, message: &[u8], more: &[&str]) -> Seen {
    world.write("message.eml", message);
    let message = world.path("message.eml").display().to_string();
    let args = ["mail", "open", "--json", "--batch", &message];
    Seen::of(&world.privyseal(args.into_iter().chain(more.iter().copied())))
}

fn verify(world: &World, message: &[u8]) -> Seen {
    world.write("message.eml", message);
    let message = world.path("message.eml").display().to_string();
    Seen::of(&world.privyseal(["verify", "--json", &message]))
}

#[test]
fn every_order_of_layers_has_one_verdict_and_the_message_inside() {
    let world = world();
    let good = ["clear", "opaque"];
    let mut cells = 0;
    let mut cell = |steps: &[&str], verdict: &str, code: i32| {
        let message = [LETTER.as_bytes(), &made(&world, steps)].concat();
        let inside = world.path("inside.eml").display().to_string();
        let _ = std::fs::remove_file(&inside);
        let seen = open(&world, &message, &["-o", &inside]);
        assert_eq!(seen.verdict(), verdict, "{steps:?}: {}", seen.value);
        assert_eq!(seen.code, code, "{steps:?}");
        let expected: Vec<&str> = steps
            .iter()
            .rev()
            .map(|step| match *step {
                "clear" | "opaque" => "signed",
                "encrypt" => "auth-enveloped",
                "cbc" => "enveloped",
                _ => "compressed",
            })
            .collect();
        assert_eq!(seen.layers(), expected, "{steps:?}");
        let written = std::fs::read_to_string(&inside).unwrap();
        assert_eq!(
            written.replace("MIME-Version: 1.0\r\n", ""),
            format!("{LETTER}{ENTITY}"),
            "{steps:?}"
        );
        assert_eq!(
            seen.value["warnings"]
                .to_string()
                .contains("does not authenticate"),
            steps.contains(&"cbc"),
            "{steps:?}: {}",
            seen.value
        );
        cells += 1;
    };
    for signed in good {
        cell(&[signed], "good", 0);
        cell(&[signed, "encrypt"], "good", 0);
        cell(&[signed, "cbc"], "good", 0);
        cell(&["compress", signed], "good", 0);
        cell(&[signed, "compress"], "good", 0);
        cell(&[signed, "compress", "encrypt"], "good", 0);
        // RFC 2634 §1.1: signed, encrypted, signed again
        for outer in good {
            cell(&[signed, "encrypt", outer], "good", 0);
        }
        // whoever signs ciphertext says nothing of what is in it
        cell(&["encrypt", signed], "unknown", 3);
    }
    cell(&["encrypt"], "not-signed", 0);
    cell(&["cbc"], "not-signed", 0);
    cell(&["compress"], "not-signed", 0);
    cell(&["clear", "encrypt", "encrypt", "compress"], "good", 0);
    println!("layers: {cells} cells");
    assert_eq!(cells, 22);
}

#[test]
fn the_nesting_limit_holds_over_the_bus() {
    let world = world();
    let eight = made(&world, &["compress"; 8]);
    let seen = open(&world, &eight, &[]);
    assert_eq!((seen.verdict(), seen.layers().len()), ("not-signed", 8));
    let nine = made(&world, &["compress"; 9]);
    let seen = open(&world, &nine, &[]);
    assert_eq!((seen.verdict(), seen.code), ("bad", 3));
    assert!(
        seen.reasons().contains("more than 8 layers"),
        "{}",
        seen.reasons()
    );
}

#[test]
fn a_part_never_stands_for_the_message() {
    let world = world();
    let signed = made(&world, &["clear"]);
    let encrypted = made(&world, &["encrypt"]);
    let mixed = |parts: &[&[u8]]| {
        let mut message =
            format!("{LETTER}Content-Type: multipart/mixed; boundary=outside\r\n\r\n").into_bytes();
        for part in parts {
            message.extend_from_slice(b"--outside\r\n");
            message.extend_from_slice(part);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"--outside--\r\n");
        message
    };
    let text: &[u8] = b"\r\nsend your money to Mallory\r\n";
    for parts in [&[text, &signed] as &[&[u8]], &[&signed, text], &[&signed]] {
        for seen in [
            open(&world, &mixed(parts), &[]),
            verify(&world, &mixed(parts)),
        ] {
            assert_eq!(seen.verdict(), "not-signed");
            assert_eq!(seen.value["signatures"][0]["signature"], "valid");
            assert_eq!(seen.value["signatures"][0]["covers"], "part");
            assert!(seen.reasons().contains("only a part"), "{}", seen.reasons());
        }
    }
    // EFAIL: text around ciphertext could send it away; it stays closed
    let inside = world.path("inside.eml").display().to_string();
    let message = mixed(&[text, &encrypted]);
    let seen = open(&world, &message, &["-o", &inside]);
    assert_eq!((seen.verdict(), seen.code), ("not-signed", 0));
    assert!(seen.value["warnings"].to_string().contains("left closed"));
    assert_eq!(std::fs::read(&inside).unwrap(), message);
    // signed by one who cannot have known what is in it
    world.write("entity.eml", &message[LETTER.len()..]);
    wrap(&world, "clear");
    let around = std::fs::read(world.path("entity.eml")).unwrap();
    let around = [LETTER.as_bytes(), &around].concat();
    for seen in [open(&world, &around, &[]), verify(&world, &around)] {
        assert_eq!((seen.verdict(), seen.code), ("unknown", 3));
        assert!(seen.reasons().contains("ciphertext"), "{}", seen.reasons());
    }
}

#[test]
fn the_sender_is_that_of_the_letter_outside() {
    let world = world();
    let inside = made(&world, &["clear", "encrypt"]);
    for (from, verdict) in [
        ("From: alice@example.org\r\n", "good"),
        ("From: mallory@example.org\r\n", "bad"),
        (
            "From: alice@example.org\r\nFrom: mallory@example.org\r\n",
            "bad",
        ),
        (
            "From: \"alice@example.org\" <mallory@example.org>\r\n",
            "bad",
        ),
        (
            "From: mallory@example.org\r\nSender: alice@example.org\r\n",
            "bad",
        ),
        ("From: alice@example.org, mallory@example.org\r\n", "bad"),
        ("Subject: nobody\r\n", "bad"),
    ] {
        let message = [from.as_bytes(), b"To: bob@example.org\r\n", &inside].concat();
        let seen = open(&world, &message, &[]);
        assert_eq!(seen.verdict(), verdict, "{from}: {}", seen.value);
    }
    // behind a line that is no field, where some readers go on
    let inside = String::from_utf8(made(&world, &["clear"])).unwrap();
    let inside = inside.replacen("\r\n\r\n", "\r\nx\r\nFrom: ceo@corp.example\r\n\r\n", 1);
    for from in ["From: alice@example.org\r\n", ""] {
        let message = format!("{from}{inside}");
        for seen in [
            open(&world, message.as_bytes(), &[]),
            verify(&world, message.as_bytes()),
        ] {
            assert_eq!(seen.verdict(), "bad", "{}", seen.value);
            assert!(seen.reasons().contains("no header field"), "{}", seen.value);
        }
    }
}

/// `verify` and `mail open` agree on the From inside; where there is none outside, `mail open` goes by the one inside.
#[test]
fn the_from_inside_says_who_it_is_from() {
    let world = world();
    let entity = |from: &str| format!("{from}{ENTITY}");
    let wrapped = |entity: &str| {
        world.write("entity.eml", entity);
        wrap(&world, "opaque");
        std::fs::read(world.path("entity.eml")).unwrap()
    };
    for (outside, inside, verified, opened) in [
        (
            LETTER,
            "From: Alice <ALICE@example.org>\r\n",
            "good",
            "good",
        ),
        (LETTER, "From: ceo@corp.example\r\n", "bad", "bad"),
        (
            LETTER,
            "From: \"ceo@corp.example\" <alice@example.org>\r\n",
            "bad",
            "bad",
        ),
        (
            LETTER,
            "From: ceo@corp.example:<alice@example.org>;\r\n",
            "bad",
            "bad",
        ),
        ("", "From: alice@example.org\r\n", "good", "good"),
        ("", "From: mallory@example.org\r\n", "good", "bad"),
    ] {
        let message = [outside.as_bytes(), &wrapped(&entity(inside))].concat();
        let seen = verify(&world, &message);
        assert_eq!(seen.verdict(), verified, "{inside}: {}", seen.value);
        let seen = open(&world, &message, &[]);
        assert_eq!(seen.verdict(), opened, "{inside}: {}", seen.value);
    }
}

#[test]
fn a_cms_object_of_another_type_is_not_signed() {
    let world = world();
    // ContentInfo { id-data, "hello" }
    let data = b"\x30\x14\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x07\x04\x05hello";
    for (seen, code) in [(verify(&world, data), 3), (open(&world, data, &[]), 0)] {
        assert_eq!((seen.verdict(), seen.code), ("not-signed", code));
        assert!(
            seen.reasons().contains("of the type Data"),
            "{}",
            seen.value
        );
    }
}

#[test]
fn a_bad_message_is_not_written_unless_asked_for() {
    let world = world();
    let mut signed = made(&world, &["clear"]);
    let at = signed.windows(5).position(|w| w == b"hello").unwrap();
    signed[at] = b'j';
    wrap_bytes(&world, &signed, "encrypt");
    let message = std::fs::read(world.path("entity.eml")).unwrap();
    let message = [LETTER.as_bytes(), &message].concat();
    let inside = world.path("inside.eml").display().to_string();
    let seen = open(&world, &message, &["-o", &inside]);
    assert_eq!((seen.verdict(), seen.code), ("bad", 3));
    assert!(!world.path("inside.eml").exists());
    let seen = open(&world, &message, &["-o", &inside, "--even-if-bad"]);
    assert_eq!(seen.verdict(), "bad");
    assert!(std::fs::read_to_string(&inside).unwrap().contains("jello"));
}

fn wrap_bytes(world: &World, entity: &[u8], step: &str) {
    world.write("entity.eml", entity);
    wrap(world, step);
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let world = World::new();
    world.unlock();
    let message = made(&world, &["clear", "encrypt"]);
    let lock = world.privyseal(["token", "lock"]);
    assert_eq!(lock.code, 0, "{}", lock.stderr);
    let seen = open(&world, &message, &[]);
    assert_eq!(seen.code, 4, "{}", seen.value);
    assert_eq!(seen.value["error"], "org.privyseal1.Error.PinRequired");
    // verify opens nothing that is encrypted, and says so
    let seen = verify(&world, &message);
    assert_eq!((seen.verdict(), seen.code), ("not-signed", 3));
    assert_eq!(seen.layers(), ["auth-enveloped"]);
    assert!(seen.reasons().contains("mail open"), "{}", seen.reasons());
}

/// `NAME.eml`, clear-signed by openssl with a new certificate of the world's own authority `ca.pem`. The subject is of lines of
/// openssl's configuration.
fn signed_as(world: &World, name: &str, subject: &str, alternative: &str) {
    if !world.path("ca.pem").exists() {
        world
            .openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=Authority -days 36500 -out ca.pem")
            .ok();
        world.write("entity.eml", ENTITY);
    }
    let usage = "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n";
    world.write("leaf.ext", format!("{usage}{alternative}"));
    let request = "[req]\nprompt=no\nutf8=yes\ndistinguished_name=n\n[n]\n";
    world.write("request.cnf", format!("{request}{subject}\n"));
    for args in [
        format!(
            "req -new -newkey rsa:2048 -nodes -keyout {name}.key -config request.cnf -out {name}.csr"
        ),
        format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days 20 -extfile leaf.ext -out {name}.pem"
        ),
        format!(
            "cms -sign -in entity.eml -signer {name}.pem -inkey {name}.key -md sha256 -out {name}.eml"
        ),
    ] {
        world.openssl(&args).ok();
    }
}

fn from(world: &World, from: &str, name: &str, more: &[&str]) -> Seen {
    let signed = world.read(&format!("{name}.eml"));
    let from = format!("From: {from}\r\n");
    world.write("message.eml", [from.as_bytes(), &signed].concat());
    let args = [
        "verify",
        "--json",
        "--trust-anchor",
        "ca.pem",
        "message.eml",
    ];
    Seen::of(&world.privyseal(args.into_iter().chain(more.iter().copied())))
}

#[test]
fn the_sender_is_found_in_every_kind_of_name() {
    let world = World::new();
    let utf8 = "1.3.6.1.5.5.7.8.9;FORMAT:UTF8,UTF8:jörg@xn--bcher-kva.example";
    signed_as(
        &world,
        "mailbox",
        "CN=A",
        &format!("subjectAltName=@names\n[names]\notherName.1={utf8}\n"),
    );
    signed_as(
        &world,
        "labels",
        "CN=A",
        "subjectAltName=email:a@xn--bcher-kva.example\n",
    );
    signed_as(
        &world,
        "subject",
        "CN=A\nemailAddress=alice@example.org",
        "",
    );
    for (name, who, verdict) in [
        ("mailbox", "jörg@bücher.example", "good"),
        ("mailbox", "jo\u{308}rg@BÜCHER.example", "good"),
        ("mailbox", "Jörg@XN--BCHER-KVA.example", "good"),
        ("mailbox", "jorg@bücher.example", "bad"),
        ("mailbox", "jörg@bucher.example", "bad"),
        ("labels", "a@bücher.example", "good"),
        (
            "labels",
            "\"a@bücher.example\" <a@xn--bcher-kva.example>",
            "good",
        ),
        ("labels", "a@bucher.example", "bad"),
        ("subject", "Alice <alice@Example.org>", "good"),
        ("subject", "alice@example.com", "bad"),
    ] {
        let seen = from(&world, who, name, &[]);
        assert_eq!(seen.verdict(), verdict, "{name} {who}: {}", seen.value);
    }
}

#[test]
fn a_certificate_without_an_address_speaks_for_no_sender() {
    let world = World::new();
    signed_as(&world, "nobody", "CN=alice@example.org", "");
    let seen = from(&world, "alice@example.org", "nobody", &[]);
    assert_eq!(seen.verdict(), "bad", "{}", seen.value);
    assert!(
        seen.reasons().contains("names no mail address"),
        "{}",
        seen.reasons()
    );
    let signature = &seen.value["signatures"][0];
    assert_eq!(
        (&signature["signature"], &signature["chain"]),
        (&"valid".into(), &"valid".into())
    );
    let seen = from(&world, "alice@example.org", "nobody", &["--purpose", "any"]);
    assert_eq!(seen.verdict(), "good", "{}", seen.value);
}

#[test]
fn a_time_of_signing_that_cannot_be_true_is_a_warning() {
    let world = world();
    let message = [LETTER.as_bytes(), &made(&world, &["clear"])].concat();
    world.write("message.eml", &message);
    let at = |at: &str, more: &[&str]| {
        let args = ["verify", "--json", "--at", at, "message.eml"];
        let seen = Seen::of(&world.privyseal(args.into_iter().chain(more.iter().copied())));
        let warnings = seen.value["warnings"].to_string();
        (seen, warnings)
    };
    let seen = Seen::of(&world.privyseal(["verify", "--json", "message.eml"]));
    assert_eq!(seen.verdict(), "good", "{}", seen.value);
    assert_eq!(seen.value["warnings"], serde_json::json!([]));
    // before the certificate was valid, too: the verdict is by that
    let (seen, warnings) = at("2024-01-01T00:00:00Z", &[]);
    assert_eq!(seen.verdict(), "bad", "{}", seen.value);
    assert!(warnings.contains("which is still to come"), "{warnings}");

    signed_as(
        &world,
        "a",
        "CN=Alice",
        "subjectAltName=email:alice@example.org\n",
    );
    world.write(
        "ca.cnf",
        "[ca]\ndefault_ca=a\n[a]\ndatabase=index\nnew_certs_dir=.\ndefault_md=sha256\nrand_serial=yes\npolicy=p\n\
         [p]\ncommonName=supplied\n",
    );
    world.write("index", "");
    world.write(
        "leaf.ext",
        "keyUsage=critical,digitalSignature\nsubjectAltName=email:alice@example.org\n",
    );
    for args in [
        "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in a.csr -extfile leaf.ext \
         -startdate 20890101000000Z -enddate 20920101000000Z -out a.pem",
        "cms -sign -in entity.eml -signer a.pem -inkey a.key -md sha256 -out a.eml",
    ] {
        world.openssl(args).ok();
    }
    world.write(
        "message.eml",
        [LETTER.as_bytes(), &world.read("a.eml")].concat(),
    );
    let (seen, warnings) = at("2090-06-01T00:00:00Z", &["--trust-anchor", "ca.pem"]);
    assert_eq!(seen.verdict(), "good", "{}", seen.value);
    assert!(
        warnings.contains("alice@example.org claims to have signed at 2"),
        "{warnings}"
    );
    assert!(
        warnings.contains("before the certificate was valid"),
        "{warnings}"
    );
}
