//! Labels, receipt requests and countersignatures in the results of `Verify`; and the rule that a label can refuse a message.

use privyseal_pki::{ChainState, Usage};
use privyseal_smime::ess::{Attributes, ID_CT_RECEIPT, ReceiptRequest, SecurityLabel};
use privyseal_smime::verdict::{SenderState, SignerJudgement, Verdict};
use privyseal_smime::{SignatureState, SignerOutcome, VerifyOutcome};

use super::results::Results;
use super::{Environment, Options, verify};
use crate::config::{Labels, UnknownLabels};

/// Before judging: a receipt is no mail, and says so where it is not asked about as a receipt.
pub fn note_receipt(o: &Options, outcome: &mut VerifyOutcome) {
    if outcome.content_type == Some(ID_CT_RECEIPT) && !o.as_receipt {
        outcome.reservations.push(
            "this is a signed receipt, not mail: `privyseal receipt check` tells whether it is for a message of yours"
                .into(),
        );
    }
}

/// After judging: why policy refuses the message's label. It is not good then, and its content is not released in any case.
pub fn refuse(
    env: &Environment,
    outcome: &VerifyOutcome,
    verdict: &mut Verdict,
    reasons: &mut Vec<String>,
) -> Option<String> {
    let why = attributes(outcome).find_map(|a| refusal(&env.config.labels, a))?;
    withhold(&why, verdict, reasons);
    Some(why)
}

/// A message whose label policy refuses is not good.
pub fn withhold(why: &str, verdict: &mut Verdict, reasons: &mut Vec<String>) {
    if *verdict == Verdict::Good {
        *verdict = Verdict::Unknown;
    }
    if reasons.first().is_none_or(|first| first != why) {
        reasons.insert(0, why.to_owned());
    }
}

/// `receipt_request`, `security_label`, `equivalent_labels`; `refused` with the reason.
pub fn describe(results: Results, outcome: &VerifyOutcome, refused: Option<String>) -> Results {
    let asking: Vec<(&SignerOutcome, &ReceiptRequest)> = outcome
        .signers
        .iter()
        .filter_map(|s| Some((s, s.ess.attributes.receipt_request.as_ref()?)))
        .collect();
    let request = asking.first().map(|(_, request)| {
        let by = asking
            .iter()
            .filter_map(|(signer, _)| verify::person(signer));
        Results::new()
            .with("identifier", printable(request.content_identifier()))
            .with("from", request.from_word())
            .with("from_names", request.from_names())
            .with("to", request.to_names())
            .with_list("by", by.collect())
            .into_dict()
    });
    let label = attributes(outcome).find_map(|a| a.security_label.as_ref());
    let equivalents: Vec<Results> = attributes(outcome)
        .flat_map(|a| &a.equivalent_labels)
        .map(label_results)
        .collect();
    let results = results
        .with_some("receipt_request", request)
        .with_some(
            "security_label",
            label.map(|l| label_results(l).into_dict()),
        )
        .with_some("refused", refused);
    if equivalents.is_empty() {
        results
    } else {
        results.with_list("equivalent_labels", equivalents)
    }
}

/// Adds `countersignatures` to the results of a signature: like signatures, without `sender`.
pub fn with_countersignatures(
    env: &Environment,
    o: &Options,
    outcome: &VerifyOutcome,
    signer: &SignerOutcome,
    results: Results,
) -> Results {
    if signer.countersignatures.is_empty() {
        return results;
    }
    let each = |counter: &SignerOutcome| {
        // the path of one that does not hold is not worth a look
        let path = counter
            .certificate
            .as_ref()
            .filter(|_| counter.state == SignatureState::Valid)
            .map(|leaf| verify::check(env, o, leaf, Usage::Sign, outcome));
        let judgement = SignerJudgement {
            chain: path.as_ref().map_or(ChainState::Unknown, |p| p.chain),
            chain_error: path.as_ref().and_then(|p| p.error.clone()),
            sender: SenderState::NotChecked,
        };
        let shown = verify::signature(counter, path.as_ref(), &judgement);
        with_countersignatures(env, o, outcome, counter, shown)
    };
    let all = signer.countersignatures.iter().map(each).collect();
    results.with_list("countersignatures", all)
}

fn attributes(outcome: &VerifyOutcome) -> impl Iterator<Item = &Attributes> {
    outcome.signers.iter().map(|s| &s.ess.attributes)
}

