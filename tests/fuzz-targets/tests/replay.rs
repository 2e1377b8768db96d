//! Every stored input of the fuzzers, and every seed that is made here, through its target on stable Rust.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};

use privyseal_fuzz_targets::{TARGETS, run, seeds};

fn stored(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus-min");
    let entries = fs::read_dir(folder.join(target)).unwrap_or_else(|e| panic!("{target}: {e}"));
    let mut all: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn the_stored_corpus_of_every_target_runs_clean() {
    for (target, _) in TARGETS {
        let files = stored(target);
        assert!(files.len() >= 5, "{target}: only {} inputs", files.len());
        for file in &files {
            // named first, so that the input can be found when the target panics
            println!("{}", file.display());
            run(target, &fs::read(file).unwrap());
        }
    }
}

#[test]
fn seeds_made_here_run_clean_in_every_target() {
    for (of, _) in TARGETS {
        let seeds = seeds::of(of);
        assert!(seeds.len() >= 5, "{of}");
        for (n, seed) in seeds.iter().enumerate() {
            for (target, _) in TARGETS {
                println!("seed {n} of {of} in {target}");
                run(target, seed);
            }
        }
    }
}
