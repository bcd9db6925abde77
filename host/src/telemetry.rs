//! What happened, for people: one [`Record`] per request, kept in a bounded ring in memory, and one tracing event at its
//! end. `pointsman why` and the admin API read the ring; nothing of it is on disk.
//!
//! Records hold no message texts: what a skill said of its decision, and the beginnings of tool calls' arguments that a
//! skill looked at, never what the user wrote. Values, and one lock
//! around the ring that is held for a push or a look, never across anything that waits: no task, no clock, no I/O.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Requests that `why` can still explain.
pub const RECORDS_MAX: usize = 1_000;

/// What happened to one request. Times are milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The request's id, as in the header `x-pointsman-request`.
    pub request: Arc<str>,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Its conversation.
    pub session: Arc<str>,
    /// The agent, where it names itself.
    pub agent: Option<Arc<str>>,
    /// The model the client named.
    pub requested: String,
    /// The client asked for a stream.
    pub streaming: bool,
    /// How it related to its conversation: `new turn`, `continues`, `side call`.
    pub standing: Cow<'static, str>,
    /// The generation of skills that it was pinned to.
    pub generation: u64,
    /// What each skill answered, in the order they were asked.
    pub steps: Vec<Step>,
    /// The skill that decided; none where all passed.
    pub skill: Option<Arc<str>>,
    /// Its reason, for people.
    pub reason: Option<Arc<str>>,
    /// Each attempt to serve, in order.
    pub attempts: Vec<Attempt>,
    /// The model that served.
    pub model: Option<Arc<str>>,
    /// Tool calls that skills were asked about.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// Media of earlier turns that were replaced by a line of text.
    pub placeholders: usize,
    /// What the gateway did that nobody asked for, as in opening a stream early, falling back or passing a route over.
    pub notes: Vec<String>,
    /// The provider's finish reason.
    pub finish: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// HTTP status sent to the client; 0 where it left before one was sent.
    pub status: u16,
    /// Tokens of the prompt, where the provider counted them.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, where the provider counted them.
    pub completion_tokens: Option<u32>,
    /// Until a model was granted.
    pub queue_ms: Option<u64>,
    /// Until the first token.
    pub first_token_ms: Option<u64>,
    /// In all.
    pub total_ms: u64,
}

/// One skill's answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The skill.
    pub skill: Arc<str>,
    /// `passed`, `amended`, `decided`, `failed`.
    pub result: Cow<'static, str>,
    /// What went wrong, or what was decided.
    pub detail: Option<String>,
    /// Microseconds it took.
    pub took_us: u64,
}

/// One attempt to serve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The model.
    pub model: Arc<str>,
    /// The instance that was granted.
    pub instance: Option<Arc<str>>,
    /// What was sent: `conversation`, `prompt`, `patched`.
    pub sent: Cow<'static, str>,
    /// `served`, or why not.
    pub outcome: Cow<'static, str>,
    /// Waiting for the grant.
    pub queued_ms: Option<u64>,
    /// Of that, waiting for running requests of the models in the way.
    pub drained_ms: Option<u64>,
    /// Of that, unloading them.
    pub unloaded_ms: Option<u64>,
    /// Of that, loading.
    pub loaded_ms: Option<u64>,
}

/// A tool call of an answer, and what became of it. Of arguments the beginning is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// As the client knows it.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// What each skill said of it, in the order they were asked.
    pub steps: Vec<Step>,
    /// The skill that decided; none where all passed.
    pub skill: Option<Arc<str>>,
    /// Its reason, for people.
    pub reason: Option<String>,
    /// The arguments that the model itself wrote.
    pub own: String,
    /// Each attempt to have it written by another model, in order.
    pub writings: Vec<Writing>,
    /// What became of it: `passed`, `rewritten`, `written by <model>`, `kept`, `released`, `denied`, `broken off`.
    pub outcome: Cow<'static, str>,
    /// The arguments that left, where they are not its own.
    pub sent: Option<String>,
}

/// One attempt to have a call written by another model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Writing {
    /// Who was asked, what was sent, what came of it, and how long it waited.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// What it wrote, where that was refused.
    pub wrote: Option<String>,
    /// From its grant to the end of its answer.
    pub took_ms: Option<u64>,
}

/// The last [`RECORDS_MAX`] records.
#[derive(Debug, Default)]
pub struct Ring {
    records: Mutex<VecDeque<Arc<Record>>>,
}

// === impl Record ===

