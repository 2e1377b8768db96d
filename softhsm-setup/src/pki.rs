//! The demo PKI: root → intermediate → people, and the two CRLs. CA keys are P-256 and made in software.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use const_oid::db::fips203::{ID_ALG_ML_KEM_512, ID_ALG_ML_KEM_768, ID_ALG_ML_KEM_1024};
use const_oid::db::rfc5280::ID_KP_EMAIL_PROTECTION;
use const_oid::db::rfc5912::RSA_ENCRYPTION;
use der::asn1::{BitString, Ia5String};
use der::flagset::FlagSet;
use der::referenced::OwnedToRef;
use der::{Encode, EncodePem, pem::LineEnding};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate;
use rsa::pkcs8::EncodePrivateKey;
use signature::Signer;
use spki::{SignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::crl::{CertificateList, TbsCertList};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, Version};
use zeroize::Zeroizing;

use crate::error::Error;

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A certification authority with its key in memory.
pub struct Authority {
    key: SigningKey,
    pub certificate: Certificate,
}

/// What a person's certificate is for; decides its key usage (RFC 8551 §4.4.2).
#[derive(Debug, Clone, Copy)]
pub enum Usage {
    Sign,
    /// keyEncipherment for RSA and ML-KEM (RFC 9935 §5), keyAgreement for EC
    Encrypt,
    Both,
}

impl Authority {
    /// A self-signed root, good for 20 years.
    pub fn root(name: &str) -> Result<Self, Error> {
        let key = SigningKey::try_generate().map_err(Error::pki)?;
        let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).map_err(Error::pki)?;
        let subject = Name::from_str(name).map_err(Error::pki)?;
        let profile = Profile {
            issuer: subject.clone(),
            subject,
            kind: Kind::Authority { path_len: None },
        };
        let certificate = build(profile, spki, years(20), &key)?;
        Ok(Authority { key, certificate })
    }

    /// An intermediate authority below this one, good for 15 years.
    pub fn intermediate(&self, name: &str) -> Result<Self, Error> {
        let key = SigningKey::try_generate().map_err(Error::pki)?;
        let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).map_err(Error::pki)?;
        let profile = Profile {
            issuer: self.name().clone(),
            subject: Name::from_str(name).map_err(Error::pki)?,
            kind: Kind::Authority { path_len: Some(0) },
        };
        let certificate = build(profile, spki, years(15), &self.key)?;
        Ok(Authority { key, certificate })
    }

    /// A person's mail certificate, good for 10 years.
    pub fn issue(
        &self,
        name: &str,
        email: &str,
        usage: Usage,
        spki: SubjectPublicKeyInfoOwned,
    ) -> Result<Certificate, Error> {
        let profile = Profile {
            issuer: self.name().clone(),
            subject: Name::from_str(name).map_err(Error::pki)?,
            kind: Kind::Person {
                email: email.to_owned(),
                usage,
            },
        };
        build(profile, spki, years(10), &self.key)
    }

    /// An empty CRL (v2, number 1), good for 10 years: a demo must not go stale.
    ///
    /// Made by hand: x509-cert's CrlBuilder puts the *issuer's* authorityKeyIdentifier into the CRL, which is wrong
    /// below the root (RFC 5280 §5.2.1 wants the key that signed the CRL).
    pub fn crl(&self) -> Result<CertificateList, Error> {
        let algorithm = signature_algorithm()?;
        let own_key = AuthorityKeyIdentifier::try_from(
            self.certificate
                .tbs_certificate()
                .subject_public_key_info()
                .owned_to_ref(),
        )
        .map_err(Error::pki)?;
        let number = CrlNumber::try_from(1u8).map_err(Error::pki)?;
        let mut extensions = Vec::new();
        push(&mut extensions, self.name(), &number)?;
        push(&mut extensions, self.name(), &own_key)?;
        let validity = years(10)?;
        let tbs_cert_list = TbsCertList {
            version: Version::V2,
            signature: algorithm.clone(),
            issuer: self.name().clone(),
            this_update: validity.not_before,
            next_update: Some(validity.not_after),
            revoked_certificates: None,
            crl_extensions: Some(extensions),
        };
        let signature: DerSignature = self
            .key
            .try_sign(&tbs_cert_list.to_der().map_err(Error::pki)?)
            .map_err(Error::pki)?;
        Ok(CertificateList {
            tbs_cert_list,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(signature.as_bytes()).map_err(Error::pki)?,
        })
    }

    pub fn key_pem(&self) -> Result<Zeroizing<String>, Error> {
        self.key.to_pkcs8_pem(LineEnding::LF).map_err(Error::pki)
    }

    fn name(&self) -> &Name {
        self.certificate.tbs_certificate().subject()
    }
}

/// A key pair in software, for the person who has no token: the private key as PKCS#8 PEM, and the public key.
pub type SoftKey = (Zeroizing<String>, SubjectPublicKeyInfoOwned);

