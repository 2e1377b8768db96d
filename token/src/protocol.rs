//! Requests and replies between client and worker.
//!
//! Only this crate speaks it, and both ends are always of one build: nothing here is versioned. No `Debug`: some of it is
//! secret.

use std::path::PathBuf;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::readers::{Reader, Scope};
use crate::{
    Batch, KeyRef, ModuleInfo, SignScheme, TokenCertificate, TokenId, TokenInfo, UnwrapScheme,
};

/// What the client sends.
#[derive(Deserialize, Serialize)]
pub(crate) struct Request {
    pub id: u64,
    pub call: Call,
}

/// One thing to do.
#[derive(Deserialize, Serialize)]
pub(crate) enum Call {
    /// the first request of all, and only the first
    Start {
        /// the module's real path
        module: PathBuf,
        init_args: Option<String>,
        allowed: Allowed,
        scope: Scope,
        /// the user's own OpenSC configuration, where the worker makes one that leaves readers out
        opensc_conf: Option<PathBuf>,
        /// the last worker has died and left a login behind on its card
        reset_card: bool,
        /// process id of the client: a worker whose parent is another one ends
        client: u32,
    },
    /// Instead of [`Call::Start`]: load nothing, and answer with [`Answer::Readers`] now and at every change.
    WatchReaders {
        client: u32,
    },
    /// what changed?
    Poll,
    /// read everything again
    Rescan,
    Login {
        token: TokenId,
        pin: Option<Secret>,
        final_try: bool,
        keep: Option<Batch>,
    },
    Logout {
        token: TokenId,
    },
    Sign {
        token: TokenId,
        key: KeyRef,
        scheme: SignScheme,
        #[serde(with = "serde_bytes")]
        digest: Vec<u8>,
        pin: Option<PinForUse>,
    },
    Unwrap {
        token: TokenId,
        key: KeyRef,
        scheme: UnwrapScheme,
        #[serde(with = "serde_bytes")]
        wrapped: Vec<u8>,
        expected_len: u32,
        pin: Option<PinForUse>,
    },
    Ecdh {
        token: TokenId,
        key: KeyRef,
        #[serde(with = "serde_bytes")]
        point: Vec<u8>,
        pin: Option<PinForUse>,
    },
    /// C_DecapsulateKey
    Decapsulate {
        token: TokenId,
        key: KeyRef,
        #[serde(with = "serde_bytes")]
        ciphertext: Vec<u8>,
        pin: Option<PinForUse>,
    },
    /// log out everywhere and exit; the answer is the end of the stream
    Shutdown,
    /// C_SetPIN; the token is locked afterwards
    ChangePin {
        token: TokenId,
        old: Secret,
        new: Secret,
        final_try: bool,
    },
    /// a new PIN by the SO PIN or PUK; the token is locked afterwards
    UnblockPin {
        token: TokenId,
        puk: Secret,
        new: Secret,
        final_try: bool,
    },
    /// a context-specific login that is for no operation: the PIN is right, and kept
    KeepPin {
        token: TokenId,
        key: KeyRef,
        pin: PinForUse,
    },
}

/// A PIN for one use of a key, and for how many more it may be kept.
#[derive(Deserialize, Serialize)]
pub(crate) struct PinForUse {
    pub pin: Secret,
    pub final_try: bool,
    pub keep: Option<Batch>,
}

impl Call {
    /// The PINs in it.
    pub fn pins(&self) -> impl Iterator<Item = &Secret> {
        let pins = match self {
            Self::Login { pin, .. } => [pin.as_ref(), None],
            Self::Sign { pin, .. }
            | Self::Unwrap { pin, .. }
            | Self::Ecdh { pin, .. }
            | Self::Decapsulate { pin, .. } => [pin.as_ref().map(|entry| &entry.pin), None],
            Self::ChangePin { old, new, .. } => [Some(old), Some(new)],
            Self::UnblockPin { puk, new, .. } => [Some(puk), Some(new)],
            Self::KeepPin { pin, .. } => [Some(&pin.pin), None],
            Self::Start { .. }
            | Self::WatchReaders { .. }
            | Self::Poll
            | Self::Rescan
            | Self::Logout { .. }
            | Self::Shutdown => [None, None],
        };
        pins.into_iter().flatten()
    }
}

/// What the module's entry in the configuration lets the confined worker use, besides what is known of the module.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Allowed {
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    pub devices: Vec<PathBuf>,
    pub network: bool,
}

/// What the worker sends.
#[derive(Deserialize, Serialize)]
pub(crate) struct Reply {
    pub id: u64,
    pub result: Result<Answer>,
    /// all tokens, if something about them changed
    pub listing: Option<Listing>,
}

/// What came of a call.
#[derive(Deserialize, Serialize)]
pub(crate) enum Answer {
    Done,
    Started {
        info: ModuleInfo,
        /// calls that the worker takes at a time
        parallel: u32,
        /// what of the confinement this machine does not have
        unconfined: Vec<String>,
    },
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    Secret(Secret),
    /// all PC/SC readers
    Readers(Vec<Reader>),
    /// done, and the worker exits now so that the card is let go
    Resting,
    /// not done, and the worker exits now all the same
    RestingAfter(Error),
}

/// All tokens of a module. Of two listings the one with the higher revision is true.
#[derive(Deserialize, Serialize)]
pub(crate) struct Listing {
    pub revision: u64,
    pub tokens: Vec<Snapshot>,
}

/// A token as it was when last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Snapshot {
    pub info: TokenInfo,
    pub certificates: Vec<TokenCertificate>,
}

/// What a module calls something: without control characters, which would end the daemon's connection to the bus (NUL, as in the
/// model of tpm2-pkcs11's tokens) or move a terminal's cursor.
pub(crate) fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<String, D::Error> {
    let given = String::deserialize(deserializer)?;
    let shown = given.chars().map(|c| if c.is_control() { ' ' } else { c });
    Ok(shown.collect::<String>().trim_end().to_owned())
}

/// A PIN or a derived key: wiped when dropped, never shown.
pub(crate) struct Secret(pub Zeroizing<Vec<u8>>);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Secret;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Secret, E> {
                Ok(Secret(Zeroizing::new(bytes.to_vec())))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    #[test]
    fn what_a_module_calls_itself_has_no_control_characters() {
        let said = ModuleInfo {
            description: "SW\0\0TPM\0".into(),
            manufacturer: "\x1b[2JÄrger".into(),
            library_version: "1.9".into(),
        };
        let sent = frame::encode(&said, frame::MAX_REPLY).unwrap();
        let heard: ModuleInfo = frame::decode(sent.get(4..).unwrap()).unwrap();
        assert_eq!(heard.description, "SW  TPM");
        assert_eq!(heard.manufacturer, " [2JÄrger");
        assert_eq!(heard.library_version, "1.9");
    }
}
