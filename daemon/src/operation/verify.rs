//! Verifying: cryptography, certificate path and sender become one verdict; content is released by it.

use std::io::Write;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use privyseal_pki::{Anchors, ChainState, PathOutcome, PathQuery, Purpose, Usage};
use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::verdict::{self, SenderState, SignerJudgement, Verdict};
use privyseal_smime::{
    Certificate, Error, Headers, Input, Layer, SignatureState, SignerOutcome, VerifyOutcome,
};

use super::results::Results;
use super::{Environment, Options, claims, ess, failure, now, open, rfc3339};

/// Time for all certificate paths of one message.
const JUDGING: Duration = Duration::from_secs(10);

pub fn verify(
    env: &Environment,
    o: &Options,
    message: &mut dyn Input,
    mut content: Option<&mut dyn Input>,
    output: Option<&mut dyn Write>,
) -> Result<Dict, Failure> {
    let candidates = env.candidates(o);
    let mut outcome = match privyseal_smime::verify(message, reborrow(&mut content), &candidates) {
        Ok(outcome) => outcome,
        // what is inside a compressed layer, or below a multipart, may be
        Err(Error::NotSigned) => {
            let (keys, content) = (None, None);
            return open::open(env, o, keys, message, content, output);
        }
        Err(error) => return without_outcome(error),
    };
    prepare(env, o, &mut outcome)?;
    let judged = judge(env, o, &outcome);
    let mut written = None;
    if let Some(output) = output
        && judged.refused.is_none()
        && (judged.verdict == Verdict::Good || o.even_if_bad)
    {
        let bytes =
            privyseal_smime::release(message, content, output).map_err(failure::of_smime)?;
        output.flush().map_err(failure::of_io)?;
        written = Some(bytes);
    }
    Ok(ess::describe(Results::new(), &outcome, judged.refused)
        .with("verdict", judged.verdict.name())
        .with("reasons", judged.reasons)
        .with_list("signatures", judged.signatures)
        .with_list("layers", outcome.layers.iter().map(layer).collect())
        .with("content_written", written.is_some())
        .with("content_length", outcome.content_len)
        .with("warnings", warnings(o, &outcome))
        .into_dict())
}

/// By the reading rules of the profile; a receipt is no mail.
pub(super) fn prepare(
    env: &Environment,
    o: &Options,
    outcome: &mut VerifyOutcome,
) -> Result<(), Failure> {
    let profile = env.reading(o)?;
    outcome.restrict(&profile);
    choose_certificates(env, o, outcome);
    ess::note_receipt(o, outcome);
    Ok(())
}

/// What is to be said of one SignedData.
pub(super) struct Judged {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    /// one for each signer
    pub signatures: Vec<Results>,
    /// why policy refuses the message's label: its content is not released
    pub refused: Option<String>,
}

/// Cryptography, certificate paths, senders and labels together, of what was [`prepare`]d.
pub(super) fn judge(env: &Environment, o: &Options, outcome: &VerifyOutcome) -> Judged {
    let paths: Vec<Option<PathOutcome>> = outcome
        .signers
        .iter()
        .map(|s| {
            s.certificate
                .as_ref()
                .map(|leaf| check(env, o, leaf, Usage::Sign, outcome))
        })
        .collect();
    let judgements: Vec<SignerJudgement> = paths
        .iter()
        .zip(senders(o, outcome))
        .map(|(path, sender)| SignerJudgement {
            chain: path.as_ref().map_or(ChainState::Unknown, |p| p.chain),
            chain_error: path.as_ref().and_then(|p| p.error.clone()),
            sender,
        })
        .collect();
    let (mut verdict, mut reasons) = verdict::judge(outcome, &judgements);
    let refused = ess::refuse(env, outcome, &mut verdict, &mut reasons);
    let signatures = outcome
        .signers
        .iter()
        .zip(&paths)
        .zip(&judgements)
        .map(|((signer, path), judgement)| {
            let shown = signature(signer, path.as_ref(), judgement);
            let shown = claims::add(shown, signer, outcome);
            ess::with_countersignatures(env, o, outcome, signer, shown)
        })
        .collect();
    Judged {
        verdict,
        reasons,
        signatures,
        refused,
    }
}

