//! Unlocking and locking a real (SoftHSM) token over the bus, and what a person is asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::time::Duration;

use common::tokens::{
    CERTIFICATE, Person, TOKEN, at, error, interactive, pin, property, sign, sign_bytes, token,
    unlock, unlock_by, with_display,
};
use common::{PIN, World, error_name, manager, pipe};
use privyseal_proto::ErrorName;
use zbus::{Fd, ObjectPath};

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_by_descriptor_unlocks_and_lock_locks() {
    let world = World::with_token();
    let client = world.connect().await;
    let (path, objects) = token(&world, &client).await;
    assert_eq!(property(&client, &path, TOKEN, "State").await, "locked");
    assert_eq!(error_name(sign_bytes(&client).await), "PinRequired");
    let (response, results) = sign(&client, HashMap::new()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));

    let (response, results) = unlock_by(&client, &path, &pin("wrong-pin\n")).await;
    assert_eq!((response, error(&results)), (2, ErrorName::BadPin));
    assert!(results.contains_key("hint"));
    let (response, results) = unlock_by(&client, &path, &pin(&format!("{PIN}\n"))).await;
    assert_eq!(response, 0, "{results:?}");
    assert_eq!(property(&client, &path, TOKEN, "State").await, "unlocked");
    assert!(!sign_bytes(&client).await.unwrap().is_empty());
    assert_eq!(sign(&client, HashMap::new()).await.0, 0);

    // unlocked already: done, and the descriptor is not read
    let (silent, _hold) = pipe();
    assert_eq!(unlock_by(&client, &path, &silent).await.0, 0);
    let other = world.connect().await;
    assert_eq!(unlock_by(&other, &path, &silent).await.0, 0);

    at(&client, &path).await.lock().await.unwrap();
    assert_eq!(property(&client, &path, TOKEN, "State").await, "locked");
    assert_eq!(error_name(sign_bytes(&client).await), "PinRequired");
    assert_eq!(unlock_by(&client, &path, &pin(PIN)).await.0, 0);
    manager(&client).await.lock_all().await.unwrap();
    assert_eq!(property(&client, &path, TOKEN, "State").await, "locked");

    let uri = property(&client, &path, TOKEN, "Uri").await;
    assert!(uri.starts_with("pkcs11:model=SoftHSM%20v2;"), "{uri}");
    assert!(uri.ends_with(";token=privyseal-demo"), "{uri}");
    let certificates = objects.keys().filter(|p| p.contains("/cert/"));
    for certificate in certificates {
        assert_eq!(
            property(&client, certificate, CERTIFICATE, "Trust").await,
            "unknown"
        );
    }
    assert!(!world.log().contains(PIN), "a PIN is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_unlock_are_checked() {
    let world = World::with_token();
    let client = world.connect().await;
    let (path, _) = token(&world, &client).await;
    let token = at(&client, &path).await;
    let fd = pin(PIN);
    for (options, wanted) in [
        (HashMap::from([("pin", PIN.into())]), "InvalidArgument"),
        (HashMap::from([("source", "agent".into())]), "NoAgent"),
        (
            HashMap::from([("source", "mail".into())]),
            "InvalidArgument",
        ),
        (HashMap::from([("pin-fd", PIN.into())]), "InvalidArgument"),
        (HashMap::from([("key", "x".into())]), "InvalidArgument"),
        // no PIN is kept by default, whatever it is for
        (
            HashMap::from([("key", ObjectPath::from_static_str_unchecked("/x").into())]),
            "PolicyDenied",
        ),
        (
            HashMap::from([
                ("pin-fd", Fd::from(fd.as_fd()).into()),
                ("source", "pinentry".into()),
            ]),
            "InvalidArgument",
        ),
    ] {
        assert_eq!(error_name(token.unlock(options).await), wanted);
    }
    // nobody may be asked
    let (response, results) = unlock(&client, &path, HashMap::new()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    // nobody can be asked: no display, no terminal
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    // SoftHSM has no keypad
    let mut options = interactive();
    options.insert("source", "pinpad".into());
    let (response, results) = unlock(&client, &path, options).await;
    assert_eq!((response, error(&results)), (2, ErrorName::NotSupported));
}

#[tokio::test(flavor = "multi_thread")]
async fn four_signatures_at_once_ask_one_person_once() {
    let person = Person::new(&format!("{PIN}\n"));
    let world = World::with_token_and_pinentry(&person.program());
    let client = with_display(&world).await;
    let (path, _) = token(&world, &client).await;
    let answers = tokio::join!(
        sign(&client, interactive()),
        sign(&client, interactive()),
        sign(&client, interactive()),
        sign(&client, interactive()),
    );
    for (response, results) in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(response, 0, "{results:?}");
    }
    assert_eq!(person.entries(), 1, "{}", person.asked());
    let asked = person.asked();
    assert!(asked.contains("privyseal-demo"), "{asked}");
    assert!(asked.contains("mutt (unverified)"), "{asked}");
    // shown soon after: nobody asked for the unlocking itself
    let shown = async {
        while property(&client, &path, TOKEN, "State").await != "unlocked" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shown)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_entry_is_asked_again_and_three_are_enough() {
    let person = Person::new(&format!(
        "wrong-one\n{PIN}\nwrong-two\nwrong-three\nwrong-four\n{PIN}\n"
    ));
    let world = World::with_token_and_pinentry(&person.program());
    let client = with_display(&world).await;
    let (path, _) = token(&world, &client).await;
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!(response, 0, "{results:?}");
    assert_eq!(person.entries(), 2);
    assert!(person.asked().contains("SETERROR"), "{}", person.asked());
    at(&client, &path).await.lock().await.unwrap();

    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!(response, 2, "{results:?}");
    assert!(person.entries() <= 5, "{}", person.asked());
    assert_ne!(property(&client, &path, TOKEN, "State").await, "unlocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_try_is_confirmed_before_the_pin_is_typed_and_what_was_typed_is_sent() {
    let person = Person::new(&format!("wrong-one\nwrong-two\n{PIN}\n"));
    let world = World::with_token_and_pinentry(&person.program());
    let client = with_display(&world).await;
    let (path, _) = token(&world, &client).await;
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!(response, 0, "{results:?}");
    let asked = person.asked();
    let questions: Vec<_> = asked
        .lines()
        .filter(|line| ["GETPIN", "CONFIRM"].contains(line))
        .collect();
    assert_eq!(questions, ["GETPIN", "GETPIN", "CONFIRM", "GETPIN"]);
    assert!(asked.contains("This is the last try."), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_says_no_cancels_and_nobody_is_asked_who_may_not_be() {
    let person = Person::new("");
    let world = World::with_token_and_pinentry(&person.program());
    let client = with_display(&world).await;
    let (path, _) = token(&world, &client).await;
    let (response, results) = sign(&client, interactive()).await;
    assert_eq!((response, error(&results)), (1, ErrorName::Cancelled));
    assert_eq!(person.entries(), 1);

    let (response, results) = sign(&client, HashMap::new()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    manager(&client)
        .await
        .set_context(HashMap::from([
            ("display", ":99".into()),
            ("interactive", false.into()),
        ]))
        .await
        .unwrap();
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    assert_eq!(person.entries(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_locks_the_tokens_and_ends_the_workers() {
    let mut world = World::with_token();
    let client = world.connect().await;
    let (path, _) = token(&world, &client).await;
    assert_eq!(unlock_by(&client, &path, &pin(PIN)).await.0, 0);
    let workers = children(world.daemon.id());
    assert!(!workers.is_empty());
    world.daemon.signal(rustix::process::Signal::TERM);
    let (status, _) = world.daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", world.log());
    for worker in workers {
        let left = fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap_or_default();
        assert!(!left.contains("privyseal-token"), "a worker lives on");
    }
}

/// Ids of the child processes.
fn children(pid: u32) -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|child: &u32| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // the parent's id is the second field after the name in brackets
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1));
            parent == Some(&pid.to_string())
        })
        .collect()
}
