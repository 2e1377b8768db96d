//! `org.privyseal1.Mail`: whole messages. The jobs are those of `Cms`.

use std::io::Write;
use std::sync::Arc;

use privyseal_proto::{Dict, Failure};
use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::Service;
use super::cms::{Cms, Work, flushed, source};
use crate::descriptor;
use crate::operation::Call;

pub struct Mail {
    service: Arc<Service>,
    cms: Cms,
}

#[interface(name = "org.privyseal1.Mail")]
impl Mail {
    async fn open(
        &self,
        message: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let spool = self.service.spool.clone();
        self.cms
            .job(
                "open",
                "Open a message",
                &header,
                options,
                Call::Open,
                move |parts| {
                    let mut message = source(message, &parts.control, &spool)?;
                    let mut output = descriptor::output(output.into(), &parts.control)?;
                    Ok(move |work: Work<'_>| {
                        let results = work.environment.open(
                            work.options,
                            work.access,
                            &mut *message,
                            output
                                .as_mut()
                                .map(|output| &mut **output as &mut dyn Write),
                        )?;
                        match &mut output {
                            Some(output) => flushed(output, results),
                            None => Ok(results),
                        }
                    })
                },
            )
            .await
    }
}

impl Mail {
    pub fn new(service: Arc<Service>) -> Self {
        Mail {
            cms: Cms::new(service.clone()),
            service,
        }
    }
}
