//! Who is at the other end of a connection, as far as the bus vouches for it (design rule 18): uid and process id, and whether a
//! sandbox keeps it apart. The program's name is what the kernel says of that process now; the user's processes can make it anything.

use std::fs;
use std::path::Path;

use serde::Serialize;
use zbus::fdo::ConnectionCredentials;

/// Longest name that is kept, bytes.
const NAME_MAX: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// unique name, `:1.42`
    #[serde(rename = "peer")]
    pub name: String,
    pub uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// unverified
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Flatpak's id, or AppArmor's profile
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
}

impl Peer {
    /// What the bus says, and what `/proc` says of that process. `None`: the bus does not say whose it is.
    pub fn of(name: &str, credentials: &ConnectionCredentials) -> Option<Self> {
        let pid = credentials.process_id();
        let process = pid.map(|pid| Path::new("/proc").join(pid.to_string()));
        let process = process.as_deref();
        let label = credentials.linux_security_label();
        Some(Peer {
            name: name.into(),
            uid: credentials.unix_user_id()?,
            pid,
            program: process.and_then(program),
            sandbox: sandbox(process, label.map(Vec::as_slice)),
        })
    }
}

/// In doubt there is one: of a process that is not there to be looked at.
fn sandbox(process: Option<&Path>, label: Option<&[u8]>) -> Option<String> {
    let Some(process) = process.filter(|process| process.exists()) else {
        return Some("unknown".into());
    };
    flatpak(process).or_else(|| label.and_then(confined))
}

/// Flatpak puts `/.flatpak-info` into its sandboxes, also that of the proxy through which they reach the bus. Where `/proc` is not
/// to be looked into (a daemon in a user namespace), the name of the process's scope tells.
fn flatpak(process: &Path) -> Option<String> {
    let info = fs::read_to_string(process.join("root/.flatpak-info"));
    if let Ok(info) = info {
        let name = info.lines().find_map(|line| line.strip_prefix("name="));
        return Some(short(name.unwrap_or("flatpak")));
    }
    scope(&fs::read_to_string(process.join("cgroup")).ok()?)
}

/// `…/app-flatpak-org.example.Mail-1234.scope`
fn scope(cgroup: &str) -> Option<String> {
    let (_, rest) = cgroup.split_once("/app-flatpak-")?;
    let (name, _) = rest.split_once(".scope")?;
    let (id, _) = name.rsplit_once('-')?;
    Some(short(id))
}

/// A profile of AppArmor that holds: `snap.mail.mail (enforce)`. SELinux labels every process, which says nothing.
fn confined(label: &[u8]) -> Option<String> {
    let label = String::from_utf8_lossy(label);
    let (profile, mode) = label.trim_end_matches('\0').rsplit_once(" (")?;
    (!matches!(mode, "unconfined)" | "complain)")).then(|| short(profile))
}

fn program(process: &Path) -> Option<String> {
    if let Ok(path) = fs::read_link(process.join("exe")) {
        return Some(short(&path.to_string_lossy()));
    }
    let name = fs::read_to_string(process.join("comm")).ok()?;
    Some(short(name.trim_end()))
}

fn short(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flatpak_is_known_by_its_file_or_its_scope() {
        let process = tempfile::tempdir().unwrap();
        let flatpak = || flatpak(process.path());
        let write = |name: &str, text: &str| fs::write(process.path().join(name), text).unwrap();
        assert_eq!(flatpak(), None);
        write(
            "cgroup",
            "0::/user.slice/app.slice/app-org.gnome.Terminal-1.scope\n",
        );
        assert_eq!(flatpak(), None);
        write(
            "cgroup",
            "0::/user.slice/app.slice/app-flatpak-org.example.Mail-1234.scope\n",
        );
        assert_eq!(flatpak().as_deref(), Some("org.example.Mail"));
        fs::create_dir(process.path().join("root")).unwrap();
        write(
            "root/.flatpak-info",
            "[Application]\nname=org.example.Other\n",
        );
        assert_eq!(flatpak().as_deref(), Some("org.example.Other"));
        write("root/.flatpak-info", "");
        assert_eq!(flatpak().as_deref(), Some("flatpak"));
    }

    #[test]
    fn who_cannot_be_looked_at_is_taken_for_sandboxed() {
        let process = tempfile::tempdir().unwrap();
        assert_eq!(sandbox(Some(process.path()), None), None);
        for gone in [None, Some(Path::new("/proc/none"))] {
            assert_eq!(sandbox(gone, None).as_deref(), Some("unknown"));
        }
    }

    #[test]
    fn an_enforced_profile_confines_and_other_labels_do_not() {
        let name = |label: &str| confined(label.as_bytes());
        assert_eq!(
            name("snap.mail.mail (enforce)\0").as_deref(),
            Some("snap.mail.mail")
        );
        assert_eq!(name("a//&b (mixed)").as_deref(), Some("a//&b"));
        for other in [
            "unconfined\0",
            "firefox (unconfined)",
            "/usr/bin/mutt (complain)",
            "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\0",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
