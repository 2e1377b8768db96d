//! Encrypting and decrypting, with openssl as the other side and with messages that nobody honest would make.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

mod agreement;
mod attempts;
mod bouncy_castle;
mod ciphers;
mod conformance;
mod encapsulation;
mod hostile;
mod keys;
mod limits;
mod openssl;
mod profiles;
mod support;
mod writing;
mod wycheproof;
