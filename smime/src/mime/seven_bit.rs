//! Whether text passes every relay as it is: 7bit (RFC 2045 §2.7).

/// A line with its CR, bytes (RFC 5322 §2.1.1: 998 without).
const LINE: usize = 999;

/// Looks at text as it comes.
#[derive(Default)]
pub(crate) struct SevenBit {
    /// bytes since the last LF
    line: usize,
    broken: bool,
}

impl SevenBit {
    pub(crate) fn update(&mut self, mut text: &[u8]) {
        if self.broken {
            return;
        }
        if !text.is_ascii() || memchr::memchr(0, text).is_some() {
            self.broken = true;
            return;
        }
        loop {
            let room = LINE.saturating_sub(self.line);
            let window = text.get(..=room).unwrap_or(text);
            match memchr::memrchr(b'\n', window) {
                Some(lf) => {
                    text = text.get(lf.saturating_add(1)..).unwrap_or_default();
                    self.line = 0;
                }
                None if window.len() > room => {
                    self.broken = true;
                    return;
                }
                None => {
                    self.line = self.line.saturating_add(text.len());
                    return;
                }
            }
        }
    }

    pub(crate) fn holds(&self) -> bool {
        !self.broken
    }
}
