//! What the daemon shows on the bus is what is checked in under `proto/xml`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::HashMap;
use std::os::fd::AsFd;

use common::{World, cms, null, pipe, xml};
use privyseal_proto::INTERFACES;
use zbus::Connection;
use zbus::fdo::IntrospectableProxy;

fn reference(name: &str) -> xml::Interfaces {
    let (_, text) = INTERFACES.iter().find(|(n, _)| *n == name).unwrap();
    xml::parse(text)
}

/// Our interfaces at a path.
async fn shown(client: &Connection, path: &str) -> xml::Interfaces {
    let object = IntrospectableProxy::builder(client)
        .destination("org.privyseal1")
        .path(path)
        .build()
        .await
        .unwrap();
    let mut all = xml::parse(&object.introspect().await.unwrap());
    all.retain(|name, _| name.starts_with("org.privyseal1."));
    all
}

fn expect(shown: &xml::Interfaces, names: &[&str]) {
    let mut wanted = xml::Interfaces::new();
    for name in names {
        wanted.append(&mut reference(name));
    }
    assert_eq!(*shown, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_object_and_a_job_are_as_checked_in() {
    let world = World::start();
    let client = world.connect().await;
    expect(
        &shown(&client, "/org/privyseal1").await,
        &[
            "org.privyseal1.Manager",
            "org.privyseal1.Cms",
            "org.privyseal1.Mail",
            "org.privyseal1.AgentManager",
            "org.privyseal1.Audit",
        ],
    );
    let (input, _keep_open) = pipe();
    let job = cms(&client)
        .await
        .verify(
            input.as_fd().into(),
            null().as_fd().into(),
            null().as_fd().into(),
            HashMap::new(),
        )
        .await
        .unwrap();
    expect(&shown(&client, job.as_str()).await, &["org.privyseal1.Job"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_tokens_and_certificates_are_as_checked_in() {
    let world = World::with_token();
    let client = world.connect().await;
    let objects = world
        .objects(&client, |objects| {
            objects
                .keys()
                .filter(|path| path.contains("/cert/"))
                .count()
                >= 4
        })
        .await;
    let mut seen = Vec::new();
    for path in objects.keys() {
        let kind = path.split('/').nth(4).unwrap();
        let name = match kind {
            "module" => "org.privyseal1.Module",
            "token" => "org.privyseal1.Token",
            "cert" => "org.privyseal1.Certificate",
            other => panic!("{other}"),
        };
        expect(&shown(&client, path.as_str()).await, &[name]);
        seen.push(name);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_operations_are_as_checked_in_where_they_are_allowed() {
    let world = World::with_token_and("\n[key-interface]\nunwrap-key = true\n");
    let client = world.connect().await;
    let objects = world
        .objects(&client, |objects| {
            let keys = objects.values();
            keys.filter(|o| o.contains_key("org.privyseal1.Key"))
                .count()
                >= 4
        })
        .await;
    for (path, interfaces) in &objects {
        let Some(certificate) = interfaces.get("org.privyseal1.Certificate") else {
            continue;
        };
        let has_key = bool::try_from(&certificate["HasPrivateKey"]).unwrap();
        let names: &[&str] = match has_key {
            true => &["org.privyseal1.Certificate", "org.privyseal1.Key"],
            false => &["org.privyseal1.Certificate"],
        };
        expect(&shown(&client, path.as_str()).await, names);
    }
}
