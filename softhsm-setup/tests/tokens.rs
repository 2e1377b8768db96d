//! `privyseal-softhsm` with the real SoftHSM; openssl and OpenSC's pkcs11-tool are the witnesses.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PIN: &str = "24-canary-42";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

fn softhsm(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_privyseal-softhsm"))
        .args(args)
        .env_remove("SOFTHSM2_CONF")
        .output()
        .unwrap()
}

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn openssl(dir: &Path, args: &str) -> Output {
    Command::new("openssl")
        .current_dir(dir)
        .args(args.split(' '))
        .output()
        .unwrap()
}

/// pkcs11-tool on the token in `dir`, logged in.
fn tool(dir: &Path, args: &str) -> Output {
    Command::new("pkcs11-tool")
        .current_dir(dir)
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"))
        .args([
            "--module",
            MODULE,
            "--token-label",
            "privyseal-demo",
            "--login",
            "--pin",
            PIN,
        ])
        .args(args.split(' '))
        .output()
        .unwrap()
}

/// CKA_ID of a private key in pkcs11-tool's listing (its `--sign` heeds `--id`, but not `--label`).
fn id_of(listed: &str, label: &str) -> String {
    let key = listed
        .split("Private Key Object")
        .find(|k| k.contains(&format!("{label}\n")))
        .unwrap();
    let id = key
        .lines()
        .find_map(|line| line.trim().strip_prefix("ID:"))
        .unwrap();
    id.trim().to_owned()
}

