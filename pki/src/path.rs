//! Judges one path: certval's RFC 5280 processing, strength, mail usages, revocation; and names what is wrong.

use certval::validator::policy_graph::check_certificate_policies_graph;
use certval::{
    CertificationPath, CertificationPathResults, CertificationPathSettings, Error as Fault,
    ExtensionProcessing, PDVCertificate, PDVExtension, PathValidationStatus, PkiEnvironment,
    RevocationSource, TimeOfInterest, check_basic_constraints, check_critical_extensions,
    check_extended_key_usage, check_names, check_revocation_local, check_validity,
    enforce_trust_anchor_constraints, get_subject_public_key_info_from_trust_anchor,
    get_trust_anchor_name, name_to_string, verify_signatures,
};
use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_EMAIL_PROTECTION};
use const_oid::db::rfc5912::{
    ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
};
use const_oid::db::rfc6960::ID_PKIX_OCSP_NOCHECK;
use privyseal_smime::{Certificate, KeyType};
use x509_cert::ext::pkix::KeyUsages;

use crate::check::Judgement;
use crate::names::check_names as check_more_names;
use crate::strength::Floor;
use crate::{ChainState, PathQuery, Purpose, Revocation, Usage};

pub fn judge_path(
    environment: &PkiEnvironment,
    query: &PathQuery<'_>,
    path: &CertificationPath,
) -> Judgement {
    let mut judgement = judge(environment, query, path);
    judgement.path = certificates(path);
    judgement
}

fn judge(
    environment: &PkiEnvironment,
    query: &PathQuery<'_>,
    path: &CertificationPath,
) -> Judgement {
    let route = route(path);
    let Some(settings) = settings(query) else {
        return Judgement::invalid("malformed", "the time asked for is out of range");
    };
    let mut results = CertificationPathResults::new();
    if let Err(fault) = process(environment, &settings, path, query.leaf, &mut results) {
        let (error, words) = named(&fault);
        let place = results.get_failure_index().map(|i| at_place(path, i));
        let step = format!("{route}: {words}{}", place.unwrap_or_default());
        return Judgement::invalid(error, step);
    }
    if let Some(step) = wrong_usage(query, &path.target, &path.intermediates) {
        return Judgement::invalid("usage", format!("{route}: {step}"));
    }
    if let Some(step) = weakness(Floor::of(query.options.auth_level), path) {
        return Judgement::invalid("weak", format!("{route}: {step}"));
    }
    let mut judgement = Judgement::valid(format!("{route}: valid"));
    if query.revocation != Revocation::Off {
        revocation(environment, &settings, query, path, &mut judgement);
    }
    judgement
}

fn settings(query: &PathQuery<'_>) -> Option<CertificationPathSettings> {
    let options = query.options;
    let mut settings = CertificationPathSettings::new();
    // 0 would switch the check of the dates off
    settings.set_time_of_interest(TimeOfInterest::from_unix_secs(query.at.max(1)).ok()?);
    // RFC 5937: what a root says of itself (name constraints, path length) binds
    settings.set_enforce_trust_anchor_constraints(true);
    settings.set_check_revocation_status(query.revocation != Revocation::Off);
    if !options.policies.is_empty() {
        settings.set_initial_policy_set_from_oid_set(options.policies.iter().copied().collect());
    }
    settings.set_initial_explicit_policy_indicator(options.require_explicit_policy);
    settings.set_initial_policy_mapping_inhibit_indicator(options.inhibit_policy_mapping);
    settings.set_initial_inhibit_any_policy_indicator(options.inhibit_any_policy);
    Some(settings)
}

/// RFC 5280 §6.1 by certval's parts: as its own `validate_path_rfc5280`, but for intermediates without key usage, which
/// that refuses and RFC 5280 §6.1.4 (n) does not.
fn process(
    environment: &PkiEnvironment,
    settings: &CertificationPathSettings,
    path: &CertificationPath,
    leaf: &Certificate,
    results: &mut CertificationPathResults,
) -> certval::Result<()> {
    check_validity(environment, settings, path, results)?;
    let settings = &enforce_trust_anchor_constraints(settings, &path.trust_anchor)?;
    check_basic_constraints(environment, settings, path, results)?;
    check_more_names(path, leaf).map_err(|(status, place)| {
        results.set_failure_index(place);
        Fault::PathValidation(status)
    })?;
    check_names(environment, settings, path, results)?;
    check_certificate_policies_graph(environment, settings, path, results)?;
    check_key_usage(path, results)?;
    check_extended_key_usage(environment, settings, path, results)?;
    check_critical_extensions(environment, settings, path, results)?;
    verify_signatures(environment, settings, path, results)
}

