//! The request and the answers that the gateway is measured with. Their shape is an agent's, because filler text hides
//! what matters: thousands of escapes, tools with schemas, `model` as the last key. And, on paper, what sharing one slot
//! of memory should cost ([`paper`]).

pub mod paper;

use serde_json::{Value, json};

/// The model that requests name and that the stub lists.
pub const MODEL: &str = "acme/otter-8b";

/// Chunks of a streamed answer.
pub const CHUNKS: usize = 100;

/// Bytes that [`request`] comes near to.
const REQUEST_BYTES: usize = 40 * 1024;

/// Tools on offer.
const TOOLS: usize = 12;

/// A tool's output: source code, about one escape in twenty bytes.
const CODE: &str = "    let entry = self.index.get(\"path\")?;\n\tself.lock.replace(entry.id, \"held\");\n";

/// What the user says last. No skill that ships with the gateway routes it.
pub const QUESTION: &str = "The integration test for the index fails on the second run, and only when the folder was \
    emptied by hand before. Look at how the entries are written, find out why the lock is not released after an error, and \
    mend it without changing the public interface. Run the tests of that module afterwards and tell me what you changed.";

/// An agent's request of about 40 KB: a system prompt, a tool loop with outputs full of escapes, a new question.
pub fn request(stream: bool) -> Vec<u8> {
    let mut messages = vec![json!({"role": "system", "content": prose(6 * 1024)})];
    messages.push(json!({"role": "user", "content": "Find out why the build is slow."}));
    while bytes(&messages) + bytes(&tools()) < REQUEST_BYTES {
        let id = format!("call_{}", messages.len());
        let arguments = json!({"path": "src/index.rs", "offset": 10, "note": "see \"entry\""}).to_string();
        let call =
            json!({"id": id, "type": "function", "function": {"name": "read_file", "arguments": arguments}});
        messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": CODE.repeat(20)}));
    }
    messages.push(json!({"role": "assistant", "content": prose(1024)}));
    messages.push(json!({"role": "user", "content": QUESTION}));
    let request =
        json!({"messages": messages, "tools": tools(), "temperature": 0.7, "stream": stream, "model": MODEL});
    request.to_string().into_bytes()
}

/// A text in which nothing is asked.
pub fn prose(length: usize) -> String {
    let sentence =
        "The store keeps one entry for each file, and a lock that is held while an entry is replaced.\n";
    sentence.chars().cycle().take(length).collect()
}

fn tools() -> Vec<Value> {
    let tool = |index: usize| {
        json!({"type": "function", "function": {
            "name": if index == 0 { "read_file".to_owned() } else { format!("tool_{index}") },
            "description": "Does one thing to a file of the project and says what came of it.",
            "parameters": {"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
                "path": {"type": "string", "description": "Path of the file, relative to the project's root"},
                "offset": {"type": "integer", "minimum": 0, "description": "First line"},
                "mode": {"type": "string", "enum": ["text", "lines", "bytes"], "default": "text"},
                "note": {"type": "string", "description": "Why, in a few words"},
            }},
        }})
    };
    (0..TOOLS).map(tool).collect()
}

fn bytes(values: &[Value]) -> usize {
    values.iter().map(|value| value.to_string().len()).sum()
}

/// A chat completion that is not streamed.
pub fn answer() -> Vec<u8> {
    let message = json!({"role": "assistant", "content": prose(512)});
    let usage = json!({"prompt_tokens": 9000, "completion_tokens": 128, "total_tokens": 9128});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    let answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice],
        "usage": usage});
    answer.to_string().into_bytes()
}

/// The frames of a streamed chat completion: [`CHUNKS`] with text, one with the finish reason, the terminator.
pub fn frames() -> Vec<Vec<u8>> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
            "system_fingerprint": MODEL, "choices": [choice]});
        format!("data: {chunk}\n\n").into_bytes()
    };
    let mut frames: Vec<_> = (0..CHUNKS).map(|_| chunk(json!({"content": " token"}), Value::Null)).collect();
    frames.push(chunk(json!({}), json!("stop")));
    frames.push(b"data: [DONE]\n\n".to_vec());
    frames
}

/// The list of models as LM Studio's native interface gives it: one model, in memory.
pub fn models() -> Vec<u8> {
    let instance = json!({"id": MODEL, "config": {"context_length": 32768, "parallel": 64}});
    let model = json!({"type": "llm", "publisher": "acme", "key": MODEL, "display_name": "Otter 8B",
        "quantization": {"name": "Q4_K_M", "bits_per_weight": 4}, "size_bytes": 5_000_000_000_u64, "params_string": "8B",
        "loaded_instances": [instance], "max_context_length": 32768, "format": "gguf",
        "capabilities": {"vision": false, "trained_for_tool_use": true}});
    json!({"models": [model]}).to_string().into_bytes()
}
