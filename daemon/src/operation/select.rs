//! Which certificate is meant: the signer of a message, and those it is encrypted to.

use std::sync::Arc;

use privyseal_pki::{ChainState, Usage};
use privyseal_proto::{ErrorName, Failure, OBJECTS_PATH};
use privyseal_smime::{Certificate, Profile};

use super::{Environment, Options, date, now};
use crate::registry::OwnCertificate;

/// A certificate to encrypt to, and what to warn about.
pub struct Recipient {
    pub certificate: Certificate,
    pub is_self: bool,
}

/// The signer: by the caller's selector, else the configuration's, else the only person who can sign here.
pub fn signer(
    env: &Environment,
    o: &Options,
    profile: &Profile,
) -> Result<Arc<OwnCertificate>, Failure> {
    let all = env.registry.certificates();
    let selector = o.signer.as_deref().or(env.config.sign.signer.as_deref());
    let Some(selector) = selector else {
        return only_person(&all, profile);
    };
    let named: Vec<&Arc<OwnCertificate>> = match selector.strip_prefix("fd:") {
        Some(index) => {
            let wanted = o.certificate(index)?;
            all.iter()
                .filter(|own| own.certificate == *wanted)
                .collect()
        }
        None => all.iter().filter(|own| is_named(own, selector)).collect(),
    };
    if named.is_empty() {
        return Err(Failure::new(
            ErrorName::NoSuchCertificate,
            format!(
                "no certificate on a present token is {}",
                shown(selector, o)
            ),
        ));
    }
    let all_named = named.iter().map(|own| &own.certificate);
    unambiguous(selector, all_named)?;
    let with_key: Vec<_> = named
        .into_iter()
        .filter(|own| own.has_private_key)
        .collect();
    if with_key.is_empty() {
        return Err(Failure::new(
            ErrorName::NoSecretKey,
            format!(
                "the token has the certificate of {}, but not its key",
                shown(selector, o)
            ),
        ));
    }
    best_signer(&with_key, &shown(selector, o), profile)
}

/// Without a name there must be no doubt who signs.
fn only_person(
    all: &[Arc<OwnCertificate>],
    profile: &Profile,
) -> Result<Arc<OwnCertificate>, Failure> {
    let able: Vec<&Arc<OwnCertificate>> = all
        .iter()
        .filter(|own| own.has_private_key && own.can_sign && is_current(&own.certificate))
        .collect();
    let mut people: Vec<String> = Vec::new();
    for own in &able {
        let emails = own.certificate.emails();
        let person = emails
            .first()
            .map(|e| e.to_ascii_lowercase())
            .unwrap_or_else(|| own.certificate.subject());
        if !people.contains(&person) {
            people.push(person);
        }
    }
    match people.as_slice() {
        [] => Err(Failure::new(
            ErrorName::NoSuchCertificate,
            "no present token has a certificate that can sign mail",
        )),
        [person] => best_signer(&able, person, profile),
        _ => Err(Failure::new(
            ErrorName::AmbiguousCertificate,
            format!(
                "several people can sign here ({}): say who",
                people.join(", ")
            ),
        )),
    }
}

/// Of several certificates the one that may sign, whose key the profile allows, is valid now, and is newest; among equals the
/// token's first.
fn best_signer(
    named: &[&Arc<OwnCertificate>],
    whose: &str,
    profile: &Profile,
) -> Result<Arc<OwnCertificate>, Failure> {
    let mut able: Vec<_> = named.iter().filter(|own| own.can_sign).collect();
    let allowed =
        |own: &&&Arc<OwnCertificate>| profile.signs_by(own.certificate.key_type()).is_ok();
    if able.iter().any(allowed) {
        able.retain(allowed);
    }
    if able.is_empty() {
        return Err(Failure::new(
            ErrorName::UsageNotAllowed,
            format!(
                "the certificate of {whose} is not meant for signing (its key usage, or the key's)"
            ),
        ));
    }
    let mut best: Option<&Arc<OwnCertificate>> = None;
    for own in able.iter().filter(|own| is_current(&own.certificate)) {
        if best.is_none_or(|b| own.certificate.not_before() > b.certificate.not_before()) {
            best = Some(own);
        }
    }
    match (best, able.first()) {
        (Some(own), _) => Ok(Arc::clone(own)),
        (None, Some(own)) => Err(not_current(&own.certificate, whose)),
        (None, None) => Err(Failure::new(ErrorName::NoSuchCertificate, whose)),
    }
}

