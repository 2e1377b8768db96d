//! The rows of the matrix: what is signed, encrypted and compressed, and by which algorithms.

use std::fmt;

/// A kind of key. Everybody has one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
    X25519,
}

impl Key {
    pub const ALL: [Key; 6] = [
        Key::Rsa,
        Key::P256,
        Key::P384,
        Key::P521,
        Key::Ed25519,
        Key::X25519,
    ];

    /// As in names of files.
    pub fn name(self) -> &'static str {
        match self {
            Key::Rsa => "rsa",
            Key::P256 => "p256",
            Key::P384 => "p384",
            Key::P521 => "p521",
            Key::Ed25519 => "ed25519",
            Key::X25519 => "x25519",
        }
    }

    pub fn is_ec(self) -> bool {
        matches!(self, Key::P256 | Key::P384 | Key::P521)
    }
}

/// A signature scheme, with digests by the names that Privyseal gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Pkcs1(&'static str),
    Pss {
        digest: &'static str,
        mgf: &'static str,
        salt: usize,
    },
    Ecdsa(&'static str),
    Ed25519,
    MlDsa,
}

impl Scheme {
    /// Of the content.
    pub fn digest(self) -> &'static str {
        match self {
            Scheme::Pkcs1(digest) | Scheme::Pss { digest, .. } | Scheme::Ecdsa(digest) => digest,
            Scheme::Ed25519 | Scheme::MlDsa => "sha512",
        }
    }

    /// As a verdict names it.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Pkcs1(_) => "rsa-pkcs1",
            Scheme::Pss { .. } => "rsa-pss",
            Scheme::Ecdsa(_) => "ecdsa",
            Scheme::Ed25519 => "ed25519",
            Scheme::MlDsa => "ml-dsa-65",
        }
    }

    pub fn is_weak(self) -> bool {
        matches!(self.digest(), "md5" | "sha1")
    }
}

/// Where content and signature are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// multipart/signed
    Clear,
    /// in one SignedData
    Opaque,
    /// the signature alone
    Detached,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// a MIME entity
    Smime,
    Der,
    Pem,
    /// content that is too long to be held: BER in segments
    Ber,
}

/// How a content-encryption key gets to its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Management {
    Pkcs1,
    Oaep {
        hash: &'static str,
        mgf: &'static str,
        label: &'static str,
    },
    /// one-pass ECDH with the X9.63 KDF over this digest; with the scheme that multiplies by the cofactor
    Ecdh {
        kdf: &'static str,
        cofactor: bool,
    },
    /// the same with SHA-256 and a key of the sender that a certificate names
    EcdhStatic,
    /// X25519 with HKDF over this digest
    X25519(&'static str),
    MlKem,
    /// RSA PKCS #1 v1.5 to RSA keys, ECDH with SHA-256 to EC keys
    Mixed,
}

/// A content cipher, by the name that Privyseal gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cipher(pub &'static str);

impl Cipher {
    pub fn is_authenticated(self) -> bool {
        self.0.ends_with("gcm") || self.0.ends_with("poly1305")
    }

    pub fn is_weak(self) -> bool {
        self.0.starts_with("des") || self.0.starts_with("rc2")
    }

    /// Bytes.
    pub fn key_len(self) -> usize {
        match self.0 {
            "aes192-cbc" | "aes192-gcm" | "des-ede3-cbc" => 24,
            "aes256-cbc" | "aes256-gcm" | "chacha20-poly1305" => 32,
            "rc2-64-cbc" => 8,
            "rc2-40-cbc" => 5,
            _ => 16,
        }
    }
}

/// What one message is to be.
#[derive(Clone, Debug)]
pub enum Work {
    Sign {
        signers: Vec<(Key, Scheme)>,
        form: Form,
        format: Format,
        /// signers named by subject key identifier
        ski: bool,
        /// with signed attributes
        attributes: bool,
        /// with a counter-signature by P-256
        counter: bool,
    },
    /// certificates without a signature
    Certificates,
    Encrypt {
        recipients: Vec<Key>,
        management: Management,
        cipher: Cipher,
        format: Format,
        /// recipients named by subject key identifier
        ski: bool,
    },
    Compress {
        format: Format,
    },
}

