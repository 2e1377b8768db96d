//! One message for each algorithm: made by openssl where it can, by us, and by hand for what no writer makes.

use const_oid::db::{fips204, rfc8410};

use super::crafted::{BODY, Crafted};
use super::*;
use crate::algorithm::DigestAlgorithm::{
    self, Md5, Sha3_224, Sha3_256, Sha3_384, Sha3_512, Sha256, Sha384, Sha512, Shake256,
};
use crate::algorithm::{MlDsa, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{Cursor, id, single, tlv};
use crate::limits;
use crate::signed::SignatureState::{self, Valid};
use crate::signed::testkit::openssl;
use crate::verdict::{ChainState, SenderState, SignerJudgement, Verdict, judge};

const ML_DSA: [(Kind, MlDsa); 3] = [
    (Kind::MlDsa44, MlDsa::MlDsa44),
    (Kind::MlDsa65, MlDsa::MlDsa65),
    (Kind::MlDsa87, MlDsa::MlDsa87),
];

/// `openssl cms -sign`, opaque DER.
fn by_openssl(person: &Person, digest: DigestAlgorithm, extra: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    person.write(folder.path());
    let mut args = vec![
        "cms",
        "-sign",
        "-signer",
        "cert.pem",
        "-inkey",
        "key.pem",
        "-md",
        digest.name(),
        "-outform",
        "DER",
        "-nodetach",
        "-binary",
    ];
    args.extend(extra);
    openssl(folder.path(), &args, BODY)
}

/// As somebody sees it who trusts every certificate.
fn verdict(outcome: &VerifyOutcome) -> Verdict {
    let trusted = SignerJudgement {
        chain: ChainState::Valid,
        chain_error: None,
        sender: SenderState::NotChecked,
    };
    judge(outcome, &vec![trusted; outcome.signers.len()]).0
}

fn state(message: &[u8]) -> SignatureState {
    check(message).unwrap().signers[0].state.clone()
}

fn is_invalid(state: &SignatureState) -> bool {
    matches!(state, SignatureState::Invalid(_))
}

/// The message with one bit of its last byte, which is the signature's, turned over.
fn damaged(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    *message.last_mut().unwrap() ^= 1;
    message
}

#[test]
fn sha3_and_md5_signatures_of_openssl_are_read_and_md5_is_never_good() {
    let person = Person::shared(Kind::Rsa);
    for digest in [Md5, Sha3_224, Sha3_256, Sha3_384, Sha3_512] {
        // openssl 3.0 cannot name these digests in RSASSA-PSS parameters
        for extra in [&[][..], &["-noattr"]] {
            let message = by_openssl(person, digest, extra);
            let outcome = check(&message).unwrap();
            let signer = &outcome.signers[0];
            let what = format!("{digest:?} {extra:?}");
            assert_eq!(signer.state, Valid, "{what}");
            assert_eq!(signer.digest, Some(digest), "{what}");
            assert_eq!(signer.weak, digest == Md5, "{what}");
            let expected = if digest == Md5 {
                Verdict::Unknown
            } else {
                Verdict::Good
            };
            assert_eq!(verdict(&outcome), expected, "{what}");
            assert!(is_invalid(&state(&damaged(&message))), "{what}");
        }
    }
}

#[test]
fn pss_masks_of_another_digest_and_any_salt_are_read() {
    let person = Person::shared(Kind::Rsa);
    for (mask, salt) in [
        ("sha1", "20"),
        ("sha224", "7"),
        ("sha512", "0"),
        ("sha384", "222"),
    ] {
        let (mask, salt) = (
            format!("rsa_mgf1_md:{mask}"),
            format!("rsa_pss_saltlen:{salt}"),
        );
        let options = ["rsa_padding_mode:pss", &mask, &salt];
        let extra: Vec<&str> = options.iter().flat_map(|o| ["-keyopt", o]).collect();
        let message = by_openssl(person, Sha256, &extra);
        let outcome = check(&message).unwrap();
        assert_eq!(outcome.signers[0].state, Valid, "{mask} {salt}");
        assert_eq!(outcome.signers[0].algorithm, "rsa-pss");
        assert!(is_invalid(&state(&damaged(&message))), "{mask} {salt}");
    }
}

#[test]
fn brainpool_signatures_of_openssl_are_read() {
    for kind in [Kind::Brainpool256, Kind::Brainpool384] {
        for digest in [Sha256, Sha384] {
            let message = by_openssl(Person::shared(kind), digest, &[]);
            let outcome = check(&message).unwrap();
            assert_eq!(verdict(&outcome), Verdict::Good, "{kind:?} {digest:?}");
            assert_eq!(outcome.signers[0].algorithm, "ecdsa");
            assert!(is_invalid(&state(&damaged(&message))));
        }
    }
    let kind = Person::shared(Kind::Brainpool256).certificate.key_type();
    assert_eq!(kind.to_string(), "ec:brainpoolP256r1");
}

#[test]
fn ecdsa_with_sha3_comes_back_as_it_went() {
    for kind in [Kind::P256, Kind::P384, Kind::P521] {
        for digest in [Sha3_256, Sha3_384, Sha3_512] {
            let options = SignOptions {
                digest,
                ..options(SignForm::Clear)
            };
            let message = signed(Person::shared(kind), BODY, &options);
            let micalg = format!("micalg={};", digest.name());
            assert!(String::from_utf8_lossy(&message).contains(&micalg));
            let outcome = check(&message).unwrap();
            assert_eq!(verdict(&outcome), Verdict::Good, "{kind:?} {digest:?}");
            assert_eq!(outcome.signers[0].digest, Some(digest));
        }
    }
}

#[test]
fn ed25519_signs_the_attributes_themselves_with_sha512_over_the_content() {
    let person = Person::shared(Kind::Ed25519);
    for form in [SignForm::Clear, SignForm::Opaque, SignForm::Detached] {
        let mut out = Vec::new();
        let made = sign(
            &mut &BODY[..],
            &mut out,
            &person.certificate,
            person,
            &options(form),
        )
        .unwrap();
        assert_eq!((made.algorithm, made.digest), ("ed25519", Sha512));
        let outcome = match form {
            SignForm::Detached => check_detached(&out, BODY),
            _ => check(&out),
        }
        .unwrap();
        assert_eq!(verdict(&outcome), Verdict::Good, "{form:?}");
        assert_eq!(outcome.signers[0].algorithm, "ed25519");
        assert_eq!(outcome.signers[0].digest, Some(Sha512));
        assert!(!outcome.signers[0].weak);
    }
}

/// openssl 3.0 makes and verifies no CMS with Ed25519, but it verifies the signature in it.
#[test]
fn openssl_agrees_with_the_ed25519_signature_over_the_attributes() {
    let person = Person::shared(Kind::Ed25519);
    let der = SignOptions {
        format: crate::Form::Der,
        ..options(SignForm::Opaque)
    };
    let message = signed(person, BODY, &der);
    let content_info = single(&message, id::SEQUENCE, "").unwrap();
    let mut cursor = Cursor::new(content_info.content);
    cursor.next().unwrap();
    let explicit = cursor.expect(0xa0, "").unwrap();
    let mut signed_data = Cursor::new(single(explicit.content, id::SEQUENCE, "").unwrap().content);
    let mut last = None;
    while let Some(field) = signed_data.next().unwrap() {
        last = Some(field);
    }
    let info = single(last.unwrap().content, id::SEQUENCE, "").unwrap();
    let mut info = Cursor::new(info.content);
    info.expect(id::INTEGER, "").unwrap();
    info.next().unwrap();
    let digest = info.expect(id::SEQUENCE, "").unwrap();
    assert_eq!(digest.whole, encode(&Sha512.oid(), &[]));
    let attributes = info.expect(0xa0, "").unwrap();
    let algorithm = info.expect(id::SEQUENCE, "").unwrap();
    assert_eq!(algorithm.whole, encode(&rfc8410::ID_ED_25519, &[]));
    let signature = info.expect(id::OCTET_STRING, "").unwrap();

    let folder = tempfile::tempdir().unwrap();
    person.write(folder.path());
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("attributes"), tlv(id::SET, attributes.content)).unwrap();
    std::fs::write(at("signature"), signature.content).unwrap();
    let args = [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-certin",
        "-inkey",
        "cert.pem",
        "-in",
        "attributes",
        "-sigfile",
        "signature",
    ];
    openssl(folder.path(), &args, &[]);
}