/// Everyone a message is encrypted to, each once; ourselves too unless told otherwise.
pub fn recipients(
    env: &Environment,
    o: &Options,
    names: &[String],
    signer: Option<&OwnCertificate>,
    profile: &Profile,
) -> Result<(Vec<Recipient>, Vec<String>), Failure> {
    if names.is_empty() {
        return Err(Failure::new(
            ErrorName::RecipientMissing,
            "no recipient was named",
        ));
    }
    if names.len() > privyseal_proto::limits::RECIPIENTS {
        return Err(Failure::new(
            ErrorName::InputTooLarge,
            format!(
                "more than {} recipients",
                privyseal_proto::limits::RECIPIENTS
            ),
        ));
    }
    let mut all: Vec<Recipient> = Vec::with_capacity(names.len());
    let mut known = std::collections::HashSet::new();
    let mut warnings = Vec::new();
    for name in names {
        let certificate = recipient(env, o, name, profile)?;
        let outcome = env.judge(&certificate, Usage::Encrypt);
        match (outcome.chain, outcome.error.as_deref()) {
            (_, Some("revoked")) => {
                return Err(Failure::new(
                    ErrorName::CertificateRevoked,
                    format!("the certificate of {} is revoked", shown(name, o)),
                ));
            }
            (ChainState::Valid, _) => {}
            (_, reason) => warnings.push(format!(
                "the certificate of {} leads to no trusted anchor ({})",
                shown(name, o),
                reason.unwrap_or("unknown")
            )),
        }
        if known.insert(certificate.sha256()) {
            all.push(Recipient {
                certificate,
                is_self: false,
            });
        }
    }
    if o.encrypt_to_self.unwrap_or(env.config.encrypt.to_self) {
        let wanted: Vec<String> = match (signer, &o.sender) {
            (Some(own), _) => own.certificate.emails(),
            (None, Some(sender)) => vec![sender.clone()],
            (None, None) => Vec::new(),
        };
        match own_recipient(env, &wanted, profile) {
            Some(own) if known.insert(own.sha256()) => all.push(Recipient {
                certificate: own,
                is_self: true,
            }),
            Some(_) => {}
            None => warnings.push(
                "not encrypted to yourself: no present token has a certificate for that".into(),
            ),
        }
    }
    Ok((all, warnings))
}

fn recipient(
    env: &Environment,
    o: &Options,
    name: &str,
    profile: &Profile,
) -> Result<Certificate, Failure> {
    let whose = shown(name, o);
    let tokens = env.registry.certificates();
    let found: Vec<Certificate> = if let Some(index) = name.strip_prefix("fd:") {
        vec![o.certificate(index)?.clone()]
    } else if name.starts_with('/') || name.starts_with("pkcs11:") {
        tokens
            .iter()
            .filter(|own| is_named(own, name))
            .map(|own| own.certificate.clone())
            .collect()
    } else {
        let people = tokens.iter().map(|own| &own.certificate).chain(&env.people);
        people.filter(|c| matches_text(c, name)).cloned().collect()
    };
    if found.is_empty() {
        return Err(Failure::new(
            ErrorName::RecipientMissing,
            format!("no certificate of {whose} is known"),
        ));
    }
    unambiguous(name, found.iter())?;
    let mut able: Vec<&Certificate> = found
        .iter()
        .filter(|c| c.can_decrypt() && c.email_protection())
        .collect();
    if able.is_empty() {
        return Err(Failure::new(
            ErrorName::RecipientUnusable,
            format!("the certificate of {whose} is not meant for encrypting mail"),
        ));
    }
    let allowed = |c: &&Certificate| profile.writes_to(c.key_type()).is_ok();
    if able.iter().any(allowed) {
        able.retain(allowed);
    }
    let current = able.iter().filter(|c| is_current(c));
    match (current.max_by_key(|c| c.not_before()), able.first()) {
        (Some(best), _) => Ok((*best).clone()),
        (None, Some(one)) => Err(not_current(one, &whose)),
        (None, None) => Err(Failure::new(ErrorName::RecipientMissing, whose)),
    }
}

/// A fingerprint means one certificate: somebody may have made another with the same first digits.
fn unambiguous<'a>(
    selector: &str,
    found: impl Iterator<Item = &'a Certificate>,
) -> Result<(), Failure> {
    if !selector.starts_with("sha256:") {
        return Ok(());
    }
    let mut fingerprints: Vec<String> = found.map(Certificate::sha256_hex).collect();
    fingerprints.sort();
    fingerprints.dedup();
    if fingerprints.len() > 1 {
        return Err(Failure::new(
            ErrorName::AmbiguousCertificate,
            format!(
                "{selector} is the beginning of several fingerprints: {}",
                fingerprints.join(", ")
            ),
        ));
    }
    Ok(())
}

