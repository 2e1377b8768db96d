//! What a signer says of himself, as results of `Verify`.

use privyseal_smime::{Capability, SignerOutcome, VerifyOutcome};

use super::results::Results;

/// Adds them to the results of one signature.
pub fn add(results: Results, signer: &SignerOutcome, outcome: &VerifyOutcome) -> Results {
    let claims = &signer.claims;
    let capabilities: Vec<String> = claims.capabilities.iter().map(Capability::name).collect();
    let encryption = outcome
        .encryption_certificate(claims)
        .map(|certificate| format!("sha256:{}", certificate.sha256_hex()));
    let hint = claims.content_hint.as_ref().map(|hint| {
        Results::new()
            .with_some("description", hint.description.clone())
            .with("type", hint.content_type.to_string())
            .into_dict()
    });
    let capabilities = (!capabilities.is_empty()).then_some(capabilities);
    results
        .with_some("capabilities", capabilities)
        .with_some("encryption_certificate", encryption)
        .with_some("content_hint", hint)
}
