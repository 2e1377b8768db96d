//! PINs of SoftHSM: of keys that want them at every use, kept for a batch, changed, and set by the security officer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod common;

use common::{Demo, PIN, eventually, openssl, pin};
use privyseal_token::{Batch, Error, Hash, KeyPin, KeyRef, SignScheme, UnwrapScheme};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PKCS1: SignScheme = SignScheme::RsaPkcs1(Hash::Sha256);

fn entry(pin: Zeroizing<Vec<u8>>, final_try: bool) -> Option<KeyPin> {
    Some(KeyPin { pin, final_try })
}

/// A key that wants its PIN at every use; its public half is in `each.der`.
fn each(demo: &Demo) -> KeyRef {
    demo.pkcs11_tool("--keypairgen --key-type rsa:2048 --id c0 --label each --always-auth");
    demo.pkcs11_tool("--read-object --type pubkey --id c0 -o each.der");
    KeyRef {
        id: vec![0xc0],
        spki: demo.read("each.der"),
    }
}

#[test]
fn a_key_that_wants_its_pin_at_every_use_gets_one_login_a_use() {
    let demo = Demo::new();
    let key = each(&demo);
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    module.login(&token, Some(pin()), false).unwrap();
    demo.write("message", b"to be signed");
    let digest = Sha256::digest(b"to be signed");
    assert_eq!(
        module.sign(&token, &key, PKCS1, &digest),
        Err(Error::KeyPinRequired)
    );
    for uses in 1..=2 {
        let signature = module
            .sign_with(&token, &key, PKCS1, &digest, entry(pin(), false))
            .unwrap();
        demo.write("signature", &signature);
        openssl(
            demo.dir(),
            "dgst -sha256 -keyform DER -verify each.der -signature signature message",
        );
        assert_eq!(demo.logins(), 1 + uses);
    }
    let wrong = || zeroize::Zeroizing::new(b"999999".to_vec());
    let sign = |pin, last| module.sign_with(&token, &key, PKCS1, &digest, entry(pin, last));
    assert_eq!(sign(wrong(), false), Err(Error::BadPin));
    assert_eq!(sign(wrong(), false), Err(Error::BadPinFewTriesLeft));
    assert_eq!(sign(wrong(), false), Err(Error::BadPinFinalTry));
    assert_eq!(demo.logins(), 5);
    sign(pin(), true).unwrap();
    // the login of the token is none of a wrong context PIN's business
    assert!(demo.token(&module).unlocked);
    module
        .sign(&token, &demo.key(&module, "me-rsa-sign"), PKCS1, &digest)
        .unwrap();

    // the same for opening: the PIN is asked for before the ciphertext is looked at
    let wrapped = vec![1; 256];
    let scheme = UnwrapScheme::RsaPkcs1;
    let locked = module.unwrap_key(&token, &key, scheme.clone(), &wrapped, 16);
    assert_eq!(locked.unwrap_err(), Error::KeyPinRequired);
    demo.write("secret", &[3; 16]);
    openssl(
        demo.dir(),
        "pkeyutl -encrypt -pubin -keyform DER -inkey each.der -in secret -out wrapped",
    );
    let wrapped = demo.read("wrapped");
    let opened = module.unwrap_key_with(&token, &key, scheme, &wrapped, 16, entry(pin(), false));
    assert_eq!(opened.unwrap().as_slice(), [3; 16]);
}

