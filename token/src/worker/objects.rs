//! Looks at a token's objects: certificates and the private keys that belong to them.
//!
//! Of a private key only the attributes in `PRIVATE` and `LATTICE_PRIVATE` are ever asked for (design rule 1).

use cryptoki::object::{
    Attribute, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle, ParameterSetType,
};
use cryptoki::session::Session;
use der::{Decode, Encode};
use x509_cert::Certificate;
use x509_cert::ext::pkix::BasicConstraints;

use super::fault::Fault;
use super::public_key::PublicKey;
use super::token::{Key, Kind};
use crate::{KeyRef, TokenCertificate};

/// Certificates of one token, and bytes of one certificate, that are looked at.
const MAX_CERTIFICATES: usize = 256;
const MAX_CERTIFICATE: usize = 64 * 1024;
/// Bytes of a CKA_ID or CKA_LABEL.
const MAX_TEXT: usize = 1024;
/// Keys of one token that are looked at, of each class.
const MAX_KEYS: usize = 512;

const PRIVATE: [AttributeType; 8] = [
    AttributeType::Id,
    AttributeType::KeyType,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Derive,
    AttributeType::AlwaysAuthenticate,
    AttributeType::Modulus,
    AttributeType::EcParams,
];
const PUBLIC: [AttributeType; 7] = [
    AttributeType::Id,
    AttributeType::KeyType,
    AttributeType::Verify,
    AttributeType::Encrypt,
    AttributeType::Derive,
    AttributeType::Modulus,
    AttributeType::EcPoint,
];
/// Asked of keys of CKK_ML_DSA and CKK_ML_KEM besides: PKCS#11 v3.2 knows these, older modules do not.
const LATTICE_PRIVATE: [AttributeType; 2] =
    [AttributeType::ParameterSet, AttributeType::Decapsulate];
const LATTICE_PUBLIC: [AttributeType; 3] = [
    AttributeType::ParameterSet,
    AttributeType::Encapsulate,
    AttributeType::Value,
];
const CERTIFICATE: [AttributeType; 3] = [
    AttributeType::Value,
    AttributeType::Id,
    AttributeType::Label,
];

/// A key object's attributes; what the token does not say is `None` or empty.
struct KeyObject {
    handle: ObjectHandle,
    id: Vec<u8>,
    key_type: Option<KeyType>,
    sign: Option<bool>,
    /// CKA_DECRYPT or CKA_ENCRYPT
    decrypt: Option<bool>,
    derive: Option<bool>,
    /// CKA_DECAPSULATE or CKA_ENCAPSULATE
    decapsulate: Option<bool>,
    always_authenticate: bool,
    modulus: Vec<u8>,
    ec_params: Vec<u8>,
    ec_point: Vec<u8>,
    parameter_set: Option<ParameterSetType>,
    /// of a public ML-DSA or ML-KEM key
    value: Vec<u8>,
}

/// The private or the public halves of key pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Private,
    Public,
}

impl Half {
    fn class(self) -> Attribute {
        Attribute::Class(match self {
            Self::Private => ObjectClass::PRIVATE_KEY,
            Self::Public => ObjectClass::PUBLIC_KEY,
        })
    }
}

impl KeyObject {
    fn read(session: &Session, handle: ObjectHandle, half: Half) -> Result<Self, Fault> {
        let (wanted, lattice) = match half {
            Half::Private => (&PRIVATE[..], &LATTICE_PRIVATE[..]),
            Half::Public => (&PUBLIC[..], &LATTICE_PUBLIC[..]),
        };
        let mut key = Self {
            handle,
            id: Vec::new(),
            key_type: None,
            sign: None,
            decrypt: None,
            derive: None,
            decapsulate: None,
            always_authenticate: false,
            modulus: Vec::new(),
            ec_params: Vec::new(),
            ec_point: Vec::new(),
            parameter_set: None,
            value: Vec::new(),
        };
        key.take(session.get_attributes(handle, wanted)?);
        if matches!(key.key_type, Some(KeyType::ML_DSA | KeyType::ML_KEM)) {
            key.take(session.get_attributes(handle, lattice)?);
        }
        Ok(key)
    }

