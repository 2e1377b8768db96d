//! The `a{sv}` options of the Cms interface, checked: an unknown option or a wrong type is an error that names it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use der::asn1::ObjectIdentifier;
use privyseal_pki::{Anchors, PathOptions, Purpose, Revocation};
use privyseal_proto::{ErrorName, Failure, limits};
use privyseal_smime::ess::SecurityLabel;
use privyseal_smime::{Certificate, Cipher, DigestAlgorithm, Form, IncludeChain, SignForm};
use zbus::{OwnedVariant, Variant};

use super::{crls_of, verify};
use crate::descriptor::Files;

/// Which call the options are for: each takes only its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Sign,
    SignAndEncrypt,
    Verify,
    Open,
    Encrypt,
    Decrypt,
    Compress,
    Decompress,
    Validate,
    MakeReceipt,
    CheckReceipt,
}

/// Descriptors in one option.
const FILES_MAX: usize = 256;

/// Checked options. `None`: the caller did not say.
pub struct Options {
    pub handle_token: Option<String>,
    pub interactive: Option<bool>,
    pub form: Option<SignForm>,
    pub format: Option<Form>,
    pub canonicalize: Option<bool>,
    pub signer: Option<String>,
    pub digest: Option<DigestAlgorithm>,
    pub pss: Option<bool>,
    /// of algorithms
    pub profile: Option<String>,
    pub content_hint: Option<String>,
    pub include_chain: Option<IncludeChain>,
    pub cipher: Option<Cipher>,
    pub oaep: Option<bool>,
    pub encrypt_to_self: Option<bool>,
    pub sender: Option<String>,
    /// seconds since 1970
    pub at: Option<u64>,
    pub purpose: Purpose,
    pub revocation: Option<Revocation>,
    pub anchors: Option<Anchors>,
    pub untrusted: Vec<Certificate>,
    pub crls: Vec<Vec<u8>>,
    pub path: PathOptions,
    pub even_if_bad: bool,
    /// whom receipts are asked to be sent to
    pub request_receipt: Vec<String>,
    pub label: Option<SecurityLabel>,
    /// what is verified is taken for a receipt
    pub as_receipt: bool,
    /// where the PIN of a key comes from that wants it at every use
    pin: Mutex<Option<OwnedFd>>,
    /// what `fd:N` selectors mean
    certificates: Vec<Certificate>,
    /// when the judging of certificate paths ends, from the first on: a message names many
    pub judging: OnceLock<Instant>,
}

const COMMON: [&str; 2] = ["handle_token", "interactive"];
const SIGN: [&str; 10] = [
    "form",
    "format",
    "canonicalize",
    "signer",
    "digest",
    "pss",
    "include-chain",
    "certificates",
    "content-hint",
    "profile",
];
const ENCRYPT: [&str; 8] = [
    "format",
    "canonicalize",
    "cipher",
    "oaep",
    "encrypt-to-self",
    "sender",
    "certificates",
    "profile",
];
const ESS: [&str; 2] = ["request-receipt", "label"];
const COMPRESS: [&str; 2] = ["format", "canonicalize"];
const PATH: [&str; 17] = [
    "at",
    "offline",
    "purpose",
    "revocation",
    "trust-anchors",
    "untrusted",
    "crls",
    "ocsp",
    "use-deltas",
    "partial-chain",
    "max-depth",
    "auth-level",
    "policies",
    "require-explicit-policy",
    "inhibit-policy-mapping",
    "inhibit-any-policy",
    "sender",
];

impl Default for Options {
    fn default() -> Self {
        Options {
            handle_token: None,
            interactive: None,
            form: None,
            format: None,
            canonicalize: None,
            signer: None,
            digest: None,
            pss: None,
            profile: None,
            content_hint: None,
            include_chain: None,
            cipher: None,
            oaep: None,
            encrypt_to_self: None,
            sender: None,
            at: None,
            purpose: Purpose::Email,
            revocation: None,
            anchors: None,
            untrusted: Vec::new(),
            crls: Vec::new(),
            path: PathOptions::default(),
            even_if_bad: false,
            request_receipt: Vec::new(),
            label: None,
            as_receipt: false,
            pin: Mutex::new(None),
            certificates: Vec::new(),
            judging: OnceLock::new(),
        }
    }
}

