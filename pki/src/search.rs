//! Finds paths from a leaf up to the anchors, the short ones first, within fixed bounds.
//!
//! A link is followed only when its signature verifies, so a message that brings 255 certificates with the name of the
//! true issuer hides nothing. Who issued a certificate is found out once.

use std::collections::HashMap;
use std::rc::Rc;

use certval::{
    CertificationPath, DeferDecodeSigned, Error as Fault, ExtensionProcessing, PDVCertificate,
    PDVExtension, PkiEnvironment, compare_names,
};
use const_oid::db::rfc5912::{ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_SUBJECT_KEY_IDENTIFIER};
use der::Decode;

use crate::anchors::Anchor;
use crate::strength::is_broken;
use crate::verify::{SPENT, Verifier};
use crate::{INTERMEDIATES_IN_PATH_MAX, PATHS_MAX};

/// Nodes visited; the walk itself costs little beside the signatures.
const STEPS_MAX: usize = 8192;

/// What was found, and why there is no more.
#[derive(Default)]
pub struct Found {
    pub paths: Vec<CertificationPath>,
    /// An issuer with the right name and key identifier did not sign what claims to be from it
    pub forged: bool,
    /// A certificate is signed with an algorithm too broken to be verified
    pub broken: bool,
    /// A self-signed certificate was reached that is not an anchor
    pub foreign_root: bool,
    /// A bound of ours ended the search
    pub limited: bool,
    /// There may be longer paths than the caller allows
    pub too_deep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Leaf,
    Pool(usize),
}

/// Who signed a certificate.
#[derive(Default)]
struct Issuers {
    anchors: Vec<usize>,
    pool: Vec<usize>,
}

pub struct Search<'a> {
    environment: &'a PkiEnvironment,
    verifier: &'a Verifier,
    anchors: &'a [&'a Anchor],
    pool: &'a [PDVCertificate],
    leaf: &'a PDVCertificate,
    issuers: HashMap<Node, Rc<Issuers>>,
    steps: usize,
    found: Found,
}

