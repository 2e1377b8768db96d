//! Message data: what is handed to the daemon as input and output, and the copying where the user's own descriptor cannot be
//! handed over (terminals and devices; files on stdout, whose offset the daemon leaves alone).

mod input;
mod output;
mod relay;

use std::path::Path;

pub use input::Input;
pub use output::{Atomic, Finish, Output};
pub use relay::Trouble;

/// `-` or nothing: the standard stream.
fn is_standard(path: Option<&Path>) -> bool {
    path.is_none_or(|path| path == Path::new("-"))
}
