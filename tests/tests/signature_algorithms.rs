//! Signature algorithms that openssl 3.0 does not know in CMS, with Bouncy Castle as the other side; Ed25519 also by a token.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::path::Path;
use std::process::Command;

use privyseal_tests::{PIN, World};

/// A MIME entity, canonical.
const MAIL: &str = "Content-Type: text/plain\r\n\r\nthe contract is signed.\r\n";

/// `NAME.key` and `NAME.pem`, issued by the world's own Ed25519 authority `ca.pem`.
fn issue(world: &World, name: &str, key: &str) {
    if !world.path("ca.pem").exists() {
        world.openssl("genpkey -algorithm ed25519 -out ca.key").ok();
        world
            .openssl("req -x509 -new -key ca.key -subj /CN=Authority -days 30 -out ca.pem")
            .ok();
        world.write(
            "leaf.ext",
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage=emailProtection\nsubjectAltName=email:alice@example.org\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        );
    }
    world
        .openssl(&format!("genpkey {key} -out {name}.key"))
        .ok();
    world
        .openssl(&format!(
            "req -new -key {name}.key -subj /CN=Alice -out {name}.csr"
        ))
        .ok();
    world
        .openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days 20 -extfile leaf.ext -out {name}.pem"
        ))
        .ok();
}

/// One run for many messages: Java starts slowly.
fn bouncy_castle(world: &World, jobs: &str) {
    let jars =
        ["bcmail", "bcpkix", "bcutil", "bcprov"].map(|jar| format!("/usr/share/java/{jar}.jar"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/SignedData.java");
    let (jars, program) = (jars.join(":"), program.display().to_string());
    let mut args = vec!["-cp", &jars, &program];
    args.extend(jobs.split_whitespace());
    tool(world, "java", &args);
}

/// The one signature of a message that is good.
fn verified(world: &World, message: &str, more: &[&str]) -> serde_json::Value {
    let mut args = vec![
        "verify",
        "--json",
        "--trust-anchor",
        "ca.pem",
        "-o",
        "seen",
        message,
    ];
    args.extend(more);
    let run = world.privyseal(args);
    assert_eq!(run.code, 0, "{message}: {run:?}");
    assert_eq!(world.read("seen"), MAIL.as_bytes(), "{message}");
    let all = run.json();
    assert_eq!(all["verdict"], "good", "{message}: {all}");
    all["signatures"][0].clone()
}

/// Runs a tool in the world's folder; one on the token's store only while nobody else has it open.
fn tool(world: &World, program: &str, args: &[&str]) {
    let output = Command::new(program)
        .env("SOFTHSM2_CONF", world.token_file("softhsm2.conf"))
        .current_dir(world.dir())
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program} ({e}): scripts/install-deps.sh"));
    assert!(output.status.success(), "{program}: {output:?}");
}

#[test]
fn a_token_signs_with_ed25519_and_others_verify_it() {
    let mut world = World::new();
    assert_eq!(world.stop_daemon(), 0);
    issue(&world, "ed", "-algorithm ed25519");
    world
        .openssl("x509 -in ed.pem -outform DER -out ed.der")
        .ok();
    let id = ["--id", "ed01", "--label", "ed"];
    tool(
        &world,
        "softhsm2-util",
        &[
            &[
                "--import",
                "ed.key",
                "--token",
                "privyseal-demo",
                "--pin",
                PIN,
            ][..],
            &id,
        ]
        .concat(),
    );
    let module = "/usr/lib/softhsm/libsofthsm2.so";
    tool(
        &world,
        "pkcs11-tool",
        &[
            &[
                "--module",
                module,
                "--token-label",
                "privyseal-demo",
                "--login",
                "--pin",
                PIN,
                "--write-object",
                "ed.der",
                "--type",
                "cert",
            ][..],
            &id,
        ]
        .concat(),
    );
    world.start_daemon();
    world.unlock();
    world.write("mail.txt", MAIL);

    let listed = world.privyseal(["cert", "list", "--json"]).ok().text();
    assert!(listed.contains("\"ed25519\""), "{listed}");
    for (form, format) in [
        ("clear", "smime"),
        ("opaque", "smime"),
        ("opaque", "der"),
        ("detached", "der"),
    ] {
        let out = format!("{form}.{format}");
        let signed = world
            .privyseal([
                "sign", "--json", "-s", "ed.pem", "--form", form, "--format", format, "-o", &out,
                "mail.txt",
            ])
            .ok()
            .json();
        assert_eq!(signed["algorithm"], "ed25519", "{signed}");
        assert_eq!(signed["digest"], "sha512", "{signed}");
        let more: &[&str] = if form == "detached" {
            &["--content", "mail.txt"]
        } else {
            &[]
        };
        let signer = verified(&world, &out, more);
        assert_eq!(signer["algorithm"], "ed25519", "{signer}");
    }
    bouncy_castle(&world, "verify opaque.der ed.pem by-bouncy-castle");
    assert_eq!(world.read("by-bouncy-castle"), MAIL.as_bytes());

    let refused = world.privyseal([
        "sign", "-s", "ed.pem", "--digest", "sha256", "-o", "out", "mail.txt",
    ]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("sha512"), "{}", refused.stderr);
}

#[test]
fn what_bouncy_castle_signs_is_verified() {
    let world = World::new();
    world.write("mail.txt", MAIL);
    let curve = |name: &str| format!("-algorithm EC -pkeyopt ec_paramgen_curve:{name}");
    let rsa = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    let kinds = [
        ("ed", "-algorithm ed25519".to_owned()),
        ("rsa", rsa.to_owned()),
        ("p256", curve("P-256")),
        ("p521", curve("P-521")),
        ("bp256", curve("brainpoolP256r1")),
        ("bp384", curve("brainpoolP384r1")),
    ];
    for (name, key) in &kinds {
        issue(&world, name, key);
    }
    let cells = [
        ("Ed25519", "ed", "ed25519", "sha512"),
        ("SHA3-256WITHRSA", "rsa", "rsa-pkcs1", "sha3-256"),
        ("SHA3-512WITHRSA", "rsa", "rsa-pkcs1", "sha3-512"),
        ("SHA3-256WITHRSAANDMGF1", "rsa", "rsa-pss", "sha3-256"),
        ("SHA384WITHRSAANDMGF1", "rsa", "rsa-pss", "sha384"),
        ("SHA3-224WITHECDSA", "p256", "ecdsa", "sha3-224"),
        ("SHA3-256WITHECDSA", "p256", "ecdsa", "sha3-256"),
        ("SHA3-512WITHECDSA", "p521", "ecdsa", "sha3-512"),
        ("SHA256WITHECDSA", "bp256", "ecdsa", "sha256"),
        ("SHA3-384WITHECDSA", "bp384", "ecdsa", "sha3-384"),
    ];
    let jobs: Vec<String> = cells
        .iter()
        .map(|(name, key, ..)| format!("sign {name} {key}.key {key}.pem mail.txt {name}.der"))
        .collect();
    bouncy_castle(&world, &jobs.join(" "));
    for (name, _, algorithm, digest) in cells {
        let signer = verified(&world, &format!("{name}.der"), &[]);
        assert_eq!(signer["algorithm"], algorithm, "{name}: {signer}");
        assert_eq!(signer["digest"], digest, "{name}: {signer}");
    }
}
