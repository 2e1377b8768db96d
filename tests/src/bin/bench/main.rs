//! `make bench`: Privyseal beside the token's own limit and beside its peers, in one run. Read the ratios, not the numbers.
//! Arguments: `--quick`, `--mib N` (of bulk content; PRIVYSEAL_BENCH_MIB too), and of `signing`, `verifying`, `oneshot`, `bulk`, `beside`, `kinds` those
//! that are wanted (default: all).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a measuring program may fail loudly"
)]

mod beside;
mod bulk;
mod gpgsm;
mod kinds;
mod limit;
mod oneshot;
mod raw;
mod report;
mod signing;
mod verifying;

use privyseal_tests::{World, WorldOptions};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "raw") {
        raw::child(&args[1..]);
    }
    if let [first, seconds] = args.as_slice()
        && first == kinds::CARD
    {
        return kinds::card(seconds);
    }
    let quick = args.iter().any(|a| a == "--quick");
    let seconds = if quick { 1.0 } else { 4.0 };
    let mib = args
        .iter()
        .skip_while(|a| *a != "--mib")
        .nth(1)
        .cloned()
        .or_else(|| std::env::var("PRIVYSEAL_BENCH_MIB").ok())
        .map_or(if quick { 64 } else { 1024 }, |mib| mib.parse().unwrap());
    println!(
        "privyseal bench: {} cores, {seconds} s a row, bulk of {mib} MiB\n",
        std::thread::available_parallelism().unwrap()
    );
    let mut world = World::with(WorldOptions {
        release: true,
        ..WorldOptions::default()
    });
    world.unlock();
    const PARTS: [&str; 6] = ["signing", "verifying", "oneshot", "bulk", "beside", "kinds"];
    let all = !args.iter().any(|a| PARTS.contains(&a.as_str()));
    let wanted = |part: &str| all || args.iter().any(|a| a == part);
    if wanted("signing") {
        signing::run(&world, seconds);
    }
    if wanted("verifying") {
        verifying::run(&world, seconds / 2.0);
    }
    if wanted("oneshot") {
        oneshot::run(&world, if quick { 20 } else { 200 });
    }
    if wanted("bulk") {
        // the highest memory of the bulk's rows is to be theirs, not that of 64 clients before them
        assert_eq!(world.stop_daemon(), 0);
        world.start_daemon();
        world.unlock();
        bulk::run(&world, mib);
    }
    if wanted("kinds") {
        kinds::run(seconds);
    }
    if wanted("beside") {
        beside::run(&mut world, seconds);
    }
}
