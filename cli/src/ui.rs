//! What the user sees. Results go to stdout, diagnostics to stderr; where stdout carries message data, everything else goes to stderr.

use std::cell;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::error::{CommandError, Result};
use crate::json;

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

/// How a word is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Bold,
    Green,
    Yellow,
    Red,
}

impl Paint {
    fn start(self) -> &'static str {
        match self {
            Paint::Bold => "\x1b[1m",
            Paint::Green => "\x1b[1;32m",
            Paint::Yellow => "\x1b[1;33m",
            Paint::Red => "\x1b[1;31m",
        }
    }
}

/// The two streams and how to write to them.
#[derive(Debug)]
pub struct Ui {
    json: bool,
    color: ColorChoice,
    data_on_stdout: cell::Cell<bool>,
}

impl Ui {
    pub fn new(json: bool, color: ColorChoice) -> Self {
        Ui {
            json,
            color,
            data_on_stdout: cell::Cell::new(false),
        }
    }

    /// Stdout carries message data: nothing else may be written to it.
    pub fn keep_stdout_for_data(&self) {
        self.data_on_stdout.set(true);
    }

    /// Said by [`Self::keep_stdout_for_data`].
    pub fn stdout_is_for_data(&self) -> bool {
        self.data_on_stdout.get()
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Bars and the like are welcome on stderr.
    pub fn shows_progress(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// The result: `value` with `--json`, else the text.
    pub fn result(&self, value: &Value, text: &str) -> Result<()> {
        self.stream(value, text).map(|_| ())
    }

    /// One of many results; false when nobody reads any more.
    pub fn stream(&self, value: &Value, text: &str) -> Result<bool> {
        if self.json {
            self.print(&format!("{value}\n"))
        } else {
            self.print(text)
        }
    }

    /// Text of the result; false when nobody reads it.
    pub fn print(&self, text: &str) -> Result<bool> {
        if self.data_on_stdout.get() {
            write_all(&mut io::stderr().lock(), text, "standard error")
        } else {
            write_all(&mut io::stdout().lock(), text, "standard output")
        }
    }

    /// The data that stdout is for.
    pub fn data(&self, text: &str) -> Result<()> {
        write_all(&mut io::stdout().lock(), text, "standard output").map(|_| ())
    }

    /// With `--json` warnings are part of the object, not lines.
    pub fn warn(&self, text: &str) {
        if !self.json {
            let label = self.paint_stderr("warning:", Paint::Yellow);
            self.note(&format!("{label} {}", clean(text)));
        }
    }

    /// A remark on stderr; lost when nobody reads there.
    pub fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// The one error that ends a command.
    pub fn error(&self, error: &CommandError) {
        if self.json {
            let object = json::document(vec![
                ("error", json!(error.name())),
                ("message", json!(error.message)),
                ("hint", json!(error.hints.join("; "))),
            ]);
            let _ = self.print(&format!("{object}\n"));
            return;
        }
        let mut text = format!(
            "{} {}\n",
            self.paint_stderr("error:", Paint::Red),
            clean(&error.message)
        );
        for hint in &error.hints {
            text.push_str(&format!(
                "{} {}\n",
                self.paint_stderr("hint:", Paint::Bold),
                clean(hint)
            ));
        }
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Colours `text` for where results go.
    pub fn paint(&self, text: &str, paint: Paint) -> String {
        if self.data_on_stdout.get() {
            self.paint_stderr(text, paint)
        } else {
            self.painted(text, paint, io::stdout().is_terminal())
        }
    }

    fn paint_stderr(&self, text: &str, paint: Paint) -> String {
        self.painted(text, paint, io::stderr().is_terminal())
    }

    fn painted(&self, text: &str, paint: Paint, terminal: bool) -> String {
        if self.colors(terminal) {
            format!("{}{text}\x1b[0m", paint.start())
        } else {
            text.to_owned()
        }
    }

    fn colors(&self, terminal: bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}

/// A reader that went away (`| head`) is not an error.
fn write_all(stream: &mut dyn Write, text: &str, name: &str) -> Result<bool> {
    match stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CommandError::local(
            format!("cannot write to {name}"),
            &error,
        )),
    }
}

/// Text from certificates, tokens and messages, for a terminal: control characters, and those that turn the direction of writing,
/// are shown, not obeyed.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    pub fn painted(text: impl AsRef<str>, paint: Option<Paint>) -> Self {
        Cell {
            text: clean(text.as_ref()),
            paint,
        }
    }

    fn styled(self) -> comfy_table::Cell {
        use comfy_table::{Attribute, Color};
        let cell = comfy_table::Cell::new(self.text);
        match self.paint {
            None => cell,
            Some(Paint::Bold) => cell.add_attribute(Attribute::Bold),
            Some(Paint::Green) => cell.fg(Color::Green),
            Some(Paint::Yellow) => cell.fg(Color::Yellow),
            Some(Paint::Red) => cell.fg(Color::Red),
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::painted(text, None)
    }
}

/// A table without lines: columns two blanks apart, as wide as they need to be.
pub fn table(ui: &Ui, header: &[&str], rows: Vec<Vec<Cell>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.force_no_tty();
    if ui.colors(io::stdout().is_terminal()) {
        table.enforce_styling();
        table.style_text_only();
    }
    let bold = |name: &&str| Cell::painted(name, Some(Paint::Bold)).styled();
    table.set_header(header.iter().map(bold));
    for row in rows {
        table.add_row(row.into_iter().map(Cell::styled));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_cannot_write_on_the_terminal() {
        assert_eq!(
            clean("Zoë \x1b[2J\u{9b}\u{202e}x"),
            "Zoë \\u{1b}[2J\\u{9b}\\u{202e}x"
        );
    }

    #[test]
    fn colours_follow_the_choice() {
        let always = Ui::new(false, ColorChoice::Always);
        assert_eq!(always.paint("x", Paint::Red), "\x1b[1;31mx\x1b[0m");
        let never = Ui::new(false, ColorChoice::Never);
        assert_eq!(never.paint("x", Paint::Red), "x");
        assert_eq!(
            Ui::new(false, ColorChoice::Auto).painted("x", Paint::Red, false),
            "x"
        );
    }

    #[test]
    fn a_table_is_plain_columns() {
        let ui = Ui::new(false, ColorChoice::Never);
        let text = table(
            &ui,
            &["NAME", "STATE"],
            vec![
                vec!["longer name".into(), "ok".into()],
                vec!["x".into(), "bad".into()],
            ],
        );
        assert_eq!(
            text,
            "NAME         STATE\nlonger name  ok\nx            bad\n"
        );
    }
}
