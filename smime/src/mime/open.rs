//! What is it? The first bytes and the headers say; nobody needs to name the form of a message.

use super::base64::{Base64Decoder, Until};
use super::headers::{Headers, line_ahead};
use super::multipart::{MultipartSigned, is_signature};
use super::source::Source;
use super::transfer::{self, is_base64};
use super::{ContentType, DigestAlgorithm, Form, Read, Result, pem};
use crate::error::Error;
use crate::limits::{BOUNDARY, HEADERS};

/// An input, recognised.
pub enum Opened<'a> {
    /// A CMS object: `body` reads its BER, whatever form or transfer encoding it came in (DER; PEM with any label; base64
    /// without headers; MIME entity `application/(x-)pkcs7-mime`, `pkcs7-signature`, or octet-stream by its file name, in
    /// base64, quoted-printable, binary, 8bit).
    Cms {
        headers: Headers,
        form: Form,
        body: Box<dyn Read + Send + 'a>,
    },
    /// `multipart/signed` (RFC 8551 §3.5.3, RFC 1847)
    Signed(MultipartSigned<'a>),
    /// Something else. `body` reads what follows the headers (all of it, where there are none).
    Other {
        headers: Headers,
        body: Box<dyn Read + Send + 'a>,
    },
}

/// Recognises an input. `mbox` "From " lines before the headers are passed over, and so are blank lines.
///
/// # Errors
/// [`Error::Malformed`] for headers that say two things, [`Error::LimitExceeded`] for too long ones, those of the input.
pub fn open<'a>(input: Box<dyn Read + Send + 'a>) -> Result<Opened<'a>> {
    let mut source = Source::new(input);
    if is_ber(source.ahead(16)?) {
        return Ok(Opened::Cms {
            headers: Headers::default(),
            form: Form::Der,
            body: Box::new(source),
        });
    }
    let text = first_text(&mut source)?;
    if is_base64(&mut source, text)? {
        source.consume(text);
        return Ok(Opened::Cms {
            headers: Headers::default(),
            form: Form::Smime,
            body: Box::new(Base64Decoder::new(source, Until::End)),
        });
    }
    let from_line = line_ahead(&mut source, text, text.saturating_add(HEADERS))?;
    let after_from = if from_line.starts_with(b"From ") {
        from_line.len()
    } else {
        0
    };
    let section = Headers::look(&mut source, text.saturating_add(after_from))?;
    let section = section.filter(|(headers, _)| !headers.fields().is_empty());
    if let Some((headers, body)) = section.as_ref().filter(|(headers, _)| is_mail(headers)) {
        source.consume(*body);
        return entity(headers.clone(), source);
    }
    let seen = source.ahead(HEADERS)?;
    if let Some((label, rest)) = pem::begin(seen.get(text..).unwrap_or(&[]))
        && !label.starts_with(b"PGP ")
    {
        let before = seen.len().saturating_sub(rest.len());
        source.consume(before);
        return Ok(Opened::Cms {
            headers: Headers::default(),
            form: Form::Pem,
            body: Box::new(Base64Decoder::new(source, Until::PemEnd)),
        });
    }
    let (headers, body) = section.unwrap_or_default();
    source.consume(body);
    Ok(Opened::Other {
        headers,
        body: Box::new(source),
    })
}

/// A MIME entity, positioned behind its headers.
fn entity<'a>(headers: Headers, body: Source<'a>) -> Result<Opened<'a>> {
    if headers.count("Content-Type") > 1 {
        return Err(Error::malformed("two Content-Type fields"));
    }
    let content_type = headers.content_type();
    let media_type = content_type.as_ref().map_or("", |t| t.media_type.as_str());
    if is_cms(&headers) {
        return Ok(Opened::Cms {
            form: Form::Smime,
            body: transfer::decode(&headers, body)?,
            headers,
        });
    }
    if media_type == "multipart/signed"
        && let Some(content_type) = &content_type
        && is_smime(content_type)
    {
        let boundary = boundary(content_type)?;
        let micalg = content_type.parameter("micalg").unwrap_or("");
        let micalg = micalg
            .split(',')
            .filter_map(|name| DigestAlgorithm::from_name(name.trim()))
            .collect();
        return Ok(Opened::Signed(MultipartSigned::new(
            headers, micalg, &boundary, body,
        )));
    }
    Ok(Opened::Other {
        headers,
        body: Box::new(body),
    })
}

