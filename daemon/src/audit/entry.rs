//! What a record says.

use privyseal_proto::Failure;
use privyseal_token::{TokenId, TokenInfo};
use serde::Serialize;

use crate::peer::Peer;
use crate::registry::OwnCertificate;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// a signature
    Sign,
    /// an RSA-wrapped key
    Unwrap,
    /// an ECDH shared secret
    Derive,
    /// a key by ML-KEM
    Decapsulate,
    Unlock,
    Lock,
    /// the PIN for one use of a key, or to be kept for several
    KeyPin,
    ChangePin,
    UnblockPin,
    /// of the trail itself
    Trail,
}

/// Who agreed to a use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consented {
    /// the token was unlocked for the session
    Session,
    /// for this connection, before
    Connection,
    /// a person, for this use
    Person,
    /// likewise, by typing the PIN
    Pin,
}

/// A record without its place in the chain. `result` is `ok` or the last part of an error's name.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub kind: Kind,
    pub result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consented>,
    /// `sign a message`; why a token was locked
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_label: Option<String>,
    /// `sha256:` and hexadecimal digits
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// nobody: the daemon itself
    #[serde(flatten)]
    pub peer: Option<Peer>,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sign => "sign",
            Kind::Unwrap => "unwrap",
            Kind::Derive => "derive",
            Kind::Decapsulate => "decapsulate",
            Kind::Unlock => "unlock",
            Kind::Lock => "lock",
            Kind::KeyPin => "key-pin",
            Kind::ChangePin => "change-pin",
            Kind::UnblockPin => "unblock-pin",
            Kind::Trail => "trail",
        }
    }

    /// Of a private key.
    pub fn is_use(self) -> bool {
        matches!(
            self,
            Kind::Sign | Kind::Unwrap | Kind::Derive | Kind::Decapsulate
        )
    }
}

impl Entry {
    pub fn new<T>(kind: Kind, result: &Result<T, Failure>) -> Self {
        Entry {
            kind,
            result: match result {
                Ok(_) => "ok",
                Err(failure) => failure.name.short(),
            },
            consent: None,
            purpose: None,
            token: None,
            token_label: None,
            certificate: None,
            peer: None,
        }
    }

    /// Nothing was done, and nothing sent to the token: whoever asks can have as many as he likes.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self.result,
            "NotAuthorized" | "PinRequired" | "NoAgent" | "Cancelled" | "Busy"
        )
    }

    /// Of the trail itself.
    pub(super) fn trail(result: &'static str, what: String) -> Self {
        Entry {
            result,
            purpose: Some(what),
            ..Entry::new(Kind::Trail, &Ok(()))
        }
    }

    /// Of what it was for, the first line: the others are about the message.
    pub fn by(mut self, peer: Option<&Peer>, purpose: &str) -> Self {
        self.peer = peer.cloned();
        self.purpose = purpose.lines().next().map(str::to_owned);
        self
    }

    pub fn on(mut self, token: &TokenInfo) -> Self {
        self.set_token(&token.id, &token.label);
        self
    }

    pub fn with(mut self, own: &OwnCertificate) -> Self {
        self.set_token(&own.token, &own.token_label);
        self.certificate = Some(format!("sha256:{}", own.certificate.sha256_hex()));
        self
    }

    fn set_token(&mut self, id: &TokenId, label: &str) {
        self.token = Some(id.0.clone());
        self.token_label = Some(label.into());
    }
}
