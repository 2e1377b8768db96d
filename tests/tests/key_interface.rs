//! `org.privyseal1.Key`: raw operations with keys, where the configuration allows them and nowhere else.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use privyseal_proto::{Dict, certificate_path};
use privyseal_tests::program::{Done, Program};
use privyseal_tests::{World, WorldOptions, wait_until};

const BOTH: &str = "\n[key-interface]\nsign-digest = true\nunwrap-key = true\n";

fn world(config: &str) -> (World, Program) {
    let world = World::with(WorldOptions {
        config: config.into(),
        ..WorldOptions::default()
    });
    world.unlock();
    let program = Program::connect(world.bus_address());
    (world, program)
}

fn sha256(world: &World, name: &str) -> String {
    world.fingerprint(world.token_file(&format!("me-{name}.pem")))
}

#[track_caller]
fn bytes(done: Done, name: &str) -> Vec<u8> {
    let (response, mut results): (u32, Dict) = done.unwrap();
    assert_eq!(response, 0, "{results:?}");
    Vec::<u8>::try_from(results.remove(name).unwrap()).unwrap()
}

/// The last part of the error's name, of the call or the job.
#[track_caller]
fn error(done: Done) -> String {
    let name = match done {
        Err((name, _)) => name,
        Ok((_, results)) => <&str>::try_from(&results["error"]).unwrap().to_owned(),
    };
    name.rsplit('.').next().unwrap().to_owned()
}

/// A public key from a certificate, for openssl.
fn public_key(world: &World, name: &str) -> String {
    let file = world.token_file(&format!("me-{name}.pem"));
    let out = format!("{name}.pub");
    let key = world
        .openssl(&format!("x509 -noout -pubkey -in {}", file.display()))
        .ok();
    world.write(&out, key.stdout);
    out
}

#[test]
fn without_leave_there_is_no_such_interface() {
    let (world, program) = world("");
    let key = sha256(&world, "rsa-sign");
    let path = certificate_path(&key);
    assert!(
        !program
            .introspect(path.as_str())
            .contains("org.privyseal1.Key")
    );
    let refused = program.sign_digest(&key, ("sha256", &[7; 32]), "rsa-pkcs1");
    assert_eq!(error(refused), "UnknownInterface");
    let refused = program.unwrap_key(&key, "rsa-pkcs1", &[1; 256], 16, HashMap::new());
    assert_eq!(error(refused), "UnknownInterface");
    let busctl = world.run(
        "dbus-send",
        [
            &format!("--bus={}", world.bus_address()),
            "--print-reply",
            "--dest=org.privyseal1",
            "/org/privyseal1/objects",
            "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
        ],
    );
    let objects = busctl.ok().text();
    assert!(objects.contains("org.privyseal1.Certificate"));
    assert!(!objects.contains("org.privyseal1.Key"));
}

