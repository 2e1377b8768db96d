//! From what the bus carries to JSON: the daemon's results have the names of the JSON output, so they are converted, not retold.

use privyseal_proto::{Dict, VERSION};
use serde_json::{Map, Value, json};
use zbus::Variant;

/// Keys come in the order of the documentation; the others follow by name.
const ORDER: &[&str] = &[
    "schema",
    "event",
    "seq",
    "time",
    "verdict",
    "reasons",
    "signatures",
    "layers",
    "signature",
    "chain",
    "chain_error",
    "revocation",
    "sender",
    "signer",
    "subject",
    "emails",
    "sha256",
    "signing_time",
    "digest",
    "algorithm",
    "kind",
    "result",
    "consent",
    "purpose",
    "token",
    "token_label",
    "cipher",
    "authenticated",
    "recipients",
    "key_management",
    "certificate",
    "weak",
];

/// `{"schema":1, …}`
pub fn document(fields: Vec<(&str, Value)>) -> Value {
    let mut map = Map::new();
    map.insert("schema".into(), json!(VERSION));
    map.extend(
        fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value)),
    );
    Value::Object(map)
}

/// The results of a job as the JSON document that the command prints.
pub fn results(results: &Dict) -> Value {
    let fields = results
        .iter()
        .map(|(key, value)| (key.clone(), value_of(value)));
    let version = ("schema".to_owned(), json!(VERSION));
    object(fields.chain([version]).collect())
}

/// Strings, numbers, booleans, arrays, dictionaries and structures (as arrays); bytes as an array of numbers. A descriptor has no
/// JSON form and becomes null.
pub fn value_of(variant: &Variant<'_>) -> Value {
    match variant {
        Variant::U8(n) => json!(n),
        Variant::Bool(b) => json!(b),
        Variant::I16(n) => json!(n),
        Variant::U16(n) => json!(n),
        Variant::I32(n) => json!(n),
        Variant::U32(n) => json!(n),
        Variant::I64(n) => json!(n),
        Variant::U64(n) => json!(n),
        Variant::F64(n) => json!(n),
        Variant::Str(text) => json!(text.as_str()),
        Variant::Signature(signature) => json!(signature.to_string()),
        Variant::ObjectPath(path) => json!(path.as_str()),
        Variant::Variant(inner) => value_of(inner),
        Variant::Array(array) => array.iter().map(value_of).collect(),
        Variant::Structure(structure) => structure.fields().iter().map(value_of).collect(),
        Variant::Dict(dict) => object(
            dict.iter()
                .map(|(key, value)| (key_of(key), value_of(value)))
                .collect(),
        ),
        Variant::Fd(_) => Value::Null,
    }
}

fn key_of(key: &Variant<'_>) -> String {
    match value_of(key) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn object(mut fields: Vec<(String, Value)>) -> Value {
    let place = |key: &str| ORDER.iter().position(|k| *k == key).unwrap_or(ORDER.len());
    fields.sort_by(|(a, _), (b, _)| place(a).cmp(&place(b)).then_with(|| a.cmp(b)));
    Value::Object(fields.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn variant<'a>(value: impl Into<Variant<'a>>) -> Variant<'a> {
        value.into()
    }

    #[test]
    fn nested_results_become_the_documented_object_in_the_documented_order() {
        let signer: HashMap<&str, Variant<'_>> = HashMap::from([
            ("emails", variant(vec!["alice@example.org"])),
            ("sha256", variant("00ff")),
            ("subject", variant("CN=Alice")),
        ]);
        let signature: HashMap<&str, Variant<'_>> = HashMap::from([
            ("weak", variant(false)),
            ("signer", variant(signer)),
            ("signature", variant("valid")),
            ("another", variant(7u32)),
        ]);
        let layer: HashMap<&str, Variant<'_>> =
            HashMap::from([("recipients", variant(3u32)), ("kind", variant("signed"))]);
        let dict: Dict = HashMap::from([
            ("layers".to_owned(), variant(vec![layer])),
            ("signatures".to_owned(), variant(vec![signature])),
            ("reasons".to_owned(), variant(Vec::<String>::new())),
            ("verdict".to_owned(), variant("good")),
        ])
        .into_iter()
        .map(|(key, value)| (key, value.try_into().unwrap()))
        .collect();
        assert_eq!(
            results(&dict).to_string(),
            r#"{"schema":1,"verdict":"good","reasons":[],"signatures":[{"signature":"valid","signer":{"subject":"CN=Alice","emails":["alice@example.org"],"sha256":"00ff"},"weak":false,"another":7}],"layers":[{"kind":"signed","recipients":3}]}"#
        );
    }

    #[test]
    fn every_scalar_has_a_json_form() {
        assert_eq!(value_of(&variant(-1i64)), json!(-1));
        assert_eq!(value_of(&variant(u64::MAX)), json!(u64::MAX));
        assert_eq!(value_of(&variant(true)), json!(true));
        assert_eq!(value_of(&variant((1u8, "x"))), json!([1, "x"]));
        let path = zbus::ObjectPath::try_from("/a/b").unwrap();
        assert_eq!(value_of(&variant(path)), json!("/a/b"));
        assert_eq!(
            value_of(&Variant::Variant(Box::new(variant("in")))),
            json!("in")
        );
    }
}
