//! `org.privyseal1.Key`: raw operations with the key of a certificate, where the configuration allows them.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use privyseal_proto::{Dict, ErrorName, Failure};
use serde_bytes::ByteBuf;
use zbus::message::Header;
use zbus::{OwnedObjectPath, OwnedVariant, interface};

use super::access::ForJob;
use super::objects::Shown;
use super::{Service, job};
use crate::client;
use crate::config::KeyInterface;
use crate::job::Job;
use crate::operation::raw::{Oaep, ToOpen, ToSign};
use crate::operation::{Access, digest};
use crate::registry::OwnCertificate;

#[derive(Clone)]
pub struct KeyObject {
    pub state: Arc<Shown<OwnCertificate>>,
    pub service: Arc<Service>,
}

#[interface(name = "org.privyseal1.Key")]
impl KeyObject {
    async fn sign_digest(
        &self,
        digest_alg: String,
        digest: ByteBuf,
        scheme: String,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        self.check_allowed(|interface| interface.sign_digest)?;
        let options = KeyOptions::parse(options, Method::SignDigest)?;
        let work = ToSign::new(&digest_alg, digest.into_vec(), &scheme)?;
        let (service, own) = (self.service.clone(), self.state.get());
        self.job(
            "sign-digest",
            "Sign a digest",
            &header,
            options,
            move |_, access| work.sign(&service.environment(), &own, access),
        )
        .await
    }

    async fn unwrap_key(
        &self,
        scheme: String,
        wrapped: ByteBuf,
        expected_length: u32,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        self.check_allowed(|interface| interface.unwrap_key)?;
        let mut options = KeyOptions::parse(options, Method::UnwrapKey)?;
        let oaep = std::mem::take(&mut options.oaep);
        let work = ToOpen::new(&scheme, wrapped.into_vec(), expected_length, oaep)?;
        let (service, own) = (self.service.clone(), self.state.get());
        let caller = service.caller(&header).await?;
        let work = move |job: &Job, access: Access<'_>| {
            // asked twice, a bad one gives two keys and a good one the same: each counts as one that failed
            service.pause(job, service.throttled(&caller))?;
            service.count_attempt(&caller);
            work.open(&own, access)
        };
        self.job("unwrap-key", "Open a key", &header, options, work)
            .await
    }
}

impl KeyObject {
    /// The configuration may have been read again since the object was shown.
    fn check_allowed(&self, method: fn(&KeyInterface) -> bool) -> Result<(), Failure> {
        match method(&self.service.environment().config.key_interface) {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorName::PolicyDenied,
                "the configuration does not allow this method ([key-interface])",
            )),
        }
    }

    async fn job(
        &self,
        kind: &'static str,
        description: &str,
        header: &Header<'_>,
        options: KeyOptions,
        work: impl FnOnce(&Job, Access<'_>) -> Result<Dict, Failure> + Send + 'static,
    ) -> Result<OwnedObjectPath, Failure> {
        let caller = self.service.caller(header).await?;
        let running = self.service.jobs.begin(
            &caller.name,
            kind,
            description.to_owned(),
            options.handle_token.as_deref(),
        )?;
        let service = self.service.clone();
        job::launch(&self.service, running, move |job| {
            let access = ForJob {
                service: &service,
                caller: &caller,
                interactive: caller.interactive(options.interactive),
                job,
                pin_was_given: options.pin.is_some(),
                pin: Cell::new(options.pin),
                typed: Cell::new(None),
            };
            work(job, &access)
        })
        .await
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    SignDigest,
    UnwrapKey,
}

#[derive(Default)]
struct KeyOptions {
    handle_token: Option<String>,
    interactive: Option<bool>,
    /// of a key that wants it at every use
    pin: Option<OwnedFd>,
    oaep: Oaep,
}

impl KeyOptions {
    fn parse(options: Dict, method: Method) -> Result<Self, Failure> {
        let mut parsed = KeyOptions::default();
        for (key, value) in options {
            let name = || client::text(&key, &value);
            match key.as_str() {
                "handle_token" => parsed.handle_token = Some(name()?),
                "interactive" => parsed.interactive = Some(client::flag(&key, &value)?),
                "pin-fd" => parsed.pin = Some(client::descriptor(&key, value)?),
                "oaep-digest" if method == Method::UnwrapKey => {
                    parsed.oaep.digest = Some(digest(&name()?)?);
                }
                "oaep-mask" if method == Method::UnwrapKey => {
                    parsed.oaep.mgf = Some(digest(&name()?)?);
                }
                "oaep-label" if method == Method::UnwrapKey => {
                    parsed.oaep.label = bytes(&key, value)?;
                }
                _ => return Err(Failure::invalid(format!("unknown option {key:?}"))),
            }
        }
        Ok(parsed)
    }
}

fn bytes(key: &str, value: OwnedVariant) -> Result<Vec<u8>, Failure> {
    Vec::<u8>::try_from(value).map_err(|_| Failure::invalid(format!("{key:?} must be of type ay")))
}