#[test]
fn leave_comes_and_goes_with_the_configuration() {
    let (world, program) = world("\n[key-interface]\nsign-digest = true\n");
    let key = sha256(&world, "rsa-sign");
    let path = certificate_path(&key);
    let shown = || {
        program
            .introspect(path.as_str())
            .contains("org.privyseal1.Key")
    };
    assert!(shown());
    let sign = || program.sign_digest(&key, ("sha256", &[7; 32]), "rsa-pkcs1");
    bytes(sign(), "signature");
    // one method has leave, the other has none
    let unwrap = program.unwrap_key(
        &sha256(&world, "rsa-encrypt"),
        "rsa-pkcs1",
        &[1; 256],
        16,
        HashMap::new(),
    );
    assert_eq!(error(unwrap), "PolicyDenied");
    let config = world.path("token/privyseal.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let reload = |text: &str| {
        std::fs::write(&config, text).unwrap();
        let pid = rustix::process::Pid::from_raw(world.daemon_pid().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    reload(&text.replace("sign-digest = true", "sign-digest = false"));
    wait_until("it is gone", || !shown());
    assert_eq!(error(sign()), "UnknownInterface");
    reload(&text);
    wait_until("it is back", shown);
    bytes(sign(), "signature");
}

#[test]
fn a_digest_is_signed_and_openssl_agrees() {
    let (world, program) = world(BOTH);
    world.write("data", b"raw data");
    for (key, scheme, digest, pkeyutl) in [
        (
            "rsa-sign",
            "rsa-pkcs1",
            "sha256",
            "-pkeyopt rsa_padding_mode:pkcs1",
        ),
        (
            "rsa-sign",
            "rsa-pkcs1",
            "sha512",
            "-pkeyopt rsa_padding_mode:pkcs1",
        ),
        (
            "rsa-sign",
            "rsa-pss",
            "sha384",
            "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest",
        ),
        ("ec-sign", "ecdsa", "sha256", ""),
    ] {
        world
            .openssl(&format!("dgst -{digest} -binary -out digest data"))
            .ok();
        let done = program.sign_digest(
            &sha256(&world, key),
            (digest, &world.read("digest")),
            scheme,
        );
        world.write("signature", bytes(done, "signature"));
        let public = public_key(&world, key);
        let verify = format!(
            "pkeyutl -verify -pubin -inkey {public} -in digest -sigfile signature -pkeyopt digest:{digest} {pkeyutl}"
        );
        world.openssl(verify.trim()).ok();
    }
    let all = world.privyseal(["audit", "--json"]).ok().text();
    assert_eq!(all.matches("a raw signature").count(), 4, "{all}");
}

#[test]
fn what_is_no_digest_of_its_kind_or_not_this_keys_work_is_refused() {
    let (world, program) = world(BOTH);
    let [rsa, ec, encrypt] =
        ["rsa-sign", "ec-sign", "rsa-encrypt"].map(|name| sha256(&world, name));
    for (key, digest, length, scheme, wanted) in [
        (&rsa, "sha256", 31, "rsa-pkcs1", "InvalidArgument"),
        (&rsa, "sha256", 33, "rsa-pkcs1", "InvalidArgument"),
        (&rsa, "sha512", 32, "rsa-pkcs1", "InvalidArgument"),
        (&rsa, "", 32, "rsa-pkcs1", "UnsupportedAlgorithm"),
        (&rsa, "sha256", 32, "raw", "InvalidArgument"),
        (&rsa, "sha256", 32, "eddsa", "InvalidArgument"),
        (&rsa, "sha1", 20, "rsa-pkcs1", "WeakAlgorithm"),
        (&rsa, "md5", 16, "rsa-pkcs1", "WeakAlgorithm"),
        (&rsa, "sha256", 32, "ecdsa", "UsageNotAllowed"),
        (&ec, "sha256", 32, "rsa-pss", "UsageNotAllowed"),
        (&encrypt, "sha256", 32, "rsa-pkcs1", "UsageNotAllowed"),
    ] {
        let refused = program.sign_digest(key, (digest, &vec![7; length]), scheme);
        assert_eq!(error(refused), wanted, "{digest} {length} {scheme}");
    }
    for (key, scheme, length, wanted) in [
        (&rsa, "rsa-pkcs1", 16, "UsageNotAllowed"),
        (&encrypt, "raw", 16, "InvalidArgument"),
        (&encrypt, "rsa-pkcs1", 0, "InvalidArgument"),
        (&encrypt, "rsa-pkcs1", 257, "InvalidArgument"),
    ] {
        let refused = program.unwrap_key(key, scheme, &[1; 256], length, HashMap::new());
        assert_eq!(error(refused), wanted, "{scheme} {length}");
    }
    // nothing of that reached a key
    let all = world.privyseal(["audit", "--json"]).ok().text();
    assert!(!all.contains("a raw"), "{all}");
}

#[test]
fn a_wrapped_key_is_opened_and_a_bad_one_is_a_random_one() {
    let (world, program) = world(BOTH);
    let key = sha256(&world, "rsa-encrypt");
    let public = public_key(&world, "rsa-encrypt");
    world.write("cek", [0x5a; 32]);
    let wrap = |how: &str| {
        world
            .openssl(&format!(
                "pkeyutl -encrypt -pubin -inkey {public} -in cek -out wrapped {how}"
            ))
            .ok();
        world.read("wrapped")
    };
    let wrapped = wrap("-pkeyopt rsa_padding_mode:pkcs1");
    let open = |wrapped: &[u8], expected| {
        bytes(
            program.unwrap_key(&key, "rsa-pkcs1", wrapped, expected, HashMap::new()),
            "key",
        )
    };
    assert_eq!(open(&wrapped, 32), [0x5a; 32]);
    let mut bad = wrapped.clone();
    bad[200] ^= 1;
    let other = open(&bad, 32);
    assert_eq!(other.len(), 32);
    assert_ne!(other, [0x5a; 32]);
    // of another length than it has: the same
    assert_eq!(open(&wrapped, 16).len(), 16);

    let wrapped = wrap(
        "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha384 -pkeyopt rsa_mgf1_md:sha384",
    );
    let options = HashMap::from([("oaep-digest", "sha384".into())]);
    let done = program.unwrap_key(&key, "rsa-oaep", &wrapped, 32, options);
    assert_eq!(bytes(done, "key"), [0x5a; 32]);
}

#[test]
fn a_shared_secret_is_that_of_openssl() {
    let (world, program) = world(BOTH);
    let public = public_key(&world, "ec-encrypt");
    world
        .openssl("ecparam -name prime256v1 -genkey -noout -out mine.key")
        .ok();
    world
        .openssl(&format!(
            "pkeyutl -derive -inkey mine.key -peerkey {public} -out secret"
        ))
        .ok();
    world
        .openssl("ec -in mine.key -pubout -outform DER -out mine.der")
        .ok();
    // the point is the last 65 bytes of a SubjectPublicKeyInfo of P-256
    let der = world.read("mine.der");
    let point = &der[der.len() - 65..];
    let done = program.unwrap_key(
        &sha256(&world, "ec-encrypt"),
        "ecdh",
        point,
        32,
        HashMap::new(),
    );
    assert_eq!(bytes(done, "key"), world.read("secret"));
}

#[test]
fn who_opens_many_keys_is_slowed_down() {
    let (world, program) = world(BOTH);
    let key = sha256(&world, "rsa-encrypt");
    let open = || {
        let begun = Instant::now();
        bytes(
            program.unwrap_key(&key, "rsa-pkcs1", &[1; 256], 32, HashMap::new()),
            "key",
        );
        begun.elapsed()
    };
    for _ in 0..5 {
        open();
    }
    assert!(open() >= Duration::from_millis(240));
    assert!(open() >= Duration::from_millis(480));
}
