//! Algorithm profiles from end to end: what they make, what openssl thinks of it, and what they refuse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{Run, World, WorldOptions};
use serde_json::Value;

const MAIL: &str =
    "Content-Type: text/plain; charset=utf-8\r\n\r\nHello Bob,\r\n\r\nthe meter says 4711.\r\n";

fn world(algorithms: &str) -> World {
    let world = World::with(WorldOptions {
        config: format!("\n[algorithms]\n{algorithms}\n"),
        ..WorldOptions::default()
    });
    world.unlock();
    world.write("mail.txt", MAIL);
    world
}

fn file(world: &World, name: &str) -> String {
    world.token_file(name).display().to_string()
}

/// What the command line says in JSON; of a failure, on standard output too where an output file was named.
fn json(run: &Run) -> Value {
    serde_json::from_slice(&run.stdout).unwrap_or_else(|e| panic!("{e}: {run:?}"))
}

#[track_caller]
fn refused(run: Run, code: i32, error: &str, words: &[&str]) {
    let run = run.fails_with(code);
    let said = json(&run);
    assert_eq!(said["error"], format!("org.privyseal1.Error.{error}"));
    let message = said["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// The structure of a message as openssl prints it.
fn printed(world: &World, name: &str) -> String {
    world
        .openssl(&format!(
            "cms -cmsout -print -in {name} -inform DER -out printed"
        ))
        .ok();
    String::from_utf8_lossy(&world.read("printed")).into_owned()
}

fn verify(world: &World, sender: &str, more: &[&str]) -> Run {
    let args = ["verify", "--json", "--sender", sender];
    world.privyseal(args.iter().chain(more))
}

#[test]
fn edi_energy_makes_pss_oaep_and_gcm_that_openssl_reads() {
    let world = world("profile = \"edi-energy\"");
    let args = [
        "sign",
        "--json",
        "-s",
        "alice@example.org",
        "--form",
        "opaque",
        "--format",
        "der",
    ];
    let signed = world
        .privyseal(args.iter().chain(&["mail.txt", "-o", "signed"]))
        .ok();
    let said = json(&signed);
    assert_eq!(said["profile"], "edi-energy");
    assert_eq!(said["algorithm"], "rsa-pss");
    assert!(printed(&world, "signed").contains("rsassaPss"));
    let anchor = file(&world, "anchor.pem");
    world
        .openssl(&format!(
            "cms -verify -binary -in signed -inform DER -CAfile {anchor} -out seen"
        ))
        .ok();
    assert_eq!(world.read("seen"), MAIL.as_bytes());
    let good = verify(
        &world,
        "alice@example.org",
        &["--profile", "edi-energy", "signed"],
    )
    .ok();
    assert_eq!(json(&good)["verdict"], "good");

    let bob = file(&world, "peer-rsa.pem");
    let args = [
        "encrypt", "--json", "-r", &bob, "--format", "der", "mail.txt", "-o", "secret",
    ];
    let said = json(&world.privyseal(args).ok());
    assert_eq!(said["cipher"], "aes256-gcm");
    // to ourselves too: with the RSA key, of the two that we have
    assert_eq!(said["recipients"].as_array().unwrap().len(), 2);
    let structure = printed(&world, "secret");
    assert!(structure.contains("rsaesOaep") && !structure.contains("rsaEncryption"));
    assert!(structure.contains("aes-256-gcm"), "{structure}");
    let key = file(&world, "peer-rsa.key");
    world
        .openssl(&format!(
            "cms -decrypt -in secret -inform DER -inkey {key} -recip {bob} -out seen"
        ))
        .ok();
    assert_eq!(world.read("seen"), MAIL.as_bytes());
    let args = [
        "decrypt",
        "--json",
        "--profile",
        "edi-energy",
        "secret",
        "-o",
        "seen",
    ];
    assert_eq!(
        json(&world.privyseal(args).ok())["key_management"],
        "rsa-oaep"
    );
    assert_eq!(world.read("seen"), MAIL.as_bytes());

    // signed and encrypted in one go
    let args = [
        "sign",
        "--json",
        "-s",
        "alice@example.org",
        "--encrypt-to",
        &bob,
        "mail.txt",
        "-o",
        "both",
    ];
    let said = json(&world.privyseal(args).ok());
    assert_eq!(
        (&said["algorithm"], &said["cipher"]),
        (&"rsa-pss".into(), &"aes256-gcm".into())
    );
}

#[test]
fn edi_energy_refuses_the_rest_and_says_what_it_allows() {
    let world = world("profile = \"edi-energy\"");
    let (rsa, ec) = (file(&world, "peer-rsa.pem"), file(&world, "peer-ec.pem"));
    let encrypt = |more: &[&str]| {
        let args = ["encrypt", "--json", "mail.txt", "-o", "out", "--no-self"];
        world.privyseal(args.iter().chain(more))
    };
    let cbc = encrypt(&["-r", &rsa, "--cipher", "aes256-cbc"]);
    refused(
        cbc,
        5,
        "PolicyDenied",
        &["edi-energy", "aes256-cbc", "aes256-gcm, aes192-gcm"],
    );
    let old = encrypt(&["-r", &rsa, "--cipher", "des-ede3-cbc"]);
    refused(old, 1, "WeakAlgorithm", &["edi-energy", "des-ede3-cbc"]);
    refused(
        encrypt(&["-r", &ec]),
        5,
        "PolicyDenied",
        &["ecdh", "rsa-oaep"],
    );
    let sign = |more: &[&str]| {
        let args = ["sign", "--json", "mail.txt", "-o", "out", "-s"];
        world.privyseal(args.iter().chain(more))
    };
    let digest = sign(&["alice@example.org", "--digest", "sha384"]);
    refused(digest, 5, "PolicyDenied", &["sha384", "sha256, sha512"]);
    refused(
        sign(&["alice@example.org", "--digest", "sha1"]),
        1,
        "WeakAlgorithm",
        &["sha1"],
    );
    let ec = file(&world, "me-ec-sign.pem");
    refused(sign(&[&ec]), 5, "PolicyDenied", &["ecdsa", "rsa-pss"]);
    let nobody = sign(&["alice@example.org", "--profile", "nobody"]);
    refused(
        nobody,
        2,
        "InvalidArgument",
        &["\"nobody\"", "br-strict, bsi, edi-energy"],
    );
    assert!(!world.path("out").exists());
    // another profile for one call
    let args = [
        "alice@example.org",
        "--profile",
        "rfc8551",
        "--digest",
        "sha384",
    ];
    assert_eq!(json(&sign(&args).ok())["profile"], "rfc8551");
}

#[test]
fn without_legacy_read_old_mail_is_refused_by_name() {
    let world = world("read = \"rfc8551\"");
    let me = file(&world, "me-rsa-encrypt.pem");
    world
        .openssl(&format!(
            "cms -encrypt -des3 -in mail.txt -outform DER -out old {me}"
        ))
        .ok();
    let args = ["decrypt", "--json", "old", "-o", "seen"];
    refused(
        world.privyseal(args),
        1,
        "WeakAlgorithm",
        &["rfc8551", "des-ede3-cbc", "aes256-gcm"],
    );
    assert!(!world.path("seen").exists());
    let legacy = args.iter().chain(&["--profile", "legacy-read"]);
    let said = json(&world.privyseal(legacy).ok());
    assert_eq!(
        (&said["cipher"], &said["weak"]),
        (&"des-ede3-cbc".into(), &true.into())
    );

    let said = json(
        &world
            .privyseal(["mail", "open", "--json", "old"])
            .fails_with(3),
    );
    let reason = said["reasons"][0].as_str().unwrap();
    assert!(
        said["verdict"] == "bad" && reason.contains("rfc8551"),
        "{said}"
    );
    let args = ["mail", "open", "--json", "--profile", "legacy-read", "old"];
    let said = json(&world.privyseal(args).ok());
    assert_eq!(
        (&said["verdict"], &said["layers"][0]["weak"]),
        (&"not-signed".into(), &true.into())
    );

    let (bob, key) = (file(&world, "peer-rsa.pem"), file(&world, "peer-rsa.key"));
    let chain = file(&world, "intermediate.pem");
    world
        .openssl(&format!(
            "cms -sign -binary -nodetach -md sha1 -in mail.txt -signer {bob} -inkey {key} -certfile {chain} -outform DER -out old"
        ))
        .ok();
    for (profile, signature) in [(None, "unsupported"), (Some("legacy-read"), "valid")] {
        let mut more = vec!["old"];
        more.extend(profile.iter().flat_map(|name| ["--profile", name]));
        let said = json(&verify(&world, "bob@example.org", &more).fails_with(3));
        assert_eq!(said["verdict"], "unknown", "{said}");
        assert_eq!(said["signatures"][0]["signature"], signature);
        assert_eq!(said["signatures"][0]["weak"], true);
        let reason = said["reasons"][0].as_str().unwrap();
        let word = if profile.is_none() {
            "the profile rfc8551"
        } else {
            "SHA-1"
        };
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn br_strict_signs_and_encrypts_what_openssl_reads() {
    let world = world("profile = \"br-strict\"");
    for key in ["rsa", "ec"] {
        let me = file(&world, &format!("me-{key}-sign.pem"));
        let args = [
            "sign", "-s", &me, "--form", "opaque", "--format", "der", "mail.txt", "-o", "signed",
        ];
        world.privyseal(args).ok();
        let anchor = file(&world, "anchor.pem");
        world
            .openssl(&format!(
                "cms -verify -binary -in signed -inform DER -CAfile {anchor} -out seen"
            ))
            .ok();
        let (bob, secret) = (
            file(&world, &format!("peer-{key}.pem")),
            file(&world, &format!("peer-{key}.key")),
        );
        let args = [
            "encrypt", "-r", &bob, "--format", "der", "mail.txt", "-o", "secret",
        ];
        world.privyseal(args).ok();
        world
            .openssl(&format!(
                "cms -decrypt -in secret -inform DER -inkey {secret} -recip {bob} -out seen"
            ))
            .ok();
        assert_eq!(world.read("seen"), MAIL.as_bytes());
    }
    let args = [
        "sign",
        "--json",
        "-s",
        "alice@example.org",
        "--digest",
        "sha224",
        "mail.txt",
        "-o",
        "out",
    ];
    refused(
        world.privyseal(args),
        5,
        "PolicyDenied",
        &["br-strict", "sha224"],
    );
}

#[test]
fn bsi_takes_the_elliptic_curve_where_rsa_is_too_short() {
    let world = world("profile = \"bsi\"");
    let args = [
        "sign",
        "--json",
        "-s",
        "alice@example.org",
        "mail.txt",
        "-o",
        "signed",
    ];
    let said = json(&world.privyseal(args).ok());
    assert_eq!(said["algorithm"], "ecdsa");
    let good = verify(&world, "alice@example.org", &["--profile", "bsi", "signed"]).ok();
    assert_eq!(json(&good)["verdict"], "good");
    let encrypt = |to: &str| {
        let to = file(&world, to);
        world.privyseal(["encrypt", "--json", "-r", &to, "mail.txt", "-o", "secret"])
    };
    // RSA of 2048 bits
    let short = encrypt("peer-rsa.pem");
    refused(short, 5, "PolicyDenied", &["bsi"]);
    encrypt("peer-ec.pem").ok();
    let args = [
        "decrypt",
        "--json",
        "--profile",
        "bsi",
        "secret",
        "-o",
        "seen",
    ];
    assert_eq!(json(&world.privyseal(args).ok())["key_management"], "ecdh");
}

#[test]
fn a_profile_of_the_configuration_s_own_is_used_and_checked() {
    let mut world = world("");
    assert_eq!(world.stop_daemon(), 0);
    world.write(
        "token/company.toml",
        "name = \"company\"\nextends = \"rfc8551\"\n[write]\ndigests = [\"sha512\"]\nciphers = [\"aes128-gcm\"]\n",
    );
    let config = String::from_utf8(world.read("token/privyseal.toml")).unwrap();
    let named = "[algorithms]\nprofile = \"company\"\nfiles = [\"company.toml\"]\n";
    world.write(
        "token/privyseal.toml",
        config.replace("[algorithms]\n", named),
    );
    let check = world.privyseal(["config", "check"]).ok().text();
    assert!(check.contains("written by the profile company"), "{check}");
    world.start_daemon();
    world.unlock();
    let args = [
        "sign",
        "--json",
        "-s",
        "alice@example.org",
        "mail.txt",
        "-o",
        "signed",
    ];
    let said = json(&world.privyseal(args).ok());
    assert_eq!(
        (&said["profile"], &said["digest"]),
        (&"company".into(), &"sha512".into())
    );
    let bob = file(&world, "peer-ec.pem");
    let args = ["encrypt", "--json", "-r", &bob, "mail.txt", "-o", "secret"];
    assert_eq!(json(&world.privyseal(args).ok())["cipher"], "aes128-gcm");
}

#[test]
fn what_a_signer_says_of_himself_is_shown() {
    let world = world("");
    for (key, more) in [("rsa", "--content-hint"), ("ec", "--content-hint")] {
        let me = file(&world, &format!("me-{key}-sign.pem"));
        let args = [
            "sign",
            "-s",
            &me,
            more,
            "meter readings",
            "mail.txt",
            "-o",
            "signed",
        ];
        world.privyseal(args).ok();
        let said = json(&verify(&world, "alice@example.org", &["signed"]).ok());
        let signature = &said["signatures"][0];
        assert_eq!(signature["content_hint"]["description"], "meter readings");
        let reads: Vec<&str> = signature["capabilities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(reads[..2], ["aes256-gcm", "aes128-gcm"]);
        assert!(
            reads.contains(&"ecdh-x963-sha256/aes128-wrap") && reads.contains(&"rsa-oaep-sha256")
        );
        // one of our two encryption certificates, which came along
        let ours =
            ["me-rsa-encrypt.pem", "me-ec-encrypt.pem"].map(|name| fingerprint(&world, name));
        let preferred = signature["encryption_certificate"].as_str().unwrap();
        assert!(ours.contains(&preferred.to_owned()), "{preferred}");
    }
    let text = world
        .privyseal(["verify", "--sender", "alice@example.org", "signed"])
        .ok()
        .text();
    assert!(
        text.contains("meter readings") && text.contains("aes256-gcm, aes128-gcm"),
        "{text}"
    );
    // the signer's certificate and nothing else
    let args = [
        "sign",
        "-s",
        "alice@example.org",
        "--include-chain",
        "leaf",
        "mail.txt",
        "-o",
        "signed",
    ];
    world.privyseal(args).ok();
    let said = json(&verify(&world, "alice@example.org", &["signed"]));
    assert_eq!(said["signatures"][0].get("encryption_certificate"), None);
}

/// `sha256:…` of a certificate file, by openssl.
fn fingerprint(world: &World, name: &str) -> String {
    format!("sha256:{}", world.fingerprint(file(world, name)))
}