#[test]
fn one_entry_serves_a_batch_of_uses_where_that_is_allowed() {
    let demo = Demo::new();
    let key = each(&demo);
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    let uses = |uses, seconds| {
        module.set_batch(Some(Batch { uses, seconds }));
    };
    let sign = |entry| {
        module
            .sign_with(&token, &key, PKCS1, &[7; 32], entry)
            .map(|_| ())
    };
    let wants_pin = Err(Error::KeyPinRequired);
    let login = || module.login(&token, Some(pin()), false).unwrap();

    uses(Some(2), None);
    login();
    assert!(demo.token(&module).pin_kept);
    assert_eq!([sign(None), sign(None)], [Ok(()), Ok(())]);
    assert!(!demo.token(&module).pin_kept);
    assert_eq!(sign(None), wants_pin);
    // the use that it was entered for is one of the two
    assert_eq!(sign(entry(pin(), false)), Ok(()));
    assert_eq!(sign(None), Ok(()));
    assert_eq!(sign(None), wants_pin);
    assert_eq!(demo.logins(), 1 + 2 + 1 + 1);

    // for no use at all
    let kept = KeyPin {
        pin: pin(),
        final_try: false,
    };
    module.keep_pin(&token, &key, kept).unwrap();
    assert_eq!([sign(None), sign(None)], [Ok(()), Ok(())]);
    assert_eq!(sign(None), wants_pin);

    // a lock ends it
    login_again(&module, &token);
    assert!(demo.token(&module).pin_kept);
    module.logout(&token).unwrap();
    assert!(!demo.token(&module).pin_kept);
    uses(None, Some(1));
    login();
    assert_eq!(sign(None), Ok(()));
    eventually("its time is over", || !demo.token(&module).pin_kept);
    assert_eq!(sign(None), wants_pin);

    // a PIN that is no longer right is sent once, counted, and gone
    module.logout(&token).unwrap();
    uses(Some(100), None);
    login();
    assert_eq!(sign(None), Ok(()));
    let wrong = || Zeroizing::new(b"999999".to_vec());
    assert_eq!(sign(entry(wrong(), false)), Err(Error::BadPin));
    assert!(!demo.token(&module).pin_kept);
    assert_eq!(sign(None), wants_pin);
}

fn login_again(module: &privyseal_token::Module, token: &privyseal_token::TokenId) {
    module.logout(token).unwrap();
    module.login(token, Some(pin()), false).unwrap();
}

#[test]
fn a_pin_is_changed_by_the_old_one_and_set_by_the_security_officer() {
    let demo = Demo::new();
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    let bytes = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
    let change = |old: &str, new: &str| module.change_pin(&token, bytes(old), bytes(new), false);
    let login = |pin: &str| {
        let result = module.login(&token, Some(bytes(pin)), false);
        module.logout(&token).unwrap();
        result
    };
    module.login(&token, Some(pin()), false).unwrap();
    assert_eq!(change("999999", "n3w-one"), Err(Error::BadPin));
    // too short: nothing is sent
    let before = demo.logins();
    assert_eq!(change(PIN, "1"), Err(Error::PinInvalid));
    assert_eq!(change(PIN, ""), Err(Error::PinInvalid));
    assert_eq!(demo.logins(), before);
    assert_eq!(change(PIN, "n3w-one"), Ok(()));
    assert!(!demo.token(&module).unlocked, "locked afterwards");
    assert_eq!(login(PIN), Err(Error::BadPin));
    assert_eq!(login("n3w-one"), Ok(()));

    let unblock = |puk: &str, last| module.unblock_pin(&token, bytes(puk), bytes("an0ther"), last);
    assert_eq!(unblock("999999", false), Err(Error::BadPin));
    assert_eq!(unblock("999999", false), Err(Error::BadPinFewTriesLeft));
    assert!(demo.token(&module).so_pin_final_try);
    let before = demo.logins();
    assert_eq!(
        unblock("privyseal-demo-so", false),
        Err(Error::BadPinFinalTry)
    );
    assert_eq!(demo.logins(), before, "not sent");
    assert_eq!(unblock("privyseal-demo-so", true), Ok(()));
    assert_eq!(login("an0ther"), Ok(()));
    module.login(&token, Some(bytes("an0ther")), false).unwrap();
    module
        .sign(&token, &demo.key(&module, "me-rsa-sign"), PKCS1, &[7; 32])
        .unwrap();
    assert!(!demo.spied().contains("an0ther"));
}
