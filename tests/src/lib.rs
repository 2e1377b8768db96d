//! What the end-to-end tests share: a private place with a real dbus-daemon, a SoftHSM token with the demo PKI, and the built
//! daemon on it. Nothing of the user's is touched, and nothing stays behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may fail loudly"
)]

pub mod bytes;
pub mod conformance;
pub mod der;
pub mod interop;
pub mod kinds;
pub mod kryoptic;
pub mod memory;
pub mod notes;
pub mod process;
pub mod program;
pub mod table;
mod world;

pub use privyseal_virtual_card::not_run;
pub use world::{PIN, Run, World, WorldOptions, binary, openssl, wait_until};
