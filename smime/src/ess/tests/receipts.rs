use der::Encode;
use der::asn1::{GeneralizedTime, Null, OctetString};
use x509_cert::ext::pkix::name::GeneralName;

use super::support::*;
use super::*;
use crate::io::MemoryInput;
use crate::limits;
use crate::signed::{SignForm, SignatureState, VerifyOutcome};

fn mail(address: &str) -> Vec<GeneralName> {
    let address = der::asn1::Ia5String::new(address).unwrap();
    vec![GeneralName::Rfc822Name(address)]
}

fn expansion(policy: Option<MlReceiptPolicy>) -> MlData {
    MlData {
        mail_list_identifier: EntityIdentifier::SubjectKeyIdentifier(
            OctetString::new(b"list".as_slice()).unwrap(),
        ),
        expansion_time: GeneralizedTime::from_unix_duration(std::time::Duration::from_secs(0))
            .unwrap(),
        ml_receipt_policy: policy,
    }
}

fn attributes(outcome: &mut VerifyOutcome) -> &mut Attributes {
    &mut outcome.signers[0].ess.attributes
}

fn ask(outcome: &VerifyOutcome) -> Result<Requested, Refusal> {
    requested(outcome, &recipient().certificate)
}

#[test]
fn a_receipt_answers_exactly_the_message_that_asked() {
    for form in [SignForm::Clear, SignForm::Opaque] {
        let original = judged(&message(&asking(form)));
        let wanted = ask(&original).unwrap();
        assert_eq!(wanted.send_to, ["alice@example.org"]);
        assert_eq!(wanted.by, [sender().certificate.clone()]);
        let receipt = receipt(&wanted);
        let text = String::from_utf8_lossy(&receipt).into_owned();
        assert!(text.contains("smime-type=signed-receipt"), "{text}");
        let outcome = judged(&receipt);
        assert_eq!(outcome.content_type, Some(ID_CT_RECEIPT));
        assert_eq!(outcome.signers[0].state, SignatureState::Valid);
        assert!(outcome.contradictions.is_empty() && outcome.reservations.is_empty());
        assert_eq!(outcome.signers[0].signing_time, Some(1_790_000_000));
        assert_eq!(compare(&receipt, &original), ReceiptMatch::default());

        let other = judged(&message(&asking(form)));
        let found = compare(&receipt, &other);
        assert_eq!(found.problems.len(), 1, "{found:?}");
        assert!(found.problems[0].contains("another message"));
    }
}

#[test]
fn every_difference_is_found() {
    type Change = fn(&mut VerifyOutcome, &mut VerifyOutcome, &mut Receipt);
    let cases: [(&str, Change); 10] = [
        ("no signed receipt", |judged, _, _| {
            judged.content_type = Some(crate::content::ID_DATA);
        }),
        ("one signature", |judged, _, _| {
            let again = judged.signers[0].clone();
            judged.signers.push(again);
        }),
        ("asks for a receipt itself", |judged, original, _| {
            judged.signers[0].ess.attributes.receipt_request =
                attributes(original).receipt_request.clone();
        }),
        ("mailing list's history", |judged, _, _| {
            attributes(judged).ml_expansion_history = Some(vec![expansion(None)]);
        }),
        ("another message", |_, original, _| {
            original.signers[0].ess.signature[9] ^= 1;
        }),
        ("not as it was signed", |_, original, _| {
            original.signers[0].state = SignatureState::Invalid("changed".into());
        }),
        ("another type of content", |_, _, receipt| {
            receipt.content_type = ID_CT_RECEIPT;
        }),
        ("signedContentIdentifier", |_, _, receipt| {
            receipt.signed_content_identifier = OctetString::new(b"x".as_slice()).unwrap();
        }),
        ("msgSigDigest", |judged, _, _| {
            attributes(judged).msg_sig_digest.as_mut().unwrap()[0] ^= 1;
        }),
        ("lacks the digest", |judged, _, _| {
            attributes(judged).msg_sig_digest = None;
        }),
    ];
    let original = judged(&message(&asking(SignForm::Opaque)));
    let message = receipt(&ask(&original).unwrap());
    let content = read_receipt(&mut MemoryInput::new(message.clone())).unwrap();
    for (what, change) in cases {
        let (mut judged, mut original, mut content) =
            (judged(&message), original.clone(), content.clone());
        change(&mut judged, &mut original, &mut content);
        let found = check_receipt(&judged, &content, &original);
        assert_eq!(found.problems.len(), 1, "{what}: {found:?}");
        assert!(found.problems[0].contains(what), "{what}: {found:?}");
    }
    // doubts, and a stranger who answers
    let mut unknown = original.clone();
    unknown.signers[0].state = SignatureState::Unsupported("no certificate".into());
    let found = compare(&message, &unknown);
    assert_eq!((found.problems.len(), found.doubts.len()), (0, 1));
    let mut others = original.clone();
    let request = attributes(&mut others).receipt_request.as_mut().unwrap();
    request.receipts_from = ReceiptsFrom::List(vec![mail("somebody@example.org")]);
    let found = compare(&message, &others);
    assert_eq!((found.problems.len(), found.warnings.len()), (0, 1));
    let mut silent = original.clone();
    attributes(&mut silent).receipt_request = None;
    let found = compare(&message, &silent);
    assert!(found.problems[0].contains("asks for no receipt"));
}