/// Whether an entity is a CMS object, by its media type or its file name (RFC 8551 §3.2).
pub(super) fn is_cms(headers: &Headers) -> bool {
    let content_type = headers.content_type();
    match content_type.as_ref().map_or("", |t| t.media_type.as_str()) {
        // the last by RFC 7193
        "application/pkcs7-mime" | "application/x-pkcs7-mime" | "application/cms" => true,
        "application/octet-stream" => headers.file_name().is_some_and(|name| {
            let name = name.to_ascii_lowercase();
            [".p7m", ".p7s", ".p7z", ".p7c"]
                .iter()
                .any(|end| name.ends_with(end))
        }),
        other => is_signature(other),
    }
}

/// The protocol of S/MIME, or none named.
pub(super) fn is_smime(content_type: &ContentType) -> bool {
    content_type
        .parameter("protocol")
        .is_none_or(|protocol| is_signature(&protocol.trim().to_ascii_lowercase()))
}

pub(super) fn boundary(content_type: &ContentType) -> Result<String> {
    let mut all = content_type
        .parameters
        .iter()
        .filter(|(name, _)| name == "boundary")
        .map(|(_, value)| value);
    let (Some(boundary), None) = (all.next(), all.next()) else {
        return Err(Error::malformed("a multipart needs one boundary"));
    };
    if boundary.is_empty() || boundary.contains(char::is_control) {
        return Err(Error::malformed("a boundary that cannot stand in a line"));
    }
    if boundary.chars().count() > BOUNDARY {
        return Err(Error::LimitExceeded {
            what: "characters in a boundary",
            limit: BOUNDARY as u64,
        });
    }
    Ok(boundary.clone())
}

/// A SEQUENCE with a length that no text begins with, or with one that could be text and an OBJECT IDENTIFIER in it.
fn is_ber(start: &[u8]) -> bool {
    matches!(
        start,
        [0x30, 0x80..=0x88, ..] | [0x30, 0x0b..=0x7f, 0x06, ..]
    )
}

/// Where the first line is that is not blank, at most [`HEADERS`] ahead; a byte order mark is passed over.
fn first_text(source: &mut Source<'_>) -> Result<usize> {
    let mut line = if source.ahead(3)?.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let mut at = line;
    while at < HEADERS {
        let seen = source.ahead(at.saturating_add(1))?;
        let rest = seen.get(at..seen.len().min(HEADERS)).unwrap_or(&[]);
        let text = rest.iter().position(|b| !b.is_ascii_whitespace());
        let space = rest.get(..text.unwrap_or(rest.len())).unwrap_or(&[]);
        // white space before the first text belongs to its line
        if let Some(lf) = memchr::memrchr(b'\n', space) {
            line = at.saturating_add(lf).saturating_add(1);
        }
        if text.is_some() || rest.is_empty() {
            break;
        }
        at = seen.len();
    }
    Ok(line)
}

/// A field that letters have and explanatory text before a PEM block has not.
fn is_mail(headers: &Headers) -> bool {
    const FIELDS: [&str; 16] = [
        "Content-Type",
        "MIME-Version",
        "Content-Transfer-Encoding",
        "Content-Disposition",
        "From",
        "Sender",
        "To",
        "Cc",
        "Subject",
        "Date",
        "Message-ID",
        "Received",
        "Return-Path",
        "Delivered-To",
        "Reply-To",
        "DKIM-Signature",
    ];
    FIELDS.iter().any(|name| headers.count(name) > 0)
}