#[test]
fn ml_dsa_messages_hold_for_their_own_parameter_set_only() {
    for (kind, set) in ML_DSA {
        let person = Person::shared(kind);
        assert_eq!(person.certificate.key_type().to_string(), set.name());
        let message = signed(person, BODY, &options(SignForm::Clear));
        let outcome = check(&message).unwrap();
        assert_eq!(verdict(&outcome), Verdict::Good, "{set:?}");
        assert_eq!(outcome.signers[0].algorithm, set.name());
        for (_, other) in ML_DSA.into_iter().filter(|(_, other)| *other != set) {
            let crafted = Crafted::pure(
                kind,
                SignatureScheme::MlDsa {
                    set,
                    digest: Sha512,
                },
                &other.oid(),
            );
            assert!(is_invalid(&state(&crafted.build())), "{set:?} as {other:?}");
        }
    }
}

#[test]
fn ml_dsa_takes_digests_as_strong_as_its_parameter_set() {
    let digests = [Sha256, Sha384, Sha512, Sha3_256, Sha3_512, Shake256];
    for (kind, set) in ML_DSA {
        for digest in digests {
            let crafted = Crafted::pure(kind, SignatureScheme::MlDsa { set, digest }, &set.oid());
            let state = state(&crafted.build());
            if digest.len() >= set.digest_len() {
                assert_eq!(state, Valid, "{set:?} {digest:?}");
            } else {
                assert!(is_invalid(&state), "{set:?} {digest:?}");
            }
        }
    }
}

