//! `make demo` with the binaries of the tests: what README's first screen promises.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;

use privyseal_tests::binary;

#[test]
fn the_demo_runs_to_its_end() {
    let bin = binary("privyseald", false).parent().unwrap().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/demo.sh");
    let shown = Command::new("bash")
        .arg(script)
        .env("PRIVYSEAL_BIN", bin)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        shown.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    assert_eq!(
        text.matches("Verification successful").count() + text.matches("good: signed by").count(),
        2,
        "{text}"
    );
    assert!(text.contains("everything worked"), "{text}");
}
