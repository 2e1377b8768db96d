//! Signed receipts (RFC 2634 §2): given for messages that are good and ask for one, and checked against what was sent.

use std::io::Write;

use privyseal_pki::{ChainState, Usage};
use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::ess::{self, ReceiptMatch, Refusal};
use privyseal_smime::{Input, SignForm, VerifyOutcome, sign_receipt};
use zbus::Variant;

use super::ess::printable;
use super::results::Results;
use super::{Access, Environment, KeyUse, Options, failure, key, now, select, sign, verify};
use crate::audit::Kind;

/// Gives a receipt for `message`, which must come out good by the path options of the call.
pub fn make(
    env: &Environment,
    o: &Options,
    access: Access<'_>,
    message: &mut dyn Input,
    mut content: Option<&mut dyn Input>,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let profile = env.writing(o)?;
    let own = select::signer(env, o, &profile)?;
    let judged = verify::verify(env, o, message, verify::reborrow(&mut content), None)?;
    if let Some(why) = text(&judged, "refused") {
        return Err(Failure::new(ErrorName::PolicyDenied, why));
    }
    if text(&judged, "verdict") != Some("good") {
        let reason = reasons(&judged).into_iter().next().unwrap_or_default();
        return Err(refused(format!(
            "a receipt is given for a good signature only, and this one is not: {reason}"
        )));
    }
    let outcome = read(env, o, message, content)?;
    let requested = ess::requested(&outcome, &own.certificate).map_err(|why| match why {
        Refusal::Unreadable(_) => Failure::new(ErrorName::MalformedMessage, why.to_string()),
        other => refused(other.to_string()),
    })?;
    // the verdict is of the whole message; the receipt answers these
    for asking in &requested.by {
        if verify::check(env, o, asking, Usage::Sign, &outcome).chain != ChainState::Valid {
            return Err(refused(format!(
                "the certificate of {}, who asks for the receipt, is not good",
                asking.subject()
            )));
        }
    }
    let format = o.format.unwrap_or_default();
    let mut how = sign::options(env, o, &own, (SignForm::Opaque, format), profile)?;
    access.unlock(&own, USE)?;
    how.signing_time = now();
    let made = sign_receipt(
        &requested,
        output,
        &own.certificate,
        &key::TokenSigner::new(&own, access, USE),
        &how,
    )
    .map_err(failure::of_smime)?;
    let identifier = printable(requested.receipt.signed_content_identifier.as_bytes());
    Ok(sign::results(env, &own, &made, true)
        .with("identifier", identifier)
        .with("send_to", requested.send_to)
        .into_dict())
}

const USE: KeyUse<'static> = KeyUse {
    kind: Kind::Sign,
    purpose: "sign a receipt",
};

/// Whether `receipt` is a good one for `original` (and its detached content).
pub fn check(
    env: &Environment,
    o: &Options,
    receipt: &mut dyn Input,
    original: &mut dyn Input,
    content: Option<&mut dyn Input>,
) -> Result<Dict, Failure> {
    let mut results = verify::verify(env, o, receipt, None, None)?;
    if text(&results, "verdict") == Some("not-signed") {
        return Ok(verdict(
            results,
            "bad",
            vec!["this is no signed receipt".into()],
        ));
    }
    let (Ok(judged), Ok(said)) = (read(env, o, receipt, None), ess::read_receipt(receipt)) else {
        // what is wrong with it as a message comes first
        let mut all = reasons(&results);
        all.push("this is no signed receipt".into());
        return Ok(verdict(results, "bad", all));
    };
    let sent = read(env, o, original, content).map_err(|failure| {
        Failure::new(
            failure.name,
            format!("the original message: {}", failure.message),
        )
    })?;
    let ReceiptMatch {
        mut problems,
        mut doubts,
        warnings,
    } = ess::check_receipt(&judged, &said, &sent);
    let word = match text(&results, "verdict") {
        Some("good") if problems.is_empty() && doubts.is_empty() => "good",
        Some("good" | "unknown") if problems.is_empty() => "unknown",
        _ => "bad",
    };
    let mut all = Vec::new();
    all.append(&mut problems);
    all.append(&mut reasons(&results));
    all.append(&mut doubts);
    let answer = judged.signers.first();
    results = Results::of(results)
        .with(
            "identifier",
            printable(said.signed_content_identifier.as_bytes()),
        )
        .with_some(
            "acknowledged_by",
            answer.and_then(verify::person).map(Results::into_dict),
        )
        .with_some(
            "acknowledged_at",
            answer.and_then(|a| a.signing_time).map(super::rfc3339),
        )
        .add_warnings(warnings)
        .into_dict();
    Ok(verdict(results, word, all))
}

/// The message judged but for its certificates.
fn read(
    env: &Environment,
    o: &Options,
    message: &mut dyn Input,
    content: Option<&mut dyn Input>,
) -> Result<VerifyOutcome, Failure> {
    privyseal_smime::verify(message, content, &env.candidates(o)).map_err(failure::of_smime)
}

fn refused(why: String) -> Failure {
    Failure::new(ErrorName::PolicyDenied, why)
}

fn verdict(results: Dict, word: &'static str, reasons: Vec<String>) -> Dict {
    Results::of(results)
        .with("verdict", word)
        .with("reasons", reasons)
        .into_dict()
}

fn text<'d>(results: &'d Dict, key: &str) -> Option<&'d str> {
    results.get(key).and_then(|value| match &**value {
        Variant::Str(text) => Some(text.as_str()),
        _ => None,
    })
}

fn reasons(results: &Dict) -> Vec<String> {
    let all = results.get("reasons").and_then(|all| all.try_clone().ok());
    all.and_then(|all| Vec::<String>::try_from(all).ok())
        .unwrap_or_default()
}
