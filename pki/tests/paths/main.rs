//! Path validation over a PKI that openssl makes, with `openssl verify` as the second opinion.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod cell;
mod hostile;
mod made;
mod table;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use made::demo;
use privyseal_pki::Anchors;
use privyseal_smime::Certificate;

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn anchors_come_from_files_and_folders() {
    let pki = demo();
    let folder = pki.folder().join("anchors");
    fs::create_dir(&folder).unwrap();
    let (root, foreign) = (pki.get("root"), pki.get("foreign"));
    fs::write(folder.join("one.der"), root.der()).unwrap();
    fs::write(
        folder.join("two.CRT"),
        root.to_pem() + "text between\n" + &foreign.to_pem(),
    )
    .unwrap();
    fs::write(folder.join("junk.pem"), "no certificate").unwrap();
    fs::write(folder.join("README"), "not looked at").unwrap();
    let anchors = Anchors::load(&[folder.clone(), pki.file("root")]).unwrap();
    let mut found: Vec<String> = anchors.certificates().map(Certificate::subject).collect();
    found.sort();
    assert_eq!(found, ["CN=Foreign Root", "CN=Root"]);
    assert!(Anchors::load(&[folder.join("junk.pem")]).is_err());
    assert!(Anchors::load(&[folder.join("absent.pem")]).is_err());
    assert!(Anchors::load(&[]).unwrap().is_empty());
}
