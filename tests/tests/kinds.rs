//! Each kind of token does what docs/tokens.md says of it, over the real daemon and with its module confined.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use privyseal_tests::kinds::{self, kind};
use privyseal_virtual_card::pcscd::in_private_place;

#[test]
fn softhsm_does_what_the_page_says() {
    kinds::run(&kind::SOFTHSM);
}

#[test]
fn a_piv_card_does_what_the_page_says() {
    in_private_place("a_piv_card_does_what_the_page_says", || {
        kinds::run(&kind::CARD);
    });
}

#[test]
fn kryoptic_does_what_the_page_says() {
    kinds::run(&kind::KRYOPTIC);
}

#[test]
fn a_tpm_does_what_the_page_says() {
    kinds::run(&kind::TPM);
}

#[test]
#[ignore = "issue 4: a kind that few use: make test-all"]
fn nss_does_what_the_page_says() {
    kinds::run(&kind::NSS);
}

/// PRIVYSEAL_UPDATE=1 writes it anew.
#[test]
fn the_page_of_tokens_has_the_table_that_the_tests_hold_to() {
    const MARKS: [&str; 2] = [
        "<!-- kinds: written by tests/tests/kinds.rs -->\n",
        "<!-- kinds end -->",
    ];
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tokens.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (written, after) = rest.split_once(MARKS[1]).unwrap();
    let table = kinds::page::table();
    if std::env::var_os("PRIVYSEAL_UPDATE").is_some() {
        let [begin, end] = MARKS;
        std::fs::write(&file, format!("{before}{begin}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        written, table,
        "docs/tokens.md is out of date: PRIVYSEAL_UPDATE=1 writes it anew"
    );
}
