//! Key agreement: points, keying material, X25519, and static keys of the sender.

use const_oid::db::rfc8410::ID_X_25519;
use p256::elliptic_curve::sec1::ToSec1Point;

use super::hostile::no_change_opens_but;
use super::keys::{KEY_AGREEMENT, certificate_with, x25519};
use super::support::{Parts, SoftKeys, gcm_parts, open, openssl_with, pki, random, refusal, seal};
use crate::algorithm::{Cipher, DigestAlgorithm, KeyWrap};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::cert::Certificate;
use crate::content::ID_DATA;
use crate::enveloped::address::issuer_and_serial;
use crate::enveloped::agree::Scheme;
use crate::enveloped::kdf::Kdf;
use crate::error::Error;
use crate::limits::CERTIFICATES;
use crate::mime::Form;

/// A KeyAgreeRecipientInfo whose sender's key is `point`.
fn agreement(
    wrapped: &[u8],
    point: &[u8],
    parameters: &[u8],
    ukm: Option<&[u8]>,
    scheme: &Scheme,
    recipient: &[u8],
) -> Vec<u8> {
    let algorithm = encode(&const_oid::db::rfc5912::ID_EC_PUBLIC_KEY, parameters);
    let originator = originator_key(&algorithm, point);
    agreement_with(&originator, wrapped, ukm, scheme, recipient)
}

/// OriginatorPublicKey with its tag.
fn originator_key(algorithm: &[u8], point: &[u8]) -> Vec<u8> {
    let key = constructed(0x03, &[&[0], point]);
    constructed(id::context_constructed(1), &[algorithm, &key])
}

/// A KeyAgreeRecipientInfo with any OriginatorIdentifierOrKey.
fn agreement_with(
    originator: &[u8],
    wrapped: &[u8],
    ukm: Option<&[u8]>,
    scheme: &Scheme,
    recipient: &[u8],
) -> Vec<u8> {
    let ukm = ukm
        .map(|ukm| tlv(id::context_constructed(1), &tlv(id::OCTET_STRING, ukm)))
        .unwrap_or_default();
    let keys = tlv(
        id::SEQUENCE,
        &constructed(id::SEQUENCE, &[recipient, &tlv(id::OCTET_STRING, wrapped)]),
    );
    constructed(
        id::context_constructed(1),
        &[
            &[id::INTEGER, 1, 3],
            &tlv(id::context_constructed(0), originator),
            &ukm,
            &encode(&scheme.kdf.scheme().unwrap(), &scheme.key_info),
            &keys,
        ],
    )
}

#[test]
fn the_senders_point_may_be_compressed_must_be_on_the_curve_and_ukm_counts() {
    let pki = pki();
    let certificate = pki.certificate("p256");
    let scheme = |ukm: Option<&[u8]>| Scheme {
        kdf: Kdf::X963(DigestAlgorithm::Sha256),
        wrap: KeyWrap::Aes256,
        key_info: encode(&KeyWrap::Aes256.oid(), &[]),
        ukm: ukm.map(<[u8]>::to_vec),
    };
    let spki = certificate
        .parsed()
        .tbs_certificate()
        .subject_public_key_info();
    let theirs =
        p256::PublicKey::from_sec1_bytes(spki.subject_public_key.as_bytes().unwrap()).unwrap();
    let ours = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let secret = p256::ecdh::diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
    let compressed = ours.public_key().to_sec1_point(true).as_bytes().to_vec();
    let uncompressed = ours.public_key().to_sec1_point(false).as_bytes().to_vec();
    let (mut parts, fixed) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let name = issuer_and_serial(&certificate);
    let opener = pki.opener(&["p256"]);
    let curve = |oid: der::asn1::ObjectIdentifier| tlv(id::OID, oid.as_bytes());
    let p256 = curve(crate::cert::Curve::P256.oid());

    for ukm in [None, Some(&b"sixteen bytes or"[..])] {
        let scheme = scheme(ukm);
        let wrapped = scheme.wrap(secret.raw_secret_bytes(), &fixed.key).unwrap();
        for point in [&compressed, &uncompressed] {
            for parameters in [&[][..], &[id::NULL, 0], &p256] {
                parts.infos = vec![agreement(&wrapped, point, parameters, ukm, &scheme, &name)];
                assert!(open(&parts.message(), &opener).is_ok());
            }
        }
        // another ukm, or none, is another key
        parts.infos = vec![agreement(
            &wrapped,
            &uncompressed,
            &[],
            Some(b"other"),
            &scheme,
            &name,
        )];
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::DecryptionFailed
        ));
    }
    let scheme = scheme(None);
    let wrapped = scheme.wrap(secret.raw_secret_bytes(), &fixed.key).unwrap();
    let asked = opener.agreements.get();
    let mut off = uncompressed.clone();
    off[64] ^= 1;
    let p384 = curve(crate::cert::Curve::P384.oid());
    let bad: [(&[u8], &[u8]); 6] = [
        (&off, &[]),
        (&[0], &[]),
        (&[], &[]),
        (&uncompressed[..64], &[]),
        (&[4; 97], &[]),
        (&uncompressed, &p384),
    ];
    for (point, parameters) in bad {
        parts.infos = vec![agreement(&wrapped, point, parameters, None, &scheme, &name)];
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::DecryptionFailed
        ));
    }
    // keys of another length than the cipher's
    for len in [0, 8, 16, 24, 32, 48] {
        parts.infos = vec![agreement(
            &random(len),
            &uncompressed,
            &[],
            None,
            &scheme,
            &name,
        )];
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::DecryptionFailed
        ));
    }
    assert_eq!(
        opener.agreements.get(),
        asked,
        "the token was asked to agree with what is no point"
    );

    // explicit curve parameters; a key wrap we do not know
    parts.infos = vec![agreement(
        &wrapped,
        &uncompressed,
        &tlv(id::SEQUENCE, &[]),
        None,
        &scheme,
        &name,
    )];
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::UnsupportedAlgorithm(_)
    ));
    let other = Scheme {
        key_info: encode(&ID_DATA, &[]),
        ..scheme
    };
    parts.infos = vec![agreement(&wrapped, &uncompressed, &[], None, &other, &name)];
    assert!(matches!(
        refusal(&parts.message(), &opener),
        Error::UnsupportedAlgorithm(_)
    ));
}

