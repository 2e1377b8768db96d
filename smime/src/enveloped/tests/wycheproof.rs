//! Wycheproof's vectors for what opens a message: ciphers, key wrap, the sender's points.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, agree};
use subtle::ConstantTimeEq;
use wycheproof::{aead, cipher, ecdh, keywrap, xdh};

use super::support::{FixedKey, Parts, chacha_parts, gcm_parameters, gcm_parts, open, pki};
use crate::algorithm::{Cipher, KeyWrap};
use crate::ber::{id, tlv};
use crate::cert::{Curve, KeyType};
use crate::enveloped::cbc::{CbcCheck, CbcDecryptor};
use crate::enveloped::originator::{Certificates, Originator};
use crate::enveloped::{chacha, gcm, wrap};
use crate::tally::Tally;

/// As pass 1 and pass 2 of a decryption do it, in pieces.
fn open_gcm(key: &[u8], nonce: &[u8], aad: &[u8], encrypted: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
    // GCMParameters with an empty nonce are refused (`envelope::gcm_parameters`)
    if nonce.is_empty() {
        return None;
    }
    let (_, mut authenticator) = gcm::start(key, nonce).ok()?;
    for piece in encrypted.chunks(7) {
        authenticator.update(piece).ok()?;
    }
    if !bool::from(authenticator.finish(aad).ok()?.ct_eq(tag)) {
        return None;
    }
    let (mut counter, _) = gcm::start(key, nonce).ok()?;
    let mut plain = Vec::new();
    for piece in encrypted.chunks(7) {
        let mut out = [0; 7 + 16];
        counter.apply(piece, &mut out).ok()?;
        plain.extend_from_slice(&out[..piece.len()]);
    }
    Some(plain)
}

/// The same in a whole message, where nothing is authenticated beside the content and the nonce is one that we take.
fn open_message(
    (mut parts, mut opener): (Parts, FixedKey),
    key: &[u8],
    parameters: Vec<u8>,
    encrypted: &[u8],
    tag: &[u8],
) -> Option<Vec<u8>> {
    opener.key = key.to_vec();
    parts.parameters = parameters;
    parts.encrypted = encrypted.to_vec();
    parts.mac = Some(tag.to_vec());
    open(&parts.message(), &opener).ok().map(|(plain, _)| plain)
}

/// Our rule for what is acceptable: every nonce but an empty one is (SP 800-38D §5.2.1.1).
#[test]
fn aes_gcm() {
    let pki = pki();
    let mut tally = Tally::new("AES-GCM");
    let mut messages = 0;
    for group in aead::TestSet::load(aead::TestName::AesGcm)
        .unwrap()
        .test_groups
    {
        let cipher = match group.key_size {
            128 => Cipher::Aes128Gcm,
            192 => Cipher::Aes192Gcm,
            _ => Cipher::Aes256Gcm,
        };
        for test in group.tests {
            let opened = open_gcm(&test.key, &test.nonce, &test.aad, &test.ct, &test.tag);
            let right = opened.as_deref() == Some(&test.pt);
            assert!(right || opened.is_none(), "{}: other content", test.tc_id);
            tally.count((test.tc_id, &test.comment), test.result, true, right);
            if test.aad.is_empty() && test.nonce.len() <= 64 {
                let (mut parts, opener) = gcm_parts(&pki, b"", &test.nonce, 16, &[]);
                parts.cipher = cipher.oid();
                let parameters = gcm_parameters(&test.nonce, 16);
                let parts = (parts, opener);
                let whole = open_message(parts, &test.key, parameters, &test.ct, &test.tag);
                assert_eq!(whole, opened, "{}", test.tc_id);
                messages += 1;
            }
        }
    }
    assert_eq!(messages, 256);
    tally.finish((229, 87, 0, 0));
}

