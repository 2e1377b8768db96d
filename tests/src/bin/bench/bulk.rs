//! Bulk speed of every operation on a file and through pipes, beside openssl and gpgsm on the same content, and beside what one core
//! can do; and the memory of all our processes together, row by row.
//!
//! Our output is on disk when the program ends; a peer's is therefore put there too, and that counts.

use std::fs::{self, File};
use std::time::Instant;

use privyseal_tests::memory::{self, Operation, Way};
use privyseal_tests::{World, binary};

use crate::gpgsm::Gpgsm;
use crate::limit::{Base64, Limits, Work};
use crate::report::title;

struct Row {
    name: &'static str,
    /// our arguments; IN is the message
    args: String,
    /// message and result; no result for a verdict alone
    input: &'static str,
    output: Option<&'static str>,
    /// openssl's arguments
    openssl: Option<String>,
    /// gpgsm's
    gpgsm: Option<String>,
    /// what openssl and gpgsm write
    written: Option<(&'static str, &'static str)>,
    limit: (Work, Base64),
}

/// A peer that takes longer is measured once, seconds.
const LONG: f64 = 3.0;
/// All our processes together, MiB.
const MEMORY: u64 = 64;

pub fn run(world: &World, mib: usize) {
    title(&format!(
        "Bulk, {mib} MiB of text: MB/s of content (higher is better)"
    ));
    println!(
        "files, pipes: ours, end to end, the file on disk at the end (a peer's too). ratio: our files / best peer.\n\
         core: the same libraries, one thread, memory to memory; +disk: with reading and writing the same files, one after the other.\n"
    );
    let content = content(mib);
    world.write("bulk", &content);
    let bytes = content.len() as f64;
    let limits = Limits::new(world.dir(), &content);
    drop(content);
    let gpgsm = Gpgsm::new(world);
    // not streamed, it has definite lengths; nobody is measured making it
    let file = |name: &str| world.token_file(name).display().to_string();
    world
        .openssl(&format!(
            "cms -sign -binary -nodetach -outform der -certfile {} -signer {} -inkey {} -in bulk -out definite",
            file("intermediate.pem"),
            file("peer-rsa.pem"),
            file("peer-rsa.key")
        ))
        .ok();
    if gpgsm.is_none() {
        println!("gpgsm is not installed here, or does not take the key");
    }
    println!(
        "{:28} {:>7} {:>7} {:>8} {:>7} {:>6} {:>7} {:>5} {:>7} {:>5} {:>7}",
        "",
        "files",
        "pipes",
        "openssl",
        "gpgsm",
        "ratio",
        "core",
        "of it",
        "+disk",
        "of it",
        "memory"
    );
    let (mut behind, mut most) = (0, 0);
    for row in rows(world, gpgsm.as_ref()) {
        let speed = |seconds: f64| bytes / seconds / 1e6;
        memory::forget(world);
        let (files, on_files) = ours(world, &row, Way::Files);
        let (pipes, on_pipes) = ours(world, &row, Way::Pipes);
        let memory = (memory::daemon_peak(world) + on_files.max(on_pipes)) >> 20;
        let openssl = row.openssl.as_ref().and_then(|line| {
            peer(world, row.written.map(|w| w.0), || {
                world.openssl(line).code == 0
            })
        });
        let gpgsm = row.gpgsm.as_ref().zip(gpgsm.as_ref());
        let gpgsm = gpgsm.and_then(|(line, gpgsm)| {
            let args: Vec<&str> = line.split(' ').collect();
            peer(world, row.written.map(|w| w.1), || gpgsm.run(&args))
        });
        let best = openssl.into_iter().chain(gpgsm).reduce(f64::min);
        let (core, disk) = limits.of(row.limit.0, row.limit.1, row.output.is_some());
        let shown = |seconds: Option<f64>| {
            seconds.map_or_else(|| "-".into(), |s| format!("{:.0}", speed(s)))
        };
        let ratio = best.map(|best| best / files);
        println!(
            "{:28} {:>7.0} {:>7.0} {:>8} {:>7} {:>6} {:>7.0} {:>4.0}% {:>7.0} {:>4.0}% {:>3} MiB",
            row.name,
            speed(files),
            speed(pipes),
            shown(openssl),
            shown(gpgsm),
            ratio.map_or_else(|| "-".into(), |r| format!("{r:.1}x")),
            core,
            speed(files) / core * 100.0,
            disk,
            speed(files) / disk * 100.0,
            memory
        );
        behind += usize::from(ratio.is_some_and(|r| r < 1.0));
        most = most.max(memory);
    }
    println!(
        "\nrows in which a peer is faster: {behind}; most memory: {most} MiB (aim: 0, and {MEMORY} MiB)"
    );
    for name in ["bulk", "definite", "a", "b", "c", "d", "g", "h"] {
        let _ = fs::remove_file(world.path(name));
    }
}

