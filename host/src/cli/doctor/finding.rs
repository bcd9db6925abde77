//! One thing that was looked at, and all of them together.

use serde::Serialize;

use crate::cli::output::{BAD, FAINT, GOOD, ODD, paint};

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for everybody.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// `config`, `data`, `gateway`, `provider`, `clients`, `models`, `skills`.
    pub(super) about: &'static str,
    pub(super) level: Level,
    /// What was found.
    pub(super) message: String,
    /// What to do about it, or what else could be done; none where there is nothing.
    pub(super) mend: Option<String>,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Examination {
    /// Nothing fails.
    pub(super) ok: bool,
    pub(super) findings: Vec<Finding>,
}

/// Columns of what a finding is about.
const ABOUT_WIDTH: usize = 9;

// === impl Finding ===

impl Finding {
    /// As it should be.
    pub(super) fn ok(about: &'static str, message: impl Into<String>) -> Self {
        Self { about, level: Level::Ok, message: message.into(), mend: None }
    }

    /// As it should be, and something is worth knowing.
    pub(super) fn note(about: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { mend: Some(mend.into()), ..Self::ok(about, message) }
    }

    /// It could be better.
    pub(super) fn warn(about: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, level: Level::Warn, message: message.into(), mend: Some(mend.into()) }
    }

    /// It does not work.
    pub(super) fn fail(about: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, level: Level::Fail, message: message.into(), mend: Some(mend.into()) }
    }

    fn lines(&self) -> Vec<String> {
        let mark = match self.level {
            Level::Ok => paint(GOOD, "ok  "),
            Level::Warn => paint(ODD, "warn"),
            Level::Fail => paint(BAD, "fail"),
        };
        let indent = " ".repeat(4 + 2 + ABOUT_WIDTH + 2);
        let mut lines = vec![format!(
            "{mark}  {:<ABOUT_WIDTH$}  {}",
            self.about,
            self.message.replace('\n', &format!("\n{indent}"))
        )];
        lines.extend(self.mend.as_ref().map(|mend| format!("{indent}{} {mend}", paint(FAINT, "→"))));
        lines
    }
}

// === impl Examination ===

impl Examination {
    /// Nothing fails unless a finding says so.
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let ok = findings.iter().all(|finding| finding.level != Level::Fail);
        Self { ok, findings }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let mut lines: Vec<String> = self.findings.iter().flat_map(Finding::lines).collect();
        lines.push(String::new());
        lines.push(match (count(Level::Fail), count(Level::Warn)) {
            (0, 0) => paint(GOOD, "everything is in order"),
            (0, warnings) => format!("it works; {} could be better", things(warnings)),
            (failures, _) => paint(BAD, format_args!("{} to be mended", things_must(failures))),
        });
        lines
    }
}

fn things(count: usize) -> String {
    if count == 1 { "one thing".to_owned() } else { format!("{count} things") }
}

fn things_must(count: usize) -> String {
    if count == 1 { "one thing has".to_owned() } else { format!("{count} things have") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_fail() {
        let ok = Finding::ok("config", "fine");
        let warn = Finding::warn("models", "small", "enlarge it");
        let fail = Finding::fail("provider", "two\nlines", "start it");
        assert!(Examination::new(vec![ok.clone(), warn.clone()]).ok);
        let examination = Examination::new(vec![ok, warn, fail]);
        assert!(!examination.ok);
        let text = anstream::adapter::strip_str(&examination.lines().join("\n")).to_string();
        assert!(text.contains("warn  models     small\n                 → enlarge it"), "{text}");
        assert!(text.ends_with("one thing has to be mended"), "{text}");
        let written = serde_json::to_string(&examination).unwrap();
        assert!(
            written.contains(r#"{"about":"models","level":"warn","message":"small","mend":"enlarge it"}"#),
            "{written}"
        );
    }
}
