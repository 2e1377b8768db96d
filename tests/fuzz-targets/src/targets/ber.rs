//! The BER reader: every way to take an element, over any bytes.

use std::io::Read;

use privyseal_smime::Result;
use privyseal_smime::ber::{Class, Header, Reader, tag};
use privyseal_smime::limits::BER_DEPTH;

use crate::pieces::Pieces;

/// What a walk saw; the same however the input is cut.
#[derive(Debug, Default, PartialEq)]
struct Walk {
    headers: Vec<Header>,
    /// bytes of OCTET STRINGs, joined
    content: Vec<u8>,
    error: Option<String>,
}

pub fn run(data: &[u8]) {
    let walk = |pieces: Pieces<'_>| {
        let mut walk = Walk::default();
        let mut reader = Reader::new(pieces.reader());
        let result = enter_all(&mut reader, &mut walk, 0).and_then(|()| reader.finish());
        walk.error = result.err().map(|e| e.to_string());
        walk
    };
    let whole = walk(Pieces::whole(data));
    assert_eq!(whole, walk(Pieces::small(data)));
    assert!(whole.content.len() <= data.len());
    // two bytes make a header at least
    assert!(whole.headers.len() <= data.len() / 2 + 1);

    elements(data);
    skips(data);
}

fn enter_all<R: Read>(reader: &mut Reader<R>, walk: &mut Walk, depth: usize) -> Result<()> {
    assert!(depth <= BER_DEPTH);
    while let Some(peeked) = reader.peek()? {
        let header = reader.next()?.unwrap();
        assert_eq!(peeked, header);
        walk.headers.push(header);
        if header.constructed && !header.is_universal(tag::OCTET_STRING) {
            reader.enter(&header)?;
            enter_all(reader, walk, depth + 1)?;
            reader.leave()?;
        } else {
            reader.octets(&header, &mut |bytes| {
                walk.content.extend_from_slice(bytes);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// A whole element comes back in definite lengths, and then as it is.
fn elements(data: &[u8]) {
    let mut reader = Reader::new(data);
    while let Ok(Some(header)) = reader.next() {
        let Ok(element) = reader.element(&header, 64 << 10) else {
            return;
        };
        assert!(element.len() <= data.len());
        let mut again = Reader::new(element.as_slice());
        let first = again.next().unwrap().unwrap();
        assert!(first.len.is_some());
        assert_eq!(first.class, header.class);
        assert_eq!(first.number, header.number);
        assert_eq!(again.element(&first, 64 << 10).unwrap(), element);
        again.finish().unwrap();
    }
}

fn skips(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut seen = 0;
    while let Ok(Some(header)) = reader.next() {
        assert!(header.class != Class::Universal || header.number != 0);
        seen += 1;
        assert!(seen <= data.len());
        if reader.skip(&header).is_err() {
            return;
        }
    }
}
