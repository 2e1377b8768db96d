//! One verdict for a message (RFC 9787, design rule 10): pure, from what the cryptography and the certificate paths say.

use crate::algorithm::DigestAlgorithm;
use crate::cert::Certificate;
use crate::signed::{SignatureState, SignerOutcome, VerifyOutcome};

#[cfg(test)]
mod tests;

/// The word that a person sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    Unknown,
    NotSigned,
}

/// What path validation says of a signer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainState {
    Valid,
    /// something is wrong with the certificate or its path
    Invalid,
    /// no trusted anchor was reached, or wanted revocation data is missing
    Unknown,
}

/// Whether the certificate speaks for who the message says it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderState {
    Match,
    Mismatch,
    NotChecked,
}

/// The judgement of one signer beside its [`crate::SignerOutcome`]; same order.
#[derive(Clone, Debug)]
pub struct SignerJudgement {
    pub chain: ChainState,
    /// `expired`, `revoked` … (see `PathOutcome` in privyseal-pki)
    pub chain_error: Option<String>,
    pub sender: SenderState,
}

/// The verdict and its reasons in words, the gravest first.
///
/// Good: at least one signer, and every signer has a valid signature that is not weak, a valid path and does not mismatch, and
/// nothing contradicts. Bad: a signature is invalid, a path is invalid, a mismatch, a contradiction. Unknown: the rest, also a
/// signature made with SHA-1, MD5 or a short RSA key, which nobody can tell from a forgery for sure. A signer without a judgement
/// in `signers` counts as one whose path is unknown.
pub fn judge(outcome: &VerifyOutcome, signers: &[SignerJudgement]) -> (Verdict, Vec<String>) {
    if outcome.signers.is_empty() {
        let why = match outcome.layers.first() {
            Some(layer) if layer.kind == "certs-only" => {
                "the message only carries certificates, no signature"
            }
            _ => "the message carries no signature",
        };
        return (
            Verdict::NotSigned,
            [why.to_owned()]
                .into_iter()
                .chain(outcome.contradictions.iter().cloned())
                .collect(),
        );
    }
    let mut reasons = Reasons {
        bad: outcome.contradictions.clone(),
        unknown: outcome.reservations.clone(),
    };
    let mut judgements = signers.iter();
    for signer in &outcome.signers {
        let who = name_of(signer);
        reasons.signature(signer, &who);
        reasons.path(signer, judgements.next(), &who);
    }
    let verdict = if !reasons.bad.is_empty() {
        Verdict::Bad
    } else if !reasons.unknown.is_empty() {
        Verdict::Unknown
    } else {
        Verdict::Good
    };
    reasons.bad.append(&mut reasons.unknown);
    (verdict, reasons.bad)
}

struct Reasons {
    bad: Vec<String>,
    unknown: Vec<String>,
}

impl Reasons {
    fn signature(&mut self, signer: &SignerOutcome, who: &str) {
        match &signer.state {
            SignatureState::Invalid(why) => self
                .bad
                .push(format!("the signature of {who} is invalid: {why}")),
            SignatureState::Unsupported(why) if signer.certificate.is_none() => self.unknown.push(
                format!("{why}; ask the sender to include it, or give it along"),
            ),
            SignatureState::Unsupported(why) => {
                self.unknown
                    .push(format!("the signature of {who} cannot be judged: {why}"));
            }
            SignatureState::Valid => {}
        }
        if signer.weak && signer.state == SignatureState::Valid {
            self.unknown.push(if let Some(digest) = signer.digest.filter(|d| d.is_weak()) {
                let name = if digest == DigestAlgorithm::Md5 { "MD5" } else { "SHA-1" };
                format!("the signature of {who} is weak: {name} can be forged; ask the sender to sign with SHA-256")
            } else {
                let kind = signer.certificate.as_ref().map(|c| c.key_type().to_string()).unwrap_or_default();
                format!("the signature of {who} is weak: its key ({kind}) is shorter than today's 2048 bits")
            });
        }
    }

    fn path(&mut self, signer: &SignerOutcome, judgement: Option<&SignerJudgement>, who: &str) {
        if signer.certificate.is_none() {
            return;
        }
        let error = judgement.and_then(|j| j.chain_error.as_deref());
        match judgement.map_or(ChainState::Unknown, |j| j.chain) {
            ChainState::Valid => {}
            ChainState::Invalid => self
                .bad
                .push(format!("the certificate of {who} {}", path_words(error))),
            ChainState::Unknown => self
                .unknown
                .push(format!("the certificate of {who} {}", path_words(error))),
        }
        if judgement.is_some_and(|j| j.sender == SenderState::Mismatch) {
            let addressed = signer
                .certificate
                .as_ref()
                .is_some_and(|c| !c.emails().is_empty());
            self.bad.push(if addressed {
                format!("the message does not say it is from {who}, who signed it")
            } else {
                format!(
                    "the certificate of {who} names no mail address: nothing ties it to the sender"
                )
            });
        }
    }
}

fn name_of(signer: &SignerOutcome) -> String {
    let named = |c: &Certificate| c.emails().into_iter().next().unwrap_or_else(|| c.subject());
    signer
        .certificate
        .as_ref()
        .map_or_else(|| "an unknown signer".into(), named)
}

/// The words for a `PathOutcome`'s error, after "the certificate of …".
fn path_words(error: Option<&str>) -> String {
    match error {
        Some("expired") => "has expired".into(),
        Some("not-yet-valid") => "is not valid yet".into(),
        Some("revoked") => "was revoked by its issuer".into(),
        Some("usage") => "may not be used to sign mail".into(),
        Some("untrusted") => "leads to no authority that is trusted here; trust its root if you know it".into(),
        Some("incomplete") => {
            "leads to no trusted authority: a certificate in between is missing; ask the sender to include it".into()
        }
        Some("revocation-unknown") => "may have been revoked: the information wanted is not at hand".into(),
        Some("signature") => "is forged or damaged: a signature in its path does not verify".into(),
        Some("weak") => "rests on an algorithm that is too weak".into(),
        Some(other) => format!("does not hold ({other})"),
        None => "was not traced to a trusted authority".into(),
    }
}

impl Verdict {
    /// `good`, `bad`, `unknown`, `not-signed`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Bad => "bad",
            Verdict::Unknown => "unknown",
            Verdict::NotSigned => "not-signed",
        }
    }
}
