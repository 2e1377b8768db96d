//! Bouncy Castle, by `peers/Interop.java`: one run of Java for all jobs.

use std::path::Path;

use super::{Bench, Cipher, Form, Format, Job, Key, Lack, Management, Peer, Scheme, Who, Work};

pub struct BouncyCastle;

const X25519: &str = "Bouncy Castle 1.72 does not know the HKDF schemes of RFC 8418";

impl Peer for BouncyCastle {
    fn name(&self) -> &'static str {
        "Bouncy Castle"
    }

    fn cannot_write(&self, work: &Work) -> Option<Lack> {
        match work {
            Work::Sign { signers, .. } => signers.iter().find_map(|(_, scheme)| match scheme {
                Scheme::Pss { digest, mgf, .. } if digest != mgf => Some(Lack::Refusal {
                    why: "Bouncy Castle 1.72 signs by RSA-PSS with a mask of the same digest",
                    says: "no such algorithm",
                }),
                Scheme::MlDsa => Some(Lack::Refusal {
                    why: "Bouncy Castle 1.72 has no ML-DSA",
                    says: "Unknown signature type requested: ML-DSA-65",
                }),
                _ => None,
            }),
            Work::Encrypt {
                management: Management::X25519(_),
                ..
            } => Some(Lack::Refusal {
                why: X25519,
                says: "Unknown key agreement algorithm",
            }),
            Work::Encrypt {
                management: Management::MlKem,
                ..
            } => Some(Lack::NoOption("Bouncy Castle 1.72 has no ML-KEM")),
            Work::Encrypt {
                cipher,
                format: Format::Smime,
                ..
            } if cipher.is_authenticated() => Some(Lack::NoOption(
                "Bouncy Castle 1.72 has no S/MIME generator for authenticated-enveloped-data",
            )),
            Work::Encrypt { cipher, .. } if cipher.0 == "chacha20-poly1305" => {
                Some(Lack::Refusal {
                    why: "Bouncy Castle 1.72 does not take ChaCha20-Poly1305 for an AEAD",
                    says: "cannot be cast to class org.bouncycastle.operator.OutputAEADEncryptor",
                })
            }
            _ => None,
        }
    }

    fn cannot_read(&self, work: &Work, reader: Key) -> Option<Lack> {
        match work {
            Work::Encrypt { cipher, .. } if cipher.is_authenticated() && reader != Key::Rsa => {
                Some(Lack::Refusal {
                    why: "Bouncy Castle 1.72 opens authenticated-enveloped-data by key transport alone",
                    says: "no key agreement in authenticated-enveloped-data",
                })
            }
            Work::Encrypt {
                management: Management::X25519(_),
                ..
            } => Some(Lack::Refusal {
                why: X25519,
                says: "cannot create key agreement",
            }),
            _ => None,
        }
    }

    fn write(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>> {
        let lines: Vec<String> = jobs.iter().map(|job| write_line(bench, job)).collect();
        let said = run(bench, "write.jobs", &lines);
        said.into_iter().map(|one| one.map(|_| ())).collect()
    }

    fn read(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>> {
        let lines: Vec<String> = jobs.iter().map(|job| read_line(bench, job)).collect();
        let said = run(bench, "read.jobs", &lines);
        said.into_iter()
            .zip(jobs)
            .map(|(said, job)| compare(&said?, job))
            .collect()
    }
}

/// What it says to each line.
fn run(bench: &Bench, name: &str, lines: &[String]) -> Vec<Result<String, String>> {
    let jars = [
        "bcmail",
        "bcpkix",
        "bcutil",
        "bcprov",
        "javax.mail",
        "javax.activation",
    ];
    let jars = jars.map(|jar| format!("/usr/share/java/{jar}.jar"));
    for jar in &jars {
        assert!(Path::new(jar).exists(), "{jar}: scripts/install-deps.sh");
    }
    let jobs = bench.path(name);
    std::fs::write(&jobs, lines.join("\n")).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/Interop.java");
    let (program, jobs) = (program.display().to_string(), jobs.display().to_string());
    let run = bench.run("java", ["-cp", &jars.join(":"), &program, &jobs]);
    let said = run.ok().text();
    said.lines()
        .map(|line| match line.split_once('\t') {
            Some(("ok", seen)) => Ok(seen.trim().to_owned()),
            Some(("failed", why)) => Err(why.to_owned()),
            _ => panic!("{line}"),
        })
        .collect()
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Smime => "smime",
        Format::Der => "der",
        Format::Pem => "pem",
        Format::Ber => "ber",
    }
}

fn form_name(form: Form) -> &'static str {
    match form {
        Form::Clear => "clear",
        Form::Opaque => "opaque",
        Form::Detached => "detached",
    }
}

fn pair(bench: &Bench, key: Key) -> String {
    let (secret, certificate) = (bench.key(Who::Bob, key), bench.certificate(Who::Bob, key));
    format!("{secret}:{certificate}")
}

