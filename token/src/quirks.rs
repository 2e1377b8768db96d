//! How real modules differ, as data with a reason each (measured: SoftHSM 2.6.1, OpenSC 0.23).
//!
//! A module is recognised by its file name before C_Initialize and by C_GetInfo's manufacturer after it, so that one behind a
//! forwarding module is recognised too. Everything else in this crate goes by what a module says and does.

use std::path::Path;

/// What to do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// May be entered by several threads (C_Initialize with CKF_OS_LOCKING_OK); else one, and C_Initialize(NULL).
    pub parallel: bool,
    /// Its one lock makes the call to one card wait for the call to another: a worker for each reader. Of OpenSC only, whose
    /// readers can be hidden from a worker by its configuration.
    pub worker_per_reader: bool,
    /// New tokens show only after C_Finalize and C_Initialize.
    pub reinitialize_to_rescan: bool,
    /// After C_Logout the card goes on working for every program until everything of ours has let go of it.
    pub release_after_logout: bool,
    /// A PIN is unblocked by C_SetPIN(PUK, new PIN) without a login; else by C_InitPIN of the security officer.
    pub unblock_by_set_pin: bool,
    /// So many C_Sign failures of no known kind in a row mean that only a new C_Initialize helps.
    pub restart_after_failures: Option<u32>,
}

impl Quirks {
    /// Of a module that nothing is known of.
    pub(crate) const NONE: Self = Self {
        parallel: true,
        worker_per_reader: false,
        reinitialize_to_rescan: false,
        release_after_logout: false,
        unblock_by_set_pin: false,
        restart_after_failures: None,
    };
}

struct Known {
    file: &'static str,
    manufacturer: &'static str,
    quirks: Quirks,
}

const KNOWN: &[Known] = &[
    // C_GetSlotList lists what C_Initialize found; keys made by others do show at the next C_FindObjects.
    Known {
        file: "libsofthsm2",
        manufacturer: "SoftHSM",
        quirks: Quirks {
            reinitialize_to_rescan: true,
            ..Quirks::NONE
        },
    },
    // With locking, C_Sign hangs for ever when the card is pulled within 0.4 s before (6 of 6; without: 0 of 3), and its one
    // lock serialises all readers anyway: card 2 waited 1310 ms for card 1's C_Sign of 1.5 s. Holds the card from C_Initialize
    // on. After pcscd was restarted every C_Sign is CKR_GENERAL_ERROR until C_Finalize. A security officer's C_Login is a VERIFY of the
    // PUK, which PIV cards do not know: CKR_GENERAL_ERROR. C_SetPIN unblocks if `user_pin_unblock_style` says so, as our
    // configuration does (worker/opensc.rs).
    Known {
        file: "opensc-pkcs11",
        manufacturer: "OpenSC",
        quirks: Quirks {
            parallel: false,
            worker_per_reader: true,
            release_after_logout: true,
            unblock_by_set_pin: true,
            restart_after_failures: Some(3),
            ..Quirks::NONE
        },
    },
];

/// By the module's file, before C_Initialize; `None`: nothing is known of it.
pub(crate) fn by_file(module: &Path) -> Option<Quirks> {
    let file = module
        .file_name()
        .map(|n| n.to_string_lossy())
        .unwrap_or_default();
    find(|known| file.starts_with(known.file))
}

/// By what C_GetInfo says; `None`: nothing is known of this manufacturer.
pub(crate) fn by_manufacturer(manufacturer: &str) -> Option<Quirks> {
    find(|known| manufacturer.starts_with(known.manufacturer))
}

fn find(is: impl Fn(&Known) -> bool) -> Option<Quirks> {
    KNOWN
        .iter()
        .find(|known| is(known))
        .map(|known| known.quirks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_drivers_are_entered_by_one_thread() {
        let opensc = by_file(Path::new("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")).unwrap();
        assert!(!opensc.parallel && opensc.worker_per_reader && opensc.release_after_logout);
        assert_eq!(by_manufacturer("OpenSC Project"), Some(opensc));
        assert_eq!(by_file(Path::new("/opt/hsm.so")), None);
        assert_eq!(by_manufacturer("Someone"), None);
    }
}
