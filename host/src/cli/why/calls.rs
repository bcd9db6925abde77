//! What became of an answer's tool calls: what the model wrote itself, who was asked to write it instead, what left.

use super::{field, hooked, sent, timings};
use crate::cli::output::{BAD, FAINT, GOOD, ODD, paint};
use crate::telemetry::{Call, Writing, seconds};

/// Characters of arguments on a line.
const ARGUMENTS_CHARS_MAX: usize = 400;

/// A call's story.
pub(super) fn story(call: &Call) -> Vec<String> {
    let style = match &*call.outcome {
        "passed" => FAINT,
        "denied" => ODD,
        outcome if outcome.starts_with("written") || outcome == "rewritten" => GOOD,
        _ => BAD,
    };
    let mut lines =
        vec![format!("  {} {}: {}", call.tool, paint(FAINT, &call.id), paint(style, &call.outcome))];
    let width = call.steps.iter().map(|step| step.skill.chars().count()).max().unwrap_or_default();
    let reason = call.reason.as_deref();
    lines.extend(call.steps.iter().map(|step| format!("   {}", hooked(step, width, reason))));
    lines.extend(arguments("its own", &call.own));
    for (index, writing) in call.writings.iter().enumerate() {
        lines.extend(written(index + 1, writing));
    }
    lines.extend(call.sent.as_deref().and_then(|sent| arguments("sent", sent)));
    lines
}

fn arguments(name: &str, text: &str) -> Option<String> {
    field(name, shown(text)).map(|line| format!("     {line}"))
}

fn written(number: usize, writing: &Writing) -> Vec<String> {
    let Writing { attempt, wrote, took_ms } = writing;
    let outcome = match &*attempt.outcome {
        "written" => paint(GOOD, "written"),
        "" => paint(ODD, "unfinished"),
        why => paint(BAD, why),
    };
    let mut lines = vec![format!("     {number}. {}: {outcome}", attempt.model)];
    lines.push(format!("        sent {} and asked for this call alone", sent(&attempt.sent)));
    let mut took: Vec<String> = Some(timings(attempt)).filter(|it| !it.is_empty()).into_iter().collect();
    took.extend(took_ms.map(|ms| format!("answered in {}", seconds(ms))));
    if !took.is_empty() {
        lines.push(format!("        {}", took.join(", ")));
    }
    lines.extend(wrote.as_deref().map(|wrote| format!("        wrote {}", shown(wrote))));
    lines
}

/// What a model wrote, as one line that changes nothing on a terminal.
fn shown(text: &str) -> String {
    let mut line: String =
        text.chars().take(ARGUMENTS_CHARS_MAX).map(|it| if it.is_control() { ' ' } else { it }).collect();
    if text.chars().nth(ARGUMENTS_CHARS_MAX).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Attempt, Step};

    #[test]
    fn a_call_is_told_from_what_the_model_wrote_to_what_left() {
        let attempt = |model: &str, outcome: &'static str| Attempt {
            model: model.into(),
            sent: "conversation".into(),
            outcome: outcome.into(),
            queued_ms: Some(2_000),
            loaded_ms: Some(1_900),
            ..Attempt::default()
        };
        let call = Call {
            id: "call_7".to_owned(),
            tool: "edit".to_owned(),
            steps: vec![Step {
                skill: "tool-router".into(),
                result: "decided".into(),
                detail: None,
                took_us: 12,
            }],
            skill: Some("tool-router".into()),
            reason: Some("edit: by rule".to_owned()),
            own: "{\"path\": \u{1b}[31m".to_owned(),
            writings: vec![
                Writing {
                    attempt: attempt("lmstudio/a", "its arguments are not JSON"),
                    wrote: Some("{".to_owned()),
                    took_ms: Some(400),
                },
                Writing { attempt: attempt("lmstudio/b", "written"), wrote: None, took_ms: None },
            ],
            outcome: "written by lmstudio/b".into(),
            sent: Some("x".repeat(500)),
        };
        let text = anstream::adapter::strip_str(&story(&call).join("\n")).to_string();
        let mut rest = text.as_str();
        for part in [
            "edit call_7: written by lmstudio/b",
            "tool-router  decided",
            "edit: by rule",
            "its own       {\"path\":",
            "1. lmstudio/a: its arguments are not JSON",
            "sent the conversation as it is",
            "waited 2.0 s: loaded 1.9 s, answered in 400 ms",
            "wrote {",
            "2. lmstudio/b: written",
            "sent          xxx",
        ] {
            let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("{part:?} in\n{text}"));
            rest = after;
        }
        assert!(!text.contains('\u{1b}') && text.ends_with("x…"), "{text}");
    }
}
