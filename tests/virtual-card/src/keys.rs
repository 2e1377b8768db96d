//! The keys of a card and their certificates, in files: `9a.key.pem`, `9a.crt.pem` …

use std::fs;
use std::path::{Path, PathBuf};

use der::EncodePem;
use der::pem::LineEnding;
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use privyseal_softhsm::pki::{Authority, Usage, to_pem};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use spki::SubjectPublicKeyInfoOwned;

use crate::{Error, Result};

/// Slot (key reference), data object of its certificate, and what it is for (SP 800-73-4 part 1 §4, tables 3 and 4b).
pub const SLOTS: [(u8, u32, Usage); 4] = [
    (0x9a, 0x5f_c105, Usage::Sign),
    (0x9c, 0x5f_c10a, Usage::Sign),
    (0x9d, 0x5f_c10b, Usage::Encrypt),
    (0x9e, 0x5f_c101, Usage::Sign),
];

/// A private key.
pub enum Key {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

/// Where one slot's files are.
#[derive(Clone, Debug)]
pub struct Files {
    pub key: PathBuf,
    pub certificate: PathBuf,
}

impl Files {
    pub fn of(dir: &Path, slot: u8) -> Self {
        Self {
            key: dir.join(format!("{slot:02x}.key.pem")),
            certificate: dir.join(format!("{slot:02x}.crt.pem")),
        }
    }
}

/// `9a=p256` and the like.
///
/// # Errors
/// [`Error::Algorithm`].
pub fn parse(given: &[String]) -> Result<Vec<(u8, String)>> {
    let one = |text: &String| {
        let (slot, algorithm) = text.split_once('=')?;
        let slot = u8::from_str_radix(slot, 16).ok()?;
        let known = SLOTS.iter().any(|(known, ..)| *known == slot);
        known.then(|| (slot, algorithm.to_owned()))
    };
    given
        .iter()
        .map(|text| one(text).ok_or_else(|| Error::Algorithm(text.clone())))
        .collect()
}

/// Makes the key and certificate files that are missing: `algorithms` by slot. The authority's certificate is `anchor.pem`.
///
/// # Errors
/// Files that cannot be read or written, an unknown algorithm.
pub fn make_missing(dir: &Path, algorithms: &[(u8, String)], email: &str) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut authority: Option<Authority> = None;
    for (slot, algorithm) in algorithms {
        let files = Files::of(dir, *slot);
        if files.key.exists() {
            continue;
        }
        let authority = match &mut authority {
            Some(authority) => authority,
            none => {
                let root = Authority::root("CN=Virtual Card Authority").map_err(of_pki)?;
                let pem = to_pem(&root.certificate).map_err(of_pki)?;
                fs::write(dir.join("anchor.pem"), pem)?;
                none.insert(root)
            }
        };
        let usage = SLOTS
            .iter()
            .find(|(known, ..)| known == slot)
            .map_or(Usage::Both, |(_, _, usage)| *usage);
        let (pem, spki) = generate(algorithm)?;
        let name = format!("CN=Virtual Card {slot:02X}");
        let certificate = authority.issue(&name, email, usage, spki).map_err(of_pki)?;
        fs::write(&files.key, pem)?;
        fs::write(
            &files.certificate,
            certificate.to_pem(LineEnding::LF).map_err(of_key)?,
        )?;
    }
    Ok(())
}

fn of_pki(error: privyseal_softhsm::error::Error) -> Error {
    Error::Key(error.to_string())
}

fn of_key(error: impl std::fmt::Display) -> Error {
    Error::Key(error.to_string())
}

/// PKCS#8 PEM and the public key.
fn generate(algorithm: &str) -> Result<(String, SubjectPublicKeyInfoOwned)> {
    let (pem, spki) = match algorithm {
        "p256" => {
            let key = p256::SecretKey::try_generate().map_err(of_key)?;
            (
                key.to_pkcs8_pem(LineEnding::LF).map_err(of_key)?,
                SubjectPublicKeyInfoOwned::from_key(&key.public_key()).map_err(of_key)?,
            )
        }
        "p384" => {
            let key = p384::SecretKey::try_generate().map_err(of_key)?;
            (
                key.to_pkcs8_pem(LineEnding::LF).map_err(of_key)?,
                SubjectPublicKeyInfoOwned::from_key(&key.public_key()).map_err(of_key)?,
            )
        }
        other => {
            let bits = other.strip_prefix("rsa").and_then(|bits| bits.parse().ok());
            let bits = bits.filter(|bits| [1024, 2048, 3072].contains(bits));
            let bits = bits.ok_or_else(|| Error::Algorithm(other.to_owned()))?;
            let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
            let key = rsa::PrivateKey::new(&mut rng, bits).map_err(of_key)?;
            (
                key.to_pkcs8_pem(LineEnding::LF).map_err(of_key)?,
                SubjectPublicKeyInfoOwned::from_key(&key.to_public_key()).map_err(of_key)?,
            )
        }
    };
    Ok((pem.to_string(), spki))
}

