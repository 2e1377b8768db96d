//! `Cms.Compress` and `Cms.Decompress`: no token, no module, no certificate is needed.

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
use std::os::fd::{AsFd, OwnedFd};

use common::{World, cms, error_name, job, null};
use privyseal_proto::Dict;
use privyseal_proto::limits::WAIT_MAX;
use zbus::{Connection, Variant};

const MAIL: &str = "Content-Type: text/plain\n\ntext\n";

enum Way {
    There,
    Back,
}

/// Runs the job on two files of the world's folder.
async fn run(
    world: &World,
    client: &Connection,
    way: Way,
    (input, output): (&str, &str),
    options: HashMap<&str, Variant<'_>>,
) -> zbus::Result<(u32, Dict)> {
    let input: OwnedFd = fs::File::open(world.folder().join(input)).unwrap().into();
    let output: OwnedFd = fs::File::create(world.folder().join(output))
        .unwrap()
        .into();
    let cms = cms(client).await;
    let (input, output) = (input.as_fd().into(), output.as_fd().into());
    let path = match way {
        Way::There => cms.compress(input, output, options).await?,
        Way::Back => cms.decompress(input, output, options).await?,
    };
    job(client, path).await.wait(WAIT_MAX).await
}

fn text<'d>(results: &'d Dict, key: &str) -> &'d str {
    <&str>::try_from(&results[key]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_with_results_as_documented() {
    let world = World::start();
    let client = world.connect().await;
    fs::write(world.folder().join("mail"), MAIL).unwrap();
    let canonical = MAIL.replace('\n', "\r\n");
    for (options, expected) in [
        (vec![], canonical.as_str()),
        (vec![("canonicalize", Variant::from(false))], MAIL),
        (vec![("format", "pem".into())], MAIL),
        (
            vec![("format", "der".into()), ("canonicalize", true.into())],
            &canonical,
        ),
    ] {
        for (way, files, options) in [
            (Way::There, ("mail", "small"), options.into_iter().collect()),
            (Way::Back, ("small", "back"), HashMap::new()),
        ] {
            let (response, results) = run(&world, &client, way, files, options).await.unwrap();
            assert_eq!(response, 0, "{results:?}");
            assert_eq!(text(&results, "algorithm"), "zlib");
            assert_eq!(
                u64::try_from(&results["content_length"]).unwrap(),
                expected.len() as u64
            );
            assert_eq!(results.len(), 2, "{results:?}");
        }
        let back = fs::read_to_string(world.folder().join("back")).unwrap();
        assert_eq!(back, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compressed_or_damaged_fails_and_writes_nothing() {
    let world = World::start();
    let client = world.connect().await;
    let folder = world.folder();
    fs::write(folder.join("mail"), MAIL).unwrap();
    let options = HashMap::from([("format", "der".into())]);
    let files = ("mail", "small");
    run(&world, &client, Way::There, files, options)
        .await
        .unwrap();
    let mut damaged = fs::read(folder.join("small")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(folder.join("damaged"), damaged).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    for bad in ["mail", "damaged", "empty"] {
        let (response, results) = run(&world, &client, Way::Back, (bad, "out"), HashMap::new())
            .await
            .unwrap();
        assert_eq!(response, 2, "{bad}");
        assert_eq!(
            text(&results, "error"),
            "org.privyseal1.Error.MalformedMessage"
        );
        assert!(fs::read(folder.join("out")).unwrap().is_empty(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_options_are_refused() {
    let world = World::start();
    let client = world.connect().await;
    fs::write(world.folder().join("mail"), MAIL).unwrap();
    for name in ["cipher", "signer", "form", "digest"] {
        for way in [Way::There, Way::Back] {
            let options = HashMap::from([(name, "x".into())]);
            let refused = run(&world, &client, way, ("mail", "out"), options).await;
            assert_eq!(error_name(refused), "InvalidArgument", "{name}");
        }
    }
    let options = HashMap::from([("format", "zip".into())]);
    let refused = run(&world, &client, Way::There, ("mail", "out"), options).await;
    assert_eq!(error_name(refused), "InvalidArgument");
    // there is no such input
    let refused = cms(&client)
        .await
        .compress(null().as_fd().into(), null().as_fd().into(), HashMap::new())
        .await;
    assert_eq!(error_name(refused), "InvalidArgument");
}
