//! `fuzz-seeds write FOLDER`: writes what fuzzing starts from into `FOLDER/TARGET/`.
//! `fuzz-seeds own TARGET FROM TO`: copies from one folder to another what may be stored: small, and nothing of other people's.
//! `fuzz-seeds run TARGET FILE`: one input, to look into what a fuzzer found.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a tool of the tests may fail loudly"
)]

use std::fs;
use std::path::Path;

use privyseal_fuzz_targets::{TARGETS, conformance, run, seeds};
use sha2::{Digest, Sha256};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", folder] => write(Path::new(folder)),
        ["own", target, from, to] => own(target, Path::new(from), Path::new(to)),
        ["run", target, file] => run(target, &fs::read(file).unwrap()),
        _ => {
            eprintln!("fuzz-seeds: write FOLDER | own TARGET FROM TO | run TARGET FILE");
            std::process::exit(2);
        }
    }
}

fn write(folder: &Path) {
    for (target, _) in TARGETS {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).unwrap();
        let (own, others) = (seeds::of(target), conformance::seeds(target));
        println!(
            "{target}: {} seeds of our own, {} of the conformance sets",
            own.len(),
            others.len()
        );
        for seed in own.iter().chain(&others) {
            fs::write(folder.join(name(seed)), seed).unwrap();
        }
    }
}

fn own(target: &str, from: &Path, to: &Path) {
    let others = conformance::Pieces::of(target);
    let mut kept = 0u32;
    for entry in fs::read_dir(from).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        if bytes.len() <= LARGEST_STORED && !others.has_one_of(&bytes) {
            fs::write(to.join(name(&bytes)), bytes).unwrap();
            kept = kept.saturating_add(1);
        }
    }
    println!("{target}: {kept} inputs may be stored");
}

fn name(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest[..10].iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes of an input in the repository.
const LARGEST_STORED: usize = 4096;
