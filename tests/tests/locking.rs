//! Locked means that the *card* refuses (design rule 5): another program asks it to sign, after every way in which an unlocked token ends.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::time::Duration;

use privyseal_tests::memory::processes;
use privyseal_tests::process::Process;
use privyseal_tests::{World, WorldOptions, wait_until};
use privyseal_virtual_card::pcscd::in_private_place;
use privyseal_virtual_card::stranger;
use rustix::process::Signal;

const READER: &str = "Virtual PCD 00 00";
const LABEL: &str = "Virtual Card 9A";

fn unlocked(world: &World) {
    world
        .privyseal_in(["token", "unlock", LABEL, "--pin-fd", "0"], b"123456")
        .ok();
    assert!(
        stranger::may_sign(READER),
        "or the test would prove nothing"
    );
}

fn refuses_soon(after: &str) {
    wait_until(&format!("the card refuses, after {after}"), || {
        !stranger::may_sign(READER)
    });
}

fn lock_screen(world: &World) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bus = zbus::connection::Builder::address(world.bus_address());
        let bus = bus.build().await.unwrap();
        let saver = "org.freedesktop.ScreenSaver";
        let none: Option<&str> = None;
        bus.emit_signal(none, "/ScreenSaver", saver, "ActiveChanged", &true)
            .await
            .unwrap();
    });
}

#[test]
fn the_card_refuses_others_after_every_end_of_an_unlocked_token() {
    let name = "the_card_refuses_others_after_every_end_of_an_unlocked_token";
    in_private_place(name, || {
        let mut world = World::with(WorldOptions {
            card: &["9a=p256"],
            config: "\n[pin]\nmax-uses = 1\n".into(),
            // workers have something to say at their end, when nobody listens
            log: Some("debug"),
            ..WorldOptions::default()
        });
        world.write("mail.txt", "Content-Type: text/plain\r\n\r\nHello\r\n");
        let mut cells = 0;
        let mut cell = |world: &World, what: &str, end: &dyn Fn(&World)| {
            unlocked(world);
            end(world);
            refuses_soon(what);
            cells += 1;
        };
        cell(&world, "token lock", &|world| {
            world.privyseal(["token", "lock", LABEL]).ok();
            assert!(!stranger::may_sign(READER), "at once");
        });
        cell(&world, "the last use that is allowed", &|world| {
            world
                .privyseal(["sign", "mail.txt", "-s", "card/9a.crt.pem", "-o", "signed"])
                .ok();
            assert!(!stranger::may_sign(READER), "at once");
        });
        cell(&world, "a locked screen", &lock_screen);
        cell(&world, "kill -9 of the workers", &|world| {
            let daemon = world.daemon_pid();
            for worker in processes(world).into_iter().filter(|pid| *pid != daemon) {
                Process::of(worker).signal(Signal::KILL);
            }
        });
        wait_until("the workers are back", || {
            world.privyseal(["token", "show", LABEL]).code == 0
        });
        cell(&world, "kill -9 of the daemon", &|world| {
            let workers = processes(world).into_iter().skip(1);
            let workers: Vec<_> = workers.map(Process::of).collect();
            Process::of(world.daemon_pid()).signal(Signal::KILL);
            for worker in workers {
                let ended = worker.ends_within(Duration::from_secs(10));
                assert!(ended, "a worker outlives its daemon");
            }
        });
        world.stop_daemon();
        world.start_daemon();
        unlocked(&world);
        assert_eq!(world.stop_daemon(), 0);
        assert!(!stranger::may_sign(READER), "SIGTERM: at once");
        cells += 1;
        println!("locking: {cells} cells ran");
        assert_eq!(cells, 6);
    });
}
