//! receiptRequest (RFC 2634 §2.7), and the rules by which one is answered (§2.3).

use der::asn1::{Ia5String, OctetString};
use der::{Choice, DateTime, Decode, Encode, Sequence};
use x509_cert::ext::pkix::name::GeneralName;

use super::Attributes;
use super::history::MlReceiptPolicy;
use super::receipt::{ID_CT_RECEIPT, Receipt};
use crate::cert::{Certificate, hex};
use crate::content::ID_DATA;
use crate::error::{Error, Result};
use crate::limits;
use crate::mailbox::same_mailbox;
use crate::signed::{SignatureState, SignerOutcome, VerifyOutcome};

/// What a sender asks for.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
pub struct ReceiptRequest {
    signed_content_identifier: OctetString,
    pub receipts_from: ReceiptsFrom,
    /// Whom the receipts go to: names of one entity each, [`limits::RECEIPTS_TO`] of them at most.
    pub receipts_to: Vec<Vec<GeneralName>>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub enum ReceiptsFrom {
    /// 0: all; 1: those only who got the message from no mailing list
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    AllOrFirstTier(u8),
    /// these, each with its names
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    List(Vec<Vec<GeneralName>>),
}

impl ReceiptRequest {
    /// Asks all recipients for receipts to these addresses. The identifier says whose message it is and when it was signed, and is
    /// never used twice (RFC 2634 §2.7).
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for none, too many, or an address that is none; those of the random source.
    pub fn new(signer: &Certificate, signing_time: u64, to: &[String]) -> Result<Self> {
        if to.is_empty() || to.len() > limits::RECEIPTS_TO {
            return Err(Error::InvalidOption(format!(
                "receipts go to 1 to {} addresses",
                limits::RECEIPTS_TO
            )));
        }
        let receipts_to = to
            .iter()
            .map(|address| address_name(address).map(|name| vec![name]))
            .collect::<Result<Vec<_>>>()?;
        let time = DateTime::from_unix_duration(std::time::Duration::from_secs(signing_time))
            .map_err(|_| Error::InvalidOption("a signing time beyond the year 9999".into()))?;
        let time: String = time
            .to_string()
            .chars()
            .filter(|c| c.is_ascii_digit() || *c == 'Z')
            .collect();
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|e| Error::Io(std::io::Error::other(e)))?;
        let who = signer.sha256_hex();
        let identifier = format!("{who}.{time}.{}", hex(&random));
        Ok(ReceiptRequest {
            signed_content_identifier: OctetString::new(identifier.as_bytes())?,
            receipts_from: ReceiptsFrom::AllOrFirstTier(0),
            receipts_to,
        })
    }

    pub(super) fn parse(der: &[u8]) -> Result<Self> {
        let request = ReceiptRequest::from_der(der)?;
        if request.receipts_to.len() > limits::RECEIPTS_TO {
            return Err(Error::LimitExceeded {
                what: "names that receipts go to",
                limit: limits::RECEIPTS_TO as u64,
            });
        }
        if request.receipts_to.is_empty() {
            return Err(Error::malformed("receipts that go to nobody"));
        }
        if let ReceiptsFrom::AllOrFirstTier(2..) = request.receipts_from {
            return Err(Error::malformed("receipts from an unknown tier"));
        }
        Ok(request)
    }

    pub(super) fn to_der(&self) -> Result<Vec<u8>> {
        Ok(Encode::to_der(self)?)
    }

    /// signedContentIdentifier
    pub fn content_identifier(&self) -> &[u8] {
        self.signed_content_identifier.as_bytes()
    }

    /// `all`, `first-tier` or `list`.
    pub fn from_word(&self) -> &'static str {
        match self.receipts_from {
            ReceiptsFrom::AllOrFirstTier(0) => "all",
            ReceiptsFrom::AllOrFirstTier(_) => "first-tier",
            ReceiptsFrom::List(_) => "list",
        }
    }

    /// Who is asked by name; empty unless there is a list.
    pub fn from_names(&self) -> Vec<String> {
        match &self.receipts_from {
            ReceiptsFrom::AllOrFirstTier(_) => Vec::new(),
            ReceiptsFrom::List(list) => names(list),
        }
    }

    /// Whom receipts go to.
    pub fn to_names(&self) -> Vec<String> {
        names(&self.receipts_to)
    }

    /// Whether the list, if there is one, has this person.
    pub(super) fn asks(&self, person: &Certificate) -> bool {
        match &self.receipts_from {
            ReceiptsFrom::AllOrFirstTier(_) => true,
            ReceiptsFrom::List(list) => list.iter().flatten().any(|name| means(name, person)),
        }
    }
}

/// A receipt that is to be given.
#[derive(Clone, Debug)]
pub struct Requested {
    pub receipt: Receipt,
    /// what msgSigDigest will say
    pub msg_sig_digest: Vec<u8>,
    /// who asked: the certificates of the signatures that carry the request
    pub by: Vec<Certificate>,
    /// addresses and other names that it is to be sent to
    pub send_to: Vec<String>,
}

