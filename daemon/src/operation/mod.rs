//! The work itself, on a blocking thread: sign, verify, open, encrypt, decrypt, compress, decompress. Knows tokens and certificates, not D-Bus objects.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use privyseal_pki::{Anchors, PathOptions, PathOutcome, PathQuery, Purpose, Revocation, Usage};
use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::mime::pem;
use privyseal_smime::{Certificate, Input, Profile, Profiles};
use privyseal_token::KeyPin;

use crate::audit::Kind;
use crate::config::{self, Config};
use crate::registry::{OwnCertificate, Registry};

mod claims;
pub mod compress;
mod encrypt;
mod ess;
mod failure;
mod key;
mod open;
mod options;
mod purpose;
pub mod raw;
mod receipt;
pub mod results;
mod select;
mod sign;
mod verify;

pub use options::{Call, Options, digest};

/// The way of one call to private keys.
pub trait KeyAccess {
    /// Unlocks the token of a certificate when the work needs its key: does nothing when it is unlocked; prompts where the call
    /// may; else `PinRequired`, also when the key wants its PIN at every use and none will come. `NotAuthorized` where a person must agree
    /// and none may be asked.
    fn unlock(&self, own: &OwnCertificate, key_use: KeyUse<'_>) -> Result<(), Failure>;

    /// Uses a key of an unlocked token, where there is consent: by `attempt` without a PIN, and where that is `KeyPinRequired` once
    /// more for each entry.
    fn use_key(
        &self,
        own: &OwnCertificate,
        key_use: KeyUse<'_>,
        attempt: Attempt<'_>,
    ) -> Result<(), Failure>;
}

/// What a key is used for.
#[derive(Clone, Copy, Debug)]
pub struct KeyUse<'a> {
    pub kind: Kind,
    /// for the person, and the audit trail
    pub purpose: &'a str,
}

/// One use of a key, tried.
pub type Attempt<'a> = &'a mut dyn FnMut(Option<KeyPin>) -> privyseal_token::Result<()>;

pub type Access<'a> = &'a dyn KeyAccess;

/// How long the judgement of one of our own or a recipient's certificates is taken as it was.
const JUDGED_FOR: Duration = Duration::from_secs(60);
/// Largest CRL file, bytes.
const CRL_FILE: u64 = 64 << 20;
/// Judgements that are remembered.
const JUDGEMENTS_MAX: usize = 4096;

/// SHA-256 of a certificate, and whether it was judged for signing (else for encrypting).
type Judged = ([u8; 32], bool);

/// What every operation needs. Made once; made anew when the configuration is read again.
pub struct Environment {
    pub config: Arc<Config>,
    pub registry: Arc<Registry>,
    anchors: Anchors,
    /// CA certificates of the configuration
    intermediates: Vec<Certificate>,
    /// where what is inside a layer is held, encrypted
    spool: PathBuf,
    /// people's certificates of the configuration
    people: Vec<Certificate>,
    crls: Vec<Vec<u8>>,
    revocation: Revocation,
    profiles: Profiles,
    judged: Mutex<HashMap<Judged, (Instant, Arc<PathOutcome>)>>,
}

impl Environment {
    /// Reads anchors, CRLs, intermediates and people's certificates of the configuration.
    pub fn load(
        config: Arc<Config>,
        registry: Arc<Registry>,
        spool: PathBuf,
    ) -> Result<Self, Failure> {
        let bad = |error: privyseal_pki::Error| {
            let reason = std::error::Error::source(&error)
                .map(|s| format!(": {s}"))
                .unwrap_or_default();
            Failure::new(ErrorName::Failed, format!("configuration: {error}{reason}"))
        };
        let certificates = |paths: &[PathBuf]| -> Result<Vec<Certificate>, Failure> {
            Ok(Anchors::load(paths)
                .map_err(bad)?
                .certificates()
                .cloned()
                .collect())
        };
        let revocation = options::revocation(&config.pki.revocation).ok_or_else(|| {
            Failure::invalid(format!(
                "configuration: no revocation mode {:?}",
                config.pki.revocation
            ))
        })?;
        Ok(Environment {
            anchors: Anchors::load(&config.trust.anchors).map_err(bad)?,
            intermediates: certificates(&config.pki.intermediates)?,
            people: certificates(&config.pki.certificates)?,
            crls: read_crls(&config.trust.crls)?,
            revocation,
            spool,
            profiles: config::profiles(&config)
                .map_err(|e| Failure::new(ErrorName::Failed, format!("configuration: {e}")))?,
            judged: Mutex::new(HashMap::new()),
            config,
            registry,
        })
    }

