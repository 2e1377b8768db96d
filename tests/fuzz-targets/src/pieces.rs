//! An input that comes in pieces: how bytes are cut must make no difference.

use std::fmt::Debug;
use std::io::{self, Read};

use privyseal_smime::{Error, Input, Result};

/// In memory; a read gives `step` bytes at most.
pub struct Pieces<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl<'a> Pieces<'a> {
    pub fn whole(bytes: &'a [u8]) -> Self {
        Pieces {
            bytes,
            step: usize::MAX,
        }
    }

    /// About a hundred pieces, of an odd length.
    pub fn small(bytes: &'a [u8]) -> Self {
        Pieces {
            bytes,
            step: (bytes.len() / 97) | 1,
        }
    }

    pub fn reader(&self) -> PiecesReader<'a> {
        PiecesReader {
            rest: self.bytes,
            step: self.step,
        }
    }
}

impl Input for Pieces<'_> {
    fn pass(&mut self) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.reader()))
    }
}

pub struct PiecesReader<'a> {
    rest: &'a [u8],
    step: usize,
}

impl Read for PiecesReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.step.min(buffer.len()).min(self.rest.len());
        let (piece, rest) = self.rest.split_at(now);
        buffer[..now].copy_from_slice(piece);
        self.rest = rest;
        Ok(now)
    }
}

/// Both are the same, or both are refused. What is wrong with a message may be found in another order when it comes in other
/// pieces, so the words may differ.
pub fn assert_alike<T: Debug>(whole: &Result<T>, small: &Result<T>) {
    match (whole, small) {
        (Ok(whole), Ok(small)) => assert_eq!(
            format!("{whole:?}"),
            format!("{small:?}"),
            "the pieces it comes in make a difference"
        ),
        (Err(whole), Err(small)) => {
            assert!(
                is_of_the_message(whole) && is_of_the_message(small),
                "{whole:?} {small:?}"
            );
        }
        _ => panic!("taken in one piece or in many, but not both: {whole:?}, {small:?}"),
    }
}

/// What can be wrong with any bytes, and no trouble of the machine.
fn is_of_the_message(error: &Error) -> bool {
    match error {
        Error::NotSigned
        | Error::NotEncrypted
        | Error::NotCompressed
        | Error::ContentMissing
        | Error::Malformed(_)
        | Error::LimitExceeded { .. }
        | Error::UnsupportedAlgorithm(_)
        | Error::WeakAlgorithm(_)
        | Error::Certificate(_)
        | Error::NoRecipientMatch
        | Error::DecryptionFailed => true,
        // a point that is none, by the token's own check; a kind of key that the token has not
        Error::Key(error) => matches!(error.name, "DeviceError" | "UnsupportedAlgorithm"),
        _ => false,
    }
}
