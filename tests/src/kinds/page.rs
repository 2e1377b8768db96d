//! The table of docs/tokens.md, from the same data as the runs.

use std::fmt::Write;

use super::{ALL, Operation};
use crate::notes::Notes;

/// Between the page's two marks.
pub fn table() -> String {
    let mut notes = Notes::default();
    let mut out = String::from("| |");
    for kind in ALL {
        let _ = write!(out, " {} |", kind.name);
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(ALL.len()));
    out.push('\n');
    for operation in Operation::ALL {
        let _ = write!(out, "| {} |", operation.name());
        for kind in ALL {
            let _ = match kind.lack(operation) {
                None => write!(out, " yes |"),
                Some(lack) => write!(out, " – {} |", notes.number(lack.why())),
            };
        }
        out.push('\n');
    }
    out.push('\n');
    notes.write(&mut out);
    out
}
