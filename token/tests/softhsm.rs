//! The library with its real worker and the real SoftHSM, from outside; openssl is the witness.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Demo, PIN, eventually, openssl, pin, worker};
use privyseal_token::{Error, Hash, KeyRef, Module, ModuleStatus, SignScheme, UnwrapScheme};
use sha2::{Digest, Sha256, Sha384, Sha512};

const PKCS1: SignScheme = SignScheme::RsaPkcs1(Hash::Sha256);

fn oaep(hash: Hash) -> UnwrapScheme {
    UnwrapScheme::RsaOaep {
        hash,
        mgf: hash,
        label: Vec::new(),
    }
}

#[test]
fn tokens_and_certificates_are_listed_before_login_and_keys_after_it() {
    let demo = Demo::new();
    let module = demo.start();
    let info = module.info().unwrap();
    assert!(info.manufacturer.contains("SoftHSM"), "{info:?}");
    let tokens = module.tokens();
    assert!(
        tokens.iter().any(|t| !t.initialized),
        "SoftHSM's spare token"
    );
    let token = demo.token(&module);
    assert!(token.login_required && !token.unlocked && token.user_pin_initialized);
    assert_eq!(token.id.0.len(), 32);
    assert!(token.mechanisms.contains(&"CKM_RSA_PKCS".to_owned()));
    let before = module.certificates(&token.id);
    assert_eq!(before.len(), 4);
    assert!(before.iter().all(|c| c.has_private_key && !c.id.is_empty()));

    module.login(&token.id, Some(pin()), false).unwrap();
    assert!(demo.token(&module).unlocked);
    let after = module.certificates(&token.id);
    for (name, sign, decrypt) in [
        ("me-rsa-sign", true, false),
        ("me-rsa-encrypt", false, true),
        ("me-ec-sign", true, false),
        ("me-ec-encrypt", false, true),
    ] {
        let der = demo.certificate(name);
        let found = after.iter().find(|c| c.der == der).unwrap();
        assert!(
            found.has_private_key && !found.always_authenticate,
            "{name}"
        );
        assert_eq!(
            (found.can_sign, found.can_decrypt),
            (sign, decrypt),
            "{name}"
        );
    }
    assert_eq!(after.len(), 4);
}

#[test]
fn openssl_accepts_every_kind_of_signature() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let message = b"to be signed";
    demo.write("message", message);
    let digests: [(Hash, &str, Vec<u8>); 4] = [
        (Hash::Sha1, "sha1", sha1::Sha1::digest(message).to_vec()),
        (Hash::Sha256, "sha256", Sha256::digest(message).to_vec()),
        (Hash::Sha384, "sha384", Sha384::digest(message).to_vec()),
        (Hash::Sha512, "sha512", Sha512::digest(message).to_vec()),
    ];
    let rsa = demo.key(&module, "me-rsa-sign");
    let ec = demo.key(&module, "me-ec-sign");
    let mut checked = 0;
    for (hash, name, digest) in &digests {
        let pss = SignScheme::RsaPss {
            hash: *hash,
            salt_len: u32::try_from(digest.len()).unwrap(),
        };
        let pss_options = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
        for (key, certificate, scheme, options) in [
            (&rsa, "me-rsa-sign", SignScheme::RsaPkcs1(*hash), ""),
            (&rsa, "me-rsa-sign", pss, pss_options),
            (&ec, "me-ec-sign", SignScheme::Ecdsa, ""),
        ] {
            let signature = module.sign(&token, key, scheme, digest).unwrap();
            demo.write("signature", &signature);
            demo.write("public", &demo.public_key(certificate));
            openssl(
                demo.dir(),
                &format!(
                    "dgst -{name} {options} -keyform DER -verify public -signature signature message"
                ),
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 12);
}

#[test]
fn what_does_not_fit_the_key_is_refused_by_name() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let digest = [7; 32];
    let rsa = demo.key(&module, "me-rsa-sign");
    let usage = module.sign(&token, &rsa, SignScheme::Ecdsa, &digest);
    assert!(matches!(usage, Err(Error::UsageNotAllowed(_))), "{usage:?}");
    let short = module.sign(&token, &rsa, PKCS1, &digest[..31]);
    assert!(
        matches!(short, Err(Error::UnsupportedAlgorithm(_))),
        "{short:?}"
    );
    // the encryption key must not sign (CKA_SIGN false)
    let other = module.sign(&token, &demo.key(&module, "me-rsa-encrypt"), PKCS1, &digest);
    assert!(matches!(other, Err(Error::UsageNotAllowed(_))), "{other:?}");
    let point = module.ecdh(&token, &demo.key(&module, "me-ec-encrypt"), &[4; 64]);
    assert!(
        matches!(point, Err(Error::UnsupportedAlgorithm(_))),
        "{point:?}"
    );
    // and the token still works
    module.sign(&token, &rsa, PKCS1, &digest).unwrap();
}

