//! What a message may ask of us. Each limit has a test at it and one past it.

/// BER nesting of one structure.
pub const BER_DEPTH: usize = 32;
/// One element that is held in memory (a SignerInfo, a certificate set), bytes.
pub const ELEMENT: usize = 8 << 20;
/// Certificates in one SignedData.
pub const CERTIFICATES: usize = 256;
/// SignerInfos in one SignedData.
pub const SIGNERS: usize = 64;
/// Certificates that the SignerInfos of one message may mean, in sum: each is tried, and costs a public-key operation.
pub const SIGNATURE_TRIES: usize = 256;
/// RecipientInfos in one EnvelopedData.
pub const RECIPIENTS: usize = 4096;
/// One header section, bytes (a letter to 2,000 people has more than 64 KiB).
pub const HEADERS: usize = 256 << 10;
/// A boundary of a multipart, characters (RFC 2046 §5.1.1 says 70; some senders exceed it).
pub const BOUNDARY: usize = 200;
/// Layers of one message (sign, encrypt, compress), nested.
pub const LAYERS: usize = 8;
/// Multiparts, nested, that are looked through for S/MIME parts.
pub const MULTIPARTS: usize = 16;
/// S/MIME parts below the multiparts of one message.
pub const PARTS: usize = 64;
/// Signed parts below the multiparts of one message whose signatures are verified.
pub const SIGNED_PARTS: usize = 8;
/// One attribute set of a signer, bytes.
pub const ATTRIBUTES: usize = 256 << 10;
/// An encrypted content-encryption key, bytes.
pub const WRAPPED_KEY: usize = 2048;
/// Content of a compressed message for each byte of its compressed form; less than [`INFLATED_FLOOR`] is always allowed.
pub const INFLATED_RATIO: u64 = 100;
/// Content of a compressed message up to here may come from any number of bytes, bytes.
pub const INFLATED_FLOOR: u64 = 1 << 20;
/// How far the beginning of a compressed message may be above its ratio before the rest is waited for, bytes.
pub const INFLATED_AHEAD: u64 = 64 << 20;
/// SMIMECapabilities of one signer; more are passed over.
pub const CAPABILITIES: usize = 128;
/// The description of a contentHints attribute, characters; a longer one is not shown, nor written.
pub const CONTENT_HINT: usize = 1024;
/// Digest algorithms named by one SignedData.
pub const DIGESTS: usize = 64;
/// Content whose signature covers the content itself (Ed25519 or ML-DSA without signed attributes): it is held, bytes.
pub const WHOLE_CONTENT: usize = 1 << 20;
/// Countersignatures of one message, on whatever level.
pub const COUNTERSIGNATURES: usize = 64;
/// Countersignatures upon each other.
pub const COUNTERSIGNATURE_DEPTH: usize = 4;
/// Content of a signed receipt, bytes.
pub const RECEIPT: usize = 64 << 10;
/// Whom one receipt may be sent to (RFC 2634, ub-receiptsTo).
pub const RECEIPTS_TO: usize = 16;
/// Mailing lists that one message passed (RFC 2634, ub-ml-expansion-history).
pub const ML_EXPANSIONS: usize = 64;
/// Categories of one security label (RFC 2634, ub-security-categories).
pub const SECURITY_CATEGORIES: usize = 64;
/// Labels that one label is said to be equivalent to.
pub const EQUIVALENT_LABELS: usize = 64;
/// A privacy mark in UTF-8, bytes (RFC 2634 sets no bound).
pub const PRIVACY_MARK: usize = 1024;
