//! Which token or certificate is meant by what the user typed.

use privyseal_proto::ErrorName;

use crate::error::{CommandError, Result};
use crate::objects::{Certificate, Inventory, Token};
use crate::pkcs11_uri::Pkcs11Uri;

/// Hex digits of a fingerprint that are enough.
const PREFIX: usize = 8;
/// Attributes of a certificate's or key's URI that say nothing about its token.
const OBJECT: &[&str] = &["object", "id", "type"];

/// The one token that `selector` names: label, serial, id or URI; without it the only initialised one.
pub fn token<'i>(inventory: &'i Inventory, selector: Option<&str>) -> Result<&'i Token> {
    let Some(selector) = selector else {
        let usable: Vec<_> = inventory
            .tokens
            .iter()
            .filter(|token| token.is_initialized())
            .collect();
        return match usable.as_slice() {
            [one] => Ok(one),
            [] => Err(no_token("no token is present", inventory)),
            many => Err(ambiguous("several tokens are present", many)),
        };
    };
    let found = if selector.starts_with(Pkcs11Uri::SCHEME) {
        let uri = Pkcs11Uri::parse(selector)?;
        let mut found = Vec::new();
        for token in &inventory.tokens {
            if uri.matches(&token_facts(token), OBJECT)? {
                found.push(token);
            }
        }
        found
    } else {
        let named = |token: &&Token| {
            [&token.id, &token.label, &token.serial]
                .into_iter()
                .any(|text| text == selector)
        };
        inventory.tokens.iter().filter(named).collect()
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(no_token(
            &format!("no token {selector} is present"),
            inventory,
        )),
        many => Err(ambiguous(&format!("{selector} names several tokens"), many)),
    }
}

/// The certificates that `selector` names: an address, `sha256:` and at least 8 digits, a `pkcs11:` URI, or an object's label.
/// At least one.
pub fn certificates<'i>(inventory: &'i Inventory, selector: &str) -> Result<Vec<&'i Certificate>> {
    let all = &inventory.certificates;
    let found: Vec<&Certificate> = if let Some(digits) = selector.strip_prefix("sha256:") {
        let digits = digits.replace(':', "").to_ascii_lowercase();
        if digits.len() < PREFIX || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(CommandError::usage(format!(
                "{selector}: a fingerprint has at least {PREFIX} hex digits"
            )));
        }
        all.iter()
            .filter(|c| c.sha256.starts_with(&digits))
            .collect()
    } else if selector.starts_with(Pkcs11Uri::SCHEME) {
        let uri = Pkcs11Uri::parse(selector)?;
        let mut found = Vec::new();
        for certificate in all {
            let mut facts = vec![("object", certificate.label.as_str()), ("type", "cert")];
            if let Some(token) = inventory.token(&certificate.token) {
                facts.extend(token_facts(token));
            }
            if uri.matches(&facts, &[])? {
                found.push(certificate);
            }
        }
        found
    } else {
        let named = |c: &&Certificate| {
            c.label == selector || c.emails.iter().any(|e| e.eq_ignore_ascii_case(selector))
        };
        all.iter().filter(named).collect()
    };
    if found.is_empty() {
        return Err(CommandError::named(
            ErrorName::NoSuchCertificate,
            format!("no certificate {selector} on a token that is present"),
        ));
    }
    Ok(found)
}

/// The one certificate among `found`, which `selector` named.
pub fn only<'i>(selector: &str, found: &[&'i Certificate]) -> Result<&'i Certificate> {
    match found {
        [one] => Ok(one),
        many => {
            let names: Vec<_> = many
                .iter()
                .map(|c| format!("{} ({})", short(c), c.subject))
                .collect();
            Err(CommandError::named(
                ErrorName::AmbiguousCertificate,
                format!(
                    "{selector} names several certificates: {}",
                    names.join(", ")
                ),
            )
            .hint("name one by its fingerprint, or take them all with --all"))
        }
    }
}

/// A fingerprint short enough to read and long enough to select by.
pub fn short(certificate: &Certificate) -> String {
    format!(
        "sha256:{}",
        certificate.sha256.get(..16).unwrap_or(&certificate.sha256)
    )
}

