//! The little of introspection XML that must be compared: interfaces and their members.

use std::collections::BTreeMap;

/// One argument: `in` or `out` (signals: `out`), type, and name if it has one.
#[derive(Clone, Debug, Eq)]
pub struct Argument {
    direction: String,
    kind: String,
    name: Option<String>,
}

/// A name on one side only does not count.
impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        let names = self.name.is_none() || other.name.is_none() || self.name == other.name;
        names && self.direction == other.direction && self.kind == other.kind
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    Method(Vec<Argument>),
    Signal(Vec<Argument>),
    /// type and access
    Property(String, String),
}

/// Interface to member name to member.
pub type Interfaces = BTreeMap<String, BTreeMap<String, Member>>;

pub fn parse(xml: &str) -> Interfaces {
    let mut interfaces = Interfaces::new();
    let mut interface = String::new();
    let mut member = String::new();
    for tag in xml.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else {
            continue;
        };
        let attribute = |name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let element = tag.split([' ', '/']).next().unwrap();
        match element {
            "interface" => {
                interface = attribute("name").unwrap();
                interfaces.insert(interface.clone(), BTreeMap::new());
            }
            "method" | "signal" | "property" => {
                member = attribute("name").unwrap();
                let new = match element {
                    "method" => Member::Method(Vec::new()),
                    "signal" => Member::Signal(Vec::new()),
                    _ => Member::Property(attribute("type").unwrap(), attribute("access").unwrap()),
                };
                interfaces
                    .get_mut(&interface)
                    .unwrap()
                    .insert(member.clone(), new);
            }
            "arg" => {
                let members = interfaces.get_mut(&interface).unwrap();
                let (arguments, default) = match members.get_mut(&member).unwrap() {
                    Member::Method(arguments) => (arguments, "in"),
                    Member::Signal(arguments) => (arguments, "out"),
                    Member::Property(..) => panic!("a property with an argument"),
                };
                arguments.push(Argument {
                    direction: attribute("direction").unwrap_or_else(|| default.to_owned()),
                    kind: attribute("type").unwrap(),
                    name: attribute("name"),
                });
            }
            _ => {}
        }
    }
    interfaces
}
