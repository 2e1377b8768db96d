//! What fuzzing starts from, made here: messages, certificates and CRLs of [`PKI`], right ones and attacks.

use privyseal_smime::{
    Certificate, Cipher, CompressOptions, DigestAlgorithm, EncryptOptions, Form, KeyType, SignForm,
    SignOptions, compress, encrypt, sign,
};

use crate::asn1::{big_integer, bits, context, integer, name, octets, oid, seq, set, utc_time};
use crate::keys::{ADDRESS, CONTENTS, PKI, Person};

const DATA: &str = "1.2.840.113549.1.7.1";
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
/// what Ed25519 goes with (RFC 8419 §2.3)
const SHA512: &str = "2.16.840.1.101.3.4.2.3";

/// For a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "ber" => ber(),
        "signed" => signed(),
        "enveloped" => enveloped(&[Cipher::Aes128Cbc, Cipher::Aes256Cbc]),
        "auth_enveloped" => enveloped(&[
            Cipher::Aes128Gcm,
            Cipher::Aes256Gcm,
            Cipher::ChaCha20Poly1305,
        ]),
        "compressed" => compressed(),
        "mime" => mime(),
        "header_verdict" => headers(),
        "certificate" => certificates(),
        "crl" => {
            let mut all = crls();
            let pem = privyseal_smime::mime::pem::encode("X509 CRL", &all[0]);
            all.push(pem.into_bytes());
            all
        }
        other => panic!("no target {other}"),
    }
}

/// Whether [`enveloped`] encrypts this.
pub fn was_encrypted(plain: &[u8]) -> bool {
    CONTENTS.contains(&plain) || plain == long()
}

/// More than one block of everything that works in blocks.
fn long() -> Vec<u8> {
    (0..70_000u32).map(|n| ((n * 7) >> 3) as u8).collect()
}

/// SHA-256, canonical, at a fixed time.
pub fn options(form: SignForm, format: Form, pss: bool) -> SignOptions {
    SignOptions {
        form,
        format,
        canonicalize: true,
        digest: DigestAlgorithm::Sha256,
        pss,
        chain: Vec::new(),
        signing_time: crate::keys::AT,
        ess: Default::default(),
        profile: privyseal_smime::Profile::rfc8551(),
        encryption_certificate: None,
        content_hint: None,
    }
}

/// A signed message of theirs.
pub fn sign_with(person: &Person, content: &[u8], options: &SignOptions) -> Vec<u8> {
    let mut out = Vec::new();
    let mut content = content;
    sign(&mut content, &mut out, &person.certificate, person, options).unwrap();
    out
}

/// By the P-256 key, with the headers of its form and no others.
pub fn clear_signed() -> Vec<u8> {
    let options = options(SignForm::Clear, Form::Smime, false);
    sign_with(&PKI.signers[1], CONTENTS[0], &options)
}

fn signed() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for person in &PKI.signers {
        for (form, format) in [
            (SignForm::Clear, Form::Smime),
            (SignForm::Opaque, Form::Der),
            (SignForm::Opaque, Form::Smime),
            (SignForm::Detached, Form::Der),
        ] {
            for (n, content) in CONTENTS.iter().enumerate() {
                let pss = n == 1;
                all.push(sign_with(person, content, &options(form, format, pss)));
            }
        }
        all.push(without_attributes(person, CONTENTS[0], CONTENTS[0]));
        all.push(attributes_as_content(person));
    }
    let letter = format!("From: Alice <{ADDRESS}>\r\nSubject: x\r\n");
    all.push([letter.as_bytes(), &clear_signed()].concat());
    all.push(of_a_large_key());
    all
}

/// SignedData by hand: one signer without signed attributes, whose signature is over `signed`.
pub fn without_attributes(person: &Person, content: &[u8], signed: &[u8]) -> Vec<u8> {
    let certificate = &person.certificate;
    let id = seq(&[
        &certificate.issuer_der(),
        &crate::asn1::tlv(2, certificate.serial()),
    ]);
    let (algorithm, digest) = match certificate.key_type() {
        KeyType::Rsa(_) => ("1.2.840.113549.1.1.11", SHA256),
        KeyType::Ec(_) => ("1.2.840.10045.4.3.2", SHA256),
        _ => ("1.3.101.112", SHA512),
    };
    let info = seq(&[
        &integer(1),
        &id,
        &seq(&[&oid(digest)]),
        &seq(&[&oid(algorithm)]),
        &octets(&person.key.sign_plain(signed)),
    ]);
    signed_data(digest, content, certificate.der(), &info)
}

