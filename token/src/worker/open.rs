//! Opens wrapped keys and derives shared secrets.
//!
//! How a wrapped key was bad does not show (design rule 9): a random key is made before the token sees anything, and comes
//! back instead, in the same time. Those failures say nothing about the token's health.

use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::rsa::{PkcsOaepParams, PkcsOaepSource};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::fault::Fault;
use super::module::Module;
use super::oaep;
use super::sign::{Ready, Sessions, hash_and_mgf, use_key};
use super::token::{Key, Kind, Token, lock};
use crate::error::{Error, Result};
use crate::protocol::PinForUse;
use crate::{Hash, KeyRef, UnwrapScheme};

/// Opens an RSA-wrapped key.
pub(super) fn unwrap(
    module: &Module,
    token: &Token,
    key: &KeyRef,
    scheme: &UnwrapScheme,
    wrapped: &[u8],
    expected_len: usize,
    pin: Option<PinForUse>,
) -> Result<Zeroizing<Vec<u8>>> {
    use_key(
        module,
        token,
        key,
        pin,
        Sessions::Closed,
        |session, key, ready| {
            let Kind::Rsa(modulus_len) = key.kind else {
                return Err(Error::UsageNotAllowed("the key is of another kind".into()).into());
            };
            let opener = Opener {
                module,
                token,
                session,
                key,
                ready,
                modulus_len,
                expected_len,
            };
            match scheme {
                UnwrapScheme::RsaPkcs1 => opener.pkcs1(wrapped),
                UnwrapScheme::RsaOaep { hash, mgf, label } => {
                    opener.oaep(wrapped, *hash, *mgf, label)
                }
            }
        },
    )
}

struct Opener<'a> {
    module: &'a Module,
    token: &'a Token,
    session: &'a Session,
    key: Key,
    ready: Ready<'a>,
    modulus_len: usize,
    expected_len: usize,
}

/// What C_Decrypt wrote, and how much of it; `None`: it failed for a reason that does not show.
type Decrypted = (Zeroizing<Vec<u8>>, Option<usize>);