/// Nonces of 12 bytes, or it is no ChaCha20-Poly1305 (RFC 8103 §2).
#[test]
fn chacha20_poly1305() {
    let pki = pki();
    let mut tally = Tally::new("ChaCha20-Poly1305");
    let mut messages = 0;
    for group in aead::TestSet::load(aead::TestName::ChaCha20Poly1305)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let opened = <&[u8; 12]>::try_from(&test.nonce[..])
                .ok()
                .and_then(|nonce| {
                    let (mut stream, mut authenticator) =
                        chacha::start(&test.key, nonce, &test.aad).ok()?;
                    let mut plain = Vec::new();
                    for piece in test.ct.chunks(7) {
                        authenticator.update(piece).ok()?;
                        let mut out = [0; 7];
                        stream.apply(piece, &mut out).ok()?;
                        plain.extend_from_slice(&out[..piece.len()]);
                    }
                    bool::from(authenticator.finish().ct_eq(&test.tag)).then_some(plain)
                });
            let right = opened.as_deref() == Some(&test.pt);
            assert!(right || opened.is_none(), "{}: other content", test.tc_id);
            tally.count((test.tc_id, &test.comment), test.result, false, right);
            if test.aad.is_empty() {
                let parts = chacha_parts(&pki, b"", &[]);
                let parameters = tlv(id::OCTET_STRING, &test.nonce);
                let whole = open_message(parts, &test.key, parameters, &test.ct, &test.tag);
                assert_eq!(whole, opened, "{}", test.tc_id);
                messages += 1;
            }
        }
    }
    assert_eq!(messages, 54);
    tally.finish((256, 69, 0, 0));
}

#[test]
fn aes_cbc() {
    let mut tally = Tally::new("AES-CBC-PKCS5");
    for group in cipher::TestSet::load(cipher::TestName::AesCbcPkcs5)
        .unwrap()
        .test_groups
    {
        let cipher = match group.key_size {
            128 => Cipher::Aes128Cbc,
            192 => Cipher::Aes192Cbc,
            _ => Cipher::Aes256Cbc,
        };
        for test in group.tests {
            let mut check = CbcCheck::new(cipher, &test.nonce);
            test.ct.chunks(7).for_each(|piece| check.update(piece));
            let opened = matches!(check.finish(&test.key), Ok(true)).then(|| {
                let mut cbc = CbcDecryptor::new(cipher, &test.key, &test.nonce).unwrap();
                let mut out = vec![0; test.ct.len() + 32];
                let len = cbc.update(&test.ct, &mut out).unwrap();
                let rest = cbc.finish(&mut out[len..]).unwrap();
                out.truncate(len + rest);
                out
            });
            let right = opened.as_deref() == Some(&test.pt);
            assert!(right || opened.is_none(), "{}: other content", test.tc_id);
            tally.count((test.tc_id, &test.comment), test.result, false, right);
        }
    }
    tally.finish((72, 144, 0, 0));
}

/// Keys of 16, 24 and 32 bytes: who unwraps says how long the key is, and that is what our ciphers take. Our rule for what is
/// acceptable: nothing of another length.
#[test]
fn aes_key_wrap() {
    let mut tally = Tally::new("AES key wrap");
    for group in keywrap::TestSet::load(keywrap::TestName::AesKeyWrap)
        .unwrap()
        .test_groups
    {
        let with = match group.key_size {
            128 => KeyWrap::Aes128,
            192 => KeyWrap::Aes192,
            _ => KeyWrap::Aes256,
        };
        for test in group.tests {
            let opened = wrap::unwrap(with, &test.key, &test.ct).map(|key| key.to_vec());
            let right = opened.as_deref() == Some(&test.pt);
            assert!(right || opened.is_none(), "{}: another key", test.tc_id);
            let usable = matches!(test.pt.len(), 16 | 24 | 32);
            tally.count((test.tc_id, &test.comment), test.result, usable, right);
            if right {
                assert_eq!(wrap::wrap(with, &test.key, &test.pt).unwrap(), test.ct[..]);
            }
        }
    }
    tally.finish((36, 129, 3, 0));
}

