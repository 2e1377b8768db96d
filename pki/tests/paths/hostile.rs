//! What a message may bring to confuse or to exhaust: an end in time, no panic, no wrong good.

use std::time::{Duration, Instant};

use privyseal_pki::{
    Anchors, ChainState, PathOptions, PathOutcome, PathQuery, Purpose, Revocation, Usage,
};
use privyseal_smime::Certificate;

use crate::made::{ALICE, MAIL, Pki, SIGN, demo};
use crate::now;

fn ask(
    anchors: &Anchors,
    leaf: &Certificate,
    above: &[Certificate],
    crls: &[Vec<u8>],
) -> PathOutcome {
    anchors.check(&PathQuery {
        at: now() + 86_400,
        leaf,
        intermediates: above,
        crls,
        purpose: Purpose::Email,
        usage: Usage::Sign,
        revocation: Revocation::Soft,
        options: &PathOptions::default(),
    })
}

/// The time for many questions ends for each of them.
#[test]
fn no_time_left_is_no_answer() {
    let pki = demo();
    let leaf = pki.get("good");
    let anchors = Anchors::from_certs(pki.all(&["root"])).unwrap();
    let above = pki.all(&["int"]);
    let query = PathQuery {
        at: now(),
        leaf: &leaf,
        intermediates: &above,
        crls: &[],
        purpose: Purpose::Email,
        usage: Usage::Sign,
        revocation: Revocation::Off,
        options: &PathOptions::default(),
    };
    let late = anchors.check_until(&query, Some(Instant::now()));
    assert_eq!(late.chain, ChainState::Unknown);
    assert_eq!(late.error.as_deref(), Some("limit"));
    assert_eq!(anchors.check(&query).chain, ChainState::Valid);
}

/// `count` copies that differ in the bytes from `place` on.
fn variants(of: &Certificate, place: usize, count: u16) -> Vec<Certificate> {
    let variant = |n: u16| {
        let mut der = of.der().to_vec();
        der[place] ^= (n >> 8) as u8;
        der[place + 1] ^= n as u8;
        Certificate::from_der(&der).unwrap()
    };
    (1..=count).map(variant).collect()
}

fn find(der: &[u8], wanted: &[u8]) -> usize {
    der.windows(wanted.len()).position(|w| w == wanted).unwrap()
}

#[test]
fn a_crowd_of_namesakes_hides_nothing_and_ends_soon() {
    let pki = demo();
    let anchors = Anchors::from_certs(pki.all(&["root"])).unwrap();
    let (leaf, int) = (pki.get("good"), pki.get("int"));
    // another key under the issuer's name; and the issuer's own key, under a signature that is then wrong
    let modulus = find(int.der(), &[0x02, 0x82, 0x01, 0x01, 0x00]) + 100;
    let serial = find(int.der(), &[0x02, 0x02, 0x10]) + 2;
    for place in [modulus, serial] {
        let mut crowd = variants(&int, place, 255);
        let begun = Instant::now();
        assert_ne!(ask(&anchors, &leaf, &crowd, &[]).chain, ChainState::Valid);
        crowd.push(int.clone());
        let outcome = ask(&anchors, &leaf, &crowd, &[]);
        let took = begun.elapsed();
        println!("255 namesakes, twice: {took:?}");
        assert_eq!(outcome.chain, ChainState::Valid, "{:?}", outcome.steps);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn cas_that_certify_each_other_in_a_circle_end_soon() {
    let mut pki = Pki::new();
    pki.key("leaf", "P-256");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for name in names {
        pki.key(name, "P-256");
        pki.authority(name, &format!("/CN={name}"), "", "");
    }
    let mut above = Vec::new();
    for issuer in names {
        for subject in names.iter().filter(|s| **s != issuer) {
            let name = format!("{subject}-by-{issuer}");
            let ca = "basicConstraints=critical,CA:true\n";
            pki.issue_for(subject, &name, &format!("/CN={subject}"), issuer, ca, &[]);
            above.push(pki.get(&name));
        }
    }
    pki.issue(
        "good",
        "/CN=Alice",
        "a",
        &format!("{ALICE}{MAIL}{SIGN}"),
        &[],
    );
    let leaf = pki.get("good");
    let begun = Instant::now();
    let nobody = Anchors::default();
    let lost = ask(&nobody, &leaf, &above, &[]);
    assert_eq!(lost.chain, ChainState::Unknown, "{:?}", lost.steps);
    let far = Anchors::from_certs(pki.all(&["h"])).unwrap();
    assert_eq!(ask(&far, &leaf, &above, &[]).chain, ChainState::Valid);
    println!(
        "56 cross-certificates of 8 CAs, twice: {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn no_flipped_byte_makes_a_panic_or_a_good_leaf() {
    let pki = demo();
    let anchors = Anchors::from_certs(pki.all(&["root"])).unwrap();
    let (leaf, int) = (pki.get("good"), pki.get("int"));
    let crls = pki.crls(&["int", "root"]);
    let mut asked = 0;
    let mut check = |leaf: &Certificate, int: &Certificate, crls: &[Vec<u8>]| {
        let outcome = ask(&anchors, leaf, std::slice::from_ref(int), crls);
        let panicked = outcome
            .steps
            .iter()
            .any(|s| s.starts_with("path validation failed"));
        assert!(!panicked, "{:?}", outcome.steps);
        asked += 1;
        outcome
    };
    for place in 0..leaf.der().len() {
        let mut der = leaf.der().to_vec();
        der[place] ^= 1 << (place % 8);
        if let Ok(flipped) = Certificate::from_der(&der) {
            let outcome = check(&flipped, &int, &crls);
            assert_ne!(outcome.chain, ChainState::Valid, "byte {place}");
        }
    }
    for place in 0..int.der().len() {
        let mut der = int.der().to_vec();
        der[place] ^= 1 << (place % 8);
        if let Ok(flipped) = Certificate::from_der(&der) {
            let outcome = check(&leaf, &flipped, &crls);
            assert_ne!(outcome.chain, ChainState::Valid, "byte {place}");
        }
    }
    let crl = privyseal_smime::mime::pem::blocks(&crls[0], &["X509 CRL"])
        .unwrap()
        .remove(0);
    for place in 0..crl.len() {
        let mut der = crl.clone();
        der[place] ^= 1 << (place % 8);
        let outcome = check(&leaf, &int, &[der, crls[1].clone()]);
        assert_eq!(outcome.chain, ChainState::Valid, "byte {place}");
    }
    println!("{asked} flipped bytes");
    assert!(asked > 500);
}
