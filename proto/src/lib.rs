//! The wire contract between `privyseald` and its clients: names, object paths, errors, limits, proxies, and (in `xml/`) the
//! interfaces as they are introspected. No cryptography, no policy.

mod error;
pub mod limits;
mod paths;
pub mod proxy;

use std::collections::HashMap;

pub use error::{ErrorName, Failure};
pub use paths::{certificate_path, job_path, module_path, token_path};

/// Options and results: `a{sv}`.
pub type Dict = HashMap<String, zbus::OwnedVariant>;

/// Well-known bus name.
pub const BUS_NAME: &str = "org.privyseal1";
/// Manager, Cms, Mail and AgentManager live here.
pub const ROOT_PATH: &str = "/org/privyseal1";
/// ObjectManager over modules, tokens and certificates on tokens.
pub const OBJECTS_PATH: &str = "/org/privyseal1/objects";
/// Version of the bus interface and of the JSON output (`"schema"`).
pub const VERSION: u32 = 1;

/// The interfaces as checked in: (name, XML of one `<interface>` element).
pub const INTERFACES: [(&str, &str); 11] = [
    (
        "org.privyseal1.Manager",
        include_str!("../xml/org.privyseal1.Manager.xml"),
    ),
    (
        "org.privyseal1.Module",
        include_str!("../xml/org.privyseal1.Module.xml"),
    ),
    (
        "org.privyseal1.Token",
        include_str!("../xml/org.privyseal1.Token.xml"),
    ),
    (
        "org.privyseal1.Certificate",
        include_str!("../xml/org.privyseal1.Certificate.xml"),
    ),
    (
        "org.privyseal1.Key",
        include_str!("../xml/org.privyseal1.Key.xml"),
    ),
    (
        "org.privyseal1.Cms",
        include_str!("../xml/org.privyseal1.Cms.xml"),
    ),
    (
        "org.privyseal1.Mail",
        include_str!("../xml/org.privyseal1.Mail.xml"),
    ),
    (
        "org.privyseal1.Audit",
        include_str!("../xml/org.privyseal1.Audit.xml"),
    ),
    (
        "org.privyseal1.Job",
        include_str!("../xml/org.privyseal1.Job.xml"),
    ),
    (
        "org.privyseal1.AgentManager",
        include_str!("../xml/org.privyseal1.AgentManager.xml"),
    ),
    (
        "org.privyseal1.Agent",
        include_str!("../xml/org.privyseal1.Agent.xml"),
    ),
];

/// How a job ended (`Job.Completed`, `Job.Wait`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Response {
    Ok = 0,
    Cancelled = 1,
    Failed = 2,
}

impl Response {
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Response::Ok,
            1 => Response::Cancelled,
            _ => Response::Failed,
        }
    }
}
