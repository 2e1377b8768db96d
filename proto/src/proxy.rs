//! Client-side proxies. Methods answer with the daemon's named errors as `zbus::Error::MethodError`.

use serde_bytes::{ByteBuf, Bytes};
use zbus::{Fd, ObjectPath, OwnedFd, OwnedObjectPath, Variant, proxy};

use std::collections::HashMap;

use crate::Dict;

type Options<'a> = HashMap<&'a str, Variant<'a>>;

#[proxy(
    interface = "org.privyseal1.Manager",
    default_service = "org.privyseal1",
    default_path = "/org/privyseal1"
)]
pub trait Manager {
    fn set_context(&self, context: Options<'_>) -> zbus::Result<()>;
    fn rescan(&self, options: Options<'_>) -> zbus::Result<()>;
    fn lock_all(&self) -> zbus::Result<()>;
    #[zbus(property)]
    fn version(&self) -> zbus::Result<u32>;
    #[zbus(property)]
    fn daemon_version(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn features(&self) -> zbus::Result<Vec<String>>;
    /// Modules are being loaded for the first time: what is present is not all shown yet.
    #[zbus(property(emits_changed_signal = "false"))]
    fn loading(&self) -> zbus::Result<bool>;
    #[zbus(property)]
    fn tokens(&self) -> zbus::Result<Vec<OwnedObjectPath>>;
    #[zbus(signal)]
    fn token_added(
        &self,
        token: ObjectPath<'_>,
        details: HashMap<String, Variant<'_>>,
    ) -> zbus::Result<()>;
    #[zbus(signal)]
    fn token_removed(&self, token: ObjectPath<'_>) -> zbus::Result<()>;
}

#[proxy(interface = "org.privyseal1.Token", default_service = "org.privyseal1")]
pub trait Token {
    fn unlock(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    fn change_pin(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    fn unblock_pin(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;
    fn lock(&self) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.privyseal1.Cms",
    default_service = "org.privyseal1",
    default_path = "/org/privyseal1"
)]
pub trait Cms {
    fn sign(
        &self,
        input: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn verify(
        &self,
        message: Fd<'_>,
        content: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn encrypt(
        &self,
        input: Fd<'_>,
        output: Fd<'_>,
        recipients: &[&str],
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn sign_and_encrypt(
        &self,
        input: Fd<'_>,
        output: Fd<'_>,
        recipients: &[&str],
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn decrypt(
        &self,
        input: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn compress(
        &self,
        input: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn decompress(
        &self,
        input: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn make_receipt(
        &self,
        message: Fd<'_>,
        content: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn check_receipt(
        &self,
        receipt: Fd<'_>,
        original: Fd<'_>,
        content: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn sign_bytes(&self, data: &Bytes, options: Options<'_>) -> zbus::Result<(ByteBuf, Dict)>;
    fn verify_bytes(&self, data: &Bytes, options: Options<'_>) -> zbus::Result<(ByteBuf, Dict)>;
    fn encrypt_bytes(
        &self,
        data: &Bytes,
        recipients: &[&str],
        options: Options<'_>,
    ) -> zbus::Result<(ByteBuf, Dict)>;
    fn decrypt_bytes(&self, data: &Bytes, options: Options<'_>) -> zbus::Result<(ByteBuf, Dict)>;
}

#[proxy(
    interface = "org.privyseal1.Mail",
    default_service = "org.privyseal1",
    default_path = "/org/privyseal1"
)]
pub trait Mail {
    fn open(
        &self,
        message: Fd<'_>,
        output: Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.privyseal1.AgentManager",
    default_service = "org.privyseal1",
    default_path = "/org/privyseal1"
)]
pub trait AgentManager {
    fn register_agent(
        &self,
        agent: ObjectPath<'_>,
        capability: &str,
        options: Options<'_>,
    ) -> zbus::Result<()>;
    fn unregister_agent(&self, agent: ObjectPath<'_>) -> zbus::Result<()>;
}

/// The other way round: the daemon calls what a client serves.
#[proxy(interface = "org.privyseal1.Agent")]
pub trait Agent {
    /// The read end of a pipe, or a memfd, with the PIN.
    fn request_pin(
        &self,
        token: ObjectPath<'_>,
        kind: &str,
        details: Options<'_>,
    ) -> zbus::Result<OwnedFd>;
    #[zbus(no_reply)]
    fn display(&self, kind: &str, details: Options<'_>) -> zbus::Result<()>;
    #[zbus(no_reply)]
    fn dismiss(&self, cookie: &str) -> zbus::Result<()>;
    #[zbus(no_reply)]
    fn release(&self) -> zbus::Result<()>;
}

/// Only where the configuration allows it.
#[proxy(interface = "org.privyseal1.Key", default_service = "org.privyseal1")]
pub trait Key {
    fn sign_digest(
        &self,
        digest_alg: &str,
        digest: &Bytes,
        scheme: &str,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
    fn unwrap_key(
        &self,
        scheme: &str,
        wrapped: &Bytes,
        expected_length: u32,
        options: Options<'_>,
    ) -> zbus::Result<OwnedObjectPath>;
}

#[proxy(
    interface = "org.privyseal1.Audit",
    default_service = "org.privyseal1",
    default_path = "/org/privyseal1"
)]
pub trait Audit {
    /// Newest records that fit the options, oldest first.
    fn list(&self, options: Options<'_>) -> zbus::Result<Vec<Dict>>;
    fn verify(&self) -> zbus::Result<Dict>;
}

#[proxy(interface = "org.privyseal1.Job", default_service = "org.privyseal1")]
pub trait Job {
    fn cancel(&self) -> zbus::Result<()>;
    /// (response, results). The error `Timeout` when the job is not done yet.
    fn wait(&self, timeout_ms: u32) -> zbus::Result<(u32, Dict)>;
    fn release(&self) -> zbus::Result<()>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn kind(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> zbus::Result<String>;
    /// (bytes done, bytes in all or 0)
    #[zbus(property(emits_changed_signal = "false"))]
    fn progress(&self) -> zbus::Result<(u64, u64)>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn description(&self) -> zbus::Result<String>;
    #[zbus(signal)]
    fn completed(&self, response: u32) -> zbus::Result<()>;
}
