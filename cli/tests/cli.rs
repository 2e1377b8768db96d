//! The command line without a daemon: what must work, and how it fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const NO_BUS: &str = "unix:path=/nonexistent/bus";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_privyseal"));
    command
        .args(args)
        .env("DBUS_SESSION_BUS_ADDRESS", NO_BUS)
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The one JSON object of one line.
fn object(bytes: &[u8]) -> Value {
    let text = text(bytes);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_command_that_needs_the_daemon_ends_with_6_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail.txt");
    fs::write(&file, "Subject: x\n\ny\n").unwrap();
    let file = file.to_str().unwrap();
    for args in [
        vec!["sign", file],
        vec!["verify", file],
        vec!["encrypt", file, "-r", "bob@example.org"],
        vec!["decrypt", file],
        vec!["compress", file],
        vec!["decompress", file],
        vec!["mail", "open", file],
        vec!["token", "list"],
        vec!["token", "show"],
        vec!["token", "unlock"],
        vec!["token", "lock"],
        vec!["token", "rescan"],
        vec!["token", "watch"],
        vec!["cert", "list"],
        vec!["cert", "show", "x"],
        vec!["cert", "export", "x"],
        vec!["status"],
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(6), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let said = text(&output.stderr);
        assert!(
            said.starts_with("error: ") && said.contains("\nhint: "),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn with_json_the_error_is_one_object_and_keeps_off_a_stdout_that_is_for_data() {
    for (args, on_stdout) in [
        (vec!["--json", "status"], true),
        (vec!["verify", "--json"], true),
        (vec!["verify", "--json", "-o", "-"], false),
        (vec!["sign", "--json"], false),
        (vec!["sign", "--json", "-o", "/dev/stdout"], false),
        (vec!["decrypt", "--json"], false),
        (vec!["compress", "--json"], false),
        (vec!["decompress", "--json"], false),
        (vec!["mail", "open", "--json"], true),
        (vec!["mail", "open", "--json", "-o", "-"], false),
        (vec!["cert", "export", "x", "--json"], false),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(6), "{args:?}");
        let (full, empty) = if on_stdout {
            (output.stdout, output.stderr)
        } else {
            (output.stderr, output.stdout)
        };
        assert!(empty.is_empty(), "{args:?}");
        let error = object(&full);
        assert_eq!(error["schema"], 1);
        assert_eq!(error["error"], "org.privyseal1.Error.DaemonUnreachable");
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(error["hint"].as_str().unwrap().contains("dbus-run-session"));
    }
}

#[test]
fn wrong_arguments_end_with_2() {
    for args in [
        vec![],
        vec!["mail", "close"],
        vec!["compress", "--format", "zip"],
        vec!["encrypt", "x"],
        vec!["sign", "--form", "round"],
        vec!["verify", "--at", "yesterday"],
        vec!["verify", "--even-if-bad"],
        vec!["verify", "-", "--content", "-"],
        vec!["token", "unlock", "--pin-fd", "x"],
        vec!["token", "unlock", "--pin-fd", "77"],
        vec!["token", "lock", "x", "--all"],
        vec!["sign", "-s", "pkcs11:token=x?pin-value=1234"],
        vec!["man"],
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(!text(&output.stderr).contains("1234"));
    }
}

#[test]
fn wrong_arguments_with_json_are_an_object_too() {
    let output = run(&["--json", "token", "lst"]);
    assert_eq!(output.status.code(), Some(2));
    let error = object(&output.stdout);
    assert_eq!(error["error"], "org.privyseal1.Error.InvalidArgument");
    assert!(error["message"].as_str().unwrap().contains("lst"));
    let output = run(&["sign", "--json", "--oops"]);
    assert!(output.stdout.is_empty());
    object(&output.stderr);
}

#[test]
fn a_missing_input_is_said_before_anything_is_tried() {
    let output = run(&["verify", "/nonexistent/mail.eml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: cannot open /nonexistent/mail.eml: No such file or directory\n"
    );
    assert_eq!(run(&["sign", "/"]).status.code(), Some(1));
    assert_eq!(
        run(&["encrypt", "-r", "./nobody.pem"]).status.code(),
        Some(1)
    );
}

#[test]
fn an_existing_output_survives_a_failure_and_nothing_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, out) = (folder.path().join("mail"), folder.path().join("out"));
    fs::write(&mail, "x").unwrap();
    fs::write(&out, "old").unwrap();
    let output = run(&["sign", mail.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6));
    assert_eq!(fs::read(&out).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn version_and_help_are_no_errors() {
    for flag in ["-v", "-V", "--version"] {
        let output = run(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(
            text(&output.stdout),
            format!("privyseal {}\n", env!("CARGO_PKG_VERSION"))
        );
    }
    for args in [
        vec!["--help"],
        vec!["sign", "--help"],
        vec!["token", "unlock", "-h"],
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Examples:"), "{args:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("encrypt-to"), "{shell}");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let output = run(&["man", "--dir", pages.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for page in [
        "privyseal",
        "privyseal-sign",
        "privyseal-verify",
        "privyseal-token-unlock",
        "privyseal-cert-export",
    ] {
        let page = pages.join(format!("{page}.1"));
        let text = fs::read_to_string(&page).unwrap_or_else(|e| panic!("{page:?}: {e}"));
        assert!(text.contains(".SH NAME"), "{page:?}");
    }
    assert!(!pages.join("privyseal-man.1").exists());
}

/// The program in a folder of its own, with `daemon` beside it as privyseald. Linked, not copied: a program that is being written
/// cannot be run, and other tests fork meanwhile.
fn beside(daemon: Option<&str>) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = folder.path().join("privyseal");
    fs::hard_link(env!("CARGO_BIN_EXE_privyseal"), &program).unwrap();
    if let Some(daemon) = daemon {
        std::os::unix::fs::symlink(daemon, folder.path().join("privyseald")).unwrap();
    }
    let mut command = Command::new(program);
    command
        .env("PATH", "/nonexistent")
        .env("DBUS_SESSION_BUS_ADDRESS", NO_BUS);
    (folder, command)
}

#[test]
fn config_check_passes_arguments_and_output_through() {
    for (args, expected) in [
        (vec!["config", "check"], "--check-config\n"),
        (vec!["config", "check", "x.toml"], "--check-config x.toml\n"),
        (
            vec!["config", "check", "x", "--json"],
            "--check-config x --json\n",
        ),
    ] {
        let (_folder, mut program) = beside(Some("/bin/echo"));
        let output = program.args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), expected);
    }
}

#[test]
fn config_check_ends_with_1_whatever_the_daemon_s_code_is() {
    // ls does not know the option: it says so and ends with 2
    let (_folder, mut program) = beside(Some("/bin/ls"));
    let output = program.args(["config", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("check-config"));
}

#[test]
fn config_check_without_a_daemon_program_says_so() {
    let (_folder, mut program) = beside(None);
    let output = program.args(["config", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("hint: install privyseald"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(&["completions", "bash"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty());
}

/// The command under a shell that closes or joins what it is told; nothing reaches the daemon.
fn in_shell(line: &str, folder: &std::path::Path) -> Output {
    Command::new("bash")
        .args(["-c", &format!(r#""$0" {line}"#)])
        .arg(env!("CARGO_BIN_EXE_privyseal"))
        .current_dir(folder)
        .env("DBUS_SESSION_BUS_ADDRESS", NO_BUS)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn a_closed_standard_stream_is_an_error_and_dev_null_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mail.txt"), "Subject: x\n\ny\n").unwrap();
    for line in [
        "sign mail.txt >&-",
        "decrypt mail.txt >&-",
        "sign -o out <&-",
    ] {
        let output = in_shell(line, folder.path());
        assert_eq!(output.status.code(), Some(1), "{line}");
        let said = text(&output.stderr);
        assert!(said.contains("it is closed\nhint: "), "{line}: {said}");
    }
    // these go on, as far as the bus that is not there
    for line in [
        "sign mail.txt >/dev/null",
        "sign mail.txt <&- >/dev/null",
        "sign mail.txt -o out >&-",
        "verify mail.txt >&-",
        "sign </dev/null >/dev/null",
    ] {
        let output = in_shell(line, folder.path());
        assert_eq!(output.status.code(), Some(6), "{line}: {output:?}");
    }
}

#[test]
fn input_and_standard_output_are_not_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail.txt");
    fs::write(&mail, "Subject: x\n\ny\n").unwrap();
    for line in [
        "encrypt -r bob@example.org <mail.txt >>mail.txt",
        "sign mail.txt >>mail.txt",
        "decrypt mail.txt 1<>mail.txt",
    ] {
        let output = in_shell(line, folder.path());
        assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
        assert!(text(&output.stderr).contains("the same file"), "{line}");
        assert_eq!(fs::read(&mail).unwrap(), b"Subject: x\n\ny\n");
    }
    let output = in_shell("sign mail.txt -o mail.txt", folder.path());
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}