/// The certificate that a signer's correspondents are to encrypt to, where that is not the one he signs with.
pub fn encryption_certificate(
    env: &Environment,
    signer: &OwnCertificate,
    profile: &Profile,
) -> Option<Certificate> {
    let emails = signer.certificate.emails();
    // without an address nothing says whose another certificate is
    if signer.can_decrypt || emails.is_empty() {
        return None;
    }
    own_recipient(env, &emails, profile)
}

/// Our own certificate to encrypt to, the newest that the profile allows: of one of these addresses if there are any. Of two of one
/// age, the one whose key does not want its PIN at every use.
fn own_recipient(env: &Environment, wanted: &[String], profile: &Profile) -> Option<Certificate> {
    let all = env.registry.certificates();
    let mut best: Option<&OwnCertificate> = None;
    let rank = |own: &OwnCertificate| (own.certificate.not_before(), !own.always_authenticate);
    for own in all
        .iter()
        .filter(|own| own.has_private_key && own.can_decrypt)
    {
        let certificate = &own.certificate;
        let ours = wanted.is_empty() || privyseal_pki::sender_matches(certificate, wanted);
        if ours
            && profile.writes_to(certificate.key_type()).is_ok()
            && certificate.email_protection()
            && is_current(certificate)
            && best.is_none_or(|best| rank(own) > rank(best))
        {
            best = Some(own);
        }
    }
    best.map(|own| own.certificate.clone())
}

fn is_current(certificate: &Certificate) -> bool {
    let now = now();
    certificate.not_before() <= now && now <= certificate.not_after()
}

fn not_current(certificate: &Certificate, whose: &str) -> Failure {
    let message = if certificate.not_before() > now() {
        format!(
            "the certificate of {whose} is not valid before {}",
            date(certificate.not_before())
        )
    } else {
        format!(
            "the certificate of {whose} expired on {}",
            date(certificate.not_after())
        )
    };
    Failure::new(ErrorName::CertificateExpired, message)
}

/// The selector as a person would say it.
fn shown(selector: &str, o: &Options) -> String {
    match selector
        .strip_prefix("fd:")
        .map(|index| o.certificate(index))
    {
        Some(Ok(certificate)) => certificate
            .emails()
            .into_iter()
            .next()
            .unwrap_or_else(|| certificate.subject()),
        _ => selector.to_owned(),
    }
}

/// Object path, pkcs11: URI, fingerprint, or address.
fn is_named(own: &OwnCertificate, selector: &str) -> bool {
    if let Some(path) = selector.strip_prefix(OBJECTS_PATH) {
        return path.strip_prefix("/cert/") == Some(&own.certificate.sha256_hex());
    }
    if let Some(uri) = selector.strip_prefix("pkcs11:") {
        return is_located(own, uri);
    }
    matches_text(&own.certificate, selector)
}

/// `sha256:` and at least 8 hex digits, or an address.
fn matches_text(certificate: &Certificate, selector: &str) -> bool {
    match selector.strip_prefix("sha256:") {
        Some(digits) => {
            let digits = digits.replace(':', "").to_ascii_lowercase();
            digits.len() >= 8 && certificate.sha256_hex().starts_with(&digits)
        }
        None => privyseal_pki::sender_matches(certificate, &[selector.to_owned()]),
    }
}

/// RFC 7512: every attribute that is given must be the certificate's; unknown ones never match.
fn is_located(own: &OwnCertificate, uri: &str) -> bool {
    let path = uri.split('?').next().unwrap_or_default();
    let token = own.token_uri.strip_prefix("pkcs11:").unwrap_or_default();
    let of_token: Vec<(&str, Vec<u8>)> = attributes(token).collect();
    attributes(path).all(|(name, value)| match name {
        "object" => value == own.label.as_bytes(),
        "id" => value == own.key.id,
        "type" => value == b"cert" || value == b"private",
        name => of_token.iter().any(|(n, v)| *n == name && *v == value),
    })
}

fn attributes(path: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    path.split(';').filter(|a| !a.is_empty()).map(|attribute| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        (name, percent_decoded(value))
    })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let pair = match byte {
            b'%' => bytes.clone().next().zip(bytes.clone().nth(1)),
            _ => None,
        };
        let decoded = pair.and_then(|(high, low)| {
            let digits = [high, low];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        });
        match decoded {
            Some(decoded) => {
                out.push(decoded);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    out
}
