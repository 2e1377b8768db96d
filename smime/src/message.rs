//! A received message, opened to its innermost layer (RFC 8551 §3.7, RFC 9787 §4): which layers there are, who signed what,
//! and what is inside.
//!
//! Layers are what stands around the whole message, one inside the other. S/MIME below a multipart is no layer: it is reported,
//! and says nothing about the message. Must not judge certificates: that is the caller's, for [`Opened::signed`] as for
//! [`Opened::parts`].

use std::io::{Read, Write};
use std::path::PathBuf;

use der::asn1::ObjectIdentifier;

use crate::ber::Reader;
use crate::cert::Certificate;
use crate::compressed::decompress_up_to;
use crate::content::{
    self, ID_AUTH_ENVELOPED_DATA, ID_COMPRESSED_DATA, ID_ENVELOPED_DATA, ID_SIGNED_DATA,
};
use crate::enveloped::{self, DecryptOutcome};
use crate::error::{Error, Result};
use crate::io::{HeldInput, Input, PartInput};
use crate::key::KeyOpener;
use crate::layer::Layer;
use crate::limits::{LAYERS, SIGNED_PARTS};
use crate::mime::{self, Headers, Part, Parts, Structure};
use crate::profile::Profile;
use crate::signed::{VerifyOutcome, is_encrypted, release, verify};

#[cfg(test)]
mod tests;

/// What opening a message needs.
pub struct Opener<'a> {
    /// The keys for encrypted layers; without them such a layer is the last that is looked at.
    pub keys: Option<&'a dyn KeyOpener>,
    /// Certificates from elsewhere that may be signers'.
    pub candidates: &'a [Certificate],
    /// Which algorithms are read in encrypted layers.
    pub profile: &'a Profile,
    /// Where the unnamed files are made that hold what is inside a layer. Created if it is missing.
    pub spool: PathBuf,
}

/// A message, opened.
#[derive(Default)]
pub struct Opened {
    /// outermost first
    pub layers: Vec<Layer>,
    /// Of each signed layer, its place among the layers and what it says, outermost first. The last one is judged as what the
    /// letter's own headers announce.
    pub signed: Vec<(usize, VerifyOutcome)>,
    /// of each encrypted layer that was decrypted, outermost first
    pub decrypted: Vec<DecryptOutcome>,
    /// Signed parts below a multipart of what is inside: they speak for themselves only.
    pub parts: Vec<VerifyOutcome>,
    /// Encrypted parts below a multipart of what is inside. They are left as they are (EFAIL).
    pub encrypted_parts: usize,
    /// Parts were left out, there are too many of them or they are nested too deep.
    pub more_parts: bool,
    /// of the message as it came
    pub headers: Headers,
    /// of what is inside, where it is an entity
    pub inner_headers: Headers,
    /// What is inside, as an entity; `None`: nothing was around it.
    content: Option<HeldInput>,
    /// What is inside is a CMS object of a type that is no layer of mail (RFC 8551 §2.4).
    pub foreign: Option<ObjectIdentifier>,
    /// Why it was not opened further, though there is more.
    pub stopped: Option<Error>,
}

impl Opened {
    /// The signed layer that speaks for the content: the innermost.
    pub fn deciding(&self) -> Option<&VerifyOutcome> {
        self.signed.last().map(|(_, outcome)| outcome)
    }

    /// Writes what is inside, as it was signed or encrypted; the message itself where nothing was around it. Returns bytes.
    ///
    /// # Errors
    /// Those of input and output.
    pub fn write_content(&mut self, message: &mut dyn Input, out: &mut dyn Write) -> Result<u64> {
        let mut content = match &mut self.content {
            Some(content) => content.pass()?,
            None => message.pass()?,
        };
        Ok(std::io::copy(&mut content, out)?)
    }

    /// The same as a letter: under the header fields of the message as it came, but for those that say what its body was, and
    /// those that what is inside has too (it is the inner ones that were signed or encrypted).
    ///
    /// # Errors
    /// Those of input and output.
    pub fn write_letter(&mut self, message: &mut dyn Input, out: &mut dyn Write) -> Result<u64> {
        let mut written = 0u64;
        if self.content.is_some() && self.headers.are_of_a_letter() {
            let mut letter = mime::letter_fields(message.pass()?, |name| {
                !is_of_a_body(name) && self.inner_headers.count(name) == 0
            })?;
            if self.inner_headers.fields().is_empty() {
                letter.extend_from_slice(b"\r\n");
            } else if self.inner_headers.count("MIME-Version") == 0 {
                letter.extend_from_slice(b"MIME-Version: 1.0\r\n");
            }
            out.write_all(&letter)?;
            written = letter.len() as u64;
        }
        Ok(written.saturating_add(self.write_content(message, out)?))
    }
}

