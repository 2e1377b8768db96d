//! PINs: keys that want one at every use, batches, changing, unblocking, locking by itself. The card's own counters are the witness that
//! no try is lost and that nothing is sent twice.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

use std::fs;
use std::process::Stdio;

use privyseal_tests::memory::{may_look, pins_in, processes};
use privyseal_tests::{PIN, Run, World, WorldOptions, binary, wait_until};
use privyseal_virtual_card::card::State;
use privyseal_virtual_card::pcscd::in_private_place;

const MAIL: &str = "Content-Type: text/plain\r\n\r\nHello\r\n";
const CARD: &[&str] = &["9a=p256", "9c=p256", "9d=rsa2048"];
const CARD_PIN: &str = "123456";
const LABEL: &str = "Virtual Card 9A";

/// A pinentry that answers with the lines of the file `pinentry.pins`, one a prompt; without one it is cancelled.
const QUEUE: &str = "'; if [ -s \"$0.pins\" ]; then sed -n 1p \"$0.pins\"; sed -i 1d \"$0.pins\"; echo OK; \
                     else echo ERR 83886179 cancelled; fi; printf '";

fn card_world(config: &str) -> World {
    let world = World::with(WorldOptions {
        card: CARD,
        pinentry: Some(QUEUE),
        config: config.into(),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    world
}

fn state(world: &World) -> State {
    world.card().card().state()
}

/// VERIFY commands and PIN tries left.
fn counters(world: &World) -> (u64, u8) {
    let state = state(world);
    (state.verifies, state.pin_left)
}

fn unlock(world: &World, pin: &str) -> Run {
    world.privyseal_in(["token", "unlock", LABEL, "--pin-fd", "0"], pin.as_bytes())
}

fn sign(slot: &str, more: &[&str]) -> Vec<String> {
    let signer = format!("card/{slot}.crt.pem");
    ["sign", "mail.txt", "-s", &signer, "-o", "signed", "--json"]
        .iter()
        .chain(more)
        .map(|&word| word.to_owned())
        .collect()
}

#[track_caller]
fn is_signed(world: &World) {
    world
        .openssl("cms -verify -in signed -CAfile card/anchor.pem -purpose any -out content")
        .ok();
    fs::remove_file(world.path("signed")).unwrap();
}

#[track_caller]
fn error(run: Run) -> String {
    let run = run.fails_with(4);
    let said = run.json();
    let name = said["error"].as_str().unwrap();
    name.trim_start_matches("org.privyseal1.Error.").to_owned()
}

/// The command line, where a person can be asked.
fn with_person<I: AsRef<std::ffi::OsStr>>(world: &World, args: impl IntoIterator<Item = I>) -> Run {
    let mut command = world.command(binary("privyseal", false));
    let command = command.args(args).env("DISPLAY", ":99");
    Run::of(command.stdin(Stdio::null()).output().unwrap())
}

/// What the person will answer.
fn answers(world: &World, pins: &[&str]) {
    let lines: String = pins.iter().map(|pin| format!("D {pin}\n")).collect();
    world.write("pinentry.pins", lines);
}

#[track_caller]
fn all_answered(world: &World) {
    assert!(
        world.read("pinentry.pins").is_empty(),
        "prompts are missing"
    );
}

fn token(world: &World) -> serde_json::Value {
    let list = world.privyseal(["token", "list", "--json"]).ok().json();
    let all = list["tokens"].as_array().unwrap();
    all.iter().find(|t| t["label"] == LABEL).unwrap().clone()
}

#[test]
fn a_card_key_that_wants_its_pin_at_every_use_costs_one_entry_a_use() {
    in_private_place(
        "a_card_key_that_wants_its_pin_at_every_use_costs_one_entry_a_use",
        || {
            let world = card_world("");
            let by_pin = |pin: &str| {
                world.privyseal_in(sign("9c", &["--pin-fd", "0", "--batch"]), pin.as_bytes())
            };
            assert_eq!(error(by_pin(CARD_PIN)), "PinRequired", "it is locked");
            unlock(&world, CARD_PIN).ok();
            assert_eq!(counters(&world), (1, 3));
            // the unlocking alone does not serve it, and nothing is sent
            let refused = world.privyseal(sign("9c", &["--batch"]));
            assert!(refused.text().contains("every use"), "{refused:?}");
            assert_eq!(error(refused), "PinRequired");
            assert_eq!(counters(&world), (1, 3));
            assert!(!world.path("signed").exists());
            for uses in 1..=2 {
                by_pin(CARD_PIN).ok();
                is_signed(&world);
                assert_eq!(counters(&world), (1 + uses, 3));
            }
            // other keys are as they were
            world.privyseal(sign("9a", &["--batch"])).ok();
            is_signed(&world);
            assert_eq!(counters(&world), (3, 3));
            let shown = world.privyseal(["token", "show", LABEL]).ok().text();
            assert!(shown.contains("not told by the token"), "{shown}");

            // one wrong entry is one try; OpenSC logs the whole token out
            assert_eq!(error(by_pin("999999")), "BadPin");
            assert_eq!(counters(&world), (4, 2));
            wait_until("it is locked", || token(&world)["state"] == "locked");
            assert_eq!(error(by_pin(CARD_PIN)), "PinRequired");
            assert_eq!(counters(&world), (4, 2), "nothing was sent");
            unlock(&world, CARD_PIN).ok();
            by_pin(CARD_PIN).ok();
            is_signed(&world);
            assert_eq!(counters(&world), (6, 3));

            // the last try is nothing for a descriptor
            assert_eq!(error(by_pin("999999")), "BadPin");
            unlock(&world, "999999").fails_with(4);
            assert_eq!(counters(&world), (8, 1));
            assert_eq!(token(&world)["tries_left"], 1);
            let shown = world.privyseal(["token", "show", LABEL]).ok().text();
            assert!(shown.contains("a wrong PIN now blocks"), "{shown}");
            let last = unlock(&world, CARD_PIN).fails_with(4);
            assert!(last.stderr.contains("one try"), "{last:?}");
            assert_eq!(counters(&world), (8, 1), "nothing was sent");
        },
    );
}

#[test]
fn a_person_is_asked_once_a_use_and_told_for_which_key() {
    in_private_place(
        "a_person_is_asked_once_a_use_and_told_for_which_key",
        || {
            let world = card_world("");
            // the token, then the key
            answers(&world, &[CARD_PIN, CARD_PIN]);
            with_person(&world, sign("9c", &[])).ok();
            all_answered(&world);
            is_signed(&world);
            assert_eq!(counters(&world), (2, 3));
            let told = String::from_utf8(world.read("pinentry.log")).unwrap();
            assert!(told.contains("sign a message"), "{told}");
            assert!(
                told.contains("wants the PIN of the token") && told.contains("for this use"),
                "{told}"
            );
            // known when the key is used, and not yet when the token is unlocked
            assert_eq!(told.matches("Digest that is signed (sha256): ").count(), 1);
            answers(&world, &[CARD_PIN]);
            with_person(&world, sign("9c", &[])).ok();
            all_answered(&world);
            is_signed(&world);
            assert_eq!(counters(&world), (3, 3));

            // after a wrong entry OpenSC has locked the token: it is unlocked before the next
            answers(&world, &["999999", CARD_PIN, CARD_PIN]);
            with_person(&world, sign("9c", &[])).ok();
            all_answered(&world);
            is_signed(&world);
            assert_eq!(counters(&world), (6, 3));

            // nobody answers: nothing is sent
            with_person(&world, sign("9c", &[])).fails_with(5);
            assert_eq!(counters(&world), (6, 3));
        },
    );
}

#[test]
fn one_entry_serves_a_batch_where_the_configuration_says_so() {
    in_private_place(
        "one_entry_serves_a_batch_where_the_configuration_says_so",
        || {
            let world = card_world("\n[pin]\nbatch-uses = 2\n");
            let signs = || world.privyseal(sign("9c", &["--batch"]));
            unlock(&world, CARD_PIN).ok();
            for _ in 0..2 {
                signs().ok();
                is_signed(&world);
            }
            assert_eq!(counters(&world), (3, 3));
            assert_eq!(error(signs()), "PinRequired");
            // anew, without locking
            let all = world.privyseal(["cert", "list", "--json"]).ok().json();
            let all = all["certificates"].as_array().unwrap().clone();
            let is_it = |c: &&serde_json::Value| {
                c["subject"].as_str().is_some_and(|s| s.contains("Card 9C"))
            };
            let key = all.iter().find(is_it).unwrap()["sha256"].as_str().unwrap();
            let key = format!("sha256:{}", key.trim_start_matches("sha256:"));
            let keep = |pin: &str| {
                world.privyseal_in(
                    ["token", "unlock", LABEL, "--key", &key, "--pin-fd", "0"],
                    pin.as_bytes(),
                )
            };
            keep(CARD_PIN).ok();
            keep(CARD_PIN).ok();
            assert_eq!(counters(&world), (4, 3), "the second was not sent");
            signs().ok();
            is_signed(&world);
            // a lock ends it
            world.privyseal(["token", "lock", LABEL]).ok();
            assert_eq!(error(signs()), "PinRequired");
            unlock(&world, CARD_PIN).ok();
            let entries = 3;
            let uses = 4;
            signs().ok();
            is_signed(&world);
            assert_eq!(counters(&world), (entries + uses, 3));
            // and so does a pulled card
            world.card().remove();
            wait_until("it is gone", || {
                !world.privyseal(["token", "list"]).text().contains(LABEL)
            });
            world.card().insert().unwrap();
            wait_until("it is back", || {
                world.privyseal(["token", "list"]).text().contains(LABEL)
            });
            assert_eq!(error(signs()), "PinRequired");
            assert_eq!(counters(&world), (entries + uses, 3));
        },
    );
}

#[test]
fn a_pin_is_changed_and_a_blocked_one_is_unblocked() {
    in_private_place("a_pin_is_changed_and_a_blocked_one_is_unblocked", || {
        let world = card_world("");
        let set = |command: &str, old: &str, new: &str| {
            world.write("new.pin", new);
            let mut shell = world.command("sh");
            let line = format!(
                "exec '{}' token {command} '{LABEL}' --json --pin-fd 3 --new-pin-fd 4 3<old.pin 4<new.pin",
                binary("privyseal", false).display()
            );
            world.write("old.pin", old);
            Run::of(shell.args(["-c", &line]).output().unwrap())
        };
        unlock(&world, CARD_PIN).ok();
        assert_eq!(error(set("change-pin", "999999", "654321")), "BadPin");
        assert_eq!(counters(&world), (2, 2));
        assert_eq!(
            error(set("change-pin", CARD_PIN, "1234567890")),
            "PinInvalid"
        );
        assert_eq!(counters(&world), (2, 2), "nothing was sent");
        let changed = set("change-pin", CARD_PIN, "654321").ok().json();
        assert_eq!(changed["state"], "locked");
        assert_eq!(token(&world)["state"], "locked");
        assert!(!state(&world).verified, "the card refuses");
        assert_eq!(counters(&world), (3, 3));
        unlock(&world, CARD_PIN).fails_with(4);
        unlock(&world, "654321").ok();
        world.privyseal(sign("9a", &["--batch"])).ok();
        is_signed(&world);
        assert_eq!(counters(&world), (5, 3));

        // a person: two new ones that differ, one that is too long, then twice the same
        answers(
            &world,
            &[
                "654321",
                "111111",
                "222222",
                "123456789",
                "333333",
                "333333",
            ],
        );
        with_person(&world, ["token", "change-pin", LABEL]).ok();
        all_answered(&world);
        assert_eq!(counters(&world), (6, 3));
        let told = String::from_utf8(world.read("pinentry.log")).unwrap();
        for line in [
            "SETPROMPT Old PIN:",
            "SETPROMPT New PIN:",
            "SETERROR the two entries differ",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        unlock(&world, "333333").ok();
        world.privyseal(["token", "lock", LABEL]).ok();

        // blocked: the last try is a person's
        unlock(&world, "999999").fails_with(4);
        unlock(&world, "999999").fails_with(4);
        assert_eq!(state(&world).pin_left, 1);
        answers(&world, &["999999"]);
        with_person(&world, ["token", "unlock", LABEL]).fails_with(4);
        all_answered(&world);
        assert_eq!(state(&world).pin_left, 0);
        wait_until("it is shown", || {
            let shown = token(&world);
            shown["tries_left"] == 0 && shown["state"] == "pin-blocked"
        });
        let verifies = state(&world).verifies;
        let blocked = unlock(&world, "333333").fails_with(4);
        assert!(blocked.stderr.contains("token unblock"), "{blocked:?}");

        assert_eq!(error(set("unblock", "87654321", "444444")), "BadPin");
        assert_eq!((state(&world).pin_left, state(&world).puk_left), (0, 2));
        assert_eq!(error(set("unblock", "12345678", "1")), "PinInvalid");
        assert_eq!(state(&world).puk_left, 2, "nothing was sent");
        set("unblock", "12345678", "444444").ok();
        assert_eq!((state(&world).pin_left, state(&world).puk_left), (3, 3));
        assert_eq!(state(&world).verifies, verifies);
        unlock(&world, "444444").ok();
        assert_eq!(token(&world)["tries_left"], serde_json::Value::Null);

        // two wrong PUKs are enough: the third may be the last, and that is a person's
        assert_eq!(error(set("unblock", "87654321", "555555")), "BadPin");
        assert_eq!(
            error(set("unblock", "87654321", "555555")),
            "BadPinFewTriesLeft"
        );
        assert_eq!(
            error(set("unblock", "12345678", "555555")),
            "BadPinFinalTry"
        );
        assert_eq!(state(&world).puk_left, 1);
        answers(&world, &["12345678", "555555", "555555"]);
        with_person(&world, ["token", "unblock", LABEL]).ok();
        all_answered(&world);
        assert_eq!(state(&world).puk_left, 3);
        unlock(&world, "555555").ok();
    });
}

fn demo_state(world: &World) -> serde_json::Value {
    let shown = world
        .privyseal(["token", "show", "privyseal-demo", "--json"])
        .ok()
        .json();
    shown["token"].clone()
}

fn demo_sign(world: &World) -> Run {
    let me = world.token_file("me-rsa-sign.pem");
    let me = me.to_str().unwrap();
    world.privyseal([
        "sign", "mail.txt", "-s", me, "-o", "signed", "--json", "--batch",
    ])
}

#[test]
fn a_prompt_says_what_the_mail_is_about_and_who_gets_it() {
    let world = World::with(WorldOptions {
        pinentry: Some(QUEUE),
        ..WorldOptions::default()
    });
    let head = "From: Alice <alice@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n";
    world.write("mail.txt", format!("{head}{MAIL}"));
    let told = || {
        let told = String::from_utf8(world.read("pinentry.log")).unwrap();
        fs::remove_file(world.path("pinentry.log")).unwrap();
        world.privyseal(["token", "lock"]).ok();
        told
    };
    let expect = |told: &str, lines: &[&str]| {
        for line in lines {
            assert!(told.contains(&format!("%0A{line}")), "{line}: {told}");
        }
    };
    let me = world.token_file("me-rsa-sign.pem").display().to_string();
    let sign = ["sign", "mail.txt", "-s", &me, "-o", "signed"];
    answers(&world, &[PIN]);
    with_person(&world, sign).ok();
    let subject = "Subject, as the message says: Grüße";
    expect(
        &told(),
        &[subject, "To, as the message says: bob@example.org"],
    );

    answers(&world, &[PIN]);
    let both = ["--encrypt-to", "token/peer-ec.pem"];
    with_person(&world, [&sign[..], &both].concat()).ok();
    expect(&told(), &[subject, "Encrypted to: bob@example.org"]);

    let encrypt = ["encrypt", "mail.txt", "-o", "secret", "-r"];
    let to = world.token_file("me-rsa-encrypt.pem").display().to_string();
    world.privyseal([&encrypt[..], &[&to]].concat()).ok();
    let secret = String::from_utf8(world.read("secret")).unwrap();
    world.write("letter", format!("{head}{secret}"));
    for command in ["decrypt letter", "mail open letter"] {
        answers(&world, &[PIN]);
        let args = command.split(' ').chain(["-o", "opened"]);
        with_person(&world, args).ok();
        let from = "From, as the message says: alice@example.org";
        expect(&told(), &[from, subject]);
    }
}

#[test]
fn a_token_is_locked_after_so_many_uses() {
    let world = World::with(WorldOptions {
        config: "\n[pin]\nmax-uses = 2\n".into(),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    for _ in 0..2 {
        world.unlock();
        demo_sign(&world).ok();
        assert_eq!(demo_state(&world)["state"], "unlocked");
        demo_sign(&world).ok();
        assert_eq!(demo_state(&world)["state"], "locked");
        assert_eq!(error(demo_sign(&world)), "PinRequired");
    }
    assert_eq!(demo_state(&world)["auto_lock_seconds"], 0);
}

#[test]
fn a_token_is_locked_after_a_time_without_use() {
    let world = World::with(WorldOptions {
        config: "\n[pin]\nlock-after = \"2s\"\n".into(),
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    world.unlock();
    assert_eq!(demo_state(&world)["auto_lock_seconds"], 2);
    let unlocked = std::time::Instant::now();
    demo_sign(&world).ok();
    wait_until("it is locked", || demo_state(&world)["state"] == "locked");
    assert!(unlocked.elapsed() >= std::time::Duration::from_secs(2));
    assert_eq!(error(demo_sign(&world)), "PinRequired");
    let log = fs::read_to_string(world.log_file()).unwrap();
    assert!(log.contains("not used"), "{log}");
}

#[test]
fn pins_for_new_pins_come_in_pairs_and_from_different_descriptors() {
    let world = World::new();
    for words in [
        ["--pin-fd", "0"].as_slice(),
        &["--new-pin-fd", "0"],
        &["--pin-fd", "0", "--new-pin-fd", "0"],
    ] {
        for command in ["change-pin", "unblock"] {
            let mut args = vec!["token", command];
            args.extend(words);
            world.privyseal_in(args, PIN.as_bytes()).fails_with(2);
        }
    }
    // nobody can be asked
    let run = world.privyseal(["token", "change-pin", "--json"]);
    assert_eq!(error(run), "PinRequired");
}

/// Whether the daemon's workers keep the PIN.
#[track_caller]
fn assert_kept(world: &World, expected: bool) {
    if !may_look("kept PINs in locked memory") {
        return;
    }
    let kept = processes(world)
        .into_iter()
        .any(|pid| pins_in(pid).kept > 0);
    assert_eq!(kept, expected);
}

#[test]
fn a_key_that_wants_its_pin_at_every_use_decrypts_and_what_is_kept_is_locked_memory() {
    let world = World::with(WorldOptions {
        config: "\n[pin]\nbatch-uses = 2\n".into(),
        pkcs11_tool: &[
            "--write-object token/peer-rsa.key --type privkey --id c1 --label each --always-auth --usage-decrypt",
            "--write-object token/peer-rsa.pem --type cert --id c1 --label each",
        ],
        ..WorldOptions::default()
    });
    world.write("mail.txt", MAIL);
    world.unlock();
    // of two keys of ours the one that asks nobody is used, whichever comes first in the message
    for recipients in [
        ["token/peer-rsa.pem", "token/me-ec-encrypt.pem"],
        ["token/me-ec-encrypt.pem", "token/peer-rsa.pem"],
    ] {
        let [one, two] = recipients;
        world
            .privyseal([
                "encrypt",
                "mail.txt",
                "-r",
                one,
                "-r",
                two,
                "--no-self",
                "-o",
                "both",
            ])
            .ok();
        for _ in 0..2 {
            world.privyseal(["decrypt", "both", "-o", "opened"]).ok();
        }
    }
    assert_kept(&world, true);
    world.privyseal(["token", "lock", "privyseal-demo"]).ok();
    let encrypt = [
        "encrypt",
        "mail.txt",
        "-r",
        "token/peer-rsa.pem",
        "--no-self",
    ];
    world
        .privyseal([&encrypt[..], &["-o", "secret"]].concat())
        .ok();
    let decrypt = |how: &str, pin: Option<&str>| {
        let mut args: Vec<&str> = how.split(' ').collect();
        args.extend(["secret", "-o", "opened", "--json", "--batch"]);
        match pin {
            Some(pin) => {
                args.extend(["--pin-fd", "0"]);
                world.privyseal_in(args, pin.as_bytes())
            }
            None => world.privyseal(args),
        }
    };
    assert_kept(&world, false);
    world.unlock();
    assert_kept(&world, true);
    decrypt("decrypt", None).ok();
    decrypt("mail open", None).ok();
    assert_kept(&world, false);
    assert_eq!(error(decrypt("decrypt", None)), "PinRequired");
    // not for a wrong PIN's sake: that would look like a damaged message
    assert_eq!(error(decrypt("decrypt", Some("c4nary-00000"))), "BadPin");
    fs::remove_file(world.path("opened")).unwrap();
    decrypt("decrypt", Some(PIN)).ok();
    assert_eq!(world.read("opened"), MAIL.as_bytes());
    assert_kept(&world, true);
    world.privyseal(["token", "lock", "privyseal-demo"]).ok();
    assert_kept(&world, false);
}