#[test]
fn keys_wrapped_by_openssl_are_opened() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let key = demo.key(&module, "me-rsa-encrypt");
    let secret: Vec<u8> = (0..32).collect();
    for (scheme, options) in [
        (UnwrapScheme::RsaPkcs1, "-pkeyopt rsa_padding_mode:pkcs1"),
        (
            oaep(Hash::Sha1),
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1",
        ),
        (
            oaep(Hash::Sha256),
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
        ),
        (
            oaep(Hash::Sha512),
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha512",
        ),
        (
            // SoftHSM itself would decode without the label
            UnwrapScheme::RsaOaep {
                hash: Hash::Sha1,
                mgf: Hash::Sha1,
                label: b"label".to_vec(),
            },
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -pkeyopt rsa_oaep_label:6c6162656c",
        ),
        (
            UnwrapScheme::RsaOaep {
                hash: Hash::Sha256,
                mgf: Hash::Sha1,
                label: b"label".to_vec(),
            },
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha1 -pkeyopt rsa_oaep_label:6c6162656c",
        ),
    ] {
        // twice: the second time it is known what the token lacks
        for _ in 0..2 {
            let wrapped = demo.wrap("me-rsa-encrypt", &secret, options);
            let opened = module.unwrap_key(&token, &key, scheme.clone(), &wrapped, 32);
            assert_eq!(opened.unwrap().as_slice(), secret, "{scheme:?}");
        }
    }
}

#[test]
fn a_bad_wrapped_key_gives_a_random_key_of_the_right_length_and_no_error() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let key = demo.key(&module, "me-rsa-encrypt");
    let secret = [0x55; 32];
    let mut seen = HashSet::new();
    for (scheme, options) in [
        (UnwrapScheme::RsaPkcs1, "-pkeyopt rsa_padding_mode:pkcs1"),
        (
            oaep(Hash::Sha1),
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1",
        ),
        (
            oaep(Hash::Sha256),
            "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
        ),
    ] {
        let wrapped = demo.wrap("me-rsa-encrypt", &secret, options);
        let mut flipped = wrapped.clone();
        flipped[200] ^= 1;
        let longer = [&wrapped[..], &[0]].concat();
        let huge = vec![1; 200_000];
        for (what, wrapped, len) in [
            ("flipped", &flipped, 32),
            ("one byte more", &longer, 32),
            ("one byte less", &wrapped[..wrapped.len() - 1].to_vec(), 32),
            ("nothing", &Vec::new(), 32),
            ("larger than the modulus", &vec![0xff; 256], 32),
            ("very long", &huge, 32),
            ("another length", &wrapped, 16),
            ("another length", &wrapped, 33),
            ("longer than a modulus holds", &wrapped, 300),
        ] {
            let opened = module.unwrap_key(&token, &key, scheme.clone(), wrapped, len);
            let opened = opened.unwrap_or_else(|e| panic!("{scheme:?}, {what}: {e}"));
            assert_eq!(opened.len(), len, "{scheme:?}, {what}");
            assert_ne!(opened.as_slice(), secret, "{scheme:?}, {what}");
            assert!(seen.insert(opened.to_vec()), "random each time");
        }
        let opened = module.unwrap_key(&token, &key, scheme, &wrapped, 32);
        assert_eq!(opened.unwrap().as_slice(), secret, "the token still works");
    }
    assert_eq!(module.status(), ModuleStatus::Ok);
    assert!(demo.token(&module).unlocked);
}

