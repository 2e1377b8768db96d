//! Countersignatures (RFC 5652 §11.4): judged each for itself, and never for the message.

use std::io::Write;

use super::crafted::{BODY, Crafted, MESSAGE_DIGEST, SIGNING_TIME, attribute, oid};
use super::*;
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::content::ID_DATA;
use crate::key::Signer;
use crate::limits;
use crate::signed::{SignatureState, SignerOutcome};

const COUNTER_SIGNATURE: &str = "1.2.840.113549.1.9.6";

/// A SignerInfo over `covered` by the P-384 person.
struct Counter {
    attributes: Option<Vec<Vec<u8>>>,
    unsigned: Vec<Vec<u8>>,
}

impl Counter {
    fn over(signature: &[u8]) -> Self {
        let digest = DigestAlgorithm::Sha256.digest(signature);
        Counter {
            attributes: Some(vec![
                attribute(SIGNING_TIME, &[&tlv(id::UTC_TIME, b"260101120000Z")]),
                attribute(MESSAGE_DIGEST, &[&tlv(id::OCTET_STRING, &digest)]),
            ]),
            unsigned: Vec::new(),
        }
    }

    /// The SignerInfo, and its signature value.
    fn build(&self, covered: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let who = Person::shared(Kind::P384);
        let set = self.attributes.as_ref().map(|all| all.concat());
        let message = set
            .as_ref()
            .map_or(covered.to_vec(), |set| tlv(id::SET, set));
        let scheme = SignatureScheme::Ecdsa(DigestAlgorithm::Sha256);
        let signature = who.sign_message(scheme, &message).unwrap();
        let serial = tlv(id::INTEGER, who.certificate.serial());
        let unsigned = if self.unsigned.is_empty() {
            Vec::new()
        } else {
            tlv(0xa1, &self.unsigned.concat())
        };
        let info = constructed(
            id::SEQUENCE,
            &[
                &tlv(id::INTEGER, &[1]),
                &constructed(id::SEQUENCE, &[&who.certificate.issuer_der(), &serial]),
                &encode(&DigestAlgorithm::Sha256.oid(), &[]),
                &set.map(|set| tlv(0xa0, &set)).unwrap_or_default(),
                &encode(&oid("1.2.840.10045.4.3.2"), &[]),
                &tlv(id::OCTET_STRING, &signature),
                &unsigned,
            ],
        );
        (info, signature)
    }
}

/// The signature value of [`Crafted::honest`], which is the same each time (RFC 6979).
fn signature() -> Vec<u8> {
    Crafted::honest().outcome().signers[0].ess.signature.clone()
}

/// The honest message with these countersignature attributes, and both certificates.
fn carrying(unsigned: Vec<Vec<u8>>) -> VerifyOutcome {
    let mut message = Crafted {
        unsigned,
        ..Crafted::honest()
    };
    let who = Person::shared(Kind::P384).certificate.der().to_vec();
    message.certificates.push(who);
    message.outcome()
}

#[track_caller]
fn assert_untouched(outcome: &VerifyOutcome) {
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    assert!(outcome.contradictions.is_empty() && outcome.reservations.is_empty());
}

fn one(info: &[u8]) -> Vec<Vec<u8>> {
    vec![attribute(COUNTER_SIGNATURE, &[info])]
}

fn depth(signer: &SignerOutcome) -> usize {
    let deepest = signer.countersignatures.iter().map(depth).max();
    deepest.map_or(0, |below| below + 1)
}

/// Countersignatures upon each other.
fn tower(levels: usize, covered: &[u8]) -> Vec<u8> {
    let plain = Counter::over(covered);
    let (info, signature) = plain.build(covered);
    if levels == 1 {
        return info;
    }
    Counter {
        unsigned: one(&tower(levels - 1, &signature)),
        ..plain
    }
    .build(covered)
    .0
}

#[test]
fn it_covers_the_signature_value_with_and_without_attributes() {
    let covered = signature();
    let with = Counter::over(&covered).build(&covered).0;
    let without = Counter {
        attributes: None,
        unsigned: Vec::new(),
    };
    let without = without.build(&covered).0;
    // two attributes, one with two values
    let outcome = carrying(vec![
        attribute(COUNTER_SIGNATURE, &[&with, &without]),
        attribute(COUNTER_SIGNATURE, &[&with]),
    ]);
    assert_untouched(&outcome);
    let all = &outcome.signers[0].countersignatures;
    assert_eq!(all.len(), 3);
    for counter in all {
        assert_eq!(counter.state, SignatureState::Valid);
        let who = counter.certificate.as_ref().unwrap();
        assert_eq!(*who, Person::shared(Kind::P384).certificate);
    }
    assert_eq!(all[0].signing_time, Some(1_767_268_800));
    assert_eq!(outcome.warnings, [""; 0]);
}

