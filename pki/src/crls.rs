//! CRLs as certval asks for them: those of a certificate's issuer, the newest first.
//!
//! certval takes the first that answers. A message could bring last week's CRL, still in its time, to hide that a
//! certificate was revoked yesterday: so the newest goes first, whoever brought it.
//!
//! The crates read version 2 only, and RFC 8550 §2.2 wants version 1 as well, which is the same without extensions (RFC 5280
//! §5.1.2.1): such a CRL is handed over as one of version 2, and its signature is verified over what was signed.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use certval::{CrlSource, Error, PDVCertificate, compare_names};
use der::asn1::AnyRef;
use der::{Decode, Tag, Tagged};
use privyseal_smime::ber::tlv;
use privyseal_smime::mime::pem;
use x509_cert::certificate::Raw;
use x509_cert::crl::CertificateList;
use x509_cert::name::Name;

use crate::CRLS_MAX;
use crate::verify::Verifier;

/// Bytes of CRLs that certval gets to read for one leaf, again and again for each path.
const WORK_MAX: usize = 256 << 20;

pub struct Crls {
    all: Vec<Crl>,
    work: AtomicUsize,
}

struct Crl {
    issuer: Name,
    /// seconds since 1970
    updated: u64,
    der: Vec<u8>,
}

impl Crls {
    /// From DER, or PEM with any number of them; what is no CRL is passed over. The verifier is told what those of version 1 were.
    pub fn new(given: &[Vec<u8>], verifier: &Verifier) -> Crls {
        let mut all: Vec<Crl> = Vec::new();
        for der in given.iter().flat_map(|crl| unarmoured(crl)).take(CRLS_MAX) {
            let der = match Raised::new(&der) {
                Some(raised) => {
                    verifier.signed_as(&raised.seen, raised.signed);
                    raised.der.into()
                }
                None => der,
            };
            match CertificateList::<Raw>::from_der(&der) {
                Ok(list) if all.iter().all(|known| known.der != der.as_ref()) => all.push(Crl {
                    issuer: list.tbs_cert_list.issuer,
                    updated: list.tbs_cert_list.this_update.to_unix_duration().as_secs(),
                    der: der.into_owned(),
                }),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "something given as a CRL is none"),
            }
        }
        all.sort_by_key(|crl| std::cmp::Reverse(crl.updated));
        Crls {
            all,
            work: AtomicUsize::new(0),
        }
    }
}

/// A CRL of version 1, raised to version 2.
struct Raised {
    der: Vec<u8>,
    /// its TBSCertList, and what that was before
    seen: Vec<u8>,
    signed: Vec<u8>,
}

impl Raised {
    /// `None` for those of other versions, for what is no CRL, and where extensions come without their version.
    fn new(der: &[u8]) -> Option<Self> {
        let all = AnyRef::from_der(der).ok()?.value();
        let tbs = AnyRef::from_der_partial(all).ok()?.0;
        // version 1 is left out: the first field is the algorithm
        if AnyRef::from_der_partial(tbs.value()).ok()?.0.tag() != Tag::Sequence {
            return None;
        }
        let signed = tlv(SEQUENCE, tbs.value());
        let seen = tlv(SEQUENCE, &[VERSION_2, tbs.value()].concat());
        let der = tlv(SEQUENCE, &[&seen, all.get(signed.len()..)?].concat());
        let list = CertificateList::<Raw>::from_der(&der).ok()?.tbs_cert_list;
        let mut revoked = list.revoked_certificates.iter().flatten();
        let extended =
            list.crl_extensions.is_some() || revoked.any(|r| r.crl_entry_extensions.is_some());
        (!extended).then_some(Raised { der, seen, signed })
    }
}

const SEQUENCE: u8 = 0x30;
/// INTEGER 1
const VERSION_2: &[u8] = &[2, 1, 1];

impl CrlSource for Crls {
    fn get_all_crls(&self) -> certval::Result<Vec<Vec<u8>>> {
        Err(Error::NotFound)
    }

    fn get_crls(&self, certificate: &PDVCertificate) -> certval::Result<Vec<Vec<u8>>> {
        let issuer = certificate.decoded().tbs_certificate().issuer();
        let mut found = Vec::new();
        for crl in &self.all {
            if !compare_names(&crl.issuer, issuer) {
                continue;
            }
            let before = self.work.fetch_add(crl.der.len(), Ordering::Relaxed);
            if before.saturating_add(crl.der.len()) > WORK_MAX {
                tracing::warn!("too many bytes of CRLs for one certificate; the rest is not read");
                break;
            }
            found.push(crl.der.clone());
        }
        Ok(found)
    }

    fn add_crl(&self, _: &[u8], _: &CertificateList<Raw>, _: &str) -> certval::Result<()> {
        // only for what certval fetches, and it fetches nothing here
        Err(Error::Unrecognized)
    }
}

fn unarmoured(crl: &[u8]) -> Vec<Cow<'_, [u8]>> {
    if crl.first() == Some(&0x30) {
        return vec![crl.into()];
    }
    match pem::blocks(crl, &["X509 CRL", "CRL"]) {
        Ok(blocks) => blocks.into_iter().map(Cow::from).collect(),
        Err(error) => {
            tracing::debug!(%error, "something given as a CRL is none");
            Vec::new()
        }
    }
}
