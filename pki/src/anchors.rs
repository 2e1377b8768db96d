//! Trust anchors: read from files and folders, parsed once.

use std::fs;
use std::path::{Path, PathBuf};

use certval::{
    Error as Fault, ExtensionProcessing, PDVCertificate, PDVExtension, PDVTrustAnchorChoice,
    compare_names,
};
use const_oid::db::rfc5912::{ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE};
use privyseal_smime::Certificate;
use x509_cert::certificate::Version;

use crate::Error;
use crate::search::{authority_key, same_key, signed_by, subject_key};
use crate::verify::{Known, Verifier, environment};

/// Largest file of anchors (all of Debian's CA certificates are 220 KiB).
const FILE_MAX: u64 = 16 << 20;
const EXTENSIONS: [&str; 4] = ["pem", "crt", "cer", "der"];

/// The certificates that everything else must lead to. Whatever is given here is trusted: also a certificate that is
/// not self-signed (unless a query wants it otherwise), or a leaf.
#[derive(Default)]
pub struct Anchors {
    pub(crate) all: Vec<Anchor>,
    pub(crate) known: Known,
}

pub(crate) struct Anchor {
    pub certificate: Certificate,
    pub parsed: PDVCertificate,
    pub choice: PDVTrustAnchorChoice,
    /// May issue certificates: a person's certificate that was made an anchor speaks for itself only
    pub issues: bool,
    pub self_signed: bool,
}

impl Anchor {
    fn new(certificate: Certificate) -> Result<Anchor, Error> {
        let unusable = |e: der::Error| Error::Unusable(format!("{}: {e}", certificate.subject()));
        let parsed = PDVCertificate::try_from(certificate.der()).map_err(unusable)?;
        let choice = PDVTrustAnchorChoice::try_from(certificate.der()).map_err(unusable)?;
        let tbs = parsed.decoded().tbs_certificate();
        let self_signed = compare_names(tbs.subject(), tbs.issuer())
            && same_key(authority_key(&parsed), subject_key(&parsed)) != Some(false)
            && signed_by_itself(&parsed);
        let issues = may_issue(&parsed);
        Ok(Anchor {
            certificate,
            parsed,
            choice,
            issues,
            self_signed,
        })
    }
}

/// In doubt yes: the signatures of old roots use what is not verified any more, and nothing rests on them.
fn signed_by_itself(certificate: &PDVCertificate) -> bool {
    let environment = environment(Verifier::new(Known::default(), None));
    matches!(
        signed_by(&environment, certificate, certificate),
        Ok(()) | Err(Fault::Unrecognized)
    )
}

/// An anchor must not deny being a CA. Version 1 cannot say, and older roots say it by their key usage alone.
fn may_issue(certificate: &PDVCertificate) -> bool {
    let key_usage = match certificate.get_extension(&ID_CE_KEY_USAGE) {
        Ok(Some(PDVExtension::KeyUsage(usage))) => Some(usage.key_cert_sign()),
        _ => None,
    };
    match certificate.get_extension(&ID_CE_BASIC_CONSTRAINTS) {
        Ok(Some(PDVExtension::BasicConstraints(basic))) => basic.ca && key_usage != Some(false),
        _ if certificate.decoded().tbs_certificate().version() == Version::V1 => true,
        _ => key_usage == Some(true),
    }
}

impl Anchors {
    /// From files (PEM, several in one file, or DER) and folders (their `*.pem`, `*.crt`, `*.cer`, `*.der`; a file in
    /// a folder that is no certificate is skipped with a warning, a named one is an error).
    pub fn load(paths: &[PathBuf]) -> Result<Anchors, Error> {
        let mut certificates = Vec::new();
        for path in paths {
            if fs::metadata(path).map_err(|e| unread(path, e))?.is_dir() {
                for file in files_in(path)? {
                    match read(&file) {
                        Ok(mut found) => certificates.append(&mut found),
                        Err(error) => tracing::warn!(%error, "skipped in a folder of anchors"),
                    }
                }
            } else {
                certificates.append(&mut read(path)?);
            }
        }
        Self::from_certs(certificates)
    }

    /// Doubles count once.
    pub fn from_certs(certificates: Vec<Certificate>) -> Result<Anchors, Error> {
        let mut all: Vec<Anchor> = Vec::with_capacity(certificates.len());
        for certificate in certificates {
            if all.iter().any(|a| a.certificate.der() == certificate.der()) {
                continue;
            }
            all.push(Anchor::new(certificate)?);
        }
        Ok(Anchors {
            all,
            known: Known::default(),
        })
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.all.iter().map(|a| &a.certificate)
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| unread(folder, e))? {
        let path = entry.map_err(|e| unread(folder, e))?.path();
        let known = path
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)));
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<Certificate>, Error> {
    let size = fs::metadata(path).map_err(|e| unread(path, e))?.len();
    if size > FILE_MAX {
        return Err(unusable(path, "the file is too large"));
    }
    let bytes = fs::read(path).map_err(|e| unread(path, e))?;
    match Certificate::all_from_pem_or_der(&bytes) {
        Ok(found) if found.is_empty() => Err(unusable(path, "nothing found")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn unread(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}

fn unusable(path: &Path, reason: &str) -> Error {
    Error::NotCertificates {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
