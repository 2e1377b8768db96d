//! A small PKI made by openssl, key openers in software, and messages built by hand.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
    Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
};
use zeroize::Zeroizing;

use crate::algorithm::{Cipher, DigestAlgorithm};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::cert::{Certificate, Curve, KeyType, MlKem};
use crate::content::{ID_AUTH_ENVELOPED_DATA, ID_DATA, ID_ENVELOPED_DATA};
use crate::enveloped::address::recipient_info;
use crate::enveloped::cbc::CbcEncryptor;
use crate::enveloped::chacha::ChaChaEncryptor;
use crate::enveloped::gcm::GcmEncryptor;
use crate::enveloped::{DecryptOutcome, EncryptOptions, decrypt, encrypt};
use crate::error::{Error, Result};
use crate::io::MemoryInput;
use crate::key::{KeyError, KeyOpener, RecipientId, RsaPadding};
use crate::mime::Form;

/// Keys and self-signed certificates as files, `NAME.key`, `NAME.pem`; gone when the last test that uses them ends.
pub(super) struct Pki {
    pub(super) folder: tempfile::TempDir,
    certificates: BTreeMap<&'static str, Certificate>,
}

const KEYS: [(&str, &str, &str); 9] = [
    ("rsa", "rsa:2048", "keyEncipherment"),
    ("rsa-other", "rsa:2048", "keyEncipherment"),
    ("rsa-weak", "rsa:1024", "keyEncipherment"),
    ("rsa-signing", "rsa:2048", "digitalSignature"),
    ("p256", "P-256", "keyAgreement"),
    ("p256-other", "P-256", "keyAgreement"),
    ("p384", "P-384", "keyAgreement"),
    ("p521", "P-521", "keyAgreement"),
    ("ed25519", "ed25519", "keyAgreement"),
];

pub(super) fn pki() -> Arc<Pki> {
    static SHARED: Mutex<Weak<Pki>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(pki) = shared.upgrade() {
        return pki;
    }
    let pki = Arc::new(Pki::new());
    *shared = Arc::downgrade(&pki);
    pki
}

impl Pki {
    fn new() -> Self {
        Pki::of(&KEYS)
    }

