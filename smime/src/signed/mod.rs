//! SignedData (RFC 5652 §5) as S/MIME uses it: made with a [`crate::Signer`], verified in software.

use std::sync::Arc;

use der::asn1::ObjectIdentifier;

use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::cert::Certificate;
use crate::ess::{Ess, SignEss};
use crate::key::RecipientId;
use crate::layer::Layer;
use crate::mime::{Form, Headers};
use crate::profile::Profile;

mod attributes;
mod claims;
mod counter;
mod inside;
mod receipt;
mod restrict;
mod scheme;
mod sign;
mod signed_data;
mod signer;
mod verify;

#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;

pub use claims::{Claims, ContentHint};
pub(crate) use inside::is_encrypted;
pub use receipt::sign_receipt;
pub use sign::{check_signing, sign};
pub use verify::{release, verify};

/// Where the signed content goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SignForm {
    /// `multipart/signed`
    #[default]
    Clear,
    /// inside the SignedData
    Opaque,
    /// a SignedData without content; the content stays where it is
    Detached,
}

/// Which certificates travel along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IncludeChain {
    Leaf,
    /// everything but a self-signed root
    #[default]
    NoRoot,
    All,
}

/// How to sign.
#[derive(Clone, Debug)]
pub struct SignOptions {
    pub form: SignForm,
    /// [`SignForm::Clear`] goes with [`Form::Smime`] only.
    pub format: Form,
    /// Bare LF becomes CRLF before hashing and in what is written (RFC 8551 §3.1.1).
    pub canonicalize: bool,
    /// Ed25519 has its own, SHA-512 (RFC 8419 §2.3), which ML-DSA takes instead of shorter ones.
    pub digest: DigestAlgorithm,
    /// RSASSA-PSS instead of PKCS#1 v1.5; ignored for other keys.
    pub pss: bool,
    /// Certificates besides the signer's, already chosen by [`IncludeChain`].
    pub chain: Vec<Certificate>,
    /// Seconds since 1970, for the signingTime attribute.
    pub signing_time: u64,
    /// A request for receipts, a security label; not for receipts themselves.
    pub ess: SignEss,
    /// what may be written, and what is announced as readable
    pub profile: Arc<Profile>,
    /// Which certificate the signer wants to be encrypted to, if it is another one; it travels along.
    pub encryption_certificate: Option<Certificate>,
    /// What the content is, for people: [`crate::limits::CONTENT_HINT`] characters at most.
    pub content_hint: Option<String>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct SignResult {
    /// name of the profile it was made by
    pub profile: String,
    pub digest: DigestAlgorithm,
    /// `rsa-pkcs1`, `rsa-pss`, `ecdsa`, `ed25519` or `ml-dsa-65` and its like
    pub algorithm: &'static str,
    /// bytes of content that were signed
    pub content_len: u64,
    /// A clear signature over text that is not 7bit (bytes above 127, NUL, lines above 998): a relay that makes it so breaks
    /// the signature (RFC 8551 §3.1.3).
    pub may_break: bool,
}

/// What the cryptography of one SignerInfo says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureState {
    Valid,
    /// why, in words
    Invalid(String),
    /// An algorithm or a form we cannot judge; why, in words
    Unsupported(String),
}

/// One SignerInfo, judged but for its certificate's path.
#[derive(Clone, Debug)]
pub struct SignerOutcome {
    pub id: RecipientId,
    pub state: SignatureState,
    /// `None`: the signer's certificate is neither in the message nor among the candidates.
    pub certificate: Option<Certificate>,
    /// Certificates of the same key that the signer may mean as well, by which the signature is valid too.
    pub alternatives: Vec<Certificate>,
    pub digest: Option<DigestAlgorithm>,
    /// `rsa-pkcs1`, `rsa-pss`, `ecdsa`, `ed25519`, `ml-dsa-65` …; else the OID
    pub algorithm: String,
    /// signingTime attribute, seconds since 1970: the signer's claim, never a time to validate at
    pub signing_time: Option<u64>,
    /// `None`: the algorithms are not known, or do not go together
    pub scheme: Option<SignatureScheme>,
    /// by the rules of `legacy-read`, or of the profile of [`VerifyOutcome::restrict`]
    pub weak: bool,
    /// receipts, labels (RFC 2634)
    pub ess: Ess,
    /// Signatures over this one's value (RFC 5652 §11.4); they say nothing about the message.
    pub countersignatures: Vec<SignerOutcome>,
    /// empty unless the signature is valid
    pub claims: Claims,
}

/// All that a signed message says about itself.
#[derive(Clone, Debug, Default)]
pub struct VerifyOutcome {
    pub signers: Vec<SignerOutcome>,
    /// all certificates of the message, in order
    pub certificates: Vec<Certificate>,
    /// all CRLs of the message, DER
    pub crls: Vec<Vec<u8>>,
    /// outermost first
    pub layers: Vec<Layer>,
    /// of the outermost entity; empty for bare CMS
    pub headers: Headers,
    /// Of what was signed, where it has a From of its own that a reader may be shown (RFC 9788); empty elsewhere.
    pub inner: Headers,
    /// Addresses of the From outside the signature; where a received message has none there, of the one inside.
    pub from: Vec<String>,
    /// In words: oddities that make the message as a whole not good, whatever its signatures say (several From fields,
    /// eContentType other than id-data, a signature part with content of its own …)
    pub contradictions: Vec<String>,
    /// In words: why valid signatures do not make the message good, although nothing is wrong with them (what was signed is
    /// ciphertext, or cannot be looked at)
    pub reservations: Vec<String>,
    /// There is text before or after the parts of the multipart/signed, other than the usual notice. It is no part of the
    /// message (RFC 2046 §5.1.1) and nobody signed it.
    pub text_outside: bool,
    /// There is content, of the type id-data, that may be an entity with more inside.
    pub carries_mail: bool,
    /// bytes of content that were judged
    pub content_len: u64,
    /// eContentType of the outermost SignedData
    pub content_type: Option<ObjectIdentifier>,
    /// In words: what a person should know although it changes no verdict
    pub warnings: Vec<String>,
}
