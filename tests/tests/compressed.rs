//! Compressed messages, with Bouncy Castle and python's zlib as the other side: Debian's openssl has no zlib.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use privyseal_tests::table::Table;
use privyseal_tests::{Run, World};

const MAIL: &str =
    "Content-Type: text/plain; charset=utf-8\r\n\r\nHello Bob,\r\n\r\nin short.\r\n\r\nAlice\r\n";

/// Short ones, one whose compressed form is longer than what is written in DER, and one that shrinks too well.
fn bodies() -> [(&'static str, Vec<u8>); 4] {
    let mut long = MAIL.as_bytes().to_vec();
    let mut state = 1u64;
    while long.len() < 1_500_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        long.extend_from_slice(format!("{state:016x}{:016x}\r\n", !state / 7).as_bytes());
    }
    let mut blank = MAIL.as_bytes().to_vec();
    blank.resize(3_000_000, b' ');
    [
        ("empty", Vec::new()),
        ("short", MAIL.as_bytes().to_vec()),
        ("long", long),
        ("blank", blank),
    ]
}

fn peer(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name);
    path.display().to_string()
}

fn python(world: &World, args: &[&str]) -> Run {
    world.run(
        "python3",
        [&[peer("compressed.py").as_str()], args].concat(),
    )
}

/// One run of Java for many messages: it starts slowly.
fn bouncy_castle(world: &World, jobs: &[String]) {
    let jars =
        ["bcmail", "bcpkix", "bcutil", "bcprov"].map(|jar| format!("/usr/share/java/{jar}.jar"));
    let (jars, program) = (jars.join(":"), peer("CompressedData.java"));
    let mut args = vec!["-cp", &jars, &program];
    args.extend(jobs.iter().flat_map(|job| job.split(' ')));
    world.run("java", args).ok();
}

fn check(world: &World, seen: &str, body: &[u8], run: &Run) -> Result<(), String> {
    let same = world.path(seen).exists() && world.read(seen) == body;
    let _ = std::fs::remove_file(world.path(seen));
    if run.code == 0 && same {
        Ok(())
    } else {
        Err(format!("same content: {same}; {}", run.stderr))
    }
}

#[test]
fn what_privyseal_compresses_others_read() {
    let world = World::new();
    let mut table = Table::new("compress -> zlib, Bouncy Castle");
    let mut jobs = Vec::new();
    let mut expected = Vec::new();
    for (size, body) in bodies() {
        world.write("mail", &body);
        for format in ["smime", "der", "pem"] {
            for input in ["file", "pipe"] {
                let cell = format!("{size} {format} from a {input}");
                let out = cell.replace(' ', "-");
                let mut args = vec!["compress", "--format", format, "--json", "-o", &out];
                let made = if input == "file" {
                    args.push("mail");
                    world.privyseal(&args)
                } else {
                    world.privyseal_in(&args, &body)
                };
                if made.code != 0 {
                    table.cell(&cell, Err(made.stderr));
                    continue;
                }
                assert_eq!(
                    made.json(),
                    serde_json::json!({"schema": 1, "algorithm": "zlib", "content_length": body.len()})
                );
                let opened = python(&world, &["open", format, &out, "seen"]);
                table.cell(&cell, check(&world, "seen", &body, &opened));
                if format == "der" {
                    for how in ["open", "open-stream"] {
                        jobs.push(format!("{how} {out} {out}.{how}"));
                        expected.push((
                            format!("{cell}: {how}"),
                            format!("{out}.{how}"),
                            body.clone(),
                        ));
                    }
                }
            }
        }
    }
    bouncy_castle(&world, &jobs);
    for (cell, seen, body) in expected {
        let same = world.read(&seen) == body;
        table.cell(
            &cell,
            if same {
                Ok(())
            } else {
                Err("another content".into())
            },
        );
    }
    table.finish(24 + 16);
}

#[test]
fn what_others_compress_privyseal_reads() {
    let world = World::new();
    let mut table = Table::new("zlib, Bouncy Castle -> decompress");
    let mut jobs = Vec::new();
    let mut made = Vec::new();
    for (size, body) in bodies() {
        // as it is, it would be refused: more than 100:1
        if size == "blank" {
            continue;
        }
        let name = format!("{size}.txt");
        world.write(&name, &body);
        for how in ["der", "ber", "stream"] {
            let out = format!("{size}.bc-{how}");
            jobs.push(format!("{how} {name} {out}"));
            made.push((out, body.clone()));
        }
        for how in [
            "der", "null", "stored", "fast", "best", "segments", "bytes", "nested",
        ] {
            let out = format!("{size}.{how}");
            python(&world, &["make", how, &name, &out]).ok();
            made.push((out, body.clone()));
        }
    }
    bouncy_castle(&world, &jobs);
    for (name, body) in made {
        // openssl knows the structure well enough to write it in another form
        for format in ["der", "pem", "smime"] {
            let message = format!("{name}.{format}");
            if format == "der" {
                world.write(&message, world.read(&name));
            } else {
                let run = world.openssl(&format!(
                    "cms -cmsout -inform der -in {name} -outform {format} -out {message}"
                ));
                if run.code != 0 {
                    table.skip(&message, "openssl does not rewrite it");
                    continue;
                }
            }
            for input in ["file", "pipe"] {
                let args = ["decompress", "--json", "-o", "seen"];
                let run = if input == "file" {
                    world.privyseal([&args[..], &[&message]].concat())
                } else {
                    world.privyseal_in(args, &world.read(&message))
                };
                let told = run.code != 0
                    || run.json()
                        == serde_json::json!({"schema": 1, "algorithm": "zlib", "content_length": body.len()});
                let result = check(&world, "seen", &body, &run);
                let result = if told { result } else { Err(run.text()) };
                table.cell(&format!("{message} from a {input}"), result);
            }
        }
    }
    table.finish(3 * 11 * 3 * 2);
}

