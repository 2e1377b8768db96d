//! Message data: what is handed to the daemon as input and output, and the copying where the user's own descriptor cannot be
//! handed over (terminals and devices; files on stdout, whose offset the daemon leaves alone).

mod input;
mod output;
mod relay;

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, major, minor};

pub use input::Input;
pub use output::{Atomic, Finish, Output};
pub use relay::Trouble;

/// `-` or nothing: the standard stream.
fn is_standard(path: Option<&Path>) -> bool {
    path.is_none_or(|path| path == Path::new("-"))
}

/// Whether two descriptors are of one file, pipe or device.
fn is_same(a: impl AsFd, b: impl AsFd) -> bool {
    match (fstat(a), fstat(b)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// Whether both are one regular file, in which what is written would be read again.
fn same_file(a: impl AsFd, b: impl AsFd) -> bool {
    fstat(&a).is_ok_and(|a| FileType::from_raw_mode(a.st_mode) == FileType::RegularFile)
        && is_same(a, b)
}

/// Whether a standard stream was closed when the program began: Rust's runtime then puts /dev/null there, and the data would be
/// lost without a word. Its mark is that it can be read and written; a shell's `>/dev/null` can be written only.
fn was_closed(stream: impl AsFd) -> bool {
    let is_null = fstat(&stream).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && (major(found.st_rdev), minor(found.st_rdev)) == (1, 3)
    });
    is_null && fcntl_getfl(&stream).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR)
}
