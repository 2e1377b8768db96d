//! Uses a private key, and signs with it.

use std::cell::Cell;
use std::sync::PoisonError;

use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::session::Session;
use der::asn1::UintRef;
use der::{Encode, Sequence};

use super::fault::Fault;
use super::module::Module;
use super::objects;
use super::public_key::PublicKey;
use super::token::{Key, Kind, Token};
use crate::error::{Error, Result};
use crate::protocol::PinForUse;
use crate::{Hash, KeyRef, MAX_MESSAGE, SignScheme};

/// Signs a ready digest, or, where the scheme has none, a message.
pub(super) fn sign(
    module: &Module,
    token: &Token,
    key: &KeyRef,
    scheme: SignScheme,
    digest: &[u8],
    pin: Option<PinForUse>,
) -> Result<Vec<u8>> {
    check_len(scheme, digest)?;
    use_key(
        module,
        token,
        key,
        pin,
        Sessions::Kept,
        |session, key, ready| {
            let name = mechanism_name(scheme);
            let asked = match scheme {
                SignScheme::RsaPss { hash, .. } => format!("{name} with {hash}"),
                _ => name.to_owned(),
            };
            if token.has_refused(&asked) {
                return Err(Error::UnsupportedAlgorithm(asked).into());
            }
            let attempt = match (scheme, key.kind) {
                (SignScheme::RsaPkcs1(hash), Kind::Rsa(len)) => {
                    let data = digest_info(hash, digest);
                    run(module, session, key, &Mechanism::RsaPkcs, &data, len, ready)
                }
                (SignScheme::RsaPss { hash, salt_len }, Kind::Rsa(len)) => {
                    let (hash_alg, mgf) = hash_and_mgf(hash);
                    let params = PkcsPssParams {
                        hash_alg,
                        mgf,
                        s_len: u64::from(salt_len).into(),
                    };
                    run(
                        module,
                        session,
                        key,
                        &Mechanism::RsaPkcsPss(params),
                        digest,
                        len,
                        ready,
                    )
                }
                (SignScheme::Ecdsa, Kind::Ec(len)) => {
                    // FIPS 186-5 §6.4.1: the leftmost bits; some tokens leave that to us
                    let digest = digest.get(..len).unwrap_or(digest);
                    run(
                        module,
                        session,
                        key,
                        &Mechanism::Ecdsa,
                        digest,
                        len.saturating_mul(2),
                        ready,
                    )
                    .and_then(|raw| ecdsa_sig_value(&raw))
                }
                (SignScheme::Eddsa, Kind::Edwards(len)) => run(
                    module,
                    session,
                    key,
                    &Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
                    digest,
                    len.saturating_mul(2),
                    ready,
                ),
                (SignScheme::MlDsa, Kind::MlDsa(len)) => {
                    let context = SignAdditionalContext::new(HedgeType::Preferred, None);
                    let mechanism = Mechanism::MlDsa(context);
                    run(module, session, key, &mechanism, digest, len, ready)
                }
                _ => Err(Error::UsageNotAllowed("the key is of another kind".into()).into()),
            };
            attempt.map_err(|fault| {
                if fault.is_refusal(token.lists(name)) {
                    token.remember_refusal(&asked);
                    Error::UnsupportedAlgorithm(asked).into()
                } else {
                    fault
                }
            })
        },
    )
}

/// What becomes of a session in which all went well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sessions {
    Kept,
    /// Closed as after a failure, so that both take the same time.
    Closed,
}

/// Says the PIN of an operation that was begun, if the key wants one.
pub(super) type Ready<'a> = &'a dyn Fn(&Session) -> Result<(), Fault>;

