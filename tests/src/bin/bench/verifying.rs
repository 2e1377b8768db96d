//! One 10 KiB mail with a three-level chain, verified again and again: VerifyBytes over D-Bus.

use std::time::{Duration, Instant};

use privyseal_tests::World;
use privyseal_tests::bytes::{Client, text};

use crate::report::{Times, ms, title};
use crate::signing::{fingerprint, mail};

pub fn run(world: &World, seconds: f64) {
    title("One 10 KiB mail, VerifyBytes over D-Bus, three-level chain (aim: p50 of 1 ms at most)");
    println!(
        "{:34} {:>10} {:>11} {:>11} {:>11}",
        "", "", "p50", "p99", "least"
    );
    let client = Client::connect(world.bus_address());
    for (key, name) in [("rsa-sign", "RSA-2048"), ("ec-sign", "P-256")] {
        let signer = fingerprint(world, key);
        for form in ["clear", "opaque"] {
            let options = [("signer", signer.as_str()), ("form", form)];
            let (message, _) = client.sign(&mail(), &options).unwrap();
            let verify = || {
                let (content, results) = client.verify(&message, &[]).unwrap();
                assert_eq!(text(&results, "verdict"), "good", "{results:?}");
                assert!(content.len() >= 10 << 10);
            };
            verify();
            let end = Instant::now() + Duration::from_secs_f64(seconds);
            let mut times = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                verify();
                times.push(began.elapsed());
            }
            let times = Times::new(times);
            println!(
                "{:34} {:>8.0}/s {} {} {}",
                format!("{name}, {form}"),
                times.count() as f64 / seconds,
                ms(times.percentile(50)),
                ms(times.percentile(99)),
                ms(times.percentile(0))
            );
        }
    }
}
