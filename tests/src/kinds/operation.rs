//! What is done with each kind of token.

/// The rows of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    SignRsa,
    SignPss,
    SignEcdsa,
    SignEd25519,
    SignMlDsa,
    OpenRsa,
    OpenOaepSha1,
    OpenOaepSha256,
    OpenEcdh,
    OpenX25519,
    OpenMlKem,
    AfterAnError,
    WrongPin,
    Locked,
    SignAlways,
    OpenRsaAlways,
    OpenEcdhAlways,
    OpenMlKemAlways,
    NewKey,
}

use Operation::{
    AfterAnError, Locked, NewKey, OpenEcdh, OpenEcdhAlways, OpenMlKem, OpenMlKemAlways,
    OpenOaepSha1, OpenOaepSha256, OpenRsa, OpenRsaAlways, OpenX25519, SignAlways, SignEcdsa,
    SignEd25519, SignMlDsa, SignPss, SignRsa, WrongPin,
};

impl Operation {
    /// In the order of a run.
    pub const ALL: [Self; 19] = [
        // of a card: the second one, which has the EC key that others need
        NewKey,
        SignRsa,
        SignPss,
        SignEcdsa,
        SignEd25519,
        SignMlDsa,
        OpenRsa,
        OpenOaepSha1,
        OpenOaepSha256,
        OpenEcdh,
        OpenX25519,
        OpenMlKem,
        AfterAnError,
        SignAlways,
        OpenRsaAlways,
        OpenEcdhAlways,
        OpenMlKemAlways,
        Locked,
        WrongPin,
    ];

    /// As the page says it.
    pub fn name(self) -> &'static str {
        match self {
            SignRsa => "sign, RSA PKCS #1",
            SignPss => "sign, RSA-PSS",
            SignEcdsa => "sign, ECDSA P-256",
            SignEd25519 => "sign, Ed25519",
            SignMlDsa => "sign, ML-DSA-65",
            OpenRsa => "decrypt, RSA PKCS #1",
            OpenOaepSha1 => "decrypt, OAEP with SHA-1",
            OpenOaepSha256 => "decrypt, OAEP with SHA-256",
            OpenEcdh => "decrypt, ECDH P-256",
            OpenX25519 => "decrypt, X25519",
            OpenMlKem => "decrypt, ML-KEM-768",
            AfterAnError => "five uses right after a ciphertext that is none",
            WrongPin => "a wrong PIN is one try, and the right one then unlocks",
            Locked => "locked it refuses; unlocked again the same keys work",
            SignAlways => "sign, with a PIN at every use",
            OpenRsaAlways => "decrypt by RSA, with a PIN at every use",
            OpenEcdhAlways => "decrypt by ECDH, with a PIN at every use",
            OpenMlKemAlways => "decrypt by ML-KEM, with a PIN at every use",
            NewKey => "a key that comes while the daemon runs",
        }
    }

    /// The key that it needs and what `make-token` is to make for it.
    pub fn key(self) -> (&'static str, &'static str) {
        match self {
            SignRsa | SignPss | Locked | WrongPin => ("rsa-sign", "rsa-sign"),
            SignEcdsa => ("ec-sign", "ec-sign"),
            SignEd25519 => ("ed-sign", "ed-sign"),
            SignMlDsa => ("ml-dsa", "ml-dsa-65"),
            OpenRsa | OpenOaepSha1 | OpenOaepSha256 | AfterAnError => ("rsa-open", "rsa-open"),
            OpenEcdh => ("ec-open", "ec-open"),
            OpenX25519 => ("x-open", "x-open"),
            OpenMlKem => ("ml-kem", "ml-kem-768"),
            SignAlways => ("always-sign", "rsa-sign+always"),
            OpenRsaAlways => ("always-open", "rsa-open+always"),
            OpenEcdhAlways => ("always-ec", "ec-open+always"),
            OpenMlKemAlways => ("always-kem", "ml-kem-768+always"),
            NewKey => ("new", "ec-sign"),
        }
    }
}