fn signed_data(digest: &str, content: &[u8], certificate: &[u8], info: &[u8]) -> Vec<u8> {
    let data = seq(&[
        &integer(1),
        &set(&[&seq(&[&oid(digest)])]),
        &seq(&[&oid(DATA), &context(0, &[&octets(content)])]),
        &context(0, &[certificate]),
        &set(&[info]),
    ]);
    seq(&[&oid(SIGNED_DATA), &context(0, &[&data])])
}

/// The attack on signatures without signed attributes: the attributes of a right message become the content of another.
fn attributes_as_content(person: &Person) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let attribute = |number: &str, value: &[u8]| seq(&[&oid(number), &set(&[value])]);
    let attributes = set(&[
        &attribute("1.2.840.113549.1.9.3", &oid(DATA)),
        &attribute(
            "1.2.840.113549.1.9.4",
            &octets(&Sha256::digest(CONTENTS[0])),
        ),
    ]);
    without_attributes(person, &attributes, &attributes)
}

/// A key and a signature that are longer than 64 KiB (CVE-2021-43527).
fn of_a_large_key() -> Vec<u8> {
    let certificate = large_certificate();
    let parsed = Certificate::from_der(&certificate).unwrap();
    let id = seq(&[&parsed.issuer_der(), &crate::asn1::tlv(2, parsed.serial())]);
    let info = seq(&[
        &integer(1),
        &id,
        &seq(&[&oid(SHA256)]),
        &seq(&[&oid("1.2.840.113549.1.1.11")]),
        &octets(&[0x5a; 70_000]),
    ]);
    signed_data(SHA256, CONTENTS[0], &certificate, &info)
}

fn large_certificate() -> Vec<u8> {
    let algorithm = seq(&[&oid("1.2.840.113549.1.1.11"), &[0x05, 0]]);
    let key = seq(&[&big_integer(&[0xa5; 70_000]), &[0x02, 3, 1, 0, 1]]);
    let tbs = seq(&[
        &context(0, &[&integer(2)]),
        &integer(9),
        &algorithm,
        &name("Authority"),
        &seq(&[&utc_time("250101000000Z"), &utc_time("451231235959Z")]),
        &name("large"),
        &seq(&[
            &seq(&[&oid("1.2.840.113549.1.1.1"), &[0x05, 0]]),
            &bits(&key),
        ]),
    ]);
    seq(&[&tbs, &algorithm, &bits(&[0x5a; 70_000])])
}

fn enveloped(ciphers: &[Cipher]) -> Vec<Vec<u8>> {
    let people = &PKI.recipients;
    let each = people.iter().map(|p| vec![p.certificate.clone()]);
    let everybody: Vec<Certificate> = people.iter().map(|p| p.certificate.clone()).collect();
    let mut all = Vec::new();
    for to in each.chain([everybody]) {
        for &cipher in ciphers {
            for (oaep, format, content) in [
                (false, Form::Der, CONTENTS[0].to_vec()),
                (true, Form::Smime, CONTENTS[1].to_vec()),
                (false, Form::Der, long()),
            ] {
                let options = EncryptOptions {
                    cipher,
                    oaep,
                    format,
                    ..EncryptOptions::default()
                };
                let mut out = Vec::new();
                encrypt(&mut content.as_slice(), &mut out, &to, &options).unwrap();
                all.push(out);
            }
        }
    }
    all
}

fn compressed() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for content in [
        CONTENTS[0],
        CONTENTS[1],
        CONTENTS[2],
        &long(),
        &[0; 900_000],
    ] {
        for format in [Form::Der, Form::Smime] {
            let mut out = Vec::new();
            let mut content = content;
            compress(&mut content, &mut out, &CompressOptions { format }).unwrap();
            all.push(out);
        }
    }
    all
}

