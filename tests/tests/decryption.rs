//! Decryption that gives nothing away: every failure looks like every other, whatever went wrong and wherever, and what does not
//! authenticate is called so (design rules 8 and 9).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use privyseal_tests::bytes::{Client, text};
use privyseal_tests::der::rewrite;
use privyseal_tests::table::Table;
use privyseal_tests::{World, WorldOptions};

const MAIL: &[u8] = b"Content-Type: text/plain\r\n\r\nnobody else is to read this.\r\n";
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
/// encryptedContent, `[0] IMPLICIT`
const CONTENT: u8 = 0x80;

/// The one failure.
const FAILED: (&str, &str) = ("org.privyseal1.Error.DecryptionFailed", "decryption failed");

/// id-envelopedData, id-ct-authEnvelopedData (RFC 5652 §14, RFC 5083 §5)
const ENVELOPED: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 3];
const AUTH_ENVELOPED: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 23];

/// Our certificate for decryption with this kind of key, as the interfaces name it.
fn recipient(world: &World, key: &str) -> String {
    let own = world.privyseal(["cert", "list", "--json"]).ok().json();
    let all = own["certificates"].as_array().unwrap();
    let found = all.iter().find(|c| {
        c["key_type"].as_str().unwrap().starts_with(key)
            && c["usages"]
                .as_array()
                .unwrap()
                .iter()
                .any(|u| u == "decrypt")
    });
    let sha256 = found.unwrap()["sha256"].as_str().unwrap();
    format!("sha256:{}", sha256.trim_start_matches("sha256:"))
}

fn encrypted(world: &World, key: &str, cipher: &str) -> Vec<u8> {
    let client = Client::connect(world.bus_address());
    let options = [("format", "der"), ("cipher", cipher)];
    let (message, _) = client
        .encrypt(MAIL, &[&recipient(world, key)], &options)
        .unwrap();
    assert_eq!(client.decrypt(&message).unwrap().0, MAIL);
    message
}

/// The last element of this tag and length gets another content.
fn with_last(
    message: &[u8],
    tag: u8,
    len: Option<usize>,
    to: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let mut last = None;
    rewrite(message, &mut |t, content, number| {
        if t == tag && len.is_none_or(|len| len == content.len()) {
            last = Some(number);
        }
        None
    });
    let last = last.unwrap();
    rewrite(message, &mut |_, content, number| {
        (number == last).then(|| to(content))
    })
}

fn flipped(at: usize, mask: u8) -> impl Fn(&[u8]) -> Vec<u8> {
    move |content| {
        let mut content = content.to_vec();
        let at = at.min(content.len() - 1);
        content[at] ^= mask;
        content
    }
}

/// (what was done, the message) for one cipher and kind of key: each fails only once the key is known, or because of it.
fn failures(message: &[u8], key: &str, cipher: &str) -> Vec<(&'static str, Vec<u8>)> {
    // an RSA key of 2048 bits; AES-256 wrapped
    let wrapped = Some(if key == "rsa" { 256 } else { 40 });
    let change = |tag, len, at, mask| with_last(message, tag, len, flipped(at, mask));
    let mut all = vec![
        (
            "the wrapped key, a bit",
            change(OCTET_STRING, wrapped, 20, 1),
        ),
        (
            "a wrapped key of nothing",
            with_last(message, OCTET_STRING, wrapped, |_| Vec::new()),
        ),
        (
            "a wrapped key that is too long",
            with_last(message, OCTET_STRING, wrapped, |key| key.repeat(2)),
        ),
    ];
    if key == "ec" {
        let point = change(BIT_STRING, Some(66), 40, 1);
        all.push(("the sender's point, off the curve", point));
    }
    if cipher.ends_with("cbc") {
        // the last byte before the last block: the padding is of more bytes than a block has
        let content = |content: &[u8]| flipped(content.len() - 17, 0x80)(content);
        all.push(("the padding", with_last(message, CONTENT, None, content)));
    } else {
        all.push(("the content, a bit", change(CONTENT, None, 3, 1)));
        all.push(("the tag, a bit", change(OCTET_STRING, Some(16), 15, 1)));
    }
    all
}

#[test]
fn every_failure_looks_alike_on_the_bus_and_on_the_command_line() {
    // another key of ours would open what one of them cannot
    let world = World::with(WorldOptions {
        config: "[encrypt]\nto-self = false\n".into(),
        ..WorldOptions::default()
    });
    world.unlock();
    let mut table = Table::new("failures that look alike");
    let mut cells = 0;
    for key in ["rsa", "ec"] {
        for cipher in ["aes256-gcm", "chacha20-poly1305", "aes256-cbc"] {
            let message = encrypted(&world, key, cipher);
            for (what, changed) in failures(&message, key, cipher) {
                let name = format!("{cipher} {key}: {what}");
                // a connection of its own: failures slow down who repeats them
                let client = Client::connect(world.bus_address());
                let seen = client.decrypt(&changed);
                // a random key makes right padding once in 256 times
                let chance = cipher.ends_with("cbc") && key == "rsa" && what.contains("wrapped");
                let result = match &seen {
                    Err((error, words)) if (error.as_str(), words.as_str()) == FAILED => Ok(()),
                    Ok((_, results)) if chance && !authenticated(results) => Ok(()),
                    other => Err(format!("{other:?}")),
                };
                table.cell(&name, result);
                cells += 1;
                if seen.is_err() && what.ends_with("a bit") {
                    world.write("changed.p7m", &changed);
                    table.cell(&format!("{name}, command line"), command_line(&world));
                    cells += 1;
                }
            }
        }
    }
    table.finish(cells);
    // 6 messages: 3 by their wrapped key, 1 more by the point, 2 or 1 by their content; on the command line all with a bit
    assert!(cells >= 2 * 3 * 3 + 3 + 2 * 5 + 12, "{cells}");
    // nobody was locked out by any of that
    let message = encrypted(&world, "rsa", "aes256-gcm");
    let client = Client::connect(world.bus_address());
    assert_eq!(client.decrypt(&message).unwrap().0, MAIL);
}

