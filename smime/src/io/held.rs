//! What was inside a layer: written once, then read as a message of its own.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::Input;
use super::spool::Spool;
use crate::error::Result;

/// Content on its way from one layer to the next: in memory while it is small, else encrypted in an unnamed file.
pub struct HeldInput {
    spool: Spool,
}

impl HeldInput {
    /// `folder` is where the unnamed file is made, when more than 64 KiB are written. It is created if it is missing.
    pub fn new(folder: PathBuf) -> Self {
        HeldInput {
            spool: Spool::new(folder),
        }
    }
}

impl Write for HeldInput {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.spool.append(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Input for HeldInput {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(self.spool.reader())
    }
}
