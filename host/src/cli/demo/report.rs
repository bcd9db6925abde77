//! The end of the demonstration: the steps in the order in which they happened, and whether they were what was promised.

use serde::Serialize;
use serde_json::Value;

use super::picture::Picture;
use super::routing::Routing;
use super::scene::{Scene, Words};
use super::stage::Loaded;
use super::swap::{Span, Swap};
use super::upgrade::Upgrade;
use super::{Exchange, FIRST, Kind, LAST, Played};
use crate::cli::output::{BAD, FAINT, GOOD, STRONG, paint};
use crate::telemetry::{Record, seconds};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Everything happened as it should.
    pub(super) ok: bool,
    /// Of the request that needed the specialist.
    steps: Vec<Step>,
    loaded_before: Vec<Loaded>,
    loaded_after: Vec<Loaded>,
    /// Of the policy, while an answer ran.
    upgrade: Upgrade,
    /// Of a tool call, to the model that writes it well.
    routing: Routing,
    #[serde(skip)]
    failures: Vec<String>,
    /// All of the conversation.
    #[serde(skip)]
    told: Vec<Step>,
    #[serde(skip)]
    story: String,
    #[serde(skip)]
    words: &'static Words,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Step {
    /// Milliseconds since the start.
    at_ms: u64,
    kind: Kind,
    model: String,
    detail: String,
}

// === impl Report ===

impl Report {
    /// What was played, told and judged.
    pub(super) fn new(played: &Played, scene: &Scene) -> Self {
        let (swap, words) = (&played.swap, scene.words());
        let record = scene.gateway().gateway().ring.find(Some(&played.translation.answer.request));
        let mut failures = failures(played, swap, words);
        let misheard = scene.is_misheard(&played.translation.answer.text, played.picture.as_ref());
        failures.extend(misheard.map(str::to_owned));
        failures.extend(played.upgrade.shortcomings());
        failures.extend(played.routing.shortcomings());
        Self {
            ok: failures.is_empty(),
            steps: swapped(played, swap, record.as_deref(), words),
            told: told(played, swap, record.as_deref(), words),
            loaded_before: played.before.clone(),
            loaded_after: played.after.clone(),
            upgrade: played.upgrade.clone(),
            routing: played.routing.clone(),
            failures,
            story: record.map(|record| record.headline()).unwrap_or_default(),
            words,
        }
    }

    /// What was not as it should be.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), paint(STRONG, self.words.seen)];
        for step in &self.told {
            let at = format!("{:>3}.{:03} s", step.at_ms / 1000, step.at_ms % 1000);
            let kind = paint(STRONG, format_args!("{:<8}", step.kind.as_str()));
            lines.push(format!("  {}  {kind}  {}  {}", paint(FAINT, at), step.model, step.detail));
        }
        lines.push(String::new());
        lines.push(paint(STRONG, "Who decided, when the policy was upgraded"));
        lines.extend(self.upgrade.lines());
        lines.push(String::new());
        lines.push(paint(STRONG, "Who wrote the edit"));
        lines.extend(self.routing.lines(self.words.fault));
        lines.push(String::new());
        lines.push(format!("{} {}", paint(FAINT, "why it went there "), self.story));
        lines.push(format!("{} {}", paint(FAINT, "in memory before  "), memory(&self.loaded_before)));
        lines.push(format!("{} {}", paint(FAINT, "in memory after   "), memory(&self.loaded_after)));
        lines.push(paint(FAINT, self.words.note));
        lines.push(String::new());
        lines.push(match self.failures.len() {
            0 => format!(
                "{} the specialist came, served and went, and what was there before is there again; the policy was upgraded under a \
                 running answer; the edit was written by the model that is good at edits",
                paint(GOOD, "ok")
            ),
            count => format!("{} {count} things were not as they should be", paint(BAD, "failed")),
        });
        lines
    }
}

/// What was not as it should be.
fn failures(played: &Played, swap: &Swap, words: &Words) -> Vec<String> {
    let mut found = swap.shortcomings();
    let answers = [
        ("the first answer", &played.first.answer),
        ("the translation", &played.translation.answer),
        ("the last answer", &played.last.answer),
        ("the other conversation's answer", &played.meanwhile),
    ];
    let cut = answers.iter().filter(|(_, answer)| !answer.is_whole);
    found.extend(cut.map(|(what, _)| format!("{what} is not whole")));
    for (what, answer) in answers.iter().filter(|(what, _)| *what != "the translation") {
        if answer.model != words.resident {
            found.push(format!("{what} is from {:?}, not from {}", answer.model, words.resident));
        }
    }
    let translation = &played.translation.answer;
    if swap.specialist.as_deref() != Some(translation.model.as_str()) {
        found.push(format!("the translation is from {:?}", translation.model));
    }
    if played.before != played.after {
        found.push("what is in memory is not what was there before".to_owned());
    }
    found
}

