//! Who is asked for a PIN, and in which words: the caller's own agent, or the daemon's pinentry on the caller's display or terminal.

use privyseal_proto::{ErrorName, Failure};
use zeroize::Zeroizing;

use super::entry::{Entry, What};
use super::{NewPin, Source, cancelled, tries_left};
use crate::agent::{Kind, Question};
use crate::descriptor;
use crate::job::State;
use crate::pinentry::{self, PinRequest, PinentryError};

/// Characters of a program's name.
const PROGRAM_MAX: usize = 50;

/// Who may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// the caller's agent, if there is one, else the pinentry
    AgentFirst,
    Agent,
    Pinentry,
}

/// Who was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Agent,
    Pinentry,
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// the PIN as it is, or the PUK
    Old,
    New,
    NewAgain,
}

impl Asks {
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Agent => Asks::Agent,
            Source::Pinentry => Asks::Pinentry,
            _ => Asks::AgentFirst,
        }
    }
}

impl Entry<'_> {
    /// Once. `last`: what is typed is the last try, for which no agent is asked.
    pub fn ask(
        &self,
        asked: Asked,
        error: Option<String>,
        last: bool,
    ) -> Result<(Zeroizing<Vec<u8>>, Way), Failure> {
        if !last && self.asks != Asks::Pinentry {
            if let Some(pin) = self.by_agent(asked, error.as_deref()) {
                return Ok((pin?, Way::Agent));
            }
            if self.asks == Asks::Agent {
                return Err(Failure::new(
                    ErrorName::NoAgent,
                    "this connection's agent is gone, or does not ask",
                ));
            }
        }
        Ok((self.by_pinentry(asked, error)?, Way::Pinentry))
    }

    /// `None`: there is no agent that asks.
    fn by_agent(
        &self,
        asked: Asked,
        error: Option<&str>,
    ) -> Option<Result<Zeroizing<Vec<u8>>, Failure>> {
        let kind = match (asked, self.what) {
            (Asked::New | Asked::NewAgain, _) => Kind::New,
            (_, What::Unlock | What::New(NewPin::Change)) => Kind::User,
            (_, What::Key(_)) => Kind::Context,
            (_, What::New(NewPin::Unblock)) => Kind::So,
        };
        let (blocked, last) = match kind {
            Kind::So => (self.info.so_pin_locked, self.info.so_pin_final_try),
            _ => (self.info.pin_locked, self.info.pin_final_try),
        };
        let question = Question {
            token: &self.info.id,
            kind,
            tries_left: tries_left(blocked, last),
            last_error: error.unwrap_or_default(),
            description: &self.description(""),
            lengths: (self.info.pin_min, self.info.pin_max),
        };
        let job = self.request.job;
        job.set_state(State::WaitingForUser);
        let answer = self.agents.request_pin(job, &question);
        job.set_state(State::Running);
        // what cannot be read ends the job: nothing was sent, and the agent is broken
        Some(answer?.and_then(descriptor::read_pin))
    }

    pub fn by_pinentry(
        &self,
        asked: Asked,
        error: Option<String>,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let word = match asked {
            Asked::Old => self.words().0,
            Asked::New => "New PIN:",
            Asked::NewAgain => "New PIN again:",
        };
        self.request.job.set_state(State::WaitingForUser);
        let context = &self.request.caller.context;
        let pin = pinentry::ask_pin(
            self.pinentry.as_deref(),
            &context.client,
            context.tty.as_ref(),
            context.uid,
            &self.prompt(word, error, ""),
            &self.request.job.control,
        );
        self.request.job.set_state(State::Running);
        pin.map_err(unanswered)
    }

    pub fn confirm_last(&self) -> Result<(), Failure> {
        self.request.job.set_state(State::WaitingForUser);
        let context = &self.request.caller.context;
        let warning = match self.what {
            What::New(NewPin::Unblock) => {
                "\n\nOne try is left. A wrong PUK now blocks the token for good. Try anyway?"
            }
            _ => "\n\nOne try is left. A wrong PIN now blocks the token. Try anyway?",
        };
        let answer = pinentry::confirm(
            self.pinentry.as_deref(),
            &context.client,
            context.tty.as_ref(),
            context.uid,
            &self.prompt("", None, warning),
            &self.request.job.control,
        );
        self.request.job.set_state(State::Running);
        match answer {
            Ok(true) => Ok(()),
            Ok(false) => Err(cancelled()),
            Err(PinentryError::Unavailable(why)) => Err(Failure::new(
                ErrorName::BadPinFinalTry,
                format!("the PIN has one try left, and nobody can be asked: {why}"),
            )),
            Err(error) => Err(unanswered(error)),
        }
    }

    /// The word at the entry, and what is to be done.
    fn words(&self) -> (&'static str, String) {
        let token = format!(
            "{} (serial number {})",
            plain(&self.info.label),
            plain(&self.info.serial)
        );
        match self.what {
            What::Unlock => ("PIN:", format!("Unlock the token {token}.")),
            What::Key(key) => (
                "PIN:",
                format!(
                    "The key {} wants the PIN of the token {token} for this use.",
                    plain(key)
                ),
            ),
            What::New(NewPin::Change) => {
                ("Old PIN:", format!("Change the PIN of the token {token}."))
            }
            What::New(NewPin::Unblock) => (
                "PUK or SO-PIN:",
                format!("Give the token {token} a new PIN by its PUK."),
            ),
        }
    }

    fn prompt(&self, prompt: &str, error: Option<String>, more: &str) -> PinRequest {
        PinRequest {
            title: "Privyseal".into(),
            description: self.description(more),
            prompt: prompt.into(),
            error,
        }
    }

    /// What others wrote comes last: if the text is too long, that is cut.
    fn description(&self, more: &str) -> String {
        let who = match &self.request.caller.context.client.application {
            Some(name) => format!("{} (unverified)", program(name)),
            None => "An unknown program".to_owned(),
        };
        let (what, lines) = in_words(self.request.purpose);
        format!("{who} wants to {what}.\n{}{more}{lines}", self.words().1)
    }
}

/// What is done, and what is known of it: nothing, or lines that each begin with a line break.
pub(super) fn in_words(purpose: &str) -> (String, String) {
    let mut lines = purpose.lines().map(plain);
    let what = lines.next().unwrap_or_default();
    (what, lines.map(|line| format!("\n{line}")).collect())
}

pub(super) fn unanswered(error: PinentryError) -> Failure {
    let name = match error {
        PinentryError::Cancelled => ErrorName::Cancelled,
        PinentryError::Timeout => ErrorName::Timeout,
        PinentryError::Unavailable(_) => ErrorName::PinRequired,
    };
    Failure::new(name, error.to_string())
}

/// A label or name from outside, fit for one line of a prompt: no control characters, no tricks with the writing direction.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !is_hidden(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

/// A program's name, short: it comes first, and must not push out what Privyseal says.
pub(super) fn program(name: &str) -> String {
    plain(name).chars().take(PROGRAM_MAX).collect()
}

/// Format characters and line breaks that are no control characters (Unicode: Cf, Zl, Zp).
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prompt_shows_one_plain_line_of_what_others_wrote() {
        assert_eq!(super::plain("a\nb\u{202e}c\u{2028}d\u{61c}"), "a bcd");
        assert_eq!(super::program(&"x".repeat(300)).len(), super::PROGRAM_MAX);
        assert_eq!(super::plain(&"x".repeat(300)).len(), 200);
    }
}
