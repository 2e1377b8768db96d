//! EnvelopedData and AuthEnvelopedData, with keys that open: not a byte of what fails, and only what was encrypted where the
//! cipher authenticates.

use privyseal_smime::{DecryptOutcome, decrypt};

use crate::opener::Opener;
use crate::pieces::{Pieces, assert_alike};
use crate::seeds;

pub fn run(data: &[u8]) {
    let ask = |mut message: Pieces<'_>| {
        let mut plain = Vec::new();
        let result = decrypt(&mut message, &Opener, &mut plain);
        (result, plain)
    };
    let (whole, plain) = ask(Pieces::whole(data));
    let (small, same) = ask(Pieces::small(data));
    assert_alike(&whole, &small);
    assert_eq!(plain, same);
    match whole {
        Ok(outcome) => opened(data, &plain, &outcome),
        Err(error) => {
            assert!(plain.is_empty(), "{} bytes before {error}", plain.len());
        }
    }
}

fn opened(data: &[u8], plain: &[u8], outcome: &DecryptOutcome) {
    assert!(plain.len() <= data.len());
    assert!(outcome.recipients > 0);
    let authenticates = outcome.cipher.ends_with("-gcm") || outcome.cipher.ends_with("poly1305");
    assert_eq!(outcome.authenticated, authenticates, "{}", outcome.cipher);
    if authenticates {
        assert!(
            seeds::was_encrypted(plain),
            "authenticated, and nobody encrypted it: {}",
            plain.escape_ascii()
        );
    }
}
