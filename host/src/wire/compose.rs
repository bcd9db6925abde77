//! The body that goes upstream. Where no skill recast the request, only the bytes of `model` change (and media of earlier
//! turns that the model cannot take); a prompt or a patch is written over the body's top-level members, of which only
//! those that it names are parsed.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::chat::{MediaPart, Request};
use super::edit::{self, Edit, Pieces};
use super::json;
use super::members::Members;
use crate::turn::prompt::{Content, Part, Prompt};

/// Keys that have no meaning once a prompt without tools stands in for the conversation.
const TOOL_KEYS: [&str; 5] = ["tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"];

/// A body ready to be sent.
#[derive(Debug, Clone)]
pub struct Composed {
    /// What to send.
    pub body: Pieces,
    /// How many media were replaced by a line of text.
    pub placeholders: usize,
}

/// Why a route's prompt or patch could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The scan was content with the body, a parser is not.
    #[error("the request body is not valid JSON: {0}")]
    Body(String),
    /// Fields or patches that are no JSON objects.
    #[error("a skill's {0} is not a JSON object")]
    NotAnObject(&'static str),
    /// The prompt names media that the turn does not have.
    #[error("a skill's prompt names medium {0}, which is not there")]
    NoSuchMedia(usize),
}

/// The conversation as it is, for `model`. Media for which `goes` says no become placeholders.
pub fn forward(request: &Request, model: &str, goes: impl Fn(&MediaPart) -> bool) -> Composed {
    let name = Bytes::from(json!(model).to_string());
    let mut edits: Vec<Edit> = request
        .model_values()
        .iter()
        .map(|range| Edit { range: range.clone(), with: name.clone() })
        .collect();
    if edits.is_empty() {
        let (at, more) = request.insertion();
        let with = format!("\"model\":{}{}", json!(model), if more { "," } else { "" });
        edits.push(Edit { range: at..at, with: Bytes::from(with) });
    }
    let named = edits.len();
    edits.extend(request.media().filter(|part| !goes(part)).map(|part| placeholder(request, part)));
    let placeholders = edits.len() - named;
    Composed { body: edit::apply(request.raw(), edits), placeholders }
}

/// A rough count of the tokens of a recast body, which holds nothing but the prompt and a few parameters: bytes / 4, and
/// 256 for each medium, whose own bytes do not count.
pub fn estimated_tokens(composed: &Composed) -> u32 {
    let bytes = Bytes::from(composed.body.concat());
    Request::read(bytes).map_or(0, |request| request.estimated_tokens())
}

/// What a text-only model is told in place of a medium that it cannot be sent.
fn placeholder(request: &Request, part: &MediaPart) -> Edit {
    let whence = if request.is_earlier(part) { "an earlier" } else { "this" };
    let text = format!("[{} from {whence} turn, not shown to this model]", part.kind.as_str());
    Edit { range: part.range.clone(), with: Bytes::from(json!({"type": "text", "text": text}).to_string()) }
}

/// The request recast: `prompt` in place of the conversation, then the patches merged in order (RFC 7396).
pub fn recast<'p>(
    request: &Request,
    model: &str,
    prompt: Option<&Prompt>,
    patches: impl IntoIterator<Item = &'p str>,
    goes: impl Fn(&MediaPart) -> bool,
) -> Result<Composed, ComposeError> {
    let plain = forward(request, model, goes);
    let text = plain.body.concat();
    let mut body = Members::read(&text).map_err(|error| ComposeError::Body(error.to_string()))?;
    if let Some(prompt) = prompt {
        body.insert("messages", messages(request, prompt)?);
        if !prompt.keep_tools {
            TOOL_KEYS.iter().for_each(|key| body.remove(key));
        }
    }
    for patch in patches {
        body.merge(object(patch, "patch")?).map_err(|error| ComposeError::Body(error.to_string()))?;
    }
    let placeholders = if prompt.is_some() { 0 } else { plain.placeholders };
    Ok(Composed { body: Pieces::whole(Bytes::from(body.write())), placeholders })
}

fn messages(request: &Request, prompt: &Prompt) -> Result<Value, ComposeError> {
    let mut messages = Vec::with_capacity(prompt.messages.len());
    for message in &prompt.messages {
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            parts.push(content_part(request, part)?);
        }
        messages.push(json!({"role": message.role.as_str(), "content": content(parts)}));
    }
    Ok(Value::Array(messages))
}

/// A single text without further fields is written as a plain string: every template takes that.
fn content(mut parts: Vec<Map<String, Value>>) -> Value {
    match parts.as_mut_slice() {
        [only] if only.len() == 2 && only.get("type").is_some_and(|kind| kind == "text") => {
            only.remove("text").unwrap_or_default()
        }
        _ => Value::Array(parts.into_iter().map(Value::Object).collect()),
    }
}

fn content_part(request: &Request, part: &Part) -> Result<Map<String, Value>, ComposeError> {
    let text = |text: &str| {
        Map::from_iter([("type".to_owned(), Value::from("text")), ("text".to_owned(), Value::from(text))])
    };
    let mut written = match &part.content {
        Content::Text(words) => text(words),
        Content::UserText => text(&request.user_text),
        Content::LastAnswer => text(&request.last_answer()),
        Content::Media(index) => {
            let media = request.turn_media().nth(*index).ok_or(ComposeError::NoSuchMedia(*index))?;
            serde_json::from_slice(&json::mended(request.bytes(&media.range)))
                .map_err(|error| ComposeError::Body(error.to_string()))?
        }
    };
    if let Some(fields) = &part.fields {
        written.extend(object(fields, "part fields")?);
    }
    Ok(written)
}

