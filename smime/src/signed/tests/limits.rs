//! Each limit at it, and one past it.

use super::crafted::{Crafted, attribute};
use super::*;
use crate::algorithm::DigestAlgorithm;
use crate::algorithm_id::encode;
use crate::ber::{id, tlv};
use crate::error::Error;
use crate::limits;
use crate::signed::SignatureState;

#[track_caller]
fn assert_bounded(what: &str, at_limit: &Crafted, past_it: &Crafted) {
    let outcome = check(&at_limit.build()).unwrap();
    assert!(
        outcome
            .signers
            .iter()
            .all(|s| s.state == SignatureState::Valid),
        "{what}"
    );
    match check(&past_it.build()) {
        Err(Error::LimitExceeded { what: named, .. }) => assert_eq!(named, what),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn certificates() {
    let with = |count: usize| {
        let honest = Crafted::honest();
        Crafted {
            certificates: vec![honest.certificates[0].clone(); count],
            ..honest
        }
    };
    assert_bounded(
        "certificates",
        &with(limits::CERTIFICATES),
        &with(limits::CERTIFICATES + 1),
    );
}

#[test]
fn crls() {
    let with = |count: usize| Crafted {
        crls: vec![vec![0x30, 0]; count],
        ..Crafted::honest()
    };
    assert_bounded(
        "CRLs",
        &with(limits::CERTIFICATES),
        &with(limits::CERTIFICATES + 1),
    );
}

#[test]
fn signers() {
    let with = |copies: usize| Crafted {
        copies,
        ..Crafted::honest()
    };
    assert_bounded(
        "signers",
        &with(limits::SIGNERS),
        &with(limits::SIGNERS + 1),
    );
}

#[test]
fn digest_algorithms() {
    let with = |count: usize| Crafted {
        announced: vec![encode(&DigestAlgorithm::Sha256.oid(), &[]); count],
        ..Crafted::honest()
    };
    assert_bounded(
        "digest algorithms",
        &with(limits::DIGESTS),
        &with(limits::DIGESTS + 1),
    );
}

#[test]
fn signed_attributes() {
    let with = |total: usize| {
        let there: usize = Crafted::honest()
            .attributes
            .unwrap()
            .iter()
            .map(Vec::len)
            .sum();
        let filler = |len: usize| {
            attribute(
                "1.3.6.1.4.1.311.16.4",
                &[&tlv(id::OCTET_STRING, &vec![0; len])],
            )
        };
        let around = filler(100_000).len() - 100_000;
        Crafted::honest().with(filler(total - there - around))
    };
    let (at, past) = (with(limits::ATTRIBUTES), with(limits::ATTRIBUTES + 1));
    assert_eq!(
        at.attributes.as_ref().unwrap().concat().len(),
        limits::ATTRIBUTES
    );
    assert_bounded("bytes of signed attributes", &at, &past);
}

#[test]
fn bytes_of_all_crls_together() {
    // each is allowed, but not all
    let crl = tlv(id::SEQUENCE, &vec![0; limits::ELEMENT / 2]);
    let one = Crafted {
        crls: vec![crl.clone()],
        ..Crafted::honest()
    };
    let two = Crafted {
        crls: vec![crl.clone(), crl],
        ..Crafted::honest()
    };
    assert_bounded("bytes in one ASN.1 element", &one, &two);
}

#[test]
fn certificates_that_a_signer_may_mean() {
    // certificates that differ in their signature's last byte only: all have the signer's name and number
    let with = |count: usize, copies: usize| {
        let own = Crafted::honest().certificates.remove(0);
        let like_it = (1..count).map(|n| {
            let mut other = own.clone();
            *other.last_mut().unwrap() ^= u8::try_from(n).unwrap();
            other
        });
        let certificates = like_it.chain([own.clone()]).collect();
        Crafted {
            certificates,
            copies,
            ..Crafted::honest()
        }
    };
    let most = limits::SIGNATURE_TRIES / limits::SIGNERS;
    let what = "certificates to try its signatures with";
    assert_bounded(
        what,
        &with(most, limits::SIGNERS),
        &with(most + 1, limits::SIGNERS),
    );
}
