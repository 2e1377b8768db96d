//! Many clients at once: all right, none lost, served in turn.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::sync::Barrier;
use std::time::{Duration, Instant};

use privyseal_tests::World;
use privyseal_tests::bytes::{Client, text};

const CLIENTS: usize = 64;
const EACH: usize = 3;

#[test]
fn sixty_four_clients_get_192_right_signatures_in_turn() {
    let world = World::unlocked();
    let barrier = Barrier::new(CLIENTS);
    let answers: Vec<(Vec<u8>, Vec<u8>, Duration)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (world, barrier) = (&world, &barrier);
                scope.spawn(move || {
                    let client = Client::connect(world.bus_address());
                    barrier.wait();
                    (0..EACH)
                        .map(|round| {
                            let mail = format!(
                                "Content-Type: text/plain\r\n\r\nclient {n}, round {round}\r\n"
                            )
                            .into_bytes();
                            let began = Instant::now();
                            let (signed, _) = client
                                .sign(&mail, &[("signer", "alice@example.org")])
                                .unwrap();
                            (mail, signed, began.elapsed())
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(answers.len(), CLIENTS * EACH);
    let client = Client::connect(world.bus_address());
    for (mail, signed, _) in &answers {
        let (content, results) = client
            .verify(signed, &[("sender", "alice@example.org")])
            .unwrap();
        assert_eq!(text(&results, "verdict"), "good");
        assert_eq!(&content, mail, "a signature went to another client");
    }
    // openssl's word on one of them
    world.write("one.eml", &answers[100].1);
    let anchor = world.token_file("anchor.pem");
    let verified = world
        .openssl(&format!(
            "cms -verify -in one.eml -CAfile {} -out one.txt",
            anchor.display()
        ))
        .ok();
    assert!(verified.stderr.contains("successful"));

    let mut times: Vec<Duration> = answers.iter().map(|a| a.2).collect();
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("192 signatures: p50 {p50:?}, p99 {p99:?}");
    // a queue served in turn, not a limit on time
    assert!(p99 <= p50 * 5, "unfair: p50 {p50:?}, p99 {p99:?}");
}