#[test]
fn ecdh_agrees_with_openssl() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let key = demo.key(&module, "me-ec-encrypt");
    demo.write("public", &demo.public_key("me-ec-encrypt"));
    for _ in 0..20 {
        let point = demo.new_point("peer.key");
        let secret = module.ecdh(&token, &key, &point).unwrap();
        openssl(
            demo.dir(),
            "pkeyutl -derive -inkey peer.key -peerkey public -peerform DER -out shared",
        );
        assert_eq!(secret.as_slice(), demo.read("shared"));
    }
}

#[test]
fn wrong_pins_are_counted_and_the_third_is_asked_for() {
    let demo = Demo::new();
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    let wrong = || Some(zeroize::Zeroizing::new(b"999999".to_vec()));
    assert_eq!(module.login(&token, wrong(), false), Err(Error::BadPin));
    assert!(!demo.token(&module).pin_final_try);
    assert_eq!(
        module.login(&token, wrong(), false),
        Err(Error::BadPinFewTriesLeft)
    );
    assert!(demo.token(&module).pin_final_try);
    assert_eq!(demo.logins(), 2);
    // not sent, right or wrong
    for next in [wrong(), Some(pin())] {
        assert_eq!(
            module.login(&token, next, false),
            Err(Error::BadPinFinalTry)
        );
    }
    assert_eq!(demo.logins(), 2);
    // nor what cannot be a PIN of this token
    let short = Some(zeroize::Zeroizing::new(b"1".to_vec()));
    assert_eq!(module.login(&token, short, true), Err(Error::PinInvalid));
    assert_eq!(
        module.login(&token, None, true),
        Err(Error::PinRequired),
        "no PIN pad"
    );
    assert_eq!(demo.logins(), 2);

    module.login(&token, Some(pin()), true).unwrap();
    assert_eq!(demo.logins(), 3, "one C_Login an entry");
    let now = demo.token(&module);
    assert!(now.unlocked && !now.pin_final_try && !now.pin_count_low);
    module.login(&token, wrong(), false).unwrap();
    assert_eq!(demo.logins(), 3, "unlocked already");
    module.logout(&token).unwrap();
    assert_eq!(module.login(&token, wrong(), false), Err(Error::BadPin));
    assert!(!demo.spied().contains(PIN), "the spy saw no PIN");
}

#[test]
fn only_public_attributes_of_private_keys_are_asked_for() {
    let demo = Demo::new();
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    module.login(&token, Some(pin()), false).unwrap();
    module
        .sign(&token, &demo.key(&module, "me-rsa-sign"), PKCS1, &[7; 32])
        .unwrap();
    let wrapped = demo.wrap(
        "me-rsa-encrypt",
        &[1; 16],
        "-pkeyopt rsa_padding_mode:pkcs1",
    );
    module
        .unwrap_key(
            &token,
            &demo.key(&module, "me-rsa-encrypt"),
            UnwrapScheme::RsaPkcs1,
            &wrapped,
            16,
        )
        .unwrap();
    let point = demo.new_point("peer.key");
    module
        .ecdh(&token, &demo.key(&module, "me-ec-encrypt"), &point)
        .unwrap();
    module.shutdown();
    let allowed = [
        "CKA_ID",
        "CKA_KEY_TYPE",
        "CKA_SIGN",
        "CKA_DECRYPT",
        "CKA_DERIVE",
        "CKA_ALWAYS_AUTHENTICATE",
        "CKA_MODULUS",
        "CKA_EC_PARAMS",
    ];
    let log = demo.spied();
    let reads: Vec<&str> = log
        .lines()
        .filter_map(|line| line.strip_prefix("C_GetAttributeValue CKO_PRIVATE_KEY "))
        .collect();
    assert!(reads.len() >= 4, "{log}");
    for attribute in reads.iter().flat_map(|line| line.split(',')) {
        assert!(allowed.contains(&attribute), "{attribute}");
    }
    let calls = |name: &str| {
        log.lines()
            .filter(|l| l.split(' ').next() == Some(name))
            .count()
    };
    assert_eq!(calls("C_WrapKey"), 0);
    assert_eq!(calls("C_Sign"), 1, "not called for the length alone");
    assert_eq!(calls("C_Decrypt"), 1);
    // the shared secret is read once, and gone
    let secrets = log.lines().filter(|l| l.contains("CKO_SECRET_KEY"));
    let secrets: Vec<&str> = secrets.map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(
        secrets,
        ["C_DeriveKey", "C_GetAttributeValue", "C_DestroyObject"]
    );
    assert_eq!(
        (calls("C_Logout"), calls("C_Finalize")),
        (1, 1),
        "an orderly end"
    );
}

