//! BER-TLV with tags of up to three bytes (ISO 7816-4 §5.2.2), as PIV uses it.

/// One object.
pub(crate) fn tlv(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = tag
        .to_be_bytes()
        .into_iter()
        .skip_while(|b| *b == 0)
        .collect();
    match value.len() {
        len @ 0..=0x7f => out.push(u8::try_from(len).unwrap_or(0)),
        len @ 0x80..=0xff => out.extend([0x81, u8::try_from(len).unwrap_or(0)]),
        len => {
            out.push(0x82);
            out.extend(u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    out.extend(value);
    out
}

/// The value of the first object with this one-byte tag; `None` also for what cannot be read.
pub(crate) fn value_of(mut data: &[u8], tag: u8) -> Option<&[u8]> {
    loop {
        let (found, rest) = data.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
            0x82 => (
                usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)),
                rest.get(2..)?,
            ),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        if *found == tag {
            return Some(value);
        }
        data = rest;
    }
}