#[test]
fn what_is_not_whole_leaves_nothing_behind() {
    let world = World::new();
    let mut table = Table::new("damaged -> decompress");
    for (size, body) in bodies() {
        if matches!(size, "empty" | "blank") {
            continue;
        }
        world.write("mail", &body);
        for how in ["truncated", "checksum", "trailing", "twice", "raw", "cut"] {
            python(&world, &["make", how, "mail", "bad"]).ok();
            world.write("out", "precious");
            for input in ["file", "pipe"] {
                let (to_file, to_pipe) = if input == "file" {
                    (
                        world.privyseal(["decompress", "bad", "-o", "out", "--json"]),
                        world.privyseal(["decompress", "bad"]),
                    )
                } else {
                    let bad = world.read("bad");
                    (
                        world.privyseal_in(["decompress", "-o", "out", "--json"], &bad),
                        world.privyseal_in(["decompress"], &bad),
                    )
                };
                let kept = world.read("out") == b"precious";
                let named = to_file.code == 1
                    && to_file.json()["error"] == "org.privyseal1.Error.MalformedMessage";
                let silent = to_pipe.code == 1 && to_pipe.stdout.is_empty();
                let result = if kept && named && silent {
                    Ok(())
                } else {
                    Err(format!("{kept} {named} {silent}; {to_file:?}"))
                };
                table.cell(&format!("{size} {how} from a {input}"), result);
            }
        }
    }
    for other in ["mail", "token/anchor.pem", "/dev/null"] {
        let refused = world.privyseal(["decompress", other, "--json", "-o", "never"]);
        let right = refused.code == 1
            && refused.json()["error"] == "org.privyseal1.Error.MalformedMessage"
            && !world.path("never").exists();
        table.cell(
            other,
            if right {
                Ok(())
            } else {
                Err(format!("{refused:?}"))
            },
        );
    }
    table.finish(27);
}

/// `limits::INFLATED_RATIO` and `limits::INFLATED_FLOOR`, at them and one past them.
#[test]
fn content_may_be_a_hundred_times_its_compressed_form_or_a_mebibyte() {
    let world = World::new();
    for (what, number, fits) in [
        ("ratio", 0, true),
        ("ratio", 1, false),
        ("zeros", 1 << 20, true),
        ("zeros", (1 << 20) + 1, false),
        // stopped long before its end
        ("zeros", 1 << 30, false),
    ] {
        let made = python(&world, &[what, &number.to_string(), "zeros"]).ok();
        let length = made.text().trim().parse().unwrap_or(number);
        world.write("out", "precious");
        let run = world.privyseal(["decompress", "zeros", "-o", "out", "--json"]);
        if fits {
            let run = run.ok();
            assert_eq!(run.json()["content_length"], length);
            let out = world.read("out");
            assert!(out.len() == length && out.iter().all(|byte| *byte == 0));
        } else {
            let run = run.fails_with(1);
            assert_eq!(run.json()["error"], "org.privyseal1.Error.MalformedMessage");
            let message = run.json()["message"].to_string();
            assert!(
                message.contains("more than 100 bytes of content"),
                "{message}"
            );
            assert_eq!(world.read("out"), b"precious");
        }
    }
}

#[test]
fn line_ends_are_made_canonical_for_mail_only() {
    let world = World::new();
    let unix = MAIL.replace('\r', "");
    for (args, expected) in [
        (&["compress"][..], MAIL),
        (&["compress", "--no-canonicalize"], &unix),
        (&["compress", "--format", "der"], &unix),
    ] {
        let made = world.privyseal_in(args, unix.as_bytes()).ok();
        let back = world.privyseal_in(["decompress"], &made.stdout).ok();
        assert_eq!(back.text(), expected, "{args:?}");
    }
}

#[test]
fn layers_go_on_and_come_off_by_pipes() {
    let world = World::unlocked();
    let compressed = world.privyseal_in(["compress"], MAIL.as_bytes()).ok();
    let signed = world
        .privyseal_in(
            ["sign", "-s", "alice@example.org", "--form", "opaque"],
            &compressed.stdout,
        )
        .ok();
    let again = world.privyseal_in(["compress"], &signed.stdout).ok();
    let signed = world.privyseal_in(["decompress"], &again.stdout).ok();
    let inner = world
        .privyseal_in(["verify", "-o", "-"], &signed.stdout)
        .ok();
    let mail = world.privyseal_in(["decompress"], &inner.stdout).ok();
    assert_eq!(mail.text(), MAIL);
    // a compressed layer hides no signature, and is none
    let verdict = world
        .privyseal_in(["verify", "--json"], &again.stdout)
        .ok()
        .json();
    assert_eq!(verdict["verdict"], "good");
    let verdict = world
        .privyseal_in(["verify", "--json"], &compressed.stdout)
        .fails_with(3)
        .json();
    assert_eq!(verdict["verdict"], "not-signed");
}