/// RFC 7748 §6.1 for the secret; RFC 8418 §2.2: the ukm is HKDF's salt and in the SharedInfo.
#[test]
fn x25519_by_each_kdf_and_with_a_ukm() {
    let bob = x25519(BOB);
    let certificate = bob.certificate.clone();
    let opener = SoftKeys::new(vec![bob]);
    let (mut parts, fixed) = gcm_parts(&pki(), b"text", &[3; 12], 16, &[]);
    let name = issuer_and_serial(&certificate);
    let algorithm = encode(&ID_X_25519, &[]);
    let digests = [
        DigestAlgorithm::Sha256,
        DigestAlgorithm::Sha384,
        DigestAlgorithm::Sha512,
    ];
    let kdfs = digests
        .map(Kdf::Hkdf)
        .into_iter()
        .chain(digests.map(Kdf::X963));
    for kdf in kdfs {
        for wrap in [KeyWrap::Aes128, KeyWrap::Aes192, KeyWrap::Aes256] {
            for ukm in [None, Some(&b"thirty-two bytes or any number.."[..])] {
                let scheme = Scheme {
                    kdf,
                    wrap,
                    key_info: encode(&wrap.oid(), &[]),
                    ukm: ukm.map(<[u8]>::to_vec),
                };
                let wrapped = scheme.wrap(&SHARED, &fixed.key).unwrap();
                let originator = originator_key(&algorithm, &ALICE_PUBLIC);
                let with = |ukm| agreement_with(&originator, &wrapped, ukm, &scheme, &name);
                parts.infos = vec![with(ukm)];
                let (text, outcome) =
                    open(&parts.message(), &opener).unwrap_or_else(|(e, _)| panic!("{kdf:?}: {e}"));
                assert_eq!(text, b"text");
                assert_eq!((outcome.key_management, outcome.weak), ("ecdh", false));
                parts.infos = vec![with(Some(b"other"))];
                assert!(matches!(
                    refusal(&parts.message(), &opener),
                    Error::DecryptionFailed
                ));
            }
        }
    }
    // what a KDF makes of the RFC's secret, by Python's hmac: salt and SharedInfo both carry the ukm
    let scheme = Scheme {
        kdf: Kdf::Hkdf(DigestAlgorithm::Sha256),
        wrap: KeyWrap::Aes256,
        key_info: encode(&KeyWrap::Aes256.oid(), &[]),
        ukm: Some(b"salt".to_vec()),
    };
    assert_eq!(
        crate::cert::hex(&scheme.wrap(&SHARED, &[7; 32]).unwrap()),
        WRAPPED_UNDER_HKDF
    );
}

