//! The bus as a client program uses it: the `…Bytes` calls of the Cms interface.

use std::collections::HashMap;

use privyseal_proto::Dict;
use privyseal_proto::proxy::CmsProxy;
use serde_bytes::Bytes;
use zbus::Variant;

/// A connection of its own to a world's bus.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    cms: CmsProxy<'static>,
}

/// Data and results, or the error's full name and message.
pub type Answer = Result<(Vec<u8>, Dict), (String, String)>;

impl Client {
    pub fn connect(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let cms = runtime.block_on(async {
            let bus = zbus::connection::Builder::address(address)
                .build()
                .await
                .unwrap();
            CmsProxy::builder(&bus)
                .cache_properties(zbus::proxy::CacheProperties::No)
                .build()
                .await
                .unwrap()
        });
        Client { runtime, cms }
    }

    pub fn sign(&self, data: &[u8], options: &[(&str, &str)]) -> Answer {
        answer(
            self.runtime
                .block_on(self.cms.sign_bytes(Bytes::new(data), dict(options))),
        )
    }

    pub fn verify(&self, data: &[u8], options: &[(&str, &str)]) -> Answer {
        answer(
            self.runtime
                .block_on(self.cms.verify_bytes(Bytes::new(data), dict(options))),
        )
    }

    pub fn encrypt(&self, data: &[u8], recipients: &[&str], options: &[(&str, &str)]) -> Answer {
        answer(
            self.runtime.block_on(self.cms.encrypt_bytes(
                Bytes::new(data),
                recipients,
                dict(options),
            )),
        )
    }

    pub fn decrypt(&self, data: &[u8]) -> Answer {
        answer(
            self.runtime
                .block_on(self.cms.decrypt_bytes(Bytes::new(data), HashMap::new())),
        )
    }
}

/// A text of the results.
pub fn text(results: &Dict, key: &str) -> String {
    results
        .get(key)
        .and_then(|v| <&str>::try_from(v).ok())
        .unwrap_or_default()
        .to_owned()
}

fn dict<'a>(options: &[(&'a str, &'a str)]) -> HashMap<&'a str, Variant<'a>> {
    options
        .iter()
        .map(|(name, value)| (*name, Variant::from(*value)))
        .collect()
}

fn answer(result: zbus::Result<(serde_bytes::ByteBuf, Dict)>) -> Answer {
    match result {
        Ok((data, results)) => Ok((data.into_vec(), results)),
        Err(zbus::Error::MethodError(name, message, _)) => {
            Err((name.to_string(), message.unwrap_or_default()))
        }
        Err(other) => Err(("bus".into(), other.to_string())),
    }
}
