//! What Privyseal and openssl, gpgsm, NSS and Bouncy Castle read of each other; docs/interop.md is what this test has seen.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use privyseal_tests::interop::{Bench, page, peers, rows, run};
use privyseal_tests::table::Table;

/// Cells that run at least, those included that have to fail.
const FLOOR: usize = 1160;

#[test]
fn every_peer_reads_what_privyseal_writes_and_the_other_way_round() {
    let bench = Bench::new();
    let peers = peers(&bench);
    let rows = rows();
    let mut table = Table::new("interop");
    let columns = run(&bench, &peers, &rows, &mut table);
    let seen = page(&rows, &columns);
    table.finish(FLOOR);

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interop.md");
    if std::env::var_os("PRIVYSEAL_UPDATE").is_some() {
        std::fs::write(&file, &seen).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let first = seen.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        seen == written,
        "docs/interop.md is out of date: PRIVYSEAL_UPDATE=1 cargo test -p privyseal-tests --test interop writes it anew; first: {first:?}"
    );
}
