//! Landlock: files by path, TCP, sockets by abstract name, signals to others.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

use super::places::Places;

/// All that is asked for; what the kernel has of it holds. From 9 on it keeps sockets away that have a path.
const ASKED: ABI = ABI::V9;
/// From here on nothing is missing that the other layers do not hold.
const ENOUGH: ABI = ABI::V6;

pub(super) struct Files {
    pub resolves_unix: bool,
    pub lacks: Vec<String>,
}

pub(super) fn restrict(places: &Places) -> Files {
    let mut files = Files {
        resolves_unix: false,
        lacks: Vec::new(),
    };
    match enforce(places) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => {
            files.resolves_unix = effective_abi >= ABI::V9;
            if effective_abi < ENOUGH {
                let has = effective_abi as i32;
                files.lacks.push(format!(
                    "Landlock of ABI {has} only: TCP is held from 4, abstract sockets and signals from 6"
                ));
            }
        }
        Ok(_) => files.lacks.push("no Landlock in this kernel".into()),
        Err(why) => files.lacks.push(format!("no Landlock: {why}")),
    }
    files
}

fn enforce(places: &Places) -> Result<LandlockStatus, RulesetError> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = read
        | make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer});
    let device = make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev | ReadDir});
    let connect: BitFlags<AccessFs> = AccessFs::ResolveUnix.into();
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?;
    if !places.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
    }
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(&places.read, read))?
        .add_rules(path_beneath_rules(&places.write, write))?
        .add_rules(path_beneath_rules(&places.devices, device))?
        .add_rules(path_beneath_rules(&places.sockets, read | connect))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => LandlockStatus::NotEnabled,
        _ => status.landlock,
    })
}
