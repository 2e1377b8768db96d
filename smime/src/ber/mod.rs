//! BER (X.690) as a stream: what CMS needs, with bounds. `der` cannot do it (indefinite lengths, segmented content).

mod reader;
mod slice;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{Class, Header, Reader};
pub(crate) use slice::{Cursor, Tlv, id, single};
pub(crate) use writer::{HELD, constructed};
pub use writer::{Writer, tlv};

/// Universal tag numbers (X.680 §8.6).
pub mod tag {
    pub const INTEGER: u32 = 2;
    pub const OCTET_STRING: u32 = 4;
    pub const OID: u32 = 6;
    pub const SEQUENCE: u32 = 16;
    pub const SET: u32 = 17;
}
