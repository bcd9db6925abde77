//! A client as OpenAI's Python package is one: deltas are accumulated by its rules, which break on gaps between indices, on
//! roles that are said twice and on calls without an index.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a client has made of a stream.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Per choice.
    pub(super) messages: BTreeMap<u64, Value>,
    /// Per choice.
    pub(super) finish: BTreeMap<u64, String>,
    pub(super) usage: Option<Value>,
    pub(super) is_done: bool,
    /// The server says ids and names with every delta; the client knows such servers.
    knows_repeats: bool,
    /// What all chunks say of the message.
    id: Option<Value>,
}

impl Client {
    pub(super) fn new(knows_repeats: bool) -> Self {
        Self { knows_repeats, ..Self::default() }
    }

    pub(super) fn take(&mut self, data: &[u8]) {
        assert!(!self.is_done, "something comes after the terminator");
        if data == b"[DONE]" {
            self.is_done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_slice::<Value>(data) else { return };
        if !chunk["id"].is_null() {
            assert_eq!(self.id.get_or_insert_with(|| chunk["id"].clone()), &chunk["id"], "another message");
        }
        if chunk["usage"].is_object() {
            self.usage = Some(chunk["usage"].clone());
        }
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            self.choice(choice);
        }
    }

    fn choice(&mut self, choice: &Value) {
        let number = choice["index"].as_u64().unwrap();
        assert!(!self.finish.contains_key(&number), "a choice goes on after its end: {choice}");
        let message = self.messages.entry(number).or_insert_with(|| Value::Object(Map::new()));
        accumulate(message, &choice["delta"], self.knows_repeats);
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish.insert(number, reason.to_owned());
        }
    }

    /// The calls of a choice: id, name, arguments.
    pub(super) fn calls(&self, choice: u64) -> Vec<(String, String, String)> {
        let calls = self.messages.get(&choice).and_then(|message| message.get("tool_calls"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls = calls.and_then(Value::as_array).into_iter().flatten();
        calls
            .map(|call| {
                (text(&call["id"]), text(&call["function"]["name"]), text(&call["function"]["arguments"]))
            })
            .collect()
    }

    pub(super) fn text(&self, choice: u64) -> String {
        let message = self.messages.get(&choice);
        message.and_then(|message| message["content"].as_str()).unwrap_or_default().to_owned()
    }
}

/// As `accumulate_delta` in `openai/lib/streaming/_deltas.py`.
fn accumulate(all: &mut Value, delta: &Value, knows_repeats: bool) {
    let Some(members) = delta.as_object() else { return };
    for (key, more) in members {
        match all.get_mut(key) {
            None | Some(Value::Null) => all[key] = more.clone(),
            Some(own) if key == "index" || key == "type" => *own = more.clone(),
            Some(_) if knows_repeats && (key == "id" || key == "name") => {}
            Some(Value::String(own)) => own.push_str(more.as_str().unwrap_or_default()),
            Some(own @ Value::Object(_)) => accumulate(own, more, knows_repeats),
            Some(Value::Array(own)) => {
                for entry in more.as_array().into_iter().flatten() {
                    let index = entry["index"].as_u64().expect("an entry without index");
                    let index = usize::try_from(index).unwrap();
                    match own.get_mut(index) {
                        Some(own) => accumulate(own, entry, knows_repeats),
                        None => {
                            assert_eq!(own.len(), index, "a gap between indices");
                            own.push(entry.clone());
                        }
                    }
                }
            }
            Some(own) => assert_eq!(own, more),
        }
    }
    // Its first delta is taken as it is; so an index that is not there is seen only here.
    for (place, call) in all["tool_calls"].as_array().into_iter().flatten().enumerate() {
        assert_eq!(call["index"].as_u64(), u64::try_from(place).ok(), "a call at another place: {call}");
    }
}