impl Opener<'_> {
    fn pkcs1(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        const NAME: &str = "CKM_RSA_PKCS";
        self.refuse_known(NAME)?;
        let substitute = self.substitute()?;
        let decrypted = self
            .decrypt(&Mechanism::RsaPkcs, wrapped)
            .map_err(|fault| self.refusal(fault, NAME, NAME))?;
        Ok(self.pick(decrypted, substitute))
    }

    fn oaep(
        &self,
        wrapped: &[u8],
        hash: Hash,
        mgf: Hash,
        label: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        const NAME: &str = "CKM_RSA_PKCS_OAEP";
        let labelled = if label.is_empty() { "" } else { " and a label" };
        let asked = format!("{NAME} with {hash}, MGF1 with {mgf}{labelled}");
        if !label.is_empty() {
            // SoftHSM 2.6 takes a label and decodes without it: the token's own OAEP only where it has no raw RSA
            match self.oaep_in_software(wrapped, hash, mgf, label, &asked) {
                Err(Fault::Told(Error::UnsupportedAlgorithm(_))) => {}
                done => return done,
            }
        }
        if !self.token.has_refused(&asked) {
            let substitute = self.substitute()?;
            let source = if label.is_empty() {
                PkcsOaepSource::empty()
            } else {
                PkcsOaepSource::data_specified(label)
            };
            let params = PkcsOaepParams::new(hash_and_mgf(hash).0, hash_and_mgf(mgf).1, source);
            match self.decrypt(&Mechanism::RsaPkcsOaep(params), wrapped) {
                Ok(decrypted) => return Ok(self.pick(decrypted, substitute)),
                Err(fault) if fault.is_refusal(self.token.lists(NAME)) => {
                    self.token.remember_refusal(&asked);
                }
                Err(fault) => return Err(fault),
            }
        }
        self.oaep_in_software(wrapped, hash, mgf, label, &asked)
    }

    fn oaep_in_software(
        &self,
        wrapped: &[u8],
        hash: Hash,
        mgf: Hash,
        label: &[u8],
        asked: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        const NAME: &str = "CKM_RSA_X_509";
        let missing = format!("{asked}, and {NAME} instead");
        self.refuse_known(&missing)?;
        let mut substitute = self.substitute()?;
        // a refused C_DecryptInit has left this session without an operation
        let (mut block, len) = self
            .decrypt(&Mechanism::RsaX509, wrapped)
            .map_err(|fault| self.refusal(fault, NAME, &missing))?;
        // a raw result is as long as the modulus; tokens that drop leading zeros are moved right
        let len = len.unwrap_or(0);
        let short = block.len().saturating_sub(len);
        block.rotate_right(short);
        let good = oaep::decode(&mut block, hash, mgf, label, self.expected_len);
        oaep::select(
            good & Choice::from(u8::from(len > 0)),
            &block,
            &mut substitute,
        );
        Ok(substitute)
    }

    /// Init and C_Decrypt. Errors: those of the device, the session, the login, the key and the mechanism.
    fn decrypt(&self, mechanism: &Mechanism<'_>, wrapped: &[u8]) -> Result<Decrypted, Fault> {
        // shorter: leading zeros were dropped (RFC 8017 §4.1); longer: never right, and not shown to the token
        let fits = wrapped.len() <= self.modulus_len;
        let mut padded = vec![0; self.modulus_len];
        let start = self.modulus_len.saturating_sub(wrapped.len());
        if let Some(end) = padded.get_mut(start..).filter(|_| fits) {
            end.copy_from_slice(wrapped);
        }
        self.session.decrypt_init(mechanism, self.key.handle)?;
        (self.ready)(self.session)?;
        let mut plain = Zeroizing::new(vec![0; self.modulus_len]);
        if !fits {
            return Ok((plain, None));
        }
        match self.module.raw.decrypt(self.session, &padded, &mut plain) {
            Ok(len) => Ok((plain, Some(len))),
            Err(fault) if fault.is_environmental() || fault.is_refusal(true) => Err(fault),
            Err(_) => Ok((plain, None)),
        }
    }

    fn substitute(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut key = Zeroizing::new(vec![0; self.expected_len]);
        getrandom::fill(&mut key).map_err(|e| Error::TokenError(format!("no randomness: {e}")))?;
        Ok(key)
    }

    /// The decrypted key if it has the expected length, else the substitute.
    fn pick(&self, (mut plain, len): Decrypted, mut key: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
        let wrote = len.unwrap_or(usize::MAX);
        let good = wrote.ct_eq(&self.expected_len);
        // `select` takes the end of the block; more than the modulus holds is nothing
        if self.expected_len <= plain.len() {
            plain.truncate(self.expected_len);
        }
        oaep::select(good, &plain, &mut key);
        key
    }

    fn refuse_known(&self, what: &str) -> Result<(), Fault> {
        if self.token.has_refused(what) {
            return Err(Error::UnsupportedAlgorithm(what.to_owned()).into());
        }
        Ok(())
    }

    fn refusal(&self, fault: Fault, name: &str, what: &str) -> Fault {
        if fault.is_refusal(self.token.lists(name)) {
            self.token.remember_refusal(what);
            return Error::UnsupportedAlgorithm(what.to_owned()).into();
        }
        fault
    }
}

/// The x coordinate that the key and the other side's point share; of X25519 the 32 bytes of RFC 7748 §5.
pub(super) fn ecdh(
    module: &Module,
    token: &Token,
    key: &KeyRef,
    point: &[u8],
    pin: Option<PinForUse>,
) -> Result<Zeroizing<Vec<u8>>> {
    const NAME: &str = "CKM_ECDH1_DERIVE";
    use_key(
        module,
        token,
        key,
        pin,
        Sessions::Kept,
        |session, key, ready| {
            let (len, fits) = match key.kind {
                Kind::Ec(len) => {
                    let uncompressed = len.saturating_mul(2).saturating_add(1);
                    (
                        len,
                        point.len() == uncompressed && point.first() == Some(&4),
                    )
                }
                Kind::Montgomery(len) => (len, point.len() == len),
                _ => {
                    return Err(Error::UsageNotAllowed("the key is of another kind".into()).into());
                }
            };
            if !fits {
                return Err(Error::UnsupportedAlgorithm(
                    "a point that is not one of the key's curve, uncompressed".into(),
                )
                .into());
            }
            if token.has_refused(NAME) {
                return Err(Error::UnsupportedAlgorithm(NAME.into()).into());
            }
            without_init(ready, session)?;
            let der_first = lock(&token.state).der_points;
            let mut result = derive(module, session, key, &encoded(point, der_first), len);
            // PKCS#11 v2.40 §2.3.8 wants the bare point; some tokens want CKA_EC_POINT's form
            if let Err(Fault::Rv(
                RvError::MechanismParamInvalid
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::ArgumentsBad,
                _,
            )) = &result
            {
                result = derive(module, session, key, &encoded(point, !der_first), len);
                if result.is_ok() {
                    lock(&token.state).der_points = !der_first;
                }
            }
            result.map_err(|fault| match fault {
                Fault::Rv(RvError::MechanismInvalid | RvError::FunctionNotSupported, _) => {
                    token.remember_refusal(NAME);
                    Error::UnsupportedAlgorithm(NAME.into()).into()
                }
                other => other,
            })
        },
    )
}

