//! SignedData in every form, to the verdict. Only what was signed is ever good.

use privyseal_smime::verdict::Verdict;
use privyseal_smime::{Certificate, SignatureState, VerifyOutcome, release, verify};

use crate::judge;
use crate::keys::{CONTENTS, PKI};
use crate::pieces::{Pieces, assert_alike};

pub fn run(data: &[u8]) {
    for content in [None, Some(CONTENTS[0])] {
        let Some(outcome) = judged(data, content) else {
            continue;
        };
        if !valid_of_ours(&outcome) && judge::verdict(&outcome).0 != Verdict::Good {
            continue;
        }
        let mut released = Vec::new();
        let mut given = content.map(Pieces::whole);
        let given = given.as_mut().map(|g| g as &mut dyn privyseal_smime::Input);
        let bytes = release(&mut Pieces::whole(data), given, &mut released).unwrap();
        assert_eq!(bytes, released.len() as u64);
        assert!(
            signed_by_us(&released),
            "a valid signature over {}",
            released.escape_ascii()
        );
        assert!(valid_of_ours(&outcome), "good, and none of ours signed");
    }
}

/// The outcome; `None` for what is no signed message, or lacks its content.
fn judged(data: &[u8], content: Option<&[u8]>) -> Option<VerifyOutcome> {
    let candidates: Vec<Certificate> = PKI.signers.iter().map(|p| p.certificate.clone()).collect();
    let ask = |mut message: Pieces<'_>, content: Option<Pieces<'_>>| {
        let mut content = content;
        let content = content
            .as_mut()
            .map(|c| c as &mut dyn privyseal_smime::Input);
        verify(&mut message, content, &candidates)
    };
    let whole = ask(Pieces::whole(data), content.map(Pieces::whole));
    let small = ask(Pieces::small(data), content.map(Pieces::small));
    assert_alike(&whole, &small);
    let outcome = whole.ok()?;
    assert!(outcome.content_len <= 2 * data.len() as u64 + 100);
    Some(outcome)
}

fn valid_of_ours(outcome: &VerifyOutcome) -> bool {
    let ours = |c: &Certificate| PKI.signers.iter().any(|p| p.certificate == *c);
    outcome
        .signers
        .iter()
        .any(|s| s.state == SignatureState::Valid && s.certificate.as_ref().is_some_and(ours))
}

/// But for line ends, which a mail store may change.
fn signed_by_us(content: &[u8]) -> bool {
    let bare = |text: &[u8]| -> Vec<u8> { text.iter().copied().filter(|b| *b != b'\r').collect() };
    CONTENTS.iter().any(|c| bare(c) == bare(content))
}