#[test]
fn handles_found_before_a_logout_are_found_anew_after_it() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let key = demo.key(&module, "me-rsa-sign");
    for _ in 0..3 {
        module.sign(&token, &key, PKCS1, &[7; 32]).unwrap();
        module.logout(&token).unwrap();
        module.logout(&token).unwrap();
        assert!(!demo.token(&module).unlocked);
        let locked = module.sign(&token, &key, PKCS1, &[7; 32]);
        assert_eq!(locked, Err(Error::PinRequired));
        let locked = module.unwrap_key(&token, &key, UnwrapScheme::RsaPkcs1, &[1; 256], 16);
        assert_eq!(locked.unwrap_err(), Error::PinRequired);
        module.login(&token, Some(pin()), false).unwrap();
    }
    module.sign(&token, &key, PKCS1, &[7; 32]).unwrap();
}

#[test]
fn an_unknown_key_is_looked_for_twice_and_an_unknown_token_is_named() {
    let demo = Demo::new();
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    module.login(&token, Some(pin()), false).unwrap();
    let searches = || demo.spied().matches("C_FindObjectsInit").count();
    let stranger = KeyRef {
        id: vec![0xaa; 8],
        spki: demo.public_key("peer-rsa"),
    };
    let before = searches();
    let result = module.sign(&token, &stranger, PKCS1, &[7; 32]);
    assert_eq!(result, Err(Error::NoSecretKey));
    // by CKA_ID, among all private keys, among all public keys: twice
    assert_eq!(searches() - before, 6);
    // a wrong CKA_ID is no hindrance
    let renamed = KeyRef {
        id: vec![0xaa; 8],
        spki: demo.public_key("me-rsa-sign"),
    };
    module.sign(&token, &renamed, PKCS1, &[7; 32]).unwrap();
    let renamed = KeyRef {
        id: Vec::new(),
        spki: demo.public_key("me-ec-sign"),
    };
    module
        .sign(&token, &renamed, SignScheme::Ecdsa, &[7; 32])
        .unwrap();
    let gone = privyseal_token::TokenId("00".repeat(16));
    let result = module.sign(&gone, &stranger, PKCS1, &[7; 32]);
    assert_eq!(result, Err(Error::TokenNotPresent));
}

#[test]
fn many_threads_sign_at_once() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let keys = [
        (demo.key(&module, "me-rsa-sign"), PKCS1),
        (demo.key(&module, "me-ec-sign"), SignScheme::Ecdsa),
    ];
    let signatures = thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|n: usize| {
                let (module, token, keys) = (&module, &token, &keys);
                scope.spawn(move || {
                    let (key, scheme) = &keys[n % 2];
                    (0..4)
                        .map(|_| module.sign(token, key, *scheme, &[7; 32]).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(signatures.len(), 128);
    let rsa: HashSet<&Vec<u8>> = signatures.iter().filter(|s| s.len() == 256).collect();
    assert_eq!(
        rsa.len(),
        1,
        "PKCS#1 v1.5 is deterministic: no answer went astray"
    );
}

#[test]
fn logins_and_logouts_among_signatures_leave_no_wrong_answer() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let key = demo.key(&module, "me-ec-sign");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..60 {
                    match module.sign(&token, &key, SignScheme::Ecdsa, &[7; 32]) {
                        Ok(_) | Err(Error::PinRequired) => {}
                        Err(e) => panic!("{e}"),
                    }
                }
            });
        }
        for _ in 0..20 {
            module.logout(&token).unwrap();
            module.login(&token, Some(pin()), false).unwrap();
        }
    });
    module
        .sign(&token, &key, SignScheme::Ecdsa, &[7; 32])
        .unwrap();
}

