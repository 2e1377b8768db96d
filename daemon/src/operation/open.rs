//! Opening a received message: all layers, one verdict (RFC 9787, design rule 10), the message inside.

use std::io::Write;

use privyseal_proto::{Dict, Failure};
use privyseal_smime::enveloped::DecryptOutcome;
use privyseal_smime::message::{self, Opened, Opener};
use privyseal_smime::verdict::Verdict;
use privyseal_smime::{Input, KeyOpener, SignatureState, VerifyOutcome};

use super::purpose::Noted;
use super::results::Results;
use super::verify::{self, Judged};
use super::{Access, Environment, Options, ess, failure, key};

/// With `access` encrypted layers are opened too. The message inside is written unless the verdict is bad (or the caller wants it
/// all the same); `verify` writes for a good one only.
pub fn open(
    env: &Environment,
    o: &Options,
    access: Option<Access<'_>>,
    message: &mut dyn Input,
    content: Option<&mut dyn Input>,
    output: Option<&mut dyn Write>,
) -> Result<Dict, Failure> {
    let mut message = Noted::new(message);
    let beginning = message.beginning();
    let purpose = || beginning.purpose();
    let keys = access.map(|access| {
        let own = env.registry.certificates();
        key::TokenOpener::new(own, &env.people, access, &purpose)
    });
    let candidates = env.candidates(o);
    let profile = env.reading(o)?;
    let opener = Opener {
        keys: keys.as_ref().map(|keys| keys as &dyn KeyOpener),
        candidates: &candidates,
        profile: &profile,
        spool: env.spool.clone(),
    };
    let mut opened = message::open(&mut message, content, &opener).map_err(failure::of_smime)?;
    let all = opened.signed.iter_mut().map(|(_, outcome)| outcome);
    for outcome in all.chain(&mut opened.parts) {
        verify::prepare(env, o, outcome)?;
    }
    let Judged {
        mut verdict,
        mut reasons,
        mut signatures,
        refused,
    } = judge(env, o, &opened);
    signatures.extend(of_parts(env, o, &opened));
    let Around {
        signatures: outer,
        mut warnings,
        refused: refused_outside,
    } = around(env, o, &opened);
    let refused = refused.or(refused_outside);
    if let Some(why) = &refused {
        ess::withhold(why, &mut verdict, &mut reasons);
    }
    warnings.extend(of_encryption(&opened));

    let wanted = match verdict {
        _ if refused.is_some() => false,
        Verdict::Good => true,
        Verdict::Bad => o.even_if_bad,
        Verdict::Unknown | Verdict::NotSigned => keys.is_some() || o.even_if_bad,
    };
    let mut written = None;
    if let Some(output) = output
        && wanted
    {
        let bytes = if keys.is_some() {
            opened.write_letter(&mut message, output)
        } else {
            opened.write_content(&mut message, output)
        };
        written = Some(bytes.map_err(failure::of_smime)?);
        output.flush().map_err(failure::of_io)?;
    }
    let results = match opened.deciding() {
        Some(outcome) => ess::describe(Results::new(), outcome, refused),
        None => Results::new(),
    };
    Ok(results
        .with("verdict", verdict.name())
        .with("summary", summary(verdict, &opened))
        .with("reasons", reasons)
        .with_list("signatures", signatures)
        .with_list("outer_signatures", outer)
        .with_list("layers", layers(&opened))
        .with("content_written", written.is_some())
        .with_some("content_length", written)
        .with("warnings", warnings)
        .into_dict())
}

/// The verdict on the message, and the signatures of the layer that decides it.
fn judge(env: &Environment, o: &Options, opened: &Opened) -> Judged {
    let mut judged = match opened.deciding() {
        Some(outcome) => verify::judge(env, o, outcome),
        None => Judged {
            verdict: Verdict::NotSigned,
            reasons: vec![unsigned(opened)],
            signatures: Vec::new(),
            refused: None,
        },
    };
    if let Some(error) = &opened.stopped {
        judged.verdict = Verdict::Bad;
        judged.reasons.insert(0, verify::words(error));
    }
    judged
}