/// Fields that describe the body which is taken away (RFC 2045 §3).
fn is_of_a_body(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("content-") || name == "mime-version"
}

/// What stands at the outside of a message.
enum Kind {
    Signed,
    Encrypted(&'static str),
    Compressed,
    /// a CMS object of another type
    Foreign(ObjectIdentifier),
    /// no layer; the headers of the entity
    Inner(Headers),
}

/// Opens a message layer by layer. `content` is what a detached signature at the outside covers.
///
/// A layer that cannot be opened ends the walk: [`Opened::stopped`] says why, and what was found so far is there. A signature
/// that does not hold does not end it.
///
/// # Errors
/// Of keys and tokens ([`Error::Key`], [`Error::NoRecipientMatch`]), of the input, and [`Error::Cancelled`], `Timeout`, `NoSpace`:
/// they say nothing of the message.
pub fn open(
    message: &mut dyn Input,
    mut content: Option<&mut dyn Input>,
    opener: &Opener<'_>,
) -> Result<Opened> {
    let mut opened = Opened::default();
    let walked = walk(message, &mut content, opener, &mut opened);
    match walked {
        Ok(()) => {}
        Err(error) if error.is_of_the_message() => opened.stopped = Some(error),
        Err(error) => return Err(error),
    }
    if let Some((_, outcome)) = opened.signed.last_mut() {
        outcome.for_letter(&opened.headers, &opened.inner_headers);
        if let Some(kind) = opened.foreign {
            outcome.reservations.push(format!(
                "what was signed is a CMS object of the type {}, which is not opened here",
                type_name(&kind)
            ));
        }
    }
    Ok(opened)
}

/// The types of RFC 5652 that are no layer of mail (RFC 8551 §2.4) by their names, others as they are.
pub fn type_name(kind: &ObjectIdentifier) -> String {
    match kind.to_string().as_str() {
        "1.2.840.113549.1.7.1" => "Data".into(),
        "1.2.840.113549.1.7.5" => "DigestedData".into(),
        "1.2.840.113549.1.7.6" => "EncryptedData".into(),
        "1.2.840.113549.1.9.16.1.2" => "AuthenticatedData".into(),
        other => other.to_owned(),
    }
}

fn walk(
    message: &mut dyn Input,
    content: &mut Option<&mut dyn Input>,
    opener: &Opener<'_>,
    opened: &mut Opened,
) -> Result<()> {
    // what compressed layers may grow to: the outermost one says it for all (one in the other, each 100:1, is without end)
    let mut inflated = u64::MAX;
    loop {
        let outermost = opened.layers.is_empty();
        let mut held = opened.content.take();
        let current: &mut dyn Input = match &mut held {
            Some(held) => held,
            None => &mut *message,
        };
        // what was signed or encrypted as it is, without headers around it, may be a file that begins with anything
        let raw = !outermost && opened.headers.fields().is_empty();
        let (kind, headers) = match look(current) {
            Err(Error::LimitExceeded { .. }) if raw => {
                (Kind::Inner(Headers::default()), Headers::default())
            }
            looked => looked?,
        };
        if outermost {
            opened.headers = headers.clone();
        }
        if let Kind::Inner(headers) = kind {
            let parts = structure(current, &headers);
            let found = parts.and_then(|parts| look_at_parts(current, parts, opener, opened));
            opened.inner_headers = headers;
            opened.content = held;
            return found;
        }
        if let Kind::Foreign(kind) = kind {
            opened.foreign = Some(kind);
            opened.inner_headers = headers;
            opened.content = held;
            return Ok(());
        }
        if opened.layers.len() >= LAYERS {
            opened.content = held;
            return Err(Error::LimitExceeded {
                what: "layers, one inside the other",
                limit: LAYERS as u64,
            });
        }
        let mut inside = HeldInput::new(opener.spool.clone());
        let done = match kind {
            Kind::Signed => signed(current, content, opener, opened, &mut inside),
            Kind::Encrypted(kind) => encrypted(current, kind, opener, opened, &mut inside),
            Kind::Compressed => {
                opened.layers.push(Layer::plain("compressed"));
                decompress_up_to(current, &mut inside, inflated).map(|outcome| {
                    inflated = inflated.min(outcome.allowed());
                    true
                })
            }
            Kind::Foreign(_) | Kind::Inner(_) => Ok(false),
        };
        *content = None;
        opened.content = match done {
            Ok(true) => Some(inside),
            // the rest stays as it is
            _ => held,
        };
        if !done? {
            return Ok(());
        }
    }
}

/// Whether there is something inside to go on with.
fn signed(
    current: &mut dyn Input,
    content: &mut Option<&mut dyn Input>,
    opener: &Opener<'_>,
    opened: &mut Opened,
    inside: &mut HeldInput,
) -> Result<bool> {
    let place = opened.layers.len();
    let reborrowed = content
        .as_mut()
        .map(|content| &mut **content as &mut dyn Input);
    let outcome = verify(current, reborrowed, opener.candidates);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            opened.layers.push(Layer::plain("signed"));
            return Err(error);
        }
    };
    let only_certificates = outcome
        .layers
        .first()
        .is_some_and(|l| l.kind == "certs-only");
    opened.layers.extend(outcome.layers.first().cloned());
    let carries_mail = outcome.carries_mail;
    opened.signed.push((place, outcome));
    if only_certificates || !carries_mail {
        return Ok(false);
    }
    let reborrowed = content
        .as_mut()
        .map(|content| &mut **content as &mut dyn Input);
    release(current, reborrowed, inside)?;
    Ok(true)
}

