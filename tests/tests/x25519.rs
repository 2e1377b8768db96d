//! X25519 with HKDF (RFC 8418) by a key on the token: one of the two that every S/MIME 4.0 agent has (RFC 8551 §2.3).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{World, WorldOptions, openssl};

const MAIL: &str = "Content-Type: text/plain\r\n\r\nfor your eyes only\r\n";

#[test]
fn a_token_opens_what_was_encrypted_to_x25519() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(
        at.join("leaf.ext"),
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyAgreement\n\
         extendedKeyUsage=emailProtection\nsubjectAltName=email:xenia@example.org\nsubjectKeyIdentifier=hash\n",
    )
    .unwrap();
    // an X25519 key signs no request: another key stands in for it
    for step in [
        "genpkey -algorithm ed25519 -out ca.key",
        "req -x509 -new -key ca.key -subj /CN=Authority -days 30 -out ca.pem",
        "genpkey -algorithm x25519 -out x.key",
        "pkey -in x.key -pubout -out x.pub",
        "req -new -key ca.key -subj /CN=Xenia -out x.csr",
        "x509 -req -in x.csr -force_pubkey x.pub -CA ca.pem -CAkey ca.key -days 20 -extfile leaf.ext -out x.pem",
    ] {
        openssl(at, step).ok();
    }
    let world = World::with(WorldOptions {
        keys: vec![(at.join("x.pem"), at.join("x.key"))],
        ..WorldOptions::default()
    });
    assert!(
        world.not_imported().is_empty(),
        "{:?}",
        world.not_imported()
    );
    world.unlock();
    world.write("mail.txt", MAIL);
    let recipient = at.join("x.pem").display().to_string();

    let mut cells = 0;
    for cipher in [
        "aes256-gcm",
        "aes128-gcm",
        "chacha20-poly1305",
        "aes128-cbc",
    ] {
        let sealed = world.privyseal([
            "encrypt",
            "-r",
            &recipient,
            "--no-self",
            "--cipher",
            cipher,
            "-o",
            "sealed.eml",
            "mail.txt",
        ]);
        sealed.ok();
        let opened = world
            .privyseal(["decrypt", "--json", "--batch", "sealed.eml", "-o", "opened"])
            .ok()
            .json();
        assert_eq!(opened["key_management"], "ecdh", "{opened}");
        assert_eq!(opened["cipher"], cipher);
        assert_eq!(world.read("opened"), MAIL.as_bytes(), "{cipher}");
        cells += 1;
    }
    println!("X25519: {cells} ciphers");
    assert_eq!(cells, 4);
}