pub(super) fn warnings(o: &Options, outcome: &VerifyOutcome) -> Vec<String> {
    let outside = "there is text before or after the signed part: nobody signed it, and it is no part of the content";
    let mut all = outcome.warnings.clone();
    if outcome.text_outside {
        all.push(outside.into());
    }
    let at = o.at.unwrap_or_else(now);
    all.extend(outcome.signers.iter().filter_map(|s| odd_time(s, at)));
    all
}

/// How far two clocks may be apart, seconds.
const CLOCKS_APART: u64 = 300;

/// What cannot be true of the time that a signer claims. The verdict is by the time of verification (RFC 8550 §4.3), so it stays.
fn odd_time(signer: &SignerOutcome, at: u64) -> Option<String> {
    let (time, certificate) = (signer.signing_time?, signer.certificate.as_ref()?);
    if signer.state != SignatureState::Valid {
        return None;
    }
    let validity = certificate.not_before()..=certificate.not_after();
    let odd = unlikely(time, at, &validity)?;
    let who = certificate.emails().into_iter().next();
    let who = who.unwrap_or_else(|| certificate.subject());
    Some(format!(
        "{who} claims to have signed at {}, {odd}: a wrong clock, or an untrue claim",
        rfc3339(time)
    ))
}

fn unlikely(time: u64, at: u64, validity: &RangeInclusive<u64>) -> Option<&'static str> {
    if time > at.saturating_add(CLOCKS_APART) {
        Some("which is still to come")
    } else if time < *validity.start() {
        Some("before the certificate was valid")
    } else if time > *validity.end() {
        Some("after the certificate expired")
    } else {
        None
    }
}

pub fn reborrow<'a>(content: &'a mut Option<&mut dyn Input>) -> Option<&'a mut dyn Input> {
    match content {
        Some(content) => Some(&mut **content),
        None => None,
    }
}

/// What cannot be parsed has a verdict too; failing streams have none.
pub(super) fn without_outcome(error: Error) -> Result<Dict, Failure> {
    let verdict = match &error {
        Error::NotSigned | Error::NotEncrypted => Verdict::NotSigned,
        Error::ContentMissing
        | Error::Malformed(_)
        | Error::LimitExceeded { .. }
        | Error::UnsupportedAlgorithm(_)
        | Error::WeakAlgorithm(_)
        | Error::Refused(_)
        | Error::Certificate(_) => Verdict::Bad,
        _ => return Err(failure::of_smime(error)),
    };
    let reason = words(&error);
    Ok(Results::new()
        .with("verdict", verdict.name())
        .with("reasons", vec![reason])
        .with_list("signatures", Vec::new())
        .with_list("layers", Vec::new())
        .with("content_written", false)
        .into_dict())
}

/// What is wrong with a message, and what to do about it.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::ContentMissing => format!("{error}: name it (--content FILE)"),
        _ => error.to_string(),
    }
}

/// The certificate's path, by the caller's rules where it gave some (design rule 12: nothing is kept of it).
pub fn check(
    env: &Environment,
    o: &Options,
    leaf: &Certificate,
    usage: Usage,
    outcome: &VerifyOutcome,
) -> PathOutcome {
    let mut more = o.untrusted.clone();
    more.extend(outcome.certificates.iter().cloned());
    let intermediates = env.helpers(&more);
    let mut crls = o.crls.clone();
    crls.extend(outcome.crls.iter().cloned());
    crls.extend(env.crls.iter().cloned());
    let query = PathQuery {
        at: o.at.unwrap_or_else(now),
        leaf,
        intermediates: &intermediates,
        crls: &crls,
        purpose: o.purpose,
        usage,
        revocation: o.revocation.unwrap_or(env.revocation),
        options: &o.path,
    };
    let until = o.judging.get_or_init(|| {
        let now = Instant::now();
        now.checked_add(JUDGING).unwrap_or(now)
    });
    anchors(env, o).check_until(&query, Some(*until))
}

/// Of several certificates of one key, by which a signature is valid, the one that says the most for it (RFC 8551 §2.6): a person
/// may have had a certificate renewed, and the message may carry both.
fn choose_certificates(env: &Environment, o: &Options, outcome: &mut VerifyOutcome) {
    let chosen: Vec<Option<Certificate>> = outcome
        .signers
        .iter()
        .map(|signer| best(env, o, outcome, signer))
        .collect();
    for (signer, chosen) in outcome.signers.iter_mut().zip(chosen) {
        signer.certificate = chosen.or(signer.certificate.take());
    }
}