impl Work {
    pub fn format(&self) -> Format {
        match self {
            Work::Sign { format, .. }
            | Work::Encrypt { format, .. }
            | Work::Compress { format } => *format,
            Work::Certificates => Format::Der,
        }
    }

    /// Something that Privyseal reads, and flags.
    pub fn is_weak(&self) -> bool {
        match self {
            Work::Sign { signers, .. } => signers.iter().any(|(_, scheme)| scheme.is_weak()),
            Work::Encrypt { cipher, .. } => cipher.is_weak(),
            Work::Certificates | Work::Compress { .. } => false,
        }
    }

    pub fn is_detached(&self) -> bool {
        matches!(
            self,
            Work::Sign {
                form: Form::Detached,
                ..
            }
        )
    }
}

/// One line of the table: one algorithm or one trait, in one or several forms.
pub struct Row {
    pub section: &'static str,
    pub name: String,
    /// each with its own word where there are several
    pub works: Vec<(&'static str, Work)>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.section, self.name)
    }
}

/// All of them, in the order of the page.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (key, scheme) in schemes() {
        let words = [
            ("clear", Form::Clear, Format::Smime),
            ("opaque", Form::Opaque, Format::Der),
            ("detached", Form::Detached, Format::Der),
        ];
        let works = words.map(|(word, form, format)| (word, signed((key, scheme), form, format)));
        rows.push(Row {
            section: "Signatures",
            name: scheme_name(key, scheme),
            works: works.into(),
        });
    }
    shapes_of_signatures(&mut rows);
    for (key, management) in managements() {
        rows.push(Row {
            section: "Key management (AES-128-CBC)",
            name: management_name(key, management),
            works: vec![("", encrypted(vec![key], management, "aes128-cbc"))],
        });
    }
    for cipher in [
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "aes128-gcm",
        "aes192-gcm",
        "aes256-gcm",
        "chacha20-poly1305",
        "des-ede3-cbc",
        "rc2-cbc",
        "rc2-64-cbc",
        "rc2-40-cbc",
    ] {
        let ecdh = Management::Ecdh {
            kdf: "sha256",
            cofactor: false,
        };
        let mut works = vec![(
            "to RSA",
            encrypted(vec![Key::Rsa], Management::Pkcs1, cipher),
        )];
        // RC2 has no key wrap that anybody uses
        if !cipher.starts_with("rc2") {
            works.push(("to P-256", encrypted(vec![Key::P256], ecdh, cipher)));
        }
        rows.push(Row {
            section: "Ciphers",
            name: cipher.to_owned(),
            works,
        });
    }
    shapes_of_envelopes(&mut rows);
    for (name, format) in [
        ("DER", Format::Der),
        ("PEM", Format::Pem),
        ("S/MIME", Format::Smime),
    ] {
        rows.push(Row {
            section: "Compressed data (zlib)",
            name: name.to_owned(),
            works: vec![("", Work::Compress { format })],
        });
    }
    rows
}

