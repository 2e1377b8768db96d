//! CRLs as messages bring them: what they say counts only if the authority signed it.

use privyseal_pki::Revocation;
use privyseal_smime::mime::pem;

use crate::judge;
use crate::keys::PKI;
use crate::seeds;

pub fn run(data: &[u8]) {
    let leaf = &PKI.signers[1].certificate;
    let given = [data.to_vec()];
    for revocation in [Revocation::Soft, Revocation::Required] {
        let outcome = judge::path(leaf, &[], &given, revocation);
        match outcome.revocation.as_str() {
            "good" | "revoked" => assert!(
                from_the_authority(data),
                "{} by a CRL that the authority did not sign",
                outcome.revocation
            ),
            "unknown" | "not-checked" => {}
            other => panic!("{other}"),
        }
    }
}

fn from_the_authority(data: &[u8]) -> bool {
    let der = match data.first() {
        Some(0x30) => vec![data.to_vec()],
        _ => pem::blocks(data, &["X509 CRL", "CRL"]).unwrap_or_default(),
    };
    let signed = seeds::crls();
    der.iter().any(|given| {
        signed.iter().any(|crl| {
            // without the lengths around it and the signature behind it
            let tbs = &crl[4..crl.len() - 74];
            given.windows(tbs.len()).any(|w| w == tbs)
        })
    })
}
