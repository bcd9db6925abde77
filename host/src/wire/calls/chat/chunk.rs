//! Chunks of a streamed chat completion.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::{Kind, Object, Spot};
use crate::wire::calls::{Cut, Dialect, How, Part};
use crate::wire::sse::Frame;

/// The dialect of a stream.
#[derive(Debug, Default)]
pub struct Chunks {
    /// What names the message that later rounds go on with.
    earlier: Option<Object>,
}

/// Members by which clients tell messages apart.
const NAMES_OF_A_MESSAGE: [&str; 2] = ["id", "created"];

// === impl Chunks ===

impl Dialect for Chunks {
    fn read(&self, raw: &Bytes) -> Vec<Part> {
        match Frame::from(raw.clone()).data() {
            Some(b"[DONE]") => vec![Part::Done],
            Some(data) => super::object(data).map_or_else(Vec::new, |chunk| {
                super::parts(&chunk, Kind::Chunk).into_iter().map(|(part, _)| part).collect()
            }),
            None => Vec::new(),
        }
    }

    fn said(&self, raw: &Bytes, tell: &mut dyn FnMut(u32, &str)) {
        // Of a frame that is no JSON nobody knows what it says; it has passed.
        let _ = Frame::from(raw.clone()).data().map(|data| super::said(data, "delta", tell));
    }

    fn pass(&self, raw: &Bytes) -> Bytes {
        match self.earlier.as_ref().and_then(|_| chunk_of(raw)) {
            Some(mut chunk) => {
                self.continued(&mut chunk);
                frame(&chunk)
            }
            None => raw.clone(),
        }
    }

    fn write(&self, raw: &Bytes, cuts: &[Cut]) -> Bytes {
        let Some(mut chunk) = chunk_of(raw) else { return raw.clone() };
        self.continued(&mut chunk);
        let parts = super::parts(&chunk, Kind::Chunk);
        let mut frames = BytesMut::new();
        // What is said stands behind what the chunk says itself, and before the end.
        for cuts in cuts.chunk_by(|cut, next| is_say(cut) == is_say(next)) {
            for cut in cuts.iter().filter(|cut| is_say(cut)) {
                if let (How::Say(text), Some((_, spot))) = (&cut.how, parts.get(cut.part)) {
                    frames.put(frame(&says(&chunk, *spot, text)));
                }
            }
            if let Some(rest) = select(&chunk, &parts, cuts) {
                frames.put(frame(&rest));
            }
        }
        frames.freeze()
    }

    fn go_on(&mut self, raw: &Bytes) {
        if self.earlier.is_none() {
            let mut chunk = chunk_of(raw).unwrap_or_default();
            chunk.retain(|key, _| NAMES_OF_A_MESSAGE.contains(&key.as_str()));
            self.earlier = Some(chunk);
        }
    }
}

impl Chunks {
    /// A chunk of a later round becomes one of the first message: it goes by its names, and does not begin one again.
    /// (OpenAI's own client would make the role `assistantassistant`.)
    fn continued(&self, chunk: &mut Object) {
        let Some(earlier) = &self.earlier else { return };
        for (key, name) in earlier {
            chunk.insert(key.clone(), name.clone());
        }
        let choices = chunk.get_mut("choices").and_then(Value::as_array_mut);
        for choice in choices.into_iter().flatten() {
            if let Some(delta) = choice.get_mut("delta").and_then(Value::as_object_mut) {
                delta.shift_remove("role");
            }
        }
    }
}

fn chunk_of(raw: &Bytes) -> Option<Object> {
    super::object(Frame::from(raw.clone()).data()?)
}

fn frame(chunk: &Object) -> Bytes {
    Bytes::from(format!("data: {}\n\n", json!(chunk)))
}

fn is_say(cut: &Cut) -> bool {
    matches!(cut.how, How::Say(_))
}

/// A chunk around `choices` with all that stands beside them in another.
fn around(chunk: &Object, choices: Vec<Value>, usage: Option<Value>) -> Object {
    let mut around = Map::with_capacity(chunk.len());
    for (key, value) in chunk {
        match key.as_str() {
            "choices" => drop(around.insert(key.clone(), Value::Array(choices.clone()))),
            "usage" => around.extend(usage.clone().map(|usage| (key.clone(), usage))),
            _ => drop(around.insert(key.clone(), value.clone())),
        }
    }
    around
}

