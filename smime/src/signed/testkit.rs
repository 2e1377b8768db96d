//! For tests: people with keys that openssl made, a signer in software, and openssl as the other side.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{self as aws, KeyPair as _};
use p256::pkcs8::DecodePrivateKey;
use signature::hazmat::PrehashSigner;

use super::{SignForm, SignOptions};
use crate::algorithm::{DigestAlgorithm, MlDsa, SignatureScheme};
use crate::algorithm_id::encode;
use crate::ber::{Cursor, constructed, id, single, tlv};
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
    Brainpool256,
    Brainpool384,
    Ed25519,
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

impl Kind {
    fn newkey(self) -> &'static [&'static str] {
        match self {
            Kind::Rsa => &["-newkey", "rsa:2048"],
            Kind::Rsa1024 => &["-newkey", "rsa:1024"],
            Kind::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Kind::P521 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            Kind::Brainpool256 => &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:brainpoolP256r1",
            ],
            Kind::Brainpool384 => &[
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:brainpoolP384r1",
            ],
            // openssl 3.0 has no ML-DSA: its certificate is signed anew
            Kind::Ed25519 | Kind::MlDsa44 | Kind::MlDsa65 | Kind::MlDsa87 => {
                &["-newkey", "ed25519"]
            }
        }
    }

    fn ml_dsa(self) -> Option<(MlDsa, &'static aws::PqdsaSigningAlgorithm)> {
        Some(match self {
            Kind::MlDsa44 => (MlDsa::MlDsa44, &aws::ML_DSA_44_SIGNING),
            Kind::MlDsa65 => (MlDsa::MlDsa65, &aws::ML_DSA_65_SIGNING),
            Kind::MlDsa87 => (MlDsa::MlDsa87, &aws::ML_DSA_87_SIGNING),
            _ => return None,
        })
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
    ml_dsa: Option<aws::PqdsaKeyPair>,
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
        let mut certificate = Certificate::all_from_pem_or_der(&certificate_pem)
            .unwrap()
            .remove(0);
        let ml_dsa = kind.ml_dsa().map(|(set, algorithm)| {
            let key = aws::PqdsaKeyPair::generate(algorithm).unwrap();
            certificate = ml_dsa_certificate(certificate.der(), set, &key);
            key
        });
        Person {
            kind,
            certificate,
            rsa: (kind == Kind::Rsa)
                .then(|| KeyPair::from_pkcs8(&key_der).ok())
                .flatten(),
            ml_dsa,
            key_der,
            certificate_pem,
            key_pem,
        }
    }

    /// The one that all tests share: making RSA keys takes time.
    pub(crate) fn shared(kind: Kind) -> &'static Person {
        static PEOPLE: [OnceLock<Person>; 11] = [const { OnceLock::new() }; 11];
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
            other => panic!("{other:?} signs no digest here"),
        })
    }

    fn sign_message(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if let Some(key) = &self.ml_dsa {
            let mut signature = vec![0; key.algorithm().signature_len()];
            let len = key.sign(message, &mut signature).unwrap();
            signature.truncate(len);
            return Ok(signature);
        }
        match scheme.prehash() {
            Some(digest) => self.sign_digest(scheme, &digest.digest(message)),
            None => {
                let key = aws::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.key_der).unwrap();
                Ok(key.sign(message).as_ref().to_vec())
            }
        }
    }
}

/// The certificate with this key in it, signed by it.
fn ml_dsa_certificate(der: &[u8], set: MlDsa, key: &aws::PqdsaKeyPair) -> Certificate {
    let algorithm = encode(&set.oid(), &[]);
    let bits = |bytes: &[u8]| constructed(BIT_STRING, &[&[0], bytes]);
    let whole = single(der, id::SEQUENCE, "").unwrap();
    let tbs = Cursor::new(whole.content).expect(id::SEQUENCE, "").unwrap();
    let mut fields = Cursor::new(tbs.content);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    while let Some(field) = fields.next().unwrap() {
        parts.push(field.whole.to_vec());
    }
    // version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, extensions
    parts[2].clone_from(&algorithm);
    parts[6] = constructed(
        id::SEQUENCE,
        &[&algorithm, &bits(key.public_key().as_ref())],
    );
    let tbs = tlv(id::SEQUENCE, &parts.concat());
    let mut signature = vec![0; key.algorithm().signature_len()];
    let len = key.sign(&tbs, &mut signature).unwrap();
    signature.truncate(len);
    Certificate::from_der(&constructed(
        id::SEQUENCE,
        &[&tbs, &algorithm, &bits(&signature)],
    ))
    .unwrap()
}

const BIT_STRING: u8 = 3;

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
        ess: Default::default(),
        profile: crate::profile::Profile::rfc8551(),
        encryption_certificate: None,
        content_hint: None,
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
