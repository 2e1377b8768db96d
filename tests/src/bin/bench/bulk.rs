//! Bulk speed of the four operations on a file, beside `openssl cms`, and beside what one core can do (measured in this run).

use std::time::Instant;

use privyseal_tests::{World, binary};
use sha2::Digest;

use crate::report::title;

struct Row {
    name: &'static str,
    ours: Vec<String>,
    /// openssl's arguments; empty: it has no such thing
    peer: String,
    /// what one core does at most, MB/s (facts measured on the reference machine: SHA-256, AES, base64 fused in one loop)
    core: f64,
}

pub fn run(world: &World, mib: usize) {
    title(&format!(
        "Bulk, {mib} MiB of text in a file: MB/s of content (higher is better)"
    ));
    let line = b"The quick brown fox jumps over the lazy dog, and then once more, and again.\r\n";
    let mut content = b"Content-Type: text/plain\r\n\r\n".to_vec();
    while content.len() < mib << 20 {
        content.extend_from_slice(line);
    }
    world.write("bulk", &content);
    let began = Instant::now();
    let digest = sha2::Sha256::digest(&content);
    let hash_limit = content.len() as f64 / began.elapsed().as_secs_f64() / 1e6;
    println!(
        "one core hashes SHA-256 at {hash_limit:.0} MB/s ({:02x}…)",
        digest[0]
    );
    let bytes = content.len() as f64;
    drop(content);

    let file = |name: &str| world.token_file(name).display().to_string();
    let (me, bob, bob_key, anchor, chain) = (
        file("me-rsa-encrypt.pem"),
        file("peer-rsa.pem"),
        file("peer-rsa.key"),
        file("anchor.pem"),
        file("intermediate.pem"),
    );
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let signer = file("me-rsa-sign.pem");
    let rows = [
        Row {
            name: "sign, detached DER",
            ours: words(&format!(
                "sign -s {signer} --form detached --format der bulk -o a"
            )),
            peer: format!(
                "cms -sign -binary -stream -certfile {chain} -signer {bob} -inkey {bob_key} -outform der -in bulk -out b"
            ),
            core: 1921.0,
        },
        Row {
            name: "verify, detached DER",
            ours: words("verify a --content bulk"),
            peer: format!(
                "cms -verify -binary -inform der -in b -content bulk -CAfile {anchor} -out /dev/null"
            ),
            core: 1921.0,
        },
        Row {
            name: "sign, multipart/signed",
            ours: words(&format!("sign -s {signer} bulk -o a")),
            peer: format!(
                "cms -sign -binary -stream -certfile {chain} -signer {bob} -inkey {bob_key} -in bulk -out b"
            ),
            core: 1519.0,
        },
        Row {
            name: "verify, multipart/signed",
            ours: words("verify a"),
            peer: format!("cms -verify -binary -in b -CAfile {anchor} -out /dev/null"),
            core: 1921.0,
        },
        Row {
            name: "sign, opaque DER",
            ours: words(&format!(
                "sign -s {signer} --form opaque --format der bulk -o a"
            )),
            peer: format!(
                "cms -sign -binary -nodetach -stream -certfile {chain} -signer {bob} -inkey {bob_key} -outform der -in bulk -out b"
            ),
            core: 1921.0,
        },
        Row {
            name: "verify, opaque DER",
            ours: words("verify a"),
            peer: format!("cms -verify -binary -inform der -in b -CAfile {anchor} -out /dev/null"),
            core: 1921.0,
        },
        Row {
            name: "encrypt, AES-256-CBC DER",
            ours: words(&format!(
                "encrypt -r {me} --cipher aes256-cbc --format der bulk -o a"
            )),
            peer: format!(
                "cms -encrypt -binary -stream -aes-256-cbc -outform der -in bulk -out b {bob}"
            ),
            core: 1459.0,
        },
        Row {
            name: "decrypt, AES-256-CBC DER",
            ours: words("decrypt a -o c"),
            peer: format!(
                "cms -decrypt -binary -inform der -in b -recip {bob} -inkey {bob_key} -out d"
            ),
            core: 7304.0,
        },
        Row {
            name: "encrypt, AES-256-GCM DER",
            ours: words(&format!("encrypt -r {me} --format der bulk -o a")),
            peer: format!(
                "cms -encrypt -binary -stream -aes-256-gcm -outform der -in bulk -out b {bob}"
            ),
            core: 3882.0,
        },
        Row {
            name: "decrypt, AES-256-GCM DER",
            ours: words("decrypt a -o c"),
            peer: format!(
                "cms -decrypt -binary -inform der -in b -recip {bob} -inkey {bob_key} -out d"
            ),
            core: 3882.0,
        },
        Row {
            name: "encrypt, AES-256-CBC S/MIME",
            ours: words(&format!("encrypt -r {me} --cipher aes256-cbc bulk -o a")),
            peer: format!("cms -encrypt -binary -stream -aes-256-cbc -in bulk -out b {bob}"),
            core: 1221.0,
        },
        Row {
            name: "decrypt, AES-256-CBC S/MIME",
            ours: words("decrypt a -o c"),
            peer: format!("cms -decrypt -binary -in b -recip {bob} -inkey {bob_key} -out d"),
            core: 2647.0,
        },
        Row {
            name: "encrypt, AES-256-GCM S/MIME",
            ours: words(&format!("encrypt -r {me} bulk -o a")),
            peer: format!("cms -encrypt -binary -stream -aes-256-gcm -in bulk -out b {bob}"),
            core: 2189.0,
        },
        Row {
            name: "decrypt, AES-256-GCM S/MIME",
            ours: words("decrypt a -o c"),
            peer: format!("cms -decrypt -binary -in b -recip {bob} -inkey {bob_key} -out d"),
            core: 2189.0,
        },
    ];
    println!(
        "{:30} {:>10} {:>12} {:>8} {:>12} {:>8}",
        "", "privyseal", "openssl cms", "ratio", "one core", "of it"
    );
    for row in rows {
        let ours = best(|| {
            let status = world
                .command(binary("privyseal", true))
                .args(&row.ours)
                .stdout(std::process::Stdio::null())
                .status();
            assert!(status.unwrap().success(), "{}", row.name);
        });
        let theirs = best(|| {
            world.openssl(&row.peer).ok();
        });
        println!(
            "{:30} {:>10.0} {:>12.0} {:>7.1}x {:>12.0} {:>7.0}%",
            row.name,
            bytes / ours / 1e6,
            bytes / theirs / 1e6,
            theirs / ours,
            row.core,
            bytes / ours / 1e6 / row.core * 100.0
        );
    }
}

/// The better of two runs, seconds.
fn best(mut work: impl FnMut()) -> f64 {
    let mut time = || {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64()
    };
    time().min(time())
}
