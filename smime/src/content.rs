//! ContentInfo (RFC 5652 §3): the content types, and the way into one.

use std::io::Read;

use der::asn1::ObjectIdentifier;

use crate::algorithm_id::oid;
use crate::ber::{Header, Reader, id, single, tag};
use crate::error::{Error, Result};

pub(crate) const ID_DATA: ObjectIdentifier = const_oid::db::rfc5911::ID_DATA;
pub(crate) const ID_SIGNED_DATA: ObjectIdentifier = const_oid::db::rfc5911::ID_SIGNED_DATA;
pub(crate) const ID_ENVELOPED_DATA: ObjectIdentifier = const_oid::db::rfc5911::ID_ENVELOPED_DATA;
pub(crate) const ID_AUTH_ENVELOPED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.23");
pub(crate) const ID_COMPRESSED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.9");

/// Longest object identifier that is looked at, bytes.
const OID_MAX: usize = 64;

/// Goes into a ContentInfo up to its content, whose type it returns; [`leave`] goes out again.
pub(crate) fn enter<R: Read>(reader: &mut Reader<R>) -> Result<ObjectIdentifier> {
    reader.enter_universal(tag::SEQUENCE, "a CMS object (ContentInfo)")?;
    let content_type = read_oid(reader, "contentType")?;
    let content = reader.expect("content")?;
    if !content.is_context(0) {
        return Err(Error::malformed("content expected"));
    }
    reader.enter(&content)?;
    Ok(content_type)
}

/// Out of a ContentInfo whose content was read, to the end of the input.
pub(crate) fn leave<R: Read>(mut reader: Reader<R>) -> Result<()> {
    reader.leave()?;
    reader.leave()?;
    reader.finish()
}

/// Into eContent of an EncapsulatedContentInfo (RFC 5652 §5.2), whose octets come next; `None` if there is none.
pub(crate) fn enter_octets<R: Read>(reader: &mut Reader<R>) -> Result<Option<Header>> {
    let Some(explicit) = reader.next()? else {
        return Ok(None);
    };
    if !explicit.is_context(0) {
        return Err(Error::malformed("eContent expected"));
    }
    reader.enter(&explicit)?;
    let octets = reader.expect("eContent")?;
    if !octets.is_universal(tag::OCTET_STRING) {
        return Err(Error::malformed("eContent that is no OCTET STRING"));
    }
    Ok(Some(octets))
}

/// The next element, an OBJECT IDENTIFIER.
pub(crate) fn read_oid<R: Read>(
    reader: &mut Reader<R>,
    what: &'static str,
) -> Result<ObjectIdentifier> {
    let header = reader.expect(what)?;
    if !header.is_universal(tag::OID) || header.constructed {
        return Err(Error::malformed(format!("{what} expected")));
    }
    oid(single(&reader.element(&header, OID_MAX)?, id::OID, what)?.content)
}
