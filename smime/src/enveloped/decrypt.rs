//! Decrypting: pass 1 finds the key and authenticates, pass 2 releases.

use std::io::{self, Read, Write};

use subtle::ConstantTimeEq;

use super::cbc::{CbcCheck, CbcDecryptor};
use super::chacha::{self, KeyStream};
use super::envelope::{Envelope, Parameters};
use super::gcm::{self, Counter};
use super::open::{Keys, Opened, allowed};
use super::{BLOCK, DecryptOutcome, SLACK};
use crate::ber::Reader;
use crate::error::{Error, Result};
use crate::io::Input;
use crate::key::KeyOpener;
use crate::mime::{self, Headers};
use crate::profile::{Profile, Strength};

/// Opens one encrypted layer in any form. Not a byte is written before an authenticated cipher's tag has verified, or, for CBC,
/// before the structure has been read to its end and the padding is right.
///
/// Keys of ours among the recipients are tried in the message's order, eight at most; each wrong one costs one more pass, and so
/// do authenticated attributes under ChaCha20-Poly1305, which come last in the message and first in the tag.
///
/// # Errors
/// [`crate::Error::NotEncrypted`], `NoRecipientMatch`, `UnsupportedAlgorithm`, `Malformed`, `Key` (device, session, login), and
/// the one `DecryptionFailed` for everything that depends on the key.
pub fn decrypt(
    message: &mut dyn Input,
    opener: &dyn KeyOpener,
    out: &mut dyn Write,
) -> Result<DecryptOutcome> {
    decrypt_with(message, opener, &Profile::legacy_read(), out)
}

/// The same by the reading rules of another profile than `legacy-read`.
///
/// # Errors
/// Also `WeakAlgorithm` and `Refused`: what the profile does not read. No key is used then.
pub fn decrypt_with(
    message: &mut dyn Input,
    opener: &dyn KeyOpener,
    profile: &Profile,
    out: &mut dyn Write,
) -> Result<DecryptOutcome> {
    let mut first = None;
    let mut attributes = Vec::new();
    let mut judgement = pass(message, |headers, mut reader| {
        let mut envelope = Envelope::read(&mut reader, Some(opener))?;
        let recipients = std::mem::take(&mut envelope.recipients);
        let count = recipients.count;
        let candidates = recipients.candidates()?;
        profile.reads_cipher(envelope.cipher)?;
        let candidates = allowed(candidates, profile)?;
        let mut keys = Keys::new(candidates, opener, envelope.cipher.key_len());
        let opened = keys.next()?;
        let judgement = judge(&envelope, reader, &opened, &[])?;
        first = Some((headers, count, envelope, keys, opened));
        Ok(judgement)
    })?;
    let (headers, recipients, envelope, mut keys, mut opened) =
        first.ok_or(Error::DecryptionFailed)?;

    loop {
        match judgement {
            Judgement::Right => break,
            Judgement::Wrong => opened = keys.next()?,
            Judgement::Attributes(found) if attributes.is_empty() => attributes = found,
            Judgement::Attributes(_) => return Err(Error::InputChanged),
        }
        judgement = pass(message, |_, mut reader| {
            Envelope::read(&mut reader, None)?;
            judge(&envelope, reader, &opened, &attributes)
        })?;
    }
    pass(message, |_, mut reader| {
        Envelope::read(&mut reader, None)?;
        release(&envelope, reader, &opened, out)
    })?;
    Ok(DecryptOutcome {
        cipher: envelope.cipher.name().to_owned(),
        authenticated: envelope.cipher.is_authenticated(),
        key_management: opened.candidate.method(),
        weak: profile.reads_cipher(envelope.cipher)? == Strength::Weak
            || opened.candidate.strength(profile)? == Strength::Weak,
        certificate: opened.candidate.certificate,
        recipients,
        headers,
    })
}

/// The body of a CMS object, whatever form it came in.
type Body<'a> = Reader<Box<dyn Read + Send + 'a>>;