/// In the order in which they happened.
fn told(played: &Played, swap: &Swap, record: Option<&Record>, words: &Words) -> Vec<Step> {
    let mut steps = ordinary(&played.first, FIRST, words);
    steps.extend(swapped(played, swap, record, words));
    steps.extend(ordinary(&played.last, LAST, words));
    steps
}

fn ordinary(exchange: &Exchange, question: &str, words: &Words) -> Vec<Step> {
    let answer = &exchange.answer;
    vec![
        step(exchange.asked_ms, Kind::Request, words.resident, format!("“{question}”")),
        step(exchange.answered_ms, Kind::Answer, &answer.model, format!("“{}”", answer.text)),
    ]
}

fn swapped(played: &Played, swap: &Swap, record: Option<&Record>, words: &Words) -> Vec<Step> {
    let resident = words.resident;
    let exchange = &played.translation;
    let specialist = swap.specialist.as_deref().unwrap_or("no specialist");
    let asked = exchange.asked_ms;
    let decided = asked.saturating_add(
        record.map_or(0, |record| record.steps.iter().map(|it| it.took_us).sum::<u64>() / 1000),
    );
    let shown = |it: &Picture| format!(", with a picture of {} bytes, sha256 {}…", it.png.len(), it.digest);
    let sent = format!("“{}”{}", words.task, played.picture.as_ref().map(shown).unwrap_or_default());
    let mut steps = vec![step(asked, Kind::Request, resident, sent)];
    steps.extend(record.and_then(|record| Some(step(decided, Kind::Intent, specialist, intent(record)?))));
    let mut add = |kind, model, span: Option<Span>, detail: &dyn Fn(String) -> String| {
        steps.extend(
            span.map(|span| step(span.from, kind, model, detail(seconds(span.to.saturating_sub(span.from))))),
        );
    };
    let drain = swap.drained.map(|to| Span { from: decided, to: to.max(decided) });
    add(Kind::Drain, resident, drain, &|took| {
        format!("{took} until the other conversation's answer was whole")
    });
    add(Kind::Unload, resident, swap.unload, &|took| format!("{took}, once nobody used it"));
    add(Kind::Load, specialist, swap.load, &|took| format!("{took}, alone in memory"));
    add(Kind::Answer, specialist, swap.answer, &|took| format!("{took}: “{}”", exchange.answer.text));
    add(Kind::Restore, resident, swap.restore, &|took| format!("{took}, {}", memory(&played.after)));
    steps
}

/// Who decided what; none where no skill did.
fn intent(record: &Record) -> Option<String> {
    let (skill, reason) = (record.skill.as_ref()?, record.reason.as_ref()?);
    let took: u64 = record.steps.iter().map(|step| step.took_us).sum();
    Some(format!("{skill}: {reason} (decided in {took} µs)"))
}

fn step(at_ms: u64, kind: Kind, model: &str, detail: String) -> Step {
    Step { at_ms, kind, model: model.to_owned(), detail }
}

fn memory(loaded: &[Loaded]) -> String {
    if loaded.is_empty() {
        return "nothing".to_owned();
    }
    let one = |it: &Loaded| {
        let context = it.settings.get("context_length").and_then(Value::as_u64);
        context.map_or_else(
            || it.model.clone(),
            |tokens| format!("{} with {tokens} tokens of context", it.model),
        )
    };
    loaded.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_form_is_kept() {
        let loaded = || {
            vec![Loaded {
                model: "m".to_owned(),
                settings: serde_json::from_str("{\"context_length\":7}").unwrap(),
            }]
        };
        let report = Report {
            ok: false,
            steps: vec![step(5, Kind::Restore, "m", "1 s".to_owned())],
            told: Vec::new(),
            loaded_before: loaded(),
            loaded_after: loaded(),
            upgrade: Upgrade::default(),
            routing: Routing::default(),
            failures: vec!["x".to_owned()],
            story: "s".to_owned(),
            words: &super::super::scene::REAL,
        };
        let expected = concat!(
            r#"{"ok":false,"steps":[{"at_ms":5,"kind":"restore","model":"m","detail":"1 s"}],"#,
            r#""loaded_before":[{"model":"m","settings":{"context_length":7}}],"#,
            r#""loaded_after":[{"model":"m","settings":{"context_length":7}}],"#,
            r#""upgrade":{"running":{"by":"","generation":0},"next":{"by":"","generation":0},"#,
            r#""installed_ms":0,"was_running":false,"is_whole":false},"#,
            r#""routing":{"own":"","sent":"","written_by":"","loaded_ms":0,"answered_by":"","is_whole":false}}"#,
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
        let lines = report.lines().join("\n");
        assert!(
            lines.contains("m with 7 tokens of context") && lines.contains("1 things were not"),
            "{lines}"
        );
    }
}
