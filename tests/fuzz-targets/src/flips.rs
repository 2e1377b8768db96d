//! Messages of which a single bit is turned over: a signed one and its parts that count, an encrypted one.

use std::ops::Range;

use privyseal_smime::mime::{Opened, open};
use privyseal_smime::verdict::Verdict;
use privyseal_smime::{
    Certificate, Cipher, DecryptOutcome, EncryptOptions, Form, Input, SignForm, decrypt, encrypt,
    release, verify,
};

use crate::asn1::{children, content};
use crate::judge;
use crate::keys::{CONTENTS, PKI};
use crate::opener::Opener;
use crate::pieces::Pieces;
use crate::seeds::{options, sign_with, without_attributes};

/// What a bit is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Content,
    Attributes,
    Signature,
    /// digest and signature algorithms, content types
    Algorithm,
    /// certificates, identifiers, versions, headers, boundaries
    Elsewhere,
}

/// A signed message.
pub struct SignedMessage {
    pub name: String,
    pub bytes: Vec<u8>,
    form: SignForm,
    /// of the SignedData
    parts: Vec<(Part, Range<usize>)>,
    der: Vec<u8>,
}

/// What a receiver acts on.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub verdict: Verdict,
    pub content: Vec<u8>,
    pub signers: Vec<Option<Certificate>>,
}

/// What was signed in all of them.
const CONTENT: &[u8] = CONTENTS[0];

impl SignedMessage {
    /// Each form by each kind of key, PSS, and without signed attributes.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (person, kind) in PKI.signers.iter().zip(["rsa", "p256", "ed25519"]) {
            for form in [SignForm::Opaque, SignForm::Clear, SignForm::Detached] {
                for pss in [false, true] {
                    if pss && (kind != "rsa" || form == SignForm::Clear) {
                        continue;
                    }
                    let format = match form {
                        SignForm::Clear => Form::Smime,
                        _ => Form::Der,
                    };
                    let bytes = sign_with(person, CONTENT, &options(form, format, pss));
                    let pss = if pss { " pss" } else { "" };
                    all.push(Self::new(format!("{kind}{pss} {form:?}"), bytes, form));
                }
            }
            if kind != "ed25519" {
                let bytes = without_attributes(person, CONTENT, CONTENT);
                let name = format!("{kind} without attributes");
                all.push(Self::new(name, bytes, SignForm::Opaque));
            }
        }
        all
    }

    fn new(name: String, bytes: Vec<u8>, form: SignForm) -> Self {
        let der = match form {
            SignForm::Clear => clear_parts(&bytes).unwrap().1,
            _ => bytes.clone(),
        };
        let parts = parts(&der);
        SignedMessage {
            name,
            bytes,
            form,
            parts,
            der,
        }
    }

    /// With one bit turned over, and what that changed.
    pub fn flipped(&self, bit: usize) -> (Vec<u8>, Part) {
        let mut changed = self.bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let part = match self.form {
            SignForm::Clear => self.part_of_clear(&changed),
            _ => self.part_at(bit / 8),
        };
        (changed, part)
    }

    fn part_at(&self, at: usize) -> Part {
        let found = self.parts.iter().find(|(_, range)| range.contains(&at));
        found.map_or(Part::Elsewhere, |(part, _)| *part)
    }

    fn part_of_clear(&self, changed: &[u8]) -> Part {
        let Some((content, der)) = clear_parts(changed) else {
            return Part::Elsewhere;
        };
        if content != CONTENT {
            return Part::Content;
        }
        let mut pairs = der.iter().zip(&self.der).enumerate();
        match pairs.find(|(_, (a, b))| a != b) {
            Some((at, _)) if der.len() == self.der.len() => self.part_at(at),
            _ => Part::Elsewhere,
        }
    }

    /// `None`: it cannot be read.
    pub fn seen(&self, message: &[u8]) -> Option<Seen> {
        let mut given = (self.form == SignForm::Detached).then(|| Pieces::whole(CONTENT));
        let mut again = (self.form == SignForm::Detached).then(|| Pieces::whole(CONTENT));
        let given = given.as_mut().map(|g| g as &mut dyn Input);
        let outcome = verify(&mut Pieces::whole(message), given, &[]).ok()?;
        let verdict = judge::verdict(&outcome).0;
        let mut content = Vec::new();
        if verdict == Verdict::Good {
            let again = again.as_mut().map(|g| g as &mut dyn Input);
            release(&mut Pieces::whole(message), again, &mut content).unwrap();
        }
        Some(Seen {
            verdict,
            content,
            signers: outcome.signers.into_iter().map(|s| s.certificate).collect(),
        })
    }
}

