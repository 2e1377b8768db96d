//! The file of a profile: strict TOML. With `extends` a list that is left out is the other profile's.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::names::Word;
use super::{Profile, Rules};
use crate::algorithm::DigestAlgorithm;

/// Longest name of a profile, characters.
const NAME: usize = 64;

/// What is wrong with a profile's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// bytes of the text that it is about, where that is known
    pub at: Option<Range<usize>>,
    pub what: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for ProfileError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    #[serde(default)]
    description: String,
    extends: Option<Spanned<String>>,
    #[serde(default)]
    experimental: bool,
    #[serde(default)]
    write: Lists,
    #[serde(default)]
    read: Reading,
    #[serde(default)]
    capabilities: Capabilities,
}

type List = Option<Vec<Spanned<String>>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Lists {
    digests: List,
    signatures: List,
    pss_masks: List,
    signing_keys: List,
    ciphers: List,
    key_management: List,
    oaep_digests: List,
    kdfs: List,
    key_wraps: List,
    encryption_keys: List,
}

/// `[read]`; what `flatten` would do, but with errors that know their place.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Reading {
    digests: List,
    signatures: List,
    pss_masks: List,
    signing_keys: List,
    ciphers: List,
    key_management: List,
    oaep_digests: List,
    kdfs: List,
    key_wraps: List,
    encryption_keys: List,
    weak: Lists,
}

impl Reading {
    fn split(self) -> (Lists, Lists) {
        let strong = Lists {
            digests: self.digests,
            signatures: self.signatures,
            pss_masks: self.pss_masks,
            signing_keys: self.signing_keys,
            ciphers: self.ciphers,
            key_management: self.key_management,
            oaep_digests: self.oaep_digests,
            kdfs: self.kdfs,
            key_wraps: self.key_wraps,
            encryption_keys: self.encryption_keys,
        };
        (strong, self.weak)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Capabilities {
    announce: List,
}

pub(super) fn parse(
    text: &str,
    known: &BTreeMap<String, Arc<Profile>>,
) -> Result<Profile, ProfileError> {
    let file: File = toml::from_str(text).map_err(|e| ProfileError {
        at: e.span(),
        what: e.message().to_owned(),
    })?;
    let name = file.name.as_ref().clone();
    if name.is_empty()
        || name.len() > NAME
        || !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
    {
        return Err(ProfileError {
            at: Some(file.name.span()),
            what: format!(
                "{name:?} is no name for a profile: 1 to {NAME} of a-z, 0-9, \"-\", \"_\", \".\""
            ),
        });
    }
    let base = match &file.extends {
        None => None,
        Some(named) => Some(known.get(named.as_ref()).ok_or_else(|| ProfileError {
            at: Some(named.span()),
            what: format!(
                "no profile is called {:?}: there are {}",
                named.as_ref(),
                known.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
        })?),
    };
    let (read, weak) = file.read.split();
    Ok(Profile {
        description: file.description,
        experimental: file.experimental,
        write: rules(file.write, Use::Write, base.map(|b| &b.write))?,
        read: rules(read, Use::Read, base.map(|b| &b.read))?,
        weak: rules(weak, Use::Weak, base.map(|b| &b.weak))?,
        announce: words(
            file.capabilities.announce,
            "[capabilities] announce",
            base.map(|b| &b.announce),
            |_| None,
        )?,
        name,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Write,
    Read,
    Weak,
}

impl Use {
    fn table(self) -> &'static str {
        match self {
            Use::Write => "[write]",
            Use::Read => "[read]",
            Use::Weak => "[read.weak]",
        }
    }

    fn check<T: Word>(self) -> fn(&T) -> Option<&'static str> {
        match self {
            Use::Write => T::never_written,
            Use::Read | Use::Weak => |_| None,
        }
    }
}

fn rules(lists: Lists, of: Use, base: Option<&Rules>) -> Result<Rules, ProfileError> {
    macro_rules! take {
        ($($field:ident = $name:literal by $check:expr),* $(,)?) => {
            Rules { $($field: words(
                lists.$field,
                &format!("{} {}", of.table(), $name),
                base.map(|base| &base.$field),
                $check,
            )?),* }
        };
    }
    Ok(take! {
        digests = "digests" by of.check(),
        signatures = "signatures" by of.check(),
        pss_masks = "pss-masks" by |_| None,
        signing_keys = "signing-keys" by of.check(),
        ciphers = "ciphers" by of.check(),
        key_management = "key-management" by of.check(),
        oaep_digests = "oaep-digests" by oaep(of),
        kdfs = "kdfs" by of.check(),
        key_wraps = "key-wraps" by of.check(),
        encryption_keys = "encryption-keys" by of.check(),
    })
}

/// RSAES-OAEP is written with the hashes that others read; SHA-1 is one of them, and does no harm there (RFC 8017 §7.1).
fn oaep(of: Use) -> fn(&DigestAlgorithm) -> Option<&'static str> {
    use DigestAlgorithm::{Sha1, Sha256, Sha384, Sha512};
    match of {
        Use::Write => |digest| {
            let written = matches!(digest, Sha1 | Sha256 | Sha384 | Sha512);
            (!written).then_some("is not written by this version")
        },
        Use::Read | Use::Weak => |_| None,
    }
}

fn words<T: Word + Clone>(
    list: List,
    place: &str,
    base: Option<&Vec<T>>,
    refused: impl Fn(&T) -> Option<&'static str>,
) -> Result<Vec<T>, ProfileError> {
    let list = match (list, base) {
        (Some(list), _) => list,
        (None, Some(base)) => return Ok(base.clone()),
        (None, None) => {
            return Err(ProfileError {
                at: None,
                what: format!("{place} is missing, and the profile extends no other"),
            });
        }
    };
    let mut all = Vec::with_capacity(list.len());
    for word in list {
        let wrong = |what: String| ProfileError {
            at: Some(word.span()),
            what: format!("{place}: {what}"),
        };
        let text = word.as_ref();
        let found = T::from_word(text)
            .ok_or_else(|| wrong(format!("{text:?} is not {}: {}", T::WHAT, T::known())))?;
        if let Some(why) = refused(&found) {
            return Err(wrong(format!("{text:?} {why}")));
        }
        all.push(found);
    }
    Ok(all)
}
