//! What can go wrong, said once: a kind (which decides the exit code and the name in JSON), a message for people, and hints what to
//! do next.

use privyseal_proto::ErrorName;
use zbus::fdo;

use crate::exit::{self, Exit};

/// In JSON, for what no answer of the daemon can name.
const UNREACHABLE: &str = "org.privyseal1.Error.DaemonUnreachable";
/// In JSON, when a signal ended the command.
const INTERRUPTED: &str = "org.privyseal1.Error.Cancelled";

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Named by the daemon, or by us in its words.
    Named(ErrorName),
    /// Wrong arguments.
    Usage,
    /// A file or a stream of ours.
    Local,
    /// No bus, no daemon on it, or it went away.
    Unreachable,
    /// A signal (its number) ended the command.
    Interrupted(u8),
}

/// An error on its way to the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    pub kind: Kind,
    pub message: String,
    pub hints: Vec<String>,
}

pub type Result<T> = std::result::Result<T, CommandError>;

impl CommandError {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let hints = match kind {
            Kind::Named(name) if !name.hint().is_empty() => vec![name.hint().to_owned()],
            _ => Vec::new(),
        };
        CommandError {
            kind,
            message: message.into(),
            hints,
        }
    }

    pub fn named(name: ErrorName, message: impl Into<String>) -> Self {
        Self::new(Kind::Named(name), message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// `what` was being done when `source` happened: `cannot open letter.txt: No such file or directory`.
    pub fn local(what: impl std::fmt::Display, source: &dyn std::fmt::Display) -> Self {
        // the number adds nothing for a person
        let text = source.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
        Self::new(Kind::Local, format!("{what}: {text}"))
    }

    pub fn interrupted(signal: u8) -> Self {
        Self::new(
            Kind::Interrupted(signal),
            "interrupted; the job is cancelled",
        )
    }

    /// Replaces the hints.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints = vec![hint.into()];
        self
    }

    /// From a failed connect: there is no bus to talk on.
    pub fn no_bus(error: &zbus::Error) -> Self {
        Self::new(Kind::Unreachable, format!("no session bus: {error}")).hint(
            "log in to a desktop session, or run the commands under `dbus-run-session`; \
             DBUS_SESSION_BUS_ADDRESS says where the bus is",
        )
    }

    pub fn exit(&self) -> u8 {
        match self.kind {
            Kind::Named(name) => exit::of(name).code(),
            Kind::Usage => Exit::Usage.code(),
            Kind::Local => Exit::Failed.code(),
            Kind::Unreachable => Exit::Unreachable.code(),
            Kind::Interrupted(signal) => signal.saturating_add(128),
        }
    }

    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Named(name) => name.full(),
            Kind::Usage => ErrorName::InvalidArgument.full(),
            Kind::Local => ErrorName::Failed.full(),
            Kind::Unreachable => UNREACHABLE,
            Kind::Interrupted(_) => INTERRUPTED,
        }
    }

    fn unreachable(message: String) -> Self {
        Self::new(Kind::Unreachable, message).hint(
            "start it: `systemctl --user start privyseald`, or run `privyseald` in another terminal",
        )
    }

    fn from_fdo(error: &fdo::Error) -> Self {
        use fdo::Error as E;
        match error {
            E::ZBus(inner) => inner.clone().into(),
            E::ServiceUnknown(_) | E::NameHasNoOwner(_) => {
                Self::unreachable("privyseald does not run, and the bus does not know how to start it".into())
            }
            E::NoReply(_) | E::Disconnected(_) | E::NoServer(_) | E::IOError(_) => {
                Self::unreachable("privyseald ended before it answered".into())
            }
            E::TimedOut(text)
            | E::Timeout(text)
            | E::SpawnExecFailed(text)
            | E::SpawnForkFailed(text)
            | E::SpawnChildExited(text)
            | E::SpawnChildSignaled(text)
            | E::SpawnFailed(text)
            | E::SpawnFailedToSetup(text)
            | E::SpawnConfigInvalid(text)
            | E::SpawnServiceNotValid(text)
            | E::SpawnServiceNotFound(text)
            | E::SpawnPermissionsInvalid(text)
            | E::SpawnFileInvalid(text)
            | E::SpawnNoMemory(text) => Self::unreachable(format!("privyseald could not be started: {text}"))
                .hint("run `privyseald` in another terminal to see why; `privyseal config check` checks its configuration"),
            E::LimitsExceeded(text) | E::NoMemory(text) => Self::named(ErrorName::Busy, format!("the bus is at its limits: {text}")),
            E::AccessDenied(text) => Self::named(ErrorName::NotAuthorized, text.clone()),
            E::UnknownMethod(text) | E::UnknownInterface(text) | E::UnknownProperty(text) => Self::named(
                ErrorName::NotSupported,
                format!("this privyseald does not offer what was asked for: {text}"),
            )
            .hint("`privyseal status` and `privyseal --version` show which versions meet here"),
            E::UnknownObject(text) => Self::named(ErrorName::Failed, format!("it is gone: {text}")),
            E::InvalidArgs(text) => Self::named(ErrorName::InvalidArgument, text.clone()),
            other => Self::named(ErrorName::Failed, other.to_string()),
        }
    }
}

impl From<zbus::Error> for CommandError {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, text, _) => {
                let text = text.unwrap_or_default();
                match ErrorName::parse(name.as_str()) {
                    Some(name) if text.is_empty() => Self::named(name, name.short()),
                    Some(name) => Self::named(name, text),
                    None => Self::named(ErrorName::Failed, format!("{name}: {text}")),
                }
            }
            zbus::Error::FDO(error) => Self::from_fdo(&error),
            zbus::Error::InputOutput(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                Self::named(ErrorName::Timeout, "privyseald does not answer")
            }
            zbus::Error::InputOutput(io) => {
                Self::unreachable(format!("the connection to the bus is lost: {io}"))
            }
            zbus::Error::Connection(..) | zbus::Error::Address(_) | zbus::Error::Handshake(_) => {
                Self::no_bus(&error)
            }
            other => Self::named(
                ErrorName::Failed,
                format!("an answer cannot be understood: {other}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fdo(error: fdo::Error) -> CommandError {
        zbus::Error::FDO(Box::new(error)).into()
    }

    #[test]
    fn a_missing_or_dead_daemon_is_unreachable_and_says_how_to_start_it() {
        for error in [
            fdo(fdo::Error::ServiceUnknown("x".into())),
            fdo(fdo::Error::NoReply("x".into())),
            fdo(fdo::Error::SpawnChildExited("x".into())),
            CommandError::from(zbus::Error::InputOutput(std::sync::Arc::new(
                std::io::ErrorKind::BrokenPipe.into(),
            ))),
            CommandError::no_bus(&zbus::Error::Unsupported),
        ] {
            assert_eq!(error.exit(), 6, "{error:?}");
            assert!(!error.hints.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_temporary() {
        let error = CommandError::from(zbus::Error::InputOutput(std::sync::Arc::new(
            std::io::ErrorKind::TimedOut.into(),
        )));
        assert_eq!(
            (error.exit(), error.name()),
            (7, "org.privyseal1.Error.Timeout")
        );
    }

    #[test]
    fn signals_end_as_shells_expect() {
        assert_eq!(CommandError::interrupted(2).exit(), 130);
        assert_eq!(CommandError::interrupted(15).exit(), 143);
    }

    #[test]
    fn the_number_of_a_system_error_is_not_shown() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(
            CommandError::local("cannot open x", &error).message,
            "cannot open x: No such file or directory"
        );
    }
}
