//! Namespaces: a root that holds only what the module may use, so that no other socket has a path, and a network without
//! interfaces, so that none has a name.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use rustix::process::{
    DumpableBehavior, chdir, fchdir, getegid, geteuid, pivot_root, set_dumpable_behavior,
};
use rustix::thread::UnshareFlags;

use super::places::Places;
use crate::worker::raw::{self, Below};

/// Ubuntu: such a namespace can be made, but nothing can be done in it.
const RESTRICTED: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
/// The new root is put there before it becomes the root; what was there has been taken along by then.
const STAGE: &str = "/usr";

/// As the kernel has it.
const MAX_LINKS: u8 = 40;

const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const DEVICE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;

/// Enters them. On an error this process sees what it saw before.
pub(super) fn enter(places: &Places) -> Result<(), String> {
    let restricted = fs::read(RESTRICTED).is_ok_and(|text| text.starts_with(b"1"));
    if restricted && !geteuid().is_root() {
        return Err("AppArmor forbids user namespaces".into());
    }
    namespaces(places.network).map_err(|e| format!("user namespaces: {e}"))?;
    new_root(places).map_err(|(path, e)| format!("{}: {e}", path.display()))
}

fn namespaces(network: bool) -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let mut kinds = UnshareFlags::NEWUSER | UnshareFlags::NEWNS;
    if !network {
        kinds |= UnshareFlags::NEWNET;
    }
    raw::unshare(kinds)?;
    // the files of a process that cannot be dumped are root's
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let mapped = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("{user} {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("{group} {group} 1")));
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    mapped
}

/// A piece of the old root that goes into the new one.
struct Piece {
    tree: OwnedFd,
    at: PathBuf,
    is_dir: bool,
}

type At<T> = Result<T, (PathBuf, io::Error)>;

fn new_root(places: &Places) -> At<()> {
    let pieces = pieces(places)?;
    let at = |e: Errno| (PathBuf::from("the new root"), io::Error::from(e));
    let root = tmpfs().map_err(at)?;
    let stage = move_mount(
        &root,
        c"",
        CWD,
        STAGE,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    );
    stage.map_err(at)?;
    let moved = fill(&root, pieces).and_then(|()| {
        raw::restrict_mount(root.as_fd(), READ_ONLY, Below::Not)
            .map_err(|e| (PathBuf::from("the new root"), e))
    });
    let turned = moved.and_then(|()| {
        fchdir(&root)
            .and_then(|()| pivot_root(c".", c"."))
            .map_err(at)
    });
    if let Err(e) = turned {
        let _ = chdir(c"/");
        let _ = unmount(STAGE, UnmountFlags::DETACH);
        return Err(e);
    }
    // the old root lies over the new one now
    unmount(c".", UnmountFlags::DETACH)
        .and_then(|()| chdir(c"/"))
        .map_err(at)
}

fn tmpfs() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), c"size", c"1m")?;
    fsconfig_set_string(context.as_fd(), c"mode", c"0755")?;
    fsconfig_create(context.as_fd())?;
    fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

/// Copies of the mounts, not yet anywhere; outer ones first. Each also where its real path is, for links that lead there.
fn pieces(places: &Places) -> At<Vec<Piece>> {
    let of = |paths: &[PathBuf], attributes| -> Vec<(PathBuf, PathBuf, u64)> {
        let named = paths.iter().flat_map(|path| {
            let real = path.canonicalize().ok();
            // /proc/self is another path for each process, and this one's only here
            let both = [
                Some(path.clone()),
                real.clone().filter(|_| !path.starts_with("/proc")),
            ];
            let both = both.into_iter().flatten();
            real.map(|real| both.map(move |at| (at, real.clone(), attributes)))
        });
        named.flatten().collect()
    };
    // of two for one path the last counts
    let mut wanted = of(&places.read, READ_ONLY);
    wanted.extend(of(&places.sockets, READ_ONLY));
    wanted.extend(of(&places.devices, DEVICE));
    wanted.extend(of(&places.write, WRITABLE));
    let last: std::collections::BTreeMap<PathBuf, (PathBuf, u64)> = wanted
        .into_iter()
        .map(|(at, real, attributes)| (at, (real, attributes)))
        .collect();
    // by path: what is above comes before what is below
    let clone = |(at, (real, attributes)): (PathBuf, (PathBuf, u64))| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let made = open_tree(CWD, &real, flags)
            .map_err(io::Error::from)
            .and_then(|tree| {
                raw::restrict_mount(tree.as_fd(), attributes, Below::Too)?;
                Ok(tree)
            });
        match made {
            Ok(tree) => Ok(Piece {
                tree,
                is_dir: real.is_dir(),
                at,
            }),
            Err(e) => Err((at, e)),
        }
    };
    last.into_iter().map(clone).collect()
}

fn fill(root: &OwnedFd, pieces: Vec<Piece>) -> At<()> {
    for piece in pieces {
        let moved = make(root, &piece.at, piece.is_dir).and_then(|target| {
            move_mount(
                &piece.tree,
                c"",
                &target,
                c"",
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
            )
        });
        moved.map_err(|e| (piece.at, io::Error::from(e)))?;
    }
    Ok(())
}

/// Opens a path of the new root, and makes what is missing of it. Links lead to where they will when it is the root: openat2 would
/// follow them so, but systemd's RestrictSUIDSGID= forbids it.
fn make(root: &OwnedFd, path: &Path, is_dir: bool) -> Result<OwnedFd, Errno> {
    let mut rest = parts(path);
    let mut above = Vec::new();
    let mut here = root.try_clone().map_err(|_| Errno::MFILE)?;
    let mut links = 0_u8;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            here = above.pop().unwrap_or(here);
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(&here, &name, flags, Mode::empty());
        let next = match open() {
            Err(Errno::NOENT) => {
                make_one(&here, &name, is_dir || !rest.is_empty())?;
                open()?
            }
            other => other?,
        };
        if FileType::from_raw_mode(fstat(&next)?.st_mode) != FileType::Symlink {
            above.push(std::mem::replace(&mut here, next));
            continue;
        }
        links = links.saturating_add(1);
        if links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(&here, &name, Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            above.clear();
            here = root.try_clone().map_err(|_| Errno::MFILE)?;
        }
        let mut whole = parts(target);
        whole.append(&mut rest);
        rest = whole;
    }
    Ok(here)
}

/// Names, and `..`.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

fn make_one(folder: &OwnedFd, name: &OsStr, is_dir: bool) -> Result<(), Errno> {
    if is_dir {
        return mkdirat(folder, name, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_they_will_when_it_is_the_root() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        fs::create_dir_all(at("usr/lib")).unwrap();
        std::os::unix::fs::symlink("/usr/lib", at("lib")).unwrap();
        std::os::unix::fs::symlink("../../../usr", at("usr/lib/up")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        let root = OwnedFd::from(fs::File::open(temp.path()).unwrap());
        make(&root, Path::new("/lib/up/share/file"), false).unwrap();
        make(&root, Path::new("/lib/new"), true).unwrap();
        assert!(at("usr/share/file").is_file() && at("usr/lib/new").is_dir());
        let looped = make(&root, Path::new("/loop/x"), true);
        assert!(matches!(looped, Err(Errno::LOOP)));
    }
}
