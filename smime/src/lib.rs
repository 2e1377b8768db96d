//! S/MIME 4.0 (RFC 8551) over CMS (RFC 5652), without any idea of where private keys live.
//!
//! Everything streams: a message of a gigabyte needs the same few MiB as one of ten KiB. Private keys are reached through
//! [`Signer`] and [`KeyOpener`] only. Must not know PKCS#11, D-Bus or a store.
#![forbid(unsafe_code)]

pub mod ber;
pub mod compressed;
pub mod enveloped;
pub mod ess;
pub mod io;
pub mod limits;
pub mod message;
pub mod mime;
pub mod profile;
pub mod signed;
pub mod verdict;

mod algorithm;
mod algorithm_id;
mod capability;
mod cert;
mod content;
mod error;
mod key;
mod layer;
mod mailbox;
#[cfg(test)]
mod tally;

pub use algorithm::{Cipher, DigestAlgorithm, Hashers, KeyWrap, MlDsa, SignatureScheme};
pub use capability::Capability;
pub use cert::{Brainpool, Certificate, Curve, KeyType, MlKem};
pub use compressed::{CompressOptions, CompressResult, DecompressOutcome, compress, decompress};
pub use enveloped::{
    DecryptOutcome, EncryptOptions, EncryptResult, Encryptor, decrypt, decrypt_with, encrypt,
};
pub use error::{Error, Result};
pub use io::Input;
pub use key::{
    KeyError, KeyOpener, RecipientId, RsaPadding, Signer, verify_message, verify_signature,
    verify_with_key,
};
pub use layer::Layer;
pub use mailbox::{Mailbox, same_mailbox};
pub use mime::{Form, Headers};
pub use profile::{Profile, Profiles};
pub use signed::{
    Claims, ContentHint, IncludeChain, SignForm, SignOptions, SignResult, SignatureState,
    SignerOutcome, VerifyOutcome, check_signing, release, sign, sign_receipt, verify,
};
