//! Where the command line writes: one value that knows whether lines are for people or for programs. Everything printed
//! comes through here.
//!
//! Colours are written always and taken out again where the reader is no terminal, or does not want them (`NO_COLOR`).
//! A reader that left (`| head`) is no error: nobody is there to be told.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Effects, Style};
use indicatif::ProgressBar;
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

/// How often the spinner turns.
const BEAT: Duration = Duration::from_millis(120);

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

    /// One line for people that is no part of the answer; programs do not see it.
    pub fn note(&mut self, text: impl Display) {
        if self.format == Format::Text {
            self.line(text);
        }
    }

    /// Somebody can be asked something: lines are for people, and both ends are a terminal.
    pub fn may_ask(&self) -> bool {
        self.format == Format::Text && self.is_terminal && io::stdin().is_terminal()
    }

    /// Asks for a yes; anything else is none.
    pub fn ask(&mut self, question: impl Display) -> bool {
        let _ = write!(self.writer, "{question} [y/N] ").and_then(|()| self.writer.flush());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
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

/// Shows on a terminal that something long is going on.
pub(super) async fn patiently<T>(output: &Output, waiting: String, work: impl Future<Output = T>) -> T {
    let spinner = if output.is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    spinner.set_message(waiting);
    spinner.enable_steady_tick(BEAT);
    let done = work.await;
    spinner.finish_and_clear();
    done
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