fn best(
    env: &Environment,
    o: &Options,
    outcome: &VerifyOutcome,
    signer: &SignerOutcome,
) -> Option<Certificate> {
    if signer.alternatives.is_empty() {
        return None;
    }
    let claimed = o.sender.as_slice();
    let claimed = if claimed.is_empty() {
        &outcome.from
    } else {
        claimed
    };
    let rank = |certificate: &&Certificate| {
        let valid = check(env, o, certificate, Usage::Sign, outcome).chain == ChainState::Valid;
        let speaks =
            |address| privyseal_pki::sender_matches(certificate, std::slice::from_ref(address));
        (!valid, !claimed.iter().any(speaks))
    };
    let all = signer.certificate.iter().chain(&signer.alternatives);
    all.min_by_key(rank).cloned()
}

/// The caller's anchors stand in the place of the configured ones.
fn anchors<'a>(env: &'a Environment, o: &'a Options) -> &'a Anchors {
    o.anchors.as_ref().unwrap_or(&env.anchors)
}

/// Whether the signers speak for who the message says it is from, one answer a signer.
///
/// Stricter than RFC 8550 §3, which is content with Sender: a reader is shown From, so each address of From must be one of a
/// signer's whose signature holds (design rule 10), and a letter that names nobody, or shows another address than the one it is
/// from, matches nobody. A certificate without addresses speaks for no sender of mail; for other purposes it is not compared.
fn senders(o: &Options, outcome: &VerifyOutcome) -> Vec<SenderState> {
    let headers = &outcome.headers;
    let (claimed, from): (Vec<String>, bool) = match &o.sender {
        Some(sender) => (vec![sender.clone()], false),
        None => (outcome.from.clone(), headers.are_of_a_letter()),
    };
    let speaks = |signer: &SignerOutcome, address: &String| {
        let certificate = signer.certificate.as_ref();
        certificate.is_some_and(|c| privyseal_pki::sender_matches(c, std::slice::from_ref(address)))
    };
    let holding = || {
        outcome
            .signers
            .iter()
            .filter(|s| s.state == SignatureState::Valid)
    };
    let all_spoken_for = claimed
        .iter()
        .all(|address| holding().any(|signer| speaks(signer, address)));
    // names of groups are text that looks like a sender (RFC 6854); a From without anyone in it names nobody
    let hides = |headers: &Headers| {
        headers.count("From") > 1
            || !headers.addresses_beside("From").is_empty()
            || headers.get("From").is_some_and(has_group)
    };
    let odd = o.sender.is_none()
        && ((from && (claimed.is_empty() || hides(headers))) || hides(&outcome.inner));
    let state = |signer: &SignerOutcome| {
        let Some(certificate) = &signer.certificate else {
            return SenderState::NotChecked;
        };
        let elsewhere = certificate.emails().is_empty() && o.purpose == Purpose::Any;
        let mine = claimed.iter().any(|address| speaks(signer, address));
        if elsewhere || (claimed.is_empty() && !odd) {
            SenderState::NotChecked
        } else if !odd && mine && (all_spoken_for || signer.state != SignatureState::Valid) {
            SenderState::Match
        } else {
            SenderState::Mismatch
        }
    };
    outcome.signers.iter().map(state).collect()
}

/// A colon outside quoted strings, comments and domain literals begins a group (RFC 5322 §3.4).
fn has_group(field: &str) -> bool {
    let (mut quoted, mut comments, mut literal, mut escaped) = (false, 0u32, false, false);
    for c in field.chars() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' if quoted || comments > 0 || literal => escaped = true,
            '"' if comments == 0 && !literal => quoted = !quoted,
            _ if quoted => {}
            '(' => comments = comments.saturating_add(1),
            ')' => comments = comments.saturating_sub(1),
            _ if comments > 0 => {}
            '[' => literal = true,
            ']' => literal = false,
            ':' if !literal => return true,
            _ => {}
        }
    }
    false
}

