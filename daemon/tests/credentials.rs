//! PINs that an administrator stored as systemd credentials, for calls that ask nobody.

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

use common::tokens::{
    Person, TOKEN, at, error, interactive, property, token, unlock, with_display,
};
use common::{PIN, World, error_name, tokens};
use privyseal_proto::ErrorName;
use zbus::OwnedObjectPath;

/// Stores a PIN for a token.
fn store(world: &World, token: &OwnedObjectPath, pin: &str) {
    let folder = world.folder().join("credentials");
    fs::create_dir_all(&folder).unwrap();
    let id = token.rsplit('/').next().unwrap();
    fs::write(folder.join(format!("pin.{id}")), pin).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_calls_that_ask_nobody_share_one_login_by_a_stored_pin() {
    let world = World::with_token();
    let client = world.connect().await;
    let (path, _) = token(&world, &client).await;
    assert_eq!(property(&client, &path, TOKEN, "StoredPin").await, "none");
    store(&world, &path, &format!("{PIN}\n"));
    assert_eq!(property(&client, &path, TOKEN, "StoredPin").await, "ready");
    let before = world.log().matches("C_Login").count();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        calls.spawn(async move { tokens::sign_bytes(&client).await.map(drop) });
    }
    for answer in calls.join_all().await {
        answer.unwrap();
    }
    tokens::expect_logins(&world, before + 1).await;
    // a lock holds until a key is needed
    at(&client, &path).await.lock().await.unwrap();
    assert_eq!(property(&client, &path, TOKEN, "State").await, "locked");
    tokens::sign_bytes(&client).await.unwrap();
    assert!(!world.log().contains(PIN), "a PIN is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_stored_pin_is_sent_once_and_then_a_person_is_asked_who_may_be() {
    let person = Person::new(&format!("{PIN}\n"));
    let world = World::with_token_and_pinentry(&person.program());
    let client = with_display(&world).await;
    let (path, _) = token(&world, &client).await;
    store(&world, &path, "wrong-one");
    let before = world.log().matches("C_Login").count();
    assert_eq!(error_name(tokens::sign_bytes(&client).await), "BadPin");
    assert_eq!(
        property(&client, &path, TOKEN, "StoredPin").await,
        "refused"
    );
    for _ in 0..3 {
        let refused = tokens::sign_bytes(&client).await;
        assert_eq!(error_name(refused), "PinRequired");
        let (response, results) = unlock(&client, &path, HashMap::new()).await;
        assert_eq!((response, error(&results)), (2, ErrorName::PinRequired));
    }
    tokens::expect_logins(&world, before + 1).await;
    assert_eq!(unlock(&client, &path, interactive()).await.0, 0);
    assert_eq!(person.entries(), 1);

    // one that changed is tried once more, and the person after it in the same call
    at(&client, &path).await.lock().await.unwrap();
    store(&world, &path, "wrong-two");
    let (response, results) = unlock(&client, &path, interactive()).await;
    assert_eq!((response, error(&results)), (1, ErrorName::Cancelled));
    tokens::expect_logins(&world, before + 3).await;
}