#[test]
fn a_killed_worker_is_an_error_at_once_and_the_next_one_is_locked() {
    let demo = Demo::new();
    let (module, token) = demo.unlocked();
    let key = demo.key(&module, "me-rsa-sign");
    let pid = module.worker_pid().unwrap();
    let (results, killed) = thread::scope(|scope| {
        let busy: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        if let Err(e) = module.sign(&token, &key, PKCS1, &[7; 32]) {
                            return (e, Instant::now());
                        }
                    }
                })
            })
            .collect();
        module.sign(&token, &key, PKCS1, &[7; 32]).unwrap();
        let killed = Instant::now();
        common::kill(pid, "-KILL");
        let results: Vec<_> = busy.into_iter().map(|t| t.join().unwrap()).collect();
        (results, killed)
    });
    for (error, at) in results {
        assert!(
            matches!(error, Error::WorkerDied(_) | Error::Module(_)),
            "{error:?}"
        );
        assert!(
            at - killed < Duration::from_millis(500),
            "{:?}",
            at - killed
        );
    }
    eventually("it is started again", || {
        module.status() == ModuleStatus::Ok && module.worker_pid().is_some_and(|new| new != pid)
    });
    assert!(!demo.token(&module).unlocked);
    let locked = module.sign(&token, &key, PKCS1, &[7; 32]);
    assert_eq!(locked, Err(Error::PinRequired));
    module.login(&token, Some(pin()), false).unwrap();
    module.sign(&token, &key, PKCS1, &[7; 32]).unwrap();
}

#[test]
fn a_hanging_worker_is_killed_at_the_deadline() {
    let demo = Demo::new();
    let module = demo.start_with_deadline(Duration::from_secs(2));
    let token = demo.token(&module).id;
    module.login(&token, Some(pin()), false).unwrap();
    let key = demo.key(&module, "me-rsa-sign");
    module.sign(&token, &key, PKCS1, &[7; 32]).unwrap();
    common::stop(module.worker_pid().unwrap());
    let started = Instant::now();
    let result = module.sign(&token, &key, PKCS1, &[7; 32]);
    // the supervisor's own poll may be what is late first
    assert!(
        matches!(result, Err(Error::Timeout | Error::WorkerDied(_))),
        "{result:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    eventually("it is started again", || {
        module.status() == ModuleStatus::Ok && module.worker_pid().is_some()
    });
    assert!(!demo.token(&module).unlocked);
}

#[test]
fn a_worker_that_dies_again_and_again_is_given_up_until_a_rescan() {
    let demo = Demo::new();
    let module = demo.start();
    for death in 1..=5 {
        eventually("it is up", || module.worker_pid().is_some());
        let pid = module.worker_pid().unwrap();
        common::kill(pid, "-ABRT");
        eventually("its death is seen", || module.worker_pid().is_none());
        if death < 5 {
            module.rescan().unwrap();
        }
    }
    eventually(
        "it is given up",
        || matches!(module.status(), ModuleStatus::Quarantined(why) if why.contains("5 worker deaths")),
    );
    let token = privyseal_token::TokenId("00".repeat(16));
    assert!(matches!(module.logout(&token), Err(Error::Module(_))));
    assert!(module.tokens().is_empty());
    module.rescan().unwrap();
    assert_eq!(module.status(), ModuleStatus::Ok);
    assert!(!module.tokens().is_empty());
}

#[test]
fn a_rescan_shows_tokens_made_meanwhile() {
    let demo = Demo::new();
    let module = demo.start();
    assert!(!module.tokens().iter().any(|t| t.label == "second"));
    demo.softhsm_util("--init-token --free --label second --so-pin 5678 --pin 1234");
    module.rescan().unwrap();
    let second = module.tokens().into_iter().find(|t| t.label == "second");
    assert!(second.unwrap().initialized);
    // while something is unlocked, it stays so
    let token = demo.token(&module).id;
    module.login(&token, Some(pin()), false).unwrap();
    module.rescan().unwrap();
    assert!(demo.token(&module).unlocked);
    module
        .sign(&token, &demo.key(&module, "me-rsa-sign"), PKCS1, &[7; 32])
        .unwrap();
}