pub fn signature(
    signer: &SignerOutcome,
    path: Option<&PathOutcome>,
    judgement: &SignerJudgement,
) -> Results {
    let (state, detail) = match &signer.state {
        SignatureState::Valid => ("valid", None),
        SignatureState::Invalid(why) => ("invalid", Some(why.clone())),
        SignatureState::Unsupported(why) => ("unsupported", Some(why.clone())),
    };
    let chain = match judgement.chain {
        ChainState::Valid => "valid",
        ChainState::Invalid => "invalid",
        ChainState::Unknown => "unknown",
    };
    let sender = match judgement.sender {
        SenderState::Match => "match",
        SenderState::Mismatch => "mismatch",
        SenderState::NotChecked => "not-checked",
    };
    let who = person(signer).map(Results::into_dict);
    Results::new()
        .with("signature", state)
        .with_some("detail", detail)
        .with("chain", chain)
        .with_some("chain_error", judgement.chain_error.clone())
        .with(
            "revocation",
            path.map_or_else(|| "not-checked".to_owned(), |p| p.revocation.clone()),
        )
        .with("sender", sender)
        .with_some("signer", who)
        .with_some("signing_time", signer.signing_time.map(rfc3339))
        .with_some("digest", signer.digest.map(|d| d.name()))
        .with("algorithm", signer.algorithm.clone())
        .with("weak", signer.weak)
        .with("steps", path.map(|p| p.steps.clone()).unwrap_or_default())
}

/// The signer, if the certificate is known.
pub fn person(signer: &SignerOutcome) -> Option<Results> {
    signer.certificate.as_ref().map(|c| {
        Results::new()
            .with("subject", c.subject())
            .with("emails", c.emails())
            .with("sha256", c.sha256_hex())
    })
}

pub(super) fn layer(layer: &Layer) -> Results {
    Results::new()
        .with("kind", layer.kind)
        .with_some("cipher", layer.cipher.clone())
        .with_some("authenticated", layer.authenticated)
        .with_some("recipients", layer.recipients)
}

pub fn validate(
    env: &Environment,
    o: &Options,
    certificate: &Certificate,
) -> Result<Dict, Failure> {
    let usage = if certificate.can_sign() {
        Usage::Sign
    } else {
        Usage::Encrypt
    };
    let path = check(env, o, certificate, usage, &VerifyOutcome::default());
    let word = match path.chain {
        ChainState::Valid => "valid",
        ChainState::Invalid => "invalid",
        ChainState::Unknown => "unknown",
    };
    let chain: Vec<String> = path
        .path
        .iter()
        .map(|c| format!("sha256:{}", c.sha256_hex()))
        .collect();
    Ok(Results::new()
        .with("path", word)
        .with_some("error", path.error)
        .with("revocation", path.revocation)
        .with("chain", chain)
        .with("steps", path.steps)
        .into_dict())
}

/// Anchors of a call, from its descriptors.
pub fn anchors_of(certificates: Vec<Certificate>) -> Result<Anchors, Failure> {
    Anchors::from_certs(certificates)
        .map_err(|e| Failure::new(ErrorName::InvalidArgument, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{has_group, unlikely};

    #[test]
    fn a_time_of_signing_is_odd_where_it_cannot_be_true() {
        let validity = 1000..=2000;
        for (time, at, odd) in [
            (1000, 1500, None),
            (2000, 5000, None),
            (1800, 1500, None),
            (1801, 1500, Some("which is still to come")),
            (2001, 1500, Some("which is still to come")),
            (999, 1500, Some("before the certificate was valid")),
            (2001, 5000, Some("after the certificate expired")),
            (u64::MAX, u64::MAX, Some("after the certificate expired")),
        ] {
            assert_eq!(unlikely(time, at, &validity), odd, "{time} at {at}");
        }
    }

    #[test]
    fn a_group_is_told_from_what_only_looks_like_one() {
        for group in [
            "ceo@corp.example: bob@example.org;",
            "undisclosed:;",
            "\"a\" b: c@d;",
        ] {
            assert!(has_group(group), "{group}");
        }
        for plain in [
            "bob@example.org",
            "\"a: b\" <c@d>",
            "Bob (re: you) <c@d>",
            "<x@[IPv6:::1]>",
            "\"a\\\": b\" <c@d>",
        ] {
            assert!(!has_group(plain), "{plain}");
        }
    }
}
