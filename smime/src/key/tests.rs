//! Signatures that openssl made, and those that are not quite so.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

mod wycheproof;

use const_oid::db;
use der::Decode;

use super::{Signer, verify_message, verify_signature, verify_with_key};
use crate::algorithm::DigestAlgorithm::{
    self, Md5, Sha1, Sha3_224, Sha3_256, Sha3_384, Sha3_512, Sha224, Sha256, Sha384, Sha512,
};
use crate::algorithm::{MlDsa, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{Cursor, constructed, id, single};
use crate::mime::pem;
use crate::signed::testkit::{Kind, Person, openssl};

const DIGESTS: [DigestAlgorithm; 10] = [
    Md5, Sha1, Sha224, Sha256, Sha384, Sha512, Sha3_224, Sha3_256, Sha3_384, Sha3_512,
];
const MESSAGE: &[u8] = b"the quick brown fox";

/// `openssl dgst -sign` over [`MESSAGE`].
fn signature(person: &Person, digest: DigestAlgorithm, options: &[String]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    person.write(folder.path());
    let flag = format!("-{}", digest.name());
    let mut args = vec!["dgst", &flag, "-sign", "key.pem"];
    for option in options {
        args.extend(["-sigopt", option.as_str()]);
    }
    openssl(folder.path(), &args, MESSAGE)
}

/// The signature holds, and nothing near it does.
fn only_this_holds(person: &Person, scheme: SignatureScheme, signature: &[u8]) {
    let certificate = &person.certificate;
    let digest = scheme.digest().digest(MESSAGE);
    let holds = |scheme, digest: &[u8], signature: &[u8]| {
        verify_signature(certificate, scheme, digest, signature)
    };
    assert!(holds(scheme, &digest, signature), "{scheme:?}");
    assert!(
        holds(scheme, &digest, signature),
        "{scheme:?}, the second time"
    );
    assert!(
        !holds(scheme, &scheme.digest().digest(b"another"), signature),
        "{scheme:?}"
    );
    assert!(!holds(scheme, &digest[1..], signature), "{scheme:?}");
    assert!(!holds(scheme, &[], signature), "{scheme:?}");
    assert!(!holds(scheme, &digest, &[]), "{scheme:?}");
    assert!(!holds(scheme, &digest, &signature[1..]), "{scheme:?}");
    assert!(
        !holds(scheme, &digest, &signature[..signature.len() - 1]),
        "{scheme:?}"
    );
    assert!(
        !holds(scheme, &digest, &[signature, &[0]].concat()),
        "{scheme:?}"
    );
    assert!(
        !holds(scheme, &digest, &[&[0], signature].concat()),
        "{scheme:?}"
    );
    for at in [0, 1, 3, signature.len() / 2, signature.len() - 1] {
        let mut changed = signature.to_vec();
        changed[at] ^= 0x40;
        assert!(!holds(scheme, &digest, &changed), "{scheme:?}, byte {at}");
    }
    for other in DIGESTS.into_iter().filter(|d| *d != scheme.digest()) {
        let other = match scheme {
            SignatureScheme::RsaPkcs1(_) => SignatureScheme::RsaPkcs1(other),
            SignatureScheme::RsaPss { salt_len, .. } => SignatureScheme::RsaPss {
                digest: other,
                mgf: other,
                salt_len,
            },
            SignatureScheme::Ecdsa(_) => SignatureScheme::Ecdsa(other),
            pure => panic!("{pure:?} signs no digest"),
        };
        assert!(
            !holds(other, &other.digest().digest(MESSAGE), signature),
            "{scheme:?} as {other:?}"
        );
    }
    let stranger = if person.certificate == Person::shared(Kind::P256).certificate {
        Kind::Rsa
    } else {
        Kind::P256
    };
    assert!(!verify_signature(
        &Person::shared(stranger).certificate,
        scheme,
        &digest,
        signature
    ));
}

#[test]
fn rsa_signatures_hold_with_every_digest_and_salt() {
    let person = Person::shared(Kind::Rsa);
    let mut count = 0;
    for digest in DIGESTS {
        only_this_holds(
            person,
            SignatureScheme::RsaPkcs1(digest),
            &signature(person, digest, &[]),
        );
        for salt_len in [digest.len(), 0, 8, 256 - 2 - digest.len()] {
            let options = [
                "rsa_padding_mode:pss".to_owned(),
                format!("rsa_pss_saltlen:{salt_len}"),
            ];
            let signature = signature(person, digest, &options);
            only_this_holds(
                person,
                SignatureScheme::RsaPss {
                    digest,
                    mgf: digest,
                    salt_len,
                },
                &signature,
            );
            for wrong in [salt_len + 1, salt_len.saturating_sub(1)]
                .into_iter()
                .filter(|s| *s != salt_len)
            {
                let wrong = SignatureScheme::RsaPss {
                    digest,
                    mgf: digest,
                    salt_len: wrong,
                };
                assert!(!verify_signature(
                    &person.certificate,
                    wrong,
                    &digest.digest(MESSAGE),
                    &signature
                ));
            }
            let as_pkcs1 = SignatureScheme::RsaPkcs1(digest);
            assert!(!verify_signature(
                &person.certificate,
                as_pkcs1,
                &digest.digest(MESSAGE),
                &signature
            ));
            count += 1;
        }
    }
    assert_eq!(count, 40);
}

#[test]
fn ecdsa_signatures_hold_on_every_curve_with_every_digest() {
    for kind in [
        Kind::P256,
        Kind::P384,
        Kind::P521,
        Kind::Brainpool256,
        Kind::Brainpool384,
    ] {
        let person = Person::shared(kind);
        for digest in DIGESTS {
            let signature = signature(person, digest, &[]);
            only_this_holds(person, SignatureScheme::Ecdsa(digest), &signature);
            // the same numbers, but not in DER: the length in a longer form, r with a zero in front
            let content = if signature[1] == 0x81 {
                &signature[3..]
            } else {
                &signature[2..]
            };
            let len = u8::try_from(content.len()).unwrap();
            let longer = [&[0x30, 0x82, 0, len][..], content].concat();
            let padded = [
                &[0x30, 0x81, len + 1, 2, content[1] + 1, 0][..],
                &content[2..],
            ]
            .concat();
            for changed in [longer, padded] {
                let scheme = SignatureScheme::Ecdsa(digest);
                assert!(
                    !verify_signature(
                        &person.certificate,
                        scheme,
                        &digest.digest(MESSAGE),
                        &changed
                    ),
                    "{kind:?}"
                );
            }
        }
    }
}

#[test]
fn a_short_rsa_key_still_verifies() {
    let person = Person::shared(Kind::Rsa1024);
    for digest in [Sha1, Sha256] {
        only_this_holds(
            person,
            SignatureScheme::RsaPkcs1(digest),
            &signature(person, digest, &[]),
        );
    }
}

#[test]
fn keys_that_are_out_of_reach_are_told_from_bad_signatures() {
    let spki = |modulus_len: usize, exponent: &[u8]| {
        let integer = |bytes: &[u8]| constructed(id::INTEGER, &[bytes]);
        let modulus = [&[0x00, 0xff][..], &vec![0xff; modulus_len - 1]].concat();
        let key = constructed(id::SEQUENCE, &[&integer(&modulus), &integer(exponent)]);
        let algorithm = encode(&db::rfc5912::RSA_ENCRYPTION, &[id::NULL, 0]);
        let bits = constructed(3, &[&[0], &key]);
        let der = constructed(id::SEQUENCE, &[&algorithm, &bits]);
        spki::SubjectPublicKeyInfoOwned::from_der(&der).unwrap()
    };
    for (modulus_len, exponent, reach) in [
        (256, &[1, 0, 1][..], true),
        (2048, &[1, 0, 1], true),
        (256, &[1, 0xff, 0xff, 0xff, 0xff], true),
        (256, &[2, 0, 0, 0, 1], false),
        (256, &[1; 32], false),
        (2049, &[1, 0, 1], false),
        (8192, &[1, 0, 1], false),
    ] {
        let spki = spki(modulus_len, exponent);
        let kind = crate::cert::key_type(&spki);
        assert_eq!(kind, crate::KeyType::Rsa(modulus_len * 8));
        let key = super::VerifyingKey::new(&spki, kind).unwrap();
        let why = key.out_of_reach();
        assert_eq!(why.is_none(), reach, "{modulus_len} {exponent:?}: {why:?}");
        assert_eq!(super::rsa_key(&spki).is_some(), reach);
    }
}

#[test]
fn a_pss_key_keeps_to_what_its_certificate_allows() {
    let folder = tempfile::tempdir().unwrap();
    let make = |extra: &[&str]| {
        let mut args = vec![
            "genpkey",
            "-algorithm",
            "RSA-PSS",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
            "key.pem",
        ];
        args.extend(extra);
        openssl(folder.path(), &args, &[]);
        let request = [
            "req", "-x509", "-new", "-key", "key.pem", "-subj", "/CN=pss", "-days", "30",
            "-outform", "DER",
        ];
        crate::Certificate::from_der(&openssl(folder.path(), &request, &[])).unwrap()
    };
    let sign = |digest: DigestAlgorithm, salt: usize| {
        let (flag, salt) = (
            format!("-{}", digest.name()),
            format!("rsa_pss_saltlen:{salt}"),
        );
        openssl(
            folder.path(),
            &["dgst", &flag, "-sign", "key.pem", "-sigopt", &salt],
            MESSAGE,
        )
    };
    let holds = |certificate: &crate::Certificate,
                 digest: DigestAlgorithm,
                 salt_len: usize,
                 signature: &[u8]| {
        let digested = digest.digest(MESSAGE);
        assert!(!verify_signature(
            certificate,
            SignatureScheme::RsaPkcs1(digest),
            &digested,
            signature
        ));
        verify_signature(
            certificate,
            SignatureScheme::RsaPss {
                digest,
                mgf: digest,
                salt_len,
            },
            &digested,
            signature,
        )
    };

    let free = make(&[]);
    assert!(holds(&free, Sha256, 32, &sign(Sha256, 32)));
    assert!(holds(&free, Sha512, 20, &sign(Sha512, 20)));

    let limits = [
        "rsa_pss_keygen_md:sha256",
        "rsa_pss_keygen_mgf1_md:sha256",
        "rsa_pss_keygen_saltlen:32",
    ];
    let restricted = make(&[
        "-pkeyopt", limits[0], "-pkeyopt", limits[1], "-pkeyopt", limits[2],
    ]);
    let (good, long) = (sign(Sha256, 32), sign(Sha256, 40));
    assert!(holds(&restricted, Sha256, 32, &good));
    assert!(holds(&restricted, Sha256, 40, &long));
    assert!(!holds(&restricted, Sha512, 64, &good));
    // made with the same key as if it were not restricted
    let pkcs8 = openssl(
        folder.path(),
        &[
            "pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER",
        ],
        &[],
    );
    let mut parts = Cursor::new(
        Cursor::new(&pkcs8)
            .expect(id::SEQUENCE, "")
            .unwrap()
            .content,
    );
    let (version, _, numbers) = (
        parts.next().unwrap().unwrap(),
        parts.next(),
        parts.next().unwrap().unwrap(),
    );
    let any_use = encode(&db::rfc5912::RSA_ENCRYPTION, &[id::NULL, 0]);
    let key = constructed(id::SEQUENCE, &[version.whole, &any_use, numbers.whole]);
    std::fs::write(
        folder.path().join("key.pem"),
        pem::encode("PRIVATE KEY", &key),
    )
    .unwrap();
    let sign = |digest: DigestAlgorithm, salt: usize| {
        let (flag, salt) = (
            format!("-{}", digest.name()),
            format!("rsa_pss_saltlen:{salt}"),
        );
        let args = [
            "dgst",
            &flag,
            "-sign",
            "key.pem",
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            &salt,
        ];
        openssl(folder.path(), &args, MESSAGE)
    };
    assert!(!holds(&restricted, Sha512, 64, &sign(Sha512, 64)));
    assert!(!holds(&restricted, Sha256, 20, &sign(Sha256, 20)));
}

#[test]
fn pss_holds_with_masks_of_another_digest_and_moduli_of_odd_length() {
    // one bit more than whole bytes: the encoded message is a byte shorter than the modulus
    let odd = Person::new(Kind::Rsa, &["-newkey", "rsa:2049"]);
    let shorter = Person::new(Kind::Rsa, &["-newkey", "rsa:2047"]);
    for person in [Person::shared(Kind::Rsa), &odd, &shorter] {
        for (digest, mgf, salt_len) in [
            (Sha256, Sha256, 32),
            (Sha256, Sha1, 20),
            (Sha1, Sha512, 0),
            (Sha512, Sha3_256, 64),
            (Sha3_384, Sha384, 11),
        ] {
            let options = [
                "rsa_padding_mode:pss".to_owned(),
                format!("rsa_pss_saltlen:{salt_len}"),
                format!("rsa_mgf1_md:{}", mgf.name()),
            ];
            let signature = signature(person, digest, &options);
            let scheme = |mgf| SignatureScheme::RsaPss {
                digest,
                mgf,
                salt_len,
            };
            only_this_holds(person, scheme(mgf), &signature);
            let other = if mgf == Sha224 { Sha256 } else { Sha224 };
            let digested = digest.digest(MESSAGE);
            assert!(!verify_signature(
                &person.certificate,
                scheme(other),
                &digested,
                &signature
            ));
        }
    }
}

#[test]
fn every_bit_of_a_pss_signature_counts() {
    let person = Person::shared(Kind::Rsa);
    let options = [
        "rsa_padding_mode:pss".to_owned(),
        "rsa_mgf1_md:sha1".to_owned(),
        "rsa_pss_saltlen:20".to_owned(),
    ];
    let signature = signature(person, Sha256, &options);
    let scheme = SignatureScheme::RsaPss {
        digest: Sha256,
        mgf: Sha1,
        salt_len: 20,
    };
    let digest = Sha256.digest(MESSAGE);
    let holds =
        |signature: &[u8]| verify_signature(&person.certificate, scheme, &digest, signature);
    assert!(holds(&signature));
    for bit in 0..signature.len() * 8 {
        let mut changed = signature.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!holds(&changed), "bit {bit}");
    }
}

