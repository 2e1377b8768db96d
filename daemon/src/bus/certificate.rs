//! `org.privyseal1.Certificate`: a certificate on a present token.

use std::sync::Arc;

use privyseal_proto::{Dict, Failure, token_path};
use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::objects::Shown;
use super::{Service, blocking};
use crate::client::sender;
use crate::descriptor::{Control, Files};
use crate::operation::{Call, Options};
use crate::registry::OwnCertificate;

#[derive(Clone)]
pub struct CertificateObject {
    pub state: Arc<Shown<OwnCertificate>>,
    pub service: Arc<Service>,
}

#[interface(name = "org.privyseal1.Certificate")]
impl CertificateObject {
    async fn validate(
        &self,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Dict, Failure> {
        let certificate = self.state.get().certificate.clone();
        tracing::debug!(
            op = "validate",
            peer = sender(&header)?,
            certificate = certificate.sha256_hex()
        );
        let _turn = self.service.turns.take(sender(&header)?).await?;
        // before it takes a place that others wait for
        let control = Control::new()?;
        let options =
            blocking(move || Options::parse(Call::Validate, options, &Files::of_job(&control)))
                .await?;
        let environment = self.service.environment();
        self.service
            .chore(move || environment.validate(&options, &certificate))
            .await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn der(&self) -> Vec<u8> {
        self.state.get().certificate.der().to_vec()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn sha256(&self) -> String {
        self.state.get().certificate.sha256_hex()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn subject(&self) -> String {
        self.state.get().certificate.subject()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn issuer(&self) -> String {
        self.state.get().certificate.issuer()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn serial(&self) -> String {
        self.state.get().certificate.serial_hex()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn not_before(&self) -> i64 {
        seconds(self.state.get().certificate.not_before())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn not_after(&self) -> i64 {
        seconds(self.state.get().certificate.not_after())
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn emails(&self) -> Vec<String> {
        self.state.get().certificate.emails()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn key_usage(&self) -> Vec<String> {
        self.state.get().certificate.key_usage()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn extended_key_usage(&self) -> Vec<String> {
        self.state.get().certificate.extended_key_usage()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn key_type(&self) -> String {
        self.state.get().certificate.key_type().to_string()
    }

    #[zbus(property)]
    pub async fn token(&self) -> OwnedObjectPath {
        token_path(&self.state.get().token.0)
    }

    #[zbus(property)]
    pub async fn has_private_key(&self) -> bool {
        self.state.get().has_private_key
    }

    #[zbus(property)]
    pub async fn usages(&self) -> Vec<String> {
        let own = self.state.get();
        [("sign", own.can_sign), ("decrypt", own.can_decrypt)]
            .into_iter()
            .filter(|(_, can)| *can)
            .map(|(usage, _)| usage.to_owned())
            .collect()
    }

    #[zbus(property)]
    pub async fn always_authenticate(&self) -> bool {
        self.state.get().always_authenticate
    }

    /// `anchor`, or `unknown` until Validate is asked
    #[zbus(property(emits_changed_signal = "false"))]
    async fn trust(&self) -> String {
        let anchor = self
            .service
            .environment()
            .is_anchor(&self.state.get().certificate);
        if anchor { "anchor" } else { "unknown" }.to_owned()
    }

    #[zbus(property)]
    pub async fn label(&self) -> String {
        self.state.get().label.clone()
    }
}

fn seconds(since_1970: u64) -> i64 {
    i64::try_from(since_1970).unwrap_or(i64::MAX)
}