/// A chunk that says `text` in the choice of a part.
fn says(chunk: &Object, spot: Spot, text: &str) -> Object {
    let choice = super::array(chunk, "choices").get(spot.choice).and_then(Value::as_object);
    let number = choice.map_or(0, |choice| super::number(choice, spot.choice));
    let choice = json!({"index": number, "delta": {"content": text}, "finish_reason": null});
    let usage = chunk.get("usage").filter(|usage| usage.is_null()).cloned();
    around(chunk, vec![choice], usage)
}

/// The chunk with nothing but some of its parts; none where that is nothing.
fn select(chunk: &Object, parts: &[(Part, Spot)], cuts: &[Cut]) -> Option<Object> {
    let all = super::array(chunk, "choices");
    let mut choices = Vec::new();
    for (at, choice) in all.iter().enumerate().filter_map(|(at, it)| Some((at, it.as_object()?))) {
        let cuts: Vec<&Cut> = super::cuts_of(at, parts, cuts).into_iter().map(|(_, cut)| cut).collect();
        let first = parts.iter().position(|(_, spot)| spot.choice == at);
        choices.extend(select_choice(choice, first, parts, &cuts));
    }
    let usage = usage(chunk, parts, cuts);
    let is_usage_alone = choices.is_empty() && usage.as_ref().is_some_and(Value::is_object);
    (is_usage_alone || !choices.is_empty()).then(|| around(chunk, choices, usage))
}

/// The usage that leaves: by a cut if the chunk ends something, else the running count that some servers give.
fn usage(chunk: &Object, parts: &[(Part, Spot)], cuts: &[Cut]) -> Option<Value> {
    let own = chunk.get("usage")?;
    let Some(part) = parts.iter().position(|(part, _)| matches!(part, Part::Usage(_))) else {
        return Some(own.clone());
    };
    let cut = cuts.iter().find(|cut| cut.part == part)?;
    let mut usage = own.clone();
    if let How::Added(more) = &cut.how {
        super::add(&mut usage, *more);
    }
    Some(usage)
}

fn select_choice(
    choice: &Object,
    first: Option<usize>,
    parts: &[(Part, Spot)],
    cuts: &[&Cut],
) -> Option<Value> {
    let cuts: Vec<&&Cut> = cuts.iter().filter(|cut| !is_say(cut)).collect();
    let part = |cut: &Cut| parts.get(cut.part).map(|(part, _)| part);
    if cuts.is_empty() {
        return None;
    }
    let is_said = cuts.iter().any(|cut| matches!(part(cut), Some(Part::Said { .. })));
    let finish = cuts.iter().find(|cut| matches!(part(cut), Some(Part::Finish { .. })));
    let calls: Vec<(Spot, &How)> = cuts
        .iter()
        .filter(|cut| matches!(part(cut), Some(Part::Call(_))))
        .filter_map(|cut| Some((parts.get(cut.part)?.1, &cut.how)))
        .collect();
    // What stands beside the parts goes with the first.
    let is_first = cuts.iter().any(|cut| Some(cut.part) == first);
    let mut selected = choice.clone();
    if let Some(delta) = selected.get_mut("delta").and_then(Value::as_object_mut) {
        let calls = super::cut_calls(delta, &calls);
        delta.retain(|key, value| match key.as_str() {
            "tool_calls" => !calls.is_empty(),
            _ if super::says((key, value)) => is_said,
            _ => is_first,
        });
        if let Some(all) = delta.get_mut("tool_calls") {
            *all = Value::Array(calls);
        }
    }
    if let Some(reason) = selected.get_mut("finish_reason") {
        match finish.map(|cut| &cut.how) {
            Some(How::Finish(other)) => *reason = json!(other),
            Some(_) => {}
            None => *reason = Value::Null,
        }
    }
    if let Some(logprobs) = selected.get_mut("logprobs").filter(|_| !is_said) {
        *logprobs = Value::Null;
    }
    Some(Value::Object(selected))
}
