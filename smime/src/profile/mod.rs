//! Algorithm rules as data: a [`Profile`] says what may be written and in which order of preference, what may be read and what of
//! that is weak, and what signed messages announce. Profiles are TOML files: those of `smime/profiles/` are built in, an
//! administrator's are added by [`Profiles::add`].
//!
//! What no profile can change lies in the code: what this crate is able to do, and that nothing broken is ever written.

use std::fmt::Display;
use std::sync::Arc;

use crate::algorithm::{Cipher, DigestAlgorithm, KeyWrap, SignatureScheme};
use crate::capability::{Announcement, Capability};
use crate::cert::KeyType;
use crate::enveloped::Kdf;
use crate::error::{Error, Result};
use crate::key::RsaPadding;

mod keys;
mod names;
mod parse;
mod set;

#[cfg(test)]
mod tests;

pub use keys::KeyRule;
pub use names::{KeyManagement, SignatureKind};
pub use parse::ProfileError;
pub use set::Profiles;
use set::{built_in, known_as_weak};

/// Algorithms of one use, each list in order of preference. What is not in a list is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) digests: Vec<DigestAlgorithm>,
    pub(crate) signatures: Vec<SignatureKind>,
    /// digests of RSASSA-PSS's mask
    pub(crate) pss_masks: Vec<DigestAlgorithm>,
    pub(crate) signing_keys: Vec<KeyRule>,
    pub(crate) ciphers: Vec<Cipher>,
    pub(crate) key_management: Vec<KeyManagement>,
    /// of RSAES-OAEP: its hash and its mask's
    pub(crate) oaep_digests: Vec<DigestAlgorithm>,
    pub(crate) kdfs: Vec<Kdf>,
    pub(crate) key_wraps: Vec<KeyWrap>,
    pub(crate) encryption_keys: Vec<KeyRule>,
}

/// The rules of one community of senders and readers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    name: String,
    description: String,
    experimental: bool,
    write: Rules,
    read: Rules,
    /// read too, and called weak
    weak: Rules,
    announce: Vec<Announcement>,
}

/// What a profile thinks of something it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Fine,
    /// read, and flagged
    Weak,
}

/// How a content-encryption key was, or is to be, protected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyProtection<'a> {
    Rsa(&'a RsaPadding),
    Agreement(Kdf, KeyWrap),
    Kem(Kdf, KeyWrap),
}

impl Profile {
    /// What is written unless told otherwise.
    pub fn rfc8551() -> Arc<Self> {
        built_in("rfc8551")
    }

