//! What is present, as one GetManagedObjects call tells it: modules, tokens, certificates on tokens.

use std::collections::HashMap;

use serde_json::{Value, json};
use zbus::{OwnedVariant, Variant, fdo::ManagedObjects};

use crate::{json, time};

/// The properties of one interface of one object.
pub type Properties = HashMap<String, OwnedVariant>;

/// One PKCS#11 module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub path: String,
    pub description: String,
    pub manufacturer: String,
    pub library_version: String,
    pub status: String,
    pub last_error: String,
}

/// One token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    pub object: String,
    /// last element of the object's path
    pub id: String,
    pub label: String,
    pub serial: String,
    pub manufacturer: String,
    pub model: String,
    pub uri: String,
    pub reader: String,
    pub state: String,
    pub login_required: bool,
    pub protected_auth_path: bool,
    pub pin_flags: Vec<String>,
    /// `None`: the token does not say
    pub tries_left: Option<i32>,
    /// CKA_IDs, hex, of keys without a certificate
    pub lone_keys: Vec<String>,
    pub auto_lock_seconds: u32,
    /// `none`, `ready`, `refused`, `unusable`
    pub stored_pin: String,
    pub mechanisms: Vec<String>,
    pub certificates: usize,
}

/// One certificate on a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    pub der: Vec<u8>,
    /// hex
    pub sha256: String,
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    /// seconds since 1970
    pub not_before: i64,
    pub not_after: i64,
    pub emails: Vec<String>,
    pub key_usage: Vec<String>,
    pub extended_key_usage: Vec<String>,
    pub key_type: String,
    /// object path
    pub token: String,
    pub has_private_key: bool,
    pub usages: Vec<String>,
    pub always_authenticate: bool,
    pub trust: String,
    pub label: String,
}

/// Everything that is present, in a stable order.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    pub modules: Vec<Module>,
    pub tokens: Vec<Token>,
    pub certificates: Vec<Certificate>,
}

impl Inventory {
    pub fn new(objects: &ManagedObjects) -> Self {
        let mut found = Inventory::default();
        for (path, interfaces) in objects {
            for (interface, properties) in interfaces {
                match interface.as_str() {
                    "org.privyseal1.Module" => found.modules.push(Module::new(properties)),
                    "org.privyseal1.Token" => {
                        found.tokens.push(Token::new(path.as_str(), properties))
                    }
                    "org.privyseal1.Certificate" => {
                        found.certificates.push(Certificate::new(properties))
                    }
                    _ => {}
                }
            }
        }
        found.modules.sort_by(|a, b| a.path.cmp(&b.path));
        found
            .tokens
            .sort_by(|a, b| (&a.label, &a.serial, &a.id).cmp(&(&b.label, &b.serial, &b.id)));
        found.certificates.sort_by(|a, b| {
            (&a.token, &a.subject, &a.sha256).cmp(&(&b.token, &b.subject, &b.sha256))
        });
        found
    }

    /// The token with this object path.
    pub fn token(&self, object: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.object == object)
    }
}

impl Module {
    fn new(p: &Properties) -> Self {
        Module {
            path: text(p, "Path"),
            description: text(p, "Description"),
            manufacturer: text(p, "Manufacturer"),
            library_version: text(p, "LibraryVersion"),
            status: text(p, "Status"),
            last_error: text(p, "LastError"),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "path": self.path,
            "description": self.description,
            "manufacturer": self.manufacturer,
            "library_version": self.library_version,
            "status": self.status,
            "last_error": self.last_error,
        })
    }
}

impl Token {
    pub fn new(object: &str, p: &Properties) -> Self {
        Token {
            object: object.to_owned(),
            id: object.rsplit('/').next().unwrap_or_default().to_owned(),
            label: text(p, "Label"),
            serial: text(p, "Serial"),
            manufacturer: text(p, "Manufacturer"),
            model: text(p, "Model"),
            uri: text(p, "Uri"),
            reader: text(p, "Reader"),
            state: text(p, "State"),
            login_required: flag(p, "LoginRequired"),
            protected_auth_path: flag(p, "ProtectedAuthPath"),
            pin_flags: texts(p, "PinFlags"),
            tries_left: get::<i32>(p, "TriesLeft").filter(|n| *n >= 0),
            lone_keys: texts(p, "KeysWithoutCertificate"),
            auto_lock_seconds: get(p, "AutoLockSeconds").unwrap_or_default(),
            stored_pin: text(p, "StoredPin"),
            mechanisms: texts(p, "Mechanisms"),
            certificates: match p.get("Certificates").map(|v| &**v) {
                Some(Variant::Array(array)) => array.len(),
                _ => 0,
            },
        }
    }

    pub fn is_initialized(&self) -> bool {
        self.state != "uninitialized"
    }

    /// As in `token list`.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "label": self.label,
            "serial": self.serial,
            "uri": self.uri,
            "state": self.state,
            "tries_left": self.tries_left,
        })
    }

    /// As in `token show`: the fields of the list, then the others.
    pub fn json_details(&self) -> Value {
        let mut value = self.json();
        if let (Value::Object(map), Value::Object(more)) = (
            &mut value,
            json!({
                "manufacturer": self.manufacturer,
                "model": self.model,
                "reader": self.reader,
                "login_required": self.login_required,
                "protected_auth_path": self.protected_auth_path,
                "pin_flags": self.pin_flags,
                "keys_without_certificate": self.lone_keys,
                "auto_lock_seconds": self.auto_lock_seconds,
                "stored_pin": self.stored_pin,
                "mechanisms": self.mechanisms,
                "certificates": self.certificates,
            }),
        ) {
            map.extend(more);
        }
        value
    }

    /// For people: the label, or what else there is.
    pub fn name(&self) -> &str {
        [&self.label, &self.serial, &self.id]
            .into_iter()
            .find(|text| !text.is_empty())
            .map_or("", String::as_str)
    }
}