fn authenticated(results: &privyseal_proto::Dict) -> bool {
    results
        .get("authenticated")
        .and_then(|v| bool::try_from(v).ok())
        != Some(false)
}

/// One exit code, one text, no file, not a byte.
fn command_line(world: &World) -> Result<(), String> {
    let run = world.privyseal(["decrypt", "changed.p7m", "-o", "never.txt"]);
    let lines: Vec<&str> = run.stderr.lines().collect();
    let expected = lines.first().is_some_and(|l| l.ends_with(FAILED.1));
    if run.code != 1 || !expected || world.path("never.txt").exists() {
        return Err(format!("{run:?}"));
    }
    let piped = world.privyseal(["decrypt", "changed.p7m"]);
    if piped.stdout.is_empty() && piped.stderr == run.stderr {
        Ok(())
    } else {
        Err(format!("{piped:?}"))
    }
}

/// CVE-2026-57062, CVE-2026-34182: tags that can be guessed, and ciphers in the structure where nobody looks at a tag. All of it
/// is said before any key is asked for, in the same words each time.
#[test]
fn tags_that_are_too_short_and_ciphers_in_the_wrong_structure_are_malformed() {
    let world = World::unlocked();
    let mut table = Table::new("tags and structures");
    let mut cells = 0;
    let mut refused = |name: String, changed: &[u8]| {
        let client = Client::connect(world.bus_address());
        let result = match client.decrypt(changed) {
            Err((error, _)) if error == "org.privyseal1.Error.MalformedMessage" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        table.cell(&name, result);
        cells += 1;
    };
    let gcm = encrypted(&world, "rsa", "aes256-gcm");
    let chacha = encrypted(&world, "rsa", "chacha20-poly1305");
    for len in (0..16).chain([17]) {
        let tag = |tag: &[u8]| {
            tag.iter()
                .copied()
                .chain([0])
                .take(len)
                .collect::<Vec<u8>>()
        };
        let cut = |message: &[u8]| with_last(message, OCTET_STRING, Some(16), tag);
        refused(format!("GCM, {len} bytes"), &cut(&gcm));
        refused(format!("ChaCha20, {len} bytes"), &cut(&chacha));
        if !(12..=16).contains(&len) {
            let says = |_: &[u8]| vec![u8::try_from(len).unwrap()];
            let cut = with_last(&cut(&gcm), INTEGER, Some(1), says);
            refused(format!("GCM, {len} bytes as it says"), &cut);
        }
    }
    let cbc = encrypted(&world, "rsa", "aes256-cbc");
    let outer = |message: &[u8], from: &[u8], to: &[u8]| {
        rewrite(message, &mut |tag, content, _| {
            (tag == OID && content == from).then(|| to.to_vec())
        })
    };
    refused(
        "CBC in AuthEnvelopedData".into(),
        &outer(&cbc, &ENVELOPED, &AUTH_ENVELOPED),
    );
    refused(
        "GCM in EnvelopedData".into(),
        &outer(&gcm, &AUTH_ENVELOPED, &ENVELOPED),
    );
    table.finish(2 * 17 + 13 + 2);
    assert_eq!(cells, 2 * 17 + 13 + 2);
}

/// EFAIL: what somebody may have changed is called so, for programs and for people.
#[test]
fn cbc_plaintext_is_called_unauthenticated() {
    let world = World::unlocked();
    let cbc = encrypted(&world, "rsa", "aes256-cbc");
    // a bit of the first block of plaintext, by way of the IV: it opens, as other text
    let gadget = with_last(&cbc, OCTET_STRING, Some(16), flipped(0, 0x20));
    let client = Client::connect(world.bus_address());
    let (plain, results) = client.decrypt(&gadget).unwrap();
    assert!(plain != MAIL && plain[1..] == MAIL[1..]);
    assert!(!authenticated(&results), "{results:?}");
    assert_eq!(text(&results, "cipher"), "aes256-cbc");

    for (message, cipher, right) in [
        (cbc.clone(), "aes256-cbc", false),
        (gadget, "aes256-cbc", false),
        (encrypted(&world, "ec", "aes256-gcm"), "aes256-gcm", true),
    ] {
        world.write("message.p7m", &message);
        let json = world
            .privyseal(["decrypt", "message.p7m", "-o", "plain.txt", "--json"])
            .ok()
            .json();
        assert_eq!(json["authenticated"], right, "{json}");
        assert_eq!(json["cipher"], cipher);
        let warnings = json["warnings"].as_array().unwrap().len();
        assert_eq!(warnings, usize::from(!right), "{json}");
        let human = world
            .privyseal(["decrypt", "message.p7m", "-o", "plain.txt"])
            .ok();
        let warned = human.stderr.contains("does not authenticate")
            && human.stderr.contains("may have been changed");
        assert_eq!(warned, !right, "{human:?}");
    }
}
