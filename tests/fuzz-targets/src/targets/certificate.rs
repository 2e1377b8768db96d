//! Certificates: every accessor, the path to an authority, encrypting to it.

use privyseal_pki::{Anchors, ChainState, Revocation, sender_matches};
use privyseal_smime::{
    Certificate, DigestAlgorithm, EncryptOptions, Encryptor, SignatureScheme, verify_signature,
};

use crate::judge;
use crate::keys::PKI;

pub fn run(data: &[u8]) {
    let Ok(certificates) = Certificate::all_from_pem_or_der(data) else {
        return;
    };
    // each costs public-key operations
    let some = &certificates[..certificates.len().min(8)];
    for certificate in some {
        look_at(certificate);
        encrypt_to(certificate);
        path_of(certificate, some);
    }
}

fn look_at(certificate: &Certificate) {
    let again = Certificate::from_der(certificate.der()).unwrap();
    assert_eq!(again, *certificate);
    assert_eq!(again.key_type(), certificate.key_type());
    let pem = certificate.to_pem();
    assert_eq!(
        Certificate::all_from_pem_or_der(pem.as_bytes()).unwrap(),
        [again]
    );
    let _ = (certificate.subject(), certificate.issuer());
    let _ = (certificate.subject_der(), certificate.issuer_der());
    let _ = (certificate.serial_hex(), certificate.spki_der());
    let _ = (certificate.not_before(), certificate.not_after());
    let _ = (certificate.key_usage(), certificate.extended_key_usage());
    let _ = (certificate.can_sign(), certificate.can_decrypt());
    let _ = (certificate.is_ca(), certificate.is_self_issued());
    let _ = (certificate.email_protection(), certificate.ski());
    let _ = sender_matches(certificate, &certificate.emails());
    let digest = DigestAlgorithm::Sha256;
    for scheme in [
        SignatureScheme::RsaPkcs1(digest),
        SignatureScheme::RsaPss {
            digest,
            mgf: digest,
            salt_len: 32,
        },
        SignatureScheme::Ecdsa(digest),
    ] {
        let _ = verify_signature(certificate, scheme, &[7; 32], certificate.serial());
    }
}

fn encrypt_to(certificate: &Certificate) {
    let options = EncryptOptions::default();
    if let Ok(encryptor) = Encryptor::new(Vec::new(), std::slice::from_ref(certificate), &options) {
        encryptor.finish().unwrap();
    }
}

fn path_of(certificate: &Certificate, others: &[Certificate]) {
    let path = judge::path(certificate, others, &[], Revocation::Soft);
    if path.chain == ChainState::Valid {
        let whole = certificate.der();
        let signed = |known: &Certificate| {
            let tbs = tbs(known.der());
            whole.windows(tbs.len()).any(|w| w == tbs)
        };
        assert!(
            PKI.signed_by_ca().any(signed),
            "valid, and the authority did not sign it"
        );
    }
    let _ = Anchors::from_certs(vec![certificate.clone()]);
}

/// The part that is signed.
fn tbs(der: &[u8]) -> &[u8] {
    // both lengths have two bytes, and Ed25519's algorithm and signature follow: 7 + 67 bytes
    &der[4..der.len() - 74]
}