impl Certificate {
    fn new(p: &Properties) -> Self {
        Certificate {
            der: match p.get("Der").map(|v| &**v) {
                Some(Variant::Array(array)) => array
                    .iter()
                    .filter_map(|byte| u8::try_from(byte).ok())
                    .collect(),
                _ => Vec::new(),
            },
            sha256: text(p, "Sha256").to_ascii_lowercase(),
            subject: text(p, "Subject"),
            issuer: text(p, "Issuer"),
            serial: text(p, "Serial"),
            not_before: get(p, "NotBefore").unwrap_or_default(),
            not_after: get(p, "NotAfter").unwrap_or_default(),
            emails: texts(p, "Emails"),
            key_usage: texts(p, "KeyUsage"),
            extended_key_usage: texts(p, "ExtendedKeyUsage"),
            key_type: text(p, "KeyType"),
            token: text(p, "Token"),
            has_private_key: flag(p, "HasPrivateKey"),
            usages: texts(p, "Usages"),
            always_authenticate: flag(p, "AlwaysAuthenticate"),
            trust: text(p, "Trust"),
            label: text(p, "Label"),
        }
    }

    /// As in `cert list`; `token` is the label of the token that holds it.
    pub fn json(&self, token: Option<&str>) -> Value {
        json!({
            "sha256": self.sha256,
            "subject": self.subject,
            "emails": self.emails,
            "key_type": self.key_type,
            "usages": self.usages,
            "token": token,
            "has_private_key": self.has_private_key,
            "not_after": time::rfc3339(self.not_after),
            "source": "token",
        })
    }

    /// As in `cert show`: the fields of the list, then the others.
    pub fn json_details(&self, token: Option<&str>) -> Value {
        let mut value = self.json(token);
        if let (Value::Object(map), Value::Object(more)) = (
            &mut value,
            json!({
                "label": self.label,
                "issuer": self.issuer,
                "serial": self.serial,
                "not_before": time::rfc3339(self.not_before),
                "key_usage": self.key_usage,
                "extended_key_usage": self.extended_key_usage,
                "always_authenticate": self.always_authenticate,
                "trust": self.trust,
            }),
        ) {
            map.extend(more);
        }
        value
    }

    /// RFC 7468.
    pub fn pem(&self) -> String {
        let base64 = base64_simd::STANDARD.encode_to_string(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at_checked(64).unwrap_or((rest, ""));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

fn get<'p, T>(properties: &'p Properties, name: &str) -> Option<T>
where
    T: TryFrom<&'p Variant<'static>>,
{
    properties
        .get(name)
        .and_then(|value| T::try_from(value).ok())
}

/// Strings, also object paths.
fn text(properties: &Properties, name: &str) -> String {
    match properties.get(name).map(|value| json::value_of(value)) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn flag(properties: &Properties, name: &str) -> bool {
    get(properties, name).unwrap_or_default()
}

fn texts(properties: &Properties, name: &str) -> Vec<String> {
    match properties.get(name).map(|value| json::value_of(value)) {
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties<const N: usize>(list: [(&str, Variant<'_>); N]) -> Properties {
        list.into_iter()
            .map(|(name, value)| (name.to_owned(), value.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn a_token_is_listed_as_documented() {
        let token = Token::new(
            "/org/privyseal1/objects/token/00ff",
            &properties([
                ("Label", "demo".into()),
                ("Serial", "1".into()),
                ("Uri", "pkcs11:token=demo".into()),
                ("State", "locked".into()),
                ("TriesLeft", Variant::I32(-1)),
            ]),
        );
        assert_eq!(
            token.json().to_string(),
            r#"{"id":"00ff","label":"demo","serial":"1","uri":"pkcs11:token=demo","state":"locked","tries_left":null}"#
        );
        let counted = Token::new("/x", &properties([("TriesLeft", Variant::I32(2))]));
        assert_eq!(counted.tries_left, Some(2));
    }

    #[test]
    fn a_certificate_is_listed_as_documented_and_exported_as_pem() {
        let certificate = Certificate::new(&properties([
            ("Der", vec![0u8; 50].into()),
            ("Sha256", "AB".into()),
            ("Subject", "CN=Alice".into()),
            ("Emails", vec!["alice@example.org"].into()),
            ("KeyType", "rsa:2048".into()),
            ("Usages", vec!["sign"].into()),
            ("HasPrivateKey", true.into()),
            ("NotAfter", Variant::I64(0)),
        ]));
        assert_eq!(
            certificate.json(Some("demo")).to_string(),
            r#"{"sha256":"ab","subject":"CN=Alice","emails":["alice@example.org"],"key_type":"rsa:2048","usages":["sign"],"token":"demo","has_private_key":true,"not_after":"1970-01-01T00:00:00Z","source":"token"}"#
        );
        let pem = certificate.pem();
        let lengths: Vec<_> = pem.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 4, 25]);
        assert!(pem.ends_with("AAA=\n-----END CERTIFICATE-----\n"));
    }
}
