#![allow(
    clippy::arithmetic_side_effects,
    clippy::type_complexity,
    reason = "small numbers, and tables"
)]

use std::io::Read;

mod address;
mod base64;
mod canonical;
mod form;
mod headers;
mod multipart;
mod open;
mod seven_bit;
mod shown;
mod structure;
mod transfer;
mod words;

/// Step sizes that put a buffer's border everywhere in a small input.
const STEPS: [usize; 6] = [1, 2, 3, 7, 64, usize::MAX];

/// Gives at most `step` bytes a read.
struct Trickle<'a> {
    data: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.step.min(buffer.len()).min(self.data.len());
        let (now, later) = self.data.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.data = later;
        Ok(count)
    }
}

fn trickle(data: &[u8], step: usize) -> Box<dyn Read + Send + '_> {
    Box::new(Trickle { data, step })
}

/// Reads to the end with a buffer of `step` bytes.
fn read_in_steps(mut reader: impl Read, step: usize) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; step.min(200_000)];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Bytes with no pattern that a line length divides.
fn sample(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}
