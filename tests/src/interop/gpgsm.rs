//! GnuPG's `gpgsm`, with Bob's keys in a home of its own.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use super::bench::{finished, outcome};
use super::{Bench, Form, Format, Job, Key, Lack, Management, Peer, Scheme, Who, Work, mime};
use crate::Run;

/// Ends the agent that it has started.
pub struct Gpgsm<'a> {
    bench: &'a Bench,
}

impl<'a> Gpgsm<'a> {
    pub fn new(bench: &'a Bench) -> Self {
        let home = home(bench);
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        fs::write(
            home.join("gpgsm.conf"),
            "batch\nyes\nno-tty\ndisable-crl-checks\ndisable-policy-checks\ndisable-dirmngr\nno-common-certs-import\n",
        )
        .unwrap();
        fs::write(home.join("gpg-agent.conf"), "disable-scdaemon\n").unwrap();
        let peer = Gpgsm { bench };
        peer.gpgsm(&["--import", &bench.text("ca.pem")]).ok();
        for key in Key::ALL {
            for who in [Who::Alice, Who::Bob] {
                peer.gpgsm(&["--import", &bench.certificate(who, key)]).ok();
            }
        }
        peer.trust_authority();
        peer.give_keys();
        peer
    }

    fn gpgsm(&self, args: &[&str]) -> Run {
        gpgsm(self.bench, args)
    }

    fn trust_authority(&self) {
        let fingerprint = fingerprint(self.bench, &self.bench.text("ca.pem"));
        fs::write(
            home(self.bench).join("trustlist.txt"),
            format!("{fingerprint} S relax\n"),
        )
        .unwrap();
    }

    /// Bob's keys as the agent keeps them, without a passphrase: its import of PKCS #12 wants a person, and crashes for EC.
    fn give_keys(&self) {
        // exits with 2 for one X25519 key in a hundred, of which it can make no keygrip; it has no use for these keys
        let list = self
            .gpgsm(&["--with-colons", "--with-keygrip", "--list-keys"])
            .text();
        let mut grips = HashMap::new();
        let mut fingerprint = "";
        for line in list.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            match fields[0] {
                "fpr" => fingerprint = fields[9],
                "grp" => drop(grips.insert(fingerprint, fields[9])),
                _ => {}
            }
        }
        let folder = home(self.bench).join("private-keys-v1.d");
        fs::create_dir_all(&folder).unwrap();
        for key in Key::ALL {
            if let Some(secret) = s_expression(self.bench, key) {
                let certificate = self.bench.certificate(Who::Bob, key);
                let grip = grips[self::fingerprint(self.bench, &certificate).as_str()];
                let file = folder.join(format!("{grip}.key"));
                fs::write(&file, format!("Key: {secret}\n")).unwrap();
                fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                    .unwrap();
            }
        }
    }
}

impl Drop for Gpgsm<'_> {
    fn drop(&mut self) {
        for what in [&["--kill", "all"][..], &["--remove-socketdir"]] {
            let mut command = self.bench.command("gpgconf");
            let _ = command
                .env("GNUPGHOME", home(self.bench))
                .args(what)
                .output();
        }
    }
}

fn home(bench: &Bench) -> PathBuf {
    bench.path("gnupg")
}

fn gpgsm(bench: &Bench, args: &[&str]) -> Run {
    let mut command = bench.command("gpgsm");
    finished(command.env("GNUPGHOME", home(bench)).args(args), "gpgsm")
}

/// SHA-1, as gpgsm names certificates.
fn fingerprint(bench: &Bench, certificate: &str) -> String {
    let run = bench.run(
        "openssl",
        [
            "x509",
            "-in",
            certificate,
            "-noout",
            "-fingerprint",
            "-sha1",
        ],
    );
    let text = run.ok().text();
    text.split('=').nth(1).unwrap().trim().replace(':', "")
}