#[test]
fn x25519_refuses_secrets_that_everybody_knows_and_keys_of_other_kinds() {
    let bob = x25519(BOB);
    let certificate = bob.certificate.clone();
    let opener = SoftKeys::new(vec![bob]);
    let (mut parts, fixed) = gcm_parts(&pki(), b"text", &[3; 12], 16, &[]);
    let scheme = Scheme {
        kdf: Kdf::Hkdf(DigestAlgorithm::Sha256),
        wrap: KeyWrap::Aes256,
        key_info: encode(&KeyWrap::Aes256.oid(), &[]),
        ukm: None,
    };
    let name = issuer_and_serial(&certificate);
    let ec = const_oid::db::rfc5912::ID_EC_PUBLIC_KEY;
    // points of small order make a secret of zeros
    let mut one = [0; 32];
    one[0] = 1;
    for point in [[0; 32], one] {
        let wrapped = scheme.wrap(&[0; 32], &fixed.key).unwrap();
        let originator = originator_key(&encode(&ID_X_25519, &[]), &point);
        parts.infos = vec![agreement_with(&originator, &wrapped, None, &scheme, &name)];
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::DecryptionFailed
        ));
    }
    let asked = opener.agreements.get();
    let wrapped = scheme.wrap(&SHARED, &fixed.key).unwrap();
    for (algorithm, point) in [
        (ID_X_25519, &ALICE_PUBLIC[..31]),
        (ID_X_25519, &[&ALICE_PUBLIC[..], &[0]].concat()),
        (ID_X_25519, &[]),
        (ec, &ALICE_PUBLIC),
    ] {
        let originator = originator_key(&encode(&algorithm, &[]), point);
        parts.infos = vec![agreement_with(&originator, &wrapped, None, &scheme, &name)];
        assert!(matches!(
            refusal(&parts.message(), &opener),
            Error::DecryptionFailed
        ));
    }
    assert_eq!(opener.agreements.get(), asked);
}

#[test]
fn what_we_encrypt_to_x25519_opens_and_no_change_of_it_does() {
    let bob = x25519(random(32).try_into().unwrap());
    let certificate = bob.certificate.clone();
    let opener = SoftKeys::new(vec![bob]);
    for cipher in [
        Cipher::Aes128Gcm,
        Cipher::Aes256Gcm,
        Cipher::Aes192Cbc,
        Cipher::ChaCha20Poly1305,
    ] {
        let to = [certificate.clone()];
        let message = seal(b"to the point", &to, cipher, false, Form::Der);
        let (text, outcome) = open(&message, &opener).unwrap_or_else(|(e, _)| panic!("{e}"));
        assert_eq!(text, b"to the point");
        assert_eq!(outcome.key_management, "ecdh");
    }
    let message = seal(
        b"to the point",
        &[certificate],
        Cipher::Aes256Gcm,
        false,
        Form::Der,
    );
    // RFC 7748 §5: the top bit of a public key counts for nothing
    no_change_opens_but(&message, &opener, &|at, bits| {
        let key = message.windows(8).position(|w| {
            // id-X25519, then a BIT STRING of 33 bytes with no bits unused
            w == [0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00, w[7]]
        });
        key.is_some_and(|start| at == start + 7 + 31) && bits == 128
    });
    let unusable = certificate_with("short", &ID_X_25519, &[9; 31], KEY_AGREEMENT);
    let options = crate::enveloped::EncryptOptions::default();
    let refused = crate::enveloped::Encryptor::new(Vec::new(), &[unusable], &options);
    assert!(matches!(refused.err(), Some(Error::Certificate(_))));
}

/// A message of P-256 key agreement with the sender's certificate, which `carried` may bring along.
fn by_static_key(scheme: &Scheme, originator: &[u8], carried: &[Certificate]) -> Parts {
    let pki = pki();
    let (mut parts, fixed) = gcm_parts(&pki, b"text", &[3; 12], 16, &[]);
    let sender = pki.opener(&["p256-other"]);
    let recipient = pki.certificate("p256");
    let theirs = recipient
        .parsed()
        .tbs_certificate()
        .subject_public_key_info()
        .subject_public_key
        .raw_bytes()
        .to_vec();
    let secret = crate::KeyOpener::ecdh(&sender, &pki.certificate("p256-other"), &theirs).unwrap();
    let wrapped = scheme.wrap(&secret, &fixed.key).unwrap();
    let ukm = scheme.ukm.clone();
    parts.infos = vec![agreement_with(
        originator,
        &wrapped,
        ukm.as_deref(),
        scheme,
        &issuer_and_serial(&recipient),
    )];
    if !carried.is_empty() {
        let all: Vec<u8> = carried.iter().flat_map(|c| c.der().to_vec()).collect();
        parts.originator_info = tlv(
            id::context_constructed(0),
            &tlv(id::context_constructed(0), &all),
        );
    }
    parts
}

