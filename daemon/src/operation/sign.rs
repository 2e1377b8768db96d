//! Signing, and signing with encryption around it.

use std::io::{Read, Write};
use std::sync::Arc;

use privyseal_pki::{ChainState, Usage};
use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::ess::{ReceiptRequest, SignEss};
use privyseal_smime::mime::CanonicalReader;
use privyseal_smime::{
    Certificate, DigestAlgorithm, Encryptor, Form, IncludeChain, KeyType, Profile, SignForm,
    SignOptions, SignResult,
};

use super::options as parse;
use super::results::Results;
use super::{Access, Environment, KeyUse, Options, encrypt, failure, key, now, purpose, select};
use crate::audit::Kind;
use crate::registry::OwnCertificate;

/// Certificates that travel with a signature besides the signer's.
const CHAIN_MAX: usize = 8;

pub fn sign(
    env: &Environment,
    o: &Options,
    access: Access<'_>,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let profile = env.writing(o)?;
    let own = select::signer(env, o, &profile)?;
    let format = o.format.unwrap_or_default();
    let mut input = Start::of(input).map_err(failure::of_io)?;
    let entity = input.is_entity() || format != Form::Smime;
    let form = o.form.unwrap_or(if format == Form::Smime {
        SignForm::Clear
    } else {
        SignForm::Opaque
    });
    let options = options(env, o, &own, (form, format), profile)?;
    let purpose = purpose::of_signing(&input.head, &[]);
    let made = make(&own, &options, access, &purpose, &mut input, output)?;
    output.flush().map_err(failure::of_io)?;
    Ok(results(env, &own, &made, entity).into_dict())
}

/// The signed entity becomes the content of the encrypted one; both in one pass.
pub fn sign_and_encrypt(
    env: &Environment,
    o: &Options,
    recipients: &[String],
    access: Access<'_>,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let profile = env.writing(o)?;
    let own = select::signer(env, o, &profile)?;
    let (recipients, warnings) = select::recipients(env, o, recipients, Some(&own), &profile)?;
    let form = o.form.unwrap_or_default();
    let signing = options(env, o, &own, (form, Form::Smime), profile.clone())?;
    let encrypting = encrypt::options(env, o, profile)?;
    let certificates: Vec<Certificate> = recipients.iter().map(|r| r.certificate.clone()).collect();
    let mut input = Start::of(input).map_err(failure::of_io)?;
    let entity = input.is_entity();
    let others = recipients.iter().filter(|recipient| !recipient.is_self);
    let to: Vec<String> = others
        .flat_map(|other| other.certificate.emails())
        .collect();
    let purpose = purpose::of_signing(&input.head, &to);
    access.unlock(&own, to_sign(&purpose))?;
    let mut encryptor =
        Encryptor::new(&mut *output, &certificates, &encrypting).map_err(failure::of_smime)?;
    let made = make(&own, &signing, access, &purpose, &mut input, &mut encryptor)?;
    let encrypted = encryptor.finish().map_err(failure::of_smime)?;
    output.flush().map_err(failure::of_io)?;
    let results = results(env, &own, &made, entity);
    Ok(encrypt::describe(results, &encrypted, &recipients, warnings).into_dict())
}

fn to_sign(purpose: &str) -> KeyUse<'_> {
    let kind = Kind::Sign;
    KeyUse { kind, purpose }
}

