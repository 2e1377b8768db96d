//! Compressing and decompressing, and messages that nobody honest would make.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

mod hostile;
mod limits;
mod roundtrip;
mod support;
