//! Addresses that a person reads in a field and that are not its addresses: `"alice@example.org" <mallory@evil.example>`.
//!
//! Mail programs show the display name, and many show nothing else. A signature by the address in the angles says nothing of the
//! one that is shown (design rule 10), so such a field is told apart. Comments are shown as well, by some.

/// Everything in the field that looks like a mail address and is none of `addresses`, in the order it is shown.
pub(super) fn beside(field: &str, addresses: &[String]) -> Vec<String> {
    let text = decode_words(field);
    let mut all: Vec<String> = Vec::new();
    for (at, sign) in text.char_indices().filter(|(_, c)| is_at(*c)) {
        let (before, after) = text.split_at_checked(at).unwrap_or_default();
        let after = after.get(sign.len_utf8()..).unwrap_or("");
        let local = before
            .rsplit(|c| !is_local(c))
            .next()
            .unwrap_or("")
            .trim_matches(['.', '\'']);
        let domain = after
            .split(|c| !is_domain(c))
            .next()
            .unwrap_or("")
            .trim_matches('.');
        if local.is_empty() || !domain.contains('.') {
            continue;
        }
        let shown = format!("{local}@{domain}");
        let known = |known: &String| known.eq_ignore_ascii_case(&shown);
        if !addresses.iter().chain(&all).any(known) {
            all.push(shown);
        }
    }
    all
}

/// Also the signs that are hard to tell from it.
fn is_at(c: char) -> bool {
    matches!(c, '@' | '\u{ff20}' | '\u{fe6b}')
}

fn is_local(c: char) -> bool {
    c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '.'
}

/// The text with its encoded words as a person sees them (RFC 2047); white space between two of them is gone (§6.2). Bytes that
/// are not UTF-8 do not matter here.
fn decode_words(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at_checked(start).unwrap_or((rest, ""));
        if !(after_word && before.trim().is_empty()) {
            text.push_str(before);
        }
        match decode_word(word) {
            Some((decoded, behind)) => {
                text.push_str(&decoded);
                rest = behind;
                after_word = true;
            }
            None => {
                text.push_str("=?");
                rest = word.get(2..).unwrap_or("");
                after_word = false;
            }
        }
    }
    text.push_str(rest);
    text
}

/// `=?charset?encoding?text?=` at the start: what it means, and what follows it.
fn decode_word(word: &str) -> Option<(String, &str)> {
    let (_charset, rest) = word.strip_prefix("=?")?.split_once('?')?;
    let (encoding, rest) = rest.split_once('?')?;
    let (text, behind) = rest.split_once("?=")?;
    let bytes = if encoding.eq_ignore_ascii_case("q") {
        quoted(text)
    } else if encoding.eq_ignore_ascii_case("b") {
        base64_simd::forgiving_decode_to_vec(text.as_bytes()).ok()?
    } else {
        return None;
    };
    // the zeros of UTF-16 hide no letters
    let bytes: Vec<u8> = bytes.into_iter().filter(|b| *b != 0).collect();
    Some((String::from_utf8_lossy(&bytes).into_owned(), behind))
}

/// The Q encoding (RFC 2047 §4.2). What is no escape stands for itself.
fn quoted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let escaped = behind
            .get(..2)
            .filter(|_| first == b'=')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, escaped) {
            (_, Some(byte)) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or(&[]);
            }
            (b'_', None) => bytes.push(b' '),
            (other, None) => bytes.push(other),
        }
    }
    bytes
}