/// As Java names a signature.
fn algorithm(scheme: Scheme) -> String {
    let digest = |name: &str| match name.strip_prefix("sha3-") {
        Some(bits) => format!("SHA3-{bits}"),
        None => name.to_uppercase(),
    };
    match scheme {
        Scheme::Pkcs1(name) => format!("{}WITHRSA", digest(name)),
        Scheme::Pss { digest: name, .. } => format!("{}WITHRSAANDMGF1", digest(name)),
        Scheme::Ecdsa(name) => format!("{}WITHECDSA", digest(name)),
        Scheme::Ed25519 => "Ed25519".to_owned(),
        Scheme::MlDsa => "ML-DSA-65".to_owned(),
    }
}

/// As Java names a digest: `SHA-256`, `SHA3-256`.
fn digest(name: &str) -> String {
    match name.strip_prefix("sha") {
        Some(rest) if !rest.starts_with('3') || rest == "384" => format!("SHA-{rest}"),
        _ => name.to_uppercase(),
    }
}

fn write_line(bench: &Bench, job: &Job<'_>) -> String {
    let mut line = format!(
        "content={}\tout={}\tformat={}",
        job.content.display(),
        job.message.display(),
        format_name(job.work.format())
    );
    let mut more = |field: &str, value: &str| line.push_str(&format!("\t{field}={value}"));
    match job.work {
        Work::Sign {
            signers,
            form,
            ski,
            attributes,
            counter,
            ..
        } => {
            let pairs: Vec<String> = signers.iter().map(|(key, _)| pair(bench, *key)).collect();
            let algorithms: Vec<String> = signers.iter().map(|(_, s)| algorithm(*s)).collect();
            more("do", "sign");
            more("form", form_name(*form));
            more("signers", &pairs.join(","));
            more("algorithms", &algorithms.join(","));
            if let Scheme::Pss {
                digest: hash,
                mgf,
                salt,
            } = signers[0].1
            {
                more("pss", &format!("{}/{}/{salt}", digest(hash), digest(mgf)));
            }
            if *ski {
                more("ski", "yes");
            }
            if !attributes {
                more("no-attributes", "yes");
            }
            if *counter {
                let by = pair(bench, Key::P256);
                more("counter", &format!("{by},SHA256WITHECDSA"));
            }
        }
        Work::Certificates => {
            let pairs = [pair(bench, Key::Rsa), pair(bench, Key::P256)];
            more("do", "certificates");
            more("certificates", &pairs.join(","));
        }
        Work::Encrypt {
            recipients,
            management,
            cipher,
            ski,
            ..
        } => {
            let certificates: Vec<String> = recipients
                .iter()
                .map(|key| bench.certificate(Who::Alice, *key))
                .collect();
            more("do", "encrypt");
            more("recipients", &certificates.join(","));
            more("cipher", cipher_oid(*cipher));
            more("key-length", &cipher.key_len().to_string());
            if cipher.0.starts_with("rc2") {
                more("bits", &(8 * cipher.key_len()).to_string());
            }
            if cipher.is_authenticated() {
                more("authenticated", "yes");
            }
            if *ski {
                more("ski", "yes");
            }
            match management {
                Management::Oaep { hash, mgf, label } => {
                    let label = if label.is_empty() {
                        String::new()
                    } else {
                        format!("/{label}")
                    };
                    more("oaep", &format!("{}/{}{label}", digest(hash), digest(mgf)));
                }
                Management::Ecdh { kdf, cofactor } => more("scheme", scheme_oid(kdf, *cofactor)),
                Management::EcdhStatic => {
                    more("scheme", scheme_oid("sha256", false));
                    more("originator", &pair(bench, recipients[0]));
                }
                Management::Mixed => more("scheme", scheme_oid("sha256", false)),
                Management::X25519(digest) => more("scheme", hkdf_oid(digest)),
                Management::Pkcs1 | Management::MlKem => {}
            }
        }
        Work::Compress { .. } => more("do", "compress"),
    }
    line
}

fn read_line(bench: &Bench, job: &Job<'_>) -> String {
    let mut line = format!(
        "message={}\tcontent={}\tout={}\tformat={}",
        job.message.display(),
        job.content.display(),
        job.seen.display(),
        format_name(job.work.format())
    );
    let mut more = |field: &str, value: &str| line.push_str(&format!("\t{field}={value}"));
    match job.work {
        Work::Sign { form, .. } => {
            more("do", "verify");
            more("form", form_name(*form));
        }
        Work::Encrypt { .. } => {
            more("do", "decrypt");
            more("recipient", &pair(bench, job.reader));
        }
        Work::Compress { .. } | Work::Certificates => more("do", "decompress"),
    }
    line
}

