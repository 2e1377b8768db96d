//! OpenSC's configuration: the user's own, with the other readers ignored, and with a way to unblock a PIN.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::readers::Scope;

/// Where distributions put it.
const SYSTEM: [&str; 2] = ["/etc/opensc/opensc.conf", "/etc/opensc.conf"];
/// The name that opensc-pkcs11.so goes by. Of several blocks for it OpenSC takes the first, and `app default` besides.
const APP: &[u8] = b"opensc-pkcs11";
/// What C_SetPIN does while nobody is logged in. Without it OpenSC unblocks nothing; the way by a security officer is none for PIV cards.
const UNBLOCK: &str = "user_pin_unblock_style = set_pin_in_unlogged_session;";

/// Makes the configuration our standard input, where `OPENSC_CONF` points to. `own`: the user's, if it is not the system's.
pub(super) fn configure(scope: &Scope, own: Option<&Path>) -> io::Result<()> {
    let system = || SYSTEM.iter().find_map(|path| fs::read(path).ok());
    let theirs = match own {
        Some(path) => fs::read(path)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "not read"))
            .unwrap_or_default(),
        None => system().unwrap_or_default(),
    };
    let mut file = File::from(memfd_create("opensc.conf", MemfdFlags::CLOEXEC)?);
    file.write_all(&with_ours(&theirs, &scope.hidden()))?;
    rustix::stdio::dup2_stdin(&file)?;
    Ok(())
}

/// A configuration that ignores these readers too, and unblocks PINs unless it says itself how.
fn with_ours(conf: &[u8], hidden: &[String]) -> Vec<u8> {
    let names: Vec<String> = hidden.iter().map(|name| format!("\"{name}\"")).collect();
    let mut ours = format!("ignored_readers = {};", names.join(", "));
    let found = Found::in_conf(conf);
    // of several blocks `pkcs11` the first counts as a whole: one of ours would hide the user's
    if found.pkcs11.is_empty() {
        ours.push_str(&format!(" pkcs11 {{ {UNBLOCK} }}"));
    }
    let mut merged = Vec::new();
    let mut added: Vec<(usize, &str)> = Vec::new();
    match found.app {
        Some(inside) => added.push((inside, &ours)),
        None => merged = format!("app opensc-pkcs11 {{ {ours} }}\n").into_bytes(),
    }
    if !found.says_how_to_unblock {
        added.extend(found.pkcs11.iter().map(|inside| (*inside, UNBLOCK)));
    }
    added.sort_unstable();
    let mut from = 0;
    for (inside, what) in added {
        merged.extend_from_slice(conf.get(from..inside).unwrap_or_default());
        merged.push(b'\n');
        merged.extend_from_slice(what.as_bytes());
        from = inside;
    }
    merged.extend_from_slice(conf.get(from..).unwrap_or_default());
    merged
}

/// What there is in a configuration.
#[derive(Default)]
struct Found {
    /// where the inside of the first block for our application begins
    app: Option<usize>,
    /// where the insides of the blocks for PKCS#11 begin
    pkcs11: Vec<usize>,
    says_how_to_unblock: bool,
}

impl Found {
    fn in_conf(conf: &[u8]) -> Self {
        let mut found = Self::default();
        let mut depth = 0_usize;
        let mut last: [&[u8]; 2] = [b"", b""];
        let mut at = 0;
        while let Some((token, end)) = token(conf, at) {
            match token {
                b"{" => {
                    if depth == 0 && last == [b"app", APP] {
                        found.app.get_or_insert(end);
                    }
                    if depth == 1 && last[1] == b"pkcs11" {
                        found.pkcs11.push(end);
                    }
                    depth = depth.saturating_add(1);
                }
                b"}" => depth = depth.saturating_sub(1),
                b"user_pin_unblock_style" => found.says_how_to_unblock = true,
                _ => {}
            }
            last = [last[1], token];
            at = end;
        }
        found
    }
}

/// The next token, without its quotes, and where it ends; comments are passed over. As OpenSC's own lexer: no escapes.
fn token(conf: &[u8], mut at: usize) -> Option<(&[u8], usize)> {
    loop {
        let rest = conf.get(at..)?;
        let until = |stops: &[u8], from: usize| {
            let tail = rest.get(from..).unwrap_or_default();
            let found = tail.iter().position(|byte| stops.contains(byte));
            found.map_or(rest.len(), |n| n.saturating_add(from))
        };
        let len = match rest.first()? {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at = at.saturating_add(1);
                continue;
            }
            b'#' => {
                at = at.saturating_add(until(b"\r\n", 0));
                continue;
            }
            b',' | b'{' | b'}' | b'=' | b';' => 1,
            b'"' => {
                let close = until(b"\"\r\n", 1);
                let end = at.saturating_add(close).saturating_add(1);
                return Some((rest.get(1..close)?, end.min(conf.len())));
            }
            _ => until(b";, \t\r\n", 0),
        };
        return Some((rest.get(..len)?, at.saturating_add(len)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(conf: &str) -> String {
        let hidden = [" 01 0".to_owned(), " 02 0".to_owned()];
        String::from_utf8(with_ours(conf.as_bytes(), &hidden)).unwrap()
    }

    const IGNORED: &str = r#"ignored_readers = " 01 0", " 02 0";"#;
    const OURS: &str = r#"ignored_readers = " 01 0", " 02 0"; pkcs11 { user_pin_unblock_style = set_pin_in_unlogged_session; }"#;

    #[test]
    fn the_users_configuration_stays_and_readers_are_ignored_besides() {
        let block = format!("app opensc-pkcs11 {{ {OURS} }}\n");
        assert_eq!(merged(""), block);
        let plain = "app default {\n debug = 3; # app opensc-pkcs11 {\n}\n";
        assert_eq!(merged(plain), block.clone() + plain);
        let nested = "app default { app opensc-pkcs11 { } }\n";
        assert_eq!(merged(nested), block + nested);
    }

    #[test]
    fn a_block_for_the_module_is_extended_since_only_the_first_counts() {
        for name in ["opensc-pkcs11", "\"opensc-pkcs11\""] {
            let conf = format!("# mine\napp default {{ x = \"}}\"; }}\napp {name} {{ y = 1; }}\n");
            let wanted = conf.replace(" y = 1", &format!("\n{OURS} y = 1"));
            assert_eq!(merged(&conf), wanted);
        }
    }

    #[test]
    fn a_pin_can_be_unblocked_unless_the_user_says_otherwise() {
        let other = "app default { pkcs11 { z = 1; } }\n";
        let wanted = other.replace("{ z", &format!("{{\n{UNBLOCK} z"));
        let block = format!("app opensc-pkcs11 {{ {IGNORED} }}\n");
        assert_eq!(merged(other), block.clone() + &wanted);
        let own = "app opensc-pkcs11 { pkcs11 { z = 1; } }\n";
        let wanted = own
            .replace("{ pkcs11", &format!("{{\n{IGNORED} pkcs11"))
            .replace("{ z", &format!("{{\n{UNBLOCK} z"));
        assert_eq!(merged(own), wanted);
        let said = "app default { pkcs11 { user_pin_unblock_style = none; } }\n";
        assert_eq!(merged(said), block + said);
    }

    #[test]
    fn what_is_no_configuration_does_no_harm() {
        for conf in [
            "\"",
            "#",
            "app opensc-pkcs11",
            "app \"opensc-pkcs11",
            "}}}{",
            "app = {",
        ] {
            assert!(merged(conf).ends_with(conf), "{conf}");
        }
    }
}
