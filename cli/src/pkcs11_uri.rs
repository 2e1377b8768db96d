//! `pkcs11:` URIs (RFC 7512), as far as they name tokens and certificates.

use crate::error::{CommandError, Result};

/// The path attributes of a URI, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pkcs11Uri {
    attributes: Vec<(String, Vec<u8>)>,
}

impl Pkcs11Uri {
    pub const SCHEME: &str = "pkcs11:";

    /// A URI that carries a PIN is refused: it would be seen in the process list and in the shell's history (RFC 7512 §2.4).
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            CommandError::usage(format!("{text}: {why}"))
                .hint("a token's URI is shown by `privyseal token show TOKEN`")
        };
        let rest = text
            .strip_prefix(Self::SCHEME)
            .ok_or_else(|| bad("not a pkcs11: URI"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query
            .split('&')
            .any(|part| part.starts_with("pin-value=") || part.starts_with("pin-source="))
        {
            // the text is not repeated: it may hold the PIN
            return Err(CommandError::usage("a pkcs11: URI may not carry a PIN here")
                .hint("leave it out: the PIN is asked for at a prompt, or read by `privyseal token unlock --pin-fd`"));
        }
        let mut attributes: Vec<(String, Vec<u8>)> = Vec::new();
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| bad("an attribute has no value"))?;
            if attributes.iter().any(|(known, _)| known == name) {
                return Err(bad("an attribute comes twice"));
            }
            let value = decode(value).ok_or_else(|| bad("bad percent encoding"))?;
            attributes.push((name.to_owned(), value));
        }
        Ok(Pkcs11Uri { attributes })
    }

    /// Whether every attribute that is in the URI and in `facts` agrees. An attribute for which there is neither a fact nor a
    /// place in `ignored` cannot be checked, and is an error rather than a guess.
    pub fn matches(&self, facts: &[(&str, &str)], ignored: &[&str]) -> Result<bool> {
        for (name, value) in &self.attributes {
            match facts.iter().find(|(fact, _)| fact == name) {
                Some((_, fact)) if fact.as_bytes() == value => {}
                Some(_) => return Ok(false),
                None if ignored.contains(&name.as_str()) => {}
                None => {
                    return Err(CommandError::usage(format!(
                        "the attribute {name} of a pkcs11: URI cannot be used here"
                    ))
                    .hint("use token, serial, manufacturer, model, and for certificates object"));
                }
            }
        }
        Ok(true)
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        out.push(u8::try_from((high << 4) | low).ok()?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_decoded_and_compared() {
        let uri = Pkcs11Uri::parse("pkcs11:token=My%20card;serial=00%3b;type=cert").unwrap();
        let facts = |serial| [("token", "My card"), ("serial", serial)];
        assert!(uri.matches(&facts("00;"), &["type"]).unwrap());
        assert!(!uri.matches(&facts("01"), &["type"]).unwrap());
        assert_eq!(uri.matches(&facts("00;"), &[]).unwrap_err().exit(), 2);
        assert!(
            Pkcs11Uri::parse("pkcs11:")
                .unwrap()
                .matches(&[], &[])
                .unwrap()
        );
    }

    #[test]
    fn malformed_uris_are_usage_errors() {
        for bad in [
            "token=x",
            "pkcs11:token",
            "pkcs11:token=%4",
            "pkcs11:token=%zz",
            "pkcs11:a=1;a=2",
        ] {
            assert_eq!(Pkcs11Uri::parse(bad).unwrap_err().exit(), 2, "{bad}");
        }
    }

    #[test]
    fn a_pin_in_a_uri_is_refused_and_not_repeated() {
        let error = Pkcs11Uri::parse("pkcs11:token=x?module-name=y&pin-value=1234").unwrap_err();
        assert!(!error.message.contains("1234") && !error.hints.concat().contains("1234"));
    }
}