/// The OIDs that it has seen are those that were meant.
fn compare(seen: &str, job: &Job<'_>) -> Result<(), String> {
    let mut expected: Vec<&str> = Vec::new();
    match job.work {
        Work::Sign { signers, .. } => {
            for (_, scheme) in signers {
                expected.extend([digest_oid(scheme.digest()), signature_oid(*scheme)]);
            }
        }
        Work::Encrypt {
            management, cipher, ..
        } => {
            // it does not tell the cipher of authenticated-enveloped-data
            if !cipher.is_authenticated() {
                expected.push(cipher_oid(*cipher));
            }
            expected.push(match (management, job.reader) {
                (Management::Oaep { .. }, _) => "1.2.840.113549.1.1.7",
                (Management::Ecdh { kdf, .. }, _) => scheme_oid(kdf, false),
                (_, Key::Rsa) => "1.2.840.113549.1.1.1",
                (_, Key::P384) => scheme_oid("sha384", false),
                (_, Key::P521) => scheme_oid("sha512", false),
                _ => scheme_oid("sha256", false),
            });
        }
        Work::Compress { .. } | Work::Certificates => {}
    }
    if seen == expected.join(" ") {
        Ok(())
    } else {
        Err(format!("it sees {seen}, meant was {}", expected.join(" ")))
    }
}

fn digest_oid(name: &str) -> &'static str {
    match name {
        "sha224" => "2.16.840.1.101.3.4.2.4",
        "sha256" => "2.16.840.1.101.3.4.2.1",
        "sha384" => "2.16.840.1.101.3.4.2.2",
        "sha512" => "2.16.840.1.101.3.4.2.3",
        "sha3-224" => "2.16.840.1.101.3.4.2.7",
        "sha3-256" => "2.16.840.1.101.3.4.2.8",
        "sha3-384" => "2.16.840.1.101.3.4.2.9",
        "sha3-512" => "2.16.840.1.101.3.4.2.10",
        other => panic!("{other} is only read"),
    }
}

fn signature_oid(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Pkcs1(_) => "1.2.840.113549.1.1.1",
        Scheme::Pss { .. } => "1.2.840.113549.1.1.10",
        Scheme::Ecdsa("sha224") => "1.2.840.10045.4.3.1",
        Scheme::Ecdsa("sha256") => "1.2.840.10045.4.3.2",
        Scheme::Ecdsa("sha384") => "1.2.840.10045.4.3.3",
        Scheme::Ecdsa("sha512") => "1.2.840.10045.4.3.4",
        Scheme::Ecdsa("sha3-224") => "2.16.840.1.101.3.4.3.9",
        Scheme::Ecdsa("sha3-256") => "2.16.840.1.101.3.4.3.10",
        Scheme::Ecdsa("sha3-384") => "2.16.840.1.101.3.4.3.11",
        Scheme::Ecdsa("sha3-512") => "2.16.840.1.101.3.4.3.12",
        Scheme::Ed25519 => "1.3.101.112",
        other => panic!("{other:?} is only read"),
    }
}

fn cipher_oid(cipher: Cipher) -> &'static str {
    match cipher.0 {
        "aes128-cbc" => "2.16.840.1.101.3.4.1.2",
        "aes192-cbc" => "2.16.840.1.101.3.4.1.22",
        "aes256-cbc" => "2.16.840.1.101.3.4.1.42",
        "aes128-gcm" => "2.16.840.1.101.3.4.1.6",
        "aes192-gcm" => "2.16.840.1.101.3.4.1.26",
        "aes256-gcm" => "2.16.840.1.101.3.4.1.46",
        "chacha20-poly1305" => "1.2.840.113549.1.9.16.3.18",
        "des-ede3-cbc" => "1.2.840.113549.3.7",
        "rc2-cbc" | "rc2-64-cbc" | "rc2-40-cbc" => "1.2.840.113549.3.2",
        other => panic!("{other}"),
    }
}

/// RFC 5753 §7.1.4
fn scheme_oid(kdf: &str, cofactor: bool) -> &'static str {
    match (kdf, cofactor) {
        ("sha1", false) => "1.3.133.16.840.63.0.2",
        ("sha224", false) => "1.3.132.1.11.0",
        ("sha256", false) => "1.3.132.1.11.1",
        ("sha384", false) => "1.3.132.1.11.2",
        ("sha512", false) => "1.3.132.1.11.3",
        ("sha1", true) => "1.3.133.16.840.63.0.3",
        ("sha224", true) => "1.3.132.1.14.0",
        ("sha256", true) => "1.3.132.1.14.1",
        ("sha384", true) => "1.3.132.1.14.2",
        ("sha512", true) => "1.3.132.1.14.3",
        other => panic!("{other:?}"),
    }
}

/// RFC 8418 §2.2
fn hkdf_oid(digest: &str) -> &'static str {
    match digest {
        "sha256" => "1.2.840.113549.1.9.16.3.19",
        "sha384" => "1.2.840.113549.1.9.16.3.20",
        _ => "1.2.840.113549.1.9.16.3.21",
    }
}
