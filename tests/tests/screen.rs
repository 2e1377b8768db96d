//! When the screen is locked, tokens are too: a systemd-logind and a screen saver of the test's own say so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use privyseal_tests::{World, wait_until};
use zbus::{Connection, OwnedObjectPath, connection, interface};

const SESSION: &str = "/org/freedesktop/login1/session/_31";
const OTHERS: &str = "/org/freedesktop/login1/session/_32";

/// A session of logind, as far as it is asked.
struct Session {
    uid: u32,
}

#[interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    async fn user(&self) -> (u32, OwnedObjectPath) {
        let path = OwnedObjectPath::try_from("/org/freedesktop/login1/user/_0").unwrap();
        (self.uid, path)
    }
}

async fn emit(bus: &Connection, path: &str, interface: &str, member: &str, on: Option<bool>) {
    let none: Option<&str> = None;
    match on {
        Some(on) => bus.emit_signal(none, path, interface, member, &on).await,
        None => bus.emit_signal(none, path, interface, member, &()).await,
    }
    .unwrap();
}

fn state(world: &World) -> String {
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    list["tokens"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_locked_screen_locks_the_tokens() {
    let mut world = World::new();
    // the daemon comes after logind, as it does on a desktop
    assert_eq!(world.stop_daemon(), 0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let bus = runtime.block_on(async {
        connection::Builder::address(world.bus_address())
            .serve_at(SESSION, Session { uid })
            .serve_at(OTHERS, Session { uid: uid + 1 })
            .name("org.freedesktop.login1")
            .build()
            .await
            .unwrap()
    });
    world.start_daemon();
    let saver = "org.freedesktop.ScreenSaver";
    let logind = "org.freedesktop.login1.Session";
    let mut cells = 0;
    for (path, interface, member, on, locks) in [
        (SESSION, logind, "Lock", None, true),
        (OTHERS, logind, "Lock", None, false),
        (SESSION, logind, "Unlock", None, false),
        ("/ScreenSaver", saver, "ActiveChanged", Some(true), true),
        ("/ScreenSaver", saver, "ActiveChanged", Some(false), false),
        (
            "/x",
            "org.example.Other",
            "ActiveChanged",
            Some(true),
            false,
        ),
    ] {
        world.unlock();
        assert_eq!(state(&world), "unlocked");
        runtime.block_on(emit(&bus, path, interface, member, on));
        if locks {
            wait_until("the token is locked", || state(&world) == "locked");
        } else {
            // what comes after it has been heard means that it was too
            for _ in 0..5 {
                assert_eq!(state(&world), "unlocked", "{interface} {member} {on:?}");
            }
        }
        cells += 1;
    }
    println!("screen: {cells} cells ran");
    assert_eq!(cells, 6);
}
