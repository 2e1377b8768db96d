//! Raw C_Sign beside SignBytes on each kind of token, one client. A card's row is made in a place of its own (`bench kinds-card`).

use privyseal_tests::kinds::{Kind, kind};
use privyseal_tests::{World, WorldOptions, wait_until};
use privyseal_virtual_card::pcscd;

use crate::raw;
use crate::report::{ms, title};
use crate::signing::over_the_bus_with;

/// The argument that makes the row of the card.
pub const CARD: &str = "kinds-card";

pub fn run(seconds: f64) {
    title("One 10 KiB mail, RSA-2048, one client, on each kind of token");
    println!(
        "{:24} {:>12} {:>12} {:>8} {:>12} {:>12}",
        "token", "raw C_Sign", "SignBytes", "ratio", "raw p50", "D-Bus p50"
    );
    for kind in [&kind::SOFTHSM, &kind::KRYOPTIC, &kind::TPM] {
        row(kind, seconds);
    }
    match pcscd::once_more(&[CARD, &seconds.to_string()]) {
        Some(said) => print!("{said}"),
        None => println!(
            "{:24} not run: namespaces are not allowed here",
            kind::CARD.name
        ),
    }
}

/// In the place of its own.
pub fn card(seconds: &str) {
    pcscd::prepare();
    row(&kind::CARD, seconds.parse().unwrap());
}

fn row(kind: &Kind, seconds: f64) {
    let mut world = World::with(WorldOptions {
        release: true,
        card: kind.card,
        ..WorldOptions::default()
    });
    assert_eq!(world.stop_daemon(), 0);
    let place = (kind.place)(&world);
    if kind.card.is_empty() {
        let refused = place.make(&world, kind, &[("rsa-sign", "rsa-sign")]);
        assert!(refused.is_empty(), "{refused:?}");
    }
    // before the daemon: two processes on one token disturb each other
    let raw = raw::of(&place, kind, seconds);
    place.configure(&world);
    world.start_daemon();
    wait_until(kind.label, || {
        world.privyseal(["token", "show", kind.label]).code == 0
    });
    let unlock = ["token", "unlock", kind.label, "--pin-fd", "0"];
    world.privyseal_in(unlock, kind.pin.as_bytes()).ok();
    let signer = format!("sha256:{}", world.fingerprint("kind/rsa-sign.pem"));
    let bus = over_the_bus_with(&world, &signer, 1, seconds);
    let (raw_rate, bus_rate) = (raw.count() as f64 / seconds, bus.count() as f64 / seconds);
    println!(
        "{:24} {raw_rate:>10.0}/s {bus_rate:>10.0}/s {:>7.0}% {} {}",
        kind.name,
        bus_rate / raw_rate * 100.0,
        ms(raw.percentile(50)),
        ms(bus.percentile(50)),
    );
}
