//! The shipped systemd unit.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;

use privyseal_tests::not_run;

/// `systemd-analyze security` in tenths: what is left out is explained in the unit.
const EXPOSURE: u32 = 25;

#[test]
fn the_unit_is_hardened_as_far_as_a_users_unit_can_be() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/privyseald.service");
    let runtime = tempfile::tempdir().unwrap();
    let mut cells = 0;
    for manager in ["--system", "--user"] {
        let output = Command::new("systemd-analyze")
            .args([manager, "security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE}"))
            .arg(&unit)
            .env("XDG_RUNTIME_DIR", runtime.path())
            .output();
        let Ok(output) = output else {
            not_run("the unit's exposure", "there is no systemd-analyze here");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Overall exposure level"), "{said}{errors}");
        assert!(output.status.success(), "{manager}: {said}{errors}");
        cells += 1;
    }
    println!("exposure: {cells} cells ran");
    assert_eq!(cells, 2);
}
