//! docs/peer-cves.md names a test for each hole of others, docs/conformance.md for each demand of the standards: each of them is there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_a_page_names_exists() {
    for (page, rows, tests) in [
        ("docs/peer-cves.md", 19, 40),
        ("docs/conformance.md", 32, 60),
    ] {
        let found = count(page);
        println!("{page}: {} rows, {} tests", found.0, found.1);
        assert!(found.0 >= rows && found.1 >= tests, "{page}: {found:?}");
    }
}

/// Rows and tests of a page.
fn count(page: &str) -> (usize, usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join(page)).unwrap();
    let (mut rows, mut tests) = (0, 0);
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [hole, _, shown] = columns[..] else {
            panic!("three columns are wanted: {line}");
        };
        if shown == "shown by" {
            continue;
        }
        rows += 1;
        assert!(!shown.is_empty(), "{hole}");
        for place in shown.split(" · ") {
            let mut quoted = place.split('`').skip(1).step_by(2);
            let file = quoted.next().unwrap_or_else(|| panic!("{hole}: {place}"));
            let source = fs::read_to_string(root.join(file))
                .unwrap_or_else(|e| panic!("{hole}: {file}: {e}"));
            let named: Vec<&str> = quoted.collect();
            assert!(!named.is_empty(), "{hole}: no test of {file}");
            for test in named {
                assert!(is_a_test(&source, test), "{hole}: no test {test} in {file}");
                tests += 1;
            }
        }
    }
    (rows, tests)
}

/// A function of this name, right after its attributes, one of which makes it a test.
fn is_a_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().any(|(at, line)| {
        let mut above = lines.iter().take(at).rev();
        begins(line)
            && above
                .by_ref()
                .take_while(|l| l.starts_with('#') || l.starts_with("//") || l.ends_with(']'))
                .any(|l| *l == "#[test]" || l.starts_with("#[tokio::test"))
    })
}
