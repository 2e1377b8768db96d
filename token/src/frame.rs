//! Length-framed postcard over a socketpair: a u32-LE length, then that many bytes.
//!
//! Frames may carry PINs and derived keys, so each lives in one buffer of its final size that is wiped when dropped.

use std::io::{self, ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Longest request, in bytes after the length.
pub(crate) const MAX_REQUEST: usize = 64 * 1024;
/// Longest reply: lists of certificates are long.
pub(crate) const MAX_REPLY: usize = 4 * 1024 * 1024;

const PREFIX: usize = 4;

/// A frame's bytes.
pub(crate) type Frame = Zeroizing<Vec<u8>>;

/// The whole frame of `value`, prefix included; `InvalidInput` if it would be longer than `max`.
pub(crate) fn encode<T: Serialize>(value: &T, max: usize) -> io::Result<Frame> {
    let len = postcard::experimental::serialized_size(value).map_err(io::Error::other)?;
    let prefix = u32::try_from(len)
        .ok()
        .filter(|_| len <= max)
        .ok_or(ErrorKind::InvalidInput)?;
    let mut frame = Zeroizing::new(vec![0; len.saturating_add(PREFIX)]);
    let (head, body) = frame
        .split_at_mut_checked(PREFIX)
        .ok_or(ErrorKind::InvalidInput)?;
    head.copy_from_slice(&prefix.to_le_bytes());
    postcard::to_slice(value, body).map_err(io::Error::other)?;
    Ok(frame)
}

/// The value in a frame's body, which must hold nothing else.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(io::Error::new(
            ErrorKind::InvalidData,
            "bytes after the message",
        )),
        Err(e) => Err(io::Error::new(ErrorKind::InvalidData, e)),
    }
}

/// The next frame's body, or `None` at the end of the stream; `InvalidData` if it says it is longer than `max`.
pub(crate) fn read(stream: &mut impl Read, max: usize) -> io::Result<Option<Frame>> {
    read_to(stream, max, |_| ())
}

/// [`read`]; `prepare` gets the memory before anything is in it.
pub(crate) fn read_to(
    stream: &mut impl Read,
    max: usize,
    prepare: impl FnOnce(&[u8]),
) -> io::Result<Option<Frame>> {
    let mut prefix = [0; PREFIX];
    // only the end *between* frames is an orderly one
    match stream.read(&mut prefix)? {
        0 => return Ok(None),
        n => stream.read_exact(prefix.get_mut(n..).unwrap_or_default())?,
    }
    let len = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if len > max {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("a frame of {len} bytes; {max} are allowed"),
        ));
    }
    let mut body = Zeroizing::new(vec![0; len]);
    prepare(&body);
    stream.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Sends a whole frame.
pub(crate) fn write(stream: &mut impl Write, frame: &Frame) -> io::Result<()> {
    stream.write_all(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_at_the_limit_passes_and_one_past_it_does_not() {
        // postcard: 2 bytes of length before a byte string of 128 to 16383 bytes
        let at = vec![7_u8; 998];
        let frame = encode(&at, 1000).unwrap();
        let body = read(&mut frame.as_slice(), 1000).unwrap().unwrap();
        assert_eq!(decode::<Vec<u8>>(&body).unwrap(), at);

        let past = vec![7_u8; 999];
        assert_eq!(
            encode(&past, 1000).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let frame = encode(&past, 1001).unwrap();
        assert_eq!(
            read(&mut frame.as_slice(), 1000).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
    }

    #[test]
    fn the_end_between_frames_is_orderly_and_inside_one_is_not() {
        assert!(read(&mut [].as_slice(), 10).unwrap().is_none());
        let frame = encode(&[1_u8, 2, 3].as_slice(), 10).unwrap();
        for cut in 1..frame.len() {
            let kind = read(&mut &frame[..cut], 10).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::UnexpectedEof, "cut at {cut}");
        }
    }

    #[test]
    fn bytes_after_the_message_are_refused() {
        let body = [1, 2, 3];
        assert_eq!(
            decode::<u8>(&body).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        assert_eq!(decode::<[u8; 3]>(&body).unwrap(), body);
    }

    #[test]
    fn a_length_that_claims_more_than_there_is_allocates_nothing_for_it() {
        // a byte string that says it has 2^32 - 1 bytes
        let body = [0xff, 0xff, 0xff, 0xff, 0x0f, 1];
        assert!(decode::<Vec<u8>>(&body).is_err());
    }
}
