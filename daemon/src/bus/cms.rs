//! `org.privyseal1.Cms`: turns descriptors and options into work of `operation`, as a job or (`…Bytes`) at once.

use std::cell::Cell;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use privyseal_proto::limits::{BYTES_CALL, RECIPIENTS, TEXT};
use privyseal_proto::{Dict, ErrorName, Failure};
use privyseal_smime::Input;
use privyseal_smime::io::MemoryInput;
use serde_bytes::ByteBuf;
use zbus::message::Header;
use zbus::{OwnedObjectPath, OwnedVariant, Variant, interface};

use super::access::{ForCall, ForJob};
use super::{Service, at_once, blocking, ending, job};
use crate::descriptor::{self, Control, Files};
use crate::operation::{Access, Call, Environment, Options, compress};

pub struct Cms {
    service: Arc<Service>,
}

pub(super) type Output = Box<dyn Write + Send>;

#[interface(name = "org.privyseal1.Cms")]
impl Cms {
    async fn sign(
        &self,
        input: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        self.job(
            "sign",
            "Sign a message",
            &header,
            options,
            Call::Sign,
            |parts| {
                let mut input = descriptor::reader(input.into(), &parts.control)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = work.environment.sign(
                        work.options,
                        work.access,
                        &mut *input,
                        &mut *output,
                    )?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn verify(
        &self,
        message: zbus::OwnedFd,
        content: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let spool = self.service.spool.clone();
        self.job(
            "verify",
            "Verify a message",
            &header,
            options,
            Call::Verify,
            move |parts| {
                let mut message = source(message, &parts.control, &spool)?;
                let mut content = descriptor::input(content.into(), &parts.control, &spool)?;
                let mut output = descriptor::output(output.into(), &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = work.environment.verify(
                        work.options,
                        &mut *message,
                        content
                            .as_mut()
                            .map(|content| &mut **content as &mut dyn Input),
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

    async fn encrypt(
        &self,
        input: zbus::OwnedFd,
        output: zbus::OwnedFd,
        recipients: Vec<String>,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        check_recipients(&recipients)?;
        self.job(
            "encrypt",
            "Encrypt a message",
            &header,
            options,
            Call::Encrypt,
            |parts| {
                let mut input = descriptor::reader(input.into(), &parts.control)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = work.environment.encrypt(
                        work.options,
                        &recipients,
                        &mut *input,
                        &mut *output,
                    )?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn sign_and_encrypt(
        &self,
        input: zbus::OwnedFd,
        output: zbus::OwnedFd,
        recipients: Vec<String>,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        check_recipients(&recipients)?;
        self.job(
            "sign-and-encrypt",
            "Sign and encrypt a message",
            &header,
            options,
            Call::SignAndEncrypt,
            |parts| {
                let mut input = descriptor::reader(input.into(), &parts.control)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = work.environment.sign_and_encrypt(
                        work.options,
                        &recipients,
                        work.access,
                        &mut *input,
                        &mut *output,
                    )?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn decrypt(
        &self,
        input: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let spool = self.service.spool.clone();
        self.job(
            "decrypt",
            "Decrypt a message",
            &header,
            options,
            Call::Decrypt,
            move |parts| {
                let mut message = source(input, &parts.control, &spool)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = work.environment.decrypt(
                        work.options,
                        work.access,
                        &mut *message,
                        &mut *output,
                    )?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn compress(
        &self,
        input: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        self.job(
            "compress",
            "Compress a message",
            &header,
            options,
            Call::Compress,
            |parts| {
                let mut input = descriptor::reader(input.into(), &parts.control)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = compress::compress(work.options, &mut *input, &mut *output)?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn decompress(
        &self,
        input: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let spool = self.service.spool.clone();
        self.job(
            "decompress",
            "Decompress a message",
            &header,
            options,
            Call::Decompress,
            move |parts| {
                let mut message = source(input, &parts.control, &spool)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |_: Work<'_>| {
                    let results = compress::decompress(&mut *message, &mut *output)?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn make_receipt(
        &self,
        message: zbus::OwnedFd,
        content: zbus::OwnedFd,
        output: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let spool = self.service.spool.clone();
        self.job(
            "make-receipt",
            "Sign a receipt",
            &header,
            options,
            Call::MakeReceipt,
            move |parts| {
                let mut message = source(message, &parts.control, &spool)?;
                let mut content = descriptor::input(content.into(), &parts.control, &spool)?;
                let mut output = sink(output, &parts.control)?;
                Ok(move |work: Work<'_>| {
                    let results = work.environment.make_receipt(
                        work.options,
                        work.access,
                        &mut *message,
                        content
                            .as_mut()
                            .map(|content| &mut **content as &mut dyn Input),
                        &mut *output,
                    )?;
                    flushed(&mut output, results)
                })
            },
        )
        .await
    }

    async fn check_receipt(
        &self,
        receipt: zbus::OwnedFd,
        original: zbus::OwnedFd,
        content: zbus::OwnedFd,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Failure> {
        let spool = self.service.spool.clone();
        self.job(
            "check-receipt",
            "Check a receipt",
            &header,
            options,
            Call::CheckReceipt,
            move |parts| {
                let mut receipt = source(receipt, &parts.control, &spool)?;
                let mut original = source(original, &parts.control, &spool)?;
                let mut content = descriptor::input(content.into(), &parts.control, &spool)?;
                Ok(move |work: Work<'_>| {
                    work.environment.check_receipt(
                        work.options,
                        &mut *receipt,
                        &mut *original,
                        content
                            .as_mut()
                            .map(|content| &mut **content as &mut dyn Input),
                    )
                })
            },
        )
        .await
    }

    async fn sign_bytes(
        &self,
        data: ByteBuf,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(ByteBuf, Dict), Failure> {
        self.bytes(
            "sign-bytes",
            &header,
            data,
            options,
            Call::Sign,
            |data, output, work| {
                work.environment
                    .sign(work.options, work.access, &mut data.as_slice(), output)
            },
        )
        .await
    }

    async fn verify_bytes(
        &self,
        data: ByteBuf,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(ByteBuf, Dict), Failure> {
        self.bytes(
            "verify-bytes",
            &header,
            data,
            options,
            Call::Verify,
            |data, output, work| {
                work.environment.verify(
                    work.options,
                    &mut MemoryInput::new(data),
                    None,
                    Some(output),
                )
            },
        )
        .await
    }

    async fn encrypt_bytes(
        &self,
        data: ByteBuf,
        recipients: Vec<String>,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(ByteBuf, Dict), Failure> {
        check_recipients(&recipients)?;
        self.bytes(
            "encrypt-bytes",
            &header,
            data,
            options,
            Call::Encrypt,
            move |data, output, work| {
                work.environment
                    .encrypt(work.options, &recipients, &mut data.as_slice(), output)
            },
        )
        .await
    }

    async fn decrypt_bytes(
        &self,
        data: ByteBuf,
        options: Dict,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(ByteBuf, Dict), Failure> {
        self.bytes(
            "decrypt-bytes",
            &header,
            data,
            options,
            Call::Decrypt,
            |data, output, work| {
                work.environment.decrypt(
                    work.options,
                    work.access,
                    &mut MemoryInput::new(data),
                    output,
                )
            },
        )
        .await
    }
}

/// What a job's descriptors are opened with.
pub(super) struct Parts {
    pub(super) control: Arc<Control>,
}

/// What the work gets when it begins.
pub(super) struct Work<'a> {
    pub(super) environment: &'a Environment,
    pub(super) options: &'a Options,
    pub(super) access: Access<'a>,
}

impl Cms {
    pub fn new(service: Arc<Service>) -> Self {
        Cms { service }
    }

    /// `open` looks at descriptors: its errors answer the call itself. What it gives runs as the job.
    pub(super) async fn job<F>(
        &self,
        kind: &'static str,
        description: &str,
        header: &Header<'_>,
        options: Dict,
        call: Call,
        open: impl FnOnce(&Parts) -> Result<F, Failure> + Send + 'static,
    ) -> Result<OwnedObjectPath, Failure>
    where
        F: FnOnce(Work<'_>) -> Result<Dict, Failure> + Send + 'static,
    {
        let caller = self.service.caller(header).await?;
        let handle_token = match options.get("handle_token") {
            Some(value) => Some(crate::client::text("handle_token", value)?),
            None => None,
        };
        let running = self.service.jobs.begin(
            &caller.name,
            kind,
            description.to_owned(),
            handle_token.as_deref(),
        )?;
        let parts = Parts {
            control: running.job.control.clone(),
        };
        // options may bring descriptors to be read: not for this thread
        let (options, work) = blocking(move || {
            let files = Files::of_job(&parts.control);
            Ok((Options::parse(call, options, &files)?, open(&parts)?))
        })
        .await?;
        let service = self.service.clone();
        job::launch(&self.service, running, move |job| {
            if call.needs_certificates() {
                service.loaded(job)?;
            }
            let environment = service.environment();
            let interactive = caller.interactive(options.interactive);
            if matches!(call, Call::Decrypt | Call::Open) {
                service.pause(job, service.throttled(&caller))?;
            }
            let pin = options.take_pin();
            let access = ForJob {
                service: &service,
                caller: &caller,
                interactive,
                job,
                pin_was_given: pin.is_some(),
                pin: Cell::new(pin),
                typed: Cell::new(None),
            };
            let result = work(Work {
                environment: &environment,
                options: &options,
                access: &access,
            });
            service.count(&caller, &result);
            result
        })
        .await
    }

    /// One call, one answer: no job, no prompt, and no question to the bus.
    async fn bytes<F>(
        &self,
        op: &'static str,
        header: &Header<'_>,
        data: ByteBuf,
        options: Dict,
        call: Call,
        work: F,
    ) -> Result<(ByteBuf, Dict), Failure>
    where
        F: FnOnce(Vec<u8>, &mut Vec<u8>, Work<'_>) -> Result<Dict, Failure> + Send + 'static,
    {
        if data.len() > BYTES_CALL {
            return Err(Failure::new(
                ErrorName::InputTooLarge,
                format!("more than {BYTES_CALL} bytes: pass a descriptor instead"),
            ));
        }
        let begun = Instant::now();
        let caller = self.service.caller(header).await?;
        let _turn = self.service.turns.take(&caller.name).await?;
        // before it takes a place that others wait for
        let options = match options.values().any(brings_files) {
            true => at_once(|| Options::parse(call, options, &Files::at_once()))?,
            false => Options::parse(call, options, &Files::at_once())?,
        };
        if options.take_pin().is_some() {
            return Err(Failure::invalid(
                "such a call waits for no PIN: start a job instead",
            ));
        }
        if call == Call::Decrypt {
            let wait = self.service.throttled(&caller);
            // the timer would make a millisecond of nothing
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        let _permit = self.service.bytes.acquire().await.map_err(|_| ending())?;
        self.service.registry.loaded().await;
        let environment = self.service.environment();
        let answer = at_once(|| {
            let mut output = Vec::with_capacity(data.len().saturating_add(8192));
            let results = work(
                data.into_vec(),
                &mut output,
                Work {
                    environment: &environment,
                    options: &options,
                    access: &ForCall {
                        service: &self.service,
                        caller: &caller,
                    },
                },
            )?;
            Ok((ByteBuf::from(output), results))
        });
        self.service.count(&caller, &answer);
        tracing::debug!(
            op,
            peer = caller.name,
            us = begun.elapsed().as_micros(),
            error = answer.as_ref().err().map(|failure| failure.name.short()),
            "answered"
        );
        answer
    }
}

/// Whether an option may hold descriptors, which take a while to read.
fn brings_files(option: &OwnedVariant) -> bool {
    matches!(**option, Variant::Array(_))
}

/// A message for several passes; /dev/null is an empty one.
pub(super) fn source(
    fd: zbus::OwnedFd,
    control: &Arc<Control>,
    spool: &std::path::Path,
) -> Result<Box<dyn Input>, Failure> {
    Ok(descriptor::input(OwnedFd::from(fd), control, spool)?
        .unwrap_or_else(|| Box::new(MemoryInput::new(Vec::new()))))
}

/// An output that the work insists on; /dev/null swallows it.
fn sink(fd: zbus::OwnedFd, control: &Arc<Control>) -> Result<Output, Failure> {
    Ok(descriptor::output(OwnedFd::from(fd), control)?.unwrap_or_else(|| Box::new(io::sink())))
}

pub(super) fn flushed(output: &mut Output, results: Dict) -> Result<Dict, Failure> {
    output.flush().map_err(|error| {
        let name = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorName::NoSpace,
            _ => ErrorName::Failed,
        };
        Failure::new(name, format!("cannot write the output: {error}"))
    })?;
    Ok(results)
}

fn check_recipients(recipients: &[String]) -> Result<(), Failure> {
    if recipients.len() > RECIPIENTS {
        return Err(Failure::invalid(format!(
            "more than {RECIPIENTS} recipients"
        )));
    }
    if recipients.iter().any(|recipient| recipient.len() > TEXT) {
        return Err(Failure::invalid(format!(
            "a recipient is longer than {TEXT} bytes"
        )));
    }
    Ok(())
}
