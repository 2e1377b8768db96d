//! Judges a certificate: searches paths to the anchors, has each judged, and answers with the best.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use certval::PDVCertificate;
use privyseal_smime::Certificate;

use crate::anchors::Anchor;
use crate::crls::Crls;
use crate::path::{judge_path, subject, wrong_usage};
use crate::search::{Found, Search};
use crate::strength::Floor;
use crate::verify::{Verifier, environment};
use crate::{Anchors, ChainState, INTERMEDIATES_MAX, PathOutcome, PathQuery, Revocation};

impl Anchors {
    /// Answers whether the leaf is to be trusted for what is asked. Never panics and is bounded in time for whatever
    /// certificates and CRLs are given.
    pub fn check(&self, query: &PathQuery<'_>) -> PathOutcome {
        self.check_until(query, None)
    }

    /// The same, with what it has found out by `until`: for one of many questions that have to be answered together.
    pub fn check_until(&self, query: &PathQuery<'_>, until: Option<Instant>) -> PathOutcome {
        // certval is a release candidate that reads hostile input here: if it should panic, that is a verdict.
        catch_unwind(AssertUnwindSafe(|| self.judge(query, until))).unwrap_or_else(|_| {
            tracing::error!("path validation panicked; the certificate is refused");
            Judgement::invalid("malformed", "path validation failed on this certificate")
                .outcome(query, Vec::new())
        })
    }

    fn judge(&self, query: &PathQuery<'_>, until: Option<Instant>) -> PathOutcome {
        let Ok(leaf) = PDVCertificate::try_from(query.leaf.der()) else {
            return Judgement::invalid("malformed", "the certificate cannot be parsed")
                .outcome(query, Vec::new());
        };
        let steps = vec![format!("certificate of {}", subject(&leaf))];
        let ends = |anchor: &&Anchor| query.options.partial_chain || anchor.self_signed;
        let anchors: Vec<&Anchor> = self.all.iter().filter(ends).collect();
        if anchors.iter().any(|a| &a.certificate == query.leaf) {
            return itself(query, &leaf).outcome(query, steps);
        }

        let verifier = Verifier::new(self.known.clone(), until);
        let mut environment = environment(verifier.clone());
        if query.revocation != Revocation::Off {
            environment.add_crl_source(Box::new(Crls::new(query.crls, &verifier)));
        }
        let pool = self.pool(query);
        let found = Search::new(&environment, &verifier, &anchors, &pool, &leaf)
            .run(query.options.max_depth);

        let mut best: Option<Judgement> = None;
        for path in &found.paths {
            if best.is_some() && verifier.out_of_time() {
                break;
            }
            let judgement = judge_path(&environment, query, path);
            // whichever way one looks at it, a revoked leaf is revoked
            let settled = judgement.leaf_revoked || judgement.is_settled(query);
            if judgement.leaf_revoked || best.as_ref().is_none_or(|b| judgement.beats(b)) {
                best = Some(judgement);
            }
            if settled {
                break;
            }
        }
        best.unwrap_or_else(|| no_path(&found))
            .outcome(query, steps)
    }

    /// The certificates between leaf and anchors, each once; with the anchors that must not end a path.
    fn pool(&self, query: &PathQuery<'_>) -> Vec<PDVCertificate> {
        let mut pool: Vec<PDVCertificate> = Vec::new();
        let mut add = |der: &[u8], parse: &dyn Fn() -> Option<PDVCertificate>| {
            let known = der == query.leaf.der() || pool.iter().any(|p| p.as_bytes() == der);
            if !known && let Some(parsed) = parse() {
                pool.push(parsed);
            }
        };
        if !query.options.partial_chain {
            for anchor in self.all.iter().filter(|anchor| !anchor.self_signed) {
                add(anchor.certificate.der(), &|| Some(anchor.parsed.clone()));
            }
        }
        for certificate in query.intermediates.iter().take(INTERMEDIATES_MAX) {
            add(certificate.der(), &|| {
                PDVCertificate::try_from(certificate.der()).ok()
            });
        }
        pool
    }
}