fn made() -> (tempfile::TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap().join("demo token's");
    ok(softhsm(&[
        "init",
        "--dir",
        dir.to_str().unwrap(),
        "--pin",
        PIN,
    ]));
    (temp, dir)
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                all.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn openssl_accepts_every_certificate_with_its_crls() {
    let (_temp, dir) = made();
    let trust = "-x509_strict -crl_check_all -CAfile anchor.pem -untrusted intermediate.pem -CRLfile crl/root.crl -CRLfile crl/intermediate.crl";
    for name in ["me-rsa-sign", "me-ec-sign", "peer-rsa", "peer-ec"] {
        ok(openssl(
            &dir,
            &format!("verify -purpose smimesign {trust} {name}.pem"),
        ));
    }
    ok(openssl(
        &dir,
        &format!("verify -purpose smimeencrypt {trust} me-rsa-encrypt.pem"),
    ));
    ok(openssl(&dir, &format!("verify {trust} me-ec-encrypt.pem")));
    for (name, email, usage) in [
        (
            "me-rsa-sign",
            "alice",
            "Digital Signature, Non Repudiation\n",
        ),
        ("me-rsa-encrypt", "alice", "Key Encipherment\n"),
        (
            "me-ec-sign",
            "alice",
            "Digital Signature, Non Repudiation\n",
        ),
        ("me-ec-encrypt", "alice", "Key Agreement\n"),
        (
            "peer-rsa",
            "bob",
            "Digital Signature, Non Repudiation, Key Encipherment\n",
        ),
        (
            "peer-ec",
            "bob",
            "Digital Signature, Non Repudiation, Key Agreement\n",
        ),
    ] {
        let text = ok(openssl(&dir, &format!("x509 -in {name}.pem -noout -text")));
        assert!(text.contains(usage), "{name}: {text}");
        assert!(
            text.contains(&format!("email:{email}@example.org")),
            "{name}: {text}"
        );
        assert!(text.contains("E-mail Protection"), "{name}: {text}");
    }
    let crl = ok(openssl(&dir, "crl -in crl/intermediate.crl -noout -text"));
    assert!(
        crl.contains("Version 2") && crl.contains("CRL Number"),
        "{crl}"
    );
}

#[test]
fn keys_on_the_token_are_sensitive_and_have_one_use_each() {
    let (_temp, dir) = made();
    let listed = ok(tool(&dir, "-O --type privkey"));
    let access = "sensitive, always sensitive, never extractable, local";
    assert_eq!(listed.matches(access).count(), 4, "{listed}");
    for (label, usage) in [
        ("rsa-sign", "sign"),
        ("rsa-encrypt", "decrypt"),
        ("ec-sign", "sign"),
        ("ec-encrypt", "derive"),
    ] {
        let key = listed
            .split("Private Key Object")
            .find(|k| k.contains(label))
            .unwrap();
        assert!(
            key.contains(&format!("Usage:      {usage}\n")),
            "{label}: {key}"
        );
    }
    for class in ["cert", "pubkey"] {
        let others = ok(tool(&dir, &format!("-O --type {class}")));
        for id in listed.lines().filter(|line| line.contains("ID:")) {
            assert!(others.contains(id.trim()), "{class}: {id} in {others}");
        }
    }
}

#[test]
fn the_keys_on_the_token_are_those_of_the_certificates() {
    let (_temp, dir) = made();
    let listed = ok(tool(&dir, "-O --type privkey"));
    fs::write(dir.join("data/text"), "hello").unwrap();
    for (label, mechanism, format) in [
        ("rsa-sign", "SHA256-RSA-PKCS", "rs"),
        ("ec-sign", "ECDSA-SHA256", "openssl"),
    ] {
        let id = id_of(&listed, label);
        // SoftHSM signs no hash-and-ECDSA: hand it the digest
        ok(openssl(
            &dir,
            "dgst -sha256 -binary -out data/digest data/text",
        ));
        let (mechanism, input) = match mechanism {
            "ECDSA-SHA256" => ("ECDSA", "data/digest"),
            other => (other, "data/text"),
        };
        ok(tool(
            &dir,
            &format!(
                "--sign --id {id} -m {mechanism} --signature-format {format} -i {input} -o data/sig"
            ),
        ));
        ok(openssl(
            &dir,
            &format!("x509 -in me-{label}.pem -noout -pubkey -out data/pub"),
        ));
        ok(openssl(
            &dir,
            "dgst -sha256 -verify data/pub -signature data/sig data/text",
        ));
    }
}

#[test]
fn a_second_run_says_so_and_changes_nothing() {
    let (_temp, dir) = made();
    let before = contents(&dir);
    let said = ok(softhsm(&[
        "init",
        "--dir",
        dir.to_str().unwrap(),
        "--pin",
        "other",
    ]));
    assert!(said.contains("nothing changed"), "{said}");
    assert!(before == contents(&dir));
}

#[test]
fn an_unfinished_run_is_done_again_and_foreign_files_are_left_alone() {
    let (_temp, dir) = made();
    fs::write(dir.join(".unfinished"), "").unwrap();
    fs::write(dir.join("mine.txt"), "mine").unwrap();
    fs::remove_file(dir.join("privyseal.toml")).unwrap();
    ok(softhsm(&[
        "init",
        "--dir",
        dir.to_str().unwrap(),
        "--pin",
        PIN,
    ]));
    assert_eq!(fs::read_to_string(dir.join("mine.txt")).unwrap(), "mine");
    assert_eq!(
        ok(tool(&dir, "-O --type privkey"))
            .matches("label:")
            .count(),
        4
    );

    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("tokens")).unwrap();
    let refused = softhsm(&["init", "--dir", temp.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn the_pin_lies_in_no_file() {
    let (_temp, dir) = made();
    for (path, bytes) in contents(&dir) {
        assert!(
            !bytes.windows(PIN.len()).any(|w| w == PIN.as_bytes()),
            "{}",
            path.display()
        );
    }
}

/// Keys of every kind and form, imported in one call without the PIN, which stays what it was.
#[test]
fn import_takes_many_keys_of_every_form_in_one_call() {
    let (_temp, dir) = made();
    let keys = [
        ("rsa", "genrsa -out data/rsa.key 2048"),
        (
            "rsa-trad",
            "genrsa -traditional -out data/rsa-trad.key 3072",
        ),
        (
            "p256",
            "ecparam -name prime256v1 -genkey -out data/p256.key",
        ),
        (
            "p384",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out data/p384.key",
        ),
        (
            "p521",
            "ecparam -name secp521r1 -genkey -noout -out data/p521.key",
        ),
    ];
    let mut args: Vec<String> = ["import", "--dir", dir.to_str().unwrap()]
        .map(String::from)
        .to_vec();
    for (name, make) in keys {
        ok(openssl(&dir, make));
        ok(openssl(
            &dir,
            &format!(
                "req -x509 -new -key data/{name}.key -out data/{name}.pem -days 30 -subj /CN={name}"
            ),
        ));
        for (flag, value) in [
            ("--key", format!("{}/data/{name}.key", dir.display())),
            ("--cert", format!("{}/data/{name}.pem", dir.display())),
            ("--label", format!("imported-{name}")),
        ] {
            args.extend([flag.into(), value]);
        }
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    ok(softhsm(&args));
    let again = ok(softhsm(&args));
    assert_eq!(again.matches("nothing changed").count(), 5, "{again}");

    let listed = ok(tool(&dir, "-O --type privkey"));
    assert_eq!(listed.matches("Private Key Object").count(), 9, "{listed}");
    fs::write(dir.join("data/text"), "hello").unwrap();
    for (name, _) in keys {
        let key = listed
            .split("Private Key Object")
            .find(|k| k.contains(&format!("imported-{name}\n")))
            .unwrap();
        assert!(
            key.contains("sensitive") && !key.contains("extractable,"),
            "{key}"
        );
        ok(openssl(
            &dir,
            "dgst -sha256 -binary -out data/digest data/text",
        ));
        let id = id_of(&listed, &format!("imported-{name}"));
        let how = if name.starts_with("rsa") {
            "-m SHA256-RSA-PKCS -i data/text"
        } else {
            "-m ECDSA --signature-format openssl -i data/digest"
        };
        ok(tool(&dir, &format!("--sign --id {id} {how} -o data/sig")));
        ok(openssl(
            &dir,
            &format!("x509 -in data/{name}.pem -noout -pubkey -out data/pub"),
        ));
        ok(openssl(
            &dir,
            "dgst -sha256 -verify data/pub -signature data/sig data/text",
        ));
    }
}

#[test]
fn import_refuses_what_does_not_belong_together_and_changes_nothing() {
    let (_temp, dir) = made();
    let before = contents(&dir);
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (dir_arg, key, cert) = (at(""), at("peer-rsa.key"), at("peer-ec.pem"));
    let base = [
        "import", "--dir", &dir_arg, "--key", &key, "--label", "x", "--cert",
    ];
    let wrong = softhsm(&[&base[..], &[&cert]].concat());
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let uneven = softhsm(&[&base[..], &[&cert, "--label", "y"]].concat());
    assert_eq!(uneven.status.code(), Some(2), "{uneven:?}");
    assert!(before == contents(&dir));
}

#[test]
fn env_leads_a_shell_to_the_token() {
    let (_temp, dir) = made();
    let output = Command::new("sh")
        .arg("-c")
        .arg(r#"eval "$("$0" env --dir "$1")" && printf '%s\n' "$SOFTHSM2_CONF" "$PRIVYSEAL_CONFIG" "$XDG_DATA_HOME" "$XDG_CACHE_HOME" "$XDG_RUNTIME_DIR""#)
        .args([env!("CARGO_BIN_EXE_privyseal-softhsm"), dir.to_str().unwrap()])
        .output()
        .unwrap();
    for line in ok(output).lines() {
        assert!(
            line.starts_with(dir.to_str().unwrap()) && Path::new(line).exists(),
            "{line}"
        );
    }
    let nothing = softhsm(&["env", "--dir", "/nonexistent"]);
    assert!(
        !nothing.status.success() && String::from_utf8_lossy(&nothing.stderr).contains("hint:")
    );
}