/// libgcrypt's form of a private key; `None` for kinds that no row needs.
fn s_expression(bench: &Bench, key: Key) -> Option<String> {
    let file = bench.key(Who::Bob, key);
    let text = bench.run("openssl", ["pkey", "-in", &file, "-noout", "-text"]);
    let mut numbers: HashMap<String, String> = HashMap::new();
    let mut name = String::new();
    for line in text.ok().text().lines() {
        if line.starts_with(' ') {
            numbers
                .entry(name.clone())
                .or_default()
                .push_str(&line.trim().replace(':', ""));
        } else {
            name = line.split(':').next().unwrap_or_default().to_owned();
        }
    }
    let number = |name: &str| &numbers[name];
    Some(match key {
        // u is the inverse of p modulo q, where others have that of q modulo p: so they change places
        Key::Rsa => format!(
            "(private-key (rsa (n #{}#)(e #010001#)(d #{}#)(p #{}#)(q #{}#)(u #{}#)))",
            number("modulus"),
            number("privateExponent"),
            number("prime2"),
            number("prime1"),
            number("coefficient")
        ),
        Key::P256 | Key::P384 | Key::P521 => format!(
            "(private-key (ecc (curve \"NIST P-{}\")(q #{}#)(d #{}#)))",
            &key.name()[1..],
            number("pub"),
            number("priv")
        ),
        Key::Ed25519 => format!(
            "(private-key (ecc (curve Ed25519)(flags eddsa)(q #40{}#)(d #{}#)))",
            number("pub"),
            number("priv")
        ),
        Key::X25519 => return None,
    })
}

