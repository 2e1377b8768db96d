//! Jobs and their limits, as clients meet them; no token is needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail loudly"
)]

mod common;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{DEADLINE, World, cms, error_name, job, manager, null, pipe, read_to_end};
use privyseal_proto::limits::{BYTES_CALL, JOBS_PER_CONNECTION, RESULTS_PER_CONNECTION, WAIT_MAX};
use privyseal_proto::{Dict, job_path};
use rustix::process::Signal;
use serde_bytes::Bytes;
use zbus::export::ordered_stream::OrderedStreamExt;
use zbus::{Connection, OwnedObjectPath, Variant};

/// A verification whose message never comes: it lasts until the write end (returned) is dropped.
async fn endless(
    client: &Connection,
    output: &OwnedFd,
    options: HashMap<&str, Variant<'_>>,
) -> zbus::Result<(OwnedObjectPath, OwnedFd)> {
    let (message, hold) = pipe();
    let path = cms(client)
        .await
        .verify(
            message.as_fd().into(),
            null().as_fd().into(),
            output.as_fd().into(),
            options,
        )
        .await?;
    Ok((path, hold))
}

fn handle(token: &str) -> HashMap<&str, Variant<'_>> {
    HashMap::from([("handle_token", token.into())])
}

fn text<'d>(results: &'d Dict, key: &str) -> &'d str {
    <&str>::try_from(&results[key]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_lives_as_the_contract_says() {
    let world = World::start();
    let client = world.connect().await;
    let name = client.unique_name().unwrap().as_str();
    let (path, hold) = endless(&client, &null(), handle("t_1")).await.unwrap();
    assert_eq!(path, job_path(name, "t_1"));

    let mine = job(&client, path.clone()).await;
    assert_eq!(mine.kind().await.unwrap(), "verify");
    assert_ne!(mine.state().await.unwrap(), "done");
    assert_eq!(error_name(mine.wait(0).await), "Timeout");
    assert_eq!(error_name(mine.wait(WAIT_MAX + 1).await), "InvalidArgument");
    assert_eq!(
        error_name(endless(&client, &null(), handle("t_1")).await),
        "InvalidArgument",
        "the handle_token is in use"
    );

    let mut completed = mine.receive_completed().await.unwrap();
    // an empty message is not signed: that is a result
    drop(hold);
    let (response, results) = mine.wait(WAIT_MAX).await.unwrap();
    assert_eq!(response, 0, "{results:?}");
    assert!(["not-signed", "bad"].contains(&text(&results, "verdict")));
    let signal = tokio::time::timeout(DEADLINE, completed.next())
        .await
        .unwrap();
    assert_eq!(signal.unwrap().args().unwrap().response, 0);
    assert_eq!(mine.state().await.unwrap(), "done");
    // results are kept until Release
    mine.wait(0).await.unwrap();
    mine.release().await.unwrap();
    assert_eq!(
        error_name(mine.wait(0).await),
        "org.freedesktop.DBus.Error.UnknownObject"
    );
    endless(&client, &null(), handle("t_1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_works_while_the_job_is_blocked() {
    let world = World::start();
    let client = world.connect().await;
    let (path, _hold) = endless(&client, &null(), HashMap::new()).await.unwrap();
    let mine = job(&client, path).await;
    mine.cancel().await.unwrap();
    let (response, results) = mine.wait(WAIT_MAX).await.unwrap();
    assert_eq!(response, 1);
    assert_eq!(text(&results, "error"), "org.privyseal1.Error.Cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_answers_its_owner_only_and_tells_nobody_else() {
    let world = World::start();
    let (client, other) = (world.connect().await, world.connect().await);
    let (path, hold) = endless(&client, &null(), HashMap::new()).await.unwrap();
    let theirs = job(&other, path.clone()).await;
    for refused in [
        error_name(theirs.wait(0).await),
        error_name(theirs.cancel().await),
        error_name(theirs.release().await),
    ] {
        assert_eq!(refused, "NotAuthorized");
    }
    assert_eq!(
        error_name(theirs.progress().await),
        "org.freedesktop.DBus.Error.AccessDenied"
    );
    let mut overheard = theirs.receive_completed().await.unwrap();
    drop(hold);
    let mine = job(&client, path).await;
    let mut completed = mine.receive_completed().await.unwrap();
    let (response, _) = mine.wait(WAIT_MAX).await.unwrap();
    assert_eq!(response, 0);
    let _ = &mut completed;
    // a round trip by the daemon after Completed: had it been for all, it would be here by now
    theirs.wait(0).await.unwrap_err();
    let ended = tokio::select! {
        biased;
        signal = overheard.next() => signal.is_some(),
        () = std::future::ready(()) => false,
    };
    assert!(!ended, "Completed was sent to all");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eighth_job_of_a_connection_is_the_last() {
    let world = World::start();
    let client = world.connect().await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS_PER_CONNECTION {
        jobs.push(endless(&client, &null(), HashMap::new()).await.unwrap());
    }
    assert_eq!(
        error_name(endless(&client, &null(), HashMap::new()).await),
        "Busy"
    );
    // others are not hindered
    let other = world.connect().await;
    endless(&other, &null(), HashMap::new()).await.unwrap();
    // and one that has ended makes room at once
    let (path, hold) = jobs.pop().unwrap();
    drop(hold);
    job(&client, path).await.wait(WAIT_MAX).await.unwrap();
    endless(&client, &null(), HashMap::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_leaves_takes_its_jobs_along() {
    let world = World::start();
    let client = world.connect().await;
    let (reader, writer) = pipe();
    let (path, _hold) = endless(&client, &writer, HashMap::new()).await.unwrap();
    drop(writer);
    client.close().await.unwrap();
    assert_eq!(read_to_end(reader).await, b"");
    let other = world.connect().await;
    assert_eq!(
        error_name(job(&other, path).await.wait(0).await),
        "org.freedesktop.DBus.Error.UnknownObject"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_short_jobs_leave_no_descriptor_behind() {
    let world = World::with_descriptors(128);
    let client = world.connect().await;
    let cms = cms(&client).await;
    let null = null();
    for round in 0..2000 {
        let path = cms
            .verify(
                null.as_fd().into(),
                null.as_fd().into(),
                null.as_fd().into(),
                HashMap::new(),
            )
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        let mine = job(&client, path).await;
        mine.wait(WAIT_MAX).await.unwrap();
        mine.release().await.unwrap();
    }
    // also when nobody releases: results are kept, descriptors are not
    for round in 0..RESULTS_PER_CONNECTION {
        let call = cms.verify(
            null.as_fd().into(),
            null.as_fd().into(),
            null.as_fd().into(),
            HashMap::new(),
        );
        let path = call
            .await
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        job(&client, path).await.wait(WAIT_MAX).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_leaves_before_its_job_begins_leaves_nothing_behind() {
    let world = World::start();
    let other = world.connect().await;
    let manager = manager(&other).await;
    manager.version().await.unwrap();
    let before = world.descriptors();
    let mut anchors = Vec::new();
    for _ in 0..8 {
        let client = world.connect().await;
        let (reader, writer) = pipe();
        let null = null();
        let cms = cms(&client).await;
        let call = cms.verify(
            null.as_fd().into(),
            null.as_fd().into(),
            null.as_fd().into(),
            HashMap::from([("trust-anchors", vec![zbus::Fd::from(reader.as_fd())].into())]),
        );
        // the call is on its way once the second one is answered
        let second = async {
            let manager = common::manager(&client).await;
            manager.version().await.unwrap();
        };
        tokio::select! {
            biased;
            answer = call => panic!("the anchors have not come yet: {answer:?}"),
            () = second => {}
        }
        client.close().await.unwrap();
        anchors.push(writer);
    }
    // the anchors come now, too late
    drop(anchors);
    let deadline = Instant::now() + DEADLINE;
    while world.descriptors() > before {
        assert!(Instant::now() < deadline, "{}", world.log());
        manager.loading().await.unwrap();
    }
    let introspection = zbus::fdo::IntrospectableProxy::builder(&other)
        .destination("org.privyseal1")
        .path("/org/privyseal1")
        .build()
        .await
        .unwrap();
    let xml = introspection.introspect().await.unwrap();
    assert!(!xml.contains("<node name=\"job\""), "{xml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_call_is_said_at_once() {
    let world = World::start();
    let client = world.connect().await;
    let too_long = "a".repeat(65);
    let refused = |options| async { error_name(endless(&client, &null(), options).await) };
    assert_eq!(
        refused(HashMap::from([("no-such-option", true.into())])).await,
        "InvalidArgument"
    );
    assert_eq!(refused(handle("../x")).await, "InvalidArgument");
    assert_eq!(refused(handle("")).await, "InvalidArgument");
    assert_eq!(refused(handle(&too_long)).await, "InvalidArgument");
    assert_eq!(
        refused(HashMap::from([("handle_token", 1u32.into())])).await,
        "InvalidArgument"
    );
    // a folder is no place for a message
    let folder: OwnedFd = std::fs::File::open("/").unwrap().into();
    let call = cms(&client)
        .await
        .decrypt(folder.as_fd().into(), null().as_fd().into(), HashMap::new())
        .await;
    assert_eq!(error_name(call), "InvalidArgument");
    // none of these left a job behind
    for _ in 0..JOBS_PER_CONNECTION {
        endless(&client, &null(), HashMap::new()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_answers_at_once_waits_for_no_pipe_in_its_options() {
    let world = World::start();
    let (greedy, other) = (world.connect().await, world.connect().await);
    let (reader, _silent) = pipe();
    let cms = cms(&greedy).await;
    for _ in 0..64 {
        let anchors = vec![zbus::Fd::from(reader.as_fd())];
        let options = HashMap::from([("trust-anchors", anchors.into())]);
        let refused = cms.verify_bytes(Bytes::new(b"x"), options).await;
        assert_eq!(error_name(refused), "InvalidArgument");
    }
    let other = common::cms(&other).await;
    other
        .verify_bytes(Bytes::new(b"x"), HashMap::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_options_do_not_come_keeps_no_daemon_alive() {
    let mut world = World::start();
    let client = world.connect().await;
    let (reader, _silent) = pipe();
    let (null, cms, manager) = (null(), cms(&client).await, manager(&client).await);
    let anchors = vec![zbus::Fd::from(reader.as_fd())];
    let call = cms.verify(
        null.as_fd().into(),
        null.as_fd().into(),
        null.as_fd().into(),
        HashMap::from([("trust-anchors", anchors.into())]),
    );
    tokio::select! {
        biased;
        answer = call => panic!("the anchors have not come: {answer:?}"),
        loading = manager.loading() => { loading.unwrap(); }
    }
    let begun = Instant::now();
    world.daemon.signal(Signal::TERM);
    let (status, _) = world.daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", world.log());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!world.log().contains("did not end in time"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bytes_call_takes_one_mebibyte_and_no_byte_more() {
    let world = World::start();
    let client = world.connect().await;
    let cms = cms(&client).await;
    let data = vec![b'a'; BYTES_CALL + 1];
    let (_, results) = cms
        .verify_bytes(Bytes::new(&data[..BYTES_CALL]), HashMap::new())
        .await
        .unwrap();
    assert_ne!(text(&results, "verdict"), "good");
    assert_eq!(
        error_name(cms.verify_bytes(Bytes::new(&data), HashMap::new()).await),
        "InputTooLarge"
    );
}
