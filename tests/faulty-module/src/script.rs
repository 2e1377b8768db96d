//! What goes wrong: a file of lines `FUNCTION [after N] [once] FAULT`, read anew at each call.
//!
//! ```text
//! C_Sign crash               the process aborts
//! C_Sign hang                the call never comes back
//! C_Sign return 0x30         it is not done, and says so
//! C_Sign done-but 0x30       it is done, and says it is not
//! C_Sign lie 100000          it is done, and says that it wrote so many bytes (or found so many objects)
//! C_Sign garbage             what it wrote is inverted
//! C_Sign delay 500           it takes so many milliseconds more
//! C_Sign connect PATH        it is done, after something hostile was tried (all kinds: [`crate::hostile`])
//! ```
//! `after N`: the first N calls in a process are as they should be. `once`: the line is taken out of the file before it happens, so
//! that the next worker lives. `any` stands for every function.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::hostile::ATTEMPTS;

/// What happens instead of a call, or to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Crash,
    Hang,
    Return(u64),
    DoneBut(u64),
    Lie(u64),
    Garbage,
    Delay(Duration),
    /// what, and with what
    Try(&'static str, String),
}

struct Line<'a> {
    function: &'a str,
    after: u32,
    once: bool,
    fault: Fault,
}

/// Calls so far, by function.
static CALLS: Mutex<Option<HashMap<&'static str, u32>>> = Mutex::new(None);

/// The fault for this call.
pub(crate) fn fault_of(function: &'static str) -> Option<Fault> {
    let path = std::env::var_os("PRIVYSEAL_FAULTY_SCRIPT")?;
    let mut calls = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = calls
        .get_or_insert_with(HashMap::new)
        .entry(function)
        .or_default();
    let before = *count;
    *count = before.saturating_add(1);
    let path = Path::new(&path);
    let script = fs::read_to_string(path).ok()?;
    let (number, line) = script
        .lines()
        .enumerate()
        .filter_map(|(number, text)| Some((number, parse(text)?)))
        .find(|(_, line)| {
            (line.function == function || line.function == "any") && before >= line.after
        })?;
    if line.once {
        let rest: Vec<&str> = script
            .lines()
            .enumerate()
            .filter(|(other, _)| *other != number)
            .map(|(_, text)| text)
            .collect();
        // whole or not at all: another thread may read it
        let beside = path.with_extension("new");
        fs::write(&beside, rest.join("\n")).ok()?;
        fs::rename(&beside, path).ok()?;
    }
    Some(line.fault)
}

fn parse(text: &str) -> Option<Line<'_>> {
    let mut words = text.split_whitespace();
    let function = words.next()?;
    let (mut after, mut once) = (0, false);
    let fault = loop {
        match words.next()? {
            "after" => after = words.next()?.parse().ok()?,
            "once" => once = true,
            "crash" => break Fault::Crash,
            "hang" => break Fault::Hang,
            "garbage" => break Fault::Garbage,
            "return" => break Fault::Return(number(words.next()?)?),
            "done-but" => break Fault::DoneBut(number(words.next()?)?),
            "lie" => break Fault::Lie(number(words.next()?)?),
            "delay" => break Fault::Delay(Duration::from_millis(number(words.next()?)?)),
            word => {
                let kind = ATTEMPTS.into_iter().find(|kind| *kind == word)?;
                break Fault::Try(kind, words.next().unwrap_or_default().to_owned());
            }
        }
    };
    Some(Line {
        function,
        after,
        once,
        fault,
    })
}

fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_where_when_and_what() {
        let line = parse("C_Sign after 2 once return 0x30").unwrap();
        assert_eq!((line.function, line.after, line.once), ("C_Sign", 2, true));
        assert_eq!(line.fault, Fault::Return(0x30));
        let faults = [
            "any crash",
            "C_X hang",
            "C_X lie 9",
            "C_X delay 5",
            "C_X garbage",
            "C_X read /a",
        ];
        for (text, fault) in faults.iter().zip([
            Fault::Crash,
            Fault::Hang,
            Fault::Lie(9),
            Fault::Delay(Duration::from_millis(5)),
            Fault::Garbage,
            Fault::Try("read", "/a".into()),
        ]) {
            assert_eq!(parse(text).unwrap().fault, fault);
        }
        for text in [
            "",
            "C_Sign",
            "C_Sign explode",
            "C_Sign return x",
            "C_Sign after",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