#[test]
fn every_change_is_told_and_ids_outlive_a_restart() {
    let demo = Demo::new();
    let (module, events) = demo.start_listening();
    let token = demo.token(&module).id;
    let heard = || std::mem::take(&mut *events.lock().unwrap());
    eventually("told", || {
        let all = heard();
        all.contains(&privyseal_token::Event::Status)
    });
    module.login(&token, Some(pin()), false).unwrap();
    eventually("told of the login", || {
        heard().contains(&privyseal_token::Event::Tokens)
    });
    module.shutdown();
    assert_eq!(module.status(), ModuleStatus::Disabled);
    assert!(module.tokens().is_empty() && heard().contains(&privyseal_token::Event::Status));
    assert!(matches!(module.rescan(), Err(Error::Module(_))));
    drop(module);
    let again = demo.start();
    assert_eq!(demo.token(&again).id, token);
}

#[test]
fn a_second_worker_for_the_same_store_is_refused() {
    let demo = Demo::new();
    let first = demo.start();
    let second = demo.start_unready();
    eventually(
        "refused",
        || matches!(second.status(), ModuleStatus::Failed(why) if why.contains("has a worker already")),
    );
    assert_eq!(first.status(), ModuleStatus::Ok);
    first.shutdown();
    second.rescan().unwrap();
    assert_eq!(second.status(), ModuleStatus::Ok);
}

#[test]
fn calls_made_while_the_worker_starts_wait_for_it() {
    let demo = Demo::new();
    let module = demo.start_unready();
    module.rescan().unwrap();
    let token = demo.token(&module).id;
    let (module, token): (Arc<_>, _) = (module, token);
    module.login(&token, Some(pin()), false).unwrap();
}

#[test]
fn wrong_pins_are_counted_across_restarts() {
    let demo = Demo::new();
    let start = || {
        let mut config = demo.config();
        config.counts = Some(demo.dir().to_owned());
        let module = Module::start(config, worker(), Box::new(|_| ()));
        eventually("it is loaded", || module.status() == ModuleStatus::Ok);
        let token = demo.token(&module).id;
        (module, token)
    };
    let wrong = || zeroize::Zeroizing::new(b"999999".to_vec());
    for expected in [Error::BadPin, Error::BadPinFewTriesLeft] {
        let (module, token) = start();
        assert_eq!(module.login(&token, Some(wrong()), false), Err(expected));
    }
    let (module, token) = start();
    assert!(demo.token(&module).pin_final_try);
    let last = module.login(&token, Some(pin()), false);
    assert_eq!(last, Err(Error::BadPinFinalTry));
    module.login(&token, Some(pin()), true).unwrap();
    drop(module);
    let (module, token) = start();
    assert_eq!(
        module.login(&token, Some(wrong()), false),
        Err(Error::BadPin)
    );
}

#[test]
fn a_worker_that_is_told_to_terminate_logs_out() {
    let demo = Demo::new();
    let module = demo.start_spied();
    let token = demo.token(&module).id;
    module.login(&token, Some(pin()), false).unwrap();
    let pid = module.worker_pid().unwrap();
    common::kill(pid, "-TERM");
    eventually("it has gone", || module.worker_pid() != Some(pid));
    let log = demo.spied();
    let end: Vec<&str> = log
        .lines()
        .filter(|l| *l == "C_Logout" || *l == "C_Finalize")
        .collect();
    assert_eq!(end, ["C_Logout", "C_Finalize"]);
}

#[test]
fn a_card_driver_lets_go_of_the_card_after_logout() {
    // SoftHSM by the file name of a driver that holds cards and takes one thread at a time
    let demo = Demo::new();
    let driver = demo.dir().join("opensc-pkcs11.so");
    std::fs::copy(demo.config().path, &driver).unwrap();
    let module = demo.start_as(&driver);
    let token = demo.token(&module).id;
    let key = demo.key(&module, "me-ec-sign");
    for _ in 0..3 {
        module.login(&token, Some(pin()), false).unwrap();
        let pid = module.worker_pid().unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    module
                        .sign(&token, &key, SignScheme::Ecdsa, &[7; 32])
                        .unwrap()
                });
            }
        });
        module.logout(&token).unwrap();
        assert!(!demo.token(&module).unlocked);
        // no process, no card in use; and that is no failure
        eventually("it has let go", || module.worker_pid() != Some(pid));
        assert_eq!(module.status(), ModuleStatus::Ok);
        // the next call does not wait until the card has lost its power
        let started = Instant::now();
        let locked = module.sign(&token, &key, SignScheme::Ecdsa, &[7; 32]);
        assert_eq!(locked, Err(Error::PinRequired));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
