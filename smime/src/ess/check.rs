//! Checking a signed receipt against the message that it is for (RFC 2634 §2.6).

use std::io::{self, Write};

use super::receipt::{ID_CT_RECEIPT, Receipt};
use crate::error::{Error, Result};
use crate::io::Input;
use crate::limits;
use crate::signed::{SignatureState, SignerOutcome, VerifyOutcome, release};

/// What comparing says; the signature and the certificate of the receipt are judged elsewhere. In words, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptMatch {
    /// why it is no receipt for this message
    pub problems: Vec<String>,
    /// why that cannot be told
    pub doubts: Vec<String>,
    /// oddities that change nothing
    pub warnings: Vec<String>,
}

/// The Receipt inside a signed receipt, in any form.
///
/// # Errors
/// [`Error::NotSigned`], `Malformed` for other content, `LimitExceeded`, those of the input.
pub fn read_receipt(message: &mut dyn Input) -> Result<Receipt> {
    let mut content = Bounded(Vec::new());
    release(message, None, &mut content)?;
    Receipt::parse(&content.0)
}

/// Whether `receipt`, the content of the message judged as `judged`, answers a signature of `original`.
pub fn check_receipt(
    judged: &VerifyOutcome,
    receipt: &Receipt,
    original: &VerifyOutcome,
) -> ReceiptMatch {
    let mut all = ReceiptMatch::default();
    if judged.content_type != Some(ID_CT_RECEIPT) {
        all.problems.push("this is no signed receipt".into());
        return all;
    }
    let [answer] = judged.signers.as_slice() else {
        all.problems.push(format!(
            "a receipt has one signature, this one has {} (RFC 2634 §2.5)",
            judged.signers.len()
        ));
        return all;
    };
    if answer.ess.attributes.receipt_request.is_some() {
        all.problems
            .push("the receipt asks for a receipt itself (RFC 2634 §2.4)".into());
    }
    if answer.ess.attributes.ml_expansion_history.is_some() {
        all.problems
            .push("the receipt carries a mailing list's history (RFC 2634 §2.5.1)".into());
    }
    let value = receipt.originator_signature_value.as_bytes();
    let Some(signer) = original.signers.iter().find(|s| s.ess.signature == value) else {
        all.problems.push(
            "the receipt is for another message: none of this one's signatures is the one it names"
                .into(),
        );
        return all;
    };
    all.original(signer);
    if original.content_type != Some(receipt.content_type) {
        all.problems
            .push("the receipt names another type of content than the message has".into());
    }
    all.request(signer, receipt, answer);
    all.digest(signer, answer);
    all
}

impl ReceiptMatch {
    /// The file that is taken for the original must be what was signed.
    fn original(&mut self, signer: &SignerOutcome) {
        match &signer.state {
            SignatureState::Valid => {}
            SignatureState::Invalid(why) => self
                .problems
                .push(format!("the original is not as it was signed: {why}")),
            SignatureState::Unsupported(why) => self.doubts.push(format!(
                "the original's own signature cannot be judged: {why}"
            )),
        }
    }

    fn request(&mut self, signer: &SignerOutcome, receipt: &Receipt, answer: &SignerOutcome) {
        let Some(request) = &signer.ess.attributes.receipt_request else {
            if signer.state == SignatureState::Valid {
                self.problems
                    .push("the original asks for no receipt".into());
            }
            return;
        };
        if request.content_identifier() != receipt.signed_content_identifier.as_bytes() {
            self.problems
                .push("the receipt names another message (signedContentIdentifier)".into());
        }
        if let Some(who) = &answer.certificate
            && !request.asks(who)
        {
            self.warnings.push(format!(
                "{} was not among those who were asked for a receipt",
                who.subject()
            ));
        }
    }

    /// msgSigDigest proves that the answering side saw the same signed attributes, and so the same content.
    fn digest(&mut self, signer: &SignerOutcome, answer: &SignerOutcome) {
        match &answer.ess.attributes.msg_sig_digest {
            Some(digest) if signer.ess.attribute_digests.contains(digest) => {}
            Some(_) if signer.ess.attribute_digests.is_empty() => self
                .doubts
                .push("the original's digest algorithm is not known here".into()),
            Some(_) => self.problems.push(
                "the receipt was made for something else than was sent (msgSigDigest)".into(),
            ),
            // the attributes of a signature that does not hold are not looked at
            None if answer.state == SignatureState::Valid => self
                .problems
                .push("the receipt lacks the digest of what it is for (msgSigDigest)".into()),
            None => {}
        }
    }
}

/// Keeps [`limits::RECEIPT`] bytes and refuses more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(data.len()) > limits::RECEIPT {
            return Err(Error::LimitExceeded {
                what: "bytes in a receipt",
                limit: limits::RECEIPT as u64,
            }
            .into());
        }
        self.0.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
