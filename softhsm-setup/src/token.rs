//! SoftHSM through PKCS#11: a token is initialised, keys are generated or imported, certificates written.

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{
    Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle,
};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use der::asn1::{OctetString, UintRef};
use der::{Decode, Encode};
use rsa::pkcs1::RsaPublicKey;
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::Certificate;

use crate::error::Error;
use crate::pem::{CURVE_P256, PrivateKey, oid_der};
use crate::pki::{Usage, key_id};

/// Label of the token that `init` makes.
pub const LABEL: &str = "privyseal-demo";
/// SO PIN of the demo token. No secret: it guards test keys in the user's own folder.
const SO_PIN: &str = "privyseal-demo-so";

/// Where distributions put SoftHSM.
const MODULES: [&str; 6] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

pub fn module_path(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    given
        .into_iter()
        .chain(MODULES.iter().map(PathBuf::from))
        .find_map(|path| path.canonicalize().ok())
        .ok_or(Error::NoSoftHsm)
}

/// The kinds of keys that `init` makes on the token.
#[derive(Debug, Clone, Copy)]
pub enum Algorithm {
    Rsa2048,
    P256,
}

/// A session with the token, logged in.
pub struct Token {
    session: Session,
    context: Pkcs11,
}

impl Token {
    /// Initialises SoftHSM's free slot as a token named [`LABEL`] and logs in.
    pub fn create(module: &Path, pin: &str) -> Result<Self, Error> {
        let context = load(module)?;
        // SoftHSM always shows one slot whose token is not initialised
        let slot = find_slot(&context, |info| !info.token_initialized())?
            .ok_or_else(|| Error::Usage("SoftHSM shows no free slot".into()))?;
        context.init_token(slot, &auth(SO_PIN), LABEL)?;
        set_user_pin(&context, pin)?;
        Self::log_in(context, pin)
    }

    /// Opens the token that is there.
    pub fn open(module: &Path, pin: &str) -> Result<Self, Error> {
        Self::log_in(load(module)?, pin)
    }

    /// Gives the token a new user PIN by the SO's right, and opens it with that.
    pub fn open_with_new_pin(module: &Path, pin: &str) -> Result<Self, Error> {
        let context = load(module)?;
        set_user_pin(&context, pin)?;
        Self::log_in(context, pin)
    }

    fn log_in(context: Pkcs11, pin: &str) -> Result<Self, Error> {
        let session = context.open_rw_session(demo_slot(&context)?)?;
        session.login(UserType::User, Some(&auth(pin)))?;
        Ok(Token { session, context })
    }