    /// The rules for what is written: the caller's profile, else the configuration's.
    fn writing(&self, o: &Options) -> Result<Arc<Profile>, Failure> {
        self.profile(o, &self.config.algorithms.profile)
    }

    /// The rules for what is read.
    fn reading(&self, o: &Options) -> Result<Arc<Profile>, Failure> {
        self.profile(o, &self.config.algorithms.read)
    }

    fn profile(&self, o: &Options, configured: &str) -> Result<Arc<Profile>, Failure> {
        let name = o.profile.as_deref().unwrap_or(configured);
        self.profiles.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.profiles.names().collect();
            Failure::invalid(format!(
                "no profile is called {name:?}: there are {}",
                known.join(", ")
            ))
        })
    }

    /// Whether a certificate is one of the configured anchors.
    pub fn is_anchor(&self, certificate: &Certificate) -> bool {
        self.anchors.certificates().any(|a| a == certificate)
    }

    pub fn sign(
        &self,
        o: &Options,
        access: Access<'_>,
        input: &mut dyn Read,
        output: &mut dyn Write,
    ) -> Result<Dict, Failure> {
        sign::sign(self, o, access, input, output)
    }

    pub fn sign_and_encrypt(
        &self,
        o: &Options,
        recipients: &[String],
        access: Access<'_>,
        input: &mut dyn Read,
        output: &mut dyn Write,
    ) -> Result<Dict, Failure> {
        sign::sign_and_encrypt(self, o, recipients, access, input, output)
    }

    /// A message that cannot be parsed is a verdict (`bad`), not an error.
    pub fn verify(
        &self,
        o: &Options,
        message: &mut dyn Input,
        content: Option<&mut dyn Input>,
        output: Option<&mut dyn Write>,
    ) -> Result<Dict, Failure> {
        verify::verify(self, o, message, content, output)
    }

    /// All layers of a message, one verdict; `output` gets the message inside.
    pub fn open(
        &self,
        o: &Options,
        access: Access<'_>,
        message: &mut dyn Input,
        output: Option<&mut dyn Write>,
    ) -> Result<Dict, Failure> {
        open::open(self, o, Some(access), message, None, output)
    }

    /// A signed receipt for a message that is good and asks for one (RFC 2634 §2.5).
    pub fn make_receipt(
        &self,
        o: &Options,
        access: Access<'_>,
        message: &mut dyn Input,
        content: Option<&mut dyn Input>,
        output: &mut dyn Write,
    ) -> Result<Dict, Failure> {
        receipt::make(self, o, access, message, content, output)
    }

    /// Whether a signed receipt is a good one for a message of ours (RFC 2634 §2.6): a verdict, as of [`Self::verify`].
    pub fn check_receipt(
        &self,
        o: &Options,
        receipt: &mut dyn Input,
        original: &mut dyn Input,
        content: Option<&mut dyn Input>,
    ) -> Result<Dict, Failure> {
        receipt::check(self, o, receipt, original, content)
    }

    pub fn encrypt(
        &self,
        o: &Options,
        recipients: &[String],
        input: &mut dyn Read,
        output: &mut dyn Write,
    ) -> Result<Dict, Failure> {
        encrypt::encrypt(self, o, recipients, input, output)
    }

    pub fn decrypt(
        &self,
        o: &Options,
        access: Access<'_>,
        message: &mut dyn Input,
        output: &mut dyn Write,
    ) -> Result<Dict, Failure> {
        encrypt::decrypt(self, o, access, message, output)
    }

    /// `Certificate.Validate`: {path s, error s, chain as, steps as, revocation s}
    pub fn validate(&self, o: &Options, certificate: &Certificate) -> Result<Dict, Failure> {
        verify::validate(self, o, certificate)
    }

    /// Judges a certificate as this daemon's user would have it: the configured anchors, now, for mail. Remembered for a minute.
    fn judge(&self, certificate: &Certificate, usage: Usage) -> Arc<PathOutcome> {
        let key = (certificate.sha256(), usage == Usage::Sign);
        if let Some((when, outcome)) = self.judged().get(&key)
            && when.elapsed() < JUDGED_FOR
        {
            return outcome.clone();
        }
        let intermediates = self.helpers(&[]);
        let outcome = Arc::new(self.anchors.check(&PathQuery {
            at: now(),
            leaf: certificate,
            intermediates: &intermediates,
            crls: &self.crls,
            purpose: Purpose::Email,
            usage,
            revocation: self.revocation,
            options: &PathOptions::default(),
        }));
        // not held while judging: one odd certificate may take seconds
        let mut judged = self.judged();
        if judged.len() >= JUDGEMENTS_MAX {
            judged.clear();
        }
        judged.insert(key, (Instant::now(), outcome.clone()));
        outcome
    }

    /// Certificates that may be a signer's, beside those of the message.
    fn candidates(&self, o: &Options) -> Vec<Certificate> {
        let tokens = self.registry.certificates();
        o.untrusted
            .iter()
            .chain(&self.people)
            .chain(&self.intermediates)
            .chain(tokens.iter().map(|own| &own.certificate))
            .cloned()
            .collect()
    }

    fn judged(&self) -> MutexGuard<'_, HashMap<Judged, (Instant, Arc<PathOutcome>)>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Certificates that may help to build a path, those we know to be right before those that came with a message: the
    /// configuration's, CA certificates on tokens, then `last`.
    fn helpers(&self, last: &[Certificate]) -> Vec<Certificate> {
        let tokens = self.registry.certificates();
        let on_tokens = tokens
            .iter()
            .map(|own| &own.certificate)
            .filter(|c| c.is_ca());
        self.intermediates
            .iter()
            .chain(on_tokens)
            .chain(last)
            .cloned()
            .collect()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// `YYYY-MM-DD` (UTC) of seconds since 1970, for messages.
fn date(seconds: u64) -> String {
    der::DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map(|d| format!("{:04}-{:02}-{:02}", d.year(), d.month(), d.day()))
        .unwrap_or_else(|_| "a date out of range".into())
}

/// RFC 3339 (UTC) of seconds since 1970.
pub fn rfc3339(seconds: u64) -> String {
    der::DateTime::from_unix_duration(Duration::from_secs(seconds))
        .map(|d| d.to_string())
        .unwrap_or_default()
}

/// CRL files, and the files of folders, DER or PEM (one or more in a file).
fn read_crls(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(
            ErrorName::Failed,
            format!("configuration: CRL {}: {error}", path.display()),
        )
    };
    let mut all = Vec::new();
    for path in paths {
        let mut files = Vec::new();
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(|e| failed(path, e))? {
                files.push(entry.map_err(|e| failed(path, e))?.path());
            }
            files.sort();
        } else {
            files.push(path.clone());
        }
        for file in files {
            let metadata = std::fs::metadata(&file).map_err(|e| failed(&file, e))?;
            if !metadata.is_file() || metadata.len() > CRL_FILE {
                return Err(failed(
                    &file,
                    std::io::Error::other("not a regular file, or too large"),
                ));
            }
            let bytes = std::fs::read(&file).map_err(|e| failed(&file, e))?;
            all.extend(crls_of(bytes));
        }
    }
    Ok(all)
}

/// The CRLs of a file's bytes.
fn crls_of(bytes: Vec<u8>) -> Vec<Vec<u8>> {
    match pem::blocks(&bytes, &["X509 CRL", "CRL"]) {
        Ok(blocks) if !blocks.is_empty() => blocks,
        _ => vec![bytes],
    }
}
