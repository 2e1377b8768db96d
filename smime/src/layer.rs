//! What a message is wrapped in.

/// One layer of a message, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `signed`, `enveloped`, `auth-enveloped`, `compressed` or `certs-only`.
    pub kind: &'static str,
    /// The content cipher, for instance `aes256-gcm`.
    pub cipher: Option<String>,
    /// Whether the cipher authenticates.
    pub authenticated: Option<bool>,
    /// How many recipients an encrypted layer names.
    pub recipients: Option<u32>,
}

impl Layer {
    pub(crate) fn plain(kind: &'static str) -> Self {
        Layer {
            kind,
            cipher: None,
            authenticated: None,
            recipients: None,
        }
    }
}