impl Key {
    /// # Errors
    /// A file that cannot be read, or is no PKCS#8 key of a known kind.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::File {
            path: path.to_owned(),
            reason,
        };
        let pem = fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        rsa::PrivateKey::from_pkcs8_pem(&pem)
            .map(|key| Self::Rsa(Box::new(key)))
            .or_else(|_| p256::SecretKey::from_pkcs8_pem(&pem).map(Self::P256))
            .or_else(|_| p384::SecretKey::from_pkcs8_pem(&pem).map(Self::P384))
            .map_err(|e| bad(format!("no key that this card can hold: {e}")))
    }

    /// Raw RSA (RFC 8017 §5.1.2, §5.2.1); `None`: not a block of this key's.
    pub fn rsa(&self, block: &[u8]) -> Option<Vec<u8>> {
        use rsa::traits::PublicKeyParts;
        let Self::Rsa(key) = self else {
            return None;
        };
        let size = key.size();
        if block.len() != size {
            return None;
        }
        let number = rsa::BoxedUint::from_be_slice_vartime(block);
        let out = rsa::hazmat::rsa_decrypt(
            None::<&mut getrandom::rand_core::UnwrapErr<getrandom::SysRng>>,
            key.as_ref(),
            &number,
        )
        .ok()?;
        let bytes = out.to_be_bytes_trimmed_vartime();
        let start = size.checked_sub(bytes.len())?;
        let mut padded = vec![0; size];
        padded.get_mut(start..)?.copy_from_slice(&bytes);
        Some(padded)
    }

    /// Ecdsa-Sig-Value, DER; the digest is cut or filled to the size of the curve.
    pub fn ecdsa(&self, digest: &[u8]) -> Option<Vec<u8>> {
        use p256::ecdsa::signature::hazmat::PrehashSigner;
        let fit = |size: usize| {
            let digest = digest.get(..size).unwrap_or(digest);
            [vec![0; size.saturating_sub(digest.len())], digest.to_vec()].concat()
        };
        match self {
            Self::P256(key) => {
                let key = p256::ecdsa::SigningKey::from(key);
                let made: p256::ecdsa::DerSignature = key.sign_prehash(&fit(32)).ok()?;
                Some(made.as_bytes().to_vec())
            }
            Self::P384(key) => {
                let key = p384::ecdsa::SigningKey::from(key);
                let made: p384::ecdsa::DerSignature = key.sign_prehash(&fit(48)).ok()?;
                Some(made.as_bytes().to_vec())
            }
            Self::Rsa(_) => None,
        }
    }

    /// The x coordinate shared with an uncompressed point.
    pub fn ecdh(&self, point: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::P256(key) => {
                let other = p256::PublicKey::from_sec1_bytes(point).ok()?;
                let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), other.as_affine());
                Some(shared.raw_secret_bytes().to_vec())
            }
            Self::P384(key) => {
                let other = p384::PublicKey::from_sec1_bytes(point).ok()?;
                let shared = p384::ecdh::diffie_hellman(key.to_nonzero_scalar(), other.as_affine());
                Some(shared.raw_secret_bytes().to_vec())
            }
            Self::Rsa(_) => None,
        }
    }

    /// Algorithm identifiers of GENERAL AUTHENTICATE (SP 800-78-4 table 6-2).
    pub fn answers_to(&self, algorithm: u8) -> bool {
        use rsa::traits::PublicKeyParts;
        match self {
            Self::Rsa(key) => match key.size() {
                128 => algorithm == 0x06,
                256 => algorithm == 0x07,
                _ => algorithm == 0x05,
            },
            Self::P256(_) => algorithm == 0x11,
            Self::P384(_) => algorithm == 0x14,
        }
    }
}

/// The public point, uncompressed: to be asked for in tests.
pub fn point_of(key: &Key) -> Option<Vec<u8>> {
    match key {
        Key::P256(key) => Some(key.public_key().to_sec1_point(false).as_bytes().to_vec()),
        Key::P384(key) => Some(key.public_key().to_sec1_point(false).as_bytes().to_vec()),
        Key::Rsa(_) => None,
    }
}