/// Why nobody vouches for the message.
fn unsigned(opened: &Opened) -> String {
    let names: Vec<String> = opened.parts.iter().filter_map(signer).collect();
    if !opened.parts.is_empty() {
        let by = match names.as_slice() {
            [] => String::new(),
            names => format!(" (by {})", names.join(", ")),
        };
        return format!(
            "only a part of the message is signed{by}: nobody vouches for the rest, which may say how that part is to be read"
        );
    }
    if let Some(kind) = opened.foreign {
        return format!(
            "it is a CMS object of the type {}, which is no signed mail",
            message::type_name(&kind)
        );
    }
    match opened.layers.last().map(|layer| layer.kind) {
        Some("enveloped" | "auth-enveloped")
            if opened.decrypted.is_empty() && opened.stopped.is_none() =>
        {
            "the message is encrypted: open it to see whether it is signed (privyseal mail open)"
                .into()
        }
        _ => "the message carries no signature".into(),
    }
}

/// Who a valid signature is by.
fn signer(outcome: &VerifyOutcome) -> Option<String> {
    let valid = outcome
        .signers
        .iter()
        .find(|s| s.state == SignatureState::Valid)?;
    let certificate = valid.certificate.as_ref()?;
    let email = certificate.emails().into_iter().next();
    Some(email.unwrap_or_else(|| certificate.subject()))
}

/// Signatures of parts, which say nothing about the message.
fn of_parts(env: &Environment, o: &Options, opened: &Opened) -> Vec<Results> {
    if opened.deciding().is_some() {
        // a signed message that was attached to this one
        return Vec::new();
    }
    let all = opened.parts.iter();
    all.flat_map(|part| verify::judge(env, o, part).signatures)
        .map(|signature| signature.with("covers", "part"))
        .collect()
}

/// What the signatures around the one that decides say.
struct Around {
    signatures: Vec<Results>,
    warnings: Vec<String>,
    /// why policy refuses one of their labels
    refused: Option<String>,
}

/// Signatures around the one that decides: whoever passes the message on can take them off and put others on. Their labels bind
/// all the same (RFC 2634 §1.1).
fn around(env: &Environment, o: &Options, opened: &Opened) -> Around {
    let mut warnings: Vec<String> = opened
        .deciding()
        .map(|outcome| verify::warnings(o, outcome))
        .unwrap_or_default();
    let mut all = Vec::new();
    let mut refused = None;
    let outer = opened
        .signed
        .split_last()
        .map_or(&[][..], |(_, outer)| outer);
    for (_, outcome) in outer {
        let judged = verify::judge(env, o, outcome);
        if outcome
            .signers
            .iter()
            .any(|s| matches!(s.state, SignatureState::Invalid(_)))
        {
            warnings.push(
                "a signature around the one that counts is broken: the message was changed by who passed it on".into(),
            );
        }
        refused = refused.or(judged.refused);
        all.extend(judged.signatures);
    }
    Around {
        signatures: all,
        warnings,
        refused,
    }
}

fn of_encryption(opened: &Opened) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for layer in &opened.decrypted {
        warnings.extend(super::encrypt::warnings(layer));
    }
    if opened.encrypted_parts > 0 {
        warnings.push(
            "a part of the message is encrypted, beside text that is not: it is left closed, for the text around it could send it away"
                .into(),
        );
    }
    if opened.more_parts {
        warnings.push("the message has more parts, or deeper ones, than are looked at".into());
    }
    warnings
}

/// The layers, outermost first, with what opened those that are encrypted.
fn layers(opened: &Opened) -> Vec<Results> {
    let mut keys = opened.decrypted.iter();
    opened
        .layers
        .iter()
        .map(|layer| {
            let shown = verify::layer(layer);
            match layer.cipher.as_ref().and_then(|_| keys.next()) {
                Some(DecryptOutcome {
                    key_management,
                    certificate,
                    weak,
                    ..
                }) => shown
                    .with("key_management", *key_management)
                    .with(
                        "certificate",
                        format!("sha256:{}", certificate.sha256_hex()),
                    )
                    .with("weak", *weak),
                None => shown,
            }
        })
        .collect()
}

/// One line for a person.
fn summary(verdict: Verdict, opened: &Opened) -> String {
    let signed = match (verdict, opened.deciding()) {
        (Verdict::Good, Some(outcome)) => {
            format!("signed by {}", signer(outcome).unwrap_or_default())
        }
        (Verdict::NotSigned, _) | (_, None) => "not signed".into(),
        (Verdict::Bad, _) => "signed, and not to be believed".into(),
        (Verdict::Unknown, _) => "signed, and not verified".into(),
    };
    let ciphers: Vec<&str> = opened.decrypted.iter().map(|d| d.cipher.as_str()).collect();
    if ciphers.is_empty() {
        signed
    } else {
        format!("{signed}; encrypted ({})", ciphers.join(", "))
    }
}
