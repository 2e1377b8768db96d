//! A body part of a message as a message of its own.

use std::io::{self, Read};
use std::ops::Range;

use super::Input;
use crate::error::Result;
use crate::mime::{Opened, open};

/// Bytes of the body of a MIME entity, read where they lie.
pub(crate) struct PartInput<'a> {
    message: &'a mut dyn Input,
    range: Range<u64>,
}

impl<'a> PartInput<'a> {
    /// `range` counts from the start of the body, as [`crate::mime::Structure::of_body`] does.
    pub(crate) fn new(message: &'a mut dyn Input, range: Range<u64>) -> Self {
        PartInput { message, range }
    }
}

impl Input for PartInput<'_> {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        let len = self.range.end.saturating_sub(self.range.start);
        let mut body: Box<dyn Read + Send + '_> = match open(self.message.pass()?)? {
            Opened::Other { body, .. } => body,
            _ => return Err(crate::Error::InputChanged),
        };
        io::copy(&mut (&mut body).take(self.range.start), &mut io::sink())?;
        Ok(Box::new(body.take(len)))
    }
}
