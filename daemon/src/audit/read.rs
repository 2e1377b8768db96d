//! Reads the trail: its newest records, and whether the chain holds.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::entry::Entry;
use super::files::{End, FILES, Place, hash, lines};

/// Problems that are told; one change makes few.
const PROBLEMS_MAX: usize = 100;

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct Query {
    /// so many at most, the newest of those that fit
    pub limit: usize,
    /// with smaller numbers
    pub before: u64,
    /// RFC 3339
    pub since: Option<String>,
    /// id
    pub token: Option<String>,
}

/// What a walk over the chain found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub records: u64,
    /// numbers of the first and last record; 0: there is none
    pub first: u64,
    pub last: u64,
    /// of the last line: who keeps it elsewhere can tell later that nothing before it was changed
    pub hash: String,
    /// where the chain does not hold, and how
    pub problems: Vec<String>,
    /// what is no sign of a change
    pub notes: Vec<String>,
}

impl Verified {
    /// With what will be recorded of the start before anything else is.
    pub(super) fn and<'a>(mut self, pending: impl Iterator<Item = &'a Entry>) -> Self {
        for entry in pending {
            let what = entry.purpose.as_deref().unwrap_or_default();
            match entry.result {
                "broken" => self.problems.push(format!(
                    "when privyseald started, the trail was not as it had been left: {what}"
                )),
                "torn" => self
                    .notes
                    .push(format!("{what} that was being written were lost")),
                _ => {}
            }
        }
        self
    }
}

impl Query {
    fn fits(&self, record: &Map<String, Value>) -> bool {
        let text = |key| record.get(key).and_then(Value::as_str);
        let number = record.get("seq").and_then(Value::as_u64);
        number.is_some_and(|n| n < self.before)
            // RFC 3339 in UTC with whole seconds sorts as text
            && self.since.as_deref().is_none_or(|since| text("time") >= Some(since))
            && self.token.as_deref().is_none_or(|token| text("token") == Some(token))
    }
}

pub(super) fn list(files: &[PathBuf], query: &Query) -> io::Result<Vec<Map<String, Value>>> {
    let mut newest = VecDeque::new();
    for path in files {
        for line in lines(path)? {
            // what is no record is told by `verify`
            let Ok(record) = serde_json::from_slice::<Map<String, Value>>(&line?) else {
                continue;
            };
            if query.fits(&record) {
                newest.push_back(record);
                if newest.len() > query.limit {
                    newest.pop_front();
                }
            }
        }
    }
    Ok(newest.into())
}

pub(super) fn verify(files: &[PathBuf], end: &End) -> io::Result<Verified> {
    let mut walk = Walk::default();
    for path in files {
        for (n, line) in lines(path)?.enumerate() {
            walk.step(path, n.saturating_add(1), &line?);
        }
    }
    Ok(walk.finish(files, end))
}

#[derive(Default)]
struct Walk {
    found: Verified,
    /// number and hash of the line before
    before: Option<(u64, String)>,
}

impl Walk {
    fn step(&mut self, path: &Path, line: usize, text: &[u8]) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let place = format!("{name}, line {line}");
        let hash = hash(text);
        let Ok(record) = serde_json::from_slice::<Place>(text) else {
            self.problem(format!("{place}: no record"));
            let number = self.before.as_ref().map_or(0, |(n, _)| n.saturating_add(1));
            self.before = Some((number, hash));
            return;
        };
        let seq = record.seq;
        if self.found.records == 0 {
            self.found.first = seq;
        }
        match &self.before {
            Some((n, _)) if n.saturating_add(1) != seq => {
                self.problem(format!("{place}: record {seq} comes after record {n}"));
            }
            Some((n, before)) if *before != record.prev => self.problem(format!(
                "{place}: record {n} is not the one that record {seq} was written after: one of them was changed"
            )),
            None if seq == 1 && record.prev != End::default().hash => {
                self.problem(format!("{place}: record 1 was changed"));
            }
            _ => {}
        }
        match (record.kind.as_str(), record.result.as_str()) {
            ("trail", "broken") => self.problem(format!(
                "{place}: when privyseald started, the trail was not as it had been left"
            )),
            ("trail", "torn") => self.found.notes.push(format!(
                "{place}: the record that was being written was lost"
            )),
            _ => {}
        }
        self.found.records = self.found.records.saturating_add(1);
        self.found.last = seq;
        self.before = Some((seq, hash));
    }

    fn finish(mut self, files: &[PathBuf], end: &End) -> Verified {
        let found = match self.before.take() {
            Some((last, hash)) => End { last, hash },
            None => End::default(),
        };
        if found != *end {
            self.problem(format!(
                "the trail ends with record {}, and the last that was written is {}",
                found.last, end.last
            ));
        }
        match self.found.first {
            0 | 1 => {}
            // only the oldest of all files is ever thrown away
            n if u64::try_from(files.len()) == Ok(FILES) => self
                .found
                .notes
                .push(format!("records before {n} were thrown away to make room")),
            n => self.problem(format!("records before {n} are missing")),
        }
        self.found.hash = found.hash;
        self.found
    }

    fn problem(&mut self, what: String) {
        if self.found.problems.len() < PROBLEMS_MAX {
            self.found.problems.push(what);
        }
    }
}
