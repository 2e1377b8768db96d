//! The kinds of tokens, and what each lacks: data, with reasons.

use super::Operation;
use super::Operation::{
    OpenEcdh, OpenEcdhAlways, OpenMlKem, OpenMlKemAlways, OpenRsaAlways, OpenX25519, SignAlways,
    SignEd25519, SignMlDsa,
};
use super::place::Place;
use crate::{PIN, World, kryoptic};

/// A column of the matrix.
pub struct Kind {
    pub name: &'static str,
    /// of the token, or of several
    pub label: &'static str,
    pub pin: &'static str,
    /// slots of a virtual card, where it is one: [`crate::WorldOptions::card`]
    pub card: &'static [&'static str],
    pub place: fn(&World) -> Place,
    pub load: Load,
    /// Everything else works.
    pub lacks: &'static [(Operation, Lack)],
    /// Cells that run at least, those included that have to fail.
    pub floor: usize,
}

/// What it holds at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    All,
    /// Three objects: a TPM behind no resource manager (the kernel's, `/dev/tpmrm0`, swaps them). Its worker is made to begin anew
    /// before each operation, and sees only then what other programs have made.
    Few,
}

/// Why a cell does not work.
#[derive(Clone, Copy, Debug)]
pub enum Lack {
    /// The token is asked for such a key, and makes none.
    NoKey(&'static str),
    /// It is tried, and fails with this error.
    Fails(&'static str, &'static str),
    /// Not tried.
    NotRun(&'static str),
}

impl Lack {
    pub fn why(self) -> &'static str {
        match self {
            Self::NoKey(why) | Self::Fails(why, _) | Self::NotRun(why) => why,
        }
    }
}

impl Kind {
    pub fn lack(&self, operation: Operation) -> Option<Lack> {
        let found = self.lacks.iter().find(|(what, _)| *what == operation);
        found.map(|(_, lack)| *lack)
    }
}

/// As the columns of the page.
pub const ALL: [&Kind; 5] = [&SOFTHSM, &CARD, &KRYOPTIC, &TPM, &NSS];

pub const SOFTHSM: Kind = Kind {
    name: "SoftHSM 2.6",
    label: "privyseal-demo",
    pin: PIN,
    card: &[],
    place: Place::softhsm,
    load: Load::All,
    lacks: &[
        (SignMlDsa, Lack::NoKey(NO_LATTICES)),
        (OpenMlKem, Lack::NoKey(NO_LATTICES)),
        (OpenMlKemAlways, Lack::NoKey(NO_LATTICES)),
    ],
    floor: 19,
};

pub const CARD: Kind = Kind {
    name: "PIV card, OpenSC 0.23",
    label: "Virtual Card 9A",
    pin: "123456",
    card: &["9a=rsa2048", "9c=rsa2048", "9d=rsa2048", "9e=p256"],
    place: Place::card,
    load: Load::All,
    lacks: &[
        (SignEd25519, Lack::NotRun(NO_PIV)),
        (SignMlDsa, Lack::NotRun(NO_PIV)),
        (OpenX25519, Lack::NotRun(NO_PIV)),
        (OpenMlKem, Lack::NotRun(NO_PIV)),
        (OpenMlKemAlways, Lack::NotRun(NO_PIV)),
        (OpenRsaAlways, Lack::NotRun(ONLY_9C)),
        (OpenEcdhAlways, Lack::NotRun(ONLY_9C)),
    ],
    floor: 12,
};

pub const KRYOPTIC: Kind = Kind {
    name: "kryoptic 1.5",
    label: kryoptic::LABEL,
    pin: PIN,
    card: &[],
    place: Place::kryoptic,
    load: Load::All,
    lacks: &[],
    floor: 19,
};

pub const TPM: Kind = Kind {
    name: "TPM 2.0, tpm2-pkcs11 1.9",
    label: "tpm-test",
    pin: PIN,
    card: &[],
    place: Place::tpm,
    load: Load::Few,
    lacks: &[
        (SignEd25519, Lack::NoKey(NO_TPM)),
        (SignMlDsa, Lack::NoKey(NO_TPM)),
        (OpenX25519, Lack::NoKey(NO_TPM)),
        (OpenMlKem, Lack::NoKey(NO_TPM)),
        (OpenMlKemAlways, Lack::NoKey(NO_TPM)),
        (OpenEcdh, Lack::Fails(NO_DERIVE, "UnsupportedAlgorithm")),
        (
            OpenEcdhAlways,
            Lack::Fails(NO_DERIVE, "UnsupportedAlgorithm"),
        ),
        (SignAlways, Lack::Fails(NO_ROOM, "TokenError")),
        (OpenRsaAlways, Lack::Fails(NO_ROOM, "TokenError")),
    ],
    floor: 19,
};

pub const NSS: Kind = Kind {
    name: "NSS softokn 3.87",
    label: "NSS Certificate DB",
    pin: PIN,
    card: &[],
    place: Place::nss,
    load: Load::All,
    lacks: &[
        (SignEd25519, Lack::NotRun(NO_CERTUTIL)),
        (SignMlDsa, Lack::NotRun(NO_CERTUTIL)),
        (OpenX25519, Lack::NotRun(NO_CERTUTIL)),
        (OpenMlKem, Lack::NotRun(NO_CERTUTIL)),
        (SignAlways, Lack::NotRun(NO_CERTUTIL)),
        (OpenRsaAlways, Lack::NotRun(NO_CERTUTIL)),
        (OpenEcdhAlways, Lack::NotRun(NO_CERTUTIL)),
        (OpenMlKemAlways, Lack::NotRun(NO_CERTUTIL)),
    ],
    floor: 11,
};

const NO_CERTUTIL: &str = "certutil, which makes the keys of NSS 3.87 here, makes no such";
const NO_LATTICES: &str = "SoftHSM 2.6 knows no ML-DSA and no ML-KEM";
const NO_PIV: &str = "PIV (SP 800-73-4) knows no such keys";
const ONLY_9C: &str = "of a PIV card only slot 9C, for signatures, wants its PIN at every use";
const NO_DERIVE: &str = "tpm2-pkcs11 1.9 has no C_DeriveKey";
const NO_ROOM: &str = "a login for one use takes a fourth object of the TPM, and without a resource manager it has room for three";
const NO_TPM: &str = "the module makes no such keys";
