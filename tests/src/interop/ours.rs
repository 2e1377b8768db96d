//! Privyseal's side of the matrix.

use std::path::Path;

use serde_json::{Value, json};

use super::bench::outcome;
use super::{Bench, Form, Format, Job, Key, Lack, Management, Scheme, Who, Work};

/// What keeps Privyseal from making this.
pub fn cannot_write(work: &Work) -> Option<Lack> {
    match work {
        Work::Sign {
            signers,
            ski,
            attributes,
            counter,
            ..
        } => {
            if *ski {
                return Some(Lack::NoOption(
                    "Privyseal names signers by issuer and serial number",
                ));
            }
            if !attributes {
                return Some(Lack::NoOption("Privyseal always signs with attributes"));
            }
            if *counter || signers.len() > 1 {
                return Some(Lack::NoOption("Privyseal makes one signature"));
            }
            signers.iter().find_map(|signer| cannot_sign(signer.1))
        }
        Work::Certificates => Some(Lack::NoOption(
            "Privyseal makes no messages of certificates alone",
        )),
        Work::Encrypt {
            recipients,
            management,
            cipher,
            ski,
            ..
        } => {
            if *ski {
                return Some(Lack::NoOption(
                    "Privyseal names recipients by issuer and serial number",
                ));
            }
            if cipher.is_weak() {
                return Some(Lack::Refusal {
                    why: "Privyseal only reads weak ciphers",
                    says: "does not write the cipher",
                });
            }
            let key = recipients.first().copied()?;
            cannot_manage(key, *management)
        }
        Work::Compress { .. } => None,
    }
}

fn cannot_sign(scheme: Scheme) -> Option<Lack> {
    if scheme.is_weak() {
        return Some(Lack::Refusal {
            why: "Privyseal only reads weak digests",
            says: "does not write the digest",
        });
    }
    let sha3 = scheme.digest().starts_with("sha3-");
    if sha3 && matches!(scheme, Scheme::Pkcs1(_) | Scheme::Pss { .. }) {
        return Some(Lack::Refusal {
            why: "Privyseal asks no token for RSA with SHA-3",
            says: "keys on tokens are not used for RSA with sha3-",
        });
    }
    match scheme {
        Scheme::Pss { digest, mgf, salt } if digest != mgf || salt != digest_len(digest) => {
            Some(Lack::NoOption(
                "Privyseal signs by RSA-PSS with a mask of the same digest and a salt of its length",
            ))
        }
        Scheme::MlDsa => Some(Lack::NoOption(
            "SoftHSM has no ML-DSA; kryoptic signs by it (tests/tests/post_quantum.rs)",
        )),
        _ => None,
    }
}

fn digest_len(digest: &str) -> usize {
    match digest {
        "sha224" | "sha3-224" => 28,
        "sha384" | "sha3-384" => 48,
        "sha512" | "sha3-512" => 64,
        _ => 32,
    }
}

fn cannot_manage(key: Key, management: Management) -> Option<Lack> {
    match management {
        Management::Oaep { hash, mgf, label } => {
            (hash != "sha256" || mgf != "sha256" || !label.is_empty()).then_some(Lack::NoOption(
                "Privyseal encrypts by RSA-OAEP with SHA-256 and no label",
            ))
        }
        Management::Ecdh { kdf, cofactor } => {
            let own = match key {
                Key::P384 => "sha384",
                Key::P521 => "sha512",
                _ => "sha256",
            };
            (cofactor || kdf != own).then_some(Lack::NoOption(
                "Privyseal encrypts by stdDH with the digest that is as strong as the curve",
            ))
        }
        Management::EcdhStatic => Some(Lack::NoOption(
            "Privyseal makes a key of its own for every key agreement",
        )),
        Management::X25519(digest) => (digest != "sha256").then_some(Lack::NoOption(
            "Privyseal encrypts to X25519 keys by HKDF with SHA-256",
        )),
        Management::MlKem => Some(Lack::NoOption("no peer here has a key of this kind")),
        Management::Pkcs1 | Management::Mixed => None,
    }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Smime => "smime",
        Format::Der | Format::Ber => "der",
        Format::Pem => "pem",
    }
}

/// Makes a message of Alice for Bob, and compares what is said about it.
pub fn write(bench: &Bench, job: &Job<'_>) -> Result<(), String> {
    let mut args: Vec<String> = Vec::new();
    let mut more = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    let expected = match job.work {
        Work::Sign { signers, form, .. } => {
            let (key, scheme) = *signers.first().ok_or("no signer")?;
            more(&["sign", "-s", &bench.certificate(Who::Alice, key)]);
            more(&[
                "--form",
                match form {
                    Form::Clear => "clear",
                    Form::Opaque => "opaque",
                    Form::Detached => "detached",
                },
            ]);
            more(&["--digest", scheme.digest()]);
            if matches!(scheme, Scheme::Pss { .. }) {
                more(&["--pss"]);
            }
            json!({"algorithm": scheme.name(), "digest": scheme.digest()})
        }
        Work::Encrypt {
            recipients,
            management,
            cipher,
            ..
        } => {
            more(&["encrypt", "--no-self", "--cipher", cipher.0]);
            for key in recipients {
                more(&["-r", &bench.certificate(Who::Bob, *key)]);
            }
            if matches!(management, Management::Oaep { .. }) {
                more(&["--oaep"]);
            }
            json!({"cipher": cipher.0, "authenticated": cipher.is_authenticated()})
        }
        Work::Compress { .. } => {
            more(&["compress"]);
            json!({"algorithm": "zlib"})
        }
        Work::Certificates => return Err("not made".to_owned()),
    };
    let message = job.message.display().to_string();
    let content = job.content.display().to_string();
    more(&["--format", format_name(job.work.format())]);
    more(&["--json", "-o", &message, &content]);
    let run = bench.world.privyseal(&args);
    outcome(&run)?;
    compare(&expected, &run.json())
}

