//! What signers say of themselves, and signatures by the rules of a profile.

use super::crafted::{BODY, Crafted, attribute};
use super::*;
use crate::algorithm::{Cipher, DigestAlgorithm};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::capability::Capability;
use crate::content::ID_DATA;
use crate::error::Error;
use crate::key::RecipientId;
use crate::limits::CONTENT_HINT;
use crate::mime::Form;
use crate::profile::{Profile, Profiles};
use crate::signed::testkit::openssl;
use crate::signed::{Claims, SignatureState};

const CAPABILITIES: &str = "1.2.840.113549.1.9.15";
const PREFERENCE: &str = "1.2.840.113549.1.9.16.2.11";
const HINTS: &str = "1.2.840.113549.1.9.16.2.4";

fn claims(crafted: &Crafted) -> Claims {
    let signer = crafted.outcome().signers.remove(0);
    assert_eq!(signer.state, SignatureState::Valid);
    signer.claims
}

#[test]
fn the_profile_s_capabilities_are_written_and_read_back() {
    for name in ["rfc8551", "edi-energy"] {
        let profile = Profiles::built_in().get(name).unwrap().clone();
        let options = SignOptions {
            profile: profile.clone(),
            pss: true,
            ..options(SignForm::Opaque)
        };
        let message = signed(Person::shared(Kind::Rsa), BODY, &options);
        let claims = check(&message).unwrap().signers.remove(0).claims;
        assert_eq!(claims.capabilities, profile.capabilities());
        assert_eq!(claims.encryption_key, None);
        assert_eq!(claims.content_hint, None);
    }
    // openssl reads them as what they are
    let folder = tempfile::tempdir().unwrap();
    let der = SignOptions {
        format: Form::Der,
        ..options(SignForm::Opaque)
    };
    let message = signed(Person::shared(Kind::P256), BODY, &der);
    let args = ["cms", "-cmsout", "-print", "-inform", "DER"];
    let printed = String::from_utf8(openssl(folder.path(), &args, &message)).unwrap();
    let capabilities = printed.split("S/MIME Capabilities").nth(1).unwrap();
    assert!(capabilities.contains("aes-256-gcm"), "{printed}");
    assert!(
        capabilities.contains("dhSinglePass-stdDH-sha256kdf-scheme"),
        "{printed}"
    );
}

#[test]
fn openssl_finds_the_signing_certificate_where_cades_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let person = Person::shared(Kind::P256);
    person.write(folder.path());
    let der = SignOptions {
        format: Form::Der,
        ..options(SignForm::Opaque)
    };
    let message = signed(person, BODY, &der);
    let args = [
        "cms",
        "-verify",
        "-cades",
        "-binary",
        "-inform",
        "DER",
        "-CAfile",
        "cert.pem",
        "-partial_chain",
        "-purpose",
        "smimesign",
    ];
    assert_eq!(openssl(folder.path(), &args, &message), BODY);
}

#[test]
fn capabilities_of_others_are_read_whatever_is_among_them() {
    let tdes = encode(&oid("1.2.840.113549.3.7"), &[]);
    let unknown = encode(&oid("1.3.6.1.4.1.99999.1"), &tlv(id::INTEGER, &[1]));
    let list = tlv(id::SEQUENCE, &[tdes, unknown].concat());
    let said = claims(&Crafted::honest().with(attribute(CAPABILITIES, &[&list])));
    let names: Vec<String> = said.capabilities.iter().map(Capability::name).collect();
    assert_eq!(names, ["des-ede3-cbc", "1.3.6.1.4.1.99999.1"]);
    assert_eq!(said.capabilities[0].cipher(), Some(Cipher::DesEde3Cbc));
    // no list: no capabilities, and no reason to doubt the signature
    let no_list = attribute(CAPABILITIES, &[&tlv(id::INTEGER, &[1])]);
    assert!(
        claims(&Crafted::honest().with(no_list))
            .capabilities
            .is_empty()
    );
}

