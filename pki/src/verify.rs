//! Signatures on certificates and CRLs, for certval: each is verified once, and for one question only so many of them.
//!
//! Public-key operations only. RSA with the usual digests is verified here, because keys of roots may be shorter than a mail's
//! signature could be by; everything else as for a mail (ECDSA, Ed25519, ML-DSA, SHA-3, RSASSA-PSS with another mask); what
//! that does not know, certval may.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use certval::{
    Error, PathValidationStatus, PkiEnvironment, VerifySignatureMessage,
    calculate_hash_rust_crypto, verify_signature_message_rust_crypto,
};
use const_oid::db::rfc5912::{
    ID_MGF_1, ID_RSASSA_PSS, ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512, RSA_ENCRYPTION,
    SHA_1_WITH_RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use der::asn1::{BitString, ObjectIdentifier};
use der::{Decode, Encode};
use rsa::pkcs1::{RsaPssParamsOwned, RsaPublicKeyRef};
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, PublicKey};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

const BAD: Error = Error::PathValidation(PathValidationStatus::SignatureVerificationFailure);
/// No signature is looked at any more.
pub const SPENT: Error = Error::PathValidation(PathValidationStatus::ProcessingLimitExceeded);

/// Signatures verified for one leaf, on certificates and on CRLs together; about 0.1 s of work with RSA-2048.
const SIGNATURES_MAX: usize = 1024;
/// Time for one leaf. The counts bound the work with ordinary keys; this one bounds it with the most expensive.
const TIME_MAX: Duration = Duration::from_secs(5);
/// RSA moduli in bits. What is too weak is refused by its strength, after it is known who signed.
const RSA_BITS: std::ops::RangeInclusive<usize> = 512..=8192;

/// Signatures remembered, in each of two generations.
const KNOWN_MAX: usize = 4096;

/// SHA-256 of key, algorithm, signature and message.
type Question = [u8; 32];

/// Good signatures on certificates and CRLs, over all questions: those of a chain are the same for every mail of a person.
/// What a signature is good for is decided anew each time.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Generations>>);

#[derive(Default)]
struct Generations {
    newer: HashSet<Question>,
    older: HashSet<Question>,
}

impl Known {
    fn contains(&self, question: &Question) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.newer.contains(question) || known.older.contains(question)
    }

    fn insert(&self, question: Question) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.newer.len() >= KNOWN_MAX {
            known.older = std::mem::take(&mut known.newer);
        }
        known.newer.insert(question);
    }
}

/// What verification may still cost, and what it has found; one for each question asked.
pub struct Verifier {
    until: Instant,
    seen: Mutex<HashMap<Question, certval::Result<()>>>,
    known: Known,
    /// by the SHA-256 of what certval sees
    signed: Mutex<HashMap<[u8; 32], Vec<u8>>>,
}

impl Verifier {
    /// It looks at no signature after `until`.
    pub fn new(known: Known, until: Option<Instant>) -> Arc<Verifier> {
        let now = Instant::now();
        let own = now.checked_add(TIME_MAX).unwrap_or(now);
        Arc::new(Verifier {
            until: until.map_or(own, |until| until.min(own)),
            seen: Mutex::default(),
            known,
            signed: Mutex::default(),
        })
    }

    /// Signatures over `seen` are verified over `signed`.
    pub fn signed_as(&self, seen: &[u8], signed: Vec<u8>) {
        let mut all = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(Sha256::digest(seen).into(), signed);
    }