/// The shared secret in an ML-KEM ciphertext, 32 bytes. One that was tampered with gives another secret, and no error
/// (FIPS 203 §6.3: implicit rejection).
pub(super) fn decapsulate(
    module: &Module,
    token: &Token,
    key: &KeyRef,
    ciphertext: &[u8],
    pin: Option<PinForUse>,
) -> Result<Zeroizing<Vec<u8>>> {
    const NAME: &str = "CKM_ML_KEM";
    const SECRET: usize = 32;
    use_key(
        module,
        token,
        key,
        pin,
        Sessions::Kept,
        |session, key, ready| {
            let Kind::MlKem(len) = key.kind else {
                return Err(Error::UsageNotAllowed("the key is of another kind".into()).into());
            };
            if ciphertext.len() != len {
                return Err(Error::UnsupportedAlgorithm(
                    "a ciphertext of another parameter set".into(),
                )
                .into());
            }
            if token.has_refused(NAME) || !module.pkcs11.is_fn_supported(Function::DecapsulateKey) {
                return Err(Error::UnsupportedAlgorithm(NAME.into()).into());
            }
            without_init(ready, session)?;
            let shared = session.decapsulate_key(
                &Mechanism::MlKem,
                key.handle,
                &readable_secret(SECRET),
                ciphertext,
            );
            match shared.map_err(Fault::from) {
                Ok(shared) => value_of(module, session, shared, SECRET),
                Err(fault) if fault.is_refusal(token.lists(NAME)) => {
                    token.remember_refusal(NAME);
                    Err(Error::UnsupportedAlgorithm(NAME.into()).into())
                }
                Err(fault) => Err(fault),
            }
        },
    )
}

/// Says the PIN of an operation that has no beginning: PKCS#11 has a context-specific login for those that do. OpenSC takes it all the
/// same, and its card wants it; a token that does not has no use for a PIN here.
fn without_init(ready: Ready<'_>, session: &Session) -> Result<(), Fault> {
    match ready(session) {
        Err(Fault::Rv(RvError::OperationNotInitialized, _)) => Ok(()),
        other => other,
    }
}

fn encoded(point: &[u8], der: bool) -> Vec<u8> {
    match u8::try_from(point.len()) {
        Ok(len) if der && len < 0x80 => [&[4, len], point].concat(),
        Ok(len) if der => [&[4, 0x81, len], point].concat(),
        _ => point.to_vec(),
    }
}

fn derive(
    module: &Module,
    session: &Session,
    key: Key,
    point: &[u8],
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // KDFs other than CKD_NULL are refused, or silently ignored (OpenSC): that is done in software
    let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), point));
    let shared = session.derive_key(&mechanism, key.handle, &readable_secret(len))?;
    value_of(module, session, shared, len)
}

/// A session object that holds a derived secret of `len` bytes and gives it away.
fn readable_secret(len: usize) -> [Attribute; 6] {
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Token(false),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
        Attribute::ValueLen(u64::try_from(len).unwrap_or(0).into()),
    ]
}

/// Reads the secret and destroys its object.
fn value_of(
    module: &Module,
    session: &Session,
    shared: ObjectHandle,
    len: usize,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut secret = Zeroizing::new(vec![0; len]);
    let read = module.raw.derived_value(session, shared, &mut secret);
    session.destroy_object(shared)?;
    let short = len.saturating_sub(read?);
    // leading zeros that a token has dropped
    secret.rotate_right(short);
    Ok(secret)
}
