//! Several keys of ours in one message, of which some fail.

use std::cell::RefCell;

use zeroize::Zeroizing;

use super::support::{Parts, cbc_parts, content, gcm_parts, open, pki, random, refusal};
use crate::cert::Certificate;
use crate::enveloped::EncryptOptions;
use crate::enveloped::address::recipient_info;
use crate::error::{Error, Result};
use crate::key::{KeyError, KeyOpener, RecipientId, RsaPadding};

/// Certificates with what opening with each gives: a key (right or wrong) or an error.
struct Scripted {
    keys: Vec<(Certificate, std::result::Result<Vec<u8>, KeyError>)>,
    asked: RefCell<Vec<String>>,
    /// every certificate is taken for the recipient, as with equal key identifiers
    any: bool,
}

impl Scripted {
    fn new(keys: Vec<(Certificate, std::result::Result<Vec<u8>, KeyError>)>) -> Self {
        Scripted {
            keys,
            asked: RefCell::default(),
            any: false,
        }
    }
}

impl KeyOpener for Scripted {
    fn find(&self, id: &RecipientId) -> Vec<Certificate> {
        self.keys
            .iter()
            .map(|(certificate, _)| certificate.clone())
            .filter(|c| self.any || id.matches(c))
            .collect()
    }

    fn rsa_unwrap(
        &self,
        certificate: &Certificate,
        _: &RsaPadding,
        _: &[u8],
        _: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.asked.borrow_mut().push(certificate.subject());
        let (_, result) = self.keys.iter().find(|(c, _)| c == certificate).unwrap();
        result.clone().map(Zeroizing::new)
    }

    fn ecdh(&self, certificate: &Certificate, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.asked.borrow_mut().push(certificate.subject());
        Ok(Zeroizing::new(random(32)))
    }
}

fn removed() -> KeyError {
    KeyError::new("TokenRemoved", "the card was pulled")
}

#[test]
fn the_next_key_is_tried_where_one_is_wrong_or_fails() {
    let pki = pki();
    let (a, b, p256) = (
        pki.certificate("rsa"),
        pki.certificate("rsa-other"),
        pki.certificate("p256"),
    );
    let plain = content(200_000);
    let (parts, fixed) = gcm_parts(&pki, &plain, &[3; 12], 16, &[]);
    let info = |c: &Certificate| recipient_info(c, &fixed.key, &EncryptOptions::default()).unwrap();
    let message = Parts {
        infos: vec![info(&p256), info(&a), info(&b)],
        ..parts.clone()
    }
    .message();

    for first in [Ok(random(32)), Ok(random(16)), Err(removed())] {
        let opener = Scripted::new(vec![
            (p256.clone(), Ok(vec![])),
            (a.clone(), first),
            (b.clone(), Ok(fixed.key.clone())),
        ]);
        let (opened, outcome) = open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
        assert!(opened == plain);
        assert_eq!(outcome.certificate, b);
        assert_eq!(
            *opener.asked.borrow(),
            ["CN=p256", "CN=rsa", "CN=rsa-other"]
        );
    }
    // a right key is not followed by another question
    let opener = Scripted::new(vec![
        (a.clone(), Ok(fixed.key.clone())),
        (b.clone(), Err(removed())),
    ]);
    assert!(open(&message, &opener).is_ok());
    assert_eq!(*opener.asked.borrow(), ["CN=rsa"]);
}

#[test]
fn the_error_is_the_device_if_one_failed_and_else_always_the_same() {
    let pki = pki();
    let (a, b) = (pki.certificate("rsa"), pki.certificate("rsa-other"));
    let (parts, fixed) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let info = |c: &Certificate| recipient_info(c, &fixed.key, &EncryptOptions::default()).unwrap();
    let message = Parts {
        infos: vec![info(&a), info(&b)],
        ..parts.clone()
    }
    .message();
    for results in [
        [Err(removed()), Ok(random(32))],
        [Ok(random(32)), Err(removed())],
        [Err(removed()), Err(removed())],
    ] {
        let [first, second] = results;
        let opener = Scripted::new(vec![(a.clone(), first), (b.clone(), second)]);
        assert!(matches!(
            refusal(&message, &opener),
            Error::Key(KeyError {
                name: "TokenRemoved",
                ..
            })
        ));
    }
    let opener = Scripted::new(vec![
        (a.clone(), Ok(random(32))),
        (b.clone(), Ok(random(32))),
    ]);
    assert!(matches!(
        refusal(&message, &opener),
        Error::DecryptionFailed
    ));
    let opener = Scripted::new(vec![(a, Ok(random(16))), (b, Ok(vec![]))]);
    assert!(matches!(
        refusal(&message, &opener),
        Error::DecryptionFailed
    ));
}

#[test]
fn a_wrong_key_for_cbc_fails_by_its_padding() {
    let pki = pki();
    let certificate = pki.certificate("rsa");
    let (parts, fixed) = cbc_parts(&pki, &content(1000));
    let mut failed = 0;
    for _ in 0..64 {
        let opener = Scripted::new(vec![(certificate.clone(), Ok(random(fixed.key.len())))]);
        match open(&parts.message(), &opener) {
            // one in 256 looks right: CBC cannot tell, and says so
            Ok((_, outcome)) => assert!(!outcome.authenticated),
            Err((error, written)) => {
                assert!(matches!(error, Error::DecryptionFailed) && written.is_empty());
                failed += 1;
            }
        }
    }
    assert!(failed >= 56, "{failed} of 64 wrong keys were noticed");
}

#[test]
fn eight_keys_are_tried_and_not_nine() {
    let pki = pki();
    let certificate = pki.certificate("rsa");
    let (parts, fixed) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let message = Parts {
        infos: vec![parts.infos[0].clone(); 20],
        ..parts
    }
    .message();
    let opener = Scripted::new(vec![(certificate, Ok(random(fixed.key.len())))]);
    assert!(matches!(
        refusal(&message, &opener),
        Error::DecryptionFailed
    ));
    assert_eq!(opener.asked.borrow().len(), 8);
}

/// RFC 8551 §2.6
#[test]
fn every_certificate_that_a_recipient_may_mean_is_tried() {
    let pki = pki();
    let (a, b) = (pki.certificate("rsa"), pki.certificate("rsa-other"));
    let (parts, fixed) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let mut opener = Scripted::new(vec![
        (b, Ok(random(32))),
        (a.clone(), Ok(fixed.key.clone())),
    ]);
    opener.any = true;
    let (_, outcome) = open(&parts.message(), &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
    assert_eq!(outcome.certificate, a);
    assert_eq!(*opener.asked.borrow(), ["CN=rsa-other", "CN=rsa"]);
}
