//! Tokens over the bus, and a person at a pinentry.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use privyseal_proto::limits::WAIT_MAX;
use privyseal_proto::proxy::TokenProxy;
use privyseal_proto::{Dict, ErrorName};
use serde_bytes::Bytes;
use tempfile::TempDir;
use zbus::fdo::{ManagedObjects, PropertiesProxy};
use zbus::names::InterfaceName;
use zbus::{Connection, Fd, OwnedObjectPath, Variant};

use super::{DEADLINE, World, cms, job, manager, null, pipe};

pub const TOKEN: &str = "org.privyseal1.Token";
pub const CERTIFICATE: &str = "org.privyseal1.Certificate";

/// The token with keys, when it and its four end-entity certificates are there.
pub async fn token(world: &World, client: &Connection) -> (OwnedObjectPath, ManagedObjects) {
    let with_keys = |objects: &ManagedObjects| {
        objects
            .values()
            .filter_map(|interfaces| interfaces.get(CERTIFICATE))
            .filter(|properties| bool::try_from(&properties["HasPrivateKey"]) == Ok(true))
            .count()
    };
    let objects = world.objects(client, |o| with_keys(o) >= 4).await;
    let path = objects
        .iter()
        .find(|(_, interfaces)| {
            interfaces
                .get(TOKEN)
                .is_some_and(|p| <&str>::try_from(&p["Label"]) == Ok("privyseal-demo"))
        })
        .map(|(path, _)| path.clone())
        .unwrap();
    (path, objects)
}

pub async fn at<'c>(client: &'c Connection, path: &OwnedObjectPath) -> TokenProxy<'c> {
    TokenProxy::builder(client)
        .path(path.clone())
        .build()
        .await
        .unwrap()
}

pub async fn property(
    client: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
    name: &str,
) -> String {
    let properties = PropertiesProxy::builder(client)
        .destination("org.privyseal1")
        .path(path.clone())
        .build()
        .await
        .unwrap();
    let value = properties
        .get(InterfaceName::try_from(interface).unwrap(), name)
        .await
        .unwrap();
    String::try_from(value).unwrap()
}

/// A pipe with a PIN in it.
pub fn pin(text: &str) -> OwnedFd {
    let (reader, writer) = pipe();
    fs::File::from(writer).write_all(text.as_bytes()).unwrap();
    reader
}

/// Unlocks with these options, and gives the response and the results.
pub async fn unlock(
    client: &Connection,
    token: &OwnedObjectPath,
    options: HashMap<&str, Variant<'_>>,
) -> (u32, Dict) {
    let path = at(client, token).await.unlock(options).await.unwrap();
    job(client, path).await.wait(WAIT_MAX).await.unwrap()
}

pub async fn unlock_by(client: &Connection, token: &OwnedObjectPath, fd: &OwnedFd) -> (u32, Dict) {
    unlock(
        client,
        token,
        HashMap::from([("pin-fd", Fd::from(fd.as_fd()).into())]),
    )
    .await
}

pub fn error(results: &Dict) -> ErrorName {
    ErrorName::parse(<&str>::try_from(&results["error"]).unwrap()).unwrap()
}

/// A signature by a job, of a message of its own.
pub async fn sign(client: &Connection, options: HashMap<&str, Variant<'_>>) -> (u32, Dict) {
    let message = pin("Content-Type: text/plain\r\n\r\nhello\r\n");
    let path = cms(client)
        .await
        .sign(message.as_fd().into(), null().as_fd().into(), options)
        .await
        .unwrap();
    job(client, path).await.wait(WAIT_MAX).await.unwrap()
}

pub async fn sign_bytes(client: &Connection) -> zbus::Result<Vec<u8>> {
    let message = Bytes::new(b"Content-Type: text/plain\r\n\r\nhello\r\n");
    let (signed, _) = cms(client)
        .await
        .sign_bytes(message, HashMap::new())
        .await?;
    Ok(signed.into_vec())
}

/// A pinentry that writes down what it is asked (`asked`) and answers with the lines of `pins`, one for each GETPIN; when there is
/// none left, it cancels.
pub struct Person {
    folder: TempDir,
}

impl Person {
    pub fn new(pins: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let person = Person { folder };
        fs::write(person.file("pins"), pins).unwrap();
        fs::write(person.file("asked"), "").unwrap();
        let script = format!(
            r#"#!/bin/bash
cd {folder:?} || exit 1
echo "OK at your service"
while read -r line; do
    echo "$line" >>asked
    case $line in
    GETPIN)
        pin=$(head -n 1 pins)
        sed -i 1d pins
        if [[ -n $pin ]]; then echo "D $pin"; echo OK; else echo "ERR 83886179 Operation cancelled"; fi ;;
    BYE) echo OK; exit ;;
    *) echo OK ;;
    esac
done
"#,
            folder = person.folder.path().display().to_string()
        );
        fs::write(person.program(), script).unwrap();
        fs::set_permissions(person.program(), fs::Permissions::from_mode(0o700)).unwrap();
        person
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn program(&self) -> PathBuf {
        self.file("pinentry")
    }

    pub fn asked(&self) -> String {
        fs::read_to_string(self.file("asked")).unwrap()
    }

    pub fn entries(&self) -> usize {
        self.asked()
            .lines()
            .filter(|line| *line == "GETPIN")
            .count()
    }
}

/// A client on whose display a person can be asked.
pub async fn with_display(world: &World) -> Connection {
    let client = world.connect().await;
    set_display(&client).await;
    client
}

pub async fn set_display(client: &Connection) {
    manager(client)
        .await
        .set_context(HashMap::from([
            ("display", ":99".into()),
            ("application", "mutt".into()),
        ]))
        .await
        .unwrap();
}

/// Waits until the log shows so many C_Logins, and no more: the worker's lines come on their own way.
pub async fn expect_logins(world: &World, wanted: usize) {
    let count = || world.log().matches("C_Login").count();
    let arrive = async {
        while count() < wanted {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(DEADLINE, arrive).await;
    assert_eq!(count(), wanted, "{}", world.log());
}

pub fn interactive<'a>() -> HashMap<&'a str, Variant<'a>> {
    HashMap::from([("interactive", true.into())])
}
