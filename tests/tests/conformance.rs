//! Messages of other implementations through the built programs (`PRIVYSEAL_CONFORMANCE`, or `shared/conformance` beside the
//! checkout): decrypted with keys on a token, verified with the anchors they come with, or refused without a crash.
//!
//! What fails is listed with its reason in `conformance/exceptions.toml`, or waits for a feature in [`NOT_YET`]; what is listed
//! and passes fails the run. `PRIVYSEAL_CASE=ID` runs the cases whose id contains ID and shows them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use privyseal_tests::conformance::{Case, Exceptions, Report, Runner, Samples};
use privyseal_tests::{World, WorldOptions};

/// Cases at work at a time.
const LANES: usize = 4;

/// Cases that wait for a feature, by feature.
const NOT_YET: &[(&str, &[&str])] = &[];

#[test]
fn messages_of_other_implementations() {
    let Some(samples) = Samples::find() else {
        say("no conformance samples: set PRIVYSEAL_CONFORMANCE to their folder");
        return;
    };
    let only = std::env::var("PRIVYSEAL_CASE").ok();
    let wanted = |case: &Case| only.as_ref().is_none_or(|only| case.id.contains(only));
    let ours: Vec<&Case> = samples
        .cases
        .iter()
        .filter(|case| case.elsewhere().is_none() && wanted(case))
        .collect();
    let mut world = World::with(WorldOptions {
        keys: samples.keys(ours.iter().copied()),
        ..WorldOptions::default()
    });
    world.unlock();
    for (key, why) in world.not_imported() {
        say(&format!(
            "the token takes no such key: {}: {why}",
            key.display()
        ));
    }

    let outcomes = run_all(
        &Runner {
            world: &world,
            samples: &samples,
        },
        &ours,
    );
    assert!(world.daemon_lives(), "privyseald has ended on its way");

    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/exceptions.toml");
    let exceptions = Exceptions::read(&list);
    let mut report = Report::new(&exceptions, NOT_YET);
    let mut outcomes = outcomes.into_iter();
    for case in samples.cases.iter().filter(|case| wanted(case)) {
        match case.elsewhere() {
            Some(why) => report.skip(case, why),
            None => report.add(case, &outcomes.next().unwrap()),
        }
    }
    say(&report.text());
    if only.is_none() && !report.unknown().is_empty() {
        say(&format!(
            "listed, but not among these samples: {}",
            report.unknown().join(" ")
        ));
    }
    let problems = report.problems();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Problems of each case, in order.
fn run_all(runner: &Runner<'_>, cases: &[&Case]) -> Vec<Vec<String>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![Vec::new(); cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let place = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(case) = cases.get(place)
                {
                    let problems = runner.run(case);
                    if let Some(slot) = done.lock().unwrap().get_mut(place) {
                        *slot = problems;
                    }
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// Past the test harness's capture: it is to be seen what was tested.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
