//! What a worker gives up before it loads its module: everything that the module's entry in the configuration, and what is known
//! of the module, do not list.
//!
//! Three layers, each of which holds where the others are missing: a file system and a network of its own ([`root`]), Landlock
//! ([`files`]), and a filter of system calls ([`calls`]). What this machine does not have is told, and nothing fails for it.

mod calls;
mod files;
mod places;
mod root;

use std::io;
use std::path::Path;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use crate::protocol::Allowed;
use crate::quirks::Quirks;
use calls::Sockets;
use places::Places;

/// More open files than any module needs.
const FILES: u64 = 512;
/// A module that eats memory fails before the machine does. Bytes of data, not of address space.
const DATA: u64 = 1 << 30;
/// The largest file that a module may write, bytes: a token's store, not a disk.
const FILE: u64 = 256 << 20;

/// No core file, no debugger, no new privileges, and no worker without a client: PINs and derived keys pass through here.
pub(super) fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_no_new_privs(true)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES)?;
    limit(Resource::Data, DATA)?;
    limit(Resource::Fsize, FILE)?;
    let most = getrlimit(Resource::Memlock).maximum;
    setrlimit(
        Resource::Memlock,
        Rlimit {
            current: most,
            maximum: most,
        },
    )?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    Ok(())
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let most = now.maximum.map_or(most, |now| now.min(most));
    setrlimit(
        resource,
        Rlimit {
            current: Some(most),
            maximum: Some(most),
        },
    )?;
    Ok(())
}

/// Confines this process, which must have one thread only, to what a module needs. Gives what could not be done, in words.
pub(super) fn for_module(
    module: &Path,
    known: Option<Quirks>,
    init_args: Option<&str>,
    allowed: &Allowed,
) -> io::Result<Vec<String>> {
    let uses = known.unwrap_or(Quirks::NONE).uses;
    let mut places = Places::new(uses, init_args, allowed);
    places.add_folder_of(module);
    let mut lacks = Vec::new();
    let own_root = root::enter(&places);
    let files = files::restrict(&places);
    let keeps_sockets_away = own_root.is_ok() || files.resolves_unix;
    if let Err(why) = own_root {
        lacks.push(format!("no file system of its own: {why}"));
    }
    lacks.extend(files.lacks);
    let guessed = known.is_none() && !places.lists_sockets;
    let sockets = match &places {
        Places { network: true, .. } => Sockets::Network,
        Places { sockets, .. } if sockets.is_empty() => Sockets::None,
        // a card driver, perhaps; without a file system of its own it could connect to anything
        _ if guessed && !keeps_sockets_away => {
            lacks.push(
                "and so no socket, not even pcscd's: list it under `write` if it needs one".into(),
            );
            Sockets::None
        }
        _ => {
            if !keeps_sockets_away {
                lacks.push("and so it can connect to every local socket that you can".into());
            }
            Sockets::Local
        }
    };
    give_up_privileges(sockets, &mut lacks)?;
    Ok(lacks)
}

/// For the worker that watches readers: it loads the system's PC/SC library and no module, and has to find a pcscd that comes
/// later, so it keeps the file system.
pub(super) fn for_readers() -> io::Result<Vec<String>> {
    let mut lacks =
        files::restrict(&Places::new(Quirks::NONE.uses, None, &Allowed::default())).lacks;
    give_up_privileges(Sockets::Local, &mut lacks)?;
    Ok(lacks)
}

fn give_up_privileges(sockets: Sockets, lacks: &mut Vec<String>) -> io::Result<()> {
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    // a change of credentials may have undone them
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    if let Err(why) = calls::filter(sockets) {
        lacks.push(format!("no filter of system calls: {why}"));
    }
    Ok(())
}
