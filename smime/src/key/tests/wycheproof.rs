//! Wycheproof's vectors for signatures, through the keys that verify messages and certificates.

use der::Decode;
use spki::SubjectPublicKeyInfoOwned;
use wycheproof::{HashFunction, Mgf, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::cert::key_type;
use crate::key::VerifyingKey;
use crate::tally::Tally;

/// `None`: one that no profile of ours knows in this place (SHA-512/224, SHA-512/256, SHAKE).
fn digest(hash: HashFunction) -> Option<DigestAlgorithm> {
    Some(match hash {
        HashFunction::Sha1 => DigestAlgorithm::Sha1,
        HashFunction::Sha2_224 => DigestAlgorithm::Sha224,
        HashFunction::Sha2_256 => DigestAlgorithm::Sha256,
        HashFunction::Sha2_384 => DigestAlgorithm::Sha384,
        HashFunction::Sha2_512 => DigestAlgorithm::Sha512,
        HashFunction::Sha3_224 => DigestAlgorithm::Sha3_224,
        HashFunction::Sha3_256 => DigestAlgorithm::Sha3_256,
        HashFunction::Sha3_384 => DigestAlgorithm::Sha3_384,
        HashFunction::Sha3_512 => DigestAlgorithm::Sha3_512,
        _ => return None,
    })
}

fn key(der: &[u8]) -> Option<VerifyingKey> {
    let spki = SubjectPublicKeyInfoOwned::from_der(der).ok()?;
    VerifyingKey::new(&spki, key_type(&spki))
}

fn holds(der: &[u8], scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
    key(der).is_some_and(|key| key.verify_message(scheme, message, signature))
}

/// Our rule for what is acceptable: DigestInfo has its NULL (RFC 8017 §9.2, note 2, allows to refuse the others), so only what
/// encodes to the same bytes holds.
#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::{TestFlag, TestName, TestSet};
    let mut tally = Tally::new("RSASSA-PKCS1-v1_5");
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let Some(digest) = digest(group.hash) else {
                tally.leave_out(group.tests.len());
                continue;
            };
            let key = key(&group.der).unwrap();
            for test in group.tests {
                let scheme = SignatureScheme::RsaPkcs1(digest);
                tally.count(
                    (test.tc_id, &test.comment),
                    test.result,
                    !test.flags.contains(&TestFlag::MissingNull),
                    key.verify_message(scheme, &test.msg, &test.sig),
                );
            }
        }
    }
    tally.finish((145, 5026, 20, 1031));
}

/// Masks other than MGF1 are left out: RFC 4055 §2.2 has no other. Our rule for what is acceptable: weak digests are taken, and
/// the signature is called weak.
#[test]
fn rsa_pss() {
    use rsa_pss_verify::{TestName, TestSet};
    let mut tally = Tally::new("RSASSA-PSS");
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let hashes = (digest(group.hash), group.mgf_hash.and_then(digest));
            let ((Some(digest), Some(mgf)), Mgf::Mgf1) = (hashes, group.mgf) else {
                tally.leave_out(group.tests.len());
                continue;
            };
            let scheme = SignatureScheme::RsaPss {
                digest,
                mgf,
                salt_len: group.salt_size,
            };
            for test in group.tests {
                tally.count(
                    (test.tc_id, &test.comment),
                    test.result,
                    true,
                    holds(&group.der, scheme, &test.msg, &test.sig),
                );
            }
        }
    }
    tally.finish((1734, 768, 0, 995));
}

/// As DER Ecdsa-Sig-Value, on the curves that certificates may have. Nothing is acceptable that is not valid: a signature that
/// is no DER is refused.
#[test]
fn ecdsa() {
    use ecdsa::{TestGroupTypeId, TestName, TestSet};
    use wycheproof::EllipticCurve as Curve;
    let mut tally = Tally::new("ECDSA");
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let known = matches!(
                group.key.curve,
                Curve::Secp256r1
                    | Curve::Secp384r1
                    | Curve::Secp521r1
                    | Curve::Brainpool256r1
                    | Curve::Brainpool384r1
            );
            let (Some(digest), true, TestGroupTypeId::Ecdsa) =
                (digest(group.hash), known, group.test_type)
            else {
                tally.leave_out(group.tests.len());
                continue;
            };
            let key = key(&group.der);
            for test in group.tests {
                let scheme = SignatureScheme::Ecdsa(digest);
                let good = key
                    .as_ref()
                    .is_some_and(|key| key.verify_message(scheme, &test.msg, &test.sig));
                tally.count((test.tc_id, &test.comment), test.result, false, good);
            }
        }
    }
    tally.finish((3097, 4605, 0, 22201));
}

/// Nothing is acceptable that is not valid.
#[test]
fn ed25519() {
    use eddsa::{TestName, TestSet};
    let mut tally = Tally::new("Ed25519");
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            let good = holds(&group.der, SignatureScheme::Ed25519, &test.msg, &test.sig);
            tally.count((test.tc_id, &test.comment), test.result, false, good);
        }
    }
    tally.finish((88, 63, 0, 0));
}