pub fn soft_rsa() -> Result<SoftKey, Error> {
    let key = rsa::PrivateKey::new(&mut UnwrapErr(SysRng), 2048).map_err(Error::pki)?;
    let spki = SubjectPublicKeyInfoOwned::from_key(&key.to_public_key()).map_err(Error::pki)?;
    Ok((key.to_pkcs8_pem(LineEnding::LF).map_err(Error::pki)?, spki))
}

pub fn soft_ec() -> Result<SoftKey, Error> {
    let key = p256::SecretKey::try_generate().map_err(Error::pki)?;
    let spki = SubjectPublicKeyInfoOwned::from_key(&key.public_key()).map_err(Error::pki)?;
    Ok((key.to_pkcs8_pem(LineEnding::LF).map_err(Error::pki)?, spki))
}

/// PEM of a certificate or CRL.
pub fn to_pem(object: &impl EncodePem) -> Result<String, Error> {
    object.to_pem(LineEnding::LF).map_err(Error::pki)
}

/// RFC 5280 §4.2.1.2 (1); also our CKA_ID.
pub fn key_id(spki: &SubjectPublicKeyInfoOwned) -> Result<Vec<u8>, Error> {
    let id = SubjectKeyIdentifier::try_from(spki.owned_to_ref()).map_err(Error::pki)?;
    Ok(id.0.as_bytes().to_vec())
}

fn build(
    profile: Profile,
    spki: SubjectPublicKeyInfoOwned,
    validity: Result<Validity, Error>,
    signer: &SigningKey,
) -> Result<Certificate, Error> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(Error::pki)?;
    // positive and never shorter: 01 in front
    let serial = SerialNumber::new(&[&[1u8], random.as_slice()].concat()).map_err(Error::pki)?;
    CertificateBuilder::new(profile, serial, validity?, spki)
        .and_then(|builder| builder.build::<_, DerSignature>(signer))
        .map_err(Error::pki)
}

/// From an hour ago, for clocks that differ a little.
fn years(count: u32) -> Result<Validity, Error> {
    let now = SystemTime::now();
    let bounds = now.checked_sub(HOUR).zip(
        YEAR.checked_mul(count)
            .and_then(|span| now.checked_add(span)),
    );
    let (from, to) = bounds.ok_or_else(|| Error::pki("the clock is out of range"))?;
    Ok(Validity::new(
        Time::try_from(from).map_err(Error::pki)?,
        Time::try_from(to).map_err(Error::pki)?,
    ))
}

fn signature_algorithm() -> Result<x509_cert::AlgorithmIdentifier, Error> {
    Ok(x509_cert::AlgorithmIdentifier {
        oid: SigningKey::SIGNATURE_ALGORITHM_IDENTIFIER.oid,
        parameters: None, // RFC 5758 §3.2
    })
}

struct Profile {
    issuer: Name,
    subject: Name,
    kind: Kind,
}

enum Kind {
    Authority { path_len: Option<u8> },
    Person { email: String, usage: Usage },
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        spk: SubjectPublicKeyInfoRef<'_>,
        issuer_spk: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let mut all = Vec::new();
        let carries = [
            RSA_ENCRYPTION,
            ID_ALG_ML_KEM_512,
            ID_ALG_ML_KEM_768,
            ID_ALG_ML_KEM_1024,
        ]
        .contains(&spk.algorithm.oid);
        let name = &self.subject;
        let (constraints, usages): (BasicConstraints, FlagSet<KeyUsages>) = match &self.kind {
            Kind::Authority { path_len } => (
                BasicConstraints {
                    ca: true,
                    path_len_constraint: *path_len,
                },
                KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            ),
            Kind::Person { usage, .. } => {
                let sign = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
                let encrypt: FlagSet<KeyUsages> = if carries {
                    KeyUsages::KeyEncipherment.into()
                } else {
                    KeyUsages::KeyAgreement.into()
                };
                let usages = match usage {
                    Usage::Sign => sign,
                    Usage::Encrypt => encrypt,
                    Usage::Both => sign | encrypt,
                };
                (
                    BasicConstraints {
                        ca: false,
                        path_len_constraint: None,
                    },
                    usages,
                )
            }
        };
        all.push((&constraints).to_extension(name, &[])?);
        all.push((&KeyUsage(usages)).to_extension(name, &[])?);
        if let Kind::Person { email, .. } = &self.kind {
            let purposes = ExtendedKeyUsage(vec![ID_KP_EMAIL_PROTECTION]);
            all.push((&purposes).to_extension(name, &[])?);
            let address = GeneralName::Rfc822Name(Ia5String::new(email)?);
            all.push((&SubjectAltName(vec![address])).to_extension(name, &[])?);
        }
        let own = SubjectKeyIdentifier::try_from(spk)?;
        all.push((&own).to_extension(name, &[])?);
        let above = AuthorityKeyIdentifier::try_from(issuer_spk)?;
        all.push((&above).to_extension(name, &[])?);
        Ok(all)
    }
}

fn push<'a, E>(all: &mut Vec<Extension>, name: &Name, one: &'a E) -> Result<(), Error>
where
    &'a E: ToExtension<Error = der::Error>,
{
    let extension = one.to_extension(name, all).map_err(Error::pki)?;
    all.push(extension);
    Ok(())
}
