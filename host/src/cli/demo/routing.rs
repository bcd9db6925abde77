//! The demonstration's third act: the first model calls a tool and writes its arguments badly. The model that is good at it
//! writes the call that the client gets, and the first one goes on.
//!
//! What the first model wrote itself is from the gateway's record, as `why` shows it; all else is from the client.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::scene::Scene;
use super::talk::{Call, Conversation};
use super::timeline::Timeline;
use crate::cli::output::{FAINT, GOOD, STRONG, paint};
use crate::telemetry::seconds;

/// What is asked.
const ASKED: &str = "Please call edit on signs.txt: the train leaves from track 4, not from track 3.";

/// What the agent says came of the call.
const RESULT: &str = "signs.txt: 1 line changed";

/// How long the act may take; it takes about four seconds.
const ACT_TIMEOUT: Duration = Duration::from_secs(60);

/// Characters of arguments that are shown.
const SHOWN_CHARS: usize = 120;

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Routing {
    /// The arguments that the first model wrote itself.
    own: String,
    /// Those that reached the client.
    sent: String,
    /// Who wrote them.
    written_by: String,
    /// Until the writer was in memory, in milliseconds.
    loaded_ms: u64,
    /// Who answered what came of the call.
    answered_by: String,
    /// Both answers ended as answers should, and the first called the tool once.
    is_whole: bool,
    #[serde(skip)]
    expected: Expected,
}

/// Who was to do what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Expected {
    editor: String,
    resident: String,
}

// === impl Routing ===

impl Routing {
    /// Plays it.
    pub(super) async fn play(scene: &Scene, timeline: &mut Timeline<'_>) -> anyhow::Result<Self> {
        let act = tokio::time::timeout(ACT_TIMEOUT, act(scene, timeline)).await;
        act.with_context(|| format!("the edit was not over within {} s", ACT_TIMEOUT.as_secs()))?
    }

    /// What was not as it should be.
    pub(super) fn shortcomings(&self) -> Vec<String> {
        let Self { own, sent, written_by, answered_by, is_whole, expected, .. } = self;
        let mut found = Vec::new();
        if !written_by.ends_with(&expected.editor) || expected.editor.is_empty() {
            found.push(format!("the edit was {written_by:?}, and not by {}", expected.editor));
        }
        if !is_edit(sent) {
            found.push(format!("the edit that reached the client cannot be made: {sent}"));
        }
        if own == sent {
            found.push("the edit that reached the client is the first model's own".to_owned());
        }
        if *answered_by != expected.resident {
            found.push(format!("what came of the edit was answered by {answered_by:?}"));
        }
        if !is_whole {
            found.push("an answer of the edit is not whole".to_owned());
        }
        found
    }

    /// For people.
    pub(super) fn lines(&self, fault: &str) -> Vec<String> {
        let line = |what: &str, text: String| format!("  {} {text}", paint(FAINT, format!("{what:<22}")));
        vec![
            line("its own call", format!("{} {}", shown(&self.own), paint(FAINT, format!("({fault})")))),
            line("the call that went out", format!("{}, {}", shown(&self.sent), self.written_by)),
            line("the writer was loaded", format!("in {}, for this call", seconds(self.loaded_ms))),
            line("what came of it", format!("answered by {}", self.answered_by)),
        ]
    }
}

async fn act(scene: &Scene, timeline: &mut Timeline<'_>) -> anyhow::Result<Routing> {
    let (gateway, words) = (scene.gateway(), scene.words());
    timeline
        .say(&format!("\n{}", paint(STRONG, "And an edit is written by the model that is good at edits")));
    let mut talk = Conversation::new(scene.http(), &gateway.url(), "demo-edit", words.resident);
    talk.offer(vec![tool()]);
    timeline.say(&format!("{} “{ASKED}”", paint(FAINT, "user")));
    let called = talk.ask(ASKED, None).await?;
    let call = called.calls.first().cloned().unwrap_or_default();
    timeline.say(&format!("{} {}({})", paint(FAINT, "model"), call.tool, shown(&call.arguments)));
    timeline.say(&format!("{} {RESULT}", paint(FAINT, "agent")));
    let answer = talk.tell(&call, RESULT).await?;
    timeline.say(&format!("{} {}", paint(GOOD, "model"), answer.text));
    let record = gateway.gateway().ring.find(Some(&called.request));
    let noted = record.and_then(|record| record.calls.first().cloned()).unwrap_or_default();
    let loaded_ms = noted.writings.iter().filter_map(|writing| writing.attempt.queued_ms).sum();
    Ok(Routing {
        own: noted.own,
        written_by: noted.outcome.into_owned(),
        loaded_ms,
        answered_by: answer.model.clone(),
        is_whole: called.is_whole && answer.is_whole && is_one_edit(&called.calls),
        sent: call.arguments,
        expected: Expected { editor: words.editor.to_owned(), resident: words.resident.to_owned() },
    })
}

/// The tool on offer.
fn tool() -> Value {
    let text = json!({"type": "string"});
    json!({"type": "function", "function": {
        "name": "edit",
        "description": "Puts a text in the place of another one in a file.",
        "parameters": {
            "type": "object",
            "properties": {"path": text, "old": text, "new": text},
            "required": ["path", "old", "new"],
            "additionalProperties": false,
        },
    }})
}

fn is_one_edit(calls: &[Call]) -> bool {
    matches!(calls, [call] if call.tool == "edit" && !call.id.is_empty())
}

/// The arguments are all that the tool needs.
fn is_edit(arguments: &str) -> bool {
    let value: Value = serde_json::from_str(arguments).unwrap_or_default();
    ["path", "old", "new"].iter().all(|name| value.get(name).is_some_and(Value::is_string))
}

/// The beginning of some arguments.
fn shown(arguments: &str) -> String {
    let shown: String = arguments.chars().take(SHOWN_CHARS).collect();
    if shown.len() < arguments.len() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_seen() {
        let good = Routing {
            own: "{\"path\":".to_owned(),
            sent: r#"{"path":"a","old":"b","new":"c"}"#.to_owned(),
            written_by: "written by lmstudio/acme/editor".to_owned(),
            loaded_ms: 1_300,
            answered_by: "acme/resident".to_owned(),
            is_whole: true,
            expected: Expected { editor: "acme/editor".to_owned(), resident: "acme/resident".to_owned() },
        };
        assert_eq!(good.shortcomings(), Vec::<String>::new());
        let check = |routing: Routing, part: &str| {
            let found = routing.shortcomings().join("; ");
            assert!(found.contains(part), "{found}");
        };
        check(Routing { written_by: "passed".to_owned(), ..good.clone() }, "not by acme/editor");
        check(Routing { sent: "{}".to_owned(), ..good.clone() }, "cannot be made: {}");
        check(Routing { own: good.sent.clone(), ..good.clone() }, "first model's own");
        check(
            Routing { answered_by: "acme/editor".to_owned(), ..good.clone() },
            "answered by \"acme/editor\"",
        );
        check(Routing { is_whole: false, ..good }, "not whole");
    }
}