/// A label of a policy that is known counts; else those that are said to be equivalent and are known (RFC 2634 §3.4), all of them.
fn refusal(labels: &Labels, attributes: &Attributes) -> Option<String> {
    if !attributes.is_labelled() {
        return None;
    }
    let known = |label: &&SecurityLabel| labels.clearance.contains_key(&label.policy);
    let label = attributes.security_label.as_ref();
    let mut deciding: Vec<&SecurityLabel> = label.into_iter().filter(known).collect();
    if deciding.is_empty() {
        deciding = attributes.equivalent_labels.iter().filter(known).collect();
    }
    if deciding.is_empty() && labels.unknown == UnknownLabels::Refuse {
        return Some(match label {
            Some(label) => format!(
                "refused by policy: its security label is of the policy {}, which is not among those configured",
                label.policy
            ),
            None => "refused by policy: its security label cannot be read".into(),
        });
    }
    deciding.into_iter().find_map(|label| {
        let most = *labels.clearance.get(&label.policy)?;
        let level = label.classification.filter(|level| *level > most)?;
        Some(format!(
            "refused by policy: it is classified {}, and {most} is the most that may be read here of the policy {}",
            label.word().map_or_else(|| level.to_string(), |word| format!("{level} ({word})")),
            label.policy
        ))
    })
}

fn label_results(label: &SecurityLabel) -> Results {
    let categories = label.categories.iter().map(|c| c.kind.to_string());
    Results::new()
        .with("policy", label.policy.to_string())
        .with_some("classification", label.classification.map(u32::from))
        .with_some("classification_word", label.word())
        .with_some("privacy_mark", label.privacy_mark.clone())
        .with("categories", categories.collect::<Vec<_>>())
}

/// An identifier is octets, often text; others in hexadecimal.
pub fn printable(identifier: &[u8]) -> String {
    match std::str::from_utf8(identifier) {
        Ok(text) if !text.is_empty() && !text.contains(char::is_control) => text.to_owned(),
        _ => identifier.iter().map(|b| format!("{b:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use der::asn1::ObjectIdentifier;

    use super::*;

    fn with(label: Option<&str>, equivalents: &[&str]) -> Attributes {
        let read = |text: &str| SecurityLabel::from_text(text).unwrap();
        Attributes {
            security_label: label.map(read),
            equivalent_labels: equivalents.iter().map(|text| read(text)).collect(),
            ..Attributes::default()
        }
    }

    #[test]
    fn clearance_decides_and_unknown_policies_go_by_the_configuration() {
        let known = ObjectIdentifier::new_unwrap("1.2.3");
        let labels = |unknown| Labels {
            unknown,
            clearance: BTreeMap::from([(known, 3)]),
        };
        let unclassified = Attributes {
            security_label: Some(SecurityLabel {
                classification: None,
                ..SecurityLabel::from_text("1.2.3:0").unwrap()
            }),
            ..Attributes::default()
        };
        let broken = Attributes {
            unreadable: vec![("eSSSecurityLabel", "broken".into())],
            ..Attributes::default()
        };
        // attributes, refused where unknown ones are shown, where they are refused
        let table = [
            (Attributes::default(), false, false),
            (with(Some("1.2.3:3"), &[]), false, false),
            (with(Some("1.2.3:4"), &[]), true, true),
            (with(Some("1.2.4:1"), &[]), false, true),
            // the label itself is known: equivalents do not count
            (with(Some("1.2.3:4"), &["1.2.3:1"]), true, true),
            (with(Some("1.2.4:1"), &["1.2.3:3"]), false, false),
            (with(Some("1.2.4:1"), &["1.2.3:3", "1.2.3:4"]), true, true),
            (with(Some("1.2.4:1"), &["1.2.5:3"]), false, true),
            (unclassified, false, false),
            (broken, false, true),
        ];
        for (row, (attributes, shown, refused)) in table.iter().enumerate() {
            let by = |unknown| refusal(&labels(unknown), attributes).is_some();
            assert_eq!(by(UnknownLabels::Show), *shown, "row {row}");
            assert_eq!(by(UnknownLabels::Refuse), *refused, "row {row}");
        }
    }

    #[test]
    fn identifiers_are_text_or_hexadecimal() {
        assert_eq!(printable(b"id-1"), "id-1");
        assert_eq!(printable(b""), "");
        assert_eq!(printable(b"\x00\xff"), "00ff");
        assert_eq!(printable(b"a\nb"), "610a62");
    }
}