impl<'a> Search<'a> {
    pub fn new(
        environment: &'a PkiEnvironment,
        verifier: &'a Verifier,
        anchors: &'a [&'a Anchor],
        pool: &'a [PDVCertificate],
        leaf: &'a PDVCertificate,
    ) -> Self {
        Search {
            environment,
            verifier,
            anchors,
            pool,
            leaf,
            issuers: HashMap::new(),
            steps: 0,
            found: Found::default(),
        }
    }

    /// All paths with up to `depth` intermediates, as far as the bounds go.
    pub fn run(mut self, depth: Option<usize>) -> Found {
        let deepest = depth.unwrap_or(INTERMEDIATES_IN_PATH_MAX);
        let deepest = deepest.min(INTERMEDIATES_IN_PATH_MAX);
        for wanted in 0..=deepest {
            if !self.extend(&mut Vec::new(), wanted) || self.found.limited {
                return self.found;
            }
        }
        match depth {
            Some(depth) if depth < INTERMEDIATES_IN_PATH_MAX => self.found.too_deep = true,
            _ => self.found.limited = true,
        }
        self.found
    }

    /// Records the paths with exactly `wanted` more intermediates above `below`, which holds places in the pool from
    /// the leaf's issuer upwards. False: there is nothing deeper.
    fn extend(&mut self, below: &mut Vec<usize>, wanted: usize) -> bool {
        self.steps = self.steps.saturating_add(1);
        if self.steps > STEPS_MAX || self.verifier.out_of_time() {
            self.found.limited = true;
            return false;
        }
        let node = below.last().map_or(Node::Leaf, |&index| Node::Pool(index));
        let Some(issuers) = self.issuers(node) else {
            return false;
        };
        if wanted == 0 {
            for anchor in issuers.anchors.iter().filter_map(|&i| self.anchors.get(i)) {
                if self.found.paths.len() >= PATHS_MAX {
                    self.found.limited = true;
                    return false;
                }
                let above = below.iter().rev().filter_map(|&i| self.pool.get(i));
                self.found.paths.push(CertificationPath::new(
                    anchor.choice.clone(),
                    above.cloned().collect(),
                    self.leaf.clone(),
                ));
            }
            return issuers.pool.iter().any(|&next| self.is_new(below, next));
        }
        let mut deeper = false;
        for &next in &issuers.pool {
            if self.is_new(below, next) {
                below.push(next);
                deeper |= self.extend(below, wanted.saturating_sub(1));
                below.pop();
            }
        }
        deeper
    }

    /// A path holds each name with each key once: that ends the loops of cross-certified CAs.
    fn is_new(&self, below: &[usize], next: usize) -> bool {
        let Some(next) = self.pool.get(next) else {
            return false;
        };
        let next = next.decoded().tbs_certificate();
        let path = below.iter().filter_map(|&index| self.pool.get(index));
        path.chain(std::iter::once(self.leaf)).all(|known| {
            let known = known.decoded().tbs_certificate();
            known.subject_public_key_info() != next.subject_public_key_info()
                || !compare_names(known.subject(), next.subject())
        })
    }

    fn issuers(&mut self, node: Node) -> Option<Rc<Issuers>> {
        if let Some(known) = self.issuers.get(&node) {
            return Some(Rc::clone(known));
        }
        let certificate = match node {
            Node::Leaf => self.leaf,
            Node::Pool(index) => self.pool.get(index)?,
        };
        let found = Rc::new(self.find_issuers(certificate));
        self.issuers.insert(node, Rc::clone(&found));
        Some(found)
    }

    fn find_issuers(&mut self, certificate: &PDVCertificate) -> Issuers {
        let mut found = Issuers::default();
        let tbs = certificate.decoded().tbs_certificate();
        if is_broken(tbs.signature()) && !self.verifiable(certificate) {
            self.found.broken = true;
            return found;
        }
        let wanted = authority_key(certificate);
        for (index, anchor) in self.anchors.iter().enumerate() {
            let issuer = &anchor.parsed;
            if !anchor.issues
                || !compare_names(issuer.decoded().tbs_certificate().subject(), tbs.issuer())
            {
                continue;
            }
            if self.signed(certificate, issuer) {
                found.anchors.push(index);
            } else if !self.found.limited && same_key(wanted, subject_key(issuer)) != Some(false) {
                self.found.forged = true;
            }
        }
        if compare_names(tbs.subject(), tbs.issuer()) && self.signed(certificate, certificate) {
            self.found.foreign_root |= found.anchors.is_empty();
            return found;
        }
        let mut candidates: Vec<(bool, usize)> = Vec::new();
        for (index, candidate) in self.pool.iter().enumerate() {
            if compare_names(
                candidate.decoded().tbs_certificate().subject(),
                tbs.issuer(),
            ) {
                let likely = same_key(wanted, subject_key(candidate)) == Some(true);
                candidates.push((!likely, index));
            }
        }
        candidates.sort_unstable();
        for (unlikely, index) in candidates {
            let Some(candidate) = self.pool.get(index) else {
                continue;
            };
            if self.signed(certificate, candidate) {
                found.pool.push(index);
            } else if !unlikely && !self.found.limited {
                self.found.forged = true;
            }
        }
        found
    }

    /// Whether the algorithm of the signature is known here (SHA-1 with RSA is, MD5 is not).
    fn verifiable(&self, certificate: &PDVCertificate) -> bool {
        signed_by(self.environment, certificate, certificate) != Err(Fault::Unrecognized)
    }

    fn signed(&mut self, certificate: &PDVCertificate, issuer: &PDVCertificate) -> bool {
        let answer = signed_by(self.environment, certificate, issuer);
        self.found.limited |= answer == Err(SPENT);
        answer.is_ok()
    }
}

/// Whether the issuer's key made the certificate's signature. Names are not looked at.
pub fn signed_by(
    environment: &PkiEnvironment,
    certificate: &PDVCertificate,
    issuer: &PDVCertificate,
) -> certval::Result<()> {
    let parts = DeferDecodeSigned::from_der(certificate.as_bytes())?;
    let decoded = certificate.decoded();
    environment.verify_signature_message(
        environment,
        &parts.tbs_field,
        decoded.signature(),
        decoded.tbs_certificate().signature(),
        issuer.decoded().tbs_certificate().subject_public_key_info(),
    )
}

/// None when one of the two does not say.
pub fn same_key(wanted: Option<&[u8]>, has: Option<&[u8]>) -> Option<bool> {
    Some(wanted? == has?)
}

pub fn authority_key(certificate: &PDVCertificate) -> Option<&[u8]> {
    match certificate.get_extension(&ID_CE_AUTHORITY_KEY_IDENTIFIER) {
        Ok(Some(PDVExtension::AuthorityKeyIdentifier(id))) => {
            id.key_identifier.as_ref().map(|id| id.as_bytes())
        }
        _ => None,
    }
}

pub fn subject_key(certificate: &PDVCertificate) -> Option<&[u8]> {
    match certificate.get_extension(&ID_CE_SUBJECT_KEY_IDENTIFIER) {
        Ok(Some(PDVExtension::SubjectKeyIdentifier(id))) => Some(id.0.as_bytes()),
        _ => None,
    }
}
