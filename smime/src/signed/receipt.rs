//! Making a signed receipt (RFC 2634 §2.5, steps 3 to 10).

use std::io::Write;

use super::sign::{certificates, signer_info};
use super::{SignOptions, SignResult, attributes, scheme};
use crate::algorithm_id::encode;
use crate::ber::{constructed, id, tlv};
use crate::cert::Certificate;
use crate::content::ID_SIGNED_DATA;
use crate::error::Result;
use crate::ess::{ID_CT_RECEIPT, Requested};
use crate::key::Signer;
use crate::mime::{CmsWriter, MediaType};

/// Signs the receipt that was asked for and writes it. Of `options` form and canonicalize mean nothing, and `ess` is not looked at:
/// a receipt asks for none and carries no label.
///
/// # Errors
/// As [`super::sign`].
pub fn sign_receipt(
    requested: &Requested,
    output: &mut dyn Write,
    certificate: &Certificate,
    signer: &dyn Signer,
    options: &SignOptions,
) -> Result<SignResult> {
    let scheme = scheme::choose(certificate, options)?;
    let content = requested.receipt.encode()?;
    let attributes = attributes::encode_for_receipt(
        &scheme.digest().digest(&content),
        &requested.msg_sig_digest,
        options.signing_time,
        certificate,
    )?;
    let info = signer_info(certificate, signer, scheme, &attributes)?;
    let explicit = tlv(id::context_constructed(0), &tlv(id::OCTET_STRING, &content));
    let signed_data = constructed(
        id::SEQUENCE,
        &[
            // not 1: the content is no id-data (RFC 5652 §5.1)
            &tlv(id::INTEGER, &[3]),
            &tlv(id::SET, &encode(&scheme.digest().oid(), &[])),
            &constructed(
                id::SEQUENCE,
                &[&tlv(id::OID, ID_CT_RECEIPT.as_bytes()), &explicit],
            ),
            &certificates(std::iter::once(certificate).chain(&options.chain)),
            &tlv(id::SET, &info),
        ],
    );
    let mut out = CmsWriter::new(output, options.format, MediaType::SignedReceipt, true)?;
    out.write_all(&constructed(
        id::SEQUENCE,
        &[
            &tlv(id::OID, ID_SIGNED_DATA.as_bytes()),
            &tlv(id::context_constructed(0), &signed_data),
        ],
    ))?;
    out.finish()?.flush()?;
    Ok(SignResult {
        profile: options.profile.name().to_owned(),
        digest: scheme.digest(),
        algorithm: scheme.name(),
        content_len: content.len() as u64,
        may_break: false,
    })
}
