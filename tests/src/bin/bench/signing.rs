//! One 10 KiB mail, signed again and again: raw C_Sign, and SignBytes over D-Bus.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use privyseal_tests::World;
use privyseal_tests::bytes::Client;

use crate::raw::{Key, RawToken};
use crate::report::{Times, ms, title};

/// 10 KiB of MIME entity.
pub fn mail() -> Vec<u8> {
    let mut mail = b"Content-Type: text/plain; charset=utf-8\r\n\r\n".to_vec();
    while mail.len() < 10 << 10 {
        mail.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, and then once more.\r\n",
        );
    }
    mail
}

pub fn run(world: &World, seconds: f64) {
    let raw_token = RawToken::make();
    for key in [Key::Rsa, Key::P256] {
        title(&format!(
            "One 10 KiB mail, {} in SoftHSM: signatures a second",
            key.name()
        ));
        println!(
            "{:8} {:>12} {:>12} {:>8} {:>12} {:>12} {:>12}",
            "clients", "raw C_Sign", "SignBytes", "ratio", "raw p50", "D-Bus p50", "D-Bus p99"
        );
        for clients in [1, 2, 8, 64] {
            let raw = raw_token.sign(key, clients, seconds);
            let bus = over_the_bus(world, key, clients, seconds);
            let (raw_rate, bus_rate) = (raw.count() as f64 / seconds, bus.count() as f64 / seconds);
            println!(
                "{clients:<8} {raw_rate:>10.0}/s {bus_rate:>10.0}/s {:>7.0}% {} {} {}",
                bus_rate / raw_rate * 100.0,
                ms(raw.percentile(50)),
                ms(bus.percentile(50)),
                ms(bus.percentile(99)),
            );
            if clients == 1 {
                println!(
                    "{:8} one client's p50 is raw + {:.3} ms (aim: + 0.4 ms)",
                    "",
                    bus.percentile(50) - raw.percentile(50)
                );
            }
        }
    }
}

/// `sha256:` and the fingerprint of the certificate of one of the token's keys.
pub fn fingerprint(world: &World, key: &str) -> String {
    let file = world.token_file(&format!("me-{key}.pem"));
    format!("sha256:{}", world.fingerprint(file))
}

fn over_the_bus(world: &World, key: Key, clients: usize, seconds: f64) -> Times {
    over_the_bus_with(world, &fingerprint(world, key.label()), clients, seconds)
}

/// SignBytes by so many clients.
pub fn over_the_bus_with(world: &World, signer: &str, clients: usize, seconds: f64) -> Times {
    let mail = mail();
    let barrier = Barrier::new(clients);
    let all: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..clients)
            .map(|_| {
                let (mail, barrier) = (&mail, &barrier);
                scope.spawn(move || {
                    let client = Client::connect(world.bus_address());
                    let options = [("signer", signer)];
                    client.sign(mail, &options).unwrap();
                    barrier.wait();
                    let end = Instant::now() + Duration::from_secs_f64(seconds);
                    let mut times = Vec::new();
                    while Instant::now() < end {
                        let began = Instant::now();
                        client.sign(mail, &options).unwrap();
                        times.push(began.elapsed());
                    }
                    times
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    Times::new(all.into_iter().flatten().collect())
}