fn token_facts(token: &Token) -> [(&str, &str); 4] {
    [
        ("token", &token.label),
        ("serial", &token.serial),
        ("manufacturer", &token.manufacturer),
        ("model", &token.model),
    ]
}

fn no_token(message: &str, inventory: &Inventory) -> CommandError {
    let error = CommandError::named(ErrorName::TokenNotPresent, message);
    let present: Vec<_> = inventory.tokens.iter().map(Token::name).collect();
    if present.is_empty() {
        error
    } else {
        error.hint(format!("present: {}", present.join(", ")))
    }
}

fn ambiguous(message: &str, tokens: &[&Token]) -> CommandError {
    let names: Vec<_> = tokens
        .iter()
        .map(|token| {
            format!(
                "{} (serial {}, id {})",
                token.name(),
                token.serial,
                token.id
            )
        })
        .collect();
    CommandError::usage(format!("{message}: {}", names.join(", "))).hint("name one by its id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let token = |label: &str, serial: &str, state: &str| Token {
            object: format!("/t/{serial}"),
            id: format!("id{serial}"),
            label: label.into(),
            serial: serial.into(),
            state: state.into(),
            ..Token::default()
        };
        let certificate = |sha256: &str, email: &str, label: &str, token: &str| Certificate {
            sha256: sha256.into(),
            emails: vec![email.into()],
            label: label.into(),
            token: token.into(),
            ..Certificate::default()
        };
        Inventory {
            modules: Vec::new(),
            tokens: vec![
                token("card", "1", "locked"),
                token("card", "2", "unlocked"),
                token("demo", "3", "locked"),
                token("", "4", "uninitialized"),
            ],
            certificates: vec![
                certificate("0011223344", "alice@example.org", "sign", "/t/1"),
                certificate("0011223355", "Alice@Example.org", "encrypt", "/t/1"),
                certificate("ff", "bob@example.org", "sign", "/t/3"),
            ],
        }
    }

    #[test]
    fn a_token_is_found_by_label_serial_id_and_uri() {
        let all = inventory();
        for selector in [
            "demo",
            "3",
            "id3",
            "pkcs11:token=demo",
            "pkcs11:serial=3;object=x;type=private",
        ] {
            assert_eq!(token(&all, Some(selector)).unwrap().id, "id3", "{selector}");
        }
    }

    #[test]
    fn an_ambiguous_token_is_a_usage_error_that_names_the_candidates() {
        let all = inventory();
        for selector in [Some("card"), Some("pkcs11:token=card"), None] {
            let error = token(&all, selector).unwrap_err();
            assert_eq!(error.exit(), 2);
            assert!(
                error.message.contains("id1") && error.message.contains("id2"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_missing_token_needs_a_token_and_shows_what_is_there() {
        let error = token(&inventory(), Some("other")).unwrap_err();
        assert_eq!(error.exit(), 4);
        assert!(error.hints.concat().contains("demo"));
        assert_eq!(token(&Inventory::default(), None).unwrap_err().exit(), 4);
    }

    #[test]
    fn without_a_name_the_only_initialised_token_is_meant() {
        let mut all = inventory();
        all.tokens.drain(..2);
        assert_eq!(token(&all, None).unwrap().id, "id3");
    }

    #[test]
    fn certificates_are_found_by_address_fingerprint_uri_and_label() {
        let all = inventory();
        for (selector, count) in [
            ("alice@EXAMPLE.org", 2),
            ("sha256:00112233", 2),
            ("sha256:00:11:22:33:44", 1),
            ("sha256:001122334", 1),
            ("pkcs11:token=card;object=encrypt", 1),
            ("pkcs11:serial=1", 2),
            ("sign", 2),
        ] {
            let found = certificates(&all, selector).unwrap();
            assert_eq!(found.len(), count, "{selector}");
            assert_eq!(only(selector, &found).is_ok(), count == 1, "{selector}");
        }
        for (selector, exit) in [
            ("carol@example.org", 8),
            ("sha256:0011", 2),
            ("sha256:zzzzzzzz", 2),
            ("pkcs11:id=%01", 2),
        ] {
            assert_eq!(
                certificates(&all, selector).unwrap_err().exit(),
                exit,
                "{selector}"
            );
        }
        let two = certificates(&all, "sign").unwrap();
        assert_eq!(only("sign", &two).unwrap_err().exit(), 8);
    }
}