    /// Generates a key pair on the token; the private half is sensitive and never extractable.
    pub fn generate(
        &self,
        algorithm: Algorithm,
        usage: Usage,
        label: &str,
    ) -> Result<SubjectPublicKeyInfoOwned, Error> {
        let (sign, open) = (
            !matches!(usage, Usage::Encrypt),
            !matches!(usage, Usage::Sign),
        );
        let mut public = vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Label(label.into()),
            Attribute::Verify(sign),
        ];
        let rsa = matches!(algorithm, Algorithm::Rsa2048);
        let private = private_template(label, sign, rsa && open, !rsa && open);
        let mechanism = match algorithm {
            Algorithm::Rsa2048 => {
                public.push(Attribute::ModulusBits(2048.into()));
                public.push(Attribute::PublicExponent(vec![1, 0, 1]));
                public.push(Attribute::Encrypt(open));
                Mechanism::RsaPkcsKeyPairGen
            }
            Algorithm::P256 => {
                public.push(Attribute::EcParams(oid_der(CURVE_P256)?));
                public.push(Attribute::Encrypt(false));
                Mechanism::EccKeyPairGen
            }
        };
        let (public, private) = self
            .session
            .generate_key_pair(&mechanism, &public, &private)?;
        let spki = self.public_key(public, algorithm)?;
        let id = [Attribute::Id(key_id(&spki)?)];
        self.session.update_attributes(public, &id)?;
        self.session.update_attributes(private, &id)?;
        Ok(spki)
    }

    fn public_key(
        &self,
        public: ObjectHandle,
        algorithm: Algorithm,
    ) -> Result<SubjectPublicKeyInfoOwned, Error> {
        let missing = || Error::pki("the token does not show the public key");
        match algorithm {
            Algorithm::Rsa2048 => {
                let asked = [AttributeType::Modulus, AttributeType::PublicExponent];
                let (mut n, mut e) = (None, None);
                for attribute in self.session.get_attributes(public, &asked)? {
                    match attribute {
                        Attribute::Modulus(bytes) => n = Some(bytes),
                        Attribute::PublicExponent(bytes) => e = Some(bytes),
                        _ => {}
                    }
                }
                let (n, e) = n.zip(e).ok_or_else(missing)?;
                let key = RsaPublicKey {
                    modulus: UintRef::new(&n).map_err(Error::pki)?,
                    public_exponent: UintRef::new(&e).map_err(Error::pki)?,
                };
                let algorithm = spki::AlgorithmIdentifierOwned {
                    oid: const_oid::db::rfc5912::RSA_ENCRYPTION,
                    parameters: Some(der::asn1::Null.into()),
                };
                let bits = key.to_der().map_err(Error::pki)?;
                Ok(SubjectPublicKeyInfoOwned {
                    algorithm,
                    subject_public_key: der::asn1::BitString::from_bytes(&bits)
                        .map_err(Error::pki)?,
                })
            }
            Algorithm::P256 => {
                let found = self
                    .session
                    .get_attributes(public, &[AttributeType::EcPoint])?;
                let Some(Attribute::EcPoint(wrapped)) = found.into_iter().next() else {
                    return Err(missing());
                };
                let point = OctetString::from_der(&wrapped).map_err(Error::pki)?;
                let key = p256::PublicKey::from_sec1_bytes(point.as_bytes()).map_err(Error::pki)?;
                SubjectPublicKeyInfoOwned::from_key(&key).map_err(Error::pki)
            }
        }
    }

    /// Brings a private key to the token, with its public half. False: a key with this id is there already.
    pub fn import_key(&self, key: &PrivateKey, id: &[u8], label: &str) -> Result<bool, Error> {
        let there = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Id(id.to_vec()),
        ];
        if !self.session.find_objects(&there)?.is_empty() {
            return Ok(false);
        }
        let (sign, decrypt, derive) = key.usages();
        let mut private = private_template(label, sign, decrypt, derive);
        private.extend([
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Id(id.to_vec()),
        ]);
        let mut public = vec![
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Label(label.into()),
            Attribute::Id(id.to_vec()),
            Attribute::Verify(sign),
        ];
        match key {
            PrivateKey::Rsa {
                n,
                e,
                d,
                p,
                q,
                dp,
                dq,
                qinv,
            } => {
                let shared = [
                    Attribute::KeyType(KeyType::RSA),
                    Attribute::Modulus(n.clone()),
                    Attribute::PublicExponent(e.clone()),
                ];
                public.extend(shared.clone());
                public.push(Attribute::Encrypt(true));
                private.extend(shared);
                private.extend([
                    Attribute::PrivateExponent(d.to_vec()),
                    Attribute::Prime1(p.to_vec()),
                    Attribute::Prime2(q.to_vec()),
                    Attribute::Exponent1(dp.to_vec()),
                    Attribute::Exponent2(dq.to_vec()),
                    Attribute::Coefficient(qinv.to_vec()),
                ]);
            }
            PrivateKey::Ec {
                curve,
                scalar,
                point,
            } => {
                let shared = [
                    Attribute::KeyType(KeyType::EC),
                    Attribute::EcParams(oid_der(*curve)?),
                ];
                public.extend(shared.clone());
                let wrapped = OctetString::new(point.as_slice()).and_then(|o| o.to_der());
                public.push(Attribute::EcPoint(wrapped.map_err(Error::pki)?));
                private.extend(shared);
                private.push(Attribute::Value(scalar.to_vec()));
            }
            PrivateKey::Edwards {
                curve,
                secret,
                public: point,
            } => {
                // SoftHSM has X25519 under this type too
                let shared = [
                    Attribute::KeyType(KeyType::EC_EDWARDS),
                    Attribute::EcParams(oid_der(*curve)?),
                ];
                public.extend(shared.clone());
                let wrapped = OctetString::new(point.as_slice()).and_then(|o| o.to_der());
                public.push(Attribute::EcPoint(wrapped.map_err(Error::pki)?));
                private.extend(shared);
                private.push(Attribute::Value(secret.to_vec()));
            }
        }
        self.session.create_object(&public)?;
        self.session.create_object(&private)?;
        Ok(true)
    }

    /// Writes a certificate beside its key. False: the same certificate is there already.
    pub fn write_certificate(
        &self,
        certificate: &Certificate,
        id: &[u8],
        label: &str,
    ) -> Result<bool, Error> {
        let tbs = certificate.tbs_certificate();
        let der = certificate.to_der().map_err(Error::pki)?;
        let same = [
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::Value(der.clone()),
        ];
        if !self.session.find_objects(&same)?.is_empty() {
            return Ok(false);
        }
        self.session.create_object(&[
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Label(label.into()),
            Attribute::Id(id.to_vec()),
            Attribute::Subject(tbs.subject().to_der().map_err(Error::pki)?),
            Attribute::Issuer(tbs.issuer().to_der().map_err(Error::pki)?),
            Attribute::SerialNumber(tbs.serial_number().to_der().map_err(Error::pki)?),
            Attribute::Value(der),
        ])?;
        Ok(true)
    }

    /// Logs out and unloads, so that everything lies in the files.
    pub fn close(self) -> Result<(), Error> {
        self.session.logout()?;
        self.session.close()?;
        self.context.finalize()?;
        Ok(())
    }
}

/// Says every usage outright: SoftHSM's defaults would allow decryption and unwrapping with any key.
fn private_template(label: &str, sign: bool, decrypt: bool, derive: bool) -> Vec<Attribute> {
    vec![
        Attribute::Sign(sign),
        Attribute::Decrypt(decrypt),
        Attribute::Derive(derive),
        Attribute::Unwrap(false),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Label(label.into()),
    ]
}

fn load(module: &Path) -> Result<Pkcs11, Error> {
    let context = Pkcs11::new(module)?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    Ok(context)
}

fn auth(pin: &str) -> AuthPin {
    AuthPin::new(pin.into())
}

fn set_user_pin(context: &Pkcs11, pin: &str) -> Result<(), Error> {
    let session = context.open_rw_session(demo_slot(context)?)?;
    session.login(UserType::So, Some(&auth(SO_PIN)))?;
    session.init_pin(&auth(pin))?;
    session.logout()?;
    session.close()?;
    Ok(())
}

/// Slot numbers change when SoftHSM initialises a token: look it up by label.
fn demo_slot(context: &Pkcs11) -> Result<Slot, Error> {
    find_slot(context, |info| {
        info.token_initialized() && info.label() == LABEL
    })?
    .ok_or_else(|| Error::NoToken {
        label: LABEL.into(),
        dir: std::env::var("SOFTHSM2_CONF").unwrap_or_default(),
    })
}

fn find_slot(
    context: &Pkcs11,
    wanted: impl Fn(&cryptoki::slot::TokenInfo) -> bool,
) -> Result<Option<Slot>, Error> {
    for slot in context.get_slots_with_token()? {
        if wanted(&context.get_token_info(slot)?) {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}
