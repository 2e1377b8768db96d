//! A thread that copies between a pipe of the daemon's and a stream of ours.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use tokio::sync::{mpsc, oneshot};

use crate::error::{CommandError, Result};

/// Fewer wake-ups for large messages; the kernel may refuse it.
const PIPE_SIZE: usize = 1 << 20;

/// Told by the copying threads; whoever waits for the job must hear it.
#[derive(Debug)]
pub struct Trouble {
    sender: mpsc::UnboundedSender<CommandError>,
    receiver: mpsc::UnboundedReceiver<CommandError>,
}

impl Trouble {
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Trouble { sender, receiver }
    }

    /// Waits until a copy fails.
    pub async fn next(&mut self) -> CommandError {
        match self.receiver.recv().await {
            Some(error) => error,
            // a sender lives in self
            None => std::future::pending().await,
        }
    }
}

/// Copies `from` into a pipe; gives the end to read from.
pub fn feed(mut from: File, trouble: &Trouble) -> Result<OwnedFd> {
    let (reader, writer) = pipe()?;
    let sender = trouble.sender.clone();
    std::thread::spawn(move || {
        let mut writer = File::from(writer);
        match io::copy(&mut from, &mut writer) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                // the end of the pipe would look like the end of the message: keep it open until the job is cancelled
                std::mem::forget(writer);
                let _ = sender.send(CommandError::local("cannot read the input", &error));
            }
            // a daemon that has read enough closes its end
            _ => {}
        }
    });
    Ok(reader)
}

/// Copies what is written into a pipe to `to`, which errors call `name`; gives the end to write to, and what happened once that is closed everywhere.
pub fn drain(
    mut to: File,
    name: &str,
    trouble: &Trouble,
) -> Result<(OwnedFd, oneshot::Receiver<Result<()>>)> {
    let what = format!("cannot write to {name}");
    let (reader, writer) = pipe()?;
    let (done, result) = oneshot::channel();
    let sender = trouble.sender.clone();
    std::thread::spawn(move || {
        let copied = io::copy(&mut File::from(reader), &mut to);
        let copied = copied
            .map(|_| ())
            .map_err(|error| CommandError::local(what, &error));
        if let Err(error) = &copied {
            let _ = sender.send(error.clone());
        }
        let _ = done.send(copied);
    });
    Ok((writer, result))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| CommandError::local("cannot make a pipe", &e))?;
    let _ = fcntl_setpipe_size(&writer, PIPE_SIZE);
    Ok((reader, writer))
}