fn no_path(found: &Found) -> Judgement {
    if found.forged {
        return Judgement::invalid(
            "signature",
            "the named issuer did not sign this certificate",
        );
    }
    if found.broken {
        return Judgement::invalid("weak", "it is signed with an algorithm that is broken");
    }
    if found.limited {
        return Judgement::unknown(
            "limit",
            "the search for a trusted anchor was given up at its limit",
        );
    }
    if found.too_deep {
        return Judgement::invalid("path-length", "there is no path as short as asked for");
    }
    if found.foreign_root {
        return Judgement::unknown("untrusted", "the path ends in a root that is not trusted");
    }
    Judgement::unknown("incomplete", "the issuer's certificate is not at hand")
}

/// What became of one path.
pub struct Judgement {
    pub chain: ChainState,
    pub error: Option<&'static str>,
    /// good, revoked, unknown, or not-checked when no path came that far
    pub revocation: &'static str,
    pub leaf_revoked: bool,
    pub path: Vec<Certificate>,
    pub steps: Vec<String>,
}

impl Judgement {
    fn new(chain: ChainState, error: Option<&'static str>, step: String) -> Self {
        Judgement {
            chain,
            error,
            revocation: "not-checked",
            leaf_revoked: false,
            path: Vec::new(),
            steps: vec![step],
        }
    }

    pub fn valid(step: impl Into<String>) -> Self {
        Self::new(ChainState::Valid, None, step.into())
    }

    pub fn invalid(error: &'static str, step: impl Into<String>) -> Self {
        Self::new(ChainState::Invalid, Some(error), step.into())
    }

    pub fn unknown(error: &'static str, step: impl Into<String>) -> Self {
        Self::new(ChainState::Unknown, Some(error), step.into())
    }

    /// No other path can make a difference.
    fn is_settled(&self, query: &PathQuery<'_>) -> bool {
        let known = query.revocation == Revocation::Off || self.revocation == "good";
        self.chain == ChainState::Valid && known
    }

    fn beats(&self, other: &Judgement) -> bool {
        let rank = |judgement: &Judgement| match judgement.chain {
            ChainState::Valid => (0, judgement.revocation != "good"),
            ChainState::Unknown => (1, false),
            ChainState::Invalid => (2, false),
        };
        rank(self) < rank(other)
    }

    fn outcome(self, query: &PathQuery<'_>, mut steps: Vec<String>) -> PathOutcome {
        steps.extend(self.steps);
        let asked = query.revocation != Revocation::Off;
        let revocation = match self.revocation {
            "not-checked" if asked && self.chain == ChainState::Unknown => "unknown",
            state => state,
        };
        PathOutcome {
            chain: self.chain,
            error: self.error.map(str::to_owned),
            revocation: revocation.to_owned(),
            path: if self.path.is_empty() {
                vec![query.leaf.clone()]
            } else {
                self.path
            },
            steps,
        }
    }
}

/// A leaf that is an anchor itself: trusted by its owner's decision, but only in its time and for its usages.
fn itself(query: &PathQuery<'_>, leaf: &PDVCertificate) -> Judgement {
    if query.at < query.leaf.not_before() {
        return Judgement::invalid("not-yet-valid", "it is an anchor, but not valid yet");
    }
    if query.at > query.leaf.not_after() {
        return Judgement::invalid("expired", "it is an anchor, but expired");
    }
    let key = leaf.decoded().tbs_certificate().subject_public_key_info();
    if !Floor::of(query.options.auth_level).leaf_key(key) {
        return Judgement::invalid("weak", "it is an anchor, but its key is too weak");
    }
    match wrong_usage(query, leaf, &[]) {
        Some(step) => Judgement::invalid("usage", step),
        None => Judgement::valid("it is itself a trust anchor"),
    }
}