/// Runs `operation` with a session and the key's handle: at most twice, if the first had a handle that is no longer good.
pub(super) fn use_key<T>(
    module: &Module,
    token: &Token,
    wanted: &KeyRef,
    mut pin: Option<PinForUse>,
    sessions: Sessions,
    operation: impl Fn(&Session, Key, Ready<'_>) -> Result<T, Fault>,
) -> Result<T> {
    let _turn = token.gate.read().unwrap_or_else(PoisonError::into_inner);
    if token.needs_login() {
        return Err(Error::PinRequired);
    }
    // the PIN is none that was said for this use
    let mut kept = false;
    let pin_sent = Cell::new(false);
    let mut again = true;
    loop {
        // never a second C_Login for one entry
        let last = !std::mem::take(&mut again);
        let session = match token.session(&module.pkcs11) {
            Ok(session) => session,
            Err(fault) => return Err(module.judge(token, fault)),
        };
        let key = match find(token, &session, wanted) {
            Ok(Some(key)) => key,
            Ok(None) if last => {
                token.put_back(session);
                return Err(Error::NoSecretKey);
            }
            Ok(None) => continue,
            Err(fault) if fault.is_stale_session() && !last => {
                drop(session);
                token.drop_idle();
                continue;
            }
            Err(fault) => return Err(module.judge(token, fault)),
        };
        if key.always_authenticate {
            if pin.is_none() {
                pin = module.kept_pin(token);
                kept = true;
            }
            let checked = match &pin {
                Some(pin) => module.check_pin_for_use(token, pin),
                None => Err(Error::KeyPinRequired),
            };
            if let Err(error) = checked {
                token.put_back(session);
                return Err(match error {
                    // a person decides about the last try
                    Error::BadPinFinalTry if kept => {
                        token.drop_kept_pin();
                        Error::KeyPinRequired
                    }
                    other => other,
                });
            }
        }
        let ready = |session: &Session| match &pin {
            Some(_) if !key.always_authenticate => Ok(()),
            // an operation that is begun anew by another mechanism
            Some(_) if pin_sent.replace(true) => Err(Error::KeyPinRequired.into()),
            Some(pin) => module.log_in_for_use(token, session, pin),
            None => Ok(()),
        };
        match operation(&session, key, &ready) {
            Ok(value) => {
                module.count_success();
                if sessions == Sessions::Kept {
                    token.put_back(session);
                }
                return Ok(value);
            }
            Err(fault) => {
                // whatever it was, an operation may still be active in it
                drop(session);
                let stale = fault.is_stale_key() || fault.is_stale_session();
                if stale {
                    token.forget_key(wanted);
                    token.drop_idle();
                }
                if !stale || last || pin_sent.get() {
                    return Err(module.judge(token, fault));
                }
            }
        }
    }
}

/// Says the PIN for an operation that is begun and given up, so that it is known to be right and kept.
pub(super) fn keep_pin(
    module: &Module,
    token: &Token,
    key: &KeyRef,
    mut pin: PinForUse,
) -> Result<()> {
    // it is no use of the key
    if let Some(uses) = pin.keep.as_mut().and_then(|batch| batch.uses.as_mut()) {
        *uses = uses.saturating_add(1);
    }
    use_key(
        module,
        token,
        key,
        Some(pin),
        Sessions::Closed,
        |session, key, ready| {
            if !key.always_authenticate {
                let why = "it does not want its PIN at every use";
                return Err(Error::UsageNotAllowed(why.into()).into());
            }
            match key.kind {
                Kind::Rsa(_) => session
                    .sign_init(&Mechanism::RsaPkcs, key.handle)
                    .or_else(|_| session.decrypt_init(&Mechanism::RsaPkcs, key.handle))?,
                Kind::Ec(_) => session.sign_init(&Mechanism::Ecdsa, key.handle)?,
                Kind::Edwards(_) => {
                    let params = EddsaParams::new(EddsaSignatureScheme::Pure);
                    session.sign_init(&Mechanism::Eddsa(params), key.handle)?;
                }
                Kind::MlDsa(_) => {
                    let context = SignAdditionalContext::new(HedgeType::Preferred, None);
                    session.sign_init(&Mechanism::MlDsa(context), key.handle)?;
                }
                Kind::Montgomery(_) | Kind::MlKem(_) => {
                    let why = "no operation of it takes a PIN";
                    return Err(Error::UsageNotAllowed(why.into()).into());
                }
            }
            ready(session)
        },
    )
}

fn find(token: &Token, session: &Session, wanted: &KeyRef) -> Result<Option<Key>, Fault> {
    if let Some(key) = token.cached_key(wanted) {
        return Ok(Some(key));
    }
    let public = PublicKey::from_spki(&wanted.spki)
        .ok_or_else(|| Error::UnsupportedAlgorithm("keys of this kind".into()))?;
    let found = objects::find_key(session, wanted, &public)?;
    if let Some(key) = found {
        token.cache_key(wanted, key);
    }
    Ok(found)
}

fn run(
    module: &Module,
    session: &Session,
    key: Key,
    mechanism: &Mechanism<'_>,
    data: &[u8],
    room: usize,
    ready: Ready<'_>,
) -> Result<Vec<u8>, Fault> {
    session.sign_init(mechanism, key.handle)?;
    ready(session)?;
    let mut signature = vec![0; room];
    let len = module.raw.sign(session, data, &mut signature)?;
    signature.truncate(len);
    Ok(signature)
}

fn check_len(scheme: SignScheme, digest: &[u8]) -> Result<()> {
    let right = match scheme {
        SignScheme::RsaPkcs1(hash) | SignScheme::RsaPss { hash, .. } => {
            digest.len() == hash.digest_len()
        }
        SignScheme::Ecdsa => (20..=64).contains(&digest.len()),
        SignScheme::Eddsa | SignScheme::MlDsa => digest.len() <= MAX_MESSAGE,
    };
    right
        .then_some(())
        .ok_or_else(|| Error::UnsupportedAlgorithm(format!("{} bytes to sign", digest.len())))
}

fn mechanism_name(scheme: SignScheme) -> &'static str {
    match scheme {
        SignScheme::RsaPkcs1(_) => "CKM_RSA_PKCS",
        SignScheme::RsaPss { .. } => "CKM_RSA_PKCS_PSS",
        SignScheme::Ecdsa => "CKM_ECDSA",
        SignScheme::Eddsa => "CKM_EDDSA",
        SignScheme::MlDsa => "CKM_ML_DSA",
    }
}

