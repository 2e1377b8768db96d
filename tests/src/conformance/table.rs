//! What came of the cases: one line a set, and the reasons.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Exceptions};

/// Cases that wait for a feature: (feature, their ids). They must fail like exceptions do.
pub type NotYet = [(&'static str, &'static [&'static str])];

const CLEAN_END: &str =
    "of those that passed: nothing has to hold but that the programs end cleanly";

#[derive(Default)]
struct Row {
    size: usize,
    ran: usize,
    passed: usize,
    failed: usize,
    excepted: usize,
    not_yet: usize,
    elsewhere: usize,
}

/// Gathers the outcomes of a run.
pub struct Report<'a> {
    exceptions: &'a Exceptions,
    not_yet: &'a NotYet,
    rows: BTreeMap<String, Row>,
    reasons: BTreeMap<String, usize>,
    problems: Vec<String>,
    seen: BTreeSet<String>,
}

impl<'a> Report<'a> {
    pub fn new(exceptions: &'a Exceptions, not_yet: &'a NotYet) -> Self {
        Report {
            exceptions,
            not_yet,
            rows: BTreeMap::new(),
            reasons: BTreeMap::new(),
            problems: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn row(&mut self, case: &Case) -> &mut Row {
        self.seen.insert(case.id.clone());
        let row = self.rows.entry(case.set.clone()).or_default();
        row.size += 1;
        row
    }

    /// A case that is another test's.
    pub fn skip(&mut self, case: &Case, why: &str) {
        self.row(case).elsewhere += 1;
        *self.reasons.entry(format!("skipped: {why}")).or_default() += 1;
    }

    /// A case that ran; `problems` is what differs from what is expected.
    pub fn add(&mut self, case: &Case, problems: &[String]) {
        let excepted = self.exceptions.reason(&case.id).map(str::to_owned);
        let waits = self
            .not_yet
            .iter()
            .find(|(_, ids)| ids.contains(&case.id.as_str()))
            .map(|(feature, _)| *feature);
        let passed = problems.is_empty();
        if passed && case.asserts_nothing() {
            *self.reasons.entry(CLEAN_END.to_owned()).or_default() += 1;
        }
        let row = self.row(case);
        row.ran += 1;
        match (passed, &excepted, waits) {
            (true, ..) => row.passed += 1,
            (false, Some(_), _) => row.excepted += 1,
            (false, None, Some(_)) => row.not_yet += 1,
            (false, None, None) => row.failed += 1,
        }
        match (passed, excepted, waits) {
            (true, Some(_), _) => self.problems.push(format!(
                "{}: passes: take it out of exceptions.toml",
                case.id
            )),
            (true, None, Some(feature)) => self.problems.push(format!(
                "{}: passes: take it out of NOT_YET ({feature})",
                case.id
            )),
            (false, Some(reason), _) => {
                *self
                    .reasons
                    .entry(format!("excepted: {reason}"))
                    .or_default() += 1;
            }
            (false, None, Some(feature)) => {
                *self
                    .reasons
                    .entry(format!("not yet: {feature}"))
                    .or_default() += 1;
            }
            (false, None, None) => {
                self.problems
                    .push(format!("{}: {}", case.id, problems.join("; ")))
            }
            (true, None, None) => {}
        }
    }

    /// The table and the counts of the reasons, for people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<24}{:>6}{:>8}{:>8}{:>10}{:>9}{:>9}\n",
            "set", "ran", "passed", "failed", "excepted", "not yet", "skipped"
        );
        let mut sum = Row::default();
        for (set, row) in &self.rows {
            text.push_str(&line(set, row));
            sum.ran += row.ran;
            sum.passed += row.passed;
            sum.failed += row.failed;
            sum.excepted += row.excepted;
            sum.not_yet += row.not_yet;
            sum.elsewhere += row.elsewhere;
        }
        text.push_str(&line("all", &sum));
        for (reason, count) in &self.reasons {
            text.push_str(&format!("{count:>6}  {reason}\n"));
        }
        text
    }

    /// Listed cases that these samples do not have: other samples have others.
    pub fn unknown(&self) -> Vec<&str> {
        let waiting = self.not_yet.iter().flat_map(|(_, ids)| ids.iter().copied());
        self.exceptions
            .ids()
            .chain(waiting)
            .filter(|id| !self.seen.contains(*id))
            .collect()
    }

    /// Everything that has to fail the test, also too many exceptions.
    pub fn problems(mut self) -> Vec<String> {
        for (set, row) in &self.rows {
            let allowed = Exceptions::allowed(row.size);
            if row.excepted > allowed {
                self.problems.push(format!(
                    "{set}: {} exceptions, {allowed} are allowed",
                    row.excepted
                ));
            }
        }
        self.problems
    }
}

fn line(set: &str, row: &Row) -> String {
    format!(
        "{set:<24}{:>6}{:>8}{:>8}{:>10}{:>9}{:>9}\n",
        row.ran, row.passed, row.failed, row.excepted, row.not_yet, row.elsewhere
    )
}
