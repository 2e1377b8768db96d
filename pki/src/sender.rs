//! Whether a certificate speaks for a mail address (RFC 8550 §3).

use privyseal_smime::Certificate;

/// True when one of `addresses` (From, Sender) is one of the certificate's mail addresses.
///
/// Domains are compared without regard to ASCII case (RFC 5280 §7.5). So are local parts, although RFC 5280 calls for an
/// exact match: no mail system in use tells `Alice@` from `alice@`, and issuers write either.
pub fn sender_matches(certificate: &Certificate, addresses: &[String]) -> bool {
    let named = certificate.emails();
    addresses
        .iter()
        .any(|address| named.iter().any(|name| same_mailbox(name, address)))
}

fn same_mailbox(one: &str, other: &str) -> bool {
    let (one, other) = (bare(one), bare(other));
    // rsplit: a quoted local part may hold an @
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((local, domain)), Some((other_local, other_domain))) => {
            !local.is_empty()
                && !domain.is_empty()
                && local.eq_ignore_ascii_case(other_local)
                && domain.eq_ignore_ascii_case(other_domain)
        }
        _ => false,
    }
}

fn bare(address: &str) -> &str {
    let address = address.trim();
    address
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::same_mailbox;

    #[test]
    fn mailboxes_are_compared_whole_and_without_case() {
        assert!(same_mailbox("Alice@Example.ORG", "alice@example.org"));
        assert!(same_mailbox("alice@example.org", "<alice@example.org>"));
        assert!(!same_mailbox("alice@example.org", "alice@example.org.evil"));
        assert!(!same_mailbox("alice@example.org", "malice@example.org"));
        assert!(!same_mailbox("@example.org", "@example.org"));
        assert!(!same_mailbox("alice", "alice"));
        assert!(!same_mailbox("", ""));
        assert!(!same_mailbox(
            "alice@example.org",
            "alice@example.org\0@evil"
        ));
    }
}
