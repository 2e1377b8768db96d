//! A small PKI whose keys come from a fixed seed, so that stored messages open again: known to everybody, worth nothing.

use std::sync::LazyLock;

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::EncodePrivateKey;
use privyseal_smime::{Certificate, KeyError, SignatureScheme, Signer};
use sha2::{Digest, Sha256};

use crate::asn1::{bits, context, extension, integer, name, octets, oid, seq, tlv, utc_time};

/// When every certificate and CRL here is valid, seconds since 1970.
pub const AT: u64 = 1_790_000_000;

/// What was signed and encrypted, and nothing else was.
pub const CONTENTS: [&[u8]; 3] = [
    b"Content-Type: text/plain\r\n\r\nPay 100 to Bob\r\n",
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n\r\n-- \r\nAlice\r\n",
    b"",
];

/// Mail address of every certificate.
pub const ADDRESS: &str = "alice@example.org";

/// Somebody's private key.
pub enum Key {
    /// PKCS#8
    Rsa(Vec<u8>),
    P256(p256::ecdsa::SigningKey),
    Ed25519(Ed25519KeyPair),
    X25519([u8; 32]),
}

/// A certificate and its key.
pub struct Person {
    pub certificate: Certificate,
    pub key: Key,
}

/// The authority, and who it issued a certificate to.
pub struct Pki {
    pub ca: Person,
    /// sign: RSA, P-256, Ed25519
    pub signers: Vec<Person>,
    /// decrypt: RSA, P-256, X25519
    pub recipients: Vec<Person>,
}

pub static PKI: LazyLock<Pki> = LazyLock::new(Pki::new);

const SIGN: u8 = 0x80;
const KEY_ENCIPHERMENT: u8 = 0x20;
const KEY_AGREEMENT: u8 = 0x08;
const SIGN_CERTIFICATES_AND_CRLS: u8 = 0x06;

impl Pki {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed(*b"keys of nobody, known to all: 01");
        let ca_key = Key::ed25519(&mut rng);
        let constraints = extension("2.5.29.19", true, &seq(&[&[0x01, 1, 0xff]]));
        let ca = Issuing {
            serial: 1,
            name: "Authority",
            usage: SIGN_CERTIFICATES_AND_CRLS,
            more: constraints,
        };
        let ca = Person {
            certificate: ca.issue(&ca_key, &ca_key),
            key: ca_key,
        };
        let mut names = (2..).zip(["s1", "s2", "s3", "e1", "e2", "e3"]);
        let mut person = |key: Key, usage| {
            let address = tlv(0x81, ADDRESS.as_bytes());
            let more = [
                extension("2.5.29.17", false, &seq(&[&address])),
                extension("2.5.29.37", false, &seq(&[&oid("1.3.6.1.5.5.7.3.4")])),
            ];
            let (serial, name) = names.next().unwrap();
            let issuing = Issuing {
                serial,
                name,
                usage,
                more: more.concat(),
            };
            Person {
                certificate: issuing.issue(&key, &ca.key),
                key,
            }
        };
        let signers = vec![
            person(Key::rsa(&mut rng), SIGN),
            person(Key::p256(&mut rng), SIGN),
            person(Key::ed25519(&mut rng), SIGN),
        ];
        let recipients = vec![
            person(Key::rsa(&mut rng), KEY_ENCIPHERMENT),
            person(Key::p256(&mut rng), KEY_AGREEMENT),
            person(Key::x25519(&mut rng), KEY_AGREEMENT),
        ];
        Pki {
            ca,
            signers,
            recipients,
        }
    }

    /// CertificateList (RFC 5280 §5.1) of the authority that revokes these serial numbers.
    pub fn crl(&self, this_update: &str, next_update: &str, revoked: &[&[u8]]) -> Vec<u8> {
        let entry = |serial: &&[u8]| seq(&[&tlv(0x02, serial), &utc_time("250601000000Z")]);
        let revoked = revoked.iter().map(entry).collect::<Vec<_>>().concat();
        let revoked = if revoked.is_empty() {
            revoked
        } else {
            seq(&[&revoked])
        };
        let algorithm = seq(&[&oid(ED25519)]);
        let number = extension("2.5.29.20", false, &integer(1));
        let tbs = seq(&[
            &integer(1),
            &algorithm,
            &name("Authority"),
            &utc_time(this_update),
            &utc_time(next_update),
            &revoked,
            &context(0, &[&seq(&[&number])]),
        ]);
        seq(&[&tbs, &algorithm, &bits(&self.ca.key.sign_plain(&tbs))])
    }

    /// What the authority signed: certificates without their signatures.
    pub fn signed_by_ca(&self) -> impl Iterator<Item = &Certificate> {
        let all = self.signers.iter().chain(&self.recipients);
        all.chain([&self.ca]).map(|p| &p.certificate)
    }
}

