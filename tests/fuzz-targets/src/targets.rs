//! One module a target.

pub mod ber;
pub mod certificate;
pub mod compressed;
pub mod crl;
pub mod enveloped;
pub mod header_verdict;
pub mod mime;
pub mod signed;