fn ber() -> Vec<Vec<u8>> {
    let mut all = vec![
        // an OCTET STRING in pieces, in indefinite lengths
        b"\x30\x80\x24\x80\x04\x03abc\x24\x05\x04\x03def\x00\x00\x00\x00".to_vec(),
        // as deep as is allowed, and deeper
        [&[0x30, 0x80].repeat(32)[..], &[0; 64]].concat(),
        [&[0x30, 0x80].repeat(33)[..], &[0; 66]].concat(),
        // a long tag, lengths of nine bytes
        b"\x3f\xff\x7f\x02\x05\x00".to_vec(),
        b"\x04\x88\x00\x00\x00\x00\x00\x00\x00\x01x".to_vec(),
        b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff\x04\x00".to_vec(),
        b"\x04\x89\x01\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(),
    ];
    all.push(PKI.ca.certificate.der().to_vec());
    all.push(without_attributes(
        &PKI.signers[2],
        CONTENTS[0],
        CONTENTS[0],
    ));
    all
}

fn mime() -> Vec<Vec<u8>> {
    let clear = clear_signed();
    let opaque = options(SignForm::Opaque, Form::Smime, false);
    let opaque = sign_with(&PKI.signers[1], CONTENTS[0], &opaque);
    let bare: Vec<u8> = clear.iter().copied().filter(|b| *b != b'\r').collect();
    let mbox = [b"From alice Thu Jan  1 00:00:00 2026\n".as_slice(), &bare].concat();
    vec![
        clear,
        bare,
        mbox,
        opaque,
        PKI.ca.certificate.to_pem().into_bytes(),
        CONTENTS[1].to_vec(),
        b"\xef\xbb\xbf\r\n  MIIBgQYJKoZIhvcNAQcCoIIBcjCCAW4CAQExDTALBglghkgBZQME\n".to_vec(),
        b"Content-Type: application/pkcs7-mime; name*0=\"sm\"; name*1=ime.p7m;\r\n smime-type=signed-data\r\n\
          Content-Transfer-Encoding: quoted-printable\r\n\r\n0=80=\r\n=06=09*\r\n"
            .to_vec(),
        b"Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=\"sha-256,md5\";\r\n \
          boundary=\"b=?x\"\r\n\r\n--b=?x\r\n\r\n\r\n--b=?x\r\nContent-Type: application/pkcs7-signature\r\n\
          Content-Transfer-Encoding: base64\r\n\r\nMAA=\r\n--b=?x--\r\nepilogue"
            .to_vec(),
        b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment;\r\n filename*=utf-8''smime.p7m\r\n\
          Content-Transfer-Encoding: 8bit\r\n\r\n0\x80\x00\x00"
            .to_vec(),
    ]
}

