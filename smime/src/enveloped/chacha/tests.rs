//! Against RFC 8439 and against aws-lc's one-shot cipher.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{ChaChaEncryptor, MAX_LEN, start};
use crate::error::Error;

/// Ciphertext and tag, in pieces of `step` bytes.
fn encrypt(
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    plain: &[u8],
    step: usize,
) -> (Vec<u8>, [u8; 16]) {
    let mut chacha = ChaChaEncryptor::new(key, nonce, aad).unwrap();
    let mut all = Vec::new();
    for piece in plain.chunks(step) {
        let mut out = vec![0; piece.len()];
        chacha.update(piece, &mut out).unwrap();
        all.extend_from_slice(&out);
    }
    (all, chacha.finish())
}

/// RFC 8439 §2.8.2
#[test]
fn the_published_vector() {
    let key: Vec<u8> = (0x80..0xa0).collect();
    let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let aad = [
        0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
    ];
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                  sunscreen would be it.";
    let (encrypted, tag) = encrypt(&key, &nonce, &aad, plain, 7);
    assert_eq!(
        encrypted[..16],
        [
            0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb, 0x7b, 0x86, 0xaf, 0xbc, 0x53, 0xef,
            0x7e, 0xc2
        ]
    );
    assert_eq!(
        tag,
        [
            0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60,
            0x06, 0x91
        ]
    );
}

#[test]
fn any_length_in_any_pieces_is_what_the_one_shot_cipher_makes() {
    let key: Vec<u8> = (0..32).collect();
    let nonce = [9; 12];
    for aad_len in [0, 1, 16, 33, 300] {
        let aad = vec![0xa5; aad_len];
        for plain_len in [
            0usize, 1, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1023, 4097, 70_001,
        ] {
            let plain: Vec<u8> = (0..plain_len).map(|n| (n * 7) as u8).collect();
            let one_shot = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).unwrap());
            let mut expected = plain.clone();
            let tag = one_shot
                .seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(nonce),
                    Aad::from(&aad),
                    &mut expected,
                )
                .unwrap();
            for step in [1, 3, 16, 64, 100, 5000] {
                let (got, got_tag) = encrypt(&key, &nonce, &aad, &plain, step);
                assert!(got == expected, "{plain_len} bytes in steps of {step}");
                assert_eq!(
                    got_tag,
                    tag.as_ref(),
                    "{plain_len} bytes, {aad_len} beside, in steps of {step}"
                );
            }
        }
    }
}

#[test]
fn as_much_as_the_standard_allows_and_not_a_byte_more() {
    let (_, mut authenticator) = start(&[1; 32], &[2; 12], &[]).unwrap();
    authenticator.hash.set_length(MAX_LEN - 16);
    authenticator.update(&[0; 16]).unwrap();
    assert!(matches!(
        authenticator.update(&[0]),
        Err(Error::LimitExceeded { limit: MAX_LEN, .. })
    ));
}
