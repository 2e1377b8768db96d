//! The cases as they lie on disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The folder and its cases, in their order.
pub struct Samples {
    pub folder: PathBuf,
    pub cases: Vec<Case>,
}

/// One line of `cases.jsonl`; the fields that are needed here.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    pub id: String,
    pub set: String,
    pub file: PathBuf,
    pub layer: String,
    pub op: String,
    pub content: Option<PathBuf>,
    pub keys: Vec<Key>,
    pub trust_anchors: Vec<PathBuf>,
    pub intermediates: Vec<PathBuf>,
    pub crls: Vec<PathBuf>,
    pub ocsp: Vec<PathBuf>,
    pub at: Option<String>,
    pub policy: Policy,
    pub expect: Expect,
    pub gate: bool,
    #[serde(default)]
    pub must: Vec<String>,
    /// the file is a .tar.gz whose members are run one by one
    #[serde(default)]
    pub archive: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Policy {
    pub purpose: Option<String>,
    pub check_sender: Option<bool>,
    pub revocation: Option<String>,
    pub partial_chain: bool,
    pub max_depth: Option<u32>,
    pub auth_level: Option<u32>,
    pub initial_policy_set: Vec<String>,
    pub require_explicit_policy: bool,
    pub inhibit_policy_mapping: bool,
    pub inhibit_any_policy: bool,
}

/// What the publisher says; `None` says nothing.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Expect {
    pub decrypts: Option<bool>,
    pub plaintext_sha256: Option<String>,
    pub signature: Option<String>,
    pub chain: Option<String>,
    pub sender: Option<String>,
    pub overall: Option<String>,
    #[serde(default)]
    pub overall_accept: Vec<String>,
}

impl Samples {
    /// `PRIVYSEAL_CONFORMANCE`, or `shared/conformance` beside the checkout. `None` where there is no such folder.
    pub fn find() -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
        let folder = std::env::var_os("PRIVYSEAL_CONFORMANCE").map_or(beside, PathBuf::from);
        let folder = folder.canonicalize().ok()?;
        let lines = fs::read_to_string(folder.join("cases.jsonl")).ok()?;
        let cases = lines
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        Some(Samples { folder, cases })
    }

    /// (certificate, key) of every key that these cases need.
    pub fn keys<'c>(&self, cases: impl Iterator<Item = &'c Case>) -> Vec<(PathBuf, PathBuf)> {
        let all: BTreeSet<&Key> = cases.flat_map(|case| &case.keys).collect();
        all.into_iter()
            .map(|key| (self.folder.join(&key.cert), self.folder.join(&key.key)))
            .collect()
    }
}

impl Case {
    /// Why a case belongs to another test.
    pub fn elsewhere(&self) -> Option<&'static str> {
        if self.layer == "cert-path" {
            Some("a certificate path without a message")
        } else if self.set == "pkits-smime" {
            Some("a test of paths in the form of messages")
        } else if !self.crls.is_empty() || !self.ocsp.is_empty() || self.policy.revocation.is_some()
        {
            Some("about revocation")
        } else {
            None
        }
    }

    /// Whether this field of `expect` has to be met.
    pub fn asserts(&self, field: &str) -> bool {
        self.gate || self.must.iter().any(|must| must == field)
    }

    /// Whether anything but a clean end has to hold.
    pub fn asserts_nothing(&self) -> bool {
        let expect = &self.expect;
        let fields = [
            ("decrypts", expect.decrypts.is_some()),
            ("plaintext_sha256", expect.plaintext_sha256.is_some()),
            ("signature", expect.signature.is_some()),
            ("chain", expect.chain.is_some()),
            ("sender", expect.sender.is_some()),
            ("overall", expect.overall.is_some()),
        ];
        !fields
            .iter()
            .any(|(field, there)| *there && self.asserts(field))
    }

    pub fn decrypts(&self) -> bool {
        self.op.starts_with("decrypt")
    }

    /// Only that the programs end as they should is looked at, and the verdict if one is given.
    pub fn is_robustness(&self) -> bool {
        matches!(self.op.as_str(), "robustness" | "parse")
    }
}