    /// Of these keys: name, kind, usage.
    pub(super) fn of(keys: &[(&'static str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut certificates = BTreeMap::new();
        for &(name, kind, usage) in keys {
            let curve = format!("ec_paramgen_curve:{kind}");
            let newkey = if kind.starts_with("P-") {
                vec!["-newkey", "ec", "-pkeyopt", &curve]
            } else {
                vec!["-newkey", kind]
            };
            let usage = format!("keyUsage=critical,{usage}");
            let subject = format!("/CN={name}");
            let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
            let mut args = vec![
                "req", "-x509", "-nodes", "-sha256", "-days", "30", "-subj", &subject, "-addext",
                &usage,
            ];
            args.extend(newkey);
            args.extend(["-keyout", &key, "-out", &pem]);
            openssl(folder.path(), &args);
            let der = openssl(folder.path(), &["x509", "-in", &pem, "-outform", "DER"]);
            certificates.insert(name, Certificate::from_der(&der).unwrap());
        }
        Pki {
            folder,
            certificates,
        }
    }

    pub(super) fn certificate(&self, name: &str) -> Certificate {
        self.certificates[name].clone()
    }

    /// An opener with these keys.
    pub(super) fn opener(&self, names: &[&str]) -> SoftKeys {
        let mut keys = Vec::new();
        for name in names {
            let file = self.folder.path().join(format!("{name}.key"));
            let path = file.to_str().unwrap();
            let der = openssl(
                self.folder.path(),
                &[
                    "pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", path,
                ],
            );
            keys.push(SoftKey {
                certificate: self.certificate(name),
                der,
                file,
            });
        }
        SoftKeys::new(keys)
    }
}

/// Runs openssl and returns what it wrote to its standard output.
pub(super) fn openssl(folder: &Path, args: &[&str]) -> Vec<u8> {
    openssl_with(folder, args, &[])
}

pub(super) fn openssl_with(folder: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    try_openssl(folder, args, input).unwrap_or_else(|e| panic!("openssl {args:?}: {e}"))
}

fn try_openssl(folder: &Path, args: &[&str], input: &[u8]) -> std::result::Result<Vec<u8>, String> {
    // a child that does not end is to fail the test, with its arguments
    let mut child = Command::new("timeout")
        .args(["60", "openssl"])
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("openssl is needed: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // openssl may end without having read its input
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

pub(super) struct SoftKey {
    pub(super) certificate: Certificate,
    /// PKCS#8; of X25519 and ML-KEM only the end counts, which is the private key itself
    pub(super) der: Vec<u8>,
    /// for what openssl has to do
    pub(super) file: PathBuf,
}

/// Private keys in files.
pub(super) struct SoftKeys {
    keys: Vec<SoftKey>,
    /// whose certificates are known beside
    pub(super) others: Vec<Certificate>,
    /// how often a key agreement or a decapsulation was asked for
    pub(super) agreements: Cell<u32>,
}

impl SoftKeys {
    pub(super) fn new(keys: Vec<SoftKey>) -> Self {
        SoftKeys {
            keys,
            others: Vec::new(),
            agreements: Cell::new(0),
        }
    }

    fn key(&self, certificate: &Certificate) -> &SoftKey {
        self.keys
            .iter()
            .find(|key| key.certificate == *certificate)
            .unwrap()
    }
}

impl KeyOpener for SoftKeys {
    fn find(&self, id: &RecipientId) -> Vec<Certificate> {
        self.keys
            .iter()
            .map(|key| key.certificate.clone())
            .filter(|c| id.matches(c))
            .collect()
    }

    fn rsa_unwrap(
        &self,
        certificate: &Certificate,
        padding: &RsaPadding,
        encrypted_key: &[u8],
        expected_len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let key = self.key(certificate);
        let mut out = vec![0; 2048];
        let Ok(private) = PrivateDecryptingKey::from_pkcs8(&key.der) else {
            return Ok(Zeroizing::new(
                rsautl(&key.file, padding, encrypted_key)
                    .filter(|key| key.len() == expected_len)
                    .unwrap_or_else(|| random(expected_len)),
            ));
        };
        let opened = match padding {
            RsaPadding::Pkcs1 => {
                let private = Pkcs1PrivateDecryptingKey::new(private).unwrap();
                private
                    .decrypt(encrypted_key, &mut out)
                    .ok()
                    .map(|key| key.to_vec())
            }
            RsaPadding::Oaep { hash, mgf, label } => {
                let algorithm = match (hash, mgf) {
                    (DigestAlgorithm::Sha1, DigestAlgorithm::Sha1) => Some(&OAEP_SHA1_MGF1SHA1),
                    (DigestAlgorithm::Sha256, DigestAlgorithm::Sha256) => {
                        Some(&OAEP_SHA256_MGF1SHA256)
                    }
                    _ => None,
                };
                match algorithm {
                    Some(algorithm) => {
                        let private = OaepPrivateDecryptingKey::new(private).unwrap();
                        let label = (!label.is_empty()).then_some(label.as_slice());
                        private
                            .decrypt(algorithm, encrypted_key, &mut out, label)
                            .ok()
                            .map(|key| key.to_vec())
                    }
                    None => pkeyutl(&key.file, *hash, *mgf, label, encrypted_key),
                }
            }
        };
        Ok(Zeroizing::new(
            opened
                .filter(|key| key.len() == expected_len)
                .unwrap_or_else(|| random(expected_len)),
        ))
    }

    fn ecdh(
        &self,
        certificate: &Certificate,
        peer_point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.agreements.set(self.agreements.get() + 1);
        if certificate.key_type() == KeyType::X25519 {
            let der = &self.key(certificate).der;
            let key = PrivateKey::from_private_key(&agreement::X25519, &der[der.len() - 32..]);
            return agree(
                &key.unwrap(),
                UnparsedPublicKey::new(&agreement::X25519, peer_point),
                (),
                |secret| Ok(Zeroizing::new(secret.to_vec())),
            )
            // as a token that does not look does
            .or_else(|()| Ok(Zeroizing::new(vec![0; 32])));
        }
        let algorithm = match certificate.key_type() {
            KeyType::Ec(Curve::P256) => &agreement::ECDH_P256,
            KeyType::Ec(Curve::P384) => &agreement::ECDH_P384,
            _ => &agreement::ECDH_P521,
        };
        let key = PrivateKey::from_private_key_der(algorithm, &self.key(certificate).der).unwrap();
        assert_eq!(
            peer_point.first(),
            Some(&4),
            "the point is to be uncompressed"
        );
        agree(
            &key,
            UnparsedPublicKey::new(algorithm, peer_point),
            KeyError::new("DeviceError", "no point"),
            |secret| Ok(Zeroizing::new(secret.to_vec())),
        )
    }

    fn kem_decapsulate(
        &self,
        certificate: &Certificate,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.agreements.set(self.agreements.get() + 1);
        let (algorithm, len) = match certificate.key_type() {
            KeyType::MlKem(MlKem::MlKem512) => (&ML_KEM_512, 1632),
            KeyType::MlKem(MlKem::MlKem768) => (&ML_KEM_768, 2400),
            _ => (&ML_KEM_1024, 3168),
        };
        let der = &self.key(certificate).der;
        let key = DecapsulationKey::new(algorithm, &der[der.len() - len..]).unwrap();
        let secret = key.decapsulate(ciphertext.into()).unwrap();
        Ok(Zeroizing::new(secret.as_ref().to_vec()))
    }

    fn certificate_of(&self, id: &RecipientId) -> Option<Certificate> {
        self.others.iter().find(|c| id.matches(c)).cloned()
    }
}

/// RSA keys that are too short for aws-lc.
fn rsautl(file: &Path, padding: &RsaPadding, encrypted: &[u8]) -> Option<Vec<u8>> {
    match padding {
        RsaPadding::Pkcs1 => {
            let args = ["pkeyutl", "-decrypt", "-inkey", file.to_str().unwrap()];
            try_openssl(file.parent().unwrap(), &args, encrypted).ok()
        }
        RsaPadding::Oaep { hash, mgf, label } => pkeyutl(file, *hash, *mgf, label, encrypted),
    }
}

fn pkeyutl(
    file: &Path,
    hash: DigestAlgorithm,
    mgf: DigestAlgorithm,
    label: &[u8],
    encrypted: &[u8],
) -> Option<Vec<u8>> {
    let options = [
        "rsa_padding_mode:oaep".to_owned(),
        format!("rsa_oaep_md:{}", hash.name()),
        format!("rsa_mgf1_md:{}", mgf.name()),
        format!("rsa_oaep_label:{}", crate::cert::hex(label)),
    ];
    let mut args = vec!["pkeyutl", "-decrypt", "-inkey", file.to_str().unwrap()];
    for option in options.iter().take(if label.is_empty() { 3 } else { 4 }) {
        args.extend(["-pkeyopt", option]);
    }
    try_openssl(file.parent().unwrap(), &args, encrypted).ok()
}

pub(super) fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// Content that compresses badly and shows shifts.
pub(super) fn content(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8)
        .collect()
}

/// Opens a message; what was written comes with the outcome, or with the error.
pub(super) fn open(
    message: &[u8],
    opener: &dyn KeyOpener,
) -> std::result::Result<(Vec<u8>, DecryptOutcome), (Error, Vec<u8>)> {
    let mut out = Vec::new();
    match decrypt(&mut MemoryInput::new(message.to_vec()), opener, &mut out) {
        Ok(outcome) => Ok((out, outcome)),
        Err(error) => Err((error, out)),
    }
}

/// Why a message cannot be opened; nothing may have been written.
pub(super) fn refusal(message: &[u8], opener: &dyn KeyOpener) -> Error {
    match open(message, opener) {
        Ok(_) => panic!("it was opened"),
        Err((error, written)) => {
            assert!(
                written.is_empty(),
                "{} bytes were written before {error}",
                written.len()
            );
            error
        }
    }
}

pub(super) fn seal(
    plain: &[u8],
    to: &[Certificate],
    cipher: Cipher,
    oaep: bool,
    format: Form,
) -> Vec<u8> {
    let mut out = Vec::new();
    let options = EncryptOptions {
        cipher,
        oaep,
        format,
        ..EncryptOptions::default()
    };
    encrypt(&mut &*plain, &mut out, to, &options).unwrap();
    out
}

pub(super) fn try_seal(
    plain: &[u8],
    to: &[Certificate],
    options: &EncryptOptions,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    encrypt(&mut &*plain, &mut out, to, options)?;
    Ok(out)
}

/// Opens with one key, without any cryptography: for every encrypted key but the right one a random key comes back.
#[derive(Clone)]
pub(super) struct FixedKey {
    pub(super) certificate: Certificate,
    pub(super) encrypted: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl KeyOpener for FixedKey {
    fn find(&self, id: &RecipientId) -> Vec<Certificate> {
        if id.matches(&self.certificate) {
            vec![self.certificate.clone()]
        } else {
            Vec::new()
        }
    }

    fn rsa_unwrap(
        &self,
        _: &Certificate,
        padding: &RsaPadding,
        key: &[u8],
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let right = *padding == RsaPadding::Pkcs1 && key == self.encrypted && len == self.key.len();
        Ok(Zeroizing::new(if right {
            self.key.clone()
        } else {
            random(len)
        }))
    }

    fn ecdh(&self, _: &Certificate, _: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        panic!("no key agreement here");
    }
}

/// A message by hand: every part can be replaced by a wrong one.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) outer: der::asn1::ObjectIdentifier,
    pub(super) version: u8,
    /// with the tag `[0]`
    pub(super) originator_info: Vec<u8>,
    pub(super) infos: Vec<Vec<u8>>,
    pub(super) inner: der::asn1::ObjectIdentifier,
    pub(super) cipher: der::asn1::ObjectIdentifier,
    pub(super) parameters: Vec<u8>,
    pub(super) encrypted: Vec<u8>,
    /// authAttrs with the tag `[1]`
    pub(super) attributes: Vec<u8>,
    pub(super) mac: Option<Vec<u8>>,
}

impl Parts {
    pub(super) fn message(&self) -> Vec<u8> {
        let content = constructed(
            id::SEQUENCE,
            &[
                &tlv(id::OID, self.inner.as_bytes()),
                &encode(&self.cipher, &self.parameters),
                &tlv(id::context(0), &self.encrypted),
            ],
        );
        let mac = self
            .mac
            .as_ref()
            .map(|mac| tlv(id::OCTET_STRING, mac))
            .unwrap_or_default();
        let data = constructed(
            id::SEQUENCE,
            &[
                &[id::INTEGER, 1, self.version],
                &self.originator_info,
                &tlv(id::SET, &self.infos.concat()),
                &content,
                &self.attributes,
                &mac,
            ],
        );
        let wrapper = tlv(id::context_constructed(0), &data);
        constructed(
            id::SEQUENCE,
            &[&tlv(id::OID, self.outer.as_bytes()), &wrapper],
        )
    }
}

/// AES-256-GCM for the RSA certificate, and who opens it.
pub(super) fn gcm_parts(
    pki: &Pki,
    plain: &[u8],
    nonce: &[u8],
    tag_len: u8,
    attributes: &[u8],
) -> (Parts, FixedKey) {
    let key = random(32);
    let mut gcm = GcmEncryptor::new(&key, nonce).unwrap();
    let mut encrypted = vec![0; plain.len() + 16];
    gcm.update(plain, &mut encrypted).unwrap();
    encrypted.truncate(plain.len());
    let mut aad = attributes.to_vec();
    if let Some(first) = aad.first_mut() {
        *first = id::SET;
    }
    let mac = gcm.finish(&aad).unwrap();
    let (info, opener) = fixed(pki, key);
    let parts = Parts {
        outer: ID_AUTH_ENVELOPED_DATA,
        version: 0,
        originator_info: Vec::new(),
        infos: vec![info],
        inner: ID_DATA,
        cipher: Cipher::Aes256Gcm.oid(),
        parameters: gcm_parameters(nonce, tag_len),
        encrypted,
        attributes: attributes.to_vec(),
        mac: Some(mac[..usize::from(tag_len).min(16)].to_vec()),
    };
    (parts, opener)
}

pub(super) fn gcm_parameters(nonce: &[u8], tag_len: u8) -> Vec<u8> {
    constructed(
        id::SEQUENCE,
        &[&tlv(id::OCTET_STRING, nonce), &[id::INTEGER, 1, tag_len]],
    )
}

/// AES-256-CBC for the RSA certificate, and who opens it.
pub(super) fn cbc_parts(pki: &Pki, plain: &[u8]) -> (Parts, FixedKey) {
    let (key, iv) = (random(32), [7; 16]);
    let mut cbc = CbcEncryptor::new(&key, iv).unwrap();
    let mut encrypted = vec![0; plain.len() + 32];
    let count = cbc.update(plain, &mut encrypted).unwrap();
    let last = cbc.finish(&mut encrypted[count..]).unwrap();
    encrypted.truncate(count + last);
    let (info, opener) = fixed(pki, key);
    let parts = Parts {
        outer: ID_ENVELOPED_DATA,
        version: 0,
        originator_info: Vec::new(),
        infos: vec![info],
        inner: ID_DATA,
        cipher: Cipher::Aes256Cbc.oid(),
        parameters: tlv(id::OCTET_STRING, &iv),
        encrypted,
        attributes: Vec::new(),
        mac: None,
    };
    (parts, opener)
}

/// ChaCha20-Poly1305 for the RSA certificate, and who opens it.
pub(super) fn chacha_parts(pki: &Pki, plain: &[u8], attributes: &[u8]) -> (Parts, FixedKey) {
    let (key, nonce) = (random(32), [3; 12]);
    let mut aad = attributes.to_vec();
    if let Some(first) = aad.first_mut() {
        *first = id::SET;
    }
    let mut chacha = ChaChaEncryptor::new(&key, &nonce, &aad).unwrap();
    let mut encrypted = vec![0; plain.len()];
    chacha.update(plain, &mut encrypted).unwrap();
    let mac = chacha.finish();
    let (info, opener) = fixed(pki, key);
    let parts = Parts {
        outer: ID_AUTH_ENVELOPED_DATA,
        version: 0,
        originator_info: Vec::new(),
        infos: vec![info],
        inner: ID_DATA,
        cipher: Cipher::ChaCha20Poly1305.oid(),
        parameters: tlv(id::OCTET_STRING, &nonce),
        encrypted,
        attributes: attributes.to_vec(),
        mac: Some(mac.to_vec()),
    };
    (parts, opener)
}

fn fixed(pki: &Pki, key: Vec<u8>) -> (Vec<u8>, FixedKey) {
    let certificate = pki.certificate("rsa");
    let info = recipient_info(&certificate, &key, &EncryptOptions::default()).unwrap();
    let encrypted = info[info.len() - 256..].to_vec();
    (
        info,
        FixedKey {
            certificate,
            encrypted,
            key,
        },
    )
}
