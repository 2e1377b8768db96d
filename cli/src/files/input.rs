//! FILE: opened for reading, or standard input.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, fstat};

use super::relay::{Trouble, feed};
use crate::error::{CommandError, Result};
use crate::ui::Ui;

/// A message to be read by the daemon.
#[derive(Debug)]
pub struct Input {
    fd: OwnedFd,
}

impl Input {
    /// `None` or `-`: standard input. Files, pipes and sockets are handed over; the rest is copied through a pipe.
    pub fn open(path: Option<&Path>, ui: &Ui, trouble: &Trouble) -> Result<Self> {
        let file = match path {
            Some(path) if !super::is_standard(Some(path)) => File::open(path)
                .map_err(|e| CommandError::local(format!("cannot open {}", path.display()), &e))?,
            _ => standard(ui)?,
        };
        let name = path.map_or_else(
            || "standard input".into(),
            |path| path.display().to_string(),
        );
        let stat =
            fstat(&file).map_err(|e| CommandError::local(format!("cannot read {name}"), &e))?;
        if ui.stdout_is_for_data() && super::same_file(&file, io::stdout()) {
            return Err(CommandError::local(
                format!("cannot read {name}"),
                &"the output goes to the same file",
            )
            .hint("name the output with -o: it may be the same file then, which is replaced when all is done"));
        }
        let fd = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Fifo | FileType::Socket => file.into(),
            FileType::Directory => {
                return Err(CommandError::local(
                    format!("cannot read {name}"),
                    &"it is a folder",
                ));
            }
            _ => feed(file, trouble)?,
        };
        Ok(Input { fd })
    }

    /// "No such thing", as the contract has it: /dev/null.
    pub fn none() -> Result<Self> {
        let file = File::open("/dev/null")
            .map_err(|e| CommandError::local("cannot open /dev/null", &e))?;
        Ok(Input { fd: file.into() })
    }

    pub fn into_fd(self) -> zbus::Fd<'static> {
        self.fd.into()
    }
}

fn standard(ui: &Ui) -> Result<File> {
    let stdin = io::stdin();
    if super::was_closed(&stdin) {
        return Err(
            CommandError::local("cannot read standard input", &"it is closed")
                .hint("name a file, or /dev/null for an empty message"),
        );
    }
    if stdin.is_terminal() {
        ui.note("reading from the terminal; Ctrl-D ends the message");
    }
    let fd = stdin.as_fd().try_clone_to_owned();
    fd.map(File::from)
        .map_err(|e| CommandError::local("cannot read standard input", &e))
}
