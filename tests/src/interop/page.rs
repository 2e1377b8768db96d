//! docs/interop.md, as the run says it.

use std::fmt::Write;

use super::{Cell, Column, Row};
use crate::notes::Notes;

const HEAD: &str = "\
# Interoperability

What Privyseal and other programs read of each other. This page is written by the test `tests/tests/interop.rs`, which runs every
cell with the programs of Debian 12, in both directions, and fails when this page is not what it saw
(`PRIVYSEAL_UPDATE=1 cargo test -p privyseal-tests --test interop` writes it anew).

**yes**: the content came out as it went in, the verdict is good, and signature, digest, cipher and key management are what was
meant. **weak**: read, with the content and the algorithms right, and flagged as weak: such a signature is never called good.
**–**: one side does not know it; the number says why. Where it can be asked for, the test asks, and the cell must fail in just that way.

`→ P` is what the peer writes and Privyseal reads, with RSA, EC and Ed25519 keys in SoftHSM; `P →` is what Privyseal writes and the peer reads.
gpgsm and cmsutil know no MIME: for the clear form the test does what a mail client does around them. Bouncy Castle agrees
by a static key of the sender, but puts the key into the message: the test names its certificate there instead, with Bouncy Castle's means.
No peer here knows ML-DSA and ML-KEM; `tests/tests/post_quantum.rs` signs and opens by them with keys on a token of kryoptic.
";

/// The whole page.
pub fn page(rows: &[Row], columns: &[Column]) -> String {
    let mut notes = Notes::default();
    let mut out = HEAD.to_owned();
    let mut section = "";
    for (number, row) in rows.iter().enumerate() {
        if row.section != section {
            section = row.section;
            head(&mut out, section, columns);
        }
        let _ = write!(out, "| {} |", row.name);
        for column in columns {
            let text = cells(row, column, &column.rows[number], &mut notes);
            let _ = write!(out, " {text} |");
        }
        out.push('\n');
    }
    out.push_str("\n## Why not\n\n");
    notes.write(&mut out);
    out
}

fn head(out: &mut String, section: &str, columns: &[Column]) {
    let _ = write!(out, "\n## {section}\n\n| |");
    for column in columns {
        let _ = if column.peer_writes {
            write!(out, " {} → P |", column.peer)
        } else {
            write!(out, " P → {} |", column.peer)
        };
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(columns.len()));
    out.push('\n');
}

/// One word where all works of the row went alike, else each with its own.
fn cells(row: &Row, column: &Column, cells: &[Cell], notes: &mut Notes) -> String {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for ((word, work), cell) in row.works.iter().zip(cells) {
        let text = match cell {
            Cell::Yes if column.peer_writes && work.is_weak() => "weak".to_owned(),
            Cell::Yes => "yes".to_owned(),
            Cell::No(why) => format!("– {}", notes.number(why)),
        };
        match said.iter_mut().find(|(same, _)| *same == text) {
            Some((_, words)) => words.push(word),
            None => said.push((text, vec![word])),
        }
    }
    if let [(text, _)] = said.as_slice() {
        return text.clone();
    }
    let each = said
        .iter()
        .map(|(text, words)| format!("{}: {text}", words.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}
