//! Who calls: the connection's unique name from the message header, and what it told by SetContext (design rule 18: all of the
//! latter is unverified).

use std::collections::HashMap;
use std::env;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use privyseal_proto::limits::TEXT;
use privyseal_proto::{Dict, Failure};
use zbus::message::{Flags, Header};
use zbus::{Fd, OwnedVariant};

use crate::peer::Peer;
use crate::pinentry::ClientContext;

/// One caller, for one call.
#[derive(Clone)]
pub struct Caller {
    /// unique name, `:1.42`
    pub name: String,
    /// the header allows a prompt
    pub allows_prompt: bool,
    pub context: Arc<Context>,
    pub peer: Arc<Peer>,
}

/// What a connection told by SetContext.
#[derive(Debug)]
pub struct Context {
    pub client: ClientContext,
    pub tty: Option<OwnedFd>,
    /// of the connection, from the bus
    pub uid: u32,
}

/// All connections that have called: who they are, and what they told.
#[derive(Default)]
pub struct Clients {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone, Default)]
struct Known {
    context: Arc<Context>,
    /// from the bus, once it has answered
    peer: Option<Arc<Peer>>,
}

impl Default for Context {
    fn default() -> Self {
        Context {
            client: ClientContext::default(),
            tty: None,
            uid: rustix::process::getuid().as_raw(),
        }
    }
}

impl Context {
    /// With the daemon's own display for that of the client, and no terminal.
    fn at_home(&self) -> Self {
        Context {
            client: ClientContext {
                display: env::var("DISPLAY").ok(),
                wayland_display: env::var("WAYLAND_DISPLAY").ok(),
                application: self.client.application.clone(),
                interactive: self.client.interactive,
                ..ClientContext::default()
            },
            tty: None,
            uid: self.uid,
        }
    }
}

impl Clients {
    /// Asks nobody: all is in the header or was told before. `None`: the bus has not yet said who it is.
    pub fn caller(&self, header: &Header<'_>) -> Result<Option<Caller>, Failure> {
        let name = sender(header)?;
        let Known { context, peer } = self.known().get(name).cloned().unwrap_or_default();
        Ok(peer.map(|peer| Caller {
            // a display or terminal that a sandbox brings along is no place to ask a person at
            context: match peer.sandbox {
                Some(_) => Arc::new(context.at_home()),
                None => context,
            },
            name: name.to_owned(),
            allows_prompt: header
                .primary()
                .flags()
                .contains(Flags::ALLOW_INTERACTIVE_AUTH),
            peer,
        }))
    }

    /// The bus is asked who this connection is. Before that: one that leaves meanwhile must not come back.
    pub fn expect(&self, name: &str) {
        self.known().entry(name.to_owned()).or_default();
    }

    /// Sets what was expected; does nothing when the connection has left since.
    pub fn set_peer(&self, peer: Peer) {
        if let Some(known) = self.known().get_mut(&peer.name) {
            known.peer = Some(Arc::new(peer));
        }
    }

    /// Likewise.
    pub fn set_context(&self, name: &str, context: Context) {
        if let Some(known) = self.known().get_mut(name) {
            known.context = Arc::new(context);
        }
    }