#[test]
fn whether_a_receipt_is_owed_goes_by_the_request_and_the_last_mailing_list() {
    use ReceiptsFrom::{AllOrFirstTier, List};
    let all = || AllOrFirstTier(0);
    let first = || AllOrFirstTier(1);
    let me = || List(vec![mail("x@example.org"), mail("ALICE@example.org")]);
    let others = || List(vec![mail("bob@example.org")]);
    let subject = recipient()
        .certificate
        .parsed()
        .tbs_certificate()
        .subject()
        .clone();
    let my_name = List(vec![vec![GeneralName::DirectoryName(subject)]]);
    let none = || expansion(Some(MlReceiptPolicy::None(Null)));
    let instead = || {
        expansion(Some(MlReceiptPolicy::InsteadOf(vec![mail(
            "list@example.org",
        )])))
    };
    let also = || {
        expansion(Some(MlReceiptPolicy::InAdditionTo(vec![mail(
            "list@example.org",
        )])))
    };
    let silent = || expansion(None);
    type Row<'a> = (ReceiptsFrom, Vec<MlData>, Result<&'a [&'a str], Refusal>);
    let table: [Row<'_>; 11] = [
        (all(), vec![], Ok(&["alice@example.org"])),
        (first(), vec![], Ok(&["alice@example.org"])),
        (first(), vec![silent()], Err(Refusal::NotFirstTier)),
        (first(), vec![instead()], Err(Refusal::NotFirstTier)),
        (all(), vec![silent()], Ok(&["alice@example.org"])),
        (all(), vec![silent(), none()], Err(Refusal::MailingList)),
        // only the last list counts
        (all(), vec![none(), instead()], Ok(&["list@example.org"])),
        (
            all(),
            vec![also()],
            Ok(&["alice@example.org", "list@example.org"]),
        ),
        (me(), vec![], Ok(&["alice@example.org"])),
        (my_name, vec![], Ok(&["alice@example.org"])),
        (
            others(),
            vec![],
            Err(Refusal::NotAsked(recipient().certificate.subject())),
        ),
    ];
    let original = judged(&message(&asking(SignForm::Opaque)));
    for (row, (from, history, expected)) in table.into_iter().enumerate() {
        let mut outcome = original.clone();
        let attributes = attributes(&mut outcome);
        attributes.receipt_request.as_mut().unwrap().receipts_from = from;
        attributes.ml_expansion_history = Some(history).filter(|all| !all.is_empty());
        match (ask(&outcome), expected) {
            (Ok(made), Ok(to)) => assert_eq!(made.send_to, to, "row {row}"),
            (Err(why), Err(expected)) => assert_eq!(why, expected, "row {row}"),
            (got, expected) => panic!("row {row}: {got:?}, not {expected:?}"),
        }
    }
}

#[test]
fn no_receipt_for_what_does_not_ask_for_exactly_one() {
    let original = judged(&message(&asking(SignForm::Opaque)));
    let mut outcome = original.clone();
    attributes(&mut outcome).receipt_request = None;
    assert_eq!(ask(&outcome).unwrap_err(), Refusal::NotRequested);

    let mut outcome = original.clone();
    outcome.content_type = Some(ID_CT_RECEIPT);
    assert_eq!(ask(&outcome).unwrap_err(), Refusal::IsReceipt);

    // signed in parallel with another request
    let mut outcome = original.clone();
    let other = judged(&message(&asking(SignForm::Opaque)))
        .signers
        .remove(0);
    outcome.signers.push(other.clone());
    assert_eq!(ask(&outcome).unwrap_err(), Refusal::Contradictory);
    // a request whose signature does not hold is not processed
    outcome.signers[1].state = SignatureState::Invalid("changed".into());
    assert!(ask(&outcome).is_ok());
    let mut outcome = original.clone();
    outcome.signers[0].state = SignatureState::Unsupported("DSA".into());
    assert_eq!(ask(&outcome).unwrap_err(), Refusal::NotRequested);

    let mut outcome = original;
    attributes(&mut outcome).unreadable = vec![("mlExpansionHistory", "broken".into())];
    assert_eq!(
        ask(&outcome).unwrap_err(),
        Refusal::Unreadable("broken".into())
    );
}

#[test]
fn requests_and_histories_are_bounded() {
    let certificate = &sender().certificate;
    let to = |count: usize| vec!["alice@example.org".to_owned(); count];
    let most = limits::RECEIPTS_TO;
    let request = ReceiptRequest::new(certificate, 0, &to(most)).unwrap();
    let der = request.to_der().unwrap();
    assert_eq!(ReceiptRequest::parse(&der).unwrap(), request);
    for wrong in [
        to(0),
        to(most + 1),
        vec!["alice".into()],
        vec!["a b@c".into()],
    ] {
        let made = ReceiptRequest::new(certificate, 0, &wrong);
        assert!(matches!(made, Err(Error::InvalidOption(_))), "{wrong:?}");
    }
    let mut more = request.clone();
    more.receipts_to.push(mail("bob@example.org"));
    let parsed = ReceiptRequest::parse(&more.to_der().unwrap());
    assert!(matches!(parsed, Err(Error::LimitExceeded { .. })));
    more.receipts_to.clear();
    assert!(ReceiptRequest::parse(&more.to_der().unwrap()).is_err());
    let mut odd = request.clone();
    odd.receipts_from = ReceiptsFrom::AllOrFirstTier(2);
    assert!(ReceiptRequest::parse(&odd.to_der().unwrap()).is_err());
    for end in 0..der.len() {
        assert!(ReceiptRequest::parse(&der[..end]).is_err(), "{end}");
    }

    let one = Encode::to_der(&expansion(Some(MlReceiptPolicy::None(Null)))).unwrap();
    let history = |count: usize| history::parse(&tlv(id::SEQUENCE, &one.repeat(count)));
    let most = limits::ML_EXPANSIONS;
    assert_eq!(history(most).unwrap().len(), most);
    assert!(matches!(
        history(most + 1),
        Err(Error::LimitExceeded { .. })
    ));
    assert!(history(0).is_err());
}

#[test]
fn a_receipt_is_bounded_and_nothing_else() {
    let original = judged(&message(&asking(SignForm::Opaque)));
    let mut wanted = ask(&original).unwrap();
    let mut of_size = |len: usize| {
        let around = 200;
        let filler = vec![7; limits::RECEIPT - around];
        wanted.receipt.originator_signature_value = OctetString::new(filler).unwrap();
        let there = wanted.receipt.encode().unwrap().len();
        let filler = vec![7; limits::RECEIPT - around + len - there];
        wanted.receipt.originator_signature_value = OctetString::new(filler).unwrap();
        assert_eq!(wanted.receipt.encode().unwrap().len(), len);
        read_receipt(&mut MemoryInput::new(receipt(&wanted)))
    };
    assert!(of_size(limits::RECEIPT).is_ok());
    assert!(matches!(
        of_size(limits::RECEIPT + 1),
        Err(Error::LimitExceeded { .. })
    ));
    let mail = message(&asking(SignForm::Opaque));
    let read = read_receipt(&mut MemoryInput::new(mail));
    assert!(matches!(read, Err(Error::Malformed(_))), "{read:?}");
    let newer = tlv(
        id::SEQUENCE,
        &[
            &[2, 1, 2][..],
            &tlv(id::OID, ID_CT_RECEIPT.as_bytes()),
            &[4, 0],
            &[4, 0],
        ]
        .concat(),
    );
    assert!(Receipt::parse(&newer).is_err());
}
