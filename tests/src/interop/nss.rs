//! NSS' `cmsutil`, with Bob's keys in a database of its own.

use super::bench::outcome;
use super::{Bench, Form, Format, Job, Key, Lack, Management, Peer, Scheme, Who, Work, mime};

pub struct Nss;

/// Those that `certutil` and `pk12util` take: Ed25519 and X25519 are refused.
const KEYS: [Key; 4] = [Key::Rsa, Key::P256, Key::P384, Key::P521];

impl Nss {
    pub fn new(bench: &Bench) -> Self {
        std::fs::create_dir(bench.path("nss")).unwrap();
        let database = database(bench);
        let certutil = |args: &[&str]| {
            let run = bench.run("certutil", [&["-d", &database], args].concat());
            run.ok();
        };
        certutil(&["-N", "--empty-password"]);
        certutil(&[
            "-A",
            "-n",
            "ca",
            "-t",
            "CT,C,C",
            "-i",
            &bench.text("ca.pem"),
        ]);
        for key in KEYS {
            let alice = format!("alice-{}", key.name());
            let certificate = bench.certificate(Who::Alice, key);
            certutil(&["-A", "-n", &alice, "-t", ",,", "-i", &certificate]);
        }
        for key in KEYS {
            let (name, file) = (format!("bob-{}", key.name()), bench.text("bob.p12"));
            let (secret, certificate) =
                (bench.key(Who::Bob, key), bench.certificate(Who::Bob, key));
            bench
                .run(
                    "openssl",
                    [
                        "pkcs12",
                        "-export",
                        "-inkey",
                        &secret,
                        "-in",
                        &certificate,
                        "-name",
                        &name,
                        "-passout",
                        "pass:x",
                        "-out",
                        &file,
                    ],
                )
                .ok();
            bench
                .run(
                    "pk12util",
                    ["-i", &file, "-d", &database, "-W", "x", "-K", ""],
                )
                .ok();
        }
        Nss
    }
}

fn database(bench: &Bench) -> String {
    format!("sql:{}", bench.text("nss"))
}

