//! Log output: stderr, filtered by RUST_LOG; with priorities (`<6>…`) when stderr is the journal's.

use std::fmt;
use std::io::IsTerminal;

use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is logged when RUST_LOG is not set. zbus opens a span with the whole header for every call at `info`: that is only
/// made when somebody asks for zbus by name, or for everything (`trace`). certval tells of every CRL at `info`.
const DEFAULT: &str = "info";

/// Starts logging. A second call does nothing.
pub fn start() {
    let wish = std::env::var("RUST_LOG").unwrap_or_default();
    let mut filter = EnvFilter::try_new(if wish.is_empty() { DEFAULT } else { &wish })
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    for library in ["zbus", "certval"] {
        if !wish.contains(library)
            && !wish.contains("trace")
            && let Ok(quiet) = format!("{library}=warn").parse()
        {
            filter = filter.add_directive(quiet);
        }
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // said on stderr too, by a macro that panics where that is gone
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let _ = if is_journal() {
        builder.event_format(Journal).try_init()
    } else {
        builder
            .compact()
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init()
    };
}

/// Whether stderr goes to the journal. The variable alone says little: whoever is started by a service inherits it, with a stderr
/// that may lead elsewhere (systemd.exec(5)).
fn is_journal() -> bool {
    let (Ok(named), Ok(stderr)) = (
        std::env::var("JOURNAL_STREAM"),
        rustix::fs::fstat(std::io::stderr()),
    ) else {
        return false;
    };
    names(&named, stderr.st_dev, stderr.st_ino)
}

/// Whether `named` is `device:inode`, decimal.
fn names(named: &str, device: u64, inode: u64) -> bool {
    named
        .split_once(':')
        .is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

/// One line an event, with the priority that sd-daemon(3) reads; the journal adds the time.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        writeln!(
            writer,
            "<{priority}>{}: {}{}",
            event.metadata().target(),
            line.message,
            line.fields
        )
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        // a line break would begin a new journal entry
        let value = value.replace(['\n', '\r'], " ");
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push_str(&format!(" {}={value}", field.name()));
        }
    }
}

impl tracing::field::Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(names("9:13", 9, 13));
        for other in ["9:14", "8:13", "", "1", "9:", ":13", "9:13:1", "0x9:13"] {
            assert!(!names(other, 9, 13), "{other}");
        }
    }
}