fn oid(text: &str) -> der::asn1::ObjectIdentifier {
    super::crafted::oid(text)
}

#[test]
fn an_encryption_key_preference_brings_its_certificate_along() {
    let other = Person::new(Kind::P256, &["-subj", "/CN=Other"]);
    let (alice, preferred) = (Person::shared(Kind::P256), other.certificate.clone());
    let options = SignOptions {
        encryption_certificate: Some(preferred.clone()),
        ..options(SignForm::Clear)
    };
    let outcome = check(&signed(alice, BODY, &options)).unwrap();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    let found = outcome.encryption_certificate(&outcome.signers[0].claims);
    assert_eq!(found, Some(&preferred));
    assert_eq!(outcome.certificates.len(), 2);
    // the signing certificate itself goes without saying
    let own = SignOptions {
        encryption_certificate: Some(alice.certificate.clone()),
        ..options
    };
    let outcome = check(&signed(alice, BODY, &own)).unwrap();
    assert_eq!(outcome.signers[0].claims.encryption_key, None);
    assert_eq!(outcome.certificates.len(), 1);
}

#[test]
fn every_form_of_an_encryption_key_preference_is_read() {
    let certificate = Person::shared(Kind::P256).certificate.clone();
    let ski = tlv(id::OCTET_STRING, b"key");
    let by_name = constructed(
        id::context_constructed(0),
        &[
            &certificate.issuer_der(),
            &tlv(id::INTEGER, certificate.serial()),
        ],
    );
    for (value, expected) in [
        (
            by_name,
            Some(RecipientId::IssuerSerial {
                issuer: certificate.issuer_der(),
                serial: certificate.serial().to_vec(),
            }),
        ),
        (
            tlv(id::context_constructed(1), &ski),
            Some(RecipientId::Ski(b"key".to_vec())),
        ),
        (
            tlv(id::context(2), b"key"),
            Some(RecipientId::Ski(b"key".to_vec())),
        ),
        (tlv(id::context_constructed(0), b""), None),
        (tlv(id::INTEGER, &[1]), None),
    ] {
        let crafted = Crafted::honest().with(attribute(PREFERENCE, &[&value]));
        assert_eq!(claims(&crafted).encryption_key, expected);
    }
}

#[test]
fn a_content_hint_is_written_and_read_up_to_its_limit() {
    let person = Person::shared(Kind::P256);
    let with = |hint: String| SignOptions {
        content_hint: Some(hint),
        ..options(SignForm::Clear)
    };
    let longest = "ü".repeat(CONTENT_HINT);
    for hint in ["the contract", "", &longest] {
        let outcome = check(&signed(person, BODY, &with(hint.to_owned()))).unwrap();
        let read = outcome.signers[0].claims.content_hint.clone().unwrap();
        assert_eq!(read.description.as_deref(), Some(hint));
        assert_eq!(read.content_type, ID_DATA);
    }
    let mut out = Vec::new();
    let refused = sign(
        &mut &BODY[..],
        &mut out,
        &person.certificate,
        person,
        &with(format!("{longest}x")),
    );
    assert!(matches!(refused, Err(Error::InvalidOption(_))));
    // a longer one of others is not shown, one without words is a type only
    let kind = tlv(id::OID, ID_DATA.as_bytes());
    let hints = |parts: &[&[u8]]| attribute(HINTS, &[&constructed(id::SEQUENCE, parts)]);
    let long = tlv(0x0c, format!("{longest}x").as_bytes());
    for crafted in [hints(&[&long, &kind]), hints(&[&kind])] {
        let read = claims(&Crafted::honest().with(crafted))
            .content_hint
            .unwrap();
        assert_eq!(read.description, None);
    }
    assert_eq!(
        claims(&Crafted::honest().with(hints(&[]))).content_hint,
        None
    );
}

