//! `openssl cms`.

use super::bench::outcome;
use super::{Bench, Cipher, Form, Format, Job, Key, Lack, Management, Peer, Scheme, Who, Work};

pub struct OpenSsl;

const ED25519: Lack = Lack::Refusal {
    why: "openssl 3.0 knows no Ed25519 in CMS",
    says: "eddsa_digest_signverify_init:invalid digest",
};
const NO_ML_DSA: Lack = Lack::NoOption("openssl 3.0 has no ML-DSA");
const NO_ML_KEM: Lack = Lack::NoOption("openssl 3.0 has no ML-KEM");
const CHACHA: &str = "openssl 3.0 knows no ChaCha20-Poly1305 in CMS";
const ZLIB: &str = "Debian's openssl is built without zlib";

fn format_name(format: Format) -> &'static str {
    match format {
        Format::Smime => "SMIME",
        Format::Der | Format::Ber => "DER",
        Format::Pem => "PEM",
    }
}

/// Both providers: RC2 is in the one for old things.
const LEGACY: [&str; 4] = ["-provider", "legacy", "-provider", "default"];

/// As the command line names it.
fn cipher_name(cipher: Cipher) -> String {
    let name = cipher.0.replace("aes", "aes-");
    format!("-{name}")
}

impl Peer for OpenSsl {
    fn name(&self) -> &'static str {
        "openssl"
    }

    fn cannot_write(&self, work: &Work) -> Option<Lack> {
        match work {
            Work::Sign { counter: true, .. } => Some(Lack::NoOption(
                "openssl cms has no option for counter-signatures",
            )),
            Work::Sign { signers, .. } => signers.iter().find_map(|(_, scheme)| match scheme {
                Scheme::Ecdsa(digest) if digest.starts_with("sha3-") => Some(Lack::Refusal {
                    why: "openssl 3.0 has no name for ECDSA with SHA-3",
                    says: "CMS_add1_signer:unsupported signature algorithm",
                }),
                Scheme::Pss { digest, .. } if digest.starts_with("sha3-") => Some(Lack::Refusal {
                    why: "openssl 3.0 does not write RSA-PSS with SHA-3",
                    says: "rsa_generate_signature_aid:internal error",
                }),
                Scheme::Ed25519 => Some(ED25519),
                Scheme::MlDsa => Some(NO_ML_DSA),
                _ => None,
            }),
            Work::Encrypt {
                management: Management::EcdhStatic,
                ..
            } => Some(Lack::Refusal {
                why: "openssl 3.0 does not encrypt by a static key of the sender",
                says: "unsupported static key agreement",
            }),
            Work::Encrypt {
                management: Management::X25519(_),
                ..
            } => Some(Lack::Refusal {
                why: "openssl 3.0 does not encrypt to X25519 keys",
                says: "operation not supported for this keytype",
            }),
            Work::Encrypt {
                management: Management::MlKem,
                ..
            } => Some(NO_ML_KEM),
            Work::Encrypt { cipher, .. } if cipher.0 == "chacha20-poly1305" => {
                Some(Lack::Refusal {
                    why: CHACHA,
                    says: "unsupported content encryption algorithm",
                })
            }
            Work::Compress { .. } => Some(Lack::Refusal {
                why: ZLIB,
                says: "unsupported compression algorithm",
            }),
            _ => None,
        }
    }

    fn cannot_read(&self, work: &Work, _reader: Key) -> Option<Lack> {
        match work {
            Work::Sign { signers, .. } => signers
                .iter()
                .find_map(|(_, scheme)| (*scheme == Scheme::Ed25519).then_some(ED25519)),
            Work::Encrypt {
                management: Management::X25519(_),
                ..
            } => Some(Lack::Refusal {
                why: "openssl 3.0 does not decrypt with X25519 keys",
                says: "no matching recipient",
            }),
            Work::Encrypt { cipher, .. } if cipher.0 == "chacha20-poly1305" => {
                Some(Lack::Refusal {
                    why: CHACHA,
                    says: "unknown cipher",
                })
            }
            Work::Compress { .. } => Some(Lack::Refusal {
                why: ZLIB,
                says: "unsupported compression algorithm",
            }),
            _ => None,
        }
    }

    fn write(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>> {
        let write = |job: &Job<'_>| outcome(&bench.run("openssl", write_args(bench, job)));
        jobs.iter().map(write).collect()
    }

    fn read(&self, bench: &Bench, jobs: &[Job<'_>]) -> Vec<Result<(), String>> {
        let read = |job: &Job<'_>| outcome(&bench.run("openssl", read_args(bench, job)));
        jobs.iter().map(read).collect()
    }
}

fn write_args(bench: &Bench, job: &Job<'_>) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut more = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    let (content, message) = (
        job.content.display().to_string(),
        job.message.display().to_string(),
    );
    match job.work {
        Work::Sign {
            signers,
            form,
            ski,
            attributes,
            ..
        } => {
            more(&["cms", "-sign", "-binary", "-in", &content]);
            for (key, scheme) in signers {
                let (certificate, key) =
                    (bench.certificate(Who::Bob, *key), bench.key(Who::Bob, *key));
                more(&["-signer", &certificate, "-inkey", &key]);
                more(&["-md", scheme.digest()]);
                if let Scheme::Pss { mgf, salt, .. } = scheme {
                    more(&["-keyopt", "rsa_padding_mode:pss"]);
                    more(&["-keyopt", &format!("rsa_pss_saltlen:{salt}")]);
                    more(&["-keyopt", &format!("rsa_mgf1_md:{mgf}")]);
                }
            }
            if *form == Form::Opaque {
                more(&["-nodetach"]);
            }
            if *ski {
                more(&["-keyid"]);
            }
            if !attributes {
                more(&["-noattr"]);
            }
        }
        Work::Certificates => {
            more(&["crl2pkcs7", "-nocrl"]);
            for key in [Key::Rsa, Key::P256] {
                more(&["-certfile", &bench.certificate(Who::Bob, key)]);
            }
        }
        Work::Encrypt {
            recipients,
            management,
            cipher,
            ski,
            ..
        } => {
            more(&["cms", "-encrypt", "-binary", "-in", &content]);
            if cipher.0.starts_with("rc2") {
                more(&LEGACY);
            }
            more(&[&cipher_name(*cipher)]);
            if *ski {
                more(&["-keyid"]);
            }
            if *management == Management::EcdhStatic {
                let key = recipients[0];
                more(&["-originator", &bench.certificate(Who::Bob, key)]);
                more(&["-inkey", &bench.key(Who::Bob, key)]);
            }
            for key in recipients {
                more(&["-recip", &bench.certificate(Who::Alice, *key)]);
                for option in key_options(*key, *management) {
                    more(&["-keyopt", &option]);
                }
            }
        }
        Work::Compress { .. } => more(&["cms", "-compress", "-in", &content]),
    }
    if job.work.format() == Format::Ber {
        more(&["-stream"]);
    }
    more(&["-outform", format_name(job.work.format()), "-out", &message]);
    args
}