fn headers() -> Vec<Vec<u8>> {
    [
        "From: alice@example.org\r\n",
        "From: Alice <alice@example.org>\r\nSender: bob@example.org\r\n",
        "From: \"alice@example.org\" <mallory@evil.example>\r\n",
        "From: alice@example.org, bob@example.org\r\n",
        "From: alice@example.org\r\nFrom: mallory@evil.example\r\n",
        "From: mallory@evil.example (alice@example.org)\r\n",
        "From: =?utf-8?q?alice=40example=2Eorg?= <mallory@evil.example>\r\n",
        "From: =?utf-8?b?YWxpY2VAZXhhbXBsZS5vcmc=?= =?x?q?y?= <alice@example.org>\r\n",
        "From: ceo@corp.example: alice@example.org;\r\n",
        "From: <@relay.example:alice@example.org>\r\n",
        "From: \"al\\ice\"@example.org\r\n",
        "From: alice@[192.0.2.1]\r\n",
        "From : alice@example.org\r\n",
        "From: alice\r\n @example.org (a (nested) comment)\r\nSubject: =?utf-8?q?x?=\r\n",
        "FROM: ALICE@EXAMPLE.ORG\nTo: undisclosed-recipients:;\n",
        "From: alice@example.org\0@evil.example\r\n",
        "Subject: no From at all\r\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}

fn certificates() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = PKI.signed_by_ca().map(|c| c.der().to_vec()).collect();
    let pem: String = PKI.signed_by_ca().map(Certificate::to_pem).collect();
    all.push(pem.into_bytes());
    all.push(large_certificate());
    all
}

/// Of the authority: in time and too old, with one of the signers revoked or nobody.
pub fn crls() -> Vec<Vec<u8>> {
    let signer = PKI.signers[1].certificate.serial().to_vec();
    let mut all = Vec::new();
    for revoked in [&[][..], &[signer.as_slice()], &[&[1], &[2, 3]]] {
        all.push(PKI.crl("260901000000Z", "270101000000Z", revoked));
        all.push(PKI.crl("250901000000Z", "250902000000Z", revoked));
    }
    all
}

#[cfg(test)]
mod tests {
    use privyseal_smime::verdict::Verdict;
    use privyseal_smime::{SignatureState, decompress, decrypt, verify};

    use super::{clear_signed, of};
    use crate::judge;
    use crate::keys::{CONTENTS, PKI};
    use crate::opener::Opener;
    use crate::pieces::Pieces;

    /// A fuzzer that starts from messages which fail at once finds nothing.
    #[test]
    fn messages_to_start_from_open_and_are_good() {
        for target in ["enveloped", "auth_enveloped"] {
            for (n, seed) in of(target).iter().enumerate() {
                let mut plain = Vec::new();
                decrypt(&mut Pieces::whole(seed), &Opener, &mut plain)
                    .unwrap_or_else(|e| panic!("{target} {n}: {e}"));
                assert!(super::was_encrypted(&plain));
            }
        }
        for seed in of("compressed") {
            decompress(&mut Pieces::whole(&seed), &mut Vec::new()).unwrap();
        }
        let (mut good, mut invalid, mut detached) = (0, 0, 0);
        for seed in of("signed") {
            let mut content = Pieces::whole(CONTENTS[0]);
            let mut message = Pieces::whole(&seed);
            let outcome = verify(&mut message, None, &[]).or_else(|_| {
                detached += 1;
                verify(&mut Pieces::whole(&seed), Some(&mut content), &[])
            });
            let outcome = outcome.unwrap();
            match judge::verdict(&outcome).0 {
                Verdict::Good => good += 1,
                _ if outcome.signers[0].state == SignatureState::Valid => panic!("{outcome:?}"),
                _ => invalid += 1,
            }
        }
        // each signer: nine with content, three without, of which one is over the content that is given, one without
        // attributes, one attack; and the letter and the large key
        assert_eq!((good, invalid, detached), (3 * 11 + 1, 3 * 3 + 1, 9));
    }

    /// CVE-2021-43527
    #[test]
    fn a_key_and_a_signature_above_64_kib_are_invalid_and_no_more() {
        let message = super::of_a_large_key();
        assert!(message.len() > 200_000);
        let outcome = verify(&mut Pieces::whole(&message), None, &[]).unwrap();
        let signer = &outcome.signers[0];
        let certificate = signer.certificate.as_ref().unwrap();
        assert!(certificate.spki_der().len() > 70_000);
        assert!(signer.state != SignatureState::Valid, "{signer:?}");
        assert!(judge::verdict(&outcome).0 != Verdict::Good);
    }

    #[test]
    fn crls_and_headers_to_start_from_are_looked_at() {
        let leaf = &PKI.signers[1].certificate;
        let said: Vec<String> = super::crls()
            .into_iter()
            .map(|crl| judge::path(leaf, &[], &[crl], privyseal_pki::Revocation::Soft).revocation)
            .collect();
        assert_eq!(said[0], "good");
        assert_eq!(said[2], "revoked");
        let verdicts: Vec<Verdict> = of("header_verdict")
            .iter()
            .map(|headers| {
                let message = [headers, &clear_signed()[..]].concat();
                judge::verdict(&verify(&mut Pieces::whole(&message), None, &[]).unwrap()).0
            })
            .collect();
        let good = verdicts.iter().filter(|v| **v == Verdict::Good).count();
        assert!((3..verdicts.len() - 5).contains(&good), "{verdicts:?}");
    }
}
