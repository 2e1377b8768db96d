//! When two mail addresses are one mailbox (RFC 8550 §3, RFC 9598 §5).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

#[cfg(test)]
mod tests;

/// A mail address in the form that is compared: the domain as A-labels (RFC 5890), the local part composed (NFC), both without
/// ASCII capitals.
///
/// So are local parts, although RFC 5280 §7.5 calls for an exact match: no mail system in use tells `Alice@` from `alice@`, and
/// issuers write either. Beyond ASCII local parts keep their case (RFC 9598 §5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local: String,
    domain: String,
}

impl Mailbox {
    /// `local@domain`, also in angles. `None` for what is no address, or has something in it that could not be read.
    pub fn parse(address: &str) -> Option<Self> {
        let address = bare(address);
        if address.contains('\u{fffd}') {
            return None;
        }
        // rsplit: a quoted local part may hold an @
        let (local, domain) = address.rsplit_once('@')?;
        if local.is_empty() || domain.is_empty() {
            return None;
        }
        Some(Mailbox {
            local: composed(local).to_ascii_lowercase(),
            domain: a_labels(domain),
        })
    }
}

/// Whether both are addresses, and those of one mailbox.
pub fn same_mailbox(one: &str, other: &str) -> bool {
    Mailbox::parse(one).is_some_and(|one| Mailbox::parse(other) == Some(one))
}

fn bare(address: &str) -> &str {
    let address = address.trim();
    address
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(address)
}

fn composed(local: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(local)
}

/// By UTS #46, as browsers and mail programs look a domain up. What is none equals itself only.
fn a_labels(domain: &str) -> String {
    idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_ascii_lowercase())
}