impl Call {
    fn takes(self, name: &str) -> bool {
        COMMON.contains(&name)
            || name == "pin-fd" && self.uses_a_key()
            || match self {
                Call::Sign => SIGN.contains(&name) || ESS.contains(&name),
                Call::SignAndEncrypt => {
                    SIGN.contains(&name) || ESS.contains(&name) || ENCRYPT.contains(&name)
                }
                Call::MakeReceipt => {
                    !["form", "canonicalize", "content-hint"].contains(&name)
                        && (SIGN.contains(&name) || PATH.contains(&name))
                }
                Call::CheckReceipt => PATH.contains(&name) || name == "profile",
                Call::Encrypt => ENCRYPT.contains(&name),
                Call::Verify | Call::Open => {
                    PATH.contains(&name) || ["even-if-bad", "profile"].contains(&name)
                }
                Call::Validate => PATH.contains(&name) && name != "sender",
                Call::Compress => COMPRESS.contains(&name),
                Call::Decrypt => name == "profile",
                Call::Decompress => false,
            }
    }

    fn uses_a_key(self) -> bool {
        matches!(
            self,
            Call::Sign | Call::SignAndEncrypt | Call::Decrypt | Call::Open | Call::MakeReceipt
        )
    }

    /// Whether it looks at certificates, those on tokens too, which may still be on their way.
    pub fn needs_certificates(self) -> bool {
        !matches!(self, Call::Compress | Call::Decompress)
    }
}

impl Options {
    /// Takes the options of a call. Descriptors in them (`trust-anchors ah` …) are read here through `from`, 16 MiB each at most:
    /// call it where blocking is allowed, and hold nothing meanwhile that others wait for.
    pub fn parse(
        call: Call,
        options: HashMap<String, OwnedVariant>,
        from: &Files,
    ) -> Result<Self, Failure> {
        let mut o = Options {
            as_receipt: call == Call::CheckReceipt,
            ..Options::default()
        };
        // a caller's own anchors must be self-signed unless it says otherwise, as with openssl; the owner's need not
        o.path.partial_chain = !options.contains_key("trust-anchors");
        for (name, value) in options {
            if !call.takes(&name) {
                return Err(Failure::invalid(format!("unknown option {name:?}")));
            }
            o.set(&name, value, from)?;
        }
        Ok(o)
    }

