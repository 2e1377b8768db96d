//! A small message in memory.

use std::io::Read;

use super::Input;
use crate::error::Result;

/// Bytes that came in a D-Bus message or a test.
pub struct MemoryInput(Vec<u8>);

impl MemoryInput {
    pub fn new(bytes: Vec<u8>) -> Self {
        MemoryInput(bytes)
    }
}

impl Input for MemoryInput {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.as_slice()))
    }
}
