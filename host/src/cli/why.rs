//! `pointsman why`: the story of one request, from its record. First the headline, then who was asked, what was tried, what
//! came of it. Pure but for the asking and the printing.

mod calls;

use super::args::Global;
use super::client::escaped;
use super::output::{BAD, FAINT, GOOD, ODD, Output, STRONG, paint};
use super::{Success, client};
use crate::telemetry::{Attempt, Record, Step, seconds};

/// Asks the running gateway and tells the story.
pub(super) async fn run(
    global: &Global,
    request: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<Success> {
    let gateway = client(global).await?;
    let path = format!("requests/{}", request.map_or_else(|| "latest".to_owned(), escaped));
    let record: Record = gateway.get(&path).await?;
    output.value(&record, || story(&record));
    Ok(Success::Yes)
}

/// All that is known of a request, in lines for people.
pub(super) fn story(record: &Record) -> Vec<String> {
    let mut lines = vec![paint(STRONG, record.headline()), String::new()];
    lines.extend(field("request", request(record)));
    lines.extend(field("asked for", asked(record)));
    lines.push(paint(FAINT, "skills"));
    lines.extend(skills(record));
    lines.push(paint(FAINT, "attempts"));
    if record.attempts.is_empty() {
        lines.push("  none: no model was asked".to_owned());
    }
    for (index, attempt) in record.attempts.iter().enumerate() {
        lines.extend(tried(index + 1, attempt));
    }
    if !record.calls.is_empty() {
        lines.push(paint(FAINT, "tool calls"));
        lines.extend(record.calls.iter().flat_map(calls::story));
    }
    if record.placeholders > 0 {
        lines.extend(field("conversation", placeholders(record.placeholders)));
    }
    lines.extend(field("answer", answer(record)));
    lines.extend(record.notes.iter().flat_map(|note| field("note", note.clone())));
    if let Some(error) = &record.error {
        lines.extend(field("failed", paint(BAD, error)));
    }
    lines
}

/// A word and what it is; nothing where there is nothing to say.
fn field(name: &str, text: String) -> Option<String> {
    let name = paint(FAINT, format_args!("{name:<12}"));
    (!text.is_empty()).then(|| format!("{name}  {text}"))
}

fn request(record: &Record) -> String {
    let mut parts = vec![record.request.to_string(), at(record.at_ms), format!("session {}", record.session)];
    parts.extend(record.agent.as_ref().map(|agent| format!("agent {agent}")));
    parts.retain(|it| !it.is_empty());
    parts.join(", ")
}

/// The moment in the local time zone, to the second.
pub(super) fn at(epoch_ms: u64) -> String {
    let moment = i64::try_from(epoch_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let zoned = moment.map(|moment| moment.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map(|zoned| zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
}

fn asked(record: &Record) -> String {
    let model = if record.requested.is_empty() { "no model by name" } else { &record.requested };
    let mut parts = vec![model.to_owned()];
    parts.extend((!record.standing.is_empty()).then(|| record.standing.to_string()));
    parts.push(if record.streaming { "streamed" } else { "in one piece" }.to_owned());
    parts.join(", ")
}

fn skills(record: &Record) -> Vec<String> {
    if record.steps.is_empty() {
        let why = match &*record.standing {
            "continues" => "not asked: the request continues a turn, which keeps its route",
            "side call" => "not asked: a side call never moves a conversation's route",
            _ => "none is active, or none could be asked",
        };
        return vec![format!("  {why}")];
    }
    let width = record.steps.iter().map(|step| step.skill.chars().count()).max().unwrap_or_default();
    record.steps.iter().map(|step| hooked(step, width, record.reason.as_deref())).collect()
}

fn hooked(step: &Step, width: usize, reason: Option<&str>) -> String {
    let style = match &*step.result {
        "decided" => GOOD,
        "failed" => BAD,
        "amended" => ODD,
        _ => FAINT,
    };
    let reason = reason.filter(|_| step.result == "decided");
    let detail = step.detail.as_deref().or(reason).unwrap_or_default();
    let line = format!(
        "  {:<width$}  {} {:>8} µs  {detail}",
        step.skill,
        paint(style, format_args!("{:<8}", step.result)),
        step.took_us
    );
    line.trim_end().to_owned()
}

fn tried(number: usize, attempt: &Attempt) -> Vec<String> {
    let served = attempt.outcome == "served";
    let outcome = match &*attempt.outcome {
        "served" => paint(GOOD, "served"),
        "" => paint(ODD, "unfinished"),
        why => paint(BAD, why),
    };
    let mut lines = vec![format!("  {number}. {}: {outcome}", attempt.model)];
    let instance = attempt.instance.as_deref().filter(|instance| !attempt.model.ends_with(instance));
    let instance = instance.map(|instance| format!(", on the instance {instance}")).unwrap_or_default();
    lines.push(format!("     sent {}{instance}", sent(&attempt.sent)));
    let took = timings(attempt);
    if served || !took.is_empty() {
        let took = if took.is_empty() { "no waiting: the model was in memory".to_owned() } else { took };
        lines.push(format!("     {took}"));
    }
    lines
}

fn sent(word: &str) -> &str {
    match word {
        "conversation" => "the conversation as it is",
        "prompt" => "this turn alone, as the skill composed it",
        "patched" => "the conversation, with what skills changed",
        other => other,
    }
}

fn timings(attempt: &Attempt) -> String {
    let steps = [
        ("running answers finished", attempt.drained_ms),
        ("unloaded", attempt.unloaded_ms),
        ("loaded", attempt.loaded_ms),
    ];
    let steps: Vec<String> =
        steps.iter().filter_map(|(what, ms)| ms.map(|ms| format!("{what} {}", seconds(ms)))).collect();
    match (attempt.queued_ms, steps.is_empty()) {
        (Some(ms), true) if ms > 0 => format!("waited {}", seconds(ms)),
        (Some(ms), false) => format!("waited {}: {}", seconds(ms), steps.join(", ")),
        (None, false) => steps.join(", "),
        (_, true) => String::new(),
    }
}

fn placeholders(count: usize) -> String {
    let what = if count == 1 {
        "1 medium of an earlier turn".to_owned()
    } else {
        format!("{count} media of earlier turns")
    };
    format!("{what}, which the model does not take, went as a line of text")
}

fn answer(record: &Record) -> String {
    let mut parts = Vec::new();
    parts.push(if record.status == 0 {
        "none: the client left".to_owned()
    } else {
        format!("status {}", record.status)
    });
    parts.extend(record.finish.as_ref().map(|finish| format!("finished by {finish}")));
    if let Some(tokens) = tokens(record) {
        parts.push(tokens);
    }
    parts.extend(record.first_token_ms.map(|ms| format!("first token after {}", seconds(ms))));
    parts.push(format!("in all {}", seconds(record.total_ms)));
    parts.join(", ")
}

fn tokens(record: &Record) -> Option<String> {
    match (record.prompt_tokens, record.completion_tokens) {
        (Some(prompt), Some(answer)) => Some(format!("{prompt} tokens in, {answer} out")),
        (Some(prompt), None) => Some(format!("{prompt} tokens in")),
        (None, Some(answer)) => Some(format!("{answer} tokens out")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(record: &Record) -> String {
        anstream::adapter::strip_str(&story(record).join("\n")).to_string()
    }

    fn translated() -> Record {
        let step = |skill: &str, result: &'static str, took_us| Step {
            skill: skill.into(),
            result: result.into(),
            detail: None,
            took_us,
        };
        Record {
            request: "r1f".into(),
            session: "s1".into(),
            agent: Some("openclaw".into()),
            requested: "gpt-oss".into(),
            streaming: true,
            standing: "new turn".into(),
            steps: vec![step("chat-commands", "passed", 84), step("model-swapper", "decided", 412)],
            skill: Some("model-swapper".into()),
            reason: Some("translate".into()),
            attempts: vec![Attempt {
                model: "lmstudio/google/translategemma".into(),
                instance: Some("google/translategemma".into()),
                sent: "prompt".into(),
                outcome: "served".into(),
                queued_ms: Some(8_600),
                drained_ms: Some(2_100),
                unloaded_ms: Some(100),
                loaded_ms: Some(6_400),
            }],
            model: Some("lmstudio/google/translategemma".into()),
            placeholders: 1,
            notes: vec!["the stream was opened before the model was there".into()],
            finish: Some("stop".into()),
            status: 200,
            prompt_tokens: Some(57),
            completion_tokens: Some(12),
            first_token_ms: Some(8_900),
            total_ms: 9_000,
            ..Record::default()
        }
    }

    #[test]
    fn the_first_line_is_the_headline_and_the_rest_is_in_order() {
        let record = translated();
        let text = plain(&record);
        assert!(text.starts_with("model-swapper: translate → translategemma; drained 2.1 s"), "{text}");
        let expected = [
            "r1f",
            "agent openclaw",
            "gpt-oss, new turn, streamed",
            "chat-commands  passed         84 µs",
            "model-swapper  decided       412 µs  translate",
            "1. lmstudio/google/translategemma: served",
            "sent this turn alone",
            "waited 8.6 s: running answers finished 2.1 s, unloaded 100 ms, loaded 6.4 s",
            "1 medium of an earlier turn",
            "status 200, finished by stop, 57 tokens in, 12 out, first token after 8.9 s",
            "opened before the model was there",
        ];
        let mut rest = text.as_str();
        for part in expected {
            let (_, after) = rest
                .split_once(part)
                .unwrap_or_else(|| panic!("{part:?} is missing or out of place in\n{text}"));
            rest = after;
        }
    }

    #[test]
    fn what_went_wrong_is_said() {
        let record = Record { error: Some("no_models (provider)".into()), status: 503, ..Record::default() };
        let text = plain(&record);
        assert!(
            text.contains("none: no model was asked") && text.contains("failed        no_models"),
            "{text}"
        );
        let continued = Record { standing: "continues".into(), ..Record::default() };
        assert!(plain(&continued).contains("keeps its route"));
        assert!(plain(&continued).contains("the client left"));
    }
}