#[test]
fn who_did_not_sign_claims_nothing() {
    let options = SignOptions {
        content_hint: Some("the contract".into()),
        ..options(SignForm::Clear)
    };
    let mut message = signed(Person::shared(Kind::P256), BODY, &options);
    let place = memchr::memmem::find(&message, b"hello").unwrap();
    message[place] = b'j';
    let signer = check(&message).unwrap().signers.remove(0);
    assert!(matches!(signer.state, SignatureState::Invalid(_)));
    assert_eq!(signer.claims, Claims::default());
}

#[test]
fn a_profile_takes_back_what_it_does_not_read() {
    let profiles = Profiles::built_in();
    let judged = |message: &[u8], profile: &str| {
        let mut outcome = check(message).unwrap();
        outcome.restrict(profiles.get(profile).unwrap());
        let signer = outcome.signers.remove(0);
        (signer.state, signer.weak)
    };
    let folder = tempfile::tempdir().unwrap();
    let person = Person::shared(Kind::Rsa);
    person.write(folder.path());
    let args = [
        "cms",
        "-sign",
        "-binary",
        "-md",
        "sha1",
        "-signer",
        "cert.pem",
        "-inkey",
        "key.pem",
        "-nodetach",
    ];
    let sha1 = openssl(folder.path(), &args, BODY);
    assert_eq!(judged(&sha1, "legacy-read"), (SignatureState::Valid, true));
    let (state, weak) = judged(&sha1, "rfc8551");
    let SignatureState::Unsupported(why) = state else {
        panic!("{state:?}")
    };
    assert!(
        weak && why.contains("rfc8551") && why.contains("sha1"),
        "{why}"
    );
    // nothing is known against PKCS#1 v1.5, but this profile wants PSS
    let pkcs1 = signed(person, BODY, &options(SignForm::Clear));
    assert_eq!(judged(&pkcs1, "rfc8551"), (SignatureState::Valid, false));
    assert!(matches!(
        judged(&pkcs1, "edi-energy"),
        (SignatureState::Unsupported(why), false) if why.contains("rsa-pss")
    ));
    let pss = SignOptions {
        pss: true,
        ..options(SignForm::Clear)
    };
    let pss = signed(person, BODY, &pss);
    assert_eq!(judged(&pss, "edi-energy"), (SignatureState::Valid, false));
    // what is invalid stays so
    let mut damaged = pkcs1;
    let place = memchr::memmem::find(&damaged, b"hello").unwrap();
    damaged[place] = b'j';
    assert!(matches!(
        judged(&damaged, "edi-energy").0,
        SignatureState::Invalid(_)
    ));
}

#[test]
fn a_profile_decides_what_is_signed() {
    let profiles = Profiles::built_in();
    let refusal = |profile: &str, digest, pss| {
        let person = Person::shared(Kind::Rsa);
        let options = SignOptions {
            profile: profiles.get(profile).unwrap().clone(),
            digest,
            pss,
            ..options(SignForm::Clear)
        };
        let mut out = Vec::new();
        sign(
            &mut &BODY[..],
            &mut out,
            &person.certificate,
            person,
            &options,
        )
        .map(|made| made.algorithm)
    };
    use DigestAlgorithm::{Sha1, Sha256, Sha384, Shake256};
    assert_eq!(refusal("edi-energy", Sha256, true).unwrap(), "rsa-pss");
    for (profile, digest, pss) in [
        ("edi-energy", Sha256, false),
        ("edi-energy", Sha384, true),
        ("bsi", Sha256, true),
        ("rfc8551", Shake256, false),
    ] {
        let refused = refusal(profile, digest, pss);
        assert!(
            matches!(&refused, Err(Error::Refused(why)) if why.contains(profile)),
            "{refused:?}"
        );
    }
    let sha1 = refusal("legacy-read", Sha1, false);
    assert!(matches!(sha1, Err(Error::WeakAlgorithm(_))));
    // the default of these tests
    assert_eq!(Profile::rfc8551().name(), "rfc8551");
}
