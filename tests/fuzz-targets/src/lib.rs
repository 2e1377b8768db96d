//! What the fuzzers run (`fuzz/`), as ordinary functions: each takes any bytes, must neither panic nor hang, and panics where a
//! property of the thing under test does not hold. `tests/replay.rs` runs them on stable Rust over the stored corpus.
//!
//! Keys come from a fixed seed ([`keys`]): none is stored, and a message of the corpus opens in every later run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is how a target says what it found"
)]

pub mod conformance;
pub mod flips;
pub mod judge;
pub mod keys;
pub mod opener;
pub mod pieces;
pub mod seeds;

mod asn1;
mod targets;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folders in `fuzz/corpus` and `fuzz/corpus-min`.
pub const TARGETS: [(&str, Target); 9] = [
    ("ber", targets::ber::run),
    ("signed", targets::signed::run),
    ("enveloped", targets::enveloped::run),
    ("auth_enveloped", targets::enveloped::run),
    ("compressed", targets::compressed::run),
    ("mime", targets::mime::run),
    ("header_verdict", targets::header_verdict::run),
    ("certificate", targets::certificate::run),
    ("crl", targets::crl::run),
];

/// # Panics
/// There is no such target; or the target found something.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(n, _)| *n == name).expect(name);
    target(data);
}
