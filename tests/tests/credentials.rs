//! Stored PINs (systemd credentials) on machines without a person, and what restarts make of a wrong one. Witnesses are the module in
//! front of SoftHSM, which counts C_Logins, and the card's own counter of tries.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::os::unix::fs::symlink;

use privyseal_tests::{PIN, Run, World, WorldOptions, wait_until};
use privyseal_virtual_card::pcscd::in_private_place;

const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello\r\n";
const CARD: &[&str] = &["9a=p256", "9c=p256", "9d=rsa2048"];
const CARD_PIN: &str = "123456";
const LABEL: &str = "Virtual Card 9A";

fn headless() -> World {
    let world = World::with(WorldOptions {
        pinentry: Some("D c4nary-97531\\nOK"),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    fs::create_dir(world.path("credentials")).unwrap();
    world
}

fn shown(world: &World, label: &str) -> serde_json::Value {
    let run = world.privyseal(["token", "show", label, "--json"]);
    run.ok().json()["token"].clone()
}

/// The name of the file for a token's stored PIN.
fn credential(world: &World, label: &str) -> String {
    format!(
        "credentials/pin.{}",
        shown(world, label)["id"].as_str().unwrap()
    )
}

/// C_Logins that the module has seen.
fn logins(world: &World) -> usize {
    let log = fs::read_to_string(world.path("spy/log")).unwrap();
    log.lines().filter(|l| l.starts_with("C_Login ")).count()
}

fn sign(world: &World, signer: &str) -> Run {
    world.privyseal([
        "sign", "mail.txt", "-s", signer, "-o", "signed", "--json", "--batch",
    ])
}

fn demo_sign(world: &World) -> Run {
    let me = world.token_file("me-rsa-sign.pem");
    sign(world, me.to_str().unwrap())
}

#[track_caller]
fn error(run: Run, code: i32) -> String {
    let said = run.fails_with(code).json();
    let name = said["error"].as_str().unwrap();
    name.trim_start_matches("org.privyseal1.Error.").to_owned()
}

fn restart(world: &mut World) {
    assert_eq!(world.stop_daemon(), 0);
    world.start_daemon();
}

#[test]
fn a_stored_pin_unlocks_the_token_when_a_key_is_needed_also_after_a_restart() {
    let mut world = headless();
    assert_eq!(shown(&world, "privyseal-demo")["stored_pin"], "none");
    let file = credential(&world, "privyseal-demo");
    world.write(&file, format!("{PIN}\n"));
    assert_eq!(logins(&world), 0);
    for times in 1..=2 {
        demo_sign(&world).ok();
        demo_sign(&world).ok();
        assert_eq!(logins(&world), times);
        assert_eq!(shown(&world, "privyseal-demo")["stored_pin"], "ready");
        restart(&mut world);
    }
    // it is known to be wrong after a change
    world.write("old.pin", PIN);
    world.write("new.pin", "c4nary-24680");
    let mut shell = world.command("sh");
    let line = format!(
        "exec '{}' token change-pin privyseal-demo --pin-fd 3 --new-pin-fd 4 3<old.pin 4<new.pin",
        privyseal_tests::binary("privyseal", false).display()
    );
    Run::of(shell.args(["-c", &line]).output().unwrap()).ok();
    let before = logins(&world);
    assert_eq!(error(demo_sign(&world), 4), "PinRequired");
    assert_eq!(logins(&world), before);
    world.write(&file, "c4nary-24680");
    demo_sign(&world).ok();
}

#[test]
fn a_wrong_stored_pin_is_sent_once_however_often_the_daemon_starts() {
    let mut world = headless();
    let file = credential(&world, "privyseal-demo");
    world.write(&file, "wrong-pin");
    let refused = demo_sign(&world);
    assert!(refused.text().contains("not tried again"), "{refused:?}");
    assert_eq!(error(refused, 4), "BadPin");
    for _ in 0..3 {
        restart(&mut world);
        let refused = demo_sign(&world);
        assert!(refused.text().contains("replace it"), "{refused:?}");
        assert_eq!(error(refused, 4), "PinRequired");
    }
    assert_eq!(logins(&world), 1);
    let text = world.privyseal(["token", "show", "privyseal-demo"]).text();
    assert!(text.contains("did not unlock it"), "{text}");
    let doctor = world.privyseal(["doctor", "--json"]).json();
    let findings = doctor["findings"].as_array().unwrap();
    assert!(findings.iter().any(|f| f["id"] == "stored-pin"), "{doctor}");

    // a changed one is tried, but a third that is wrong is not: after a restart systemd's copies all look changed
    for changed in 2..=4 {
        fs::remove_file(world.path(&file)).unwrap();
        world.write(&file, format!("wrong-{changed}"));
        restart(&mut world);
        demo_sign(&world).fails_with(4);
    }
    assert_eq!(logins(&world), 2);

    // until a person unlocks the token, for whom it is the last try: then the one that was never tried is
    let by_pipe = ["token", "unlock", "--pin-fd", "0", "--json"];
    let refused = world.privyseal_in(by_pipe, PIN.as_bytes());
    assert_eq!(error(refused, 4), "BadPinFinalTry");
    let mut unlock = world.command(privyseal_tests::binary("privyseal", false));
    let unlock = unlock.args(["token", "unlock"]).env("DISPLAY", ":99");
    Run::of(unlock.output().unwrap()).ok();
    world.privyseal(["token", "lock"]).ok();
    assert_eq!(error(demo_sign(&world), 4), "BadPin");
    assert_eq!(error(demo_sign(&world), 4), "PinRequired");
    assert_eq!(logins(&world), 4);
    fs::remove_file(world.path(&file)).unwrap();
    world.write(&file, PIN);
    demo_sign(&world).ok();
    assert_eq!(logins(&world), 5);
}

#[test]
fn a_login_that_did_not_come_back_counts_as_tried() {
    let mut world = headless();
    let file = credential(&world, "privyseal-demo");
    world.write(&file, PIN);
    world.write("spy/script", "C_Login once crash\n");
    assert_eq!(error(demo_sign(&world), 4), "TokenError");
    assert_eq!(logins(&world), 1);
    restart(&mut world);
    assert_eq!(error(demo_sign(&world), 4), "PinRequired");
    assert_eq!(logins(&world), 1);
    assert_eq!(shown(&world, "privyseal-demo")["stored_pin"], "refused");
}

#[test]
fn what_is_not_a_small_file_of_ours_is_no_stored_pin() {
    let world = headless();
    let file = credential(&world, "privyseal-demo");
    let path = world.path(&file);
    let secret = world.write("secret", PIN);
    let kinds: [&dyn Fn(); 4] = [
        &|| symlink(&secret, &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| {
            world.run("mkfifo", [&path]).ok();
        },
        &|| {
            world.write(&file, format!("{PIN}\n{}", "x".repeat(256)));
        },
    ];
    for make in kinds {
        make();
        assert_eq!(shown(&world, "privyseal-demo")["stored_pin"], "unusable");
        assert_eq!(error(demo_sign(&world), 4), "PinRequired");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
    }
    // small, and holds no PIN that can be read
    world.write(&file, "");
    assert_eq!(error(demo_sign(&world), 4), "PinRequired");
    assert_eq!(logins(&world), 0);
}

#[test]
fn wrong_pins_by_a_client_and_a_wrong_stored_one_with_restarts_do_not_block_a_card() {
    in_private_place(
        "wrong_pins_by_a_client_and_a_wrong_stored_one_with_restarts_do_not_block_a_card",
        || {
            let mut world = World::with(WorldOptions {
                card: CARD,
                ..WorldOptions::default()
            });
            world.write("mail.txt", MAIL);
            fs::create_dir(world.path("credentials")).unwrap();
            let file = credential(&world, LABEL);
            let left = |world: &World| world.card().card().state().pin_left;
            world.write(&file, "999999");
            for _ in 0..3 {
                sign(&world, "card/9a.crt.pem").fails_with(4);
                sign(&world, "card/9a.crt.pem").fails_with(4);
                restart(&mut world);
                assert_eq!(left(&world), 2, "the stored one costs one try");
            }
            for _ in 0..3 {
                let unlock = ["token", "unlock", LABEL, "--pin-fd", "0"];
                world.privyseal_in(unlock, b"888888").fails_with(4);
                sign(&world, "card/9a.crt.pem").fails_with(4);
                restart(&mut world);
            }
            assert_eq!(left(&world), 1, "the last try is a person's");
            // whatever is stored now
            fs::remove_file(world.path(&file)).unwrap();
            world.write(&file, CARD_PIN);
            let verifies = world.card().card().state().verifies;
            assert_eq!(error(sign(&world, "card/9a.crt.pem"), 4), "PinRequired");
            assert_eq!(world.card().card().state().verifies, verifies);
            assert_eq!(left(&world), 1);
        },
    );
}

#[test]
fn a_stored_pin_serves_a_key_that_wants_it_at_every_use() {
    in_private_place(
        "a_stored_pin_serves_a_key_that_wants_it_at_every_use",
        || {
            let world = World::with(WorldOptions {
                card: CARD,
                ..WorldOptions::default()
            });
            world.write("mail.txt", MAIL);
            fs::create_dir(world.path("credentials")).unwrap();
            world.write(&credential(&world, LABEL), CARD_PIN);
            for uses in 1..=2 {
                sign(&world, "card/9c.crt.pem").ok();
                // the one that unlocks it, and one a use
                assert_eq!(world.card().card().state().verifies, 1 + uses);
            }
            wait_until("it is unlocked", || {
                shown(&world, LABEL)["state"] == "unlocked"
            });
        },
    );
}