#[test]
fn parameters_and_digests_that_do_not_belong_to_pure_signatures_are_refused() {
    let ed25519 = || {
        Crafted::pure(
            Kind::Ed25519,
            SignatureScheme::Ed25519,
            &rfc8410::ID_ED_25519,
        )
    };
    assert_eq!(state(&ed25519().build()), Valid);
    let with_null = Crafted {
        algorithm: encode(&rfc8410::ID_ED_25519, &[id::NULL, 0]),
        ..ed25519()
    };
    assert!(is_invalid(&state(&with_null.build())));
    // RFC 8419 §2.3: SHA-512, even where another digest fits the content
    let sha256 = encode(&Sha256.oid(), &[]);
    let other_digest = Crafted {
        digest: sha256.clone(),
        announced: vec![sha256],
        attributes: Crafted::honest().attributes,
        ..ed25519()
    };
    assert!(is_invalid(&state(&other_digest.build())));
    let with_null = Crafted {
        algorithm: encode(&fips204::ID_ML_DSA_44, &[id::NULL, 0]),
        ..Crafted::pure(
            Kind::MlDsa44,
            SignatureScheme::MlDsa {
                set: MlDsa::MlDsa44,
                digest: Sha512,
            },
            &fips204::ID_ML_DSA_44,
        )
    };
    assert!(is_invalid(&state(&with_null.build())));
    // a key of another kind
    let stranger = Crafted {
        algorithm: encode(&rfc8410::ID_ED_25519, &[]),
        digest: encode(&Sha512.oid(), &[]),
        announced: vec![encode(&Sha512.oid(), &[])],
        attributes: ed25519().attributes,
        ..Crafted::honest()
    };
    assert!(is_invalid(&state(&stranger.build())));
}

/// Without attributes it is the content itself that is signed.
fn bare(kind: Kind, content: Option<Vec<u8>>) -> Crafted {
    let (scheme, oid) = match kind {
        Kind::Ed25519 => (SignatureScheme::Ed25519, rfc8410::ID_ED_25519),
        _ => {
            let set = MlDsa::MlDsa65;
            (
                SignatureScheme::MlDsa {
                    set,
                    digest: Sha512,
                },
                set.oid(),
            )
        }
    };
    Crafted {
        attributes: None,
        content,
        ..Crafted::pure(kind, scheme, &oid)
    }
}

#[test]
fn pure_signatures_over_the_content_itself_hold_up_to_a_mebibyte() {
    for kind in [Kind::Ed25519, Kind::MlDsa65] {
        let text = |len: usize| {
            b"0123456789abcdef"
                .iter()
                .copied()
                .cycle()
                .take(len)
                .collect()
        };
        let most: Vec<u8> = text(limits::WHOLE_CONTENT);
        let message = bare(kind, Some(most.clone())).build();
        assert_eq!(state(&message), Valid, "{kind:?}");
        assert!(is_invalid(&state(&damaged(&message))), "{kind:?}");
        let mut changed = message.clone();
        let at = memchr::memmem::find(&message, b"0123456789abcdef").unwrap();
        changed[at + 99] ^= 1;
        assert!(is_invalid(&state(&changed)), "{kind:?}");
        let more = bare(kind, Some(text(limits::WHOLE_CONTENT + 1))).build();
        let SignatureState::Unsupported(why) = state(&more) else {
            panic!("{kind:?}: one byte past the limit");
        };
        assert!(why.contains("1048576"), "{why}");
    }
}

#[test]
fn a_detached_pure_signature_holds_for_both_line_ends() {
    let whole = bare(Kind::Ed25519, Some(BODY.to_vec())).build();
    // the same SignedData without its content: the signature stands last in both
    let signature = &whole[whole.len() - 64..];
    let mut detached = bare(Kind::Ed25519, None).build();
    let start = detached.len() - 64;
    detached[start..].copy_from_slice(signature);
    let unix: Vec<u8> = BODY.iter().copied().filter(|b| *b != b'\r').collect();
    for content in [BODY, &unix] {
        let outcome = check_detached(&detached, content).unwrap();
        assert_eq!(outcome.signers[0].state, Valid);
    }
    let outcome = check_detached(&detached, b"another").unwrap();
    assert!(is_invalid(&outcome.signers[0].state));
    // content beside the message's own must be the same
    assert_eq!(
        check_detached(&whole, BODY).unwrap().signers[0].state,
        Valid
    );
    let other = check_detached(&whole, b"another").unwrap();
    assert!(is_invalid(&other.signers[0].state));
}