/// The signed part of a multipart/signed, and its SignedData.
fn clear_parts(message: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let Opened::Signed(mut multipart) = open(Box::new(message)).ok()? else {
        return None;
    };
    let mut content = Vec::new();
    let mut sink = |bytes: &[u8]| {
        content.extend_from_slice(bytes);
        Ok(())
    };
    multipart.content(&mut sink).ok()?;
    Some((content, multipart.signature().ok()?.0))
}

/// Of a ContentInfo with a SignedData of one signer (RFC 5652 §5).
fn parts(der: &[u8]) -> Vec<(Part, Range<usize>)> {
    let content_info = children(der, &(0..der.len()));
    let explicit = children(der, &content_info[1]);
    let data = children(der, &explicit[0]);
    // version, digestAlgorithms, encapContentInfo, certificates, signerInfos
    let encapsulated = children(der, &data[2]);
    let signer_info = children(der, &children(der, data.last().unwrap())[0]);
    let mut all = vec![
        (Part::Algorithm, content_info[0].clone()),
        (Part::Algorithm, data[1].clone()),
        (Part::Algorithm, encapsulated[0].clone()),
    ];
    if let Some(explicit) = encapsulated.get(1) {
        all.push((Part::Content, explicit.clone()));
    }
    // version, sid, digestAlgorithm, [0] signedAttrs, signatureAlgorithm, signature
    for element in &signer_info[2..] {
        let part = match der[element.start] {
            0xa0 => Part::Attributes,
            0x04 => Part::Signature,
            _ => Part::Algorithm,
        };
        all.push((part, content(der, element.start)));
    }
    all
}

/// An encrypted message.
pub struct EncryptedMessage {
    pub name: String,
    pub bytes: Vec<u8>,
    pub authenticated: bool,
}

impl EncryptedMessage {
    /// Each cipher to each kind of key.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (person, kind) in PKI.recipients.iter().zip(["rsa", "p256", "x25519"]) {
            for cipher in [
                Cipher::Aes128Cbc,
                Cipher::Aes256Cbc,
                Cipher::Aes128Gcm,
                Cipher::Aes256Gcm,
                Cipher::ChaCha20Poly1305,
            ] {
                for oaep in [false, true] {
                    if oaep && kind != "rsa" {
                        continue;
                    }
                    let options = EncryptOptions {
                        cipher,
                        oaep,
                        format: Form::Der,
                        ..EncryptOptions::default()
                    };
                    let mut bytes = Vec::new();
                    let to = std::slice::from_ref(&person.certificate);
                    encrypt(&mut &*CONTENT, &mut bytes, to, &options).unwrap();
                    let oaep = if oaep { " oaep" } else { "" };
                    all.push(EncryptedMessage {
                        name: format!("{} {kind}{oaep}", cipher.name()),
                        bytes,
                        authenticated: cipher.is_authenticated(),
                    });
                }
            }
        }
        all
    }

    /// What was opened, or what was written before it failed.
    pub fn opened(message: &[u8]) -> (Option<DecryptOutcome>, Vec<u8>) {
        let mut plain = Vec::new();
        let outcome = decrypt(&mut Pieces::whole(message), &Opener, &mut plain);
        (outcome.ok(), plain)
    }

    /// What was encrypted.
    pub fn content() -> &'static [u8] {
        CONTENT
    }
}