fn key_options(key: Key, management: Management) -> Vec<String> {
    match management {
        Management::Oaep { hash, mgf, label } => {
            let mut all = vec![
                "rsa_padding_mode:oaep".to_owned(),
                format!("rsa_oaep_md:{hash}"),
                format!("rsa_mgf1_md:{mgf}"),
            ];
            if !label.is_empty() {
                let hex: String = label.bytes().map(|byte| format!("{byte:02x}")).collect();
                all.push(format!("rsa_oaep_label:{hex}"));
            }
            all
        }
        Management::Ecdh { kdf, cofactor } => vec![
            format!("ecdh_kdf_md:{kdf}"),
            format!("ecdh_cofactor_mode:{}", u8::from(cofactor)),
        ],
        Management::Mixed if key.is_ec() => vec!["ecdh_kdf_md:sha256".to_owned()],
        Management::X25519(kdf) => vec![format!("ecdh_kdf_md:{kdf}")],
        Management::Pkcs1 | Management::EcdhStatic | Management::MlKem | Management::Mixed => {
            Vec::new()
        }
    }
}

fn read_args(bench: &Bench, job: &Job<'_>) -> Vec<String> {
    let mut args: Vec<String> = vec!["cms".to_owned()];
    let mut more = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    match job.work {
        Work::Sign { form, .. } => {
            more(&["-verify", "-CAfile", &bench.text("ca.pem")]);
            more(&["-purpose", "smimesign"]);
            // with -binary openssl 3.0 does not even verify its own multipart/signed with CRLF line ends
            if *form != Form::Clear {
                more(&["-binary"]);
            }
            if *form == Form::Detached {
                more(&["-content", &job.content.display().to_string()]);
            }
        }
        Work::Encrypt { .. } => {
            let (certificate, key) = (
                bench.certificate(Who::Bob, job.reader),
                bench.key(Who::Bob, job.reader),
            );
            more(&[
                "-decrypt",
                "-binary",
                "-recip",
                &certificate,
                "-inkey",
                &key,
            ]);
        }
        Work::Compress { .. } | Work::Certificates => more(&["-uncompress"]),
    }
    more(&["-inform", format_name(job.work.format())]);
    more(&["-in", &job.message.display().to_string()]);
    more(&["-out", &job.seen.display().to_string()]);
    args
}
