//! Kinds of tokens × operations, over the real daemon. Openssl verifies each signature and makes each ciphertext that it knows.
//! The table of docs/tokens.md comes from the same data ([`page`]).

pub mod kind;
mod operation;
pub mod page;
mod place;
mod run;
mod work;

pub use kind::{ALL, Kind, Lack};
pub use operation::Operation;
pub use place::Place;
pub use run::run;