impl Peer for Gpgsm<'_> {
    fn name(&self) -> &'static str {
        "gpgsm"
    }

    fn cannot_write(&self, work: &Work) -> Option<Lack> {
        match work {
            Work::Sign { counter: true, .. } => {
                Some(Lack::NoOption("gpgsm has no option for counter-signatures"))
            }
            Work::Sign { ski: true, .. } => Some(Lack::NoOption(
                "gpgsm names signers by issuer and serial number",
            )),
            Work::Sign {
                attributes: false, ..
            } => Some(Lack::NoOption("gpgsm always signs with attributes")),
            Work::Sign {
                format: Format::Smime,
                form,
                ..
            } if *form != Form::Clear => Some(NO_MIME),
            Work::Sign { signers, .. } => signers.iter().find_map(|s| cannot_sign(s.0, s.1)),
            Work::Certificates => Some(Lack::NoOption(
                "gpgsm makes no messages of certificates alone",
            )),
            Work::Encrypt { ski: true, .. } => Some(Lack::NoOption(
                "gpgsm names recipients by issuer and serial number",
            )),
            Work::Encrypt {
                recipients,
                management,
                cipher,
                format,
                ..
            } => match management {
                Management::Oaep { .. } => {
                    Some(Lack::NoOption("gpgsm encrypts to RSA keys by PKCS #1 v1.5"))
                }
                Management::EcdhStatic => {
                    Some(Lack::NoOption("gpgsm 2.2 does not encrypt to EC keys"))
                }
                Management::MlKem => Some(Lack::NoOption("gpgsm 2.2 has no ML-KEM")),
                _ if !cipher.0.ends_with("cbc") || cipher.0.starts_with("rc2") => {
                    Some(Lack::Refusal {
                        why: "gpgsm 2.2 does not encrypt with this cipher",
                        says: "selected cipher algorithm is invalid",
                    })
                }
                _ if *format == Format::Smime => Some(NO_MIME),
                _ if recipients.iter().any(|key| *key != Key::Rsa) => Some(Lack::Refusal {
                    why: "gpgsm 2.2 does not encrypt to EC keys",
                    says: if cipher.0 == "aes256-cbc" {
                        "encryption failed for recipient no. 0: Provided object is too short"
                    } else {
                        "ksba_cms_set_enc_val failed: Invalid S-expression"
                    },
                }),
                _ => None,
            },
            Work::Compress { .. } => Some(Lack::NoOption("gpgsm does not compress")),
        }
    }

    fn cannot_read(&self, work: &Work, reader: Key) -> Option<Lack> {
        let no_mime = Lack::Refusal {
            why: "gpgsm knows no MIME",
            says: "ksba_cms_parse failed: End of file",
        };
        match work {
            Work::Sign {
                format: Format::Smime,
                form,
                ..
            } if *form != Form::Clear => Some(no_mime),
            Work::Encrypt {
                format: Format::Smime,
                ..
            }
            | Work::Compress {
                format: Format::Smime,
            } => Some(no_mime),
            Work::Sign { signers, .. } => signers.iter().find_map(|s| cannot_verify(s.0, s.1)),
            Work::Certificates => None,
            Work::Encrypt { cipher, .. } if cipher.0.ends_with("gcm") => Some(Lack::Refusal {
                why: "gpgsm 2.2 does not decrypt AES-GCM",
                says: "error getting IV: Buffer too short",
            }),
            Work::Encrypt { cipher, .. } if !cipher.0.ends_with("cbc") => Some(Lack::Refusal {
                why: "gpgsm 2.2 knows no ChaCha20-Poly1305",
                says: "unsupported algorithm '1.2.840.113549.1.9.16.3.18'",
            }),
            Work::Encrypt {
                management: Management::Oaep { .. } | Management::X25519(_),
                ..
            } => Some(Lack::Refusal {
                why: "gpgsm 2.2 opens keys by RSA PKCS #1 v1.5 alone",
                says: "error getting encrypted session key",
            }),
            // it has all of Bob's keys, and takes the first that fits
            Work::Encrypt { recipients, .. } if reader.is_ec() && recipients.len() == 1 => {
                Some(Lack::Refusal {
                    why: "gpgsm 2.2 does not decrypt by ECDH, whoever wrote the message",
                    says: "decrypting session key failed: Invalid session key",
                })
            }
            Work::Encrypt { .. } => None,
            Work::Compress { .. } => Some(Lack::Refusal {
                why: "gpgsm does not know CompressedData",
                says: "Unknown CMS object",
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

const NO_MIME: Lack = Lack::NoOption("gpgsm knows no MIME");

fn cannot_sign(key: Key, scheme: Scheme) -> Option<Lack> {
    if scheme.digest().starts_with("sha3-") {
        return Some(Lack::Refusal {
            why: "gpgsm 2.2 does not sign with SHA-3",
            says: "selected digest algorithm is invalid",
        });
    }
    let shorter = |digest: &str| match key {
        Key::P256 => matches!(digest, "sha1" | "sha224"),
        Key::P384 => digest == "sha256",
        _ => digest != "sha512",
    };
    match scheme {
        Scheme::Pss { .. } => Some(Lack::NoOption("gpgsm has no option for RSA-PSS")),
        Scheme::MlDsa => Some(Lack::NoOption("gpgsm 2.2 has no ML-DSA")),
        Scheme::Pkcs1("md5") => Some(Lack::NoOption("gpgsm takes SHA-1 where MD5 is asked for")),
        Scheme::Ed25519 => Some(Lack::Refusal {
            why: "gpgsm 2.2 does not sign with Ed25519",
            says: "ksba_cms_build failed: Invalid OID string",
        }),
        Scheme::Ecdsa(digest) => shorter(digest).then_some(Lack::Refusal {
            why: "gpgsm 2.2 does not sign with a digest that is shorter than the curve",
            says: "error creating signature: Invalid length",
        }),
        Scheme::Pkcs1(_) => None,
    }
}

fn cannot_verify(key: Key, scheme: Scheme) -> Option<Lack> {
    if scheme == Scheme::Ed25519 || key == Key::P521 && !scheme.digest().starts_with("sha3-") {
        return Some(Lack::Refusal {
            why: "gpgsm 2.2 does not verify signatures of keys whose bits are no multiple of 8",
            says: "DSA requires the hash length to be a multiple of 8 bits",
        });
    }
    match scheme {
        Scheme::Ecdsa(digest) if digest.starts_with("sha3-") => Some(Lack::Refusal {
            why: "gpgsm 2.2 knows no ECDSA with SHA-3",
            says: "no signature value available",
        }),
        Scheme::Ecdsa("sha256") if key == Key::P384 => Some(Lack::Refusal {
            why: "gpgsm 2.2 does not take a digest that is shorter than the curve",
            says: "a 256 bit hash is not valid for a 384 bit ECC key",
        }),
        Scheme::Pss {
            digest: "sha224", ..
        } => Some(Lack::Refusal {
            why: "gpgsm 2.2 knows no RSA-PSS with SHA-224",
            says: "PSS hash algorithm 'SHA224' rejected",
        }),
        Scheme::Ecdsa("sha224") => Some(Lack::Refusal {
            why: "gpgsm 2.2 does not take a digest that is shorter than the curve",
            says: "a 224 bit hash is not valid for a 256 bit ECC key",
        }),
        _ => None,
    }
}

fn write(bench: &Bench, job: &Job<'_>) -> Result<(), String> {
    let (content, message) = (
        job.content.display().to_string(),
        job.message.display().to_string(),
    );
    let made = job.message.with_added_extension("cms");
    let out = made.display().to_string();
    let mut args: Vec<String> = Vec::new();
    let mut more = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    more(&["-o", &out]);
    if job.work.format() == Format::Pem {
        more(&["--armor"]);
    }
    let mut clear = None;
    match job.work {
        Work::Sign { signers, form, .. } => {
            let scheme = signers[0].1;
            more(&["--digest-algo", &scheme.digest().to_uppercase()]);
            for (key, _) in signers {
                let certificate = bench.certificate(Who::Bob, *key);
                more(&["-u", &fingerprint(bench, &certificate)]);
            }
            more(&[if *form == Form::Opaque {
                "--sign"
            } else {
                "--detach-sign"
            }]);
            if *form == Form::Clear {
                clear = Some(scheme.digest());
            }
        }
        Work::Encrypt {
            recipients, cipher, ..
        } => {
            let name = match cipher.0 {
                "aes128-cbc" => "AES",
                "aes192-cbc" => "AES192",
                "aes256-cbc" => "AES256",
                "des-ede3-cbc" => "3DES",
                "rc2-cbc" => "1.2.840.113549.3.2",
                other => other,
            };
            more(&["--cipher-algo", name]);
            for key in recipients {
                let certificate = bench.certificate(Who::Alice, *key);
                more(&["-r", &fingerprint(bench, &certificate)]);
            }
            more(&["--encrypt"]);
        }
        Work::Certificates => more(&["--export"]),
        Work::Compress { .. } => return Err("no option".to_owned()),
    }
    more(&[&content]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    outcome(&gpgsm(bench, &args))?;
    if let Some(digest) = clear {
        mime::wrap(bench, &job.content, &made, digest, &job.message);
        return Ok(());
    }
    fs::rename(&made, &message).map_err(|e| e.to_string())
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
    let (message, content, seen) = (
        message.display().to_string(),
        content.display().to_string(),
        job.seen.display().to_string(),
    );
    let run = match job.work {
        Work::Sign { .. } if detached => {
            gpgsm(bench, &["--status-fd", "1", "--verify", &message, &content])
        }
        Work::Sign { .. } => gpgsm(
            bench,
            &["--status-fd", "1", "-o", &seen, "--verify", &message],
        ),
        _ => gpgsm(bench, &["-o", &seen, "--decrypt", &message]),
    };
    outcome(&run)?;
    if matches!(job.work, Work::Sign { .. }) {
        let said = run.text();
        if !said.contains("[GNUPG:] GOODSIG") || !said.contains("[GNUPG:] TRUST_FULLY") {
            return Err(format!("no good signature: {said}"));
        }
    }
    if detached {
        // it says nothing of the content but that the signature is good
        fs::copy(content, seen).map_err(|e| e.to_string())?;
    }
    Ok(())
}
