//! Encrypting and decrypting, with openssl as the other side and with messages that nobody honest would make.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

mod attempts;
mod hostile;
mod limits;
mod openssl;
mod support;
mod writing;
