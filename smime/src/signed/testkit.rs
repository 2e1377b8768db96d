//! For tests: people with keys that openssl made, a signer in software, and openssl as the other side.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature as aws;
use p256::pkcs8::DecodePrivateKey;
use signature::hazmat::PrehashSigner;

use super::{SignForm, SignOptions};
use crate::algorithm::{DigestAlgorithm, SignatureScheme};
use crate::cert::Certificate;
use crate::key::{KeyError, Signer};
use crate::mime::{Form, pem};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    Rsa1024,
    P256,
    P384,
    P521,
}

impl Kind {
    fn newkey(self) -> &'static [&'static str] {
        match self {
            Kind::Rsa => &["-newkey", "rsa:2048"],
            Kind::Rsa1024 => &["-newkey", "rsa:1024"],
            Kind::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Kind::P521 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
        }
    }
}

/// Somebody with a self-signed certificate.
pub(crate) struct Person {
    kind: Kind,
    pub(crate) certificate: Certificate,
    /// PKCS#8
    key_der: Vec<u8>,
    certificate_pem: Vec<u8>,
    key_pem: Vec<u8>,
    rsa: Option<KeyPair>,
}

impl Person {
    /// A new one.
    pub(crate) fn new(kind: Kind, extra: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixed = [
            "req",
            "-x509",
            "-nodes",
            "-sha256",
            "-days",
            "30",
            "-subj",
            "/O=Example/CN=Alice",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-addext",
            "keyUsage=critical,digitalSignature",
            "-addext",
            "extendedKeyUsage=emailProtection",
            "-addext",
            "subjectAltName=email:alice@example.org",
        ];
        let args: Vec<&str> = fixed
            .iter()
            .chain(kind.newkey())
            .chain(extra)
            .copied()
            .collect();
        openssl(folder.path(), &args, &[]);
        let certificate_pem = std::fs::read(folder.path().join("cert.pem")).unwrap();
        let key_pem = std::fs::read(folder.path().join("key.pem")).unwrap();
        let key_der = pem::blocks(&key_pem, &["PRIVATE KEY"]).unwrap().remove(0);
        Person {
            kind,
            certificate: Certificate::all_from_pem_or_der(&certificate_pem)
                .unwrap()
                .remove(0),
            rsa: (kind == Kind::Rsa).then(|| KeyPair::from_pkcs8(&key_der).unwrap()),
            key_der,
            certificate_pem,
            key_pem,
        }
    }

    /// The one that all tests share: making RSA keys takes time.
    pub(crate) fn shared(kind: Kind) -> &'static Person {
        static PEOPLE: [OnceLock<Person>; 5] = [const { OnceLock::new() }; 5];
        PEOPLE[kind as usize].get_or_init(|| Person::new(kind, &[]))
    }

    /// Puts `cert.pem` and `key.pem` there.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), &self.certificate_pem).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key_pem).unwrap();
    }
}

impl Signer for Person {
    fn sign_digest(&self, scheme: SignatureScheme, digest: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(match self.kind {
            Kind::Rsa | Kind::Rsa1024 => {
                let padding: &'static dyn aws::RsaEncoding = match scheme {
                    SignatureScheme::RsaPkcs1(DigestAlgorithm::Sha256) => &aws::RSA_PKCS1_SHA256,
                    SignatureScheme::RsaPkcs1(DigestAlgorithm::Sha384) => &aws::RSA_PKCS1_SHA384,
                    SignatureScheme::RsaPkcs1(DigestAlgorithm::Sha512) => &aws::RSA_PKCS1_SHA512,
                    SignatureScheme::RsaPss {
                        digest: DigestAlgorithm::Sha256,
                        ..
                    } => &aws::RSA_PSS_SHA256,
                    SignatureScheme::RsaPss {
                        digest: DigestAlgorithm::Sha384,
                        ..
                    } => &aws::RSA_PSS_SHA384,
                    SignatureScheme::RsaPss {
                        digest: DigestAlgorithm::Sha512,
                        ..
                    } => &aws::RSA_PSS_SHA512,
                    other => panic!("{other:?}"),
                };
                let algorithm = match scheme.digest() {
                    DigestAlgorithm::Sha256 => &aws_lc_rs::digest::SHA256,
                    DigestAlgorithm::Sha384 => &aws_lc_rs::digest::SHA384,
                    _ => &aws_lc_rs::digest::SHA512,
                };
                let key = self.rsa.as_ref().unwrap();
                let mut signature = vec![0; key.public_modulus_len()];
                let digest = Digest::import_less_safe(digest, algorithm).unwrap();
                key.sign_digest(padding, &digest, &mut signature).unwrap();
                signature
            }
            Kind::P256 => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_der(&self.key_der).unwrap();
                let signature: p256::ecdsa::Signature = key.sign_prehash(digest).unwrap();
                signature.to_der().as_bytes().to_vec()
            }
            Kind::P384 => {
                let key = p384::ecdsa::SigningKey::from_pkcs8_der(&self.key_der).unwrap();
                let signature: p384::ecdsa::Signature = key.sign_prehash(digest).unwrap();
                signature.to_der().as_bytes().to_vec()
            }
            Kind::P521 => {
                // the crate wants a digest of at least half the field
                let mut padded = vec![0; 33usize.saturating_sub(digest.len())];
                padded.extend_from_slice(digest);
                let key = p521::ecdsa::SigningKey::from_pkcs8_der(&self.key_der).unwrap();
                let signature: p521::ecdsa::Signature = key.sign_prehash(&padded).unwrap();
                signature.to_der().as_bytes().to_vec()
            }
        })
    }
}

/// SHA-256, S/MIME, canonical, at a fixed time.
pub(crate) fn options(form: SignForm) -> SignOptions {
    SignOptions {
        form,
        format: Form::Smime,
        canonicalize: true,
        digest: DigestAlgorithm::Sha256,
        pss: false,
        chain: Vec::new(),
        signing_time: 1_790_000_000,
    }
}

/// What openssl writes to standard output; panics with its messages when it fails.
pub(crate) fn openssl(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    match try_openssl(folder, args, input) {
        Ok(output) => output,
        Err(message) => panic!("openssl {}: {message}", args.join(" ")),
    }
}

pub(crate) fn try_openssl(folder: &Path, args: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl must be installed");
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // openssl that gives up early closes its end
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
