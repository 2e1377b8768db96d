//! Security labels (RFC 2634 §3).

use der::asn1::ObjectIdentifier;

use super::{elements, number};
use crate::algorithm_id::oid;
use crate::ber::{Cursor, constructed, id, single, tlv};
use crate::error::{Error, Result};
use crate::limits;

/// ESSSecurityLabel. Two are equal when they say the same, in whatever order their categories stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityLabel {
    /// security-policy-identifier: whose rules the rest is to be understood by
    pub policy: ObjectIdentifier,
    /// security-classification, 0 to 256; below 6 it has a word, above the policy gives it a meaning
    pub classification: Option<u16>,
    pub privacy_mark: Option<String>,
    /// sorted
    pub categories: Vec<SecurityCategory>,
}

/// SecurityCategory: what it means is the policy's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecurityCategory {
    pub kind: ObjectIdentifier,
    /// DER
    pub value: Vec<u8>,
}

/// RFC 2634 §3.2, SecurityClassification.
const WORDS: [&str; 6] = [
    "unmarked",
    "unclassified",
    "restricted",
    "confidential",
    "secret",
    "top-secret",
];

/// ub-integer-options
const CLASSIFICATION_MAX: u16 = 256;
/// ub-privacy-mark-length, of a PrintableString
const PRINTABLE_MAX: usize = 128;

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

impl SecurityLabel {
    /// From `POLICY_OID:CLASSIFICATION[:PRIVACY MARK]`; the classification is a number or one of RFC 2634's words.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]
    pub fn from_text(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::InvalidOption(format!("the label {text:?}: {what}"));
        let mut parts = text.splitn(3, ':');
        let policy = parts.next().unwrap_or_default();
        let policy = ObjectIdentifier::new(policy)
            .map_err(|_| wrong(format!("{policy:?} is no object identifier")))?;
        let level = parts.next().ok_or_else(|| {
            wrong("a classification is missing (POLICY_OID:CLASSIFICATION)".into())
        })?;
        let classification = Self::classification_from_text(level).ok_or_else(|| {
            wrong(format!(
                "{level:?} is no classification: a number up to {CLASSIFICATION_MAX}, or {}",
                WORDS.join(", ")
            ))
        })?;
        let privacy_mark = parts.next().map(str::to_owned);
        if let Some(mark) = &privacy_mark
            && (mark.is_empty()
                || mark.len() > limits::PRIVACY_MARK
                || mark.contains(char::is_control))
        {
            return Err(wrong(format!(
                "a privacy mark has 1 to {} bytes and no control characters",
                limits::PRIVACY_MARK
            )));
        }
        Ok(SecurityLabel {
            policy,
            classification: Some(classification),
            privacy_mark,
            categories: Vec::new(),
        })
    }

    /// A number from 0 to 256, or a word.
    pub fn classification_from_text(text: &str) -> Option<u16> {
        let word = WORDS.iter().position(|word| *word == text);
        word.and_then(|place| u16::try_from(place).ok())
            .or_else(|| text.parse().ok())
            .filter(|level| *level <= CLASSIFICATION_MAX)
    }

