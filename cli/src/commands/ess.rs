//! Receipts that are asked for, labels and countersignatures, in words.

use serde_json::Value;

use super::verdict::{field, list, person, string};

/// What a message asks for and how it is labelled.
pub fn describe(shown: &Value, text: &mut String) {
    if let Some(request) = shown.get("receipt_request") {
        let who = match string(request, "from") {
            "list" => format!("from {}", words(request, "from_names")),
            "first-tier" => "from direct recipients".to_owned(),
            _ => "from all recipients".to_owned(),
        };
        let to = words(request, "to");
        field(text, "receipt", &format!("is asked for, {who}, to {to}"));
    }
    if let Some(label) = shown.get("security_label") {
        field(text, "label", &label_words(label));
    }
    for label in list(shown, "equivalent_labels") {
        field(text, "equivalent", &label_words(label));
    }
}

/// One line for each, those upon others too.
pub fn describe_countersignatures(signature: &Value, text: &mut String) {
    for counter in list(signature, "countersignatures") {
        let who = counter
            .get("signer")
            .map_or_else(|| "an unknown signer".to_owned(), person);
        let state = string(counter, "signature");
        let mut line = format!("{state}, by {who}, chain {}", string(counter, "chain"));
        let time = string(counter, "signing_time");
        if !time.is_empty() {
            line.push_str(&format!(", at {time}"));
        }
        field(text, "countersig", &line);
        describe_countersignatures(counter, text);
    }
}

fn label_words(label: &Value) -> String {
    let mut line = match (
        label.get("classification"),
        string(label, "classification_word"),
    ) {
        (Some(level), "") => format!("classification {level}"),
        (Some(level), word) => format!("{word} ({level})"),
        (None, _) => "no classification".to_owned(),
    };
    let mark = string(label, "privacy_mark");
    if !mark.is_empty() {
        line.push_str(&format!(", {mark:?}"));
    }
    line.push_str(&format!(", policy {}", string(label, "policy")));
    let categories = words(label, "categories");
    if !categories.is_empty() {
        line.push_str(&format!(", categories {categories}"));
    }
    line
}

fn words(value: &Value, key: &str) -> String {
    let all: Vec<&str> = list(value, key).iter().filter_map(Value::as_str).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_labels_and_countersignatures_have_a_line_each() {
        let mut text = String::new();
        describe(
            &json!({
                "receipt_request": {"identifier": "x", "from": "all", "to": ["alice@example.org", "desk@example.org"]},
                "security_label": {"policy": "1.2.3", "classification": 4, "classification_word": "secret",
                    "privacy_mark": "for \u{1b}A", "categories": ["1.2.5"]},
                "equivalent_labels": [{"policy": "1.2.4", "categories": []}],
            }),
            &mut text,
        );
        describe_countersignatures(
            &json!({"countersignatures": [{"signature": "valid", "chain": "unknown",
                "signing_time": "2026-01-01T00:00:00Z", "signer": {"subject": "CN=N", "emails": ["n@example.org"]},
                "countersignatures": [{"signature": "unsupported", "chain": "unknown"}]}]}),
            &mut text,
        );
        assert_eq!(
            text,
            "  receipt    is asked for, from all recipients, to alice@example.org, desk@example.org\n\
             \x20 label      secret (4), \"for \\u{1b}A\", policy 1.2.3, categories 1.2.5\n\
             \x20 equivalent no classification, policy 1.2.4\n\
             \x20 countersig valid, by N <n@example.org>, chain unknown, at 2026-01-01T00:00:00Z\n\
             \x20 countersig unsupported, by an unknown signer, chain unknown\n"
        );
    }
}