    pub fn depart(&self, name: &str) {
        self.known().remove(name);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Whether this call may ask a person: header flag or option, and neither option nor context says no.
    pub fn interactive(&self, option: Option<bool>) -> bool {
        option.unwrap_or(self.allows_prompt) && self.context.client.interactive != Some(false)
    }
}

/// The caller's unique name; a bus always gives one.
pub fn sender<'h>(header: &'h Header<'_>) -> Result<&'h str, Failure> {
    header
        .sender()
        .map(|name| name.as_str())
        .ok_or_else(|| Failure::invalid("a call without a sender"))
}

/// Checks SetContext's argument. A key that is left out is unset again.
pub fn context(options: Dict, uid: u32) -> Result<Context, Failure> {
    let mut client = ClientContext::default();
    let mut tty = None;
    for (key, value) in options {
        let slot = match key.as_str() {
            "tty" => &mut client.tty,
            "ttytype" => &mut client.ttytype,
            "display" => &mut client.display,
            "wayland-display" => &mut client.wayland_display,
            "xauthority" => &mut client.xauthority,
            "lc-ctype" => &mut client.lc_ctype,
            "lc-messages" => &mut client.lc_messages,
            "parent-window" => &mut client.parent_window,
            "application" => &mut client.application,
            "interactive" => {
                client.interactive = Some(flag(&key, &value)?);
                continue;
            }
            "tty-fd" => {
                tty = Some(descriptor(&key, value)?);
                continue;
            }
            _ => return Err(Failure::invalid(format!("unknown context key {key:?}"))),
        };
        *slot = Some(text(&key, &value)?);
    }
    Ok(Context { client, tty, uid })
}

/// An option of type `s`: at most [`TEXT`] bytes, no control characters.
pub fn text(key: &str, value: &OwnedVariant) -> Result<String, Failure> {
    let text = <&str>::try_from(value).map_err(|_| mistyped(key, "s"))?;
    if text.len() > TEXT {
        return Err(Failure::invalid(format!(
            "{key:?} is longer than {TEXT} bytes"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Failure::invalid(format!("{key:?} has control characters")));
    }
    Ok(text.to_owned())
}

/// An option of type `b`.
pub fn flag(key: &str, value: &OwnedVariant) -> Result<bool, Failure> {
    bool::try_from(value).map_err(|_| mistyped(key, "b"))
}

/// An option of type `h`.
pub fn descriptor(key: &str, value: OwnedVariant) -> Result<OwnedFd, Failure> {
    Fd::try_from(value)
        .and_then(OwnedFd::try_from)
        .map_err(|_| mistyped(key, "h"))
}

fn mistyped(key: &str, wanted: &str) -> Failure {
    Failure::invalid(format!("{key:?} must be of type {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: zbus::Variant<'_>) -> Dict {
        [(key.to_owned(), OwnedVariant::try_from(value).unwrap())].into()
    }

    #[test]
    fn a_context_takes_known_keys_of_the_right_type_only() {
        let set = context(one("application", "mutt".into()), 1000).unwrap();
        assert_eq!(set.client.application.as_deref(), Some("mutt"));
        assert_eq!(set.uid, 1000);
        for bad in [
            one("pinentry-program", "/bin/evil".into()),
            one("interactive", "yes".into()),
            one("tty", true.into()),
            one("tty", "/dev/pts/1\nOPTION x".into()),
            one("tty-fd", 3u32.into()),
            one("application", "a".repeat(TEXT + 1).into()),
        ] {
            context(bad, 1000).unwrap_err();
        }
        context(one("application", "a".repeat(TEXT).into()), 1000).unwrap();
    }

    #[test]
    fn a_context_that_comes_after_its_connection_left_is_not_kept() {
        let clients = Clients::default();
        let kept = |name| clients.known().contains_key(name);
        clients.expect(":1.1");
        clients.expect(":1.2");
        clients.depart(":1.1");
        for name in [":1.1", ":1.2"] {
            clients.set_context(name, Context::default());
            let name = name.to_owned();
            clients.set_peer(Peer {
                name,
                ..Peer::default()
            });
        }
        assert!(!kept(":1.1"));
        assert!(kept(":1.2"));
    }

    #[test]
    fn a_prompt_needs_a_yes_and_no_no() {
        let caller = |allows_prompt, interactive| Caller {
            name: ":1.1".into(),
            allows_prompt,
            peer: Arc::default(),
            context: Arc::new(Context {
                client: ClientContext {
                    interactive,
                    ..Default::default()
                },
                ..Default::default()
            }),
        };
        assert!(!caller(false, None).interactive(None));
        assert!(caller(true, None).interactive(None));
        assert!(caller(false, None).interactive(Some(true)));
        assert!(!caller(true, None).interactive(Some(false)));
        assert!(!caller(true, Some(false)).interactive(Some(true)));
        assert!(!caller(false, Some(true)).interactive(None));
    }
}
