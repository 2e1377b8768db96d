//! Verifying: one pass that judges, another that releases.

use std::collections::HashSet;
use std::io::{Read, Write};

use der::asn1::ObjectIdentifier;

use super::attributes::START;
use super::inside::{Encrypted, LOOKED_AT, Look, entity};
use super::signed_data::{Rest, SignedDataReader};
use super::signer::{Content, SignerInfo};
use super::{SignatureState, SignerOutcome, VerifyOutcome, counter};
use crate::algorithm::{DigestAlgorithm, Hashers};
use crate::cert::Certificate;
use crate::content::ID_DATA;
use crate::enveloped;
use crate::error::{Error, Result};
use crate::ess::{Findings, ID_CT_RECEIPT};
use crate::io::Input;
use crate::layer::Layer;
use crate::limits;
use crate::mailbox::Mailbox;
use crate::mime::{CanonicalReader, CrlfHasher, Headers, MultipartSigned, Opened, open};

/// Judges a signed message in any form. `content` is what a detached signature covers; where the message has content of its
/// own (openssl embeds it under `-stream`), the signature must hold for both. `candidates` are certificates from elsewhere that
/// may be the signer's.
///
/// # Errors
/// [`crate::Error::NotSigned`], `Malformed`, `LimitExceeded`, `ContentMissing`, and those of the input.
pub fn verify(
    message: &mut dyn Input,
    content: Option<&mut dyn Input>,
    candidates: &[Certificate],
) -> Result<VerifyOutcome> {
    let (mut read, clear) = match read_message(message) {
        Err(Error::NotSigned) => return Err(not_signed(message)),
        other => other?,
    };
    let signers = read
        .rest
        .signer_infos
        .iter()
        .map(|der| SignerInfo::parse(der))
        .collect::<Result<Vec<_>>>()?;
    let certs_only = !clear && !read.has_content && signers.is_empty();
    if clear {
        let missing = missing_digests(&signers, &read);
        if !missing.is_empty() {
            // micalg did not name what the signature uses
            let Opened::Signed(mut multipart) = open(message.pass()?)? else {
                return Err(Error::InputChanged);
            };
            read.hashed
                .digests
                .extend(hash_clear(&mut multipart, &missing)?.digests);
        }
    }
    let whole = signers.iter().any(SignerInfo::needs_whole_content);
    if whole && (clear || read.has_content) {
        read.hashed.whole = whole_of_message(message)?;
    }
    let given = match content {
        Some(content) if !certs_only => {
            let mut given = hash_given(content, &read.announced)?;
            if whole {
                given.whole = whole_text(|sink| copy(&mut content.pass()?, sink))?;
            }
            Some(given)
        }
        None if !clear && !read.has_content && !certs_only => return Err(Error::ContentMissing),
        _ => None,
    };
    let named = named(&signers, &read.rest.certificates, candidates)?;
    let shown = match &given {
        Some(given) if !clear && !read.has_content => given,
        _ => &read.hashed,
    };
    let (inside, encrypted) = (entity(&shown.start), shown.encrypted);
    let judge = |hashed: &Hashed| judge_all(&signers, &named, &read, hashed);
    let (mut judged, content_len) = match given {
        Some(given) if clear || read.has_content => {
            let mut judged = judge(&read.hashed);
            for (own, given) in judged.iter_mut().zip(judge(&given)) {
                if own.state == SignatureState::Valid && given.state != SignatureState::Valid {
                    own.state = SignatureState::Invalid(
                        "the content given along is not what was signed".into(),
                    );
                }
            }
            (judged, read.hashed.len)
        }
        Some(given) => (judge(&given), given.len),
        None => (judge(&read.hashed), read.hashed.len),
    };
    let mut warnings = counter::judge(&signers, &mut judged, &read.rest.certificates, candidates);
    let ess = Findings::of(judged.iter().map(|signer| &signer.ess.attributes));
    warnings.extend(ess.warnings);
    let mut outcome = VerifyOutcome {
        content_type: Some(read.kind),
        warnings,
        signers: judged,
        certificates: read.rest.certificates,
        crls: read.rest.crls,
        layers: vec![Layer::plain(if certs_only {
            "certs-only"
        } else {
            "signed"
        })],
        from: read.headers.addresses("From"),
        inner: Headers::default(),
        headers: read.headers,
        contradictions: ess.contradictions,
        reservations: ess.reservations,
        text_outside: read.outside,
        carries_mail: !certs_only && read.kind == ID_DATA,
        content_len,
    };
    if clear && read.has_content {
        outcome.contradictions.push(
            "the signature part carries content of its own, besides the text that is shown".into(),
        );
    }
    match inside {
        Ok((headers, layer)) => {
            if outcome.headers.count("From") > 0 && headers.count("From") > 0 {
                outcome.inner = headers;
            }
            if let Some(layer) = layer {
                outcome.layers.push(layer);
                outcome.reservations.push(
                    "what was signed is ciphertext: decrypt it, and judge the message inside"
                        .into(),
                );
            }
        }
        // a file may begin with anything
        Err(Error::LimitExceeded { .. }) if outcome.headers.fields().is_empty() => {}
        Err(why) => outcome
            .reservations
            .push(format!("what was signed cannot be looked at ({why})")),
    }
    if encrypted.parts > 0 {
        outcome.reservations.push(
            "a part of what was signed is ciphertext: the signature says nothing about what is in it"
                .into(),
        );
    }
    if encrypted.unseen {
        outcome
            .reservations
            .push("what was signed has more parts, or deeper ones, than are looked at".into());
    }
    // a receipt is judged like mail, but shown as what it is (RFC 2634 §2.6)
    if !certs_only && read.kind != ID_DATA && read.kind != ID_CT_RECEIPT {
        outcome.contradictions.push(format!(
            "what was signed is no mail but content of the type {}",
            read.kind
        ));
    }
    outcome.judge_from();
    Ok(outcome)
}