    fn take(&mut self, attributes: Vec<Attribute>) {
        let key = self;
        for attribute in attributes {
            match attribute {
                Attribute::Id(id) => key.id = id,
                Attribute::KeyType(kind) => key.key_type = Some(kind),
                Attribute::Sign(yes) | Attribute::Verify(yes) => key.sign = Some(yes),
                Attribute::Decrypt(yes) | Attribute::Encrypt(yes) => key.decrypt = Some(yes),
                Attribute::Derive(yes) => key.derive = Some(yes),
                Attribute::AlwaysAuthenticate(yes) => key.always_authenticate = yes,
                Attribute::Modulus(modulus) => key.modulus = modulus,
                Attribute::EcParams(params) => key.ec_params = params,
                Attribute::EcPoint(point) => key.ec_point = point,
                Attribute::Encapsulate(yes) | Attribute::Decapsulate(yes) => {
                    key.decapsulate = Some(yes);
                }
                Attribute::ParameterSet(set) => key.parameter_set = Some(set),
                Attribute::Value(value) => key.value = value,
                _ => {}
            }
        }
    }

    /// Those of one half, and of this CKA_ID where one is given.
    fn all(session: &Session, half: Half, id: Option<&[u8]>) -> Result<Vec<Self>, Fault> {
        let mut template = vec![half.class()];
        template.extend(id.map(|id| Attribute::Id(id.to_vec())));
        let mut keys = Vec::new();
        for handle in session.find_objects(&template)?.into_iter().take(MAX_KEYS) {
            match Self::read(session, handle, half) {
                Ok(key) => keys.push(key),
                // one object that cannot be read does not hide the others
                Err(fault @ Fault::Rv(..)) if fault.is_environmental() => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(keys)
    }

    /// Nothing that this object says is against its being (the private or public half of) that key.
    fn may_be(&self, key: &PublicKey) -> bool {
        let alike = match key {
            PublicKey::Rsa { .. } => self.modulus.is_empty() || key.has_modulus(&self.modulus),
            PublicKey::Ec { params, .. }
            | PublicKey::Edwards { params, .. }
            | PublicKey::Montgomery { params, .. } => {
                (self.ec_params.is_empty() || params.contains(&self.ec_params))
                    && (self.ec_point.is_empty() || key.has_point(&self.ec_point))
            }
            PublicKey::MlDsa(_) | PublicKey::MlKem(_) => {
                self.parameter_set.is_none_or(|set| key.has_set(set))
                    && (self.value.is_empty() || key.has_value(&self.value))
            }
        };
        alike && self.key_type.is_none_or(|kind| key.may_have(kind))
    }

    /// It shows the public key itself.
    fn is(&self, key: &PublicKey) -> bool {
        key.has_modulus(&self.modulus)
            || key.has_point(&self.ec_point)
            || key.has_value(&self.value)
    }
}

/// What is on a token.
pub(super) struct Listed {
    pub certificates: Vec<TokenCertificate>,
    /// CKA_IDs (hex) of private keys without a certificate
    pub lone_keys: Vec<String>,
}

/// All X.509 certificates that the session sees, with what is known of their keys. `private`: the session sees private keys.
pub(super) fn listed(session: &Session, private: bool) -> Result<Listed, Fault> {
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
    ];
    let handles = session.find_objects(&template)?;
    if handles.len() > MAX_CERTIFICATES {
        tracing::warn!(
            found = handles.len(),
            MAX_CERTIFICATES,
            "too many certificates: the rest is not looked at"
        );
    }
    let publics = KeyObject::all(session, Half::Public, None)?;
    let privates = if private {
        KeyObject::all(session, Half::Private, None)?
    } else {
        Vec::new()
    };
    let mut found = Vec::new();
    let mut lone: Vec<&KeyObject> = privates.iter().collect();
    for handle in handles.into_iter().take(MAX_CERTIFICATES) {
        let Some(CertificateObject { der, id, label }) = read_certificate(session, handle)? else {
            continue;
        };
        let parsed = Certificate::from_der(&der).ok();
        let key = parsed.as_ref().and_then(public_key);
        let own = if private {
            key.as_ref()
                .and_then(|key| private_of(key, &id, &privates, &publics))
        } else {
            publics.iter().find(|p| {
                !id.is_empty() && p.id == id && key.as_ref().is_none_or(|key| p.may_be(key))
            })
        };
        lone.retain(|key| own.is_none_or(|own| own.handle != key.handle));
        let is_ca = parsed.as_ref().is_some_and(is_ca);
        let has_private_key = own.is_some() || (!private && !id.is_empty() && !is_ca);
        let agrees = key.as_ref().is_some_and(PublicKey::agrees);
        let opens = own.and_then(|own| match key {
            _ if agrees => own.derive,
            Some(PublicKey::MlKem(_)) => own.decapsulate,
            _ => own.decrypt,
        });
        found.push(TokenCertificate {
            der,
            id,
            label,
            has_private_key,
            can_sign: own.and_then(|own| own.sign).unwrap_or(true),
            // public EC keys say that they do not derive, whatever the private half does
            can_decrypt: opens.is_none_or(|yes| yes || (!private && agrees)),
            always_authenticate: private && own.is_some_and(|own| own.always_authenticate),
        });
    }
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Listed {
        certificates: found,
        lone_keys: lone.iter().map(|key| hex(&key.id)).collect(),
    })
}

