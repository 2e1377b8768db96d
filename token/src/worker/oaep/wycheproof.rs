//! Wycheproof's vectors for RSAES-OAEP through [`decode`]. A software key stands for a token that does CKM_RSA_X_509.

use rsa::pkcs8::DecodePrivateKey;
use rsa::traits::PublicKeyParts;
use wycheproof::rsa_oaep::{TestName, TestSet};
use wycheproof::{HashFunction, TestResult};
use zeroize::Zeroizing;

use super::{decode, select};
use crate::Hash;

/// `None`: one that S/MIME has no name for in this place.
fn hash(hash: HashFunction) -> Option<Hash> {
    Some(match hash {
        HashFunction::Sha1 => Hash::Sha1,
        HashFunction::Sha2_224 => Hash::Sha224,
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        _ => return None,
    })
}

/// RSADP (RFC 8017 §5.1.2); the block is as long as the modulus. `None`: a ciphertext that the worker shows to no token (longer
/// than the modulus), or that a token refuses (not below it).
fn raw(key: &rsa::PrivateKey, encrypted: &[u8]) -> Option<Vec<u8>> {
    if encrypted.len() > key.size() {
        return None;
    }
    let number = rsa::BoxedUint::from_be_slice(encrypted, key.n_bits_precision()).ok()?;
    if number >= *key.n().as_ref() {
        return None;
    }
    let none = None::<&mut getrandom::SysRng>;
    let block = rsa::hazmat::rsa_decrypt(none, key, &number).ok()?;
    let bytes = block.to_be_bytes();
    Some(bytes[bytes.len() - key.size()..].to_vec())
}

/// Our rule for what is acceptable (a ciphertext that is 0 or 1 as a number): it opens, since it is rightly padded.
#[test]
fn valid_vectors_open_and_invalid_ones_give_the_substitute() {
    let (mut opened, mut substituted, mut left_out) = (0, 0, 0);
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let (Some(digest), Some(mgf)) = (hash(group.hash), hash(group.mgf_hash)) else {
                left_out += group.tests.len();
                continue;
            };
            let key = rsa::PrivateKey::from_pkcs8_der(&group.pkcs8).unwrap();
            for test in group.tests {
                let block = raw(&key, &test.ct);
                let lengths = [16, 24, 32, test.pt.len()];
                for len in lengths {
                    let mut out = Zeroizing::new(vec![0xee; len]);
                    if let Some(mut block) = block.clone() {
                        let good = decode(&mut block, digest, mgf, &test.label, len);
                        select(good, &block, &mut out);
                    }
                    let right = test.result != TestResult::Invalid && len == test.pt.len();
                    let expected = if right {
                        test.pt.to_vec()
                    } else {
                        vec![0xee; len]
                    };
                    assert_eq!(
                        *out, expected,
                        "{name:?} {} ({}), {len} bytes",
                        test.tc_id, test.comment
                    );
                    if right {
                        opened += 1;
                    } else {
                        substituted += 1;
                    }
                }
            }
        }
    }
    println!("RSAES-OAEP: {opened} opened, {substituted} substituted, {left_out} left out");
    // all of the crate's vectors; left out are digests that no S/MIME message names for OAEP
    assert_eq!((opened, substituted, left_out), (666, 3186, 135));
}
