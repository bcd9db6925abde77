//! Where the command line writes: one value that knows whether lines are for people or for programs. Everything printed
//! comes through here.
//!
//! Colours are written always and taken out again where the reader is no terminal, or does not want them (`NO_COLOR`).
//! A reader that left (`| head`) is no error: nobody is there to be told.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Effects, Style};
use serde::Serialize;

/// Good news.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub(super) const ODD: Style = AnsiColor::Yellow.on_default();
/// Bad news.
pub(super) const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// What a line is about.
pub(super) const STRONG: Style = Style::new().effects(Effects::BOLD);
/// What may be passed over.
pub(super) const FAINT: Style = Style::new().effects(Effects::DIMMED);

/// For whom a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// People.
    Text,
    /// Programs.
    Json,
}

/// The way out.
pub struct Output {
    format: Format,
    is_terminal: bool,
    writer: Box<dyn Write + Send>,
}

// === impl Output ===

impl Output {
    /// To standard output.
    pub fn stdout(format: Format) -> Self {
        Self { format, is_terminal: io::stdout().is_terminal(), writer: Box::new(anstream::stdout()) }
    }

    /// To anything else that is no terminal.
    pub fn to(format: Format, writer: impl Write + Send + 'static) -> Self {
        Self {
            format,
            is_terminal: false,
            writer: Box::new(anstream::StripStream::new(Box::new(writer) as Box<dyn Write + Send>)),
        }
    }

    /// For whom it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Somebody is watching.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// One line for people.
    pub fn line(&mut self, text: impl Display) {
        // See the head: a reader that left is no error.
        let _ = writeln!(self.writer, "{text}").and_then(|()| self.writer.flush());
    }

    /// One value for programs.
    pub fn json(&mut self, value: &impl Serialize) {
        // What is printed here always has a form in JSON.
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.line(text);
    }

    /// A value for programs, or lines for people.
    pub fn value(&mut self, value: &impl Serialize, lines: impl FnOnce() -> Vec<String>) {
        match self.format {
            Format::Json => self.json(value),
            Format::Text => lines().into_iter().for_each(|line| self.line(line)),
        }
    }
}

/// Says on standard error why a command failed.
pub fn complain(message: impl Display) {
    // Where standard error is closed, the exit code says it.
    let _ = writeln!(anstream::stderr(), "{BAD}error{BAD:#}: {message}");
}

/// The text in this style.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Rows as columns two spaces apart, each as wide as its widest cell. Cells are plain text; the first row is the head.
pub(super) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|it| it.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let lines = rows.iter().map(line).enumerate();
    lines.map(|(index, line)| if index == 0 { paint(FAINT, line) } else { line }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let lines = table(&[row(&["MODEL", "SIZE"]), row(&["größer", "1"]), row(&["x"])]);
        assert_eq!(lines[1..], ["größer  1", "x"]);
        assert!(lines[0].contains("MODEL   SIZE"));
        assert!(table(&[]).is_empty());
    }
}