    /// What is read unless told otherwise.
    pub fn legacy_read() -> Arc<Self> {
        built_in("legacy-read")
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// One line for people.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Not yet compared with its source word by word.
    pub fn is_experimental(&self) -> bool {
        self.experimental
    }

    /// The digest for new signatures when nobody chooses one.
    pub fn default_digest(&self) -> Option<DigestAlgorithm> {
        self.write.digests.first().copied()
    }

    /// The content cipher when nobody chooses one.
    pub fn default_cipher(&self) -> Option<Cipher> {
        self.write.ciphers.first().copied()
    }

    /// Whether RSA keys sign by RSASSA-PSS when nobody says how.
    pub fn prefers_pss(&self) -> bool {
        let of_rsa =
            |kind: &&SignatureKind| matches!(kind, SignatureKind::RsaPkcs1 | SignatureKind::RsaPss);
        self.write.signatures.iter().find(of_rsa) == Some(&SignatureKind::RsaPss)
    }

    /// Whether keys go to RSA recipients by RSAES-OAEP when nobody says how.
    pub fn prefers_oaep(&self) -> bool {
        let of_rsa = |kind: &&KeyManagement| {
            matches!(kind, KeyManagement::RsaPkcs1 | KeyManagement::RsaOaep)
        };
        self.write.key_management.iter().find(of_rsa) == Some(&KeyManagement::RsaOaep)
    }

    /// The hash of RSAES-OAEP when we write it.
    pub(crate) fn oaep_digest(&self) -> DigestAlgorithm {
        let first = self.write.oaep_digests.first();
        first.copied().unwrap_or(DigestAlgorithm::Sha256)
    }

    /// The key derivation to write: this one, else the first of its family.
    pub(crate) fn kdf_like(&self, natural: Kdf) -> Kdf {
        let kdfs = &self.write.kdfs;
        if kdfs.contains(&natural) {
            return natural;
        }
        let family = |kdf: &&Kdf| std::mem::discriminant(*kdf) == std::mem::discriminant(&natural);
        kdfs.iter().find(family).copied().unwrap_or(natural)
    }

    /// The capabilities that signed messages announce.
    pub fn capabilities(&self) -> Vec<Capability> {
        self.announce
            .iter()
            .map(|announced| announced.capability())
            .collect()
    }

    /// Of the ciphers that this profile writes, the most preferred one that is in every list of capabilities (RFC 8551 §2.7.1).
    /// `None`: they have none in common, or there is no list.
    pub fn common_cipher(&self, lists: &[&[Capability]]) -> Option<Cipher> {
        if lists.is_empty() {
            return None;
        }
        let all_read = |cipher: &Cipher| {
            lists
                .iter()
                .all(|list| list.iter().any(|c| c.cipher() == Some(*cipher)))
        };
        self.write.ciphers.iter().copied().find(all_read)
    }

    /// Whether a digest may be asked for when signing.
    ///
    /// # Errors
    /// As [`Profile::writes_signature`].
    pub fn writes_digest(&self, digest: DigestAlgorithm) -> Result<()> {
        self.writes("the digest", &self.write.digests, &digest, |r| &r.digests)
    }

    /// Whether a new signature may be made so, by a key of this kind.
    ///
    /// # Errors
    /// `WeakAlgorithm` or `Refused`, which name the profile and what it allows.
    pub fn writes_signature(&self, scheme: SignatureScheme, key: KeyType) -> Result<()> {
        self.writes_digest(scheme.digest())?;
        let kind = SignatureKind::of(scheme);
        self.writes("the signature", &self.write.signatures, &kind, |r| {
            &r.signatures
        })?;
        if let SignatureScheme::RsaPss { mgf, .. } = scheme {
            self.writes("an RSASSA-PSS mask by", &self.write.pss_masks, &mgf, |r| {
                &r.pss_masks
            })?;
        }
        self.signs_by(key)
    }

    /// Whether a key of this kind may sign.
    ///
    /// # Errors
    /// As [`Profile::writes_signature`].
    pub fn signs_by(&self, key: KeyType) -> Result<()> {
        self.writes_key("signing by", &self.write.signing_keys, key, |r| {
            &r.signing_keys
        })
    }

    /// Whether content may be encrypted so.
    ///
    /// # Errors
    /// As [`Profile::writes_signature`].
    pub fn writes_cipher(&self, cipher: Cipher) -> Result<()> {
        self.writes("the cipher", &self.write.ciphers, &cipher, |r| &r.ciphers)
    }

    /// Whether a key of this kind may be encrypted to.
    ///
    /// # Errors
    /// As [`Profile::writes_signature`].
    pub fn writes_to(&self, key: KeyType) -> Result<()> {
        self.writes_key("encryption to", &self.write.encryption_keys, key, |r| {
            &r.encryption_keys
        })
    }

    /// Whether a content-encryption key may be given to somebody with a key of this kind.
    pub(crate) fn writes_protection(&self, how: KeyProtection<'_>, key: KeyType) -> Result<()> {
        let rules = &self.write;
        let kind = how.kind();
        self.writes("the key management", &rules.key_management, &kind, |r| {
            &r.key_management
        })?;
        match how {
            KeyProtection::Rsa(RsaPadding::Pkcs1) => {}
            KeyProtection::Rsa(RsaPadding::Oaep { hash, mgf, .. }) => {
                for digest in [hash, mgf] {
                    self.writes("RSAES-OAEP by", &rules.oaep_digests, digest, |r| {
                        &r.oaep_digests
                    })?;
                }
            }
            KeyProtection::Agreement(kdf, wrap) | KeyProtection::Kem(kdf, wrap) => {
                self.writes("the key derivation", &rules.kdfs, &kdf, |r| &r.kdfs)?;
                self.writes("the key wrap", &rules.key_wraps, &wrap, |r| &r.key_wraps)?;
            }
        }
        self.writes_to(key)
    }

    /// What a signature is worth, as far as its parts are known.
    ///
    /// # Errors
    /// `WeakAlgorithm` or `Refused` for what is not read.
    pub fn reads_signature(
        &self,
        digest: Option<DigestAlgorithm>,
        scheme: Option<SignatureScheme>,
        key: Option<KeyType>,
    ) -> Result<Strength> {
        let mut strength = Strength::Fine;
        if let Some(digest) = digest {
            let found = self.reads("the digest", &digest, |r| &r.digests)?;
            strength = strength.max(found);
        }
        if let Some(scheme) = scheme {
            let found = self.reads("the signature", &SignatureKind::of(scheme), |r| {
                &r.signatures
            })?;
            strength = strength.max(found);
        }
        if let Some(SignatureScheme::RsaPss { mgf, .. }) = scheme {
            let found = self.reads("an RSASSA-PSS mask by", &mgf, |r| &r.pss_masks)?;
            strength = strength.max(found);
        }
        if let Some(key) = key {
            let found = self.reads_key("signatures by", key, |r| &r.signing_keys)?;
            strength = strength.max(found);
        }
        Ok(strength)
    }

    /// Whether content encrypted so is read.
    ///
    /// # Errors
    /// As [`Profile::reads_signature`].
    pub fn reads_cipher(&self, cipher: Cipher) -> Result<Strength> {
        self.reads("the cipher", &cipher, |r| &r.ciphers)
    }

    /// Whether a content-encryption key is taken that came so, for a key of this kind.
    pub(crate) fn reads_protection(
        &self,
        how: KeyProtection<'_>,
        key: KeyType,
    ) -> Result<Strength> {
        let kind = how.kind();
        let mut strength = self.reads("the key management", &kind, |r| &r.key_management)?;
        match how {
            KeyProtection::Rsa(RsaPadding::Pkcs1) => {}
            KeyProtection::Rsa(RsaPadding::Oaep { hash, mgf, .. }) => {
                for digest in [hash, mgf] {
                    let found = self.reads("RSAES-OAEP by", digest, |r| &r.oaep_digests)?;
                    strength = strength.max(found);
                }
            }
            KeyProtection::Agreement(kdf, wrap) | KeyProtection::Kem(kdf, wrap) => {
                strength = strength
                    .max(self.reads("the key derivation", &kdf, |r| &r.kdfs)?)
                    .max(self.reads("the key wrap", &wrap, |r| &r.key_wraps)?);
            }
        }
        let of_key = self.reads_key("encryption to", key, |r| &r.encryption_keys)?;
        Ok(strength.max(of_key))
    }

    fn writes<T: PartialEq + Display>(
        &self,
        what: &str,
        allowed: &[T],
        it: &T,
        list: fn(&Rules) -> &Vec<T>,
    ) -> Result<()> {
        if allowed.contains(it) {
            return Ok(());
        }
        let weak = known_as_weak().is_some_and(|rules| list(rules).contains(it));
        Err(self.refusal("write", what, it, allowed, weak))
    }

    fn writes_key(
        &self,
        what: &str,
        allowed: &[KeyRule],
        key: KeyType,
        list: fn(&Rules) -> &Vec<KeyRule>,
    ) -> Result<()> {
        if allowed.iter().any(|rule| rule.matches(key)) {
            return Ok(());
        }
        let weak = known_as_weak().is_some_and(|r| list(r).iter().any(|rule| rule.matches(key)));
        Err(self.refusal("write", what, &key, allowed, weak))
    }

    fn reads<T: PartialEq + Display>(
        &self,
        what: &str,
        it: &T,
        list: fn(&Rules) -> &Vec<T>,
    ) -> Result<Strength> {
        if list(&self.read).contains(it) {
            return Ok(Strength::Fine);
        }
        if list(&self.weak).contains(it) {
            return Ok(Strength::Weak);
        }
        let weak = known_as_weak().is_some_and(|rules| list(rules).contains(it));
        Err(self.refusal("read", what, it, list(&self.read), weak))
    }

    fn reads_key(
        &self,
        what: &str,
        key: KeyType,
        list: fn(&Rules) -> &Vec<KeyRule>,
    ) -> Result<Strength> {
        let matches = |rules: &Rules| list(rules).iter().any(|rule| rule.matches(key));
        if matches(&self.read) {
            return Ok(Strength::Fine);
        }
        if matches(&self.weak) {
            return Ok(Strength::Weak);
        }
        let weak = known_as_weak().is_some_and(matches);
        Err(self.refusal("read", what, &key, list(&self.read), weak))
    }

    fn refusal<T: Display>(
        &self,
        verb: &str,
        what: &str,
        it: &dyn Display,
        allowed: &[T],
        weak: bool,
    ) -> Error {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let allowed = match allowed.as_slice() {
            [] => "none".to_owned(),
            _ => allowed.join(", "),
        };
        let text = format!(
            "the profile {} does not {verb} {what} {it} (it allows: {allowed})",
            self.name
        );
        if weak {
            Error::WeakAlgorithm(text)
        } else {
            Error::Refused(text)
        }
    }
}

impl KeyProtection<'_> {
    fn kind(self) -> KeyManagement {
        match self {
            KeyProtection::Rsa(RsaPadding::Pkcs1) => KeyManagement::RsaPkcs1,
            KeyProtection::Rsa(RsaPadding::Oaep { .. }) => KeyManagement::RsaOaep,
            KeyProtection::Agreement(..) => KeyManagement::Ecdh,
            KeyProtection::Kem(..) => KeyManagement::Kem,
        }
    }
}
