//! CompressedData: bounded, whole or not at all.

use std::io::{self, Write};

use privyseal_smime::decompress;
use privyseal_smime::limits::{INFLATED_FLOOR, INFLATED_RATIO};
use sha2::{Digest, Sha256};

use crate::pieces::{Pieces, assert_alike};

/// Keeps length and digest of what is written.
#[derive(Default)]
struct Seen {
    len: u64,
    digest: Sha256,
}

impl Write for Seen {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.len += data.len() as u64;
        self.digest.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(data: &[u8]) {
    let ask = |mut message: Pieces<'_>| {
        let mut seen = Seen::default();
        let result = decompress(&mut message, &mut seen);
        (result, seen.len, seen.digest.finalize())
    };
    let (whole, len, digest) = ask(Pieces::whole(data));
    let (small, same_len, same_digest) = ask(Pieces::small(data));
    assert_alike(&whole, &small);
    assert_eq!((len, digest), (same_len, same_digest));
    match whole {
        Ok(outcome) => {
            assert_eq!(outcome.content_len, len);
            let most = (data.len() as u64 * INFLATED_RATIO).max(INFLATED_FLOOR);
            assert!(len <= most, "{len} bytes from {}", data.len());
        }
        Err(error) => assert_eq!(len, 0, "bytes before {error}"),
    }
}