    /// The word of RFC 2634 for the classification, where it has one.
    pub fn word(&self) -> Option<&'static str> {
        let level = usize::from(self.classification?);
        WORDS.get(level).copied()
    }

    /// From a SET, its elements in any order, each at most once.
    pub(super) fn parse(der: &[u8]) -> Result<Self> {
        let set = single(der, id::SET, "a security label")?;
        let (mut policy, mut classification, mut mark, mut categories) = (None, None, None, None);
        let mut cursor = Cursor::new(set.content);
        while let Some(element) = cursor.next()? {
            let twice = match element.id {
                id::OID => policy.replace(oid(element.content)?).is_some(),
                id::INTEGER => {
                    let level = number(element.content, CLASSIFICATION_MAX, "a classification")?;
                    classification.replace(level).is_some()
                }
                UTF8_STRING | PRINTABLE_STRING => {
                    let text = privacy_mark(element.id, element.content)?;
                    mark.replace(text).is_some()
                }
                id::SET => categories
                    .replace(self::categories(element.content)?)
                    .is_some(),
                _ => return Err(Error::malformed("an unknown element in a security label")),
            };
            if twice {
                return Err(Error::malformed("an element twice in a security label"));
            }
        }
        Ok(SecurityLabel {
            policy: policy.ok_or_else(|| Error::malformed("a security label without a policy"))?,
            classification,
            privacy_mark: mark,
            categories: categories.unwrap_or_default(),
        })
    }

    pub(crate) fn to_der(&self) -> Result<Vec<u8>> {
        let classification = match self.classification {
            None => Vec::new(),
            Some(level) if level > CLASSIFICATION_MAX => {
                return Err(Error::InvalidOption(format!(
                    "a classification of {level}: the highest is {CLASSIFICATION_MAX}"
                )));
            }
            Some(level) => match level.to_be_bytes() {
                [0, low @ 0..=0x7f] => tlv(id::INTEGER, &[low]),
                both => tlv(id::INTEGER, &both),
            },
        };
        let mark = self.privacy_mark.as_deref().unwrap_or_default();
        let (utf8, printable) = match mark {
            "" => (Vec::new(), Vec::new()),
            mark if mark.len() <= PRINTABLE_MAX && mark.bytes().all(is_printable) => {
                (Vec::new(), tlv(PRINTABLE_STRING, mark.as_bytes()))
            }
            mark => (tlv(UTF8_STRING, mark.as_bytes()), Vec::new()),
        };
        let mut categories: Vec<Vec<u8>> = self
            .categories
            .iter()
            .map(|category| {
                constructed(
                    id::SEQUENCE,
                    &[
                        &tlv(id::context(0), category.kind.as_bytes()),
                        &tlv(id::context_constructed(1), &category.value),
                    ],
                )
            })
            .collect();
        categories.sort_unstable();
        let categories = if categories.is_empty() {
            Vec::new()
        } else {
            tlv(id::SET, &categories.concat())
        };
        // a SET in DER goes by its tags (X.690 §10.3): 2, 6, 12, 17, 19
        Ok(constructed(
            id::SET,
            &[
                &classification,
                &tlv(id::OID, self.policy.as_bytes()),
                &utf8,
                &categories,
                &printable,
            ],
        ))
    }
}

/// EquivalentLabels (RFC 2634 §3.4).
pub(super) fn equivalents(der: &[u8]) -> Result<Vec<SecurityLabel>> {
    let all = single(der, id::SEQUENCE, "equivalent labels")?;
    elements(all.content, limits::EQUIVALENT_LABELS, "equivalent labels")?
        .iter()
        .map(|label| SecurityLabel::parse(label.whole))
        .collect()
}

fn privacy_mark(kind: u8, content: &[u8]) -> Result<String> {
    let (limit, allowed) = if kind == PRINTABLE_STRING {
        (PRINTABLE_MAX, content.iter().all(|b| is_printable(*b)))
    } else {
        (limits::PRIVACY_MARK, true)
    };
    if content.len() > limit {
        return Err(Error::LimitExceeded {
            what: "bytes of a privacy mark",
            limit: limit as u64,
        });
    }
    match std::str::from_utf8(content) {
        Ok(text) if allowed && !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Error::malformed("a privacy mark that is no text")),
    }
}

fn categories(content: &[u8]) -> Result<Vec<SecurityCategory>> {
    let mut all = elements(content, limits::SECURITY_CATEGORIES, "security categories")?
        .iter()
        .map(|element| {
            let mut cursor =
                Cursor::new(single(element.whole, id::SEQUENCE, "a security category")?.content);
            let kind = oid(cursor
                .expect(id::context(0), "type of a security category")?
                .content)?;
            let value =
                cursor.expect(id::context_constructed(1), "value of a security category")?;
            cursor.end("a security category")?;
            Ok(SecurityCategory {
                kind,
                value: value.content.to_vec(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort_unstable();
    Ok(all)
}

/// X.680 §41.4
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}
