//! A SoftHSM token with a demo PKI, for people and tests without hardware.
//!
//! It is a tool of its own: nothing of it is linked into the daemon, and the daemon knows nothing of it. The key of
//! a demo CA lies in a plain file: never trust its root anywhere else.

pub mod error;
pub mod import;
pub mod init;
pub mod layout;
pub mod pki;
pub mod token;

mod pem;
