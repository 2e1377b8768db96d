//! The recipients' keys as a token would use them.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey,
    PrivateDecryptingKey,
};
use privyseal_smime::{Certificate, DigestAlgorithm, KeyError, KeyOpener, RecipientId, RsaPadding};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::keys::{Key, PKI, Person};

/// Opens for every recipient of [`PKI`]. The same question has the same answer: what stands for a wrong padding (RFC 3218)
/// comes from the encrypted key.
pub struct Opener;

impl Opener {
    fn person(certificate: &Certificate) -> &'static Person {
        let mut all = PKI.recipients.iter();
        all.find(|p| p.certificate == *certificate)
            .expect("asked for a key that was not found")
    }
}

impl KeyOpener for Opener {
    fn find(&self, id: &RecipientId) -> Vec<Certificate> {
        let all = PKI.recipients.iter().map(|p| &p.certificate);
        all.filter(|c| id.matches(c)).cloned().collect()
    }

    fn rsa_unwrap(
        &self,
        certificate: &Certificate,
        padding: &RsaPadding,
        encrypted_key: &[u8],
        expected_len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        assert!(
            encrypted_key.len() <= 256,
            "more than the modulus reached the key"
        );
        let Key::Rsa(der) = &Self::person(certificate).key else {
            panic!("RSA with another key");
        };
        let private = PrivateDecryptingKey::from_pkcs8(der).unwrap();
        let mut out = [0; 256];
        let opened = match padding {
            RsaPadding::Pkcs1 => {
                let private = Pkcs1PrivateDecryptingKey::new(private).unwrap();
                let opened = private.decrypt(encrypted_key, &mut out);
                opened.ok().map(|key| key.to_vec())
            }
            RsaPadding::Oaep {
                hash: DigestAlgorithm::Sha256,
                mgf: DigestAlgorithm::Sha256,
                label,
            } => {
                let private = OaepPrivateDecryptingKey::new(private).unwrap();
                let label = (!label.is_empty()).then_some(label.as_slice());
                let opened =
                    private.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted_key, &mut out, label);
                opened.ok().map(|key| key.to_vec())
            }
            RsaPadding::Oaep { .. } => None,
        };
        let substitute = || Sha256::digest(encrypted_key)[..].repeat(2)[..expected_len].to_vec();
        let key = opened.filter(|key| key.len() == expected_len);
        Ok(Zeroizing::new(key.unwrap_or_else(substitute)))
    }

    fn ecdh(
        &self,
        certificate: &Certificate,
        peer_point: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (algorithm, key) = match &Self::person(certificate).key {
            Key::P256(key) => {
                assert_eq!((peer_point.len(), peer_point[0]), (65, 4));
                let key = PrivateKey::from_private_key(&agreement::ECDH_P256, &key.to_bytes());
                (&agreement::ECDH_P256, key.unwrap())
            }
            Key::X25519(private) => {
                assert_eq!(peer_point.len(), 32);
                let key = PrivateKey::from_private_key(&agreement::X25519, private);
                (&agreement::X25519, key.unwrap())
            }
            _ => panic!("key agreement with another key"),
        };
        let peer = UnparsedPublicKey::new(algorithm, peer_point);
        let failed = KeyError::new("DeviceError", "no point");
        agree(&key, peer, failed, |secret| {
            Ok(Zeroizing::new(secret.to_vec()))
        })
    }
}