/// Second pass: writes the signed content as it was signed over (clear: the first part with the line ends of the message;
/// opaque: eContent; detached: the content file). Call it only with a verdict in hand. Returns bytes written.
///
/// # Errors
/// As [`verify`], and those of the output.
pub fn release(
    message: &mut dyn Input,
    content: Option<&mut dyn Input>,
    out: &mut dyn Write,
) -> Result<u64> {
    let mut written = 0u64;
    let mut sink = |chunk: &[u8]| -> Result<()> {
        out.write_all(chunk)?;
        written = written.saturating_add(chunk.len() as u64);
        Ok(())
    };
    match open(message.pass()?)? {
        Opened::Signed(mut multipart) => multipart.content(&mut sink)?,
        Opened::Cms { body, .. } => {
            let mut reader = SignedDataReader::open(body)?;
            if !reader.content(&mut sink)? && !reader.finish()?.signer_infos.is_empty() {
                copy(
                    &mut content.ok_or(Error::ContentMissing)?.pass()?,
                    &mut sink,
                )?;
            }
        }
        Opened::Other { .. } => return Err(Error::NotSigned),
    }
    out.flush()?;
    Ok(written)
}

/// A message after its first pass.
struct ReadMessage {
    headers: Headers,
    hashed: Hashed,
    announced: Vec<DigestAlgorithm>,
    kind: ObjectIdentifier,
    has_content: bool,
    outside: bool,
    rest: Rest,
}

/// The first pass, and whether the message is clear-signed.
fn read_message(message: &mut dyn Input) -> Result<(ReadMessage, bool)> {
    match open(message.pass()?)? {
        Opened::Signed(multipart) => Ok((read_clear(multipart)?, true)),
        Opened::Cms { headers, body, .. } => Ok((read_cms(headers, body)?, false)),
        Opened::Other { .. } => Err(Error::NotSigned),
    }
}

/// Why a message has no signature: an encrypted one that cannot be read is damaged, not unsigned.
fn not_signed(message: &mut dyn Input) -> Error {
    let read = message.pass().and_then(|pass| {
        if let Opened::Cms { body, .. } = open(pass)? {
            enveloped::look(body)?;
        }
        Ok(())
    });
    match read {
        Err(error @ (Error::Malformed(_) | Error::LimitExceeded { .. } | Error::Io(_))) => error,
        _ => Error::NotSigned,
    }
}

fn read_clear(mut multipart: MultipartSigned<'_>) -> Result<ReadMessage> {
    let headers = std::mem::take(&mut multipart.headers);
    let mut digests = multipart.micalg.clone();
    if !digests.iter().any(|d| {
        matches!(
            d,
            DigestAlgorithm::Sha256 | DigestAlgorithm::Sha384 | DigestAlgorithm::Sha512
        )
    }) {
        // micalg is often missing or behind the times; a digest at hand spares a pass
        digests.push(DigestAlgorithm::Sha256);
    }
    let hashed = hash_clear(&mut multipart, &digests)?;
    let (signature, outside) = multipart.signature()?;
    let mut reader = SignedDataReader::open(signature.as_slice())?;
    let has_content = reader.content(&mut |_| Ok(()))?;
    Ok(ReadMessage {
        headers,
        hashed,
        announced: std::mem::take(&mut reader.announced),
        kind: reader.kind,
        has_content,
        outside,
        rest: reader.finish()?,
    })
}