/// Why no receipt may be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the message asks for no receipt")]
    NotRequested,
    #[error("the message is a receipt itself, and there are none for receipts")]
    IsReceipt,
    #[error("its signers ask for different receipts: none may be given (RFC 2634 §2.3)")]
    Contradictory,
    #[error("the request cannot be read ({0})")]
    Unreadable(String),
    #[error("the mailing list that the message came through wants no receipts")]
    MailingList,
    #[error(
        "receipts are asked of direct recipients only, and this message came through a mailing list"
    )]
    NotFirstTier,
    #[error("receipts are asked of others, not of {0}")]
    NotAsked(String),
    #[error("the request is not signed as a receipt needs it")]
    Unsigned,
}

/// Whether `me` owes a receipt for this message, and which (RFC 2634 §2.3, §2.5 steps 1 and 2). Judges no certificate: ask only
/// for a message with a good verdict.
pub fn requested(message: &VerifyOutcome, me: &Certificate) -> Result<Requested, Refusal> {
    let content_type = message.content_type.unwrap_or(ID_DATA);
    if content_type == ID_CT_RECEIPT {
        return Err(Refusal::IsReceipt);
    }
    let valid = || {
        let holds = |s: &&SignerOutcome| s.state == SignatureState::Valid;
        message.signers.iter().filter(holds)
    };
    let unreadable = |a: &Attributes, names: &[&str]| {
        let found = a.unreadable.iter().find(|(name, _)| names.contains(name));
        found.map(|(_, why)| Refusal::Unreadable(why.clone()))
    };
    for signer in valid() {
        let needed = ["receiptRequest", "mlExpansionHistory"];
        if let Some(refusal) = unreadable(&signer.ess.attributes, &needed) {
            return Err(refusal);
        }
    }
    let asking: Vec<(&SignerOutcome, &ReceiptRequest)> = valid()
        .filter_map(|s| Some((s, s.ess.attributes.receipt_request.as_ref()?)))
        .collect();
    let &(signer, request) = asking.first().ok_or(Refusal::NotRequested)?;
    if asking.iter().any(|(_, other)| *other != request) {
        return Err(Refusal::Contradictory);
    }
    let history = valid().find_map(|s| s.ess.attributes.ml_expansion_history.as_ref());
    let policy = history
        .and_then(|all| all.last())
        .and_then(|last| last.ml_receipt_policy.as_ref());
    let send_to = match policy {
        Some(MlReceiptPolicy::None(_)) => return Err(Refusal::MailingList),
        Some(MlReceiptPolicy::InsteadOf(others)) => names(others),
        Some(MlReceiptPolicy::InAdditionTo(others)) => {
            let mut all = request.to_names();
            all.extend(names(others));
            all
        }
        None => request.to_names(),
    };
    if matches!(request.receipts_from, ReceiptsFrom::AllOrFirstTier(1)) && history.is_some() {
        return Err(Refusal::NotFirstTier);
    }
    if !request.asks(me) {
        return Err(Refusal::NotAsked(me.subject()));
    }
    let receipt = Receipt::new(
        content_type,
        request.content_identifier(),
        &signer.ess.signature,
    );
    let (Ok(receipt), Some(digest)) = (receipt, signer.ess.attribute_digests.first()) else {
        return Err(Refusal::Unsigned);
    };
    Ok(Requested {
        receipt,
        msg_sig_digest: digest.clone(),
        by: asking
            .iter()
            .filter_map(|(signer, _)| signer.certificate.clone())
            .collect(),
        send_to,
    })
}

/// Names for people: addresses as they are, distinguished names as RFC 4514 strings.
fn names(all: &[Vec<GeneralName>]) -> Vec<String> {
    all.iter().flatten().map(text).collect()
}

fn text(name: &GeneralName) -> String {
    match name {
        GeneralName::Rfc822Name(address) => address.as_str().to_owned(),
        GeneralName::DirectoryName(name) => name.to_string(),
        GeneralName::DnsName(name) => name.as_str().to_owned(),
        GeneralName::UniformResourceIdentifier(uri) => uri.as_str().to_owned(),
        GeneralName::RegisteredId(id) => id.to_string(),
        GeneralName::IpAddress(bytes) => hex(bytes.as_bytes()),
        GeneralName::OtherName(other) => format!("a name of the kind {}", other.type_id),
        GeneralName::EdiPartyName(_) => "an EDI party name".into(),
    }
}

fn means(name: &GeneralName, person: &Certificate) -> bool {
    match name {
        GeneralName::Rfc822Name(address) => {
            let same = |own: &String| same_mailbox(own, address.as_str());
            person.emails().iter().any(same)
        }
        GeneralName::DirectoryName(name) => name == person.parsed().tbs_certificate().subject(),
        _ => false,
    }
}

fn address_name(address: &str) -> Result<GeneralName> {
    let sound = address
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && !address.contains(|c: char| c.is_whitespace() || c.is_control());
    let name = Ia5String::new(address).ok().filter(|_| sound);
    name.map(GeneralName::Rfc822Name).ok_or_else(|| {
        Error::InvalidOption(format!(
            "a receipt cannot be sent to {address:?}: it is no plain mail address"
        ))
    })
}
