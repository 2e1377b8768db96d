//! Who signed it: certificates that were renewed, and what a signer is told about his own signature.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{World, openssl};

const MAIL: &str = "Content-Type: text/plain\r\n\r\nhello\r\n";

/// Two certificates of one key and one SKI; the message carries both, and names its signer by the SKI (RFC 8551 §2.6).
#[test]
fn a_renewed_certificate_speaks_for_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(
        at.join("leaf.ext"),
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
         extendedKeyUsage=emailProtection\nsubjectAltName=email:carol@example.org\nsubjectKeyIdentifier=hash\n",
    )
    .unwrap();
    std::fs::write(at.join("mail.txt"), MAIL).unwrap();
    for step in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=Authority -days 30 -out ca.pem",
        "genpkey -algorithm RSA -out carol.key",
        // the longer subject comes last in the SET
        "req -new -key carol.key -subj /CN=C -out short.csr",
        "req -new -key carol.key -subj /CN=Carol-Example -out long.csr",
        "x509 -req -in short.csr -CA ca.pem -CAkey ca.key -days -1 -extfile leaf.ext -out short-old.pem",
        "x509 -req -in long.csr -CA ca.pem -CAkey ca.key -days -1 -extfile leaf.ext -out long-old.pem",
        "x509 -req -in short.csr -CA ca.pem -CAkey ca.key -days 20 -extfile leaf.ext -out short-new.pem",
        "x509 -req -in long.csr -CA ca.pem -CAkey ca.key -days 20 -extfile leaf.ext -out long-new.pem",
    ] {
        openssl(at, step).ok();
    }
    let world = World::new();
    let anchor = at.join("ca.pem").display().to_string();
    let mut cells = 0;
    for (signer, other, verdict) in [
        ("short-new", "long-old", "good"),
        ("long-new", "short-old", "good"),
        ("short-old", "long-new", "good"),
        ("long-old", "short-new", "good"),
        ("short-old", "long-old", "bad"),
    ] {
        openssl(
            at,
            &format!(
                "cms -sign -in mail.txt -binary -nodetach -keyid -signer {signer}.pem -inkey carol.key \
                 -certfile {other}.pem -outform DER -out signed.p7m"
            ),
        )
        .ok();
        let message = at.join("signed.p7m").display().to_string();
        let seen = world
            .privyseal(["verify", "--json", "--trust-anchor", &anchor, &message])
            .json();
        assert_eq!(seen["verdict"], verdict, "{signer}, {other}: {seen}");
        cells += 1;
    }
    println!("renewed certificates: {cells} cells");
    assert_eq!(cells, 5);
}

#[test]
fn a_signer_is_told_that_a_relay_may_break_the_signature() {
    let world = World::unlocked();
    let long = format!("{MAIL}{}\r\n", "x".repeat(999));
    let eight = format!("{MAIL}gr\u{fc}n\r\n");
    for (text, form, told) in [
        (MAIL, "clear", false),
        (eight.as_str(), "clear", true),
        (long.as_str(), "clear", true),
        (eight.as_str(), "opaque", false),
    ] {
        world.write("mail.txt", text);
        let sign = ["sign", "--json", "--form", form, "mail.txt", "-o", "s.eml"];
        let made = world.privyseal(sign).ok().json();
        let warned = made["warnings"].to_string().contains("7bit");
        assert_eq!(warned, told, "{form} {text:.40}: {made}");
        let seen = world.privyseal(["verify", "--json", "s.eml"]).json();
        assert_eq!(seen["verdict"], "good", "{seen}");
    }
}