fn object(text: &str, what: &'static str) -> Result<Map<String, Value>, ComposeError> {
    serde_json::from_str(text).map_err(|_| ComposeError::NotAnObject(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::prompt::{Message, Role};

    fn read(body: &str) -> Request {
        Request::read(Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    fn text(composed: &Composed) -> String {
        String::from_utf8(composed.body.concat()).unwrap()
    }

    #[test]
    fn only_the_model_changes() {
        let cases = [
            (
                r#"{ "model" : "auto","messages":[ ] , "x":1.0}"#,
                r#"{ "model" : "a/b","messages":[ ] , "x":1.0}"#,
            ),
            (r#"{"messages":[],"model":null}"#, r#"{"messages":[],"model":"a/b"}"#),
            (r#"{"messages":[]}"#, r#"{"model":"a/b","messages":[]}"#),
            (
                r#"{"model":1,"messages":[],"mode\u006c":2}"#,
                r#"{"model":"a/b","messages":[],"mode\u006c":"a/b"}"#,
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(text(&forward(&read(body), "a/b", |_| true)), expected);
        }
    }

    #[test]
    fn earlier_media_become_placeholders_and_this_turns_stay() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"A"}}]},{"role":"assistant","content":"x"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"B"}}]}]}"#;
        let request = read(body);
        let all = text(&forward(&request, "m", |_| false));
        assert!(all.contains("[image from this turn, not shown") && !all.contains(r#"{"url":"B"}"#), "{all}");
        let composed = forward(&request, "m", |part| !request.is_earlier(part));
        assert_eq!(composed.placeholders, 1);
        let text = text(&composed);
        assert!(
            text.contains(
                r#"[{"text":"[image from an earlier turn, not shown to this model]","type":"text"}]"#
            ) || text.contains(
                r#"[{"type":"text","text":"[image from an earlier turn, not shown to this model]"}]"#
            ),
            "{text}"
        );
        assert!(text.contains(r#"{"url":"B"}"#) && !text.contains(r#"{"url":"A"}"#));
    }

    #[test]
    fn a_prompt_stands_in_for_the_conversation() {
        let body = r#"{"model":"auto","messages":[{"role":"system","content":"long"},{"role":"user","content":[{"type":"text","text":"translate"},{"type":"image_url","image_url":{"url":"A"}}]}],"tools":[{}],"tool_choice":"auto","stream_options":{"include_usage":true}}"#;
        let prompt = Prompt {
            messages: vec![Message {
                role: Role::User,
                parts: vec![Part {
                    content: Content::Media(0),
                    fields: Some(r#"{"source_lang_code":"de","target_lang_code":"en"}"#.to_owned()),
                }],
            }],
            keep_tools: false,
        };
        let patch = r#"{"temperature":0,"stream_options":null}"#;
        let composed = recast(&read(body), "g", Some(&prompt), [patch], |_| true).unwrap();
        let value: Value = serde_json::from_str(&text(&composed)).unwrap();
        let expected = json!({"model":"g","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"A"},
            "source_lang_code":"de","target_lang_code":"en"}]}],"temperature":0});
        assert_eq!(value, expected);
    }

    #[test]
    fn half_an_emoji_does_not_stop_a_skill() {
        let body = r#"{"model":"auto","messages":[{"role":"user","content":[{"type":"text","text":"look \ud83d"},{"type":"image_url","image_url":{"url":"A","detail":"\ud83d"}}]}],"seed":12345678901234567890123,"user":"\ud83d"}"#;
        let patched = recast(&read(body), "g", None, [r#"{"temperature":0}"#], |_| true).unwrap();
        let expected =
            body.replace("auto", "g").replace(r#""user":"\ud83d"}"#, r#""user":"\ud83d","temperature":0}"#);
        assert_eq!(text(&patched), expected);
        let prompt = Prompt {
            messages: vec![Message {
                role: Role::User,
                parts: [Content::UserText, Content::Media(0)]
                    .map(|content| Part { content, fields: None })
                    .to_vec(),
            }],
            keep_tools: false,
        };
        let composed = recast(&read(body), "g", Some(&prompt), [], |_| true).unwrap();
        let value: Map<String, Value> =
            serde_json::from_str(&text(&composed).replace(r"\ud83d", "")).unwrap();
        assert_eq!(value["messages"][0]["content"][0]["text"], "look \u{fffd}");
        assert_eq!(value["messages"][0]["content"][1]["image_url"]["detail"], "\u{fffd}");
        assert!(text(&composed).contains(r#""seed":12345678901234567890123,"user":"\ud83d""#));
    }

    #[test]
    fn plain_words_are_a_plain_string() {
        let prompt = |content| Prompt {
            messages: vec![Message { role: Role::User, parts: vec![Part { content, fields: None }] }],
            keep_tools: true,
        };
        let body = r#"{"messages":[{"role":"assistant","content":"said"},{"role":"user","content":"asked"}],"tools":[]}"#;
        for (content, expected) in [
            (Content::Text("own".to_owned()), "own"),
            (Content::UserText, "asked"),
            (Content::LastAnswer, "said"),
        ] {
            let composed = recast(&read(body), "g", Some(&prompt(content)), [], |_| true).unwrap();
            let value: Value = serde_json::from_str(&text(&composed)).unwrap();
            assert_eq!(value["messages"], json!([{"role":"user","content":expected}]));
            assert_eq!(value["tools"], json!([]));
        }
        let missing = recast(&read(body), "g", Some(&prompt(Content::Media(0))), [], |_| true);
        assert_eq!(missing.unwrap_err(), ComposeError::NoSuchMedia(0));
    }
}