impl Peer for Nss {
    fn name(&self) -> &'static str {
        "NSS cmsutil"
    }

    fn cannot_write(&self, work: &Work) -> Option<Lack> {
        match work {
            Work::Sign { counter: true, .. } => Some(Lack::NoOption(
                "cmsutil has no option for counter-signatures",
            )),
            Work::Sign { ski: true, .. } => Some(Lack::NoOption(
                "cmsutil names signers by issuer and serial number",
            )),
            Work::Sign {
                attributes: false, ..
            } => Some(Lack::NoOption("cmsutil always signs with attributes here")),
            Work::Sign { signers, .. } if signers.len() > 1 => {
                Some(Lack::NoOption("cmsutil makes one signature"))
            }
            Work::Sign {
                format: Format::Pem | Format::Smime,
                form,
                ..
            } if *form != Form::Clear => Some(NO_FORMAT),
            Work::Sign { signers, .. } => cannot_sign(signers[0].1),
            Work::Certificates => None,
            Work::Encrypt {
                format: Format::Pem | Format::Smime,
                ..
            } => Some(NO_FORMAT),
            Work::Encrypt { ski: true, .. } => Some(Lack::NoOption(
                "cmsutil names recipients by issuer and serial number",
            )),
            Work::Encrypt {
                recipients,
                management,
                cipher,
                ..
            } => match management {
                Management::Oaep { .. } => Some(Lack::NoOption(
                    "cmsutil encrypts to RSA keys by PKCS #1 v1.5",
                )),
                Management::EcdhStatic => {
                    Some(Lack::NoOption("cmsutil does not encrypt to EC keys"))
                }
                Management::MlKem => Some(Lack::NoOption("NSS 3.87 has no ML-KEM")),
                Management::X25519(_) => Some(Lack::NoOption(
                    "certutil takes no certificate of an X25519 key",
                )),
                _ if recipients.iter().any(|key| key.is_ec()) => Some(Lack::Refusal {
                    why: "cmsutil does not encrypt to EC keys",
                    says: "SEC_ERROR_INVALID_ALGORITHM",
                }),
                _ if cipher.0 != "aes128-cbc" => Some(Lack::NoOption(
                    "cmsutil has no option for the cipher: it took AES-128-CBC",
                )),
                _ => None,
            },
            Work::Compress { .. } => Some(Lack::NoOption("cmsutil does not compress")),
        }
    }

    fn cannot_read(&self, work: &Work, reader: Key) -> Option<Lack> {
        let bad_der = |why| Lack::Refusal {
            why,
            says: "SEC_ERROR_BAD_DER",
        };
        match work {
            Work::Sign {
                form: Form::Clear,
                signers,
                ..
            } => cannot_verify(signers[0].1),
            Work::Sign {
                format: Format::Pem | Format::Smime,
                ..
            }
            | Work::Encrypt {
                format: Format::Pem | Format::Smime,
                ..
            }
            | Work::Compress {
                format: Format::Pem | Format::Smime,
            } => Some(bad_der("cmsutil takes DER and BER alone")),
            Work::Sign { signers, .. } => cannot_verify(signers[0].1),
            Work::Certificates => None,
            Work::Encrypt { cipher, .. } if cipher.is_authenticated() => Some(Lack::Refusal {
                why: "NSS 3.87 does not know AuthEnvelopedData",
                says: "SEC_ERROR_UNRECOGNIZED_OID",
            }),
            Work::Encrypt {
                management: Management::Oaep { .. },
                ..
            } => Some(Lack::Refusal {
                why: "NSS 3.87 does not decrypt by RSA-OAEP in CMS",
                says: "SEC_ERROR_UNSUPPORTED_KEYALG",
            }),
            Work::Encrypt { recipients, .. } if reader != Key::Rsa || recipients.len() > 1 => {
                Some(bad_der(
                    "NSS 3.87 does not read a message with a recipient by key agreement on a curve",
                ))
            }
            Work::Encrypt { .. } => None,
            Work::Compress { .. } => Some(Lack::Refusal {
                why: "NSS 3.87 does not know CompressedData",
                says: "SEC_ERROR_UNRECOGNIZED_OID",
            }),
        }
    }

    fn write(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>> {
        jobs.iter().map(|job| write(bench, job)).collect()
    }

    fn read(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>> {
        jobs.iter().map(|job| read(bench, job)).collect()
    }
}

const NO_FORMAT: Lack = Lack::NoOption("cmsutil writes DER and BER alone");

fn cannot_sign(scheme: Scheme) -> Option<Lack> {
    match scheme {
        Scheme::Pss { .. } => Some(Lack::NoOption("cmsutil has no option for RSA-PSS")),
        Scheme::Ed25519 => Some(Lack::Refusal {
            why: "pk12util takes no Ed25519 key",
            says: "the corresponding cert for key \"bob-ed25519\" does not exist",
        }),
        Scheme::MlDsa => Some(Lack::NoOption("NSS 3.87 has no ML-DSA")),
        Scheme::Pkcs1("md5") => Some(Lack::Refusal {
            why: "NSS 3.87 does not sign with MD5",
            says: "SEC_ERROR_SIGNATURE_ALGORITHM_DISABLED",
        }),
        Scheme::Pkcs1(digest) | Scheme::Ecdsa(digest) => {
            let refused = |why| Lack::Refusal {
                why,
                says: "-H requires one of MD2,MD4,MD5,SHA1,SHA256,SHA384,SHA512",
            };
            match digest {
                "sha224" => Some(refused("cmsutil has no option for SHA-224")),
                _ if digest.starts_with("sha3-") => {
                    Some(refused("cmsutil has no option for SHA-3"))
                }
                _ => None,
            }
        }
    }
}

fn cannot_verify(scheme: Scheme) -> Option<Lack> {
    if scheme == Scheme::Ed25519 {
        return Some(Lack::Refusal {
            why: "NSS 3.87 knows no Ed25519",
            says: "ProcessingError",
        });
    }
    scheme
        .digest()
        .starts_with("sha3-")
        .then_some(Lack::Refusal {
            why: "NSS 3.87 knows no SHA-3 in CMS",
            says: "SignatureAlgorithmUnknown",
        })
}

fn write(bench: &Bench, job: &Job<'_>) -> Result<(), String> {
    let database = database(bench);
    let (content, message) = (
        job.content.display().to_string(),
        job.message.display().to_string(),
    );
    let made = job.message.with_added_extension("cms");
    let out = made.display().to_string();
    let files = ["-d", &database, "-i", &content, "-o", &out];
    match job.work {
        Work::Sign { signers, form, .. } => {
            let (key, scheme) = signers[0];
            let (name, digest) = (
                format!("bob-{}", key.name()),
                scheme.digest().to_uppercase(),
            );
            let mut args = vec!["-S", "-G", "-P", "-N", &name, "-H", &digest];
            if *form != Form::Opaque {
                args.push("-T");
            }
            args.extend(files);
            outcome(&bench.run("cmsutil", args))?;
            if *form == Form::Clear {
                mime::wrap(bench, &job.content, &made, scheme.digest(), &job.message);
                return Ok(());
            }
        }
        Work::Certificates => {
            let args = ["-O", "-d", &database, "-r", "bob-rsa,bob-p256", "-o", &out];
            outcome(&bench.run("cmsutil", args))?;
        }
        Work::Encrypt { recipients, .. } => {
            let names: Vec<String> = recipients
                .iter()
                .map(|key| format!("alice-{}", key.name()))
                .collect();
            let names = names.join(",");
            let args = [&["-E", "-r", &names][..], &files].concat();
            outcome(&bench.run("cmsutil", args))?;
        }
        Work::Compress { .. } => return Err("no option".to_owned()),
    }
    std::fs::rename(&made, &message).map_err(|e| e.to_string())
}

fn read(bench: &Bench, job: &Job<'_>) -> Result<(), String> {
    let (mut message, mut content) = (job.message.clone(), job.content.clone());
    let mut detached = job.work.is_detached();
    if let Work::Sign {
        form: Form::Clear, ..
    } = job.work
    {
        (content, message) = mime::unwrap(bench, &job.message, &job.seen);
        detached = true;
    }
    let (database, seen) = (database(bench), job.seen.display().to_string());
    let (message, content) = (message.display().to_string(), content.display().to_string());
    let mut args = vec!["-D", "-d", &database, "-i", &message, "-o", &seen];
    if detached {
        args.extend(["-c", &content]);
    }
    outcome(&bench.run("cmsutil", args))
}