/// The private key of a certificate, by CKA_ID, else by public key (directly, or by way of the public object's CKA_ID).
fn private_of<'a>(
    key: &PublicKey,
    id: &[u8],
    privates: &'a [KeyObject],
    publics: &[KeyObject],
) -> Option<&'a KeyObject> {
    let by_id = |id: &[u8]| {
        let id = id.to_vec();
        privates
            .iter()
            .find(move |p| !id.is_empty() && p.id == id && p.may_be(key))
    };
    by_id(id)
        .or_else(|| privates.iter().find(|p| p.is(key)))
        .or_else(|| {
            publics
                .iter()
                .filter(|p| p.is(key))
                .find_map(|p| by_id(&p.id))
        })
}

#[derive(Default)]
struct CertificateObject {
    der: Vec<u8>,
    id: Vec<u8>,
    label: String,
}

fn read_certificate(
    session: &Session,
    handle: ObjectHandle,
) -> Result<Option<CertificateObject>, Fault> {
    let attributes = match session.get_attributes(handle, &CERTIFICATE) {
        Ok(attributes) => attributes,
        // destroyed by another program since it was found, or odd: does not hide the others
        Err(e) => match Fault::from(e) {
            fault @ Fault::Rv(..) if fault.is_environmental() => return Err(fault),
            _ => return Ok(None),
        },
    };
    let mut found = CertificateObject::default();
    for attribute in attributes {
        match attribute {
            Attribute::Value(value) => found.der = value,
            Attribute::Id(value) => found.id = value,
            Attribute::Label(value) => found.label = String::from_utf8_lossy(&value).into_owned(),
            _ => {}
        }
    }
    let fits = (1..=MAX_CERTIFICATE).contains(&found.der.len())
        && found.id.len() <= MAX_TEXT
        && found.label.len() <= MAX_TEXT;
    Ok(fits.then_some(found))
}

fn public_key(certificate: &Certificate) -> Option<PublicKey> {
    let spki = certificate.tbs_certificate().subject_public_key_info();
    PublicKey::from_spki(&spki.to_der().ok()?)
}

fn is_ca(certificate: &Certificate) -> bool {
    let constraints = certificate
        .tbs_certificate()
        .get_extension::<BasicConstraints>();
    matches!(
        constraints,
        Ok(Some((_, BasicConstraints { ca: true, .. })))
    )
}

/// Finds a private key by CKA_ID and public key; `None`: the session sees none such.
pub(super) fn find_key(
    session: &Session,
    wanted: &KeyRef,
    key: &PublicKey,
) -> Result<Option<Key>, Fault> {
    let by_id = |id: &[u8]| {
        let keys = KeyObject::all(session, Half::Private, Some(id))?;
        Ok::<_, Fault>(keys.into_iter().find(|p| p.may_be(key)))
    };
    let mut found = None;
    if !wanted.id.is_empty() {
        found = by_id(&wanted.id)?;
    }
    if found.is_none() {
        let keys = KeyObject::all(session, Half::Private, None)?;
        found = keys.into_iter().find(|p| p.is(key));
    }
    if found.is_none() {
        for public in KeyObject::all(session, Half::Public, None)? {
            if found.is_none() && public.is(key) && !public.id.is_empty() {
                found = by_id(&public.id)?;
            }
        }
    }
    Ok(found.map(|found| Key {
        handle: found.handle,
        kind: match key {
            PublicKey::Rsa { .. } => Kind::Rsa(key.len()),
            PublicKey::Ec { .. } => Kind::Ec(key.len()),
            PublicKey::Edwards { .. } => Kind::Edwards(key.len()),
            PublicKey::Montgomery { .. } => Kind::Montgomery(key.len()),
            PublicKey::MlDsa(_) => Kind::MlDsa(key.len()),
            PublicKey::MlKem(_) => Kind::MlKem(key.len()),
        },
        always_authenticate: found.always_authenticate,
    }))
}