/// One look at the message. What lies behind the CMS object is read too, since an input may be opened again only from its end.
fn pass<T>(
    message: &mut dyn Input,
    work: impl FnOnce(Headers, Body<'_>) -> Result<T>,
) -> Result<T> {
    let mut input = message.pass()?;
    let result = match mime::open(Box::new(&mut input))? {
        mime::Opened::Cms { headers, body, .. } => work(headers, Reader::new(body))?,
        _ => return Err(Error::NotEncrypted),
    };
    io::copy(&mut input, &mut io::sink())?;
    Ok(result)
}

enum Judgement {
    Right,
    Wrong,
    /// not known: these are authenticated too, other than was thought
    Attributes(Vec<u8>),
}

impl Judgement {
    fn of(right: bool) -> Self {
        if right {
            Judgement::Right
        } else {
            Judgement::Wrong
        }
    }
}

/// Whether this key is the right one: by the tag, or by the padding where there is no tag. `attributes` is what is thought to be
/// authenticated beside the content.
fn judge(
    envelope: &Envelope,
    mut reader: Body<'_>,
    opened: &Opened,
    attributes: &[u8],
) -> Result<Judgement> {
    match &envelope.parameters {
        Parameters::Cbc { iv } => {
            let mut check = CbcCheck::new(envelope.cipher, iv);
            reader.octets(&envelope.content, &mut |data| {
                check.update(data);
                Ok(())
            })?;
            envelope.finish(reader)?;
            check.finish(&opened.key).map(Judgement::of)
        }
        Parameters::Gcm { nonce, tag_len } => {
            let (_, mut authenticator) = gcm::start(&opened.key, nonce)?;
            reader.octets(&envelope.content, &mut |data| authenticator.update(data))?;
            let tail = envelope.finish(reader)?;
            verify(&authenticator.finish(&tail.aad)?, &tail.mac, *tag_len)
        }
        Parameters::ChaCha { nonce } => {
            let (_, mut authenticator) = chacha::start(&opened.key, nonce, attributes)?;
            reader.octets(&envelope.content, &mut |data| authenticator.update(data))?;
            let tail = envelope.finish(reader)?;
            let judgement = verify(&authenticator.finish(), &tail.mac, chacha::TAG)?;
            Ok(if tail.aad == attributes {
                judgement
            } else {
                Judgement::Attributes(tail.aad)
            })
        }
    }
}

fn verify(tag: &[u8], mac: &[u8], tag_len: usize) -> Result<Judgement> {
    if mac.len() != tag_len {
        return Err(Error::malformed(
            "a tag whose length is not what the cipher and its parameters say",
        ));
    }
    let tag = tag.get(..tag_len).unwrap_or(&[]);
    Ok(Judgement::of(tag.ct_eq(mac).into()))
}

/// Decrypts what has been judged.
fn release(
    envelope: &Envelope,
    mut reader: Body<'_>,
    opened: &Opened,
    out: &mut dyn Write,
) -> Result<()> {
    let mut decryptor = match &envelope.parameters {
        Parameters::Cbc { iv } => {
            Decryptor::Cbc(CbcDecryptor::new(envelope.cipher, &opened.key, iv)?)
        }
        Parameters::Gcm { nonce, .. } => Decryptor::Gcm(gcm::start(&opened.key, nonce)?.0),
        Parameters::ChaCha { nonce } => {
            Decryptor::ChaCha(Box::new(chacha::start(&opened.key, nonce, &[])?.0))
        }
    };
    let mut buffer = vec![0; 2 * BLOCK + SLACK];
    let mut filled = 0usize;
    reader.octets(&envelope.content, &mut |data| {
        for part in data.chunks(BLOCK) {
            let room = buffer.get_mut(filled..).unwrap_or(&mut []);
            filled = filled.saturating_add(decryptor.update(part, room)?);
            if filled >= BLOCK {
                out.write_all(buffer.get(..filled).unwrap_or(&[]))?;
                filled = 0;
            }
        }
        Ok(())
    })?;
    let room = buffer.get_mut(filled..).unwrap_or(&mut []);
    filled = filled.saturating_add(decryptor.finish(room)?);
    out.write_all(buffer.get(..filled).unwrap_or(&[]))?;
    Ok(())
}

enum Decryptor {
    Cbc(CbcDecryptor),
    Gcm(Counter),
    ChaCha(Box<KeyStream>),
}

impl Decryptor {
    fn update(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize> {
        match self {
            Decryptor::Cbc(cbc) => cbc.update(data, out),
            Decryptor::Gcm(counter) => counter.apply(data, out).map(|()| data.len()),
            Decryptor::ChaCha(stream) => stream.apply(data, out).map(|()| data.len()),
        }
    }

    fn finish(self, out: &mut [u8]) -> Result<usize> {
        match self {
            Decryptor::Cbc(cbc) => cbc.finish(out),
            Decryptor::Gcm(_) | Decryptor::ChaCha(_) => Ok(0),
        }
    }
}
