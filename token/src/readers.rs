//! PC/SC readers by their names, and how one driver is kept to one of them.
//!
//! pcsc-lite ends each name with the reader's number and the slot's, two hexadecimal digits each: `Virtual PCD 00 01`. No two
//! readers share them. OpenSC leaves out readers whose name contains one of its `ignored_readers`; so ignoring all numbers but
//! one shows one reader, whichever others come later.

use serde::{Deserialize, Serialize};

/// Names OpenSC's configuration file.
pub(crate) const OPENSC_CONF: &str = "OPENSC_CONF";
/// The configuration that a worker makes for itself is its standard input: no file that would have to be removed.
pub(crate) const CONF_AT_STDIN: &str = "/proc/self/fd/0";

/// Reader numbers that pcsc-lite may give (PCSCLITE_MAX_READERS_CONTEXTS is 16), with room to grow.
const NUMBERS: std::ops::Range<u8> = 0..64;

/// A reader, as PC/SC tells of it without a connection to its card.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Reader {
    pub name: String,
    /// `None`: empty. The number changes with every card that comes or goes.
    pub card: Option<u16>,
}

/// Which readers a worker sees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub(crate) enum Scope {
    /// whatever the module shows
    All,
    /// this one, by its full name
    Reader(String),
    /// those that are not PC/SC's: without a number
    Unnumbered,
}

impl Scope {
    /// The scope that serves a reader; `None`: [`Scope::Unnumbered`] does.
    pub fn of_reader(name: &str) -> Option<Self> {
        number(name).map(|_| Self::Reader(name.to_owned()))
    }

    /// A slot of this description may be used. Descriptions are cut off after 64 bytes, and may have lost the number.
    pub fn takes(&self, description: &str) -> bool {
        match (self, number(description)) {
            (Self::All, _) | (_, None) => true,
            (Self::Reader(name), other) => number(name) == other,
            (Self::Unnumbered, Some(_)) => false,
        }
    }

    /// Parts of the names of all other readers.
    pub fn hidden(&self) -> Vec<String> {
        let (name, own) = match self {
            Self::All => return Vec::new(),
            Self::Unnumbered => ("", None),
            Self::Reader(name) => (name.as_str(), number(name)),
        };
        let own_reader = own.and_then(|own| own.get(..3));
        let mut hidden: Vec<String> = Vec::new();
        for reader in NUMBERS {
            let reader = format!(" {reader:02X}");
            if own_reader == Some(reader.as_str()) {
                hidden.extend((0..16).map(|slot| format!("{reader} 0{slot:X}")));
            } else {
                hidden.push(format!("{reader} 0"));
            }
        }
        // not itself, even if its name has more numbers
        hidden.retain(|part| !name.contains(part.as_str()));
        hidden
    }
}

/// ` RR SS` at the end of a reader's name.
fn number(name: &str) -> Option<&str> {
    let number = name.get(name.len().checked_sub(6)?..)?;
    let digits = |pair: &[u8]| pair.iter().all(u8::is_ascii_hexdigit);
    match number.as_bytes() {
        [b' ', reader @ .., b' ', s1, s2] if digits(reader) && digits(&[*s1, *s2]) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(name: &str) -> Scope {
        Scope::of_reader(name).unwrap()
    }

    fn hides(scope: &Scope, name: &str) -> bool {
        scope.hidden().iter().any(|part| name.contains(part))
    }

    #[test]
    fn one_reader_is_seen_and_all_others_are_not() {
        let names = [
            "Virtual PCD 00 00",
            "Virtual PCD 00 01",
            "ACME 0A Twin [CCID] (01 02) 01 00",
            "Generic USB Smart Card Reader [CCID Interface] (058F095400000000) 0A 00",
            "later 3F 0F",
        ];
        for own in names {
            for other in names {
                assert_eq!(hides(&reader(own), other), own != other, "{own} / {other}");
            }
            assert!(hides(&Scope::Unnumbered, own));
        }
        assert!(Scope::All.hidden().is_empty());
    }

    #[test]
    fn a_reader_without_a_number_is_nobodys_own() {
        for name in [
            "",
            "00 00",
            "SoftHSM slot ID 0x1f",
            "Reader 0 00",
            "Ünï 00 0é",
            "a 00 0g",
        ] {
            assert_eq!(Scope::of_reader(name), None, "{name}");
            assert!(Scope::Unnumbered.takes(name));
        }
    }

    #[test]
    fn a_slot_of_another_reader_is_not_taken() {
        let own = reader("Virtual PCD 00 00");
        assert!(own.takes("Virtual PCD 00 00"));
        assert!(own.takes("cut off after 64 bytes"));
        assert!(!own.takes("Virtual PCD 00 01"));
        assert!(!Scope::Unnumbered.takes("Virtual PCD 00 01"));
        assert!(Scope::All.takes("Virtual PCD 00 01"));
    }
}
