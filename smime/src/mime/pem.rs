//! PEM blocks in memory (RFC 7468).

use std::io::Read;

use super::base64::{Base64Decoder, Base64Lines, Until};
use crate::error::{Error, Result};

/// The decoded blocks with one of these labels, in order; others are passed over, and so is all text around them.
///
/// # Errors
/// [`Error::Malformed`]: a wanted block that is not base64, or that does not end.
pub fn blocks(data: &[u8], labels: &[&str]) -> Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    let mut rest = data;
    while let Some((label, body)) = begin(rest) {
        rest = body;
        if !labels.iter().any(|l| l.as_bytes() == label) {
            continue;
        }
        let end = [b"-----END ", label, b"-----"].concat();
        let at = lines(body)
            .find(|(_, line)| line.starts_with(b"-----"))
            .filter(|(_, line)| line.trim_ascii_end() == end)
            .map(|(at, _)| at)
            .ok_or_else(|| Error::malformed("a PEM block without its end line"))?;
        let (text, after) = body.split_at_checked(at).unwrap_or((body, &[]));
        let mut block = Vec::new();
        Base64Decoder::new(text, Until::End).read_to_end(&mut block)?;
        all.push(block);
        rest = after;
    }
    Ok(all)
}

/// One block, 64 columns, LF.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n").into_bytes();
    let mut base64 = Base64Lines::pem();
    // a Vec takes every write
    let _ = base64.push(der, &mut out);
    let _ = base64.finish(&mut out);
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// The label of the first line `-----BEGIN label-----`, and what follows that line.
pub(super) fn begin(data: &[u8]) -> Option<(&[u8], &[u8])> {
    lines(data).find_map(|(at, line)| {
        let label = line
            .trim_ascii_end()
            .strip_prefix(b"-----BEGIN ")?
            .strip_suffix(b"-----")?;
        let body = data.get(at.saturating_add(line.len())..)?;
        Some((label, body))
    })
}

/// Lines with their line ends, and where they start.
fn lines(data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0usize;
    data.split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let start = at;
            at = at.saturating_add(line.len());
            (start, line)
        })
}
