//! Messages of other implementations with what their publishers say of them (`cases.jsonl` of the conformance folder, described
//! in its README): which cases are run here, how one is run through the command line, and what is allowed to fail.

mod case;
mod exceptions;
mod run;
mod table;

pub use case::{Case, Expect, Key, Policy, Samples};
pub use exceptions::Exceptions;
pub use run::Runner;
pub use table::Report;
