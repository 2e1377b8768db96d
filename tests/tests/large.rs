//! A gibibyte needs the same memory as ten kibibytes, in every operation, from a file as from a pipe.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use privyseal_tests::memory::{self, Operation, Way};
use privyseal_tests::{World, binary};

const SIZE: u64 = 1 << 30;
/// Daemon, worker and command line together, bytes.
const MEMORY: u64 = 64 << 20;

/// What is done to a message, and what undoes it. `IN` stands for the message.
const OPERATIONS: [(&str, &str, &str); 10] = [
    (
        "multipart/signed",
        "sign -s alice@example.org IN",
        "verify IN",
    ),
    (
        "opaque S/MIME",
        "sign -s alice@example.org --form opaque IN",
        "verify IN",
    ),
    (
        "opaque DER",
        "sign -s alice@example.org --form opaque --format der IN",
        "verify IN",
    ),
    (
        "AES-256-CBC S/MIME",
        "encrypt -r ME --cipher aes256-cbc IN",
        "decrypt IN",
    ),
    (
        "AES-256-CBC DER",
        "encrypt -r ME --cipher aes256-cbc --format der IN",
        "decrypt IN",
    ),
    (
        "AES-256-GCM S/MIME",
        "encrypt -r ME --cipher aes256-gcm IN",
        "decrypt IN",
    ),
    (
        "AES-256-GCM DER",
        "encrypt -r ME --cipher aes256-gcm --format der IN",
        "decrypt IN",
    ),
    (
        "ChaCha20-Poly1305 S/MIME",
        "encrypt -r ME --cipher chacha20-poly1305 IN",
        "decrypt IN",
    ),
    (
        "signed and encrypted",
        "sign -s alice@example.org --encrypt-to ME IN",
        "decrypt IN",
    ),
    ("zlib S/MIME", "compress IN", "decompress IN"),
];

/// Text of CRLF lines that do not repeat, so that a lost or doubled block shows.
fn write_big(path: &Path) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    out.write_all(b"Content-Type: text/plain\r\n\r\n").unwrap();
    let mut written = 28u64;
    let mut number = 0u64;
    while written < SIZE {
        let line =
            format!("{number:016x} the quick brown fox jumps over the lazy dog {number:016x}\r\n");
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        number += 1;
    }
    out.flush().unwrap();
}

fn same(world: &World, one: &str, other: &str) {
    let compared = world.command("cmp").args([one, other]).status().unwrap();
    assert!(compared.success(), "{one} and {other} differ");
}

/// Runs one operation, and gives the peak of all processes together.
fn peak(world: &World, line: &str, (input, output): (&str, Option<&str>), way: Way) -> u64 {
    let recipient = world.token_file("me-rsa-encrypt.pem").display().to_string();
    let args: Vec<String> = line
        .split(' ')
        .map(|word| word.replace("ME", &recipient))
        .collect();
    let operation = Operation {
        args: &args,
        input,
        output,
    };
    memory::forget(world);
    let program = world.command(binary("privyseal", false));
    let spent = memory::run(world, program, &operation, way);
    let memory = memory::daemon_peak(world) + spent.memory;
    println!(
        "{line} ({}): {} MiB for daemon, worker and command line",
        way.name(),
        memory >> 20
    );
    assert!(memory <= MEMORY, "{line} ({}): {memory} bytes", way.name());
    memory
}

#[test]
fn a_gibibyte_passes_every_operation_in_64_mebibytes() {
    let world = World::unlocked();
    write_big(&world.path("big"));
    let mut rows = 0;
    for way in [Way::Files, Way::Pipes] {
        for (name, there, back) in OPERATIONS {
            peak(&world, there, ("big", Some("made")), way);
            peak(&world, back, ("made", Some("opened")), way);
            if name == "signed and encrypted" {
                // what was encrypted is a signed message: its content comes back with the second layer
                peak(&world, "verify IN", ("opened", Some("content")), way);
                fs::rename(world.path("content"), world.path("opened")).unwrap();
                rows += 1;
            }
            same(&world, "big", "opened");
            rows += 2;
            for file in ["made", "opened"] {
                fs::remove_file(world.path(file)).unwrap();
            }
        }
        peak(
            &world,
            "sign -s alice@example.org --form detached --format der IN",
            ("big", Some("signature")),
            way,
        );
        peak(&world, "verify signature --content IN", ("big", None), way);
        // a verdict alone, of a message in one piece
        peak(
            &world,
            "sign -s alice@example.org IN",
            ("big", Some("made")),
            way,
        );
        peak(&world, "verify IN", ("made", None), way);
        fs::remove_file(world.path("made")).unwrap();
        rows += 4;
    }
    println!("1 GiB: {rows} operations");
    assert_eq!(rows, 2 * (2 * OPERATIONS.len() + 1 + 4));
}
