//! The verdict on a message in words, for `verify`, `mail open` and `receipt check`.

use privyseal_proto::Dict;
use serde_json::Value;

use super::ess;
use crate::ui::{Paint, Ui, clean};

/// Of a message that is not signed, or cannot be read, there may be no content to put into OUT.
pub fn written(results: &Dict, is_empty: bool) -> bool {
    results
        .get("content_written")
        .and_then(|value| bool::try_from(value).ok())
        .unwrap_or(!is_empty)
}

pub fn describe(shown: &Value, ui: &Ui) -> String {
    let verdict = string(shown, "verdict");
    let paint = match verdict {
        "good" => Paint::Green,
        "unknown" => Paint::Yellow,
        _ => Paint::Red,
    };
    let signatures = list(shown, "signatures");
    let names: Vec<String> = signatures
        .iter()
        .filter_map(|signature| signature.get("signer"))
        .map(|signer| clean(&person(signer)))
        .collect();
    let claim = match (verdict, names.is_empty()) {
        ("not-signed", _) | (_, true) => String::new(),
        ("good", false) => format!(" signed by {}", names.join(", ")),
        (_, false) => format!(" claims to be signed by {}", names.join(", ")),
    };
    let mut text = format!("{}{claim}\n", ui.paint(&format!("{verdict}:"), paint));
    if claim.is_empty() {
        text = format!("{}\n", ui.paint(verdict, paint));
    }
    for reason in list(shown, "reasons").iter().filter_map(Value::as_str) {
        text.push_str(&format!("  {}\n", clean(reason)));
    }
    for (place, signature) in signatures.iter().enumerate() {
        if signatures.len() > 1 {
            text.push_str(&format!("signature {}\n", place.saturating_add(1)));
        }
        describe_signature(signature, &mut text);
        ess::describe_countersignatures(signature, &mut text);
    }
    ess::describe(shown, &mut text);
    let layers: Vec<String> = list(shown, "layers").iter().map(layer).collect();
    if !layers.is_empty() {
        field(&mut text, "layers", &layers.join(" > "));
    }
    text
}

fn describe_signature(signature: &Value, text: &mut String) {
    if let Some(signer) = signature.get("signer") {
        field(text, "signer", string(signer, "subject"));
        field(text, "sha256", string(signer, "sha256"));
    }
    field(text, "signed at", string(signature, "signing_time"));
    let how = [string(signature, "algorithm"), string(signature, "digest")];
    let mut how: Vec<&str> = how.into_iter().filter(|word| !word.is_empty()).collect();
    if signature.get("weak") == Some(&Value::Bool(true)) {
        how.push("weak");
    }
    let state = string(signature, "signature");
    field(text, "signature", &format!("{state} ({})", how.join(", ")));
    let error = string(signature, "chain_error");
    let chain = string(signature, "chain");
    if error.is_empty() {
        field(text, "chain", chain);
    } else {
        field(text, "chain", &format!("{chain} ({error})"));
    }
    field(text, "revocation", string(signature, "revocation"));
    if let Some(hint) = signature.get("content_hint") {
        field(text, "about", string(hint, "description"));
    }
    let reads: Vec<&str> = list(signature, "capabilities")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    field(text, "can read", &reads.join(", "));
    field(
        text,
        "encrypt to",
        string(signature, "encryption_certificate"),
    );
    field(text, "sender", string(signature, "sender"));
}

fn layer(layer: &Value) -> String {
    let mut details = Vec::new();
    let cipher = string(layer, "cipher");
    if !cipher.is_empty() {
        details.push(cipher.to_owned());
        let authenticated = layer.get("authenticated") == Some(&Value::Bool(true));
        details.push(
            if authenticated {
                "authenticated"
            } else {
                "not authenticated"
            }
            .to_owned(),
        );
    }
    if let Some(recipients) = layer
        .get("recipients")
        .and_then(Value::as_u64)
        .filter(|n| *n > 0)
    {
        details.push(format!("recipients: {recipients}"));
    }
    let kind = string(layer, "kind");
    if details.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind} ({})", details.join(", "))
    }
}