fn hash_clear(multipart: &mut MultipartSigned<'_>, digests: &[DigestAlgorithm]) -> Result<Hashed> {
    let mut hasher = ContentHasher::text(digests.iter().copied());
    multipart.content(&mut |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    if multipart.was_stored_with_lf() {
        hasher.forget_exact();
    }
    Ok(hasher.finish())
}

fn read_cms(headers: Headers, body: impl Read) -> Result<ReadMessage> {
    let mut reader = SignedDataReader::open(body)?;
    let mut hasher = ContentHasher::exact(reader.announced.iter().copied());
    let has_content = reader.content(&mut |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    Ok(ReadMessage {
        headers,
        hashed: hasher.finish(),
        announced: std::mem::take(&mut reader.announced),
        kind: reader.kind,
        has_content,
        outside: false,
        rest: reader.finish()?,
    })
}

fn missing_digests(signers: &[SignerInfo<'_>], read: &ReadMessage) -> Vec<DigestAlgorithm> {
    let there = |digest: &DigestAlgorithm| read.hashed.digests.iter().any(|(d, _)| d == digest);
    signers
        .iter()
        .filter_map(SignerInfo::digest)
        .filter(|d| read.announced.contains(d) && !there(d))
        .collect()
}

fn hash_given(content: &mut dyn Input, digests: &[DigestAlgorithm]) -> Result<Hashed> {
    let mut hasher = ContentHasher::text(digests.iter().copied());
    copy(&mut content.pass()?, &mut |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    Ok(hasher.finish())
}

/// One more pass: the content, for signatures that cover it and not a digest of it.
fn whole_of_message(message: &mut dyn Input) -> Result<Option<Vec<Vec<u8>>>> {
    match open(message.pass()?)? {
        Opened::Signed(mut multipart) => whole_text(|sink| multipart.content(sink)),
        Opened::Cms { body, .. } => {
            let mut reader = SignedDataReader::open(body)?;
            let held = hold(|sink| reader.content(sink).map(|_| ()))?;
            Ok(held.map(|content| vec![content]))
        }
        Opened::Other { .. } => Err(Error::InputChanged),
    }
}

/// Text with CRLF line ends, and as it came where that differs.
fn whole_text(read: impl FnOnce(Sink<'_>) -> Result<()>) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(exact) = hold(read)? else {
        return Ok(None);
    };
    let mut canonical = Vec::with_capacity(exact.len());
    CanonicalReader::new(exact.as_slice()).read_to_end(&mut canonical)?;
    let mut forms = vec![canonical, exact];
    forms.dedup();
    Ok(Some(forms))
}

type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// What `read` hands over; `None` if that is more than [`limits::WHOLE_CONTENT`] bytes.
fn hold(read: impl FnOnce(Sink<'_>) -> Result<()>) -> Result<Option<Vec<u8>>> {
    let mut held = Some(Vec::new());
    read(&mut |chunk| {
        held = held
            .take()
            .filter(|h: &Vec<u8>| h.len().saturating_add(chunk.len()) <= limits::WHOLE_CONTENT);
        if let Some(held) = &mut held {
            held.extend_from_slice(chunk);
        }
        Ok(())
    })?;
    Ok(held)
}

/// The different certificates that each SignerInfo may mean.
fn named<'c>(
    signers: &[SignerInfo<'_>],
    included: &'c [Certificate],
    candidates: &'c [Certificate],
) -> Result<Vec<Vec<&'c Certificate>>> {
    let mut tries = 0usize;
    let mut all = Vec::with_capacity(signers.len());
    for signer in signers {
        let mut named: Vec<&Certificate> = Vec::new();
        for certificate in included
            .iter()
            .chain(candidates)
            .filter(|c| signer.id.matches(c))
        {
            if !named.contains(&certificate) {
                named.push(certificate);
            }
        }
        tries = tries.saturating_add(named.len());
        if tries > limits::SIGNATURE_TRIES {
            return Err(Error::LimitExceeded {
                what: "certificates to try its signatures with",
                limit: limits::SIGNATURE_TRIES as u64,
            });
        }
        all.push(named);
    }
    Ok(all)
}

fn judge_all(
    signers: &[SignerInfo<'_>],
    named: &[Vec<&Certificate>],
    read: &ReadMessage,
    hashed: &Hashed,
) -> Vec<SignerOutcome> {
    let content = Content {
        kind: read.kind,
        announced: &read.announced,
        digests: &hashed.digests,
        start: hashed.start.get(..START).unwrap_or(&hashed.start),
        whole: hashed.whole.as_deref(),
    };
    signers
        .iter()
        .zip(named)
        .map(|(signer, named)| signer.judge(&content, named))
        .collect()
}

impl VerifyOutcome {
    /// Judges as what a letter with these headers consists of, in the place of its own, with `inner` as the headers of what is
    /// inside all layers.
    pub(crate) fn for_letter(&mut self, headers: &Headers, inner: &Headers) {
        self.headers = headers.clone();
        self.inner = Headers::default();
        if inner.count("From") > 0 {
            self.inner = inner.clone();
        }
        let outside = self.headers.are_of_a_letter();
        self.from = if outside { headers } else { inner }.addresses("From");
        self.judge_from();
    }

    /// One message has one author whom the signature speaks for (RFC 9787, design rule 10).
    fn judge_from(&mut self) {
        if self.signers.is_empty() {
            return;
        }
        let mut found = Vec::new();
        if self.headers.are_torn() {
            found.push(
                "a line that is no header field stands among the header fields: readers differ in what follows it"
                    .to_owned(),
            );
        }
        found.extend(oddity(&self.headers, self.signers.len(), "From field"));
        found.extend(oddity(&self.inner, self.signers.len(), "From field inside"));
        let (outside, inside) = (self.headers.addresses("From"), self.inner.addresses("From"));
        if !outside.is_empty() && !inside.is_empty() && mailboxes(&outside) != mailboxes(&inside) {
            found.push(
                "the From field inside, which was signed, names another than the one outside"
                    .to_owned(),
            );
        }
        for contradiction in found {
            if !self.contradictions.contains(&contradiction) {
                self.contradictions.push(contradiction);
            }
        }
    }
}

/// What makes the author that these headers show another one for each reader.
fn oddity(headers: &Headers, signers: usize, field: &str) -> Option<String> {
    let named = headers.addresses("From").len();
    if headers.count("From") > 1 {
        Some(format!(
            "several From fields ({field}): readers show different senders"
        ))
    } else if let Some(shown) = headers.addresses_beside("From").first() {
        Some(format!(
            "the {field} shows the address {shown}, which is not the one that the message is from"
        ))
    } else if named > signers {
        Some(format!(
            "the {field} names {named} addresses, signed by {signers} only"
        ))
    } else {
        None
    }
}

/// To be compared without regard to order; what is no address equals itself only.
fn mailboxes(addresses: &[String]) -> HashSet<std::result::Result<Mailbox, &String>> {
    let all = addresses.iter();
    all.map(|a| Mailbox::parse(a).ok_or(a)).collect()
}

/// Digests, length and beginning of the content.
#[derive(Default)]
struct Hashed {
    digests: Vec<(DigestAlgorithm, Vec<u8>)>,
    start: Vec<u8>,
    encrypted: Encrypted,
    len: u64,
    /// the content itself, where a signature covers it and it is not too long
    whole: Option<Vec<Vec<u8>>>,
}

struct ContentHasher {
    lines: Lines,
    lines_only: bool,
    look: Look,
    start: Vec<u8>,
    len: u64,
}

enum Lines {
    /// the bytes as they are
    Exact(Hashers),
    /// with CRLF line ends, and as they are
    Text(Box<CrlfHasher>),
}

impl ContentHasher {
    fn exact(digests: impl IntoIterator<Item = DigestAlgorithm>) -> Self {
        Self::new(Lines::Exact(Hashers::new(digests)))
    }

    fn text(digests: impl IntoIterator<Item = DigestAlgorithm>) -> Self {
        Self::new(Lines::Text(Box::new(CrlfHasher::new(digests))))
    }

    fn new(lines: Lines) -> Self {
        ContentHasher {
            lines,
            lines_only: false,
            look: Look::new(),
            start: Vec::new(),
            len: 0,
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        match &mut self.lines {
            Lines::Exact(hashers) => hashers.update(chunk),
            Lines::Text(hasher) => hasher.update(chunk),
        }
        self.look.update(chunk);
        let room = LOOKED_AT.saturating_sub(self.start.len()).min(chunk.len());
        self.start
            .extend_from_slice(chunk.get(..room).unwrap_or(&[]));
        self.len = self.len.saturating_add(chunk.len() as u64);
    }

    /// The bytes are not as they were signed, only their lines are.
    fn forget_exact(&mut self) {
        self.lines_only = true;
    }

    fn finish(self) -> Hashed {
        let digests = match self.lines {
            Lines::Exact(hashers) => hashers.finish(),
            Lines::Text(hasher) => {
                let (mut canonical, exact) = hasher.finish();
                canonical.extend(exact.filter(|_| !self.lines_only).unwrap_or_default());
                canonical
            }
        };
        Hashed {
            digests,
            start: self.start,
            encrypted: self.look.finish(),
            len: self.len,
            whole: None,
        }
    }
}

fn copy(input: &mut dyn Read, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => sink(buffer.get(..count).unwrap_or(&[]))?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
}
