//! Chat completions: where calls, text, ends and usage stand in an answer. A chunk of a stream and a whole answer differ in
//! one name (`delta`, `message`) and in what may be left out of them, so they are read by the same code; each is written
//! by its own.
//!
//! Only events with something in them that is held or changed are parsed; text is found by a scan.

pub mod body;
pub mod chunk;

use serde_json::{Map, Value, json};

use super::{Cut, Delta, How, Identity, Part, WholeCall};
use crate::wire::answer::Usage;
use crate::wire::json::{self, Malformed, Scanner, Shape};

type Object = Map<String, Value>;

/// Which of the two an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chunk,
    Body,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spot {
    /// In which choice, counted as they stand in the event.
    choice: usize,
    /// Which call, counted as they stand in the choice.
    call: usize,
}

/// An event as a parser sees it; none where it is no JSON object.
fn object(data: &[u8]) -> Option<Object> {
    serde_json::from_slice(&json::mended(data)).ok()
}

/// The parts of an event, and where they stand.
fn parts(event: &Object, kind: Kind) -> Vec<(Part, Spot)> {
    let mut parts = Vec::new();
    let choices = array(event, "choices");
    for (at, choice) in choices.iter().enumerate().filter_map(|(at, it)| Some((at, it.as_object()?))) {
        choice_parts(at, choice, kind, &mut parts);
    }
    // Some servers count in every chunk; what counts is the number at the end.
    let is_end = choices.is_empty() || parts.iter().any(|(part, _)| matches!(part, Part::Finish { .. }));
    if is_end && let Some(usage) = event.get("usage").and_then(Value::as_object) {
        let count = |key| usage.get(key).and_then(tokens);
        let usage =
            Usage { prompt_tokens: count("prompt_tokens"), completion_tokens: count("completion_tokens") };
        parts.push((Part::Usage(usage), Spot { choice: choices.len(), call: 0 }));
    }
    parts
}

fn choice_parts(at: usize, choice: &Object, kind: Kind, parts: &mut Vec<(Part, Spot)>) {
    let number = number(choice, at);
    let message = message(choice, kind);
    let before = parts.len();
    if kind == Kind::Chunk && message.is_some_and(|message| message.iter().any(says)) {
        parts.push((Part::Said { choice: number }, Spot { choice: at, call: 0 }));
    }
    for (call, delta) in calls(message).enumerate() {
        let opens = kind == Kind::Chunk && parts.len() == before && has_role(message);
        parts.push((Part::Call(read(number, call, delta, kind, opens)), Spot { choice: at, call }));
    }
    let reason = choice.get("finish_reason").and_then(Value::as_str);
    if let Some(reason) = reason.or((kind == Kind::Body).then_some("")) {
        parts
            .push((Part::Finish { choice: number, reason: reason.to_owned() }, Spot { choice: at, call: 0 }));
    }
}

fn read(choice: u32, place: usize, call: &Object, kind: Kind, opens: bool) -> Delta {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let function = call.get("function");
    let member = |name| function.and_then(|function| function.get(name));
    let arguments = match member("arguments") {
        // Some servers write the arguments as the object that they are.
        Some(object @ Value::Object(_)) => object.to_string(),
        other => text(other),
    };
    let index = match kind {
        Kind::Chunk => call.get("index").and_then(Value::as_u64),
        Kind::Body => u64::try_from(place).ok(),
    };
    Delta {
        choice,
        index: index.and_then(|index| u32::try_from(index).ok()),
        id: text(call.get("id")),
        name: text(member("name")),
        arguments,
        is_whole: kind == Kind::Body,
        opens,
    }
}

/// The calls that leave a choice by these cuts.
fn cut_calls(message: &Object, cuts: &[(Spot, &How)]) -> Vec<Value> {
    let calls: Vec<&Object> = calls(Some(message)).collect();
    let call = |(spot, how): &(Spot, &How)| Some(cut_call(calls.get(spot.call)?, how));
    cuts.iter().filter_map(call).flatten().collect()
}