impl Record {
    /// The story as Markdown, for whoever asks in the conversation itself.
    pub fn explained(&self) -> String {
        let mut lines = vec![self.headline()];
        let step = |step: &Step| {
            let detail = step.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("- `{}` {}{detail}", step.skill, step.result)
        };
        lines.extend(self.steps.iter().map(step));
        lines.extend(self.attempts.iter().map(|it| format!("- tried `{}`: {}", it.model, it.outcome)));
        lines.extend(self.calls.iter().map(Call::explained));
        lines.extend(self.notes.iter().map(|note| format!("- {note}")));
        lines.join("\n")
    }

    /// The story in one line: who decided what, what it took.
    pub fn headline(&self) -> String {
        let served = self.model.as_deref().map(short);
        let mut line = match (&self.skill, &self.reason, served) {
            (Some(skill), Some(reason), Some(model)) => format!("{skill}: {reason} → {model}"),
            (Some(skill), Some(reason), None) => format!("{skill}: {reason}"),
            (_, _, Some(model)) => format!("no skill decided → {model}"),
            _ => "not served".to_owned(),
        };
        let mut parts = Vec::new();
        if let Some(attempt) = self.attempts.last() {
            let took = [
                ("drained", attempt.drained_ms),
                ("unloaded", attempt.unloaded_ms),
                ("loaded", attempt.loaded_ms),
            ];
            parts.extend(took.iter().filter_map(|(what, ms)| ms.map(|ms| format!("{what} {}", seconds(ms)))));
        }
        if let Some(error) = &self.error {
            parts.push(format!("failed: {error}"));
        } else if self.model.is_some() {
            parts.push(format!("answered in {}", seconds(self.total_ms)));
        }
        if !parts.is_empty() {
            line.push_str("; ");
            line.push_str(&parts.join(", "));
        }
        line
    }
}

// === impl Call ===

impl Call {
    /// The story in one line of Markdown.
    fn explained(&self) -> String {
        let by = self.skill.as_deref().map(|skill| format!(" (`{skill}`)")).unwrap_or_default();
        let reason = self.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let mut line = format!("- called `{}`: {}{by}{reason}", self.tool, self.outcome);
        for Writing { attempt, .. } in &self.writings {
            line.push_str(&format!("; `{}`: {}", attempt.model, attempt.outcome));
        }
        line
    }
}

/// A model's name as people say it.
fn short(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// `1.2 s`, or `340 ms` below a second.
pub fn seconds(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()) }
}

/// Whole milliseconds of a duration.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// === impl Ring ===

impl Ring {
    /// Keeps a record; the oldest goes.
    pub fn push(&self, record: Record) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= RECORDS_MAX {
            records.pop_front();
        }
        records.push_back(Arc::new(record));
    }

    /// The record of this request; where none is named, the newest of all.
    pub fn find(&self, request: Option<&str>) -> Option<Arc<Record>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            Some(id) => records.iter().rev().find(|record| &*record.request == id).cloned(),
            None => records.back().cloned(),
        }
    }

    /// The conversation's newest record of a request that was for a model, and not for a command.
    pub fn last_served(&self, session: &str) -> Option<Arc<Record>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |record: &&Arc<Record>| *record.session == *session && !record.attempts.is_empty();
        records.iter().rev().find(is_it).cloned()
    }

    /// The newest records, newest first.
    pub fn recent(&self, count: usize) -> Vec<Arc<Record>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().take(count).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_names_the_skill_as_the_one_who_acts() {
        let attempt = Attempt { drained_ms: Some(2_100), loaded_ms: Some(6_400), ..Attempt::default() };
        let mut record = Record {
            skill: Some("model-swapper".into()),
            reason: Some("translate: German to English".into()),
            model: Some("lmstudio/google/translategemma-12b-it".into()),
            attempts: vec![attempt],
            total_ms: 9_000,
            ..Record::default()
        };
        assert_eq!(
            record.headline(),
            "model-swapper: translate: German to English → translategemma-12b-it; drained 2.1 s, loaded 6.4 s, answered in 9.0 s"
        );
        record.error = Some("gone".into());
        assert!(record.headline().ends_with("loaded 6.4 s, failed: gone"));
        assert_eq!(Record::default().headline(), "not served");
    }

    #[test]
    fn the_ring_is_bounded_and_found_by_id() {
        let ring = Ring::default();
        for index in 0..RECORDS_MAX + 5 {
            ring.push(Record { request: format!("r{index}").into(), ..Record::default() });
        }
        assert!(ring.find(Some("r4")).is_none());
        assert_eq!(ring.find(Some("r5")).map(|record| record.request.clone()).as_deref(), Some("r5"));
        assert_eq!(
            ring.find(None).map(|record| record.request.clone()),
            Some(format!("r{}", RECORDS_MAX + 4).into())
        );
        assert_eq!(ring.recent(2).len(), 2);
    }
}