#[test]
fn ed25519_and_ml_dsa_sign_the_message_itself() {
    let ml_dsa = |set| SignatureScheme::MlDsa {
        set,
        digest: Sha512,
    };
    for (kind, scheme) in [
        (Kind::Ed25519, SignatureScheme::Ed25519),
        (Kind::MlDsa44, ml_dsa(MlDsa::MlDsa44)),
        (Kind::MlDsa65, ml_dsa(MlDsa::MlDsa65)),
        (Kind::MlDsa87, ml_dsa(MlDsa::MlDsa87)),
    ] {
        let person = Person::shared(kind);
        let signature = person.sign_message(scheme, MESSAGE).unwrap();
        let holds = |message: &[u8], signature: &[u8]| {
            verify_message(&person.certificate, scheme, message, signature)
        };
        assert!(holds(MESSAGE, &signature), "{kind:?}");
        assert!(holds(MESSAGE, &signature), "{kind:?}, the second time");
        assert!(!holds(&MESSAGE[1..], &signature), "{kind:?}");
        assert!(!holds(MESSAGE, &signature[1..]), "{kind:?}");
        assert!(
            !holds(MESSAGE, &[&signature[..], &[0]].concat()),
            "{kind:?}"
        );
        assert!(!holds(MESSAGE, &[]), "{kind:?}");
        for bit in 0..signature.len() * 8 {
            let mut changed = signature.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!holds(MESSAGE, &changed), "{kind:?} bit {bit}");
        }
        // neither is a signature over a digest, and no other key made it
        let digest = Sha512.digest(MESSAGE);
        assert!(!verify_signature(
            &person.certificate,
            scheme,
            &digest,
            &signature
        ));
        let stranger = &Person::shared(Kind::P256).certificate;
        assert!(!verify_message(stranger, scheme, MESSAGE, &signature));
    }
}