fn schemes() -> Vec<(Key, Scheme)> {
    let pss = |digest, mgf, salt| Scheme::Pss { digest, mgf, salt };
    let mut all = Vec::new();
    for digest in [
        "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3-224", "sha3-256", "sha3-384",
        "sha3-512",
    ] {
        all.push((Key::Rsa, Scheme::Pkcs1(digest)));
    }
    for scheme in [
        pss("sha1", "sha1", 20),
        pss("sha224", "sha224", 28),
        pss("sha256", "sha256", 32),
        pss("sha384", "sha384", 48),
        pss("sha512", "sha512", 64),
        pss("sha3-224", "sha3-224", 28),
        pss("sha3-256", "sha3-256", 32),
        pss("sha256", "sha256", 0),
        pss("sha256", "sha256", 20),
        pss("sha256", "sha1", 32),
        pss("sha512", "sha256", 32),
    ] {
        all.push((Key::Rsa, scheme));
    }
    for (key, digests) in [
        (
            Key::P256,
            &[
                "sha1", "sha224", "sha256", "sha384", "sha512", "sha3-224", "sha3-256",
            ][..],
        ),
        (Key::P384, &["sha256", "sha384", "sha512", "sha3-384"]),
        (Key::P521, &["sha256", "sha384", "sha512", "sha3-512"]),
    ] {
        all.extend(digests.iter().map(|digest| (key, Scheme::Ecdsa(digest))));
    }
    all.push((Key::Ed25519, Scheme::Ed25519));
    all.push((Key::Ed25519, Scheme::MlDsa));
    all
}

fn scheme_name(key: Key, scheme: Scheme) -> String {
    match scheme {
        Scheme::Pkcs1(digest) => format!("RSA PKCS #1 v1.5, {digest}"),
        Scheme::Pss { digest, mgf, salt } => format!("RSA-PSS, {digest}, MGF1 {mgf}, salt {salt}"),
        Scheme::Ecdsa(digest) => format!("ECDSA {}, {digest}", curve(key)),
        Scheme::Ed25519 => "Ed25519".to_owned(),
        Scheme::MlDsa => "ML-DSA-65".to_owned(),
    }
}

fn curve(key: Key) -> String {
    key.name().replace('p', "P-")
}

fn signed(signer: (Key, Scheme), form: Form, format: Format) -> Work {
    Work::Sign {
        signers: vec![signer],
        form,
        format,
        ski: false,
        attributes: true,
        counter: false,
    }
}

fn shapes_of_signatures(rows: &mut Vec<Row>) {
    let rsa = (Key::Rsa, Scheme::Pkcs1("sha256"));
    let p256 = (Key::P256, Scheme::Ecdsa("sha256"));
    let special = |signers: &[(Key, Scheme)], ski, attributes, counter| Work::Sign {
        signers: signers.into(),
        form: Form::Opaque,
        format: Format::Der,
        ski,
        attributes,
        counter,
    };
    let mut row = |name: &str, works: Vec<(&'static str, Work)>| {
        rows.push(Row {
            section: "Shapes of signed data",
            name: name.to_owned(),
            works,
        });
    };
    row(
        "signer by subject key identifier",
        vec![
            ("RSA", special(&[rsa], true, true, false)),
            ("P-256", special(&[p256], true, true, false)),
        ],
    );
    row(
        "no signed attributes",
        vec![
            ("RSA", special(&[rsa], false, false, false)),
            ("P-256", special(&[p256], false, false, false)),
        ],
    );
    row(
        "two signers (RSA, P-256)",
        vec![("", special(&[rsa, p256], false, true, false))],
    );
    row(
        "counter-signature",
        vec![("", special(&[rsa], false, true, true))],
    );
    row("certificates only", vec![("", Work::Certificates)]);
    for (name, form, format) in [
        ("opaque, S/MIME", Form::Opaque, Format::Smime),
        ("opaque, PEM", Form::Opaque, Format::Pem),
        ("detached, PEM", Form::Detached, Format::Pem),
        ("opaque, long, BER", Form::Opaque, Format::Ber),
        ("detached, long, BER", Form::Detached, Format::Ber),
    ] {
        row(
            name,
            vec![
                ("RSA", signed(rsa, form, format)),
                ("P-256", signed(p256, form, format)),
            ],
        );
    }
}

