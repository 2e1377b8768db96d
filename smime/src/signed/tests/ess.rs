//! Labels and requests in signed messages; the types themselves are tested in `crate::ess`.

use super::counter::conformance;
use super::crafted::{Crafted, attribute};
use super::*;
use crate::ber::{Cursor, id, single, tlv};
use crate::ess::{
    Attributes, EntityIdentifier, MlReceiptPolicy, ReceiptRequest, SecurityLabel, SignEss,
};
use crate::mime::Form;
use crate::signed::SignatureState;

const MAIL: &[u8] = b"Content-Type: text/plain\r\n\r\nhello\r\n";
const LABEL: &str = "1.2.840.113549.1.9.16.2.2";
const REQUEST: &str = "1.2.840.113549.1.9.16.2.1";

fn label(text: &str) -> SecurityLabel {
    SecurityLabel::from_text(text).unwrap()
}

#[test]
fn a_label_and_a_request_are_written_and_read_in_every_form() {
    let person = Person::shared(Kind::P256);
    let to = [
        "alice@example.org".to_owned(),
        "desk@example.org".to_owned(),
    ];
    let request = ReceiptRequest::new(&person.certificate, 1_790_000_000, &to).unwrap();
    for form in [SignForm::Clear, SignForm::Opaque, SignForm::Detached] {
        let options = SignOptions {
            ess: SignEss {
                receipt_request: Some(request.clone()),
                security_label: Some(label("1.2.3.4:secret:for Alice's eyes")),
            },
            ..options(form)
        };
        let message = signed(person, MAIL, &options);
        let outcome = match form {
            SignForm::Detached => check_detached(&message, MAIL),
            _ => check(&message),
        };
        let outcome = outcome.unwrap();
        assert_eq!(outcome.signers[0].state, SignatureState::Valid);
        let seen = &outcome.signers[0].ess.attributes;
        assert_eq!(seen.receipt_request.as_ref(), Some(&request));
        let label = seen.security_label.as_ref().unwrap();
        assert_eq!(label.word(), Some("secret"));
        assert_eq!(label.privacy_mark.as_deref(), Some("for Alice's eyes"));
        assert_eq!(outcome.warnings, [""; 0]);
    }
}

/// RFC 2634 §2.7
#[test]
fn a_request_brings_the_content_identifier_that_it_names() {
    let person = Person::shared(Kind::P256);
    let to = ["alice@example.org".to_owned()];
    let request = ReceiptRequest::new(&person.certificate, 1_790_000_000, &to).unwrap();
    let identifier = tlv(id::OCTET_STRING, request.content_identifier());
    let options = SignOptions {
        format: Form::Der,
        ess: SignEss {
            receipt_request: Some(request),
            ..SignEss::default()
        },
        ..options(SignForm::Opaque)
    };
    let message = signed(person, MAIL, &options);
    let wanted = attribute("1.2.840.113549.1.9.16.2.7", &[&identifier]);
    assert!(message.windows(wanted.len()).any(|w| w == wanted));
}

#[test]
fn attributes_of_a_signature_that_does_not_hold_are_not_looked_at() {
    let person = Person::shared(Kind::P256);
    let options = SignOptions {
        ess: SignEss {
            security_label: Some(label("1.2.3.4:5")),
            ..SignEss::default()
        },
        ..options(SignForm::Opaque)
    };
    let other = signed(
        person,
        b"Content-Type: text/plain\r\n\r\nhallo\r\n",
        &options,
    );
    let outcome = check(&other).unwrap();
    assert!(outcome.signers[0].ess.attributes.is_labelled());
    let clear = SignOptions {
        form: SignForm::Clear,
        ..options
    };
    let message = signed(person, MAIL, &clear);
    let changed = String::from_utf8(message)
        .unwrap()
        .replacen("hello", "jello", 1);
    let outcome = check(changed.as_bytes()).unwrap();
    assert!(matches!(
        outcome.signers[0].state,
        SignatureState::Invalid(_)
    ));
    assert_eq!(outcome.signers[0].ess.attributes, Attributes::default());
}