/// The signature on a certificate, under the key of another or its own.
fn issued_by(subject: &crate::Certificate, issuer: &crate::Certificate) -> Option<bool> {
    let whole = single(subject.der(), id::SEQUENCE, "").unwrap();
    let tbs = Cursor::new(whole.content).expect(id::SEQUENCE, "").unwrap();
    let parsed = subject.parsed();
    let key = issuer.parsed().tbs_certificate().subject_public_key_info();
    let signature = parsed.signature().as_bytes().unwrap();
    verify_with_key(key, parsed.signature_algorithm(), tbs.whole, signature)
}

#[test]
fn signatures_on_certificates_are_verified_by_the_issuer_s_key() {
    let kinds = [
        Kind::Rsa,
        Kind::P256,
        Kind::P384,
        Kind::P521,
        Kind::Brainpool256,
        Kind::Brainpool384,
        Kind::Ed25519,
        Kind::MlDsa44,
        Kind::MlDsa65,
        Kind::MlDsa87,
    ];
    for kind in kinds {
        let own = &Person::shared(kind).certificate;
        assert_eq!(issued_by(own, own), Some(true), "{kind:?}");
        for other in kinds.into_iter().filter(|k| *k != kind) {
            let other = &Person::shared(other).certificate;
            assert_eq!(issued_by(own, other), Some(false), "{kind:?}");
        }
    }
    for (extra, expected) in [
        (&["-sha3-256"][..], Some(true)),
        (&["-sha1"], Some(true)),
        // what may not be trusted in a certificate is not known
        (&["-md5"], None),
        (
            &[
                "-sigopt",
                "rsa_padding_mode:pss",
                "-sigopt",
                "rsa_mgf1_md:sha1",
            ],
            Some(true),
        ),
    ] {
        let made = Person::new(Kind::Rsa, extra).certificate;
        assert_eq!(issued_by(&made, &made), expected, "{extra:?}");
    }
}
