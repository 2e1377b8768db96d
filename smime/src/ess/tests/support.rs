//! Messages that ask for receipts, and what is made of them.

use super::*;
use crate::io::MemoryInput;
use crate::signed::testkit::{Kind, Person, options};
use crate::signed::{SignForm, SignOptions, VerifyOutcome, sign, sign_receipt, verify};

pub(super) const MAIL: &[u8] = b"Content-Type: text/plain\r\n\r\nplease acknowledge\r\n";

pub(super) fn sender() -> &'static Person {
    Person::shared(Kind::P256)
}

pub(super) fn recipient() -> &'static Person {
    Person::shared(Kind::Rsa)
}

/// Asks everybody.
pub(super) fn asking(form: SignForm) -> SignOptions {
    let to = ["alice@example.org".to_owned()];
    let request = ReceiptRequest::new(&sender().certificate, 1_790_000_000, &to).unwrap();
    SignOptions {
        ess: SignEss {
            receipt_request: Some(request),
            security_label: None,
        },
        ..options(form)
    }
}

pub(super) fn message(options: &SignOptions) -> Vec<u8> {
    let (mut out, sender) = (Vec::new(), sender());
    sign(
        &mut &MAIL[..],
        &mut out,
        &sender.certificate,
        sender,
        options,
    )
    .unwrap();
    out
}

pub(super) fn judged(message: &[u8]) -> VerifyOutcome {
    verify(&mut MemoryInput::new(message.to_vec()), None, &[]).unwrap()
}

/// The recipient's receipt for it.
pub(super) fn receipt(requested: &Requested) -> Vec<u8> {
    let (mut out, who) = (Vec::new(), recipient());
    let how = options(SignForm::Opaque);
    sign_receipt(requested, &mut out, &who.certificate, who, &how).unwrap();
    out
}

pub(super) fn compare(receipt: &[u8], original: &VerifyOutcome) -> ReceiptMatch {
    let content = read_receipt(&mut MemoryInput::new(receipt.to_vec())).unwrap();
    check_receipt(&judged(receipt), &content, original)
}
