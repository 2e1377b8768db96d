//! `[labels]`: which security labels may be read here (RFC 2634 §3).

use std::collections::BTreeMap;

use der::asn1::ObjectIdentifier;
use privyseal_smime::ess::SecurityLabel;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// what happens to a message with a label of a policy that `clearance` does not name
    pub unknown: UnknownLabels,
    /// policies that are known here, each with the highest classification that may be read
    #[serde(deserialize_with = "clearance")]
    pub clearance: BTreeMap<ObjectIdentifier, u16>,
}

/// RFC 2634 §3.2 advises to refuse; most people have no policies, and would miss mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownLabels {
    #[default]
    Show,
    Refuse,
}

/// `"1.2.3.4" = "secret"`, or a number.
fn clearance<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<ObjectIdentifier, u16>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Level {
        Number(u64),
        Word(String),
    }
    let mut all = BTreeMap::new();
    for (policy, level) in BTreeMap::<String, Level>::deserialize(from)? {
        let oid = ObjectIdentifier::new(&policy)
            .map_err(|_| D::Error::custom(format!("{policy:?} is no object identifier")))?;
        let text = match level {
            Level::Number(number) => number.to_string(),
            Level::Word(word) => word,
        };
        let level = SecurityLabel::classification_from_text(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is no classification: a number from 0 to 256, or \"unmarked\", \"unclassified\", \"restricted\", \
                 \"confidential\", \"secret\", \"top-secret\""
            ))
        })?;
        all.insert(oid, level);
    }
    Ok(all)
}
