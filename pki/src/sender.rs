//! Whether a certificate speaks for a mail address (RFC 8550 §3).

use std::collections::HashSet;

use privyseal_smime::{Certificate, Mailbox};

/// True when one of `addresses` (From, Sender) is one of the certificate's mail addresses.
pub fn sender_matches(certificate: &Certificate, addresses: &[String]) -> bool {
    let named: HashSet<Mailbox> = all(&certificate.emails()).collect();
    all(addresses).any(|address| named.contains(&address))
}

fn all(addresses: &[String]) -> impl Iterator<Item = Mailbox> {
    addresses
        .iter()
        .filter_map(|address| Mailbox::parse(address))
}
