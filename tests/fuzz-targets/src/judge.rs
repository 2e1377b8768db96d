//! A receiver that trusts the authority of [`PKI`] alone.

use std::sync::LazyLock;

use privyseal_pki::{
    Anchors, PathOptions, PathOutcome, PathQuery, Purpose, Revocation, Usage, sender_matches,
};
use privyseal_smime::verdict::{self, ChainState, SenderState, SignerJudgement, Verdict};
use privyseal_smime::{Certificate, SignatureState, VerifyOutcome};

use crate::keys::{AT, PKI};

static ANCHORS: LazyLock<Anchors> =
    LazyLock::new(|| Anchors::from_certs(vec![PKI.ca.certificate.clone()]).unwrap());

/// The leaf's path.
pub fn path(
    leaf: &Certificate,
    intermediates: &[Certificate],
    crls: &[Vec<u8>],
    revocation: Revocation,
) -> PathOutcome {
    ANCHORS.check(&PathQuery {
        at: AT,
        leaf,
        intermediates,
        crls,
        purpose: Purpose::Email,
        usage: Usage::Sign,
        revocation,
        options: &PathOptions::default(),
    })
}

/// The verdict; each address of From must be a signer's.
pub fn verdict(outcome: &VerifyOutcome) -> (Verdict, Vec<String>) {
    let judgements: Vec<SignerJudgement> = outcome
        .signers
        .iter()
        .map(|signer| match &signer.certificate {
            Some(leaf) if signer.state == SignatureState::Valid => {
                let path = path(leaf, &outcome.certificates, &outcome.crls, Revocation::Soft);
                let speaks = |a: &String| sender_matches(leaf, std::slice::from_ref(a));
                let sender = match outcome.headers.count("From") {
                    0 => SenderState::NotChecked,
                    _ if !outcome.from.is_empty() && outcome.from.iter().all(speaks) => {
                        SenderState::Match
                    }
                    _ => SenderState::Mismatch,
                };
                SignerJudgement {
                    chain: path.chain,
                    chain_error: path.error,
                    sender,
                }
            }
            _ => SignerJudgement {
                chain: ChainState::Unknown,
                chain_error: None,
                sender: SenderState::NotChecked,
            },
        })
        .collect();
    verdict::judge(outcome, &judgements)
}