    fn what_was_signed(&self, seen: &[u8]) -> Option<Vec<u8>> {
        let all = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return None;
        }
        all.get(Sha256::digest(seen).as_slice()).cloned()
    }

    pub fn out_of_time(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// An environment with RFC 5280 processing and all signature algorithms. Without trust anchor source: the search
/// hands over paths that begin at an anchor.
pub fn environment(verifier: Arc<Verifier>) -> PkiEnvironment {
    let mut environment = PkiEnvironment::default();
    environment.add_calculate_hash_callback(calculate_hash_rust_crypto);
    environment.add_verify_signature_message_callback(Counted(verifier));
    environment
}

struct Counted(Arc<Verifier>);

impl VerifySignatureMessage for Counted {
    fn verify_signature_message(
        &self,
        environment: &PkiEnvironment,
        message: &[u8],
        signature: &BitString,
        algorithm: &AlgorithmIdentifierOwned,
        key: &SubjectPublicKeyInfoOwned,
    ) -> certval::Result<()> {
        let signed = self.0.what_was_signed(message);
        let message = signed.as_deref().unwrap_or(message);
        let mut hasher = Sha256::new();
        // the first three are DER and carry their lengths
        hasher.update(key.to_der()?);
        hasher.update(algorithm.to_der()?);
        hasher.update(signature.to_der()?);
        hasher.update(message);
        let question: Question = hasher.finalize().into();
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get(&question) {
            return *known;
        }
        if self.0.known.contains(&question) {
            return Ok(());
        }
        if seen.len() >= SIGNATURES_MAX || self.0.out_of_time() {
            return Err(SPENT);
        }
        let answer = match rsa(message, signature, algorithm, key) {
            Err(Error::Unrecognized) => match as_in_mail(message, signature, algorithm, key) {
                Some(true) => Ok(()),
                Some(false) => Err(BAD),
                None => verify_signature_message_rust_crypto(
                    environment,
                    message,
                    signature,
                    algorithm,
                    key,
                ),
            },
            answer => answer,
        };
        seen.insert(question, answer);
        if answer.is_ok() {
            self.0.known.insert(question);
        }
        answer
    }
}

fn as_in_mail(
    message: &[u8],
    signature: &BitString,
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
) -> Option<bool> {
    let signature = signature.as_bytes()?;
    privyseal_smime::verify_with_key(key, algorithm, message, signature)
}

fn rsa(
    message: &[u8],
    signature: &BitString,
    algorithm: &AlgorithmIdentifierOwned,
    key: &SubjectPublicKeyInfoOwned,
) -> certval::Result<()> {
    let (hash, salt) = match algorithm.oid {
        SHA_1_WITH_RSA_ENCRYPTION => (ID_SHA_1, None),
        SHA_256_WITH_RSA_ENCRYPTION => (ID_SHA_256, None),
        SHA_384_WITH_RSA_ENCRYPTION => (ID_SHA_384, None),
        SHA_512_WITH_RSA_ENCRYPTION => (ID_SHA_512, None),
        ID_RSASSA_PSS => {
            let (hash, salt) = pss_parameters(algorithm)?;
            (hash, Some(usize::from(salt)))
        }
        _ => return Err(Error::Unrecognized),
    };
    // RFC 4055 §1.2: a key marked for PSS does nothing else
    if key.algorithm.oid != RSA_ENCRYPTION
        && !(salt.is_some() && key.algorithm.oid == ID_RSASSA_PSS)
    {
        return Err(BAD);
    }
    let key = key.subject_public_key.as_bytes().ok_or(BAD)?;
    let key = RsaPublicKeyRef::from_der(key).map_err(|_| BAD)?;
    let key = PublicKey::new_with_size_limits(
        BoxedUint::from_be_slice_vartime(key.modulus.as_bytes()),
        BoxedUint::from_be_slice_vartime(key.public_exponent.as_bytes()),
        RSA_BITS,
    )
    .map_err(|fault| match fault {
        // others may compute with such keys: no word on what they signed
        rsa::Error::ModulusTooLarge | rsa::Error::PublicExponentTooLarge => SPENT,
        _ => BAD,
    })?;
    let signature = signature.as_bytes().ok_or(BAD)?;
    macro_rules! verify {
        ($digest:ty) => {{
            let digest = <$digest>::digest(message);
            match salt {
                Some(salt) => key.verify(Pss::<$digest>::new_with_salt(salt), &digest, signature),
                None => key.verify(Pkcs1v15Sign::new::<$digest>(), &digest, signature),
            }
        }};
    }
    match hash {
        ID_SHA_1 => verify!(Sha1),
        ID_SHA_256 => verify!(Sha256),
        ID_SHA_384 => verify!(Sha384),
        ID_SHA_512 => verify!(Sha512),
        _ => return Err(Error::Unrecognized),
    }
    .map_err(|_| BAD)
}

/// Hash and salt length, where MGF1 uses the same hash (RFC 4055 §3.1 recommends it, and nearly all do).
fn pss_parameters(algorithm: &AlgorithmIdentifierOwned) -> certval::Result<(ObjectIdentifier, u8)> {
    let parameters = read_pss(algorithm)?;
    let mask = parameters.mask_gen.parameters.map(|p| p.oid);
    if parameters.mask_gen.oid != ID_MGF_1 || mask != Some(parameters.hash.oid) {
        return Err(Error::Unrecognized);
    }
    Ok((parameters.hash.oid, parameters.salt_len))
}

/// The hash of the message, whatever the mask's is.
pub fn pss_hash(algorithm: &AlgorithmIdentifierOwned) -> Option<ObjectIdentifier> {
    read_pss(algorithm).ok().map(|p| p.hash.oid)
}

fn read_pss(algorithm: &AlgorithmIdentifierOwned) -> certval::Result<RsaPssParamsOwned> {
    let parameters = algorithm.parameters.as_ref().ok_or(BAD)?.to_der()?;
    RsaPssParamsOwned::from_der(&parameters).map_err(|_| BAD)
}
