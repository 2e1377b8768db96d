//! Signing and verifying, with openssl as the other side and with messages that nobody honest would make.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

use std::io::Read;

use super::testkit::{Kind, Person, options};
use super::{SignForm, SignOptions, VerifyOutcome, release, sign, verify};
use crate::cert::Certificate;
use crate::error::Result;
use crate::io::{Input, MemoryInput};

mod algorithms;
mod claims;
mod counter;
mod crafted;
mod ess;
mod flips;
mod limits;
mod messages;
mod openssl;
mod rules;

/// A signed message of this person.
fn signed(person: &Person, content: &[u8], options: &SignOptions) -> Vec<u8> {
    let mut out = Vec::new();
    sign(
        &mut &content[..],
        &mut out,
        &person.certificate,
        person,
        options,
    )
    .unwrap();
    out
}

fn check(message: &[u8]) -> Result<VerifyOutcome> {
    verify(&mut MemoryInput::new(message.to_vec()), None, &[])
}

fn check_detached(message: &[u8], content: &[u8]) -> Result<VerifyOutcome> {
    let mut content = MemoryInput::new(content.to_vec());
    verify(
        &mut MemoryInput::new(message.to_vec()),
        Some(&mut content),
        &[],
    )
}

fn released(message: &[u8], content: Option<&[u8]>) -> Result<Vec<u8>> {
    let mut content = content.map(|c| MemoryInput::new(c.to_vec()));
    let mut out = Vec::new();
    let content = content.as_mut().map(|c| c as &mut dyn Input);
    let written = release(&mut MemoryInput::new(message.to_vec()), content, &mut out)?;
    assert_eq!(written, out.len() as u64);
    Ok(out)
}

/// The DER inside a clear-signed message, and its signed part.
fn parts_of_clear(message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut input = MemoryInput::new(message.to_vec());
    let crate::mime::Opened::Signed(mut multipart) = crate::mime::open(input.pass().ok()?).ok()?
    else {
        return None;
    };
    let mut content = Vec::new();
    multipart
        .content(&mut |chunk| {
            content.extend_from_slice(chunk);
            Ok(())
        })
        .ok()?;
    Some((content, multipart.signature().ok()?.0))
}