fn encrypted(
    current: &mut dyn Input,
    kind: &'static str,
    opener: &Opener<'_>,
    opened: &mut Opened,
    inside: &mut HeldInput,
) -> Result<bool> {
    opened.layers.push(Layer::plain(kind));
    let Some(keys) = opener.keys else {
        return Ok(false);
    };
    let outcome = enveloped::decrypt_with(current, keys, opener.profile, inside)?;
    if let Some(layer) = opened.layers.last_mut() {
        layer.cipher = Some(outcome.cipher.clone());
        layer.authenticated = Some(outcome.authenticated);
        layer.recipients = Some(outcome.recipients);
    }
    opened.decrypted.push(outcome);
    Ok(true)
}

/// What the outside is, and its headers.
fn look(message: &mut dyn Input) -> Result<(Kind, Headers)> {
    Ok(match mime::open(message.pass()?)? {
        mime::Opened::Signed(multipart) => (Kind::Signed, multipart.headers),
        mime::Opened::Other { headers, .. } => (Kind::Inner(headers.clone()), headers),
        mime::Opened::Cms { headers, body, .. } => {
            let kind = match content::enter(&mut Reader::new(body))? {
                ID_SIGNED_DATA => Kind::Signed,
                ID_ENVELOPED_DATA => Kind::Encrypted("enveloped"),
                ID_AUTH_ENVELOPED_DATA => Kind::Encrypted("auth-enveloped"),
                ID_COMPRESSED_DATA => Kind::Compressed,
                other => Kind::Foreign(other),
            };
            (kind, headers)
        }
    })
}

/// The S/MIME parts of an entity.
fn structure(message: &mut dyn Input, headers: &Headers) -> Result<Parts> {
    let multipart = headers.content_type().is_some_and(|t| {
        t.media_type.starts_with("multipart/") || t.media_type.starts_with("message/")
    });
    if !multipart {
        return Ok(Parts::default());
    }
    let mime::Opened::Other { mut body, .. } = mime::open(message.pass()?)? else {
        return Err(Error::InputChanged);
    };
    let mut structure = Structure::of_body(headers);
    let mut block = vec![0; 64 << 10];
    loop {
        let read = crate::io::read_some(&mut body as &mut dyn Read, &mut block)?;
        if read.is_empty() {
            return Ok(structure.finish());
        }
        structure.update(read);
    }
}

fn look_at_parts(
    message: &mut dyn Input,
    found: Parts,
    opener: &Opener<'_>,
    opened: &mut Opened,
) -> Result<()> {
    opened.more_parts = found.more;
    let (encrypted, others): (Vec<Part>, Vec<Part>) =
        found.parts.into_iter().partition(is_encrypted);
    opened.encrypted_parts = encrypted.len();
    for part in others {
        if opened.parts.len() >= SIGNED_PARTS {
            opened.more_parts = true;
            break;
        }
        let mut part = PartInput::new(message, part.range);
        match verify(&mut part, None, opener.candidates) {
            Ok(outcome) => opened.parts.push(outcome),
            // a part that says nothing: compressed, damaged, the signature of something else
            Err(error) if error.is_of_the_message() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
