//! The MIME scanner: what is it, and what is in it. How the bytes are cut makes no difference.

use std::io::Read;

use privyseal_smime::mime::{CanonicalReader, CrlfHasher, Opened, open, pem};
use privyseal_smime::{DigestAlgorithm, Headers, Result};

use crate::pieces::{Pieces, assert_alike};

/// What was found, read to its end.
#[derive(Debug)]
enum Found {
    Cms(Headers, Vec<u8>),
    /// content, signature, and whether there is text outside
    Signed(
        Headers,
        Vec<u8>,
        Vec<u8>,
        #[allow(dead_code, reason = "compared as it is shown")] bool,
    ),
    Other(Headers, Vec<u8>),
}

pub fn run(data: &[u8]) {
    let whole = found(Pieces::whole(data));
    assert_alike(&whole, &found(Pieces::small(data)));
    match &whole {
        Ok(Found::Cms(headers, content) | Found::Other(headers, content)) => {
            assert!(content.len() <= data.len());
            look_at(headers);
        }
        Ok(Found::Signed(headers, content, signature, _)) => {
            assert!(content.len() + signature.len() <= data.len());
            look_at(headers);
        }
        Err(_) => {}
    }
    canonical(data);
    if let Ok(blocks) = pem::blocks(data, &["CERTIFICATE", "CMS"]) {
        assert!(blocks.iter().map(Vec::len).sum::<usize>() <= data.len());
    }
}

fn found(pieces: Pieces<'_>) -> Result<Found> {
    let mut content = Vec::new();
    Ok(match open(Box::new(pieces.reader()))? {
        Opened::Cms {
            headers, mut body, ..
        } => {
            body.read_to_end(&mut content)?;
            Found::Cms(headers, content)
        }
        Opened::Signed(mut multipart) => {
            let headers = multipart.headers.clone();
            multipart.content(&mut |bytes| {
                content.extend_from_slice(bytes);
                Ok(())
            })?;
            let (signature, outside) = multipart.signature()?;
            Found::Signed(headers, content, signature, outside)
        }
        Opened::Other { headers, mut body } => {
            body.read_to_end(&mut content)?;
            Found::Other(headers, content)
        }
    })
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