    /// Where the PIN comes from that a key wants at every use. It serves once.
    pub fn take_pin(&self) -> Option<OwnedFd> {
        self.pin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The certificate that `fd:INDEX` names.
    pub fn certificate(&self, index: &str) -> Result<&Certificate, Failure> {
        let at = index
            .parse::<usize>()
            .ok()
            .and_then(|index| self.certificates.get(index));
        at.ok_or_else(|| {
            Failure::invalid(format!(
                "fd:{index} names none of the {} in `certificates`",
                self.certificates.len()
            ))
        })
    }

    fn set(&mut self, name: &str, value: OwnedVariant, from: &Files) -> Result<(), Failure> {
        match name {
            "handle_token" => self.handle_token = Some(text(name, value)?),
            "interactive" => self.interactive = Some(flag(name, value)?),
            "pin-fd" => {
                let fd = zbus::Fd::try_from(value).and_then(OwnedFd::try_from);
                self.pin = Mutex::new(Some(fd.map_err(|_| mistyped(name, "h"))?));
            }
            "form" => {
                let word = text(name, value)?;
                self.form = Some(match word.as_str() {
                    "clear" => SignForm::Clear,
                    "opaque" => SignForm::Opaque,
                    "detached" => SignForm::Detached,
                    _ => return Err(unknown(name, &word, "clear, opaque, detached")),
                });
            }
            "format" => {
                let word = text(name, value)?;
                self.format = Some(
                    Form::from_name(&word)
                        .ok_or_else(|| unknown(name, &word, "smime, der, pem"))?,
                );
            }
            "canonicalize" => self.canonicalize = Some(flag(name, value)?),
            "signer" => self.signer = Some(selector(name, value)?),
            "digest" => self.digest = Some(digest(&text(name, value)?)?),
            "pss" => self.pss = Some(flag(name, value)?),
            "profile" => self.profile = Some(text(name, value)?),
            "content-hint" => self.content_hint = Some(text(name, value)?),
            "include-chain" => self.include_chain = Some(include_chain(&text(name, value)?)?),
            "cipher" => {
                let word = text(name, value)?;
                let known = "aes256-gcm, aes192-gcm, aes128-gcm, chacha20-poly1305, aes256-cbc, aes192-cbc, aes128-cbc";
                self.cipher = Some(Cipher::from_name(&word).ok_or_else(|| {
                    Failure::new(
                        ErrorName::UnsupportedAlgorithm,
                        format!("no cipher {word:?}: there are {known}"),
                    )
                })?);
            }
            "oaep" => self.oaep = Some(flag(name, value)?),
            "encrypt-to-self" => self.encrypt_to_self = Some(flag(name, value)?),
            "sender" => self.sender = Some(text(name, value)?),
            "at" => {
                let at = i64::try_from(value).map_err(|_| mistyped(name, "x"))?;
                self.at =
                    Some(u64::try_from(at).map_err(|_| Failure::invalid("`at` lies before 1970"))?);
            }
            // nothing is ever fetched yet, and all revocation data is local
            "offline" | "use-deltas" if matches!(*value, Variant::Bool(_)) => {}
            "offline" | "use-deltas" => return Err(mistyped(name, "b")),
            "purpose" => {
                let word = text(name, value)?;
                self.purpose = match word.as_str() {
                    "email" => Purpose::Email,
                    "any" => Purpose::Any,
                    _ => return Err(unknown(name, &word, "email, any")),
                };
            }
            "revocation" => {
                let word = text(name, value)?;
                let known = "off, soft, leaf, required";
                self.revocation =
                    Some(revocation(&word).ok_or_else(|| unknown(name, &word, known))?);
            }
            "trust-anchors" => {
                self.anchors = Some(verify::anchors_of(certificates(name, value, from)?)?)
            }
            "untrusted" => self.untrusted = certificates(name, value, from)?,
            "certificates" => self.certificates = one_each(name, value, from)?,
            "crls" => {
                self.crls = files(name, value, from)?
                    .into_iter()
                    .flat_map(crls_of)
                    .collect()
            }
            "ocsp" => {
                return Err(Failure::new(
                    ErrorName::NotSupported,
                    "OCSP responses are not looked at by this version",
                ));
            }
            "partial-chain" => self.path.partial_chain = flag(name, value)?,
            "max-depth" => self.path.max_depth = Some(number(name, value)? as usize),
            "auth-level" => {
                let level = number(name, value)?;
                let level = u8::try_from(level).ok().filter(|level| *level <= 5);
                self.path.auth_level =
                    Some(level.ok_or_else(|| Failure::invalid("`auth-level` goes from 0 to 5"))?);
            }
            "policies" => {
                let policies = Vec::<String>::try_from(value).map_err(|_| mistyped(name, "as"))?;
                self.path.policies = policies
                    .iter()
                    .map(|oid| policy(oid))
                    .collect::<Result<_, _>>()?;
            }
            "require-explicit-policy" => self.path.require_explicit_policy = flag(name, value)?,
            "inhibit-policy-mapping" => self.path.inhibit_policy_mapping = flag(name, value)?,
            "inhibit-any-policy" => self.path.inhibit_any_policy = flag(name, value)?,
            "request-receipt" => {
                self.request_receipt =
                    Vec::<String>::try_from(value).map_err(|_| mistyped(name, "as"))?;
            }
            "label" => {
                let label = SecurityLabel::from_text(&text(name, value)?);
                self.label = Some(label.map_err(|e| Failure::invalid(e.to_string()))?);
            }
            "even-if-bad" => self.even_if_bad = flag(name, value)?,
            _ => return Err(Failure::invalid(format!("unknown option {name:?}"))),
        }
        Ok(())
    }
}

/// A digest by name; whether it may be signed with, the profile says.
pub fn digest(word: &str) -> Result<DigestAlgorithm, Failure> {
    DigestAlgorithm::from_name(word).ok_or_else(|| {
        Failure::new(
            ErrorName::UnsupportedAlgorithm,
            format!("no digest {word:?}: there are sha256, sha384, sha512"),
        )
    })
}

pub fn include_chain(word: &str) -> Result<IncludeChain, Failure> {
    match word {
        "leaf" => Ok(IncludeChain::Leaf),
        "no-root" => Ok(IncludeChain::NoRoot),
        "all" => Ok(IncludeChain::All),
        _ => Err(unknown("include-chain", word, "leaf, no-root, all")),
    }
}

pub fn revocation(word: &str) -> Option<Revocation> {
    match word {
        "off" => Some(Revocation::Off),
        "soft" => Some(Revocation::Soft),
        "leaf" => Some(Revocation::Leaf),
        "required" => Some(Revocation::Required),
        _ => None,
    }
}

fn policy(oid: &str) -> Result<ObjectIdentifier, Failure> {
    ObjectIdentifier::new(oid).map_err(|_| {
        Failure::invalid(format!(
            "option `policies`: {oid:?} is no object identifier"
        ))
    })
}

fn unknown(name: &str, word: &str, known: &str) -> Failure {
    Failure::invalid(format!("option `{name}` is {word:?}: it takes {known}"))
}

fn mistyped(name: &str, signature: &str) -> Failure {
    Failure::invalid(format!("option `{name}` must have the type {signature:?}"))
}

fn text(name: &str, value: OwnedVariant) -> Result<String, Failure> {
    let text = String::try_from(value).map_err(|_| mistyped(name, "s"))?;
    if text.len() > limits::TEXT {
        return Err(Failure::new(
            ErrorName::InputTooLarge,
            format!("option `{name}` is longer than {} bytes", limits::TEXT),
        ));
    }
    Ok(text)
}

/// A selector may come as text or as an object path.
fn selector(name: &str, value: OwnedVariant) -> Result<String, Failure> {
    match &*value {
        Variant::ObjectPath(path) => Ok(path.to_string()),
        _ => text(name, value),
    }
}

fn flag(name: &str, value: OwnedVariant) -> Result<bool, Failure> {
    bool::try_from(value).map_err(|_| mistyped(name, "b"))
}

fn number(name: &str, value: OwnedVariant) -> Result<u32, Failure> {
    u32::try_from(value).map_err(|_| mistyped(name, "u"))
}

fn files(name: &str, value: OwnedVariant, from: &Files) -> Result<Vec<Vec<u8>>, Failure> {
    let descriptors =
        Vec::<zbus::Fd<'static>>::try_from(value).map_err(|_| mistyped(name, "ah"))?;
    if descriptors.len() > FILES_MAX {
        return Err(Failure::new(
            ErrorName::InputTooLarge,
            format!("option `{name}` has more than {FILES_MAX} files"),
        ));
    }
    let mut all = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        let descriptor = OwnedFd::try_from(descriptor).map_err(|_| mistyped(name, "ah"))?;
        all.push(from.read(descriptor, limits::FILE)?);
    }
    Ok(all)
}

fn certificates(
    name: &str,
    value: OwnedVariant,
    from: &Files,
) -> Result<Vec<Certificate>, Failure> {
    let mut all = Vec::new();
    for bytes in files(name, value, from)? {
        all.extend(read(name, &bytes)?);
    }
    Ok(all)
}

/// One certificate a file: the first of each.
fn one_each(name: &str, value: OwnedVariant, from: &Files) -> Result<Vec<Certificate>, Failure> {
    let mut all = Vec::new();
    for bytes in files(name, value, from)? {
        let first = read(name, &bytes)?.into_iter().next();
        all.push(first.ok_or_else(|| {
            Failure::invalid(format!("option `{name}`: no certificate in a file"))
        })?);
    }
    Ok(all)
}

fn read(name: &str, bytes: &[u8]) -> Result<Vec<Certificate>, Failure> {
    Certificate::all_from_pem_or_der(bytes)
        .map_err(|e| Failure::invalid(format!("option `{name}`: {e}")))
}
