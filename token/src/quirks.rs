//! How real modules differ, as data with a reason each (measured: SoftHSM 2.6.1, OpenSC 0.23, kryoptic 1.5.4, tpm2-pkcs11 1.9.0,
//! NSS softokn 3.87; `tests/src/kinds/` does it again).
//!
//! A module is recognised by its file name before C_Initialize and by C_GetInfo's manufacturer after it, so that one behind a
//! forwarding module is recognised too. Everything else in this crate goes by what a module says and does. What a confined
//! module may use must be known before it is loaded, and goes by the file name alone.

use std::path::Path;

/// What to do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// May be entered by several threads (C_Initialize with CKF_OS_LOCKING_OK); else one, and C_Initialize(NULL).
    pub parallel: bool,
    /// Its one lock makes the call to one card wait for the call to another: a worker for each reader. Of OpenSC only, whose
    /// readers can be hidden from a worker by its configuration.
    pub worker_per_reader: bool,
    /// New tokens, or new keys, show only after C_Finalize and C_Initialize.
    pub reinitialize_to_rescan: bool,
    /// After C_Logout the card goes on working for every program until everything of ours has let go of it.
    pub release_after_logout: bool,
    /// A PIN is unblocked by C_SetPIN(PUK, new PIN) without a login; else by C_InitPIN of the security officer.
    pub unblock_by_set_pin: bool,
    /// So many C_Sign failures of no known kind in a row mean that only a new C_Initialize helps.
    pub restart_after_failures: Option<u32>,
    /// What it uses of the machine, beyond what every module may and what its entry in the configuration lists.
    pub uses: &'static [Use],
}

/// Something that a module needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read(Place),
    Write(Place),
    Device(Place),
    /// a socket to connect to, or the folder that it is made in
    Socket(Place),
    Network,
    /// only if this variable begins with one of these
    If(&'static str, &'static [&'static str], &'static Use),
}

/// A path; `~/` and `$XDG_RUNTIME_DIR/` at its beginning stand for what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(&'static str),
    /// what follows this beginning in this variable; where it is not set, the first of these that is there
    Variable(&'static str, &'static str, &'static [&'static str]),
    /// what the lines `key = value` of that file say
    Setting(&'static Place, &'static str),
    /// the folder that this is in
    Folder(&'static Place),
    /// this with that at its end
    With(&'static Place, &'static str),
    /// `key='value'` in C_Initialize's pReserved
    InitArgument(&'static str),
}

use Place::{At, Folder, InitArgument, Setting, Variable, With};

const PCSCD: Use = Use::Socket(At("/run/pcscd"));

impl Quirks {
    /// Of a module that nothing is known of.
    pub(crate) const NONE: Self = Self {
        parallel: true,
        worker_per_reader: false,
        reinitialize_to_rescan: false,
        release_after_logout: false,
        unblock_by_set_pin: false,
        restart_after_failures: None,
        // a module that nobody knows is most likely the driver of some vendor's card
        uses: &[PCSCD],
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
            // its folder of tokens, and no socket of any kind
            uses: &[
                Use::Read(SOFTHSM_CONF),
                Use::Write(Setting(&SOFTHSM_CONF, "directories.tokendir")),
            ],
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
            uses: &[PCSCD],
            ..Quirks::NONE
        },
    },
    // SQLite makes its journal beside the database.
    Known {
        file: "libkryoptic_pkcs11",
        manufacturer: "Kryoptic",
        quirks: Quirks {
            uses: &[
                Use::Read(KRYOPTIC_CONF),
                Use::Write(Folder(&Setting(&KRYOPTIC_CONF, "dbargs"))),
            ],
            ..Quirks::NONE
        },
    },
    // Its store is SQLite's too, and read by C_Initialize: keys made by others show only after the next one. Talks to the TPM itself,
    // to the resource manager by the system bus, or to an emulated one.
    Known {
        file: "libtpm2_pkcs11",
        manufacturer: "tpm2-software.github.io",
        quirks: Quirks {
            reinitialize_to_rescan: true,
            uses: &[
                Use::Write(Variable(
                    "TPM2_PKCS11_STORE",
                    "",
                    &["/etc/tpm2_pkcs11", "~/.tpm2_pkcs11"],
                )),
                Use::Device(Variable(TCTI, "device:", &["/dev/tpmrm0"])),
                Use::Socket(SWTPM),
                Use::Socket(With(&SWTPM, ".ctrl")),
                Use::If(
                    TCTI,
                    &["tabrmd"],
                    &Use::Socket(At("/run/dbus/system_bus_socket")),
                ),
                Use::If(
                    TCTI,
                    &["swtpm:host=", "swtpm:port=", "mssim"],
                    &Use::Network,
                ),
            ],
            ..Quirks::NONE
        },
    },
    // Its databases are where C_Initialize is told to look.
    Known {
        file: "libsoftokn3",
        manufacturer: "Mozilla Foundation",
        quirks: Quirks {
            uses: &[Use::Write(InitArgument("configdir"))],
            ..Quirks::NONE
        },
    },
    // Another process has the module.
    Known {
        file: "p11-kit-client",
        manufacturer: "PKCS#11 Kit",
        quirks: Quirks {
            uses: &[Use::Socket(Variable(
                "P11_KIT_SERVER_ADDRESS",
                "unix:path=",
                &["$XDG_RUNTIME_DIR/p11-kit"],
            ))],
            ..Quirks::NONE
        },
    },
];

const SOFTHSM_CONF: Place = Variable(
    "SOFTHSM2_CONF",
    "",
    &[
        "~/.config/softhsm2/softhsm2.conf",
        "/etc/softhsm/softhsm2.conf",
        "/etc/softhsm2.conf",
    ],
);
const KRYOPTIC_CONF: Place = Variable("KRYOPTIC_CONF", "", &["~/.config/kryoptic/token.conf"]);
const TCTI: &str = "TPM2_PKCS11_TCTI";
/// Commands go there, and what is said to the emulator itself to another socket beside it.
const SWTPM: Place = Variable(TCTI, "swtpm:path=", &[]);

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
