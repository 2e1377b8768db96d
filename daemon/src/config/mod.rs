//! The configuration (design §4): strict TOML, read once; and the folders where the daemon keeps things.
//!
//! Every value is checked while the file is parsed, so that an error names its line. Nothing here opens what the
//! configuration points to, but [`check`].

use std::io;
use std::path::PathBuf;

use privyseal_smime::{Cipher, DigestAlgorithm};
use privyseal_token::ModuleConfig;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

mod check;
mod consent;
mod file;
mod folders;
mod labels;
mod pin;
mod policy;
mod profiles;
#[cfg(test)]
mod tests;

pub use check::check;
pub use consent::{Audit, Consent, ConsentMode, KeyInterface};
pub use file::load;
pub use folders::{data_dir, spool_dir};
pub use labels::{Labels, UnknownLabels};
pub use pin::Pin;
pub use profiles::profiles;

/// What all files said together; paths are absolute, values are known ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    pub modules: Modules,
    pub module: Vec<ModuleConfig>,
    pub trust: Trust,
    pub pki: Pki,
    pub pinentry: Pinentry,
    pub pin: Pin,
    pub consent: Consent,
    pub audit: Audit,
    pub key_interface: KeyInterface,
    pub algorithms: Algorithms,
    pub sign: Sign,
    pub encrypt: Encrypt,
    pub labels: Labels,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Modules {
    /// also the modules of p11-kit's module files
    pub p11_kit: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// files or folders
    pub anchors: Vec<PathBuf>,
    /// CRL files or folders, DER or PEM
    pub crls: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pki {
    /// CA certificates that help to build paths
    pub intermediates: Vec<PathBuf>,
    /// people's certificates, to encrypt to by address
    pub certificates: Vec<PathBuf>,
    /// `off`, `soft`, `leaf` or `required`
    #[serde(deserialize_with = "revocation")]
    pub revocation: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pinentry {
    /// absolute path, or a name to be found in the daemon's own PATH; default `pinentry`
    #[serde(deserialize_with = "program")]
    pub program: Option<PathBuf>,
}

/// Algorithm profiles by name; whether they are there is known once all files are read ([`profiles`]).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Algorithms {
    /// what is written
    pub profile: String,
    /// what is read
    pub read: String,
    /// more profiles: files, or folders of `*.toml`
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Sign {
    /// who signs when the caller does not say: an address, fingerprint or pkcs11: URI
    pub signer: Option<String>,
    /// `sha256` …; the profile's first where nothing is said
    #[serde(deserialize_with = "digest")]
    pub digest: Option<String>,
    /// `leaf`, `no-root` or `all`
    #[serde(deserialize_with = "include_chain")]
    pub include_chain: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Encrypt {
    /// `aes256-gcm` …; the profile's first where nothing is said
    #[serde(deserialize_with = "cipher")]
    pub cipher: Option<String>,
    /// the sender can read what was sent
    pub to_self: bool,
}

/// Why there is no configuration, or no folder to keep things in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// `line` and `column` count from 1.
    #[error(
        "{}:{line}:{column}: {what}; correct it, then run `privyseal config check`",
        path.display()
    )]
    Invalid {
        path: PathBuf,
        line: usize,
        column: usize,
        what: String,
    },
    /// `known` are the names that there are.
    #[error("[algorithms] {key}: no profile is called {name:?}; there are {known}")]
    NoProfile {
        key: &'static str,
        name: String,
        known: String,
    },
    #[error("{}: {what}", path.display())]
    Folder { path: PathBuf, what: String },
    #[error("neither {0} nor HOME is set to an absolute path")]
    NoHome(&'static str),
}

impl Default for Modules {
    fn default() -> Self {
        Modules { p11_kit: true }
    }
}

impl Default for Pki {
    fn default() -> Self {
        Pki {
            intermediates: Vec::new(),
            certificates: Vec::new(),
            revocation: "soft".into(),
        }
    }
}

impl Default for Algorithms {
    fn default() -> Self {
        Algorithms {
            profile: "rfc8551".into(),
            read: "legacy-read".into(),
            files: Vec::new(),
        }
    }
}

impl Default for Sign {
    fn default() -> Self {
        Sign {
            signer: None,
            digest: None,
            include_chain: "no-root".into(),
        }
    }
}

impl Default for Encrypt {
    fn default() -> Self {
        Encrypt {
            cipher: None,
            to_self: true,
        }
    }
}

fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    match DigestAlgorithm::from_name(&text) {
        Some(digest) if !digest.is_weak() => Ok(Some(digest.name().into())),
        Some(_) => Err(D::Error::custom(format!(
            "digest {text:?} is too weak to sign with: use \"sha256\", \"sha384\" or \"sha512\""
        ))),
        None => Err(D::Error::custom(format!(
            "no digest is called {text:?}: use \"sha256\", \"sha384\" or \"sha512\""
        ))),
    }
}

fn cipher<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    match Cipher::from_name(&text).filter(|cipher| !cipher.is_only_read()) {
        Some(cipher) => Ok(Some(cipher.name().into())),
        None => Err(D::Error::custom(format!(
            "no cipher is called {text:?}: use \"aes256-gcm\", \"aes192-gcm\", \"aes128-gcm\", \"chacha20-poly1305\", or AES with \"-cbc\""
        ))),
    }
}

fn include_chain<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    one_of(from, &["leaf", "no-root", "all"])
}

fn revocation<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    one_of(from, &["off", "soft", "leaf", "required"])
}

fn one_of<'de, D: Deserializer<'de>>(from: D, allowed: &[&str]) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if allowed.contains(&text.as_str()) {
        return Ok(text);
    }
    let allowed: Vec<String> = allowed.iter().map(|a| format!("{a:?}")).collect();
    Err(D::Error::custom(format!(
        "{text:?} is not one of {}",
        allowed.join(", ")
    )))
}

fn program<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if path.as_os_str().is_empty() {
        return Err(D::Error::custom(
            "an empty program: leave the key out for `pinentry`",
        ));
    }
    Ok(Some(path))
}