fn cut_call(call: &Object, how: &How) -> Option<Value> {
    let mut call = call.clone();
    match how {
        How::AsIs => {}
        How::Numbered(index, identity) => {
            call.insert("index".to_owned(), json!(index));
            match identity {
                Identity::Keep => {}
                Identity::Set(id) => drop(call.insert("id".to_owned(), json!(id))),
                Identity::Drop => drop(call.shift_remove("id")),
            }
        }
        How::Replaced(WholeCall { index, id, name, arguments }) => {
            let function = json!({"name": name, "arguments": arguments});
            return Some(json!({"index": index, "id": id, "type": "function", "function": function}));
        }
        How::Withheld | How::Finish(_) | How::Added(_) | How::Say(_) => return None,
    }
    Some(Value::Object(call))
}

/// Adds to the counts that are there; where there are none, what is added is what there is.
fn add(usage: &mut Value, more: Usage) {
    let Some(usage) = usage.as_object_mut() else { return };
    let total =
        more.prompt_tokens.unwrap_or_default().saturating_add(more.completion_tokens.unwrap_or_default());
    let counts = [
        ("prompt_tokens", more.prompt_tokens),
        ("completion_tokens", more.completion_tokens),
        ("total_tokens", Some(total)),
    ];
    for (key, more) in counts.into_iter().filter_map(|(key, more)| Some((key, more?))) {
        let own = usage.get(key).and_then(tokens).unwrap_or_default();
        usage.insert(key.to_owned(), json!(own.saturating_add(more)));
    }
}

/// A number that is no less than zero, whether or not it is written with a point.
fn tokens(value: &Value) -> Option<u32> {
    let number = value.as_f64()?;
    (number >= 0.0).then_some(number as u32)
}

/// The cuts of one choice, each with where its part stands.
fn cuts_of<'c>(choice: usize, parts: &[(Part, Spot)], cuts: &'c [Cut]) -> Vec<(Spot, &'c Cut)> {
    let placed = cuts.iter().filter_map(|cut| Some((parts.get(cut.part)?.1, cut)));
    placed.filter(|(spot, _)| spot.choice == choice).collect()
}

fn array<'v>(object: &'v Object, key: &str) -> &'v [Value] {
    object.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn message(choice: &Object, kind: Kind) -> Option<&Object> {
    let key = match kind {
        Kind::Chunk => "delta",
        Kind::Body => "message",
    };
    choice.get(key).and_then(Value::as_object)
}

fn calls(message: Option<&Object>) -> impl Iterator<Item = &Object> {
    message.into_iter().flat_map(|message| array(message, "tool_calls")).filter_map(Value::as_object)
}

fn has_role(message: Option<&Object>) -> bool {
    message.and_then(|message| message.get("role")).is_some_and(|role| !role.is_null())
}

/// The choice's own number; where it has none, its place.
fn number(choice: &Object, at: usize) -> u32 {
    let number = choice.get("index").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    number.or_else(|| u32::try_from(at).ok()).unwrap_or_default()
}

/// Is this member of a delta something that passes at once? Text and reasoning have many names; a legacy `function_call` is
/// one of them.
fn says((key, value): (&String, &Value)) -> bool {
    let is_empty = match value {
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    !is_empty && key != "role" && key != "tool_calls"
}

/// Tells the text of each choice, found by a scan.
fn said(data: &[u8], message: &str, tell: &mut dyn FnMut(u32, &str)) -> Result<(), Malformed> {
    let mut scan = Scanner::new(data);
    scan.object(|scan, key| {
        if !json::key_is(key, "choices") || scan.shape()? != Shape::Array {
            return scan.value().map(|_| ());
        }
        let mut at = 0;
        scan.array(|scan| {
            let (mut number, mut text) = (at, String::new());
            at += 1;
            scan.any_object(|scan, key| {
                if json::key_is(key, message) {
                    return scan.any_object(|scan, key| {
                        let value = scan.value()?;
                        if json::key_is(key, "content") {
                            text = data.get(value).and_then(json::text).unwrap_or_default();
                        }
                        Ok(())
                    });
                }
                let value = scan.value()?;
                if json::key_is(key, "index") {
                    let value = data.get(value).and_then(|value| std::str::from_utf8(value).ok());
                    number = value.and_then(|value| value.parse().ok()).unwrap_or(number);
                }
                Ok(())
            })?;
            tell(number, &text);
            Ok(())
        })
    })
}