/// What keeps Privyseal from reading this, though somebody makes it.
pub fn cannot_read(work: &Work) -> Option<Lack> {
    match work {
        Work::Encrypt {
            management: Management::MlKem,
            ..
        } => Some(Lack::NoOption("SoftHSM has no ML-KEM")),
        _ => None,
    }
}

/// Reads a message of Bob for Alice: the content is left in `seen`, and the facts are compared.
pub fn read(bench: &Bench, job: &Job<'_>) -> Result<(), String> {
    let message = job.message.display().to_string();
    let seen = job.seen.display().to_string();
    match job.work {
        Work::Sign { signers, .. } => verify(bench, job, signers),
        Work::Certificates => {
            let run = bench.world.privyseal(["verify", "--json", &message]);
            let told = run.json();
            if run.code == 3 && told["verdict"] == "not-signed" && told["signatures"] == json!([]) {
                Ok(())
            } else {
                Err(format!("exit {}: {told}", run.code))
            }
        }
        Work::Encrypt {
            recipients,
            management,
            cipher,
            ..
        } => {
            let run = bench
                .world
                .privyseal(["decrypt", "--json", &message, "-o", &seen]);
            outcome(&run)?;
            let weak = cipher.is_weak();
            let expected = json!({
                "cipher": cipher.0,
                "authenticated": cipher.is_authenticated(),
                "weak": weak,
                "recipients": recipients.len(),
            });
            let told = run.json();
            compare(&expected, &told)?;
            // of several keys that fit, any may be taken
            let names: Vec<&str> = recipients
                .iter()
                .map(|key| management_name(*key, *management))
                .collect();
            if names.iter().any(|name| told["key_management"] == *name) {
                Ok(())
            } else {
                Err(format!("key management is not of {names:?}: {told}"))
            }
        }
        Work::Compress { .. } => {
            let run = bench
                .world
                .privyseal(["decompress", "--json", &message, "-o", &seen]);
            outcome(&run)?;
            compare(&json!({"algorithm": "zlib"}), &run.json())
        }
    }
}

fn management_name(key: Key, management: Management) -> &'static str {
    match management {
        Management::Pkcs1 => "rsa-pkcs1",
        Management::Oaep { .. } => "rsa-oaep",
        Management::Ecdh { .. } | Management::EcdhStatic | Management::X25519(_) => "ecdh",
        Management::MlKem => "kem",
        Management::Mixed if key == Key::Rsa => "rsa-pkcs1",
        Management::Mixed => "ecdh",
    }
}

fn verify(bench: &Bench, job: &Job<'_>, signers: &[(Key, Scheme)]) -> Result<(), String> {
    let weak = signers.iter().any(|(_, scheme)| scheme.is_weak());
    let anchor = bench.text("ca.pem");
    let mut args = vec!["verify", "--json", "--trust-anchor", &anchor];
    let (message, seen) = (
        job.message.display().to_string(),
        job.seen.display().to_string(),
    );
    let content = job.content.display().to_string();
    args.extend(["--sender", Who::Bob.address(), "-o", &seen, &message]);
    if weak {
        args.push("--even-if-bad");
    }
    if job.work.is_detached() {
        args.extend(["--content", &content]);
    }
    let run = bench.world.privyseal(args);
    let told = run.json();
    // what rests on a weak digest is read, and believed by nobody
    let (verdict, code) = if weak { ("unknown", 3) } else { ("good", 0) };
    if run.code != code || told["verdict"] != verdict {
        return Err(format!("exit {}: {told}", run.code));
    }
    let all = told["signatures"].as_array().ok_or("no signatures")?;
    if all.len() != signers.len() {
        return Err(format!("{} signatures: {told}", all.len()));
    }
    for (_, scheme) in signers {
        let expected = json!({
            "signature": "valid",
            "chain": "valid",
            "sender": "match",
            "algorithm": scheme.name(),
            "digest": scheme.digest(),
            "weak": scheme.is_weak(),
        });
        if !all.iter().any(|one| compare(&expected, one).is_ok()) {
            return Err(format!("no signature with {expected}: {told}"));
        }
    }
    Ok(())
}

/// Every field of `expected` is in `told`.
fn compare(expected: &Value, told: &Value) -> Result<(), String> {
    let fields = expected.as_object().into_iter().flatten();
    for (name, value) in fields {
        if told.get(name) != Some(value) {
            return Err(format!("{name} is not {value}: {told}"));
        }
    }
    Ok(())
}

/// Whether the content came out as it went in; takes it away.
pub fn same_content(job: &Job<'_>) -> Result<(), String> {
    if matches!(job.work, Work::Certificates) {
        return Ok(());
    }
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let (went, came) = (read(&job.content)?, read(&job.seen)?);
    let _ = std::fs::remove_file(&job.seen);
    if went == came {
        Ok(())
    } else {
        Err(format!(
            "{} bytes of content became {}: {:?}",
            went.len(),
            came.len(),
            String::from_utf8_lossy(came.get(..200).unwrap_or(&came))
        ))
    }
}