const ED25519: &str = "1.3.101.112";
const RSA: &str = "1.2.840.113549.1.1.1";

struct Issuing {
    serial: u8,
    name: &'static str,
    usage: u8,
    /// extensions
    more: Vec<u8>,
}

impl Issuing {
    fn issue(&self, key: &Key, by: &Key) -> Certificate {
        let algorithm = seq(&[&oid(ED25519)]);
        let usage = extension("2.5.29.15", true, &[0x03, 2, 0, self.usage]);
        let ski = extension(
            "2.5.29.14",
            false,
            &octets(&Sha256::digest(self.name)[..20]),
        );
        let tbs = seq(&[
            &context(0, &[&integer(2)]),
            &integer(self.serial),
            &algorithm,
            &name("Authority"),
            &seq(&[&utc_time("250101000000Z"), &utc_time("451231235959Z")]),
            &name(self.name),
            &key.spki(),
            &context(3, &[&seq(&[&usage, &ski, &self.more])]),
        ]);
        let der = seq(&[&tbs, &algorithm, &bits(&by.sign_plain(&tbs))]);
        Certificate::from_der(&der).unwrap()
    }
}

impl Key {
    fn rsa(rng: &mut ChaCha20Rng) -> Self {
        let key = rsa::PrivateKey::new(rng, 2048).unwrap();
        Key::Rsa(key.to_pkcs8_der().unwrap().as_bytes().to_vec())
    }

    fn p256(rng: &mut ChaCha20Rng) -> Self {
        Key::P256(p256::ecdsa::SigningKey::from_slice(&bytes(rng)).unwrap())
    }

    fn ed25519(rng: &mut ChaCha20Rng) -> Self {
        Key::Ed25519(Ed25519KeyPair::from_seed_unchecked(&bytes(rng)).unwrap())
    }

    fn x25519(rng: &mut ChaCha20Rng) -> Self {
        Key::X25519(bytes(rng))
    }

    fn spki(&self) -> Vec<u8> {
        match self {
            Key::Rsa(der) => {
                let key = RsaKeyPair::from_pkcs8(der).unwrap();
                let algorithm = seq(&[&oid(RSA), &[0x05, 0]]);
                seq(&[&algorithm, &bits(key.public_key().as_ref())])
            }
            Key::P256(key) => {
                let point = key.verifying_key().as_affine().to_sec1_point(false);
                let algorithm = seq(&[&oid("1.2.840.10045.2.1"), &oid("1.2.840.10045.3.1.7")]);
                seq(&[&algorithm, &bits(point.as_bytes())])
            }
            Key::Ed25519(key) => seq(&[&seq(&[&oid(ED25519)]), &bits(key.public_key().as_ref())]),
            Key::X25519(private) => {
                let key = agreement::PrivateKey::from_private_key(&agreement::X25519, private);
                let public = key.unwrap().compute_public_key().unwrap();
                seq(&[&seq(&[&oid("1.3.101.110")]), &bits(public.as_ref())])
            }
        }
    }

    /// RSASSA-PKCS1-v1_5 or ECDSA with SHA-256, or Ed25519; the same signature every time.
    pub fn sign_plain(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Key::Rsa(der) => {
                let key = RsaKeyPair::from_pkcs8(der).unwrap();
                let mut signature = vec![0; key.public_modulus_len()];
                let random = aws_lc_rs::rand::SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            Key::P256(key) => {
                let digest = Sha256::digest(message);
                let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).unwrap();
                signature.to_der().as_bytes().to_vec()
            }
            Key::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Key::X25519(_) => panic!("no key that signs"),
        }
    }
}

fn bytes(rng: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

impl Signer for Person {
    fn sign_digest(&self, _: SignatureScheme, _: &[u8]) -> Result<Vec<u8>, KeyError> {
        Err(KeyError::new("UnsupportedAlgorithm", "messages only"))
    }

    fn sign_message(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        if let (SignatureScheme::RsaPss { .. }, Key::Rsa(der)) = (scheme, &self.key) {
            let key = RsaKeyPair::from_pkcs8(der).unwrap();
            let mut signature = vec![0; key.public_modulus_len()];
            let random = aws_lc_rs::rand::SystemRandom::new();
            let padding = &aws_lc_rs::signature::RSA_PSS_SHA256;
            key.sign(padding, &random, message, &mut signature).unwrap();
            return Ok(signature);
        }
        Ok(self.key.sign_plain(message))
    }
}