fn managements() -> Vec<(Key, Management)> {
    let oaep = |hash, mgf, label| (Key::Rsa, Management::Oaep { hash, mgf, label });
    let mut all = vec![
        (Key::Rsa, Management::Pkcs1),
        oaep("sha1", "sha1", ""),
        oaep("sha256", "sha256", ""),
        oaep("sha384", "sha384", ""),
        oaep("sha512", "sha512", ""),
        oaep("sha256", "sha1", ""),
        oaep("sha1", "sha1", "label"),
        oaep("sha256", "sha256", "label"),
    ];
    for key in [Key::P256, Key::P384, Key::P521] {
        for cofactor in [false, true] {
            for kdf in ["sha1", "sha224", "sha256", "sha384", "sha512"] {
                all.push((key, Management::Ecdh { kdf, cofactor }));
            }
        }
    }
    for key in [Key::P256, Key::P384, Key::P521] {
        all.push((key, Management::EcdhStatic));
    }
    for digest in ["sha256", "sha384", "sha512"] {
        all.push((Key::X25519, Management::X25519(digest)));
    }
    all.push((Key::X25519, Management::MlKem));
    all
}

fn management_name(key: Key, management: Management) -> String {
    match management {
        Management::Pkcs1 | Management::Mixed => "RSA PKCS #1 v1.5".to_owned(),
        Management::Oaep { hash, mgf, label } => {
            let label = if label.is_empty() { "" } else { ", a label" };
            format!("RSA-OAEP, {hash}, MGF1 {mgf}{label}")
        }
        Management::Ecdh { kdf, cofactor } => {
            let scheme = if cofactor { "cofactorDH" } else { "stdDH" };
            format!("ECDH {}, {scheme}-{kdf}kdf", curve(key))
        }
        Management::EcdhStatic => format!(
            "ECDH {}, stdDH-sha256kdf, a static key of the sender",
            curve(key)
        ),
        Management::X25519(digest) => format!("X25519, HKDF {digest}"),
        Management::MlKem => "ML-KEM-768".to_owned(),
    }
}

fn encrypted(recipients: Vec<Key>, management: Management, cipher: &'static str) -> Work {
    Work::Encrypt {
        recipients,
        management,
        cipher: Cipher(cipher),
        format: Format::Der,
        ski: false,
    }
}

fn shapes_of_envelopes(rows: &mut Vec<Row>) {
    let ecdh = Management::Ecdh {
        kdf: "sha256",
        cofactor: false,
    };
    let shaped = |recipients: &[Key], management, cipher, format, ski| Work::Encrypt {
        recipients: recipients.into(),
        management,
        cipher: Cipher(cipher),
        format,
        ski,
    };
    let mut row = |name: &str, works: Vec<(&'static str, Work)>| {
        rows.push(Row {
            section: "Shapes of enveloped data",
            name: name.to_owned(),
            works,
        });
    };
    let (der, rsa, mixed) = (Format::Der, Management::Pkcs1, Management::Mixed);
    row(
        "recipient by subject key identifier",
        vec![
            ("RSA", shaped(&[Key::Rsa], rsa, "aes128-cbc", der, true)),
            ("P-256", shaped(&[Key::P256], ecdh, "aes128-cbc", der, true)),
        ],
    );
    row(
        "several recipients (RSA, P-256, P-384)",
        vec![
            (
                "CBC",
                shaped(
                    &[Key::Rsa, Key::P256, Key::P384],
                    mixed,
                    "aes128-cbc",
                    der,
                    false,
                ),
            ),
            (
                "GCM",
                shaped(
                    &[Key::Rsa, Key::P256, Key::P384],
                    mixed,
                    "aes256-gcm",
                    der,
                    false,
                ),
            ),
        ],
    );
    for (name, format) in [
        ("S/MIME", Format::Smime),
        ("PEM", Format::Pem),
        ("long, BER", Format::Ber),
    ] {
        row(
            name,
            vec![
                ("CBC", shaped(&[Key::Rsa], rsa, "aes128-cbc", format, false)),
                ("GCM", shaped(&[Key::Rsa], rsa, "aes256-gcm", format, false)),
            ],
        );
    }
}
