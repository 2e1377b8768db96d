//! Addresses that a person reads in a field and that are not its addresses: `"alice@example.org" <mallory@evil.example>`.
//!
//! Mail programs show the display name, and many show nothing else. A signature by the address in the angles says nothing of the
//! one that is shown (design rule 10), so such a field is told apart. Comments are shown as well, by some. What counts is what is
//! seen: characters without a look of their own are passed over, and those that look like another stand for it.

use std::collections::HashSet;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

use super::words::{self, Reading};
use crate::mailbox::Mailbox;

/// Everything in the field that looks like a mail address and is none of `addresses`, in the order it is shown.
pub(super) fn beside(field: &str, addresses: &[String]) -> Vec<String> {
    let mut known: HashSet<Mailbox> = addresses.iter().filter_map(|a| Mailbox::parse(a)).collect();
    let mut all = Vec::new();
    for reading in Reading::ALL {
        for shown in look_alikes(&seen(&words::decode(field, reading))) {
            if Mailbox::parse(&shown).is_none_or(|mailbox| known.insert(mailbox)) {
                all.push(shown);
            }
        }
    }
    all
}

/// The text as it looks: compatibility forms are what they stand for (UAX #15: `＠`, `﹫`, `．`, `ｅ`), and what has no look is
/// gone. So is U+FFFD, which stands for bytes that some readers leave out. The full stops of IDNA (RFC 3490 §3.1) are dots.
fn seen(text: &str) -> String {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    ComposingNormalizerBorrowed::new_nfkc()
        .normalize(text)
        .chars()
        .filter(|c| *c == '\t' || !(c.is_control() || *c == '\u{fffd}' || ignorable.contains(*c)))
        .map(|c| if c == '\u{3002}' { '.' } else { c })
        .collect()
}

/// `local@domain.domain`, wherever it stands.
fn look_alikes(text: &str) -> impl Iterator<Item = String> {
    text.match_indices('@').filter_map(|(at, _)| {
        let (before, after) = text.split_at_checked(at)?;
        // a backslash is not shown in quoted strings and comments; `CORP\alice@example.org` is
        let local = before
            .trim_end_matches('\\')
            .rsplit(|c| !is_local(c))
            .next()?
            .trim_matches(['.', '\'']);
        let domain: String = after
            .get(1..)?
            .chars()
            .take_while(|c| is_domain(*c) || *c == '\\')
            .filter(|c| *c != '\\')
            .collect();
        let domain = domain.trim_matches('.');
        (!local.is_empty() && domain.contains('.')).then(|| format!("{local}@{domain}"))
    })
}

fn is_local(c: char) -> bool {
    is_letter(c) || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

fn is_domain(c: char) -> bool {
    is_letter(c) || c == '-' || c == '.'
}

/// With the marks upon it.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric()
        || GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}