fn check_key_usage(
    path: &CertificationPath,
    results: &mut CertificationPathResults,
) -> certval::Result<()> {
    let mut known = results.get_processed_extensions();
    // what is known here must be readable too; the last two ask nothing of a path when they are critical: they say
    // where CRLs are, and that an OCSP responder has none
    known.extend([
        ID_CE_KEY_USAGE,
        ID_CE_SUBJECT_ALT_NAME,
        ID_CE_CRL_DISTRIBUTION_POINTS,
        ID_PKIX_OCSP_NOCHECK,
    ]);
    results.set_processed_extensions(known);
    for (place, issuer) in (1u32..).zip(&path.intermediates) {
        if let Ok(Some(PDVExtension::KeyUsage(usage))) = issuer.get_extension(&ID_CE_KEY_USAGE)
            && !usage.key_cert_sign()
        {
            results.set_failure_index(place);
            return Err(Fault::PathValidation(PathValidationStatus::InvalidKeyUsage));
        }
    }
    Ok(())
}

fn weakness(floor: Floor, path: &CertificationPath) -> Option<String> {
    let leaf = path.target.decoded().tbs_certificate();
    if !floor.leaf_key(leaf.subject_public_key_info()) {
        return Some("its key is too weak".to_owned());
    }
    let anchor = get_subject_public_key_info_from_trust_anchor(path.trust_anchor.decoded());
    if !floor.issuer_key(anchor) {
        return Some("the anchor's key is too weak".to_owned());
    }
    for issuer in &path.intermediates {
        let key = issuer.decoded().tbs_certificate().subject_public_key_info();
        if !floor.issuer_key(key) {
            return Some(format!("the key of {} is too weak", subject(issuer)));
        }
    }
    let signed = path.intermediates.iter().chain([&path.target]);
    for certificate in signed {
        if !floor.signature(certificate.decoded().tbs_certificate().signature()) {
            return Some(format!(
                "the signature on {} is too weak",
                subject(certificate)
            ));
        }
    }
    None
}

fn revocation(
    environment: &PkiEnvironment,
    settings: &CertificationPathSettings,
    query: &PathQuery<'_>,
    path: &CertificationPath,
    judgement: &mut Judgement,
) {
    let mut results = CertificationPathResults::new();
    let fault = check_revocation_local(environment, settings, path, &mut results).err();
    let sources = results.get_revocation_source().unwrap_or_default();
    let leaf_known = sources
        .last()
        .is_some_and(|source| *source != RevocationSource::None);
    let place = results.get_failure_index().map(|i| at_place(path, i));
    let place = place.unwrap_or_default();
    match fault.map(|fault| (named(&fault).0, fault)) {
        None => {
            judgement.revocation = "good";
            judgement.steps.push("not revoked".into());
        }
        Some(("revoked", fault)) => {
            judgement.chain = ChainState::Invalid;
            judgement.error = Some("revoked");
            judgement.revocation = "revoked";
            judgement.leaf_revoked = fault
                != Fault::PathValidation(PathValidationStatus::CertificateRevokedIntermediateCa);
            judgement.steps.push(format!("revoked{place}"));
        }
        Some(_) => {
            let enough = query.revocation == Revocation::Leaf && leaf_known;
            judgement.revocation = if enough { "good" } else { "unknown" };
            if !enough && query.revocation != Revocation::Soft {
                judgement.chain = ChainState::Unknown;
                judgement.error = Some("revocation-unknown");
            }
            let step = format!("no CRL at hand says whether it is revoked{place}");
            judgement.steps.push(step);
        }
    }
}

