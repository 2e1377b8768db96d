//! `kryoptic-token DIR KIND…`: a new token of kryoptic with a key pair of each kind, generated there, and its certificate.
//!
//! KRYOPTIC_CONF names the configuration. The authority's certificate is written to DIR/pq-anchor.pem, those of the keys to
//! DIR/KIND.pem. Kinds: ml-dsa-44, ml-dsa-65, ml-dsa-87, ml-kem-512, ml-kem-768, ml-kem-1024.

use std::error::Error;
use std::path::Path;

use const_oid::ObjectIdentifier;
use const_oid::db::{fips203, fips204};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{
    Attribute, AttributeType, CertificateType, MlDsaParameterSetType, MlKemParameterSetType,
    ObjectClass, ParameterSetType,
};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use der::Encode;
use der::asn1::BitString;
use privyseal_softhsm::pki::{Authority, Usage, key_id, to_pem};
use privyseal_tests::{PIN, kryoptic};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> Done<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: kryoptic-token DIR KIND…")?;
    let dir = Path::new(&dir);
    let context = Pkcs11::new(kryoptic::module())?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = context.get_slots_with_token()?;
    let slot = *slot.first().ok_or("kryoptic shows no slot")?;
    let so = AuthPin::new("kryoptic-so".into());
    context.init_token(slot, &so, kryoptic::LABEL)?;
    let session = context.open_rw_session(slot)?;
    session.login(UserType::So, Some(&so))?;
    let pin = AuthPin::new(PIN.into());
    session.init_pin(&pin)?;
    session.logout()?;
    session.login(UserType::User, Some(&pin))?;

    let authority = Authority::root("CN=Quantum Authority")?;
    std::fs::write(dir.join("pq-anchor.pem"), to_pem(&authority.certificate)?)?;
    for kind in args {
        let made = make(&session, &authority, &kind)?;
        std::fs::write(dir.join(format!("{kind}.pem")), made)?;
    }
    session.logout()?;
    session.close()?;
    context.finalize()?;
    Ok(())
}

struct Kind {
    oid: ObjectIdentifier,
    set: ParameterSetType,
    usage: Usage,
}

fn kind(name: &str) -> Done<Kind> {
    let (oid, set, usage) = match name {
        "ml-dsa-44" => (
            fips204::ID_ML_DSA_44,
            MlDsaParameterSetType::ML_DSA_44.into(),
            Usage::Sign,
        ),
        "ml-dsa-65" => (
            fips204::ID_ML_DSA_65,
            MlDsaParameterSetType::ML_DSA_65.into(),
            Usage::Sign,
        ),
        "ml-dsa-87" => (
            fips204::ID_ML_DSA_87,
            MlDsaParameterSetType::ML_DSA_87.into(),
            Usage::Sign,
        ),
        "ml-kem-512" => (
            fips203::ID_ALG_ML_KEM_512,
            MlKemParameterSetType::ML_KEM_512.into(),
            Usage::Encrypt,
        ),
        "ml-kem-768" => (
            fips203::ID_ALG_ML_KEM_768,
            MlKemParameterSetType::ML_KEM_768.into(),
            Usage::Encrypt,
        ),
        "ml-kem-1024" => (
            fips203::ID_ALG_ML_KEM_1024,
            MlKemParameterSetType::ML_KEM_1024.into(),
            Usage::Encrypt,
        ),
        other => return Err(format!("no kind {other}").into()),
    };
    Ok(Kind { oid, set, usage })
}

/// PEM of the certificate.
fn make(session: &Session, authority: &Authority, name: &str) -> Done<String> {
    let Kind { oid, set, usage } = kind(name)?;
    let signs = matches!(usage, Usage::Sign);
    let mut public = vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::ParameterSet(set),
    ];
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
    ];
    let mechanism = if signs {
        public.push(Attribute::Verify(true));
        private.push(Attribute::Sign(true));
        Mechanism::MlDsaKeyPairGen
    } else {
        public.push(Attribute::Encapsulate(true));
        private.push(Attribute::Decapsulate(true));
        Mechanism::MlKemKeyPairGen
    };
    let (public, private) = session.generate_key_pair(&mechanism, &public, &private)?;
    let shown = session.get_attributes(public, &[AttributeType::Value])?;
    let Some(Attribute::Value(value)) = shown.into_iter().next() else {
        return Err("the token does not show the public key".into());
    };
    let spki = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid,
            parameters: None,
        },
        subject_public_key: BitString::from_bytes(&value)?,
    };
    let id = key_id(&spki)?;
    session.update_attributes(private, &[Attribute::Id(id.clone())])?;
    session.update_attributes(public, &[Attribute::Id(id.clone())])?;
    let person = "CN=Quentin,O=Privyseal Demo";
    let certificate = authority.issue(person, "quentin@example.org", usage, spki)?;
    session.create_object(&[
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Label(name.into()),
        Attribute::Id(id),
        Attribute::Subject(certificate.tbs_certificate().subject().to_der()?),
        Attribute::Value(certificate.to_der()?),
    ])?;
    Ok(to_pem(&certificate)?)
}
