//! Encrypting and decrypting.

use std::io::{Read, Write};
use std::sync::Arc;

use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::{
    Certificate, Cipher, DecryptOutcome, EncryptOptions, EncryptResult, Form, Input, Profile,
};

use super::purpose::Noted;
use super::results::Results;
use super::select::{self, Recipient};
use super::{Access, Environment, Options, failure, key, sign};

pub fn encrypt(
    env: &Environment,
    o: &Options,
    recipients: &[String],
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let profile = env.writing(o)?;
    let (recipients, warnings) = select::recipients(env, o, recipients, None, &profile)?;
    let format = o.format.unwrap_or_default();
    let options = options(env, o, profile)?;
    let certificates: Vec<Certificate> = recipients.iter().map(|r| r.certificate.clone()).collect();
    let mut input = sign::canonical(input, o.canonicalize.unwrap_or(format == Form::Smime));
    let made = privyseal_smime::encrypt(&mut input, output, &certificates, &options)
        .map_err(failure::of_smime)?;
    output.flush().map_err(failure::of_io)?;
    Ok(describe(Results::new(), &made, &recipients, warnings).into_dict())
}

pub fn decrypt(
    env: &Environment,
    o: &Options,
    access: Access<'_>,
    message: &mut dyn Input,
    output: &mut dyn Write,
) -> Result<Dict, Failure> {
    let profile = env.reading(o)?;
    let mut message = Noted::new(message);
    let beginning = message.beginning();
    let purpose = || beginning.purpose();
    let opener = key::TokenOpener::new(env.registry.certificates(), &env.people, access, &purpose);
    let opened = privyseal_smime::decrypt_with(&mut message, &opener, &profile, output)
        .map_err(failure::of_smime)?;
    output.flush().map_err(failure::of_io)?;
    let warnings = warnings(&opened);
    Ok(Results::new()
        .with("cipher", opened.cipher)
        .with("authenticated", opened.authenticated)
        .with("key_management", opened.key_management)
        .with(
            "certificate",
            format!("sha256:{}", opened.certificate.sha256_hex()),
        )
        .with("weak", opened.weak)
        .with("recipients", opened.recipients)
        .with("warnings", warnings)
        .into_dict())
}

/// What to tell a person of an encrypted layer.
pub fn warnings(opened: &DecryptOutcome) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    if !opened.authenticated {
        warnings.push(format!(
            "{} does not authenticate: the text may have been changed on its way",
            opened.cipher
        ));
    }
    if opened.weak {
        warnings.push(
            "the cipher or the key it was sent with is weak: others may be able to read it"
                .to_owned(),
        );
    }
    warnings
}

/// As the caller wants it, else the configuration, else the profile.
pub fn options(
    env: &Environment,
    o: &Options,
    profile: Arc<Profile>,
) -> Result<EncryptOptions, Failure> {
    // a profile of the call comes with its own ways: the configuration's cipher was chosen for another
    let configured = match o.profile {
        Some(_) => None,
        None => env.config.encrypt.cipher.as_deref(),
    };
    let cipher = o
        .cipher
        .or_else(|| configured.and_then(Cipher::from_name))
        .or_else(|| profile.default_cipher());
    let cipher = cipher.ok_or_else(|| {
        Failure::new(
            ErrorName::PolicyDenied,
            format!("the profile {} encrypts nothing", profile.name()),
        )
    })?;
    profile.writes_cipher(cipher).map_err(failure::of_smime)?;
    Ok(EncryptOptions {
        cipher,
        oaep: o.oaep.unwrap_or(profile.prefers_oaep()),
        format: o.format.unwrap_or_default(),
        profile,
    })
}

/// Adds what was made to results that may hold a signature's already.
pub fn describe(
    results: Results,
    made: &EncryptResult,
    recipients: &[Recipient],
    warnings: Vec<String>,
) -> Results {
    let list = recipients
        .iter()
        .map(|r| {
            Results::new()
                .with(
                    "certificate",
                    format!("sha256:{}", r.certificate.sha256_hex()),
                )
                .with("emails", r.certificate.emails())
                .with("self", r.is_self)
        })
        .collect();
    results
        .with("profile", made.profile.clone())
        .with("cipher", made.cipher.name())
        .with("authenticated", made.cipher.is_authenticated())
        .with_list("recipients", list)
        .add_warnings(warnings)
}
