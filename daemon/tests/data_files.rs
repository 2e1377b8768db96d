//! What is shipped in data/ fits the daemon that is built.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use privyseal_proto::BUS_NAME;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../data")
        .join(name)
}

fn check_config(file: &Path) -> (Output, serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_privyseald"))
        .arg("--check-config")
        .arg(file)
        .arg("--json")
        .output()
        .unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap();
    (output, said)
}

/// `KEY=VALUE` lines of a unit or service file.
fn values(text: &str, key: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_shipped_configuration_is_right_and_changes_nothing() {
    let (output, said) = check_config(&data("privyseal.toml"));
    assert!(output.status.success(), "{said}");
    assert_eq!(said["valid"], true);
    let empty = tempfile::NamedTempFile::new().unwrap();
    let (_, without) = check_config(empty.path());
    let after_the_first_line = |said: &serde_json::Value| {
        let text = said["message"].as_str().unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(after_the_first_line(&said), after_the_first_line(&without));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[sign]\nsginer = \"a@b.c\"\n").unwrap();
    let (output, said) = check_config(file.path());
    assert_eq!(output.status.code(), Some(1));
    let message = said["message"].as_str().unwrap();
    assert!(
        message.contains(":2:1: unknown field `sginer`"),
        "{message}"
    );
}

#[test]
fn bus_and_systemd_start_the_same_daemon_for_the_same_name() {
    let service = fs::read_to_string(data("org.privyseal1.service")).unwrap();
    let unit = fs::read_to_string(data("privyseald.service")).unwrap();
    assert_eq!(values(&service, "Name"), [BUS_NAME]);
    assert_eq!(values(&service, "SystemdService"), ["privyseald.service"]);
    assert_eq!(values(&unit, "BusName"), [BUS_NAME]);
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&service, "Exec"), values(&unit, "ExecStart"));
}
