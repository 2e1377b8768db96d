//! What of a certificate's form and names certval does not look at.
//!
//! A sender is compared with every mail address that a certificate holds, so a CA's name constraints must bind every one
//! of them: also SmtpUTF8Mailbox (RFC 9598 §6) and emailAddress beside a subjectAltName, which certval passes over.

use certval::{
    CertificationPath, ExtensionProcessing, PDVCertificate, PDVExtension, PathValidationStatus,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME, ID_EC_PUBLIC_KEY};
use privyseal_smime::Certificate;
use x509_cert::ext::pkix::NameConstraints;
use x509_cert::ext::pkix::constraints::name::GeneralSubtrees;
use x509_cert::ext::pkix::name::GeneralName;

/// Names times constraints that are compared for one certificate, as openssl has it.
const COMPARED_MAX: usize = 1 << 20;

/// What is wrong, and the place of the certificate as certval counts: from the anchor.
pub fn check_names(
    path: &CertificationPath,
    leaf: &Certificate,
) -> Result<(), (PathValidationStatus, u32)> {
    let mut constraints: Vec<&NameConstraints> = Vec::new();
    if let Ok(Some(PDVExtension::NameConstraints(of_anchor))) =
        path.trust_anchor.get_extension(&ID_CE_NAME_CONSTRAINTS)
    {
        constraints.push(of_anchor);
    }
    let mut place = 0u32;
    for certificate in path.intermediates.iter().chain([&path.target]) {
        place = place.saturating_add(1);
        if !is_well_formed(certificate) || !is_named(certificate, certificate == &path.target) {
            return Err((PathValidationStatus::EncodingError, place));
        }
        let compared =
            names_of(certificate).saturating_mul(constraints.iter().map(|c| size(c)).sum());
        if compared > COMPARED_MAX {
            return Err((PathValidationStatus::ProcessingLimitExceeded, place));
        }
        if let Ok(Some(PDVExtension::NameConstraints(own))) =
            certificate.get_extension(&ID_CE_NAME_CONSTRAINTS)
        {
            constraints.push(own);
        }
    }
    // the leaf's own bind nobody above it
    let allowed = leaf
        .emails()
        .iter()
        .all(|name| constraints.iter().all(|c| allows(c, name)));
    if allowed {
        Ok(())
    } else {
        Err((PathValidationStatus::NameConstraintsViolation, place))
    }
}

/// RFC 5280 §4.2: no extension twice. RFC 5480 §2.1.1: curves by name only (CVE-2020-0601 came of the others).
fn is_well_formed(certificate: &PDVCertificate) -> bool {
    let tbs = certificate.decoded().tbs_certificate();
    let key = &tbs.subject_public_key_info().algorithm;
    let named = key
        .parameters
        .as_ref()
        .is_some_and(|p| p.decode_as::<ObjectIdentifier>().is_ok());
    let mut seen: Vec<ObjectIdentifier> = Vec::new();
    for extension in tbs.extensions().into_iter().flatten() {
        if seen.contains(&extension.extn_id) {
            return false;
        }
        seen.push(extension.extn_id);
    }
    named || key.oid != ID_EC_PUBLIC_KEY
}

/// RFC 5280 §4.1.2.4 and §4.1.2.6, RFC 8550 §2.3: issuers have names; so have subjects, but for one that is no CA and has a
/// critical subjectAltName.
fn is_named(certificate: &PDVCertificate, is_leaf: bool) -> bool {
    let tbs = certificate.decoded().tbs_certificate();
    let alternative = || {
        let mut all = tbs.extensions().into_iter().flatten();
        all.any(|e| e.extn_id == ID_CE_SUBJECT_ALT_NAME && e.critical)
    };
    !tbs.issuer().is_empty() && (!tbs.subject().is_empty() || is_leaf && alternative())
}

fn names_of(certificate: &PDVCertificate) -> usize {
    let subject = certificate
        .decoded()
        .tbs_certificate()
        .subject()
        .iter()
        .count();
    let alternative = match certificate.get_extension(&ID_CE_SUBJECT_ALT_NAME) {
        Ok(Some(PDVExtension::SubjectAltName(names))) => names.0.len(),
        _ => 0,
    };
    subject.saturating_add(alternative)
}

fn size(constraints: &NameConstraints) -> usize {
    let count = |trees: &Option<GeneralSubtrees>| trees.as_ref().map_or(0, Vec::len);
    count(&constraints.permitted_subtrees).saturating_add(count(&constraints.excluded_subtrees))
}

fn allows(constraints: &NameConstraints, address: &str) -> bool {
    let mut permitted = mail(&constraints.permitted_subtrees).peekable();
    let mut excluded = mail(&constraints.excluded_subtrees).peekable();
    if permitted.peek().is_none() && excluded.peek().is_none() {
        return true;
    }
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    // only A-labels can be compared (RFC 9598 §3 wants them)
    if !domain.is_ascii() {
        return false;
    }
    let fits = |constraint: &str| within(constraint, local, domain);
    (permitted.peek().is_none() || permitted.any(fits)) && !excluded.any(fits)
}

fn mail(trees: &Option<GeneralSubtrees>) -> impl Iterator<Item = &str> {
    let trees = trees.iter().flatten();
    trees.filter_map(|tree| match &tree.base {
        GeneralName::Rfc822Name(name) => Some(name.as_str()),
        _ => None,
    })
}

/// RFC 5280 §4.2.1.10: a mailbox, a host, or with a leading period all hosts of a domain. Local parts are compared with
/// regard to case (§7.5).
fn within(constraint: &str, local: &str, domain: &str) -> bool {
    if let Some((only, host)) = constraint.rsplit_once('@') {
        return only == local && host.eq_ignore_ascii_case(domain);
    }
    if constraint.starts_with('.') {
        let start = domain.len().checked_sub(constraint.len());
        return start
            .and_then(|start| domain.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(constraint));
    }
    constraint.eq_ignore_ascii_case(domain)
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn a_mail_constraint_is_a_mailbox_a_host_or_a_domain() {
        let table = [
            ("alice@example.org", "alice", "example.org", true),
            ("alice@example.org", "alice", "EXAMPLE.org", true),
            ("alice@example.org", "ALICE", "example.org", false),
            ("alice@example.org", "bob", "example.org", false),
            ("example.org", "bob", "Example.ORG", true),
            ("example.org", "bob", "mail.example.org", false),
            (".example.org", "bob", "mail.example.org", true),
            (".example.org", "bob", "example.org", false),
            ("example.org", "bob", "badexample.org", false),
            (".example.org", "bob", "mail.badexample.org", false),
            ("@example.org", "bob", "example.org", false),
            ("", "bob", "example.org", false),
        ];
        for (constraint, local, domain, expected) in table {
            let got = within(constraint, local, domain);
            assert_eq!(got, expected, "{local}@{domain} within {constraint:?}");
        }
    }
}
