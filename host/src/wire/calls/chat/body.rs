//! A chat completion that is not streamed: written as one piece, with its calls in their places.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Kind, Object, Spot};
use crate::wire::calls::{Cut, Dialect, How, PARAGRAPH, Part};

/// The dialect of an answer that is not streamed.
#[derive(Debug, Default)]
pub struct Body {
    /// What was said in rounds before.
    earlier: String,
}

// === impl Body ===

impl Dialect for Body {
    fn read(&self, raw: &Bytes) -> Vec<Part> {
        let body = super::object(raw).unwrap_or_default();
        super::parts(&body, Kind::Body).into_iter().map(|(part, _)| part).collect()
    }

    fn said(&self, raw: &Bytes, tell: &mut dyn FnMut(u32, &str)) {
        // Of an answer that is no JSON nobody knows what it says; it passes.
        let _ = super::said(raw, "message", tell);
    }

    fn pass(&self, raw: &Bytes) -> Bytes {
        if self.earlier.is_empty() {
            return raw.clone();
        }
        let Some(mut body) = super::object(raw) else { return raw.clone() };
        self.continued(&mut body);
        Bytes::from(json!(body).to_string())
    }

    fn write(&self, raw: &Bytes, cuts: &[Cut]) -> Bytes {
        let Some(mut body) = super::object(raw) else { return raw.clone() };
        let parts = super::parts(&body, Kind::Body);
        for (at, choice) in
            body.get_mut("choices").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
        {
            if let Some(choice) = choice.as_object_mut() {
                rewrite(choice, &parts, &super::cuts_of(at, &parts, cuts));
            }
        }
        let added =
            cuts.iter().find_map(|cut| if let How::Added(more) = cut.how { Some(more) } else { None });
        if let (Some(usage), Some(more)) = (body.get_mut("usage"), added) {
            super::add(usage, more);
        }
        self.continued(&mut body);
        Bytes::from(json!(body).to_string())
    }

    fn go_on(&mut self, raw: &Bytes) {
        let mut text = String::new();
        self.said(raw, &mut |_, more| text.push_str(more));
        self.earlier = paragraphs(&self.earlier, &text);
    }
}

impl Body {
    /// A client of a stream has seen what was said in the rounds before; so does this one.
    fn continued(&self, body: &mut Object) {
        if self.earlier.is_empty() {
            return;
        }
        let choice = body.get_mut("choices").and_then(|choices| choices.get_mut(0));
        let message = choice.and_then(|choice| choice.get_mut("message")).and_then(Value::as_object_mut);
        if let Some(message) = message {
            say(message, |own| paragraphs(&self.earlier, own));
        }
    }
}

fn rewrite(choice: &mut Object, parts: &[(Part, Spot)], cuts: &[(Spot, &Cut)]) {
    let part = |cut: &Cut| parts.get(cut.part).map(|(part, _)| part);
    let calls: Vec<(Spot, &How)> = cuts
        .iter()
        .filter(|(_, cut)| matches!(part(cut), Some(Part::Call(_))))
        .map(|(spot, cut)| (*spot, &cut.how))
        .collect();
    if let Some(message) = choice.get_mut("message").and_then(Value::as_object_mut) {
        if message.contains_key("tool_calls") {
            let mut calls = super::cut_calls(message, &calls);
            // In a message their place says which they are.
            calls
                .iter_mut()
                .filter_map(Value::as_object_mut)
                .for_each(|call| drop(call.shift_remove("index")));
            if calls.is_empty() {
                message.shift_remove("tool_calls");
            } else {
                message.insert("tool_calls".to_owned(), Value::Array(calls));
            }
        }
        for (_, cut) in cuts {
            if let How::Say(text) = &cut.how {
                say(message, |own| format!("{own}{text}"));
            }
        }
    }
    for (_, cut) in cuts {
        if let How::Finish(reason) = &cut.how {
            choice.insert("finish_reason".to_owned(), json!(reason));
        }
    }
}

fn paragraphs(one: &str, other: &str) -> String {
    let between = if one.is_empty() || other.is_empty() { "" } else { PARAGRAPH };
    [one, between, other].concat()
}

/// Rewrites what a message says.
fn say(message: &mut Object, words: impl FnOnce(&str) -> String) {
    let own = message.get("content").and_then(Value::as_str).unwrap_or_default();
    let words = words(own);
    message.insert("content".to_owned(), json!(words));
}