/// The sender's SubjectPublicKeyInfo as an OriginatorPublicKey, `[0] [1] IMPLICIT`, and the point that goes to the token.
fn point_of(spki: &[u8], key_type: KeyType) -> Option<Vec<u8>> {
    let mut key = spki.to_vec();
    *key.first_mut()? = id::context_constructed(1);
    let element = tlv(id::context_constructed(0), &key);
    let nowhere = Certificates::new(None);
    let originator = Originator::parse(&element, key_type, &nowhere).ok()?;
    originator.point_for(key_type)
}

fn secret(
    algorithm: &'static agreement::Algorithm,
    private: &[u8],
    point: &[u8],
) -> Option<Vec<u8>> {
    let key = PrivateKey::from_private_key(algorithm, private).unwrap();
    let peer = UnparsedPublicKey::new(algorithm, point);
    agree(&key, peer, (), |secret| Ok(secret.to_vec())).ok()
}

/// The token computes the secret; which points it gets is ours, and it gets none that is not on its key's curve. Our rule for
/// what is acceptable: points in each of their forms are taken. So is what is odd as DER but right as BER, and a key that names
/// no curve, which is the recipient's then; where we take it the secret must be right. A curve by parameters is never taken.
#[test]
fn ecdh() {
    use ecdh::{TestFlag, TestGroupTypeId, TestName, TestSet};
    use wycheproof::EllipticCurve;
    let mut tally = Tally::new("ECDH");
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let (curve, algorithm) = match group.curve {
                EllipticCurve::Secp256r1 => (Curve::P256, &agreement::ECDH_P256),
                EllipticCurve::Secp384r1 => (Curve::P384, &agreement::ECDH_P384),
                EllipticCurve::Secp521r1 => (Curve::P521, &agreement::ECDH_P521),
                _ => {
                    tally.leave_out(group.tests.len());
                    continue;
                }
            };
            for test in group.tests {
                let spki = match group.test_type {
                    TestGroupTypeId::Ecdh => test.public_key.to_vec(),
                    TestGroupTypeId::EcdhEcpoint => {
                        let algorithm = crate::algorithm_id::encode(
                            &const_oid::db::rfc5912::ID_EC_PUBLIC_KEY,
                            &tlv(id::OID, curve.oid().as_bytes()),
                        );
                        let bits = tlv(3, &[&[0], &test.public_key[..]].concat());
                        tlv(id::SEQUENCE, &[algorithm, bits].concat())
                    }
                };
                let len = curve.field_len();
                let private = &test.private_key;
                let significant = private.iter().position(|b| *b != 0).unwrap_or(0);
                let mut number = vec![0; len.saturating_sub(private.len() - significant)];
                number.extend_from_slice(&private[significant..]);
                let found = point_of(&spki, KeyType::Ec(curve)).map(|point| {
                    assert_eq!((point.len(), point[0]), (2 * len + 1, 4));
                    // every point that gets so far is a good one
                    secret(algorithm, &number, &point).unwrap()
                });
                let right = found.as_deref() == Some(&test.shared_secret);
                let compressed = test.flags.contains(&TestFlag::CompressedPoint);
                let rule = compressed || found.is_some();
                tally.count((test.tc_id, &test.comment), test.result, rule, right);
            }
        }
    }
    tally.finish((3521, 860, 691, 6016));
}

/// Our rule for what is acceptable: everything but a secret of zeros, which everybody knows (RFC 7748 §6.1).
#[test]
fn x25519() {
    let mut tally = Tally::new("X25519");
    for group in xdh::TestSet::load(xdh::TestName::X25519)
        .unwrap()
        .test_groups
    {
        for test in group.tests {
            let algorithm = crate::algorithm_id::encode(&const_oid::db::rfc8410::ID_X_25519, &[]);
            let bits = tlv(3, &[&[0], &test.public_key[..]].concat());
            let spki = tlv(id::SEQUENCE, &[algorithm, bits].concat());
            let found = point_of(&spki, KeyType::X25519)
                .and_then(|point| secret(&agreement::X25519, &test.private_key, &point));
            let right = found.as_deref() == Some(&test.shared_secret);
            let zero = test.shared_secret.iter().all(|b| *b == 0);
            tally.count((test.tc_id, &test.comment), test.result, !zero, right);
        }
    }
    tally.finish((487, 31, 254, 0));
}
