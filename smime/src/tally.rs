//! For tests: what Wycheproof's vectors say, counted. A vector that is `acceptable` has no right answer: each test says by which
//! rule we take or refuse it.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

use wycheproof::TestResult;

/// One primitive's vectors.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    name: &'static str,
    /// taken, as they should be
    taken: usize,
    /// refused, as they should be
    refused: usize,
    /// those of them that are `acceptable`
    by_rule: usize,
    /// of something that we do not have
    left_out: usize,
    wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn new(name: &'static str) -> Self {
        Tally {
            name,
            ..Tally::default()
        }
    }

    /// `rule` is our answer where the vector leaves it open.
    pub(crate) fn count(
        &mut self,
        (id, comment): (usize, &str),
        result: TestResult,
        rule: bool,
        taken: bool,
    ) {
        let right = match result {
            TestResult::Valid => true,
            TestResult::Invalid => false,
            TestResult::Acceptable => {
                self.by_rule += 1;
                rule
            }
        };
        if taken != right {
            let word = if taken { "taken" } else { "refused" };
            self.wrong
                .push(format!("{result:?} vector {id} ({comment}) is {word}"));
        }
        if taken {
            self.taken += 1;
        } else {
            self.refused += 1;
        }
    }

    pub(crate) fn leave_out(&mut self, vectors: usize) {
        self.left_out += vectors;
    }

    /// `expected`: taken, refused, of both by rule, left out. A number that changes with the crate is looked at again.
    #[track_caller]
    pub(crate) fn finish(self, expected: (usize, usize, usize, usize)) {
        println!(
            "{}: {} taken, {} refused, {} of them by our own rule, {} left out",
            self.name, self.taken, self.refused, self.by_rule, self.left_out
        );
        assert!(self.wrong.is_empty(), "{}: {:#?}", self.name, self.wrong);
        let counted = (self.taken, self.refused, self.by_rule, self.left_out);
        assert_eq!(counted, expected, "{}", self.name);
    }
}
