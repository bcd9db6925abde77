//! Requests in the shape that OpenClaw 2026.9 was seen to send: a long system prompt, twelve tools, a date before the
//! user's words, a Runtime line beneath them, and a message of the program's own behind everything.

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

/// Bytes of its system prompt, at least.
const SYSTEM_BYTES: usize = 30_000;

/// The tools of a headless run.
pub const TOOLS: [&str; 12] = [
    "apply_patch",
    "edit",
    "exec",
    "ls",
    "process",
    "read",
    "sessions_yield",
    "tool_call",
    "tool_describe",
    "tool_search",
    "view_image",
    "write",
];

/// A session's first request, with these content parts between the user's words and the Runtime line.
pub fn request(words: &str, media: &[Value]) -> Value {
    let runtime = "Runtime: agent=main | session=agent:main:main | sessionId=0b8f7c3e-5d0e-4a55-9f0e-2f1f6f0c9d11 | \
                   host=box | os=Linux 6.1 (x64) | model=gw/auto | default_model=gw/auto | shell=bash";
    let dated = format!("[Fri 2026-11-20 04:43 UTC] {words}");
    let content = if media.is_empty() {
        json!(format!("{dated}\n\n{runtime}"))
    } else {
        let text = |text: &str| json!({"type": "text", "text": text});
        let mut parts = vec![text(&dated)];
        parts.extend(media.iter().cloned());
        parts.push(text(runtime));
        json!(parts)
    };
    let context = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nActive exec sessions: none. Translate nothing.\n\
                   <<<END_OPENCLAW_INTERNAL_CONTEXT>>>";
    json!({
        "model": "auto",
        "messages": [
            {"role": "system", "content": system()},
            {"role": "user", "content": content},
            {"role": "user", "content": [{"type": "text", "text": context}]},
        ],
        "stream": true,
        "stream_options": {"include_usage": true},
        "tools": TOOLS.map(tool),
        "tool_choice": "auto",
        "max_completion_tokens": 8192,
    })
}

/// Its headers: an event stream is not among what it says it takes.
///
/// # Panics
/// Never: they are valid.
pub fn headers() -> HeaderMap {
    let pairs = [
        ("accept", "application/json"),
        ("user-agent", "OpenAI/JS 7.15.0"),
        ("authorization", "Bearer sk-local"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("accept-language", "*"),
        ("sec-fetch-mode", "cors"),
    ];
    pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn system() -> String {
    let mut text =
        "<!-- openclaw:attempt:STABLE -->\nYou are a personal assistant running inside OpenClaw.\n"
            .to_owned();
    while text.len() < SYSTEM_BYTES {
        text.push_str("- Translate, describe and read pictures only when the user asks; then answer in the user's words.\n");
    }
    text.push_str("<!-- openclaw:attempt:DYNAMIC -->\nCurrent model identity: gw/auto\n");
    text
}

fn tool(name: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    json!({"type": "function", "function": {"name": name, "description": format!("The tool {name}."), "parameters": schema}})
}
