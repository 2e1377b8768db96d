//! Signing, and signing with encryption around it.

use std::io::{Read, Write};
use std::sync::Arc;

use privyseal_pki::{ChainState, Usage};
use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::mime::CanonicalReader;
use privyseal_smime::{
    Certificate, EncryptOptions, Encryptor, Form, IncludeChain, KeyType, SignForm, SignOptions,
    SignResult,
};

use super::results::Results;
use super::{Environment, Options, Unlock, encrypt, failure, key, now, options, select};
use crate::registry::OwnCertificate;

/// Certificates that travel with a signature besides the signer's.
const CHAIN_MAX: usize = 8;

pub fn sign(
    env: &Environment,
    o: &Options,
    unlock: Unlock<'_>,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let own = select::signer(env, o)?;
    let format = o.format.unwrap_or_default();
    let form = o.form.unwrap_or(if format == Form::Smime {
        SignForm::Clear
    } else {
        SignForm::Opaque
    });
    let made = make(env, o, &own, (form, format), unlock, input, output)?;
    output.flush().map_err(failure::of_io)?;
    Ok(results(env, &own, &made).into_dict())
}

/// The signed entity becomes the content of the encrypted one; both in one pass.
pub fn sign_and_encrypt(
    env: &Environment,
    o: &Options,
    recipients: &[String],
    unlock: Unlock<'_>,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let own = select::signer(env, o)?;
    let (recipients, warnings) = select::recipients(env, o, recipients, Some(&own))?;
    let options = EncryptOptions {
        cipher: encrypt::cipher(env, o)?,
        oaep: o.oaep,
        format: o.format.unwrap_or_default(),
    };
    let certificates: Vec<Certificate> = recipients.iter().map(|r| r.certificate.clone()).collect();
    unlock(&own, PURPOSE)?;
    let mut encryptor =
        Encryptor::new(&mut *output, &certificates, &options).map_err(failure::of_smime)?;
    let form = o.form.unwrap_or_default();
    let made = make(
        env,
        o,
        &own,
        (form, Form::Smime),
        unlock,
        input,
        &mut encryptor,
    )?;
    let encrypted = encryptor.finish().map_err(failure::of_smime)?;
    output.flush().map_err(failure::of_io)?;
    let results = results(env, &own, &made);
    Ok(encrypt::describe(results, &encrypted, &recipients, warnings).into_dict())
}

const PURPOSE: &str = "sign a message";

fn make(
    env: &Environment,
    o: &Options,
    own: &Arc<OwnCertificate>,
    (form, format): (SignForm, Form),
    unlock: Unlock<'_>,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<SignResult, Failure> {
    if form == SignForm::Clear && format != Form::Smime {
        return Err(Failure::invalid(
            "the form `clear` exists as S/MIME only: choose opaque or detached for DER and PEM",
        ));
    }
    let digest = match o.digest {
        Some(digest) => digest,
        None => options::digest(&env.config.sign.digest)?,
    };
    if o.pss && !matches!(own.certificate.key_type(), KeyType::Rsa(_)) {
        return Err(Failure::invalid(
            "RSASSA-PSS needs an RSA key, and the signer's is none",
        ));
    }
    let include = match o.include_chain {
        Some(include) => include,
        None => options::include_chain(&env.config.sign.include_chain)?,
    };
    // before the input is touched: a person may have to type
    unlock(own, PURPOSE)?;
    let options = SignOptions {
        form,
        format,
        canonicalize: o.canonicalize.unwrap_or(format == Form::Smime),
        digest,
        pss: o.pss,
        chain: chain(env, &own.certificate, include),
        signing_time: now(),
    };
    privyseal_smime::sign(
        input,
        output,
        &own.certificate,
        &key::TokenSigner(own),
        &options,
    )
    .map_err(failure::of_smime)
}

/// The issuers above a certificate, by name, as far as they are at hand.
fn chain(env: &Environment, leaf: &Certificate, include: IncludeChain) -> Vec<Certificate> {
    if include == IncludeChain::Leaf {
        return Vec::new();
    }
    // a judged path is the right one where several issuers bear one name
    let judged = env.judge(leaf, Usage::Sign);
    let mut path: Vec<Certificate> = judged.path.iter().skip(1).cloned().collect();
    if path.is_empty() {
        let known = env.helpers(&env.anchors.certificates().cloned().collect::<Vec<_>>());
        let mut current = leaf.clone();
        while path.len() < CHAIN_MAX && !current.is_self_issued() {
            let issuer = current.issuer_der();
            let Some(above) = known
                .iter()
                .find(|c| c.is_ca() && c.subject_der() == issuer)
            else {
                break;
            };
            path.push(above.clone());
            current = above.clone();
        }
    }
    if include == IncludeChain::NoRoot {
        path.retain(|c| !c.is_self_issued());
    }
    path.truncate(CHAIN_MAX);
    path
}

fn results(env: &Environment, own: &OwnCertificate, made: &SignResult) -> Results {
    let judged = env.judge(&own.certificate, Usage::Sign);
    let mut warnings: Vec<String> = Vec::new();
    if judged.chain != ChainState::Valid {
        let reason = judged.error.as_deref().unwrap_or("unknown");
        warnings.push(format!(
            "receivers may not trust this signature: the signer's path is not valid here ({reason})"
        ));
    }
    Results::new()
        .with(
            "certificate",
            format!("sha256:{}", own.certificate.sha256_hex()),
        )
        .with("signer", own.certificate.subject())
        .with("digest", made.digest.name())
        .with("algorithm", made.algorithm)
        .with("content_length", made.content_len)
        .with("warnings", warnings)
}

/// Refuses digests that are too weak to sign with.
pub fn strong(
    digest: privyseal_smime::DigestAlgorithm,
) -> Result<privyseal_smime::DigestAlgorithm, Failure> {
    if digest.is_weak() {
        return Err(Failure::new(
            ErrorName::WeakAlgorithm,
            format!("{} is too weak to sign with", digest.name()),
        ));
    }
    Ok(digest)
}

/// Input as it goes into an encrypted entity.
pub fn canonical<'a>(input: &'a mut dyn Read, canonicalize: bool) -> Box<dyn Read + 'a> {
    if canonicalize {
        Box::new(CanonicalReader::new(input))
    } else {
        Box::new(input)
    }
}
