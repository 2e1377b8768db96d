//! Shipped profiles say what they are meant to, and a file of an administrator is held to its grammar.

use super::set::SHIPPED;
use super::*;
use crate::cert::{Curve, MlKem};
use DigestAlgorithm::{Md5, Sha1, Sha256, Sha512};

fn profile(name: &str) -> Arc<Profile> {
    Profiles::built_in().get(name).unwrap().clone()
}

const NAMES: [&str; 5] = ["br-strict", "bsi", "edi-energy", "legacy-read", "rfc8551"];

fn pss(digest: DigestAlgorithm) -> SignatureScheme {
    SignatureScheme::RsaPss {
        digest,
        mgf: digest,
        salt_len: digest.len(),
    }
}

fn refused(result: Result<impl Sized>) -> String {
    match result.err() {
        Some(Error::Refused(what)) => what,
        other => panic!("{other:?}"),
    }
}

fn weak(result: Result<impl Sized>) -> String {
    match result.err() {
        Some(Error::WeakAlgorithm(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_shipped_file_is_right_and_every_file_of_the_folder_is_shipped() {
    let mut all = Profiles::default();
    for text in SHIPPED {
        all.add(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    }
    assert_eq!(all.names().collect::<Vec<_>>(), NAMES);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let expected: Vec<String> = NAMES.iter().map(|name| format!("{name}.toml")).collect();
    assert_eq!(files, expected);
    for name in NAMES {
        let profile = profile(name);
        assert!(!profile.description().is_empty());
        assert_eq!(profile.is_experimental(), name == "bsi");
        // what is announced can be read
        for capability in profile.capabilities() {
            if let Some(cipher) = capability.cipher() {
                assert_eq!(profile.reads_cipher(cipher).unwrap(), Strength::Fine);
            }
        }
        // and what is written can be read, by the same profile
        for cipher in &profile.write.ciphers {
            profile.reads_cipher(*cipher).unwrap();
        }
        for digest in &profile.write.digests {
            assert_eq!(
                profile.reads_signature(Some(*digest), None, None).unwrap(),
                Strength::Fine
            );
        }
    }
}

#[test]
fn rfc8551_is_what_has_always_been_written() {
    let profile = Profile::rfc8551();
    assert_eq!(profile.default_digest(), Some(Sha256));
    assert_eq!(profile.default_cipher(), Some(Cipher::Aes256Gcm));
    assert!(!profile.prefers_pss() && !profile.prefers_oaep());
    let rsa = SignatureScheme::RsaPkcs1(Sha256);
    profile.writes_signature(rsa, KeyType::Rsa(2048)).unwrap();
    profile
        .writes_signature(pss(Sha512), KeyType::Rsa(4096))
        .unwrap();
    // RFC 8551 §4.1
    let why = weak(profile.writes_signature(rsa, KeyType::Rsa(2047)));
    assert!(
        why.contains("rfc8551") && why.contains("rsa:2048-16384"),
        "{why}"
    );
    let sha1 = SignatureScheme::Ecdsa(Sha1);
    let why = weak(profile.writes_signature(sha1, KeyType::Ec(Curve::P256)));
    assert!(
        why.contains("does not write the digest sha1") && why.contains("sha256, sha384"),
        "{why}"
    );
    weak(profile.writes_cipher(Cipher::DesEde3Cbc));
    profile.writes_to(KeyType::MlKem(MlKem::MlKem768)).unwrap();
    // a signing key, asked to be encrypted to
    refused(profile.writes_to(KeyType::Ed25519));
}

#[test]
fn old_algorithms_are_read_by_legacy_read_alone() {
    let (old, new) = (Profile::legacy_read(), Profile::rfc8551());
    let des3 = KeyProtection::Agreement(Kdf::X963(Sha1), KeyWrap::Des3);
    for cipher in Cipher::ALL.into_iter().filter(|c| c.is_only_read()) {
        assert_eq!(old.reads_cipher(cipher).unwrap(), Strength::Weak);
        let why = weak(new.reads_cipher(cipher));
        assert!(
            why.contains(cipher.name()) && why.contains("aes256-gcm"),
            "{why}"
        );
    }
    for digest in [Sha1, Md5] {
        let read = |profile: &Profile| profile.reads_signature(Some(digest), None, None);
        assert_eq!(read(&old).unwrap(), Strength::Weak);
        weak(read(&new));
    }
    let p256 = KeyType::Ec(Curve::P256);
    assert_eq!(old.reads_protection(des3, p256).unwrap(), Strength::Weak);
    weak(new.reads_protection(des3, p256));
    // a KDF needs no collision resistance
    let sha1 = KeyProtection::Agreement(Kdf::X963(Sha1), KeyWrap::Aes128);
    assert_eq!(new.reads_protection(sha1, p256).unwrap(), Strength::Fine);
    for (bits, strength) in [
        (512, Some(Strength::Weak)),
        (2047, Some(Strength::Weak)),
        (2048, Some(Strength::Fine)),
        (16384, Some(Strength::Fine)),
        (16385, None),
    ] {
        let how = KeyProtection::Rsa(&RsaPadding::Pkcs1);
        let found = old.reads_protection(how, KeyType::Rsa(bits)).ok();
        assert_eq!(found, strength, "{bits}");
    }
}

#[test]
fn edi_energy_is_pss_oaep_and_gcm() {
    let profile = profile("edi-energy");
    assert!(profile.prefers_pss() && profile.prefers_oaep());
    let rsa = KeyType::Rsa(2048);
    profile.writes_signature(pss(Sha256), rsa).unwrap();
    let why = refused(profile.writes_signature(SignatureScheme::RsaPkcs1(Sha256), rsa));
    assert_eq!(
        why,
        "the profile edi-energy does not write the signature rsa-pkcs1 (it allows: rsa-pss)"
    );
    let pkcs1 = KeyProtection::Rsa(&RsaPadding::Pkcs1);
    refused(profile.writes_protection(pkcs1, rsa));
    refused(profile.reads_protection(pkcs1, rsa));
    let oaep = |hash, mgf| RsaPadding::Oaep {
        hash,
        mgf,
        label: Vec::new(),
    };
    profile
        .writes_protection(KeyProtection::Rsa(&oaep(Sha256, Sha256)), rsa)
        .unwrap();
    refused(profile.reads_protection(KeyProtection::Rsa(&oaep(Sha256, Sha1)), rsa));
    refused(profile.writes_cipher(Cipher::Aes256Cbc));
    refused(profile.reads_cipher(Cipher::Aes128Cbc));
    refused(profile.writes_cipher(Cipher::ChaCha20Poly1305));
    refused(profile.writes_signature(SignatureScheme::Ecdsa(Sha256), KeyType::Ec(Curve::P256)));
}

#[test]
fn br_strict_wants_whole_bytes_and_bsi_3000_bits() {
    let (strict, bsi) = (profile("br-strict"), profile("bsi"));
    let rsa = SignatureScheme::RsaPkcs1(Sha256);
    for (bits, fine) in [
        (2047, false),
        (2048, true),
        (2049, false),
        (3071, false),
        (3072, true),
    ] {
        let key = KeyType::Rsa(bits);
        assert_eq!(strict.writes_signature(rsa, key).is_ok(), fine, "{bits}");
        assert_eq!(
            strict.reads_signature(None, None, Some(key)).is_ok(),
            fine,
            "{bits}"
        );
    }
    refused(strict.writes_to(KeyType::X25519));
    for (bits, fine) in [(2999, false), (3000, true)] {
        let key = KeyType::Rsa(bits);
        assert_eq!(
            bsi.writes_signature(pss(Sha256), key).is_ok(),
            fine,
            "{bits}"
        );
    }
    refused(bsi.writes_signature(rsa, KeyType::Rsa(3072)));
}

#[test]
fn a_cipher_is_common_if_all_read_it_and_we_write_it() {
    let (all, few) = (Profile::rfc8551(), profile("edi-energy"));
    let capabilities = all.capabilities();
    let gcm = few.capabilities();
    assert_eq!(
        all.common_cipher(&[&capabilities, &gcm]),
        Some(Cipher::Aes256Gcm)
    );
    let of = |ciphers: &[Cipher]| -> Vec<Capability> {
        let all = ciphers.iter();
        all.map(|c| Announcement::Cipher(*c).capability()).collect()
    };
    let old = of(&[Cipher::Aes128Cbc, Cipher::DesEde3Cbc]);
    assert_eq!(
        all.common_cipher(&[&capabilities, &old]),
        Some(Cipher::Aes128Cbc)
    );
    assert_eq!(few.common_cipher(&[&capabilities, &old]), None);
    assert_eq!(all.common_cipher(&[&of(&[Cipher::DesEde3Cbc])]), None);
    assert_eq!(all.common_cipher(&[]), None);
}

const MINE: &str = "name = \"mine\"\nextends = \"rfc8551\"\n";

#[test]
fn a_file_changes_what_it_says_and_takes_the_rest() {
    let mut all = Profiles::built_in();
    let mine = all
        .add(&format!("{MINE}[write]\nciphers = [\"aes128-cbc\"]\n"))
        .unwrap();
    assert_eq!(mine.default_cipher(), Some(Cipher::Aes128Cbc));
    assert_eq!(mine.write.digests, Profile::rfc8551().write.digests);
    assert_eq!(mine.read, Profile::rfc8551().read);
    // the same name again: in its place, on top of it
    let again = "name = \"mine\"\nextends = \"mine\"\n[write]\ndigests = [\"sha512\"]\n";
    let mine = all.add(again).unwrap();
    assert_eq!(mine.default_digest(), Some(Sha512));
    assert_eq!(mine.default_cipher(), Some(Cipher::Aes128Cbc));
    assert_eq!(all.names().count(), NAMES.len() + 1);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let long = format!("name = \"{}\"", "x".repeat(65));
    for (text, at, words) in [
        (
            format!("{MINE}[write]\nciphers = [\"rot13\"]"),
            Some("\"rot13\""),
            "not a cipher: aes128-cbc",
        ),
        (
            format!("{MINE}[write]\nciphers = [\"rc2-cbc\"]"),
            Some("\"rc2-cbc\""),
            "only read",
        ),
        (
            format!("{MINE}[write]\ndigests = [\"sha1\"]"),
            Some("\"sha1\""),
            "broken",
        ),
        (
            format!("{MINE}[write]\ndigests = [\"shake256\"]"),
            Some("\"shake256\""),
            "only read",
        ),
        (
            format!("{MINE}[write]\nkey-wraps = [\"des-ede3-wrap\"]"),
            None,
            "broken",
        ),
        (
            format!("{MINE}[write]\noaep-digests = [\"md5\"]"),
            None,
            "not written",
        ),
        (
            format!("{MINE}[write]\nsigning-keys = [\"rsa:2047-4096\"]"),
            None,
            "below 2048",
        ),
        (
            format!("{MINE}[read]\nsigning-keys = [\"rsa:4096-2048\"]"),
            None,
            "not a kind of key",
        ),
        (
            format!("{MINE}[read]\nsigning-keys = [\"rsa:1-2/0\"]"),
            None,
            "not a kind of key",
        ),
        (format!("{MINE}[reed]"), Some("reed"), "unknown field"),
        (
            format!("{MINE}[read.weak]\nciphers = 7"),
            Some("7"),
            "invalid type",
        ),
        (
            format!("{MINE}[capabilities]\nannounce = [\"rc2-cbc\"]"),
            None,
            "not a capability",
        ),
        (
            "name = \"alone\"".into(),
            None,
            "[write] digests is missing",
        ),
        (
            "name = \"x\"\nextends = \"nobody\"".into(),
            Some("\"nobody\""),
            "there are br-strict",
        ),
        ("name = \"A B\"".into(), Some("\"A B\""), "no name"),
        ("name = \"\"".into(), Some("\"\""), "no name"),
        (long, None, "no name"),
    ] {
        let error = Profiles::built_in().add(&text).unwrap_err();
        assert!(error.what.contains(words), "{text}: {error}");
        if let Some(at) = at {
            assert_eq!(&text[error.at.unwrap()], at);
        }
    }
    let longest = format!("name = \"{}\"\nextends = \"bsi\"", "x".repeat(64));
    assert!(Profiles::built_in().add(&longest).is_ok());
}