#[test]
fn what_is_wrong_with_it_is_a_warning_and_no_more() {
    let covered = signature();
    let digest = |of: &[u8]| {
        let digest = DigestAlgorithm::Sha256.digest(of);
        attribute(MESSAGE_DIGEST, &[&tlv(id::OCTET_STRING, &digest)])
    };
    let cases = [
        ("another signature", vec![digest(b"another")]),
        ("the content", vec![digest(BODY)]),
        (
            "contentType",
            vec![Crafted::content_type(&ID_DATA), digest(&covered)],
        ),
        (
            "lack messageDigest",
            vec![attribute(
                SIGNING_TIME,
                &[&tlv(id::UTC_TIME, b"260101120000Z")],
            )],
        ),
    ];
    for (what, attributes) in cases {
        let counter = Counter {
            attributes: Some(attributes),
            unsigned: Vec::new(),
        };
        let outcome = carrying(one(&counter.build(&covered).0));
        assert_untouched(&outcome);
        let state = &outcome.signers[0].countersignatures[0].state;
        assert!(
            matches!(state, SignatureState::Invalid(_)),
            "{what}: {state:?}"
        );
        assert_eq!(outcome.warnings.len(), 1, "{what}");
    }
    let (mut forged, _) = Counter::over(&covered).build(&covered);
    *forged.last_mut().unwrap() ^= 1;
    let outcome = carrying(one(&forged));
    assert_untouched(&outcome);
    assert!(
        outcome.warnings[0].contains("not by the key"),
        "{:?}",
        outcome.warnings
    );

    let outcome = carrying(one(&tlv(id::SEQUENCE, b"")));
    assert_untouched(&outcome);
    assert!(outcome.signers[0].countersignatures.is_empty());
    assert!(outcome.warnings[0].contains("cannot be read"));
}

#[test]
fn without_its_certificate_it_cannot_be_judged() {
    let covered = signature();
    let message = Crafted {
        unsigned: one(&Counter::over(&covered).build(&covered).0),
        ..Crafted::honest()
    };
    let outcome = message.outcome();
    assert_untouched(&outcome);
    let counter = &outcome.signers[0].countersignatures[0];
    assert!(matches!(counter.state, SignatureState::Unsupported(_)));
    assert_eq!(outcome.warnings, [""; 0]);
    // it may be known from elsewhere
    let known = [Person::shared(Kind::P384).certificate.clone()];
    let mut input = MemoryInput::new(message.build());
    let outcome = verify(&mut input, None, &known).unwrap();
    let counter = &outcome.signers[0].countersignatures[0];
    assert_eq!(counter.state, SignatureState::Valid);
}

#[test]
fn upon_each_other_up_to_a_limit() {
    let covered = signature();
    for (levels, seen) in [
        (1, 1),
        (
            limits::COUNTERSIGNATURE_DEPTH,
            limits::COUNTERSIGNATURE_DEPTH,
        ),
        (
            limits::COUNTERSIGNATURE_DEPTH + 1,
            limits::COUNTERSIGNATURE_DEPTH,
        ),
    ] {
        let outcome = carrying(one(&tower(levels, &covered)));
        assert_untouched(&outcome);
        assert_eq!(depth(&outcome.signers[0]), seen, "{levels}");
        assert_eq!(outcome.warnings.len(), levels - seen, "{levels}");
    }
}

#[test]
fn as_many_as_a_message_may_have() {
    let covered = signature();
    let (info, _) = Counter::over(&covered).build(&covered);
    for count in [limits::COUNTERSIGNATURES, limits::COUNTERSIGNATURES + 1] {
        let outcome = carrying(vec![attribute(
            COUNTER_SIGNATURE,
            &vec![info.as_slice(); count],
        )]);
        assert_untouched(&outcome);
        let all = &outcome.signers[0].countersignatures;
        assert_eq!(all.len(), limits::COUNTERSIGNATURES);
        assert!(all.iter().all(|c| c.state == SignatureState::Valid));
        assert_eq!(outcome.warnings.len(), count - limits::COUNTERSIGNATURES);
    }
}

/// A file of the shared sets of messages; `None` where they are not at hand.
pub(super) fn conformance(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var("PRIVYSEAL_CONFORMANCE").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance").into()
    });
    let found = std::fs::read(std::path::Path::new(&folder).join(name)).ok();
    if found.is_none() {
        // not captured: it is to be seen that nothing was tested
        drop(writeln!(
            std::io::stderr(),
            "no conformance sample {name}: set PRIVYSEAL_CONFORMANCE to their folder"
        ));
    }
    found
}

#[test]
fn those_that_others_made() {
    if let Some(message) = conformance("bc-java-cms/counterSig.p7m") {
        let outcome = check(&message).unwrap();
        let all = &outcome.signers[0].countersignatures;
        assert_eq!(all.len(), 1);
        assert_eq!(
            all[0].state,
            SignatureState::Valid,
            "{:?}",
            outcome.warnings
        );
        assert!(all[0].weak, "SHA-1");
    }
    // RFC 4134 §4.4: a DSA signature, which cannot be judged here, countersigned with RSA
    if let (Some(message), Some(carl)) = (
        conformance("rfc4134/4.4.bin"),
        conformance("rfc4134/CarlRSASelf.cer"),
    ) {
        let carl = Certificate::from_der(&carl).unwrap();
        let mut input = MemoryInput::new(message);
        let outcome = verify(&mut input, None, &[carl]).unwrap();
        let all: Vec<&SignerOutcome> = outcome
            .signers
            .iter()
            .flat_map(|s| &s.countersignatures)
            .collect();
        assert_eq!(all.len(), 1);
        assert_eq!(
            all[0].state,
            SignatureState::Valid,
            "{:?}",
            outcome.warnings
        );
    }
}
