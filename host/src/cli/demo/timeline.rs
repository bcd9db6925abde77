//! What the demonstration shows while it plays: one line per phase, alive on a terminal, printed when it is over
//! elsewhere, not there at all for programs.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::Kind;
use crate::cli::output::{FAINT, Format, GOOD, Output, STRONG, paint};
use crate::telemetry::{millis, seconds};

/// How often a live line moves.
const BEAT: Duration = Duration::from_millis(80);

/// Columns of a phase's name.
const NAME_WIDTH: usize = 8;

/// The lines.
pub(super) struct Timeline<'a> {
    output: &'a mut Output,
    lines: Option<MultiProgress>,
    started: Instant,
}

/// A phase that is under way.
pub(super) struct Phase {
    kind: Kind,
    model: String,
    began: Instant,
    line: Option<ProgressBar>,
}

// === impl Timeline ===

impl<'a> Timeline<'a> {
    /// Nothing happened yet.
    pub(super) fn new(output: &'a mut Output, started: Instant) -> Self {
        let live = output.is_terminal() && output.format() == Format::Text;
        Self { output, lines: live.then(MultiProgress::new), started }
    }

    /// A line between phases.
    pub(super) fn say(&mut self, text: &str) {
        if self.output.format() == Format::Json {
            return;
        }
        match &self.lines {
            // A bar that was never drawn is only its last message: it stays where it is among the others.
            Some(lines) => {
                let line = lines.add(ProgressBar::new_spinner().with_style(plain()));
                line.finish_with_message(text.to_owned());
            }
            None => self.output.line(text),
        }
    }

    /// A phase begins.
    pub(super) fn begin(&mut self, kind: Kind, model: &str, doing: &str) -> Phase {
        let began = Instant::now();
        let line = self.lines.as_ref().map(|lines| {
            let line = lines.add(ProgressBar::new_spinner().with_style(alive()));
            line.set_message(format!(
                "{}  {model}  {}",
                head(kind, millis(began - self.started)),
                paint(FAINT, doing)
            ));
            line.enable_steady_tick(BEAT);
            line
        });
        Phase { kind, model: model.to_owned(), began, line }
    }

    /// A phase is over.
    pub(super) fn end(&mut self, phase: Phase, detail: &str) {
        let took = seconds(millis(phase.began.elapsed()));
        let at = millis(phase.began - self.started);
        let text = format!(
            "{}  {}  {detail} {}",
            head(phase.kind, at),
            phase.model,
            paint(FAINT, format_args!("({took})"))
        );
        let mark = paint(GOOD, "●");
        match phase.line {
            Some(line) => {
                line.set_style(plain());
                line.finish_with_message(format!("{mark} {text}"));
            }
            None if self.output.format() == Format::Text => self.output.line(format_args!("{mark} {text}")),
            None => {}
        }
    }

    /// Lines after the last phase.
    pub(super) fn close(self) -> &'a mut Output {
        self.output
    }
}

fn head(kind: Kind, at_ms: u64) -> String {
    let at = format!("{:>3}.{:03} s", at_ms / 1000, at_ms % 1000);
    format!("{}  {}", paint(FAINT, at), paint(STRONG, format_args!("{:<NAME_WIDTH$}", kind.as_str())))
}

fn plain() -> ProgressStyle {
    styled("{msg}")
}

fn alive() -> ProgressStyle {
    styled("{spinner:.cyan} {msg} {elapsed:.dim}")
}

/// The templates are constants; one that did not parse would only look like the usual one.
fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
