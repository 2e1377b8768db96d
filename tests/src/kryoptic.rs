//! kryoptic, a PKCS#11 v3.2 software token: ML-DSA, ML-KEM, and what SoftHSM has not.

use std::path::{Path, PathBuf};

/// Label of the token that worlds make; its PIN is [`crate::PIN`].
pub const LABEL: &str = "kryoptic-test";

/// The module that `scripts/build-kryoptic.sh` builds.
pub fn module() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("target")
        .join("kryoptic/libkryoptic_pkcs11.so");
    assert!(
        built.exists(),
        "{} is not built: scripts/build-kryoptic.sh (make test does)",
        built.display()
    );
    built
}

/// Its configuration (KRYOPTIC_CONF): one slot, whose token lies in `database`.
pub fn configuration(database: &Path) -> String {
    format!(
        "[[slots]]\nslot = 0\ndescription = \"kryoptic\"\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n",
        database.display()
    )
}