/// How the signature is made, known to be possible and allowed.
pub fn options(
    env: &Environment,
    o: &Options,
    own: &Arc<OwnCertificate>,
    (form, format): (SignForm, Form),
    profile: Arc<Profile>,
) -> Result<SignOptions, Failure> {
    if form == SignForm::Clear && format != Form::Smime {
        return Err(Failure::invalid(
            "the form `clear` exists as S/MIME only: choose opaque or detached for DER and PEM",
        ));
    }
    // a profile of the call comes with its own digest
    let configured = match o.profile {
        Some(_) => None,
        None => env.config.sign.digest.as_deref(),
    };
    let digest = match (o.digest, configured) {
        (Some(digest), _) => digest,
        (None, Some(name)) => parse::digest(name)?,
        (None, None) => profile.default_digest().ok_or_else(|| {
            Failure::new(
                ErrorName::PolicyDenied,
                format!("the profile {} signs nothing", profile.name()),
            )
        })?,
    };
    if o.pss == Some(true) && !matches!(own.certificate.key_type(), KeyType::Rsa(_)) {
        return Err(Failure::invalid(
            "RSASSA-PSS needs an RSA key, and the signer's is none",
        ));
    }
    if own.certificate.key_type() == KeyType::Ed25519
        && o.digest.is_some_and(|d| d != DigestAlgorithm::Sha512)
    {
        return Err(Failure::invalid(
            "Ed25519 goes with the digest sha512 only (RFC 8419): leave the option out",
        ));
    }
    let include = match o.include_chain {
        Some(include) => include,
        None => parse::include_chain(&env.config.sign.include_chain)?,
    };
    let signing_time = now();
    let options = SignOptions {
        form,
        format,
        canonicalize: o.canonicalize.unwrap_or(format == Form::Smime),
        digest,
        pss: o.pss.unwrap_or(profile.prefers_pss()),
        chain: chain(env, &own.certificate, include),
        signing_time,
        ess: SignEss {
            receipt_request: match o.request_receipt.as_slice() {
                [] => None,
                to => Some(
                    ReceiptRequest::new(&own.certificate, signing_time, to)
                        .map_err(failure::of_smime)?,
                ),
            },
            security_label: o.label.clone(),
        },
        encryption_certificate: (include != IncludeChain::Leaf)
            .then(|| select::encryption_certificate(env, own, &profile))
            .flatten(),
        content_hint: o.content_hint.clone(),
        profile,
    };
    privyseal_smime::check_signing(&own.certificate, &options).map_err(failure::of_smime)?;
    Ok(options)
}

fn make(
    own: &Arc<OwnCertificate>,
    options: &SignOptions,
    access: Access<'_>,
    purpose: &str,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<SignResult, Failure> {
    // before all of the input is read, and so without its digest: who waits for a large message must not miss the prompt
    access.unlock(own, to_sign(purpose))?;
    privyseal_smime::sign(
        input,
        output,
        &own.certificate,
        &key::TokenSigner::new(own, access, to_sign(purpose)),
        options,
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

pub fn results(
    env: &Environment,
    own: &OwnCertificate,
    made: &SignResult,
    entity: bool,
) -> Results {
    let judged = env.judge(&own.certificate, Usage::Sign);
    let mut warnings: Vec<String> = Vec::new();
    if !entity {
        warnings.push(
            "the input begins with no MIME header: a receiver will take its first line for one (begin it with \
             `Content-Type: text/plain` and an empty line)"
                .into(),
        );
    }
    if made.may_break {
        warnings.push(
            "what was signed is not 7bit (bytes above 127, or lines above 998): a relay that encodes it anew breaks the \
             signature (encode the parts quoted-printable or base64 first, or use the form opaque)"
                .into(),
        );
    }
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
        .with("profile", made.profile.clone())
        .with("digest", made.digest.name())
        .with("algorithm", made.algorithm)
        .with("content_length", made.content_len)
        .with("warnings", warnings)
}

/// A reader whose first bytes have been looked at.
struct Start<'a> {
    head: Vec<u8>,
    given: usize,
    rest: &'a mut dyn Read,
}

impl<'a> Start<'a> {
    /// As much as a header field's name may need.
    const LEN: u64 = 256;

    /// Reads the header section, as far as a prompt may show of it, where there is one.
    fn of(rest: &'a mut dyn Read) -> std::io::Result<Self> {
        let mut start = Start {
            head: Vec::new(),
            given: 0,
            rest,
        };
        loop {
            let before = start.head.len();
            let mut step = (&mut *start.rest).take(Self::LEN);
            let more = step.read_to_end(&mut start.head)?;
            let from = before.saturating_sub(3);
            let new = start.head.get(from..).unwrap_or_default();
            let ends = |end: &[u8]| new.windows(end.len()).any(|bytes| bytes == end);
            if more == 0
                || start.head.len() >= purpose::BEGINNING
                || ends(b"\n\n")
                || ends(b"\n\r\n")
                || !start.is_entity()
            {
                return Ok(start);
            }
        }
    }

    /// A MIME entity begins with a header field (RFC 5322 §2.2), or with the empty line that ends no headers.
    fn is_entity(&self) -> bool {
        let line = self.head.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        line.is_empty()
            || name.len() < line.len() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
    }
}

impl Read for Start<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.head.get(self.given..) {
            Some(mut left) if !left.is_empty() => {
                let count = left.read(buffer)?;
                self.given = self.given.saturating_add(count);
                Ok(count)
            }
            _ => self.rest.read(buffer),
        }
    }
}

/// Input as it goes into an encrypted entity.
pub fn canonical<'a>(input: &'a mut dyn Read, canonicalize: bool) -> Box<dyn Read + 'a> {
    if canonicalize {
        Box::new(CanonicalReader::new(input))
    } else {
        Box::new(input)
    }
}
