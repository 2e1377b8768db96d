use super::ChainState::{Invalid as ChainBad, Unknown as ChainUnknown, Valid as ChainGood};
use super::SenderState::{Match, Mismatch, NotChecked};
use super::*;
use crate::key::RecipientId;
use crate::layer::Layer;
use crate::signed::testkit::{Kind, Person};

fn signer(
    state: SignatureState,
    known: bool,
    digest: DigestAlgorithm,
    weak: bool,
) -> SignerOutcome {
    SignerOutcome {
        alternatives: Vec::new(),
        id: RecipientId::Ski(vec![1]),
        state,
        certificate: known.then(|| Person::shared(Kind::P256).certificate.clone()),
        digest: Some(digest),
        algorithm: "ecdsa".into(),
        signing_time: None,
        scheme: None,
        weak,
        ess: Default::default(),
        countersignatures: Vec::new(),
        claims: Default::default(),
    }
}

fn valid() -> SignerOutcome {
    signer(SignatureState::Valid, true, DigestAlgorithm::Sha256, false)
}

fn invalid() -> SignerOutcome {
    signer(
        SignatureState::Invalid("tampered".into()),
        true,
        DigestAlgorithm::Sha256,
        false,
    )
}

fn unsupported(known: bool) -> SignerOutcome {
    signer(
        SignatureState::Unsupported("strange".into()),
        known,
        DigestAlgorithm::Sha256,
        false,
    )
}

fn judgement(chain: ChainState, error: Option<&str>, sender: SenderState) -> SignerJudgement {
    SignerJudgement {
        chain,
        chain_error: error.map(str::to_owned),
        sender,
    }
}

fn good() -> SignerJudgement {
    judgement(ChainGood, None, Match)
}

fn outcome(signers: Vec<SignerOutcome>, contradictions: &[&str]) -> VerifyOutcome {
    VerifyOutcome {
        signers,
        layers: vec![Layer::plain("signed")],
        contradictions: contradictions.iter().map(|c| (*c).to_owned()).collect(),
        ..VerifyOutcome::default()
    }
}

#[test]
fn one_verdict_for_every_case() {
    let weak = |digest| signer(SignatureState::Valid, true, digest, true);
    let one = |signer, judgement| (vec![signer], vec![judgement], &[][..]);
    type Case<'a> = (Vec<SignerOutcome>, Vec<SignerJudgement>, &'a [&'a str]);
    let table: Vec<(&str, Case<'_>, Verdict, &[&str])> = vec![
        ("all well", one(valid(), good()), Verdict::Good, &[]),
        (
            "sender not checked",
            one(valid(), judgement(ChainGood, None, NotChecked)),
            Verdict::Good,
            &[],
        ),
        (
            "two good signers",
            (vec![valid(), valid()], vec![good(), good()], &[]),
            Verdict::Good,
            &[],
        ),
        (
            "invalid signature",
            one(invalid(), good()),
            Verdict::Bad,
            &["tampered"],
        ),
        (
            "expired",
            one(valid(), judgement(ChainBad, Some("expired"), Match)),
            Verdict::Bad,
            &["has expired"],
        ),
        (
            "revoked",
            one(valid(), judgement(ChainBad, Some("revoked"), Match)),
            Verdict::Bad,
            &["revoked"],
        ),
        (
            "unknown error",
            one(valid(), judgement(ChainBad, Some("odd"), Match)),
            Verdict::Bad,
            &["(odd)"],
        ),
        (
            "untrusted",
            one(valid(), judgement(ChainUnknown, Some("untrusted"), Match)),
            Verdict::Unknown,
            &["trust its root"],
        ),
        (
            "incomplete",
            one(valid(), judgement(ChainUnknown, Some("incomplete"), Match)),
            Verdict::Unknown,
            &["in between"],
        ),
        (
            "mismatch",
            one(valid(), judgement(ChainGood, None, Mismatch)),
            Verdict::Bad,
            &["alice@example.org"],
        ),
        (
            "mismatch, untrusted",
            one(valid(), judgement(ChainUnknown, None, Mismatch)),
            Verdict::Bad,
            &["from", "traced"],
        ),
        (
            "contradiction",
            (vec![valid()], vec![good()], &["several From fields"]),
            Verdict::Bad,
            &["several From"],
        ),
        (
            "unsupported",
            one(unsupported(true), good()),
            Verdict::Unknown,
            &["strange"],
        ),
        (
            "no certificate",
            one(
                unsupported(false),
                judgement(ChainUnknown, None, NotChecked),
            ),
            Verdict::Unknown,
            &["strange; ask"],
        ),
        (
            "unsupported, revoked",
            one(
                unsupported(true),
                judgement(ChainBad, Some("revoked"), Match),
            ),
            Verdict::Bad,
            &["revoked", "strange"],
        ),
        (
            "SHA-1",
            one(weak(DigestAlgorithm::Sha1), good()),
            Verdict::Unknown,
            &["SHA-1"],
        ),
        (
            "short key",
            one(weak(DigestAlgorithm::Sha256), good()),
            Verdict::Unknown,
            &["2048"],
        ),
        (
            "a good and a bad one",
            (vec![valid(), invalid()], vec![good(), good()], &[]),
            Verdict::Bad,
            &["tampered"],
        ),
        (
            "a good and an unknown one",
            (vec![valid(), unsupported(true)], vec![good(), good()], &[]),
            Verdict::Unknown,
            &["strange"],
        ),
        (
            "an unknown and a bad one",
            (
                vec![unsupported(true), invalid()],
                vec![good(), good()],
                &[],
            ),
            Verdict::Bad,
            &["tampered", "strange"],
        ),
        (
            "nobody judged the path",
            (vec![valid()], vec![], &[]),
            Verdict::Unknown,
            &["not traced"],
        ),
        (
            "one of two was judged",
            (vec![valid(), valid()], vec![good()], &[]),
            Verdict::Unknown,
            &["not traced"],
        ),
        (
            "no signer",
            (vec![], vec![], &[]),
            Verdict::NotSigned,
            &["no signature"],
        ),
        (
            "no signer, contradiction",
            (vec![], vec![], &["odd"]),
            Verdict::NotSigned,
            &["no signature", "odd"],
        ),
    ];
    for (name, (signers, judgements, contradictions), expected, words) in table {
        let (verdict, reasons) = judge(&outcome(signers, contradictions), &judgements);
        assert_eq!(verdict, expected, "{name}: {reasons:?}");
        assert_eq!(reasons.len(), words.len(), "{name}: {reasons:?}");
        for (reason, word) in reasons.iter().zip(words) {
            assert!(reason.contains(word), "{name}: {reason} lacks {word}");
        }
    }
}

#[test]
fn certificates_alone_are_not_signed() {
    let outcome = VerifyOutcome {
        layers: vec![Layer::plain("certs-only")],
        ..VerifyOutcome::default()
    };
    let (verdict, reasons) = judge(&outcome, &[]);
    assert_eq!(
        (verdict, verdict.name()),
        (Verdict::NotSigned, "not-signed")
    );
    assert!(reasons[0].contains("only carries certificates"));
}