/// `Alice Example <alice@example.org>`, as far as it is known.
pub(super) fn person(signer: &Value) -> String {
    let emails: Vec<&str> = list(signer, "emails")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let subject = string(signer, "subject");
    match (common_name(subject), emails.is_empty()) {
        (Some(name), false) => format!("{name} <{}>", emails.join(", ")),
        (Some(name), true) => name,
        (None, false) => emails.join(", "),
        (None, true) => subject.to_owned(),
    }
}

/// CN of an RFC 4514 string.
fn common_name(subject: &str) -> Option<String> {
    let mut rest = subject;
    while !rest.is_empty() {
        let (value, after) = split_unescaped(rest);
        let (name, value) = value.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("cn") {
            return Some(unescape(value.trim())).filter(|name| !name.is_empty());
        }
        rest = after;
    }
    None
}

/// Up to the next `,` or `+` that has no backslash before it, and what follows.
fn split_unescaped(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (place, c) in text.char_indices() {
        if !escaped && matches!(c, ',' | '+') {
            let (before, after) = text.split_at_checked(place).unwrap_or((text, ""));
            return (before, after.get(1..).unwrap_or_default());
        }
        escaped = !escaped && c == '\\';
    }
    (text, "")
}

/// `\,` and `\C3\A9` as they are meant (RFC 4514 §2.4).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [b'\\', high, low, more @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |b: &u8| char::from(*b).to_digit(16).unwrap_or_default();
                bytes.push(u8::try_from((digit(high) << 4) | digit(low)).unwrap_or_default());
                more
            }
            [b'\\', byte, more @ ..] | [byte, more @ ..] => {
                bytes.push(*byte);
                more
            }
            [] => return String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}

pub(super) fn field(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        text.push_str(&format!("  {name:<11}{}\n", clean(value)));
    }
}

pub(super) fn string<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::ColorChoice;

    fn described(value: &Value) -> String {
        describe(value, &Ui::new(false, ColorChoice::Never))
    }

    #[test]
    fn a_good_verdict_names_the_signer_first() {
        let text = described(&json!({
            "verdict": "good", "reasons": [],
            "signatures": [{"signature": "valid", "chain": "valid", "revocation": "good", "sender": "match",
                "signer": {"subject": "CN=Alice Example,O=Example", "emails": ["alice@example.org"], "sha256": "00ff"},
                "signing_time": "2026-01-01T00:00:00Z", "digest": "sha256", "algorithm": "rsa-pkcs1", "weak": false}],
            "layers": [{"kind": "signed"}],
        }));
        assert_eq!(
            text,
            "good: signed by Alice Example <alice@example.org>\n\
             \x20 signer     CN=Alice Example,O=Example\n\
             \x20 sha256     00ff\n\
             \x20 signed at  2026-01-01T00:00:00Z\n\
             \x20 signature  valid (rsa-pkcs1, sha256)\n\
             \x20 chain      valid\n\
             \x20 revocation good\n\
             \x20 sender     match\n\
             \x20 layers     signed\n"
        );
    }

    #[test]
    fn anything_but_good_only_claims_a_signer_and_gives_its_reasons() {
        let text = described(&json!({
            "verdict": "bad", "reasons": ["the content was changed\u{1b}[2J"],
            "signatures": [{"signature": "invalid", "signer": {"subject": "O=X\\, Y", "emails": []}}],
            "layers": [{"kind": "enveloped", "cipher": "aes256-cbc", "authenticated": false, "recipients": 2}],
        }));
        assert!(
            text.starts_with(
                "bad: claims to be signed by O=X\\, Y\n  the content was changed\\u{1b}[2J\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("enveloped (aes256-cbc, not authenticated, recipients: 2)"),
            "{text}"
        );
        assert_eq!(
            described(&json!({"verdict": "not-signed", "reasons": ["no signature"]})),
            "not-signed\n  no signature\n"
        );
    }

    #[test]
    fn a_common_name_is_found_and_unescaped() {
        for (subject, name) in [
            ("CN=Alice", Some("Alice")),
            ("O=Caf\\C3\\A9,cn=Ren\\C3\\A9", Some("René")),
            ("O=a\\,CN=no,CN=Smith\\, Jo", Some("Smith, Jo")),
            ("OU=x+CN=y", Some("y")),
            ("O=only", None),
            ("CN=", None),
            ("CN=trailing\\", Some("trailing\\")),
            ("nonsense", None),
        ] {
            assert_eq!(common_name(subject).as_deref(), name, "{subject}");
        }
    }
}