#[test]
fn a_label_that_cannot_be_read_leaves_a_doubt_and_a_request_a_warning() {
    let broken = tlv(id::SET, &tlv(id::INTEGER, &[1]));
    let outcome = Crafted::honest()
        .with(attribute(LABEL, &[&broken]))
        .outcome();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    assert!(outcome.signers[0].ess.attributes.is_labelled());
    assert_eq!(outcome.reservations.len(), 1, "{:?}", outcome.reservations);
    let outcome = Crafted::honest()
        .with(attribute(REQUEST, &[&broken]))
        .outcome();
    assert_eq!(outcome.signers[0].state, SignatureState::Valid);
    assert!(outcome.reservations.is_empty());
    assert!(
        outcome.warnings[0].contains("receiptRequest"),
        "{:?}",
        outcome.warnings
    );
}

#[test]
fn they_must_be_signed_and_once() {
    let good = label("1.2.3.4:5").to_der().unwrap();
    let one = || attribute(LABEL, &[&good]);
    let twice = Crafted::honest().with(one()).with(one());
    let two_values = Crafted::honest().with(attribute(LABEL, &[&good, &good]));
    let unsigned = Crafted {
        unsigned: vec![one()],
        ..Crafted::honest()
    };
    for (what, message) in [
        ("twice", twice),
        ("values", two_values),
        ("unsigned", unsigned),
    ] {
        let outcome = message.outcome();
        let state = &outcome.signers[0].state;
        assert!(
            matches!(state, SignatureState::Invalid(_)),
            "{what}: {state:?}"
        );
    }
}

#[test]
fn the_attributes_of_rfc_4134_are_read() {
    let Some(message) = conformance("rfc4134/4.10.bin") else {
        return;
    };
    // signed with DSA, so not acted upon; what is in them is read all the same
    let infos = {
        let whole = single(&message, id::SEQUENCE, "").unwrap();
        let mut cursor = Cursor::new(whole.content);
        cursor.next().unwrap();
        let content = cursor.next().unwrap().unwrap().content;
        let mut fields = Cursor::new(single(content, id::SEQUENCE, "").unwrap().content);
        let mut last = None;
        while let Some(field) = fields.next().unwrap() {
            last = Some(field);
        }
        last.unwrap().content
    };
    let mut info = Cursor::new(single(infos, id::SEQUENCE, "").unwrap().content);
    let set = loop {
        let field = info.next().unwrap().unwrap();
        if field.id == 0xa0 {
            break field.content;
        }
    };
    let all = Attributes::read(set);
    assert_eq!(all.unreadable, []);
    let label = all.security_label.unwrap();
    assert_eq!(label.policy.to_string(), "1.2.3.4.5.6.7.8");
    assert_eq!(
        (label.classification, label.word()),
        (Some(1), Some("unclassified"))
    );
    assert_eq!(
        label.privacy_mark.as_deref(),
        Some("THIS IS A PRIVACY MARK TEST")
    );
    assert_eq!(label.categories.len(), 1);
    assert!(
        label.categories[0]
            .value
            .ends_with(b"THIS IS A TEST SECURITY-CATEGORY.")
    );
    let others: Vec<String> = all
        .equivalent_labels
        .iter()
        .map(|label| label.policy.to_string())
        .collect();
    assert_eq!(others, ["1.2.3.4.5.6.7.9", "1.2.3.4.5.6.7.10"]);
    let history = all.ml_expansion_history.unwrap();
    assert_eq!(history.len(), 1);
    assert!(matches!(
        &history[0].mail_list_identifier,
        EntityIdentifier::SubjectKeyIdentifier(id) if id.as_bytes() == b"5738299"
    ));
    assert!(matches!(
        &history[0].ml_receipt_policy,
        Some(MlReceiptPolicy::InsteadOf(names)) if names.concat().len() == 2
    ));
}
