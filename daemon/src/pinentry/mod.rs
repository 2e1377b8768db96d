//! PIN entry through any pinentry program (Assuan), on the caller's display or tty, never by a client's choice of program.
//!
//! PIN bytes are only in buffers that are wiped and never grow. A password cache is never allowed: a wrong cached PIN would
//! burn the token's tries.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::descriptor::Control;

mod assuan;
mod place;
mod program;
#[cfg(test)]
mod tests;

pub use program::find_program;

use assuan::{command, shown};
use place::place;
use program::{Answer, Conversation};

/// A person has so long to answer, and the program the last of it to say that nobody did.
const ANSWER: Duration = Duration::from_secs(125);
const SPARE: Duration = Duration::from_secs(5);
/// Empty entries are asked again so often.
const EMPTY_MAX: usize = 3;

/// What a connection told by SetContext.
#[derive(Clone, Debug, Default)]
pub struct ClientContext {
    pub tty: Option<String>,
    pub ttytype: Option<String>,
    pub display: Option<String>,
    pub wayland_display: Option<String>,
    pub xauthority: Option<String>,
    pub lc_ctype: Option<String>,
    pub lc_messages: Option<String>,
    /// `x11:XID` (hexadecimal, as with the desktop portals) or `wayland:HANDLE`
    pub parent_window: Option<String>,
    /// unverified
    pub application: Option<String>,
    pub interactive: Option<bool>,
}

/// What to ask.
#[derive(Clone, Debug, Default)]
pub struct PinRequest {
    pub title: String,
    /// which token, who asks, what for
    pub description: String,
    pub prompt: String,
    /// why the last entry failed
    pub error: Option<String>,
}

/// How it ended without a PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinentryError {
    /// the person said no, or the job was cancelled
    #[error("cancelled")]
    Cancelled,
    /// nobody answered in time
    #[error("nobody answered the PIN prompt in time")]
    Timeout,
    /// no display or tty to ask on, no program, or it does not speak Assuan
    #[error("no PIN prompt can be shown: {0}")]
    Unavailable(String),
}

/// Asks for a PIN, 1–255 bytes; blocks; ends at once when `control` is cancelled, after two minutes without an answer with
/// `Timeout`. `tty` is the tty's descriptor if the client passed one, `uid` the caller's.
pub fn ask_pin(
    program: Option<&Path>,
    context: &ClientContext,
    tty: Option<&OwnedFd>,
    uid: u32,
    request: &PinRequest,
    control: &Control,
) -> Result<Zeroizing<Vec<u8>>, PinentryError> {
    pin(program, context, tty, uid, request, control, ANSWER)
}

/// Asks yes or no (the last PIN try), as [`ask_pin`] does.
pub fn confirm(
    program: Option<&Path>,
    context: &ClientContext,
    tty: Option<&OwnedFd>,
    uid: u32,
    request: &PinRequest,
    control: &Control,
) -> Result<bool, PinentryError> {
    let mut prompt = begin(program, context, tty, uid, request, control, ANSWER)?;
    prompt.set(&command("SETOK", "Yes"))?;
    prompt.set(&command("SETCANCEL", "No"))?;
    match prompt.ask("CONFIRM")? {
        (Answer::Ok, _) => Ok(true),
        (Answer::NotConfirmed, _) => Ok(false),
        (other, _) => Err(ended(other)),
    }
}

fn pin(
    program: Option<&Path>,
    context: &ClientContext,
    tty: Option<&OwnedFd>,
    uid: u32,
    request: &PinRequest,
    control: &Control,
    within: Duration,
) -> Result<Zeroizing<Vec<u8>>, PinentryError> {
    let mut prompt = begin(program, context, tty, uid, request, control, within)?;
    let text = if request.prompt.is_empty() {
        "PIN:"
    } else {
        &request.prompt
    };
    prompt.set(&command("SETPROMPT", text))?;
    for _ in 0..EMPTY_MAX {
        match prompt.ask("GETPIN")? {
            (Answer::Ok, pin) if !pin.is_empty() => return Ok(pin),
            // no token has an empty PIN, and sending one could cost a try
            (Answer::Ok, _) => prompt.set(&command("SETERROR", "No PIN was typed."))?,
            (other, _) => return Err(ended(other)),
        }
    }
    Err(PinentryError::Cancelled)
}

/// Starts the program and tells it everything but the question.
fn begin<'a>(
    program: Option<&Path>,
    context: &ClientContext,
    tty: Option<&OwnedFd>,
    uid: u32,
    request: &PinRequest,
    control: &'a Control,
    within: Duration,
) -> Result<Conversation<'a>, PinentryError> {
    let place = place(context, tty, uid).map_err(PinentryError::Unavailable)?;
    let mut prompt = Conversation::start(program, &place.environment, control, within)?;
    for option in &place.options {
        prompt.set(option)?;
    }
    let seconds = within.saturating_sub(SPARE).as_secs().max(1);
    prompt.set(&command("SETTIMEOUT", &seconds.to_string()))?;
    if !request.title.is_empty() {
        prompt.set(&command("SETTITLE", &request.title))?;
    }
    prompt.set(&command("SETDESC", &request.description))?;
    if let Some(error) = &request.error {
        prompt.set(&command("SETERROR", error))?;
    }
    Ok(prompt)
}

fn ended(answer: Answer) -> PinentryError {
    match answer {
        Answer::Timeout => PinentryError::Timeout,
        Answer::Failed(text) => PinentryError::Unavailable(format!("pinentry: {}", shown(&text))),
        Answer::Ok | Answer::Cancelled | Answer::NotConfirmed => PinentryError::Cancelled,
    }
}
