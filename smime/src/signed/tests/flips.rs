//! Every single bit of a message turned over, one at a time.

use std::ops::Range;

use super::*;
use crate::ber::{Cursor, id};
use crate::signed::SignatureState;
use crate::verdict::{ChainState, SenderState, SignerJudgement, Verdict, judge};

const CONTENT: &[u8] = b"Content-Type: text/plain\r\n\r\nPay 100 to Bob\r\n";

/// The verdict of somebody who trusts this certificate and no other.
fn verdict(outcome: &VerifyOutcome, trusted: &Certificate) -> Verdict {
    let judgement = |certificate: &Option<Certificate>| SignerJudgement {
        chain: if certificate.as_ref() == Some(trusted) {
            ChainState::Valid
        } else {
            ChainState::Unknown
        },
        chain_error: None,
        sender: SenderState::NotChecked,
    };
    let signers: Vec<SignerJudgement> = outcome
        .signers
        .iter()
        .map(|s| judgement(&s.certificate))
        .collect();
    judge(outcome, &signers).0
}

/// Where content, signed attributes, signature and algorithms lie in a ContentInfo.
fn guarded(der: &[u8]) -> Vec<Range<usize>> {
    let place = |part: &[u8]| {
        let start = part.as_ptr().addr() - der.as_ptr().addr();
        start..start + part.len()
    };
    let mut content_info = Cursor::new(Cursor::new(der).expect(id::SEQUENCE, "").unwrap().content);
    let kind = content_info.expect(id::OID, "").unwrap();
    let explicit = content_info.expect(0xa0, "").unwrap();
    let mut signed_data = Cursor::new(
        Cursor::new(explicit.content)
            .expect(id::SEQUENCE, "")
            .unwrap()
            .content,
    );
    signed_data.expect(id::INTEGER, "").unwrap();
    let digests = signed_data.expect(id::SET, "").unwrap();
    let encapsulated = signed_data.expect(id::SEQUENCE, "").unwrap();
    signed_data.optional(0xa0).unwrap();
    let infos = signed_data.expect(id::SET, "").unwrap();
    let mut info = Cursor::new(
        Cursor::new(infos.content)
            .expect(id::SEQUENCE, "")
            .unwrap()
            .content,
    );
    info.expect(id::INTEGER, "").unwrap();
    info.next().unwrap();
    let mut all = vec![
        place(kind.whole),
        place(digests.whole),
        place(encapsulated.whole),
    ];
    while let Some(part) = info.next().unwrap() {
        all.push(place(part.whole));
    }
    all
}

/// Returns how many flips left the message good.
fn flip_all(
    message: &[u8],
    trusted: &Certificate,
    never_good: &dyn Fn(usize, &[u8]) -> bool,
    content: &[u8],
) -> usize {
    let mut good = 0;
    for bit in 0..message.len() * 8 {
        let mut changed = message.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(outcome) = check(&changed) else {
            continue;
        };
        if outcome
            .signers
            .iter()
            .any(|s| s.state == SignatureState::Valid && s.certificate.as_ref() == Some(trusted))
        {
            assert_eq!(
                released(&changed, None).unwrap(),
                content,
                "bit {bit}: other content under a valid signature"
            );
        }
        if verdict(&outcome, trusted) != Verdict::Good {
            continue;
        }
        good += 1;
        assert!(!never_good(bit, &changed), "bit {bit} is still good");
        assert_eq!(outcome.signers.len(), 1, "bit {bit}");
        assert_eq!(
            outcome.signers[0].certificate.as_ref(),
            Some(trusted),
            "bit {bit}"
        );
    }
    good
}

#[test]
fn no_bit_of_an_opaque_message_turns_into_another_good_one() {
    for (kind, pss) in [
        (Kind::P256, false),
        (Kind::Rsa, true),
        (Kind::Rsa, false),
        (Kind::Ed25519, false),
        (Kind::MlDsa44, false),
    ] {
        let person = Person::shared(kind);
        let options = SignOptions {
            format: crate::Form::Der,
            pss,
            ..options(SignForm::Opaque)
        };
        let message = signed(person, CONTENT, &options);
        assert_eq!(
            verdict(&check(&message).unwrap(), &person.certificate),
            Verdict::Good
        );
        let guarded = guarded(&message);
        let never_good =
            |bit: usize, _: &[u8]| guarded.iter().any(|range| range.contains(&(bit / 8)));
        let good = flip_all(&message, &person.certificate, &never_good, CONTENT);
        // the version numbers at least are looked at by nobody
        assert!((1..200).contains(&good), "{good}");
    }
}

#[test]
fn no_bit_of_a_clear_message_turns_into_another_good_one() {
    let person = Person::shared(Kind::P256);
    let message = signed(person, CONTENT, &options(SignForm::Clear));
    assert_eq!(
        verdict(&check(&message).unwrap(), &person.certificate),
        Verdict::Good
    );
    let (content, der) = parts_of_clear(&message).unwrap();
    assert_eq!(content, CONTENT);
    let start = memchr::memmem::find(&message, CONTENT).unwrap();
    let guarded = guarded(&der);
    let never_good = |bit: usize, changed: &[u8]| {
        let in_content = (start..start + CONTENT.len()).contains(&(bit / 8));
        let (_, other) = parts_of_clear(changed).unwrap();
        in_content
            || other.len() != der.len()
            || guarded
                .iter()
                .any(|range| other[range.clone()] != der[range.clone()])
    };
    let good = flip_all(&message, &person.certificate, &never_good, CONTENT);
    assert!(
        good > 100,
        "letters of field names may be of either case, but {good}"
    );
}
