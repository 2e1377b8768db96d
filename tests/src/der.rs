//! DER messages with another leaf: all lengths around it are made anew.

/// Says what becomes of a primitive element: its tag, its content, its number.
pub type Change<'a> = dyn FnMut(u8, &[u8], usize) -> Option<Vec<u8>> + 'a;

/// The same structure where `change` said nothing about a primitive element (tag, content, its number), else its content. The
/// number counts primitive elements from 0, in their order.
pub fn rewrite(der: &[u8], change: &mut Change<'_>) -> Vec<u8> {
    let mut number = 0;
    elements(der, change, &mut number)
}

fn elements(mut der: &[u8], change: &mut Change<'_>, number: &mut usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !der.is_empty() {
        let (tag, first) = (der[0], usize::from(der[1]));
        let more = first.saturating_sub(0x80);
        let start = 2 + more;
        let len = match more {
            0 => first,
            _ => der[2..start]
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte)),
        };
        let content = &der[start..start + len];
        let content = if tag & 0x20 != 0 {
            elements(content, change, number)
        } else {
            let changed = change(tag, content, *number);
            *number += 1;
            changed.unwrap_or_else(|| content.to_vec())
        };
        out.extend(tlv(tag, &content));
        der = &der[start + len..];
    }
    out
}

/// One element.
pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut out = vec![tag];
    match len {
        0..0x80 => out.push(u8::try_from(len).unwrap()),
        _ => {
            let bytes: Vec<u8> = len
                .to_be_bytes()
                .into_iter()
                .skip_while(|b| *b == 0)
                .collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap());
            out.extend(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}