/// PKCS#11's names of a hash and of MGF1 with it.
pub(super) fn hash_and_mgf(hash: Hash) -> (MechanismType, PkcsMgfType) {
    match hash {
        Hash::Sha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        Hash::Sha224 => (MechanismType::SHA224, PkcsMgfType::MGF1_SHA224),
        Hash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        Hash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        Hash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
    }
}

/// The DER of DigestInfo (RFC 8017 §9.2, note 1).
fn digest_info(hash: Hash, digest: &[u8]) -> Vec<u8> {
    const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let oid: Vec<u8> = match hash {
        Hash::Sha1 => vec![0x2b, 0x0e, 0x03, 0x02, 0x1a],
        Hash::Sha256 => [&SHA2[..], &[1]].concat(),
        Hash::Sha384 => [&SHA2[..], &[2]].concat(),
        Hash::Sha512 => [&SHA2[..], &[3]].concat(),
        Hash::Sha224 => [&SHA2[..], &[4]].concat(),
    };
    let algorithm = tlv(0x30, &[tlv(0x06, &oid), vec![0x05, 0x00]].concat());
    tlv(0x30, &[algorithm, tlv(0x04, digest)].concat())
}

/// A DER element shorter than 128 bytes, as all of a DigestInfo are.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = u8::try_from(value.len()).unwrap_or(0x7f);
    [&[tag, len], value].concat()
}

/// Ecdsa-Sig-Value (RFC 3279 §2.2.3) from PKCS#11's r and s, each half of the whole.
fn ecdsa_sig_value(raw: &[u8]) -> Result<Vec<u8>, Fault> {
    #[derive(Sequence)]
    struct EcdsaSigValue<'a> {
        r: UintRef<'a>,
        s: UintRef<'a>,
    }
    let encode = || {
        let (r, s) = raw.split_at_checked(raw.len() / 2)?;
        let (r, s) = (UintRef::new(r).ok()?, UintRef::new(s).ok()?);
        EcdsaSigValue { r, s }.to_der().ok()
    };
    encode().ok_or(Fault::Rv(RvError::SignatureInvalid, Function::Sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_infos_begin_as_rfc_8017_says() {
        for (hash, prefix) in [
            (Hash::Sha1, "3021300906052b0e03021a05000414"),
            (Hash::Sha224, "302d300d06096086480165030402040500041c"),
            (Hash::Sha256, "3031300d060960864801650304020105000420"),
            (Hash::Sha384, "3041300d060960864801650304020205000430"),
            (Hash::Sha512, "3051300d060960864801650304020305000440"),
        ] {
            let der = digest_info(hash, &vec![7; hash.digest_len()]);
            let hex: String = der.iter().map(|b| format!("{b:02x}")).collect();
            assert!(hex.starts_with(prefix), "{hash}: {hex}");
            assert_eq!(hex.len(), prefix.len() + 2 * hash.digest_len());
        }
    }

    #[test]
    fn ecdsa_values_are_minimal_positive_integers() {
        let Ok(der) = ecdsa_sig_value(&[0, 0, 0x80, 1, 0, 0, 0, 2]) else {
            panic!("not encoded");
        };
        assert_eq!(der, [0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 2]);
    }
}