/// RFC 8550 §4.4.2 and §4.4.4. Extended key usages bind issuers too, as openssl and every mail client have it.
pub fn wrong_usage(
    query: &PathQuery<'_>,
    leaf: &PDVCertificate,
    above: &[PDVCertificate],
) -> Option<String> {
    if query.purpose == Purpose::Any {
        return None;
    }
    if let Ok(Some(PDVExtension::KeyUsage(bits))) = leaf.get_extension(&ID_CE_KEY_USAGE) {
        let wanted = match (query.usage, query.leaf.key_type()) {
            (Usage::Sign, _) => KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
            (Usage::Encrypt, KeyType::Rsa(_) | KeyType::MlKem(_)) => {
                KeyUsages::KeyEncipherment.into()
            }
            (Usage::Encrypt, KeyType::Ec(_) | KeyType::X25519) => KeyUsages::KeyAgreement.into(),
            (Usage::Encrypt, _) => KeyUsages::KeyEncipherment | KeyUsages::KeyAgreement,
        };
        if bits.0.is_disjoint(wanted) {
            let what = match query.usage {
                Usage::Sign => "signing",
                Usage::Encrypt => "encryption",
            };
            return Some(format!("its key usage does not allow {what}"));
        }
    }
    std::iter::once(leaf).chain(above).find_map(|certificate| {
        match certificate.get_extension(&ID_CE_EXT_KEY_USAGE) {
            Ok(Some(PDVExtension::ExtendedKeyUsage(usages))) => {
                let mail = usages
                    .0
                    .iter()
                    .any(|u| *u == ID_KP_EMAIL_PROTECTION || *u == ANY_EXTENDED_KEY_USAGE);
                (!mail).then(|| format!("{} is not for mail", subject(certificate)))
            }
            _ => None,
        }
    })
}

/// The name of a fault in a [`crate::PathOutcome`], and a person's words for it.
fn named(fault: &Fault) -> (&'static str, &'static str) {
    use PathValidationStatus as Status;
    let Fault::PathValidation(status) = fault else {
        return ("malformed", "something cannot be parsed");
    };
    match status {
        Status::InvalidNotAfterDate => ("expired", "expired"),
        Status::InvalidNotBeforeDate => ("not-yet-valid", "not valid yet"),
        Status::SignatureVerificationFailure => ("signature", "the signature is wrong"),
        Status::NameChainingFailure => ("name-chaining", "issuer and subject differ"),
        Status::MissingBasicConstraints | Status::InvalidBasicConstraints => {
            ("basic-constraints", "an issuer is no CA")
        }
        Status::InvalidPathLength => ("path-length", "more CAs than one of them allows"),
        Status::InvalidKeyUsage => ("usage", "an issuer may not sign certificates"),
        Status::NullPolicySet => ("policy", "no policy is acceptable"),
        Status::InvalidPolicyMapping => ("policy", "a policy mapping is not allowed"),
        Status::NameConstraintsViolation => {
            ("name-constraints", "an issuer may not issue for this name")
        }
        Status::UnprocessedCriticalExtension => {
            ("critical-extension", "a critical extension is unknown")
        }
        Status::MissingTrustAnchor | Status::MissingTrustAnchorName | Status::NoPathsFound => {
            ("untrusted", "there is no trusted anchor")
        }
        Status::CertificateRevoked
        | Status::CertificateRevokedEndEntity
        | Status::CertificateRevokedIntermediateCa
        | Status::CertificateOnHold
        | Status::CertificateBlocklisted => ("revoked", "revoked"),
        Status::RevocationStatusNotDetermined => ("revocation-unknown", "revocation is not known"),
        Status::InsufficientKeySize => ("weak", "a key is too short"),
        Status::ProcessingLimitExceeded => ("limit", "it is too complicated"),
        _ => ("malformed", "something cannot be parsed"),
    }
}

/// From the leaf to the anchor.
fn certificates(path: &CertificationPath) -> Vec<Certificate> {
    std::iter::once(path.target.as_bytes())
        .chain(path.intermediates.iter().rev().map(|c| c.as_bytes()))
        .chain(std::iter::once(path.trust_anchor.as_bytes()))
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect()
}

fn route(path: &CertificationPath) -> String {
    let mut names: Vec<String> = path.intermediates.iter().rev().map(subject).collect();
    let anchor = get_trust_anchor_name(path.trust_anchor.decoded());
    names.push(anchor.map(name_to_string).unwrap_or_default());
    format!("by {}", names.join(", by "))
}

/// certval counts from the anchor.
fn at_place(path: &CertificationPath, index: u32) -> String {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let name = match index.checked_sub(1) {
        None => "the anchor".to_owned(),
        Some(below) => subject(path.intermediates.get(below).unwrap_or(&path.target)),
    };
    format!(" ({name})")
}

/// For people; the names of a hostile certificate can be long.
pub fn subject(certificate: &PDVCertificate) -> String {
    const SHOWN: usize = 200;
    let name = name_to_string(certificate.decoded().tbs_certificate().subject());
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name,
    }
}
