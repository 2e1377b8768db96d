//! Against published vectors and against aws-lc's one-shot GCM.

#![allow(clippy::arithmetic_side_effects, reason = "a test may fail loudly")]

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{CHUNK, Counter, GcmEncryptor, MAX_LEN, start};
use crate::error::Error;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
        .collect()
}

/// Ciphertext and tag, in pieces of `step` bytes.
fn encrypt(key: &[u8], nonce: &[u8], aad: &[u8], plain: &[u8], step: usize) -> (Vec<u8>, [u8; 16]) {
    let mut gcm = GcmEncryptor::new(key, nonce).unwrap();
    let mut all = Vec::new();
    for piece in plain.chunks(step) {
        let mut out = vec![0; piece.len() + 16];
        gcm.update(piece, &mut out).unwrap();
        all.extend_from_slice(&out[..piece.len()]);
    }
    (all, gcm.finish(aad).unwrap())
}

/// Test cases 2 and 4 to 6 of McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", appendix B.
#[test]
fn published_vectors_with_nonces_of_8_12_and_60_bytes() {
    let zero = "00000000000000000000000000000000";
    let key = "feffe9928665731c6d6a8f9467308308";
    let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
                 b16aedf5aa0de657ba637b39";
    let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let cases = [
        (
            zero,
            "000000000000000000000000",
            "",
            zero,
            "0388dace60b6a392f328c2b971b2fe78",
            "ab6e47d42cec13bdf53a67b21257bddf",
        ),
        (
            key,
            "cafebabefacedbaddecaf888",
            aad,
            plain,
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05\
             1ba30b396a0aac973d58e091",
            "5bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            key,
            "cafebabefacedbad",
            aad,
            plain,
            "61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c742373806900e49f24b22b097544d4896b42\
             4989b5e1ebac0f07c23f4598",
            "3612d2e79e3b0785561be14aaca2fccb",
        ),
        (
            key,
            "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b5254\
             16aedbf5a0de6a57a637b39b",
            aad,
            plain,
            "8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca701e4a9a4fba43c90ccdcb281d48c7c6f\
             d62875d2aca417034c34aee5",
            "619cc5aefffe0bfa462af43c1699d050",
        ),
    ];
    for (key, nonce, aad, plain, encrypted, tag) in cases {
        let (got, got_tag) = encrypt(&unhex(key), &unhex(nonce), &unhex(aad), &unhex(plain), 7);
        assert_eq!(
            (got, got_tag.to_vec()),
            (unhex(encrypted), unhex(tag)),
            "nonce {nonce}"
        );
    }
}

#[test]
fn any_length_in_any_pieces_is_what_the_one_shot_cipher_makes() {
    for (len, key_len) in [(16, &AES_128_GCM), (24, &AES_192_GCM), (32, &AES_256_GCM)] {
        let key: Vec<u8> = (0..len).collect();
        let nonce = [9; 12];
        for aad_len in [0, 1, 16, 33, 300] {
            let aad = vec![0xa5; aad_len];
            let long = [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17];
            for plain_len in [0, 1, 15, 16, 17, 31, 32, 255, 256, 4097]
                .into_iter()
                .chain(long)
            {
                let plain: Vec<u8> = (0..plain_len).map(|n| (n * 7) as u8).collect();
                let one_shot = LessSafeKey::new(UnboundKey::new(key_len, &key).unwrap());
                let mut expected = plain.clone();
                let nonce_of = Nonce::assume_unique_for_key(nonce);
                let tag = one_shot
                    .seal_in_place_separate_tag(nonce_of, Aad::from(&aad), &mut expected)
                    .unwrap();
                let steps = [1, 3, 16, 100, 5000, CHUNK - 1, CHUNK, 2 * CHUNK + 5];
                for step in steps.into_iter().filter(|s| s * 20_000 > plain_len) {
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
}

/// SP 800-38D §6.2: the counter is 32 bits wide; the other 96 never change.
#[test]
fn the_counter_wraps_without_touching_the_nonce() {
    let key = [1; 32];
    let mut block = [0xff; 16];
    let mut all = [0; 48 + 16];
    Counter::new(&key, block)
        .unwrap()
        .apply(&[0; 48], &mut all)
        .unwrap();
    let mut expected = Vec::new();
    for low in [u32::MAX, 0, 1] {
        block[12..].copy_from_slice(&low.to_be_bytes());
        let mut one = [0; 32];
        Counter::new(&key, block)
            .unwrap()
            .apply(&[0; 16], &mut one)
            .unwrap();
        expected.extend_from_slice(&one[..16]);
    }
    assert_eq!(all[..48], expected[..]);
}

#[test]
fn as_much_as_the_standard_allows_and_not_a_byte_more() {
    let (_, mut authenticator) = start(&[1; 32], &[2; 12]).unwrap();
    authenticator.length = MAX_LEN - 16;
    authenticator.update(&[0; 16]).unwrap();
    assert!(matches!(
        authenticator.update(&[0]),
        Err(Error::LimitExceeded { limit: MAX_LEN, .. })
    ));
}