#[test]
fn a_static_key_of_the_sender_is_found_in_the_message_or_where_the_opener_knows_it() {
    let pki = pki();
    let sender = pki.certificate("p256-other");
    let by_name = issuer_and_serial(&sender);
    let by_key = tlv(id::context(0), &sender.ski().unwrap());
    for originator in [&by_name, &by_key] {
        for ukm in [None, Some(b"64 bytes are usual".to_vec())] {
            let scheme = Scheme {
                kdf: Kdf::X963(DigestAlgorithm::Sha1),
                wrap: KeyWrap::Aes256,
                key_info: encode(&KeyWrap::Aes256.oid(), &[]),
                ukm,
            };
            let alone = by_static_key(&scheme, originator, &[]);
            let opener = pki.opener(&["p256"]);
            assert!(matches!(
                refusal(&alone.message(), &opener),
                Error::UnsupportedAlgorithm(_)
            ));
            assert_eq!(opener.agreements.get(), 0);
            let mut knows = pki.opener(&["p256"]);
            knows.others = vec![pki.certificate("rsa"), sender.clone()];
            let both = pki.opener(&["p256", "p256-other"]);
            for opener in [&knows, &both] {
                let (text, outcome) =
                    open(&alone.message(), opener).unwrap_or_else(|(e, _)| panic!("{e}"));
                assert_eq!(
                    (text.as_slice(), outcome.key_management),
                    (&b"text"[..], "ecdh")
                );
            }
            let carried = [pki.certificate("rsa"), sender.clone()];
            let carried = by_static_key(&scheme, originator, &carried);
            assert!(open(&carried.message(), &opener).is_ok());
        }
    }
}

/// openssl makes no such messages, but it opens them: ours are right.
#[test]
fn openssl_opens_what_this_test_makes_of_a_static_key() {
    let pki = pki();
    let scheme = Scheme {
        kdf: Kdf::X963(DigestAlgorithm::Sha256),
        wrap: KeyWrap::Aes256,
        key_info: encode(&KeyWrap::Aes256.oid(), &[]),
        ukm: Some(b"material".to_vec()),
    };
    let sender = pki.certificate("p256-other");
    let message = by_static_key(&scheme, &issuer_and_serial(&sender), &[]).message();
    let args = [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-recip",
        "p256.pem",
        "-inkey",
        "p256.key",
        "-originator",
        "p256-other.pem",
    ];
    assert_eq!(openssl_with(pki.folder.path(), &args, &message), b"text");
}

#[test]
fn certificates_that_a_message_may_carry() {
    let pki = pki();
    let scheme = Scheme {
        kdf: Kdf::X963(DigestAlgorithm::Sha256),
        wrap: KeyWrap::Aes256,
        key_info: encode(&KeyWrap::Aes256.oid(), &[]),
        ukm: None,
    };
    let opener = pki.opener(&["p256"]);
    let sender = pki.certificate("p256-other");
    let name = issuer_and_serial(&sender);
    for (others, fits) in [(CERTIFICATES - 1, true), (CERTIFICATES, false)] {
        let mut carried = vec![pki.certificate("rsa"); others];
        carried.push(sender.clone());
        let message = by_static_key(&scheme, &name, &carried).message();
        match open(&message, &opener) {
            Ok(_) => assert!(fits),
            Err((error, _)) => assert!(
                !fits && matches!(error, Error::LimitExceeded { .. }),
                "{error}"
            ),
        }
    }
    // 1 MiB of them
    let mut parts = by_static_key(&scheme, &name, &[]);
    let padding = tlv(id::SEQUENCE, &vec![0; 1 << 20]);
    parts.originator_info = tlv(
        id::context_constructed(0),
        &tlv(id::context_constructed(0), &padding),
    );
    assert!(open(&parts.message(), &opener).is_err());
    // what is no certificate is nobody's
    parts.originator_info = tlv(
        id::context_constructed(0),
        &tlv(
            id::context_constructed(0),
            &[
                &tlv(id::SEQUENCE, &[]),
                sender.der(),
                &tlv(id::context_constructed(3), &[]),
            ]
            .concat(),
        ),
    );
    assert!(open(&parts.message(), &opener).is_ok());
}

/// RFC 7748 §6.1
const BOB: [u8; 32] = [
    0x5d, 0xab, 0x08, 0x7e, 0x62, 0x4a, 0x8a, 0x4b, 0x79, 0xe1, 0x7f, 0x8b, 0x83, 0x80, 0x0e, 0xe6,
    0x6f, 0x3b, 0xb1, 0x29, 0x26, 0x18, 0xb6, 0xfd, 0x1c, 0x2f, 0x8b, 0x27, 0xff, 0x88, 0xe0, 0xeb,
];
const ALICE_PUBLIC: [u8; 32] = [
    0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
    0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a,
];
const SHARED: [u8; 32] = [
    0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b, 0xf4, 0x80, 0x35, 0x0f, 0x25,
    0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1, 0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c, 0x1e, 0x16, 0x17, 0x42,
];
const WRAPPED_UNDER_HKDF: &str =
    "2331f2049b8b44bbeba1d73f593fab0b1480783d86ac8ac1f31218775f4b961a04ae6344f773553c";
