//! The MIME scanner: what is it, and what is in it. How the bytes are cut makes no difference.

use std::io::Read;

use privyseal_smime::mime::{CanonicalReader, CrlfHasher, Opened, open, pem};
use privyseal_smime::{DigestAlgorithm, Error, Headers};

use crate::pieces::Pieces;

/// What was found.
#[derive(Debug, PartialEq)]
enum Found {
    Cms(Headers, Vec<u8>, Option<String>),
    Signed(Headers, Vec<u8>, Result<(Vec<u8>, bool), String>),
    Other(Headers, Vec<u8>),
    Refused(String),
}

pub fn run(data: &[u8]) {
    let whole = found(Pieces::whole(data));
    let small = found(Pieces::small(data));
    assert!(whole == small, "the pieces it comes in make a difference");
    match &whole {
        Found::Cms(headers, content, _) | Found::Other(headers, content) => {
            assert!(content.len() <= data.len());
            look_at(headers);
        }
        Found::Signed(headers, content, signature) => {
            assert!(content.len() <= data.len());
            if let Ok((signature, _)) = signature {
                assert!(signature.len() <= data.len());
            }
            look_at(headers);
        }
        Found::Refused(_) => {}
    }
    canonical(data);
    if let Ok(blocks) = pem::blocks(data, &["CERTIFICATE", "CMS"]) {
        assert!(blocks.iter().map(Vec::len).sum::<usize>() <= data.len());
    }
}

fn found(pieces: Pieces<'_>) -> Found {
    match open(Box::new(pieces.reader())) {
        Err(error) => Found::Refused(refusal(error)),
        Ok(Opened::Cms {
            headers, mut body, ..
        }) => {
            let mut content = Vec::new();
            let error = body.read_to_end(&mut content).err();
            let error = error.map(|e| refusal(e.into()));
            // how much comes before an error depends on the pieces
            if error.is_some() {
                content.clear();
            }
            Found::Cms(headers, content, error)
        }
        Ok(Opened::Signed(mut multipart)) => {
            let headers = multipart.headers.clone();
            let mut content = Vec::new();
            let result = multipart.content(&mut |bytes| {
                content.extend_from_slice(bytes);
                Ok(())
            });
            let signature = match result {
                Ok(()) => multipart.signature().map_err(refusal),
                Err(error) => {
                    content.clear();
                    Err(refusal(error))
                }
            };
            Found::Signed(headers, content, signature)
        }
        Ok(Opened::Other { headers, mut body }) => {
            let mut content = Vec::new();
            body.read_to_end(&mut content).unwrap();
            Found::Other(headers, content)
        }
    }
}

fn refusal(error: Error) -> String {
    match error {
        Error::Malformed(_) | Error::LimitExceeded { .. } | Error::UnsupportedAlgorithm(_) => {
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

fn look_at(headers: &Headers) {
    let _ = headers.content_type();
    let _ = headers.are_of_a_letter();
    for (name, value) in headers.fields() {
        assert!(headers.count(name) > 0);
        assert!(!value.contains(['\r', '\n']), "{name}: {value:?}");
    }
}

/// Line ends: once canonical, always canonical; and the hasher hashes what the reader reads.
fn canonical(data: &[u8]) {
    let convert = |bytes: &[u8]| {
        let mut out = Vec::new();
        CanonicalReader::new(bytes).read_to_end(&mut out).unwrap();
        out
    };
    let once = convert(data);
    assert!(once.len() <= 2 * data.len());
    assert_eq!(convert(&once), once);
    let mut small = Vec::new();
    CanonicalReader::new(Pieces::small(data).reader())
        .read_to_end(&mut small)
        .unwrap();
    assert_eq!(small, once);

    let hash = |bytes: &[u8], step: usize| {
        let mut hasher = CrlfHasher::new([DigestAlgorithm::Sha256]);
        bytes.chunks(step).for_each(|piece| hasher.update(piece));
        hasher.finish()
    };
    let (digests, as_it_came) = hash(data, data.len().max(1));
    assert_eq!(as_it_came.is_some(), once != data);
    let small = hash(data, data.len() / 97 + 1);
    assert_eq!(
        format!("{:?}", (&digests, &as_it_came)),
        format!("{small:?}")
    );
    assert_eq!(
        format!("{digests:?}"),
        format!("{:?}", hash(&once, once.len().max(1)).0)
    );
}