/// Lines of text, none like another (compression would make nothing of them).
fn content(mib: usize) -> Vec<u8> {
    let mut content = b"Content-Type: text/plain\r\n\r\n".to_vec();
    let mut number = 0u64;
    while content.len() < mib << 20 {
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        content.extend_from_slice(
            format!("{noise:016x} the quick brown fox jumps over the lazy dog {number:012x}\r\n")
                .as_bytes(),
        );
        number += 1;
    }
    content
}

/// The better of two runs: seconds, and the program's memory.
fn ours(world: &World, row: &Row, way: Way) -> (f64, u64) {
    let args: Vec<String> = row.args.split(' ').map(str::to_owned).collect();
    let operation = Operation {
        args: &args,
        input: row.input,
        // what a pipe brings is not kept: it is measured without the disk
        output: row.output.map(|output| match way {
            Way::Files => output,
            Way::Pipes => "/dev/null",
        }),
    };
    let mut best = (f64::INFINITY, 0);
    for _ in 0..2 {
        let program = world.command(binary("privyseal", true));
        let spent = memory::run(world, program, &operation, way);
        best = (
            best.0.min(spent.time.as_secs_f64()),
            best.1.max(spent.memory),
        );
    }
    best
}

/// The better of two runs, seconds; `None`: it cannot do it.
fn peer(world: &World, written: Option<&str>, work: impl Fn() -> bool) -> Option<f64> {
    let once = || {
        let began = Instant::now();
        if !work() {
            return None;
        }
        if let Some(written) = written {
            File::open(world.path(written)).ok()?.sync_all().ok()?;
        }
        Some(began.elapsed().as_secs_f64())
    };
    let first = once()?;
    match first > LONG {
        true => Some(first),
        false => Some(first.min(once()?)),
    }
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn rows(world: &World, gpgsm: Option<&Gpgsm<'_>>) -> Vec<Row> {
    let file = |name: &str| world.token_file(name).display().to_string();
    let signer = file("me-rsa-sign.pem");
    let me = file("me-rsa-encrypt.pem");
    let (bob, bob_key) = (file("peer-rsa.pem"), file("peer-rsa.key"));
    let bob_sha1 = gpgsm.map(|g| g.peer.clone()).unwrap_or_default();
    let sign = format!(
        "cms -sign -binary -stream -certfile {} -signer {bob} -inkey {bob_key} -in bulk -out b",
        file("intermediate.pem")
    );
    let verify = format!(
        "cms -verify -binary -in b -CAfile {} -out /dev/null",
        file("anchor.pem")
    );
    let decrypt = format!("cms -decrypt -binary -in b -recip {bob} -inkey {bob_key} -out d");
    let encrypt = |cipher: &str, rest: &str| {
        format!("cms -encrypt -binary -stream -{cipher} -in bulk -out b {rest}{bob}")
    };
    // a message is made of `bulk`, or read: ours are a and c, openssl's b and d, gpgsm's g and h
    let made = |name, args: String, limit| Row {
        name,
        args,
        input: "bulk",
        output: Some("a"),
        openssl: None,
        gpgsm: None,
        written: Some(("b", "g")),
        limit,
    };
    let read = |name, args: &str, limit| Row {
        name,
        args: args.to_owned(),
        input: "a",
        output: Some("c"),
        openssl: None,
        gpgsm: None,
        written: Some(("d", "h")),
        limit,
    };
    let judged = |name, args: &str, limit| Row {
        output: None,
        written: None,
        ..read(name, args, limit)
    };
    use Base64::{Decode, Encode, No};
    use Work::{CbcDecrypt, CbcEncrypt, ChaCha, Gcm, Hash};
    vec![
        Row {
            openssl: Some(format!("{sign} -outform der")),
            gpgsm: Some(format!("--detach-sign -u {bob_sha1} -o g bulk")),
            ..made(
                "sign, detached DER",
                format!("sign -s {signer} --form detached --format der IN"),
                (Hash, No),
            )
        },
        Row {
            input: "bulk",
            openssl: Some(format!("{verify} -inform der -content bulk")),
            gpgsm: Some("--verify g bulk".into()),
            ..judged("verify, detached DER", "verify a --content IN", (Hash, No))
        },
        Row {
            openssl: Some(sign.clone()),
            ..made(
                "sign, multipart/signed",
                format!("sign -s {signer} IN"),
                (Hash, No),
            )
        },
        Row {
            openssl: Some(verify.clone()),
            ..judged("verify, multipart/signed", "verify IN", (Hash, No))
        },
        Row {
            openssl: Some(verify.replace("/dev/null", "d")),
            ..read("verify and write, multipart", "verify IN", (Hash, No))
        },
        Row {
            openssl: Some(format!("{sign} -nodetach")),
            ..made(
                "sign, opaque S/MIME",
                format!("sign -s {signer} --form opaque IN"),
                (Hash, Encode),
            )
        },
        Row {
            openssl: Some(verify.clone()),
            ..judged("verify, opaque S/MIME", "verify IN", (Hash, Decode))
        },
        Row {
            gpgsm: Some(format!("--sign -u {bob_sha1} -o g bulk")),
            openssl: Some(format!("{sign} -nodetach -outform der")),
            ..made(
                "sign, opaque BER",
                format!("sign -s {signer} --form opaque --format der IN"),
                (Hash, No),
            )
        },
        Row {
            openssl: Some(format!("{verify} -inform der")),
            gpgsm: Some("--verify g".into()),
            ..judged("verify, opaque BER", "verify IN", (Hash, No))
        },
        Row {
            openssl: Some(format!("{verify} -inform der").replace("-in b", "-in definite")),
            input: "definite",
            ..judged("verify, opaque DER", "verify IN", (Hash, No))
        },
        Row {
            openssl: Some(encrypt("aes-256-cbc", "-outform der ")),
            gpgsm: Some(format!(
                "--encrypt --cipher-algo AES256 -r {bob_sha1} -o g bulk"
            )),
            ..made(
                "encrypt, AES-256-CBC DER",
                format!("encrypt -r {me} --cipher aes256-cbc --format der IN"),
                (CbcEncrypt, No),
            )
        },
        Row {
            openssl: Some(format!("{decrypt} -inform der")),
            gpgsm: Some("--decrypt -o h g".into()),
            ..read("decrypt, AES-256-CBC DER", "decrypt IN", (CbcDecrypt, No))
        },
        Row {
            openssl: Some(encrypt("aes-256-cbc", "")),
            ..made(
                "encrypt, AES-256-CBC S/MIME",
                format!("encrypt -r {me} --cipher aes256-cbc IN"),
                (CbcEncrypt, Encode),
            )
        },
        Row {
            openssl: Some(decrypt.clone()),
            ..read(
                "decrypt, AES-256-CBC S/MIME",
                "decrypt IN",
                (CbcDecrypt, Decode),
            )
        },
        Row {
            openssl: Some(encrypt("aes-256-gcm", "-outform der ")),
            ..made(
                "encrypt, AES-256-GCM DER",
                format!("encrypt -r {me} --format der IN"),
                (Gcm, No),
            )
        },
        Row {
            openssl: Some(format!("{decrypt} -inform der")),
            ..read("decrypt, AES-256-GCM DER", "decrypt IN", (Gcm, No))
        },
        Row {
            openssl: Some(encrypt("aes-256-gcm", "")),
            ..made(
                "encrypt, AES-256-GCM S/MIME",
                format!("encrypt -r {me} IN"),
                (Gcm, Encode),
            )
        },
        Row {
            openssl: Some(decrypt.clone()),
            ..read("decrypt, AES-256-GCM S/MIME", "decrypt IN", (Gcm, Decode))
        },
        Row {
            openssl: Some(encrypt("chacha20-poly1305", "-outform der ")),
            ..made(
                "encrypt, ChaCha20-Poly1305 DER",
                format!("encrypt -r {me} --cipher chacha20-poly1305 --format der IN"),
                (ChaCha, No),
            )
        },
        read("decrypt, ChaCha20-Poly1305 DER", "decrypt IN", (ChaCha, No)),
        made(
            "encrypt, ChaCha20 S/MIME",
            format!("encrypt -r {me} --cipher chacha20-poly1305 IN"),
            (ChaCha, Encode),
        ),
        read("decrypt, ChaCha20 S/MIME", "decrypt IN", (ChaCha, Decode)),
    ]
}
