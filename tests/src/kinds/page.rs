//! The table of docs/tokens.md, from the same data as the runs.

use std::fmt::Write;

use super::{ALL, Operation};

/// Between the page's two marks.
pub fn table() -> String {
    let mut notes: Vec<&'static str> = Vec::new();
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
                Some(lack) => write!(out, " – {} |", note(lack.why(), &mut notes)),
            };
        }
        out.push('\n');
    }
    out.push('\n');
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(out, "{}. {note}", number + 1);
    }
    out
}

fn note(why: &'static str, notes: &mut Vec<&'static str>) -> usize {
    let place = notes.iter().position(|known| *known == why);
    place.unwrap_or_else(|| {
        notes.push(why);
        notes.len() - 1
    }) + 1
}
