//! Where to ask: the display that the caller named, and the tty, if it is the caller's.

use std::env;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, fstat, stat};

use super::ClientContext;

/// Inherited from the daemon; everything else that the program sees is the caller's display.
const INHERITED: [&str; 6] = [
    "PATH",
    "HOME",
    "LANG",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// The environment of the program, and what it is told by `OPTION` lines.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub environment: Vec<(&'static str, OsString)>,
    pub options: Vec<String>,
}

/// Display, else tty, else a reason. A caller with a display may have a tty as well: graphical pinentries fall back to it.
pub(super) fn place(
    context: &ClientContext,
    tty: Option<&OwnedFd>,
    uid: u32,
) -> Result<Place, String> {
    let mut place = Place {
        environment: inherited(&INHERITED),
        options: Vec::new(),
    };
    let on_display = place.display(context)?;
    match usable_tty(context.tty.as_deref(), tty, uid) {
        Ok(Some(path)) => {
            let kind = word("ttytype", context.ttytype.as_deref())?.unwrap_or("vt100");
            place.options.push(format!("OPTION ttyname={path}"));
            place.options.push(format!("OPTION ttytype={kind}"));
        }
        Ok(None) if on_display => {}
        Ok(None) => {
            return Err("the caller named neither a display nor a terminal".into());
        }
        Err(why) if on_display => tracing::debug!(%why, "the caller's terminal is left out"),
        Err(why) => return Err(why),
    }
    for (name, value) in [
        ("lc-ctype", &context.lc_ctype),
        ("lc-messages", &context.lc_messages),
    ] {
        if let Some(value) = word(name, value.as_deref())? {
            place.options.push(format!("OPTION {name}={value}"));
        }
    }
    Ok(place)
}

impl Place {
    /// Whether there is one.
    fn display(&mut self, context: &ClientContext) -> Result<bool, String> {
        let x11 = word("display", context.display.as_deref())?;
        let wayland = word("wayland-display", context.wayland_display.as_deref())?;
        if let Some(display) = x11 {
            self.environment.push(("DISPLAY", display.into()));
            self.options.push(format!("OPTION display={display}"));
            match word("xauthority", context.xauthority.as_deref())? {
                Some(cookie) => self.environment.push(("XAUTHORITY", cookie.into())),
                None => self.environment.extend(inherited(&["XAUTHORITY"])),
            }
        }
        if let Some(display) = wayland {
            self.environment.push(("WAYLAND_DISPLAY", display.into()));
        }
        if x11.is_none() && wayland.is_none() {
            return Ok(false);
        }
        self.options.push("OPTION grab".into());
        if let Some(window) = context.parent_window.as_deref().and_then(x11_window) {
            self.options.push(format!("OPTION parent-wid={window}"));
        }
        Ok(true)
    }
}

fn inherited(names: &[&'static str]) -> Vec<(&'static str, OsString)> {
    names
        .iter()
        .filter_map(|name| Some((*name, env::var_os(name)?)))
        .collect()
}

/// pinentry wants a decimal number.
fn x11_window(text: &str) -> Option<u32> {
    let id = text.strip_prefix("x11:")?;
    u32::from_str_radix(id.strip_prefix("0x").unwrap_or(id), 16).ok()
}

/// A value that goes into a line of the protocol: one printable word; empty counts as not given.
fn word<'a>(name: &str, value: Option<&'a str>) -> Result<Option<&'a str>, String> {
    match value {
        None | Some("") => Ok(None),
        Some(text) if text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic()) => {
            Ok(Some(text))
        }
        Some(_) => Err(format!("the caller's {name} is not a printable word")),
    }
}

/// The path of the terminal, if the caller named one: a device that belongs to the caller, and is the same as the descriptor.
fn usable_tty(
    path: Option<&str>,
    fd: Option<&OwnedFd>,
    uid: u32,
) -> Result<Option<String>, String> {
    let path = match (word("tty", path)?, fd) {
        (Some(path), _) => path.to_owned(),
        (None, Some(fd)) => rustix::termios::ttyname(fd, Vec::new())
            .ok()
            .and_then(|name| name.into_string().ok())
            .ok_or("the caller's tty descriptor is not a terminal")?,
        (None, None) => return Ok(None),
    };
    let below_dev = Path::new(&path)
        .strip_prefix("/dev")
        .is_ok_and(|rest| !rest.as_os_str().is_empty());
    if !below_dev || path.split('/').any(|part| part == "..") || path == "/dev/tty" {
        return Err(format!(
            "the caller's tty {path:?} is not the name of a terminal"
        ));
    }
    let found = stat(path.as_str()).map_err(|e| format!("the caller's tty {path}: {e}"))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice {
        return Err(format!("the caller's tty {path} is not a terminal"));
    }
    if found.st_uid != uid {
        return Err(format!("the tty {path} does not belong to the caller"));
    }
    if let Some(fd) = fd {
        let same = fstat(fd).is_ok_and(|s| s.st_rdev == found.st_rdev);
        if !same || !rustix::termios::isatty(fd) {
            return Err(format!(
                "the caller's tty descriptor is not the terminal {path}"
            ));
        }
    }
    Ok(Some(path))
}
