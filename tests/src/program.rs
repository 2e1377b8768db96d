//! A client program that stays connected: it starts jobs, and a person can be asked on its display.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use privyseal_proto::proxy::{AuditProxy, CmsProxy, JobProxy, KeyProxy, ManagerProxy, TokenProxy};
use privyseal_proto::{Dict, certificate_path, limits};
use serde_bytes::Bytes;
use zbus::{Connection, Fd, OwnedObjectPath, Variant};

pub struct Program {
    runtime: tokio::runtime::Runtime,
    bus: Connection,
}

/// Response and results of a job, or the name and message of the error that answered the call itself.
pub type Done = Result<(u32, Dict), (String, String)>;

pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

impl Program {
    pub fn connect(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let bus = runtime.block_on(async {
            let bus = zbus::connection::Builder::address(address)
                .build()
                .await
                .unwrap();
            let manager = ManagerProxy::new(&bus).await.unwrap();
            let context = [("display", ":99".into()), ("application", "mutt".into())];
            manager.set_context(context.into()).await.unwrap();
            bus
        });
        Program { runtime, bus }
    }

    /// Its name on the bus.
    pub fn name(&self) -> String {
        self.bus.unique_name().unwrap().to_string()
    }

    /// Signs a file.
    pub fn sign(&self, file: &Path, signer: &str) -> Done {
        let options = HashMap::from([("signer", signer.into()), interactive()]);
        self.runtime.block_on(async {
            let input = fs::File::open(file).unwrap();
            let null = fs::OpenOptions::new()
                .write(true)
                .open("/dev/null")
                .unwrap();
            let (input, null) = (Fd::from(input.as_fd()), Fd::from(null.as_fd()));
            let cms = CmsProxy::new(&self.bus).await.unwrap();
            self.end_of(cms.sign(input, null, options).await).await
        })
    }

    /// The same without a job: nobody is asked.
    pub fn sign_bytes(&self, signer: &str) -> Result<(), (String, String)> {
        let options = HashMap::from([("signer", signer.into())]);
        let data = Bytes::new(b"Content-Type: text/plain\r\n\r\nhello\r\n");
        self.runtime.block_on(async {
            let cms = CmsProxy::new(&self.bus).await.unwrap();
            let signed = cms.sign_bytes(data, options).await;
            signed.map(drop).map_err(error)
        })
    }

    pub fn sign_digest(&self, sha256: &str, digest: (&str, &[u8]), scheme: &str) -> Done {
        self.runtime.block_on(async {
            let key = self.key(sha256).await;
            let options = HashMap::from([interactive()]);
            let call = key.sign_digest(digest.0, Bytes::new(digest.1), scheme, options);
            self.end_of(call.await).await
        })
    }

    pub fn unwrap_key(
        &self,
        sha256: &str,
        scheme: &str,
        wrapped: &[u8],
        expected: u32,
        mut options: Options<'_>,
    ) -> Done {
        options.extend([interactive()]);
        self.runtime.block_on(async {
            let key = self.key(sha256).await;
            let call = key.unwrap_key(scheme, Bytes::new(wrapped), expected, options);
            self.end_of(call.await).await
        })
    }

    /// Unlocks a token by its object path.
    pub fn unlock(&self, token: &str, pin: &str) -> Done {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, pin.as_bytes(), 0).unwrap();
        self.runtime.block_on(async {
            let token = TokenProxy::builder(&self.bus)
                .path(token.to_owned())
                .build()
                .await
                .unwrap();
            let options = HashMap::from([("pin-fd", Fd::from(file.as_fd()).into())]);
            self.end_of(token.unlock(options).await).await
        })
    }

    pub fn audit(&self, options: Options<'_>) -> Result<Vec<Dict>, (String, String)> {
        self.runtime.block_on(async {
            let audit = AuditProxy::new(&self.bus).await.unwrap();
            audit.list(options).await.map_err(error)
        })
    }

    /// The interfaces of an object, as it is introspected.
    pub fn introspect(&self, path: &str) -> String {
        self.runtime.block_on(async {
            let object = zbus::fdo::IntrospectableProxy::builder(&self.bus)
                .destination("org.privyseal1")
                .path(path.to_owned())
                .build()
                .await
                .unwrap();
            object.introspect().await.unwrap()
        })
    }

    async fn key(&self, sha256: &str) -> KeyProxy<'_> {
        KeyProxy::builder(&self.bus)
            .path(certificate_path(sha256))
            .build()
            .await
            .unwrap()
    }

    async fn end_of(&self, started: zbus::Result<OwnedObjectPath>) -> Done {
        let path = started.map_err(error)?;
        let job = JobProxy::builder(&self.bus)
            .path(path)
            .build()
            .await
            .unwrap();
        Ok(job.wait(limits::WAIT_MAX).await.unwrap())
    }
}

fn interactive() -> (&'static str, Variant<'static>) {
    ("interactive", true.into())
}

fn error(error: zbus::Error) -> (String, String) {
    match error {
        zbus::Error::MethodError(name, message, _) => {
            (name.to_string(), message.unwrap_or_default())
        }
        zbus::Error::FDO(error) => (zbus::DBusError::name(&*error).to_string(), String::new()),
        other => (String::new(), other.to_string()),
    }
}
