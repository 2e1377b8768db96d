//! The interop matrix: everything that Privyseal and other programs know of S/MIME, made by one and read by the other. Alice's
//! keys are on the token, Bob's belong to the peers.
//!
//! A cell that one side cannot do says why, by [`Lack`]; where it can be asked for, it is, and must fail with those words, so that
//! no cell stays out of the table once a peer has learned it.

mod bench;
mod bouncy_castle;
mod gpgsm;
mod matrix;
mod mime;
mod nss;
mod openssl;
mod ours;
mod page;
mod work;

use std::path::PathBuf;

pub use bench::{Bench, Who};
pub use matrix::{Cell, Column, run};
pub use page::page;
pub use work::{Cipher, Form, Format, Key, Management, Row, Scheme, Work, rows};

/// Why a cell is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There is no way to ask for it.
    NoOption(&'static str),
    /// Asked for it, the program fails, and says this among other things.
    Refusal {
        why: &'static str,
        says: &'static str,
    },
}

impl Lack {
    pub fn why(self) -> &'static str {
        match self {
            Lack::NoOption(why) | Lack::Refusal { why, .. } => why,
        }
    }
}

/// One message.
pub struct Job<'a> {
    pub work: &'a Work,
    /// where the message is, or comes to be
    pub message: PathBuf,
    /// what was signed, encrypted or compressed
    pub content: PathBuf,
    /// where a reader puts the content
    pub seen: PathBuf,
    /// the recipient who reads
    pub reader: Key,
}

/// Another program that knows CMS or S/MIME.
pub trait Peer: Sync {
    /// Without a version: the page is the same on every machine.
    fn name(&self) -> &'static str;

    /// What keeps it from making this.
    fn cannot_write(&self, work: &Work) -> Option<Lack>;

    /// What keeps it from reading what Privyseal makes of this, with this key where it is encrypted.
    fn cannot_read(&self, work: &Work, reader: Key) -> Option<Lack>;

    /// Makes messages for Alice with Bob's keys; `Err` is what the program said.
    fn write(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>>;

    /// Reads messages of Alice with Bob's keys, and leaves their content in `seen`.
    fn read(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>>;
}

/// Those of the matrix, ready. A program that is not installed ends the test.
pub fn peers(bench: &Bench) -> Vec<Box<dyn Peer + '_>> {
    vec![
        Box::new(openssl::OpenSsl),
        Box::new(gpgsm::Gpgsm::new(bench)),
        Box::new(nss::Nss::new(bench)),
        Box::new(bouncy_castle::BouncyCastle),
    ]
}
