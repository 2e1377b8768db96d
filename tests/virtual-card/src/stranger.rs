//! Another program that has the card sign without saying a PIN: what locking is to prevent.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "for tests, which may fail loudly"
)]

use std::process::Command;

/// Whether the card in the reader of this name signs for it, with the P-256 key in slot 9A (SP 800-73-4 part 2 §3.2.4).
///
/// # Panics
/// Without opensc-tool, or when the card answers anything but yes or "security status not satisfied".
pub fn may_sign(reader: &str) -> bool {
    let digest = ["07"; 32].join(":");
    let output = Command::new("opensc-tool")
        .args(["--reader", reader])
        .args(["-s", "00:A4:04:00:09:A0:00:00:03:08:00:00:10:00:00"])
        .args([
            "-s",
            &format!("00:87:11:9A:26:7C:24:82:00:81:20:{digest}:00"),
        ])
        .output()
        .expect("opensc-tool is needed: scripts/install-deps.sh");
    let said = String::from_utf8_lossy(&output.stdout);
    let mut answers = said.lines().filter(|l| l.starts_with("Received (SW1="));
    let last = answers.next_back().unwrap_or_default();
    let is = |words| last.contains(words);
    match (is("SW1=0x90, SW2=0x00"), is("SW1=0x69, SW2=0x82")) {
        (true, false) => true,
        (false, true) => false,
        _ => panic!("{said} {:?}", output.stderr),
    }
}
