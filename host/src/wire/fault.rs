//! Errors in and out: the one place that turns an [`Error`] into a protocol's body, and the one place that reads the many
//! shapes in which model servers report theirs.
//!
//! Sources: LM Studio answers in five shapes (an object with the native types, one with OpenAI's, a bare string also with
//! status 200, an SSE event named `error`, an HTML page); llama-server's router, whose model's process has gone, in a bare
//! line of text. OpenClaw and opencode retry an in-stream error only where its
//! type says `server_error`, and a 503 only where its type is not `invalid_request_error`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use serde_json::{Value, json};

use crate::error::{Error, Fault};

/// What an upstream's refusal means for the attempt that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The instance is not there (any more): load it again, or try the next model.
    Gone,
    /// The prompt is longer than the context that the model was loaded with.
    ContextOverflow,
    /// Anything else.
    Other,
}

/// What llama-server's router says, as text and with status 500, when it cannot reach a model's process or loses it.
const PROXY_ERROR: &str = "proxy error:";

/// Texts that say that the instance is gone, as LM Studio words them (its status is 400 for all of them), and as a router
/// of llama-server does: its model's process is lost, or not there and not to be started for a request.
const GONE: [&str; 11] = [
    "Model unloaded",
    "Model is unloaded",
    "unloaded or crashed",
    "No models loaded",
    "Invalid model identifier",
    "Multiple models are loaded",
    "has crashed",
    "Operation canceled",
    "startup was aborted",
    PROXY_ERROR,
    "model is not loaded",
];

/// Texts that say that the prompt does not fit.
const OVERFLOW: [&str; 4] = [
    "does not fit in context length",
    "greater than the context length",
    "context the overflows",
    "exceeds the available context size",
];

/// Bytes of a provider's message that are passed on; some repeat the whole prompt.
const MESSAGE_BYTES_MAX: usize = 2048;

/// The longest wait that is passed on; clients give up on longer ones or take them literally.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// An error as the body of an OpenAI answer.
pub fn openai_body(error: &Error) -> Bytes {
    Bytes::from(openai(error).to_string())
}

/// An error inside an OpenAI stream, and the stream's terminator.
pub fn openai_frames(error: &Error) -> Bytes {
    Bytes::from(format!("data: {}\n\ndata: [DONE]\n\n", openai(error)))
}

fn openai(error: &Error) -> Value {
    json!({"error": {
        "message": error.message,
        "type": openai_type(error.status),
        "param": null,
        "code": error.code,
        "source": error.fault.as_str(),
    }})
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// The message in a provider's error body of any shape; none where the text is no error.
pub fn message_in(body: &[u8]) -> Option<String> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        if text.starts_with(PROXY_ERROR) {
            return Some(bounded(text));
        }
        return text.starts_with('<').then(|| "the provider answered with an HTML page".to_owned());
    };
    let error = value.get("error").filter(|error| !error.is_null())?;
    let message = error.as_str().or_else(|| error.get("message").and_then(Value::as_str));
    Some(message.map_or_else(|| bounded(&error.to_string()), bounded))
}

fn bounded(message: &str) -> String {
    if message.len() <= MESSAGE_BYTES_MAX {
        return message.to_owned();
    }
    let kept = message.get(..message.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default();
    format!("{kept}…")
}

/// What a provider's `Retry-After` says, where it says it in seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// What a provider's error text means.
pub fn class(message: &str) -> Class {
    if GONE.iter().any(|text| message.contains(text)) {
        Class::Gone
    } else if OVERFLOW.iter().any(|text| message.contains(text)) {
        Class::ContextOverflow
    } else {
        Class::Other
    }
}

/// A provider's failure as the client is told of it. Who has the answer's headers adds what [`retry_after`] finds there.
pub fn provider(status: u16, message: &str) -> Error {
    if class(message) == Class::ContextOverflow {
        let message = format!("the model's context length is exceeded: {message}");
        return Error::new(Fault::Provider, 400, "context_length_exceeded", message);
    }
    let status = if (400..600).contains(&status) && status != 401 { status } else { 502 };
    Error::new(Fault::Provider, status, "provider_error", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_gives_its_message() {
        let cases: [(&str, Option<&str>); 8] = [
            (r#"{"error":{"message":"a","type":"invalid_request"}}"#, Some("a")),
            (r#"{"error":"b"}"#, Some("b")),
            (r#"{"type":"error","error":{"type":"api_error","message":"c"}}"#, Some("c")),
            (r#"{"error":{"odd":1}}"#, Some(r#"{"odd":1}"#)),
            ("<!DOCTYPE html>", Some("the provider answered with an HTML page")),
            (r#"{"choices":[]}"#, None),
            (r#"{"error":null}"#, None),
            (r#"{"error":{"message":null}}"#, Some(r#"{"message":null}"#)),
        ];
        for (body, message) in cases {
            assert_eq!(message_in(body.as_bytes()).as_deref(), message, "{body}");
        }
        let endless = format!(r#"{{"error":"x{}"}}"#, "ü".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(message_in(endless.as_bytes()).unwrap().len(), MESSAGE_BYTES_MAX - 1 + "…".len());
    }

    #[test]
    fn a_lost_process_of_a_router_is_a_gone_instance() {
        for cause in ["Failed to read connection", "Could not establish connection"] {
            let message = message_in(format!("proxy error: {cause}\n").as_bytes()).unwrap();
            assert_eq!(message, format!("proxy error: {cause}"));
            assert_eq!(class(&message), Class::Gone);
        }
        let refused =
            r#"{"error":{"code":400,"message":"model is not loaded","type":"invalid_request_error"}}"#;
        assert_eq!(class(&message_in(refused.as_bytes()).unwrap()), Class::Gone);
        assert_eq!(message_in(b"the proxy error: of somebody's prose"), None);
        let unknown = "Model with instance identifier 'x' is not loaded.";
        assert_eq!(class(unknown), Class::Other);
    }

    #[test]
    fn waits_are_passed_on() {
        let cases = [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("999999", Some(3600)),
            ("Fri, 20 Nov 2026 04:43:00 GMT", None),
            ("-1", None),
        ];
        for (value, seconds) in cases {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
        assert!(provider(503, "busy").retry_after.is_some() && provider(500, "broken").retry_after.is_none());
    }

    #[test]
    fn an_unreadable_message_is_still_an_error() {
        assert_eq!(message_in(b"{\"error\":true}").as_deref(), Some("true"));
    }

    #[test]
    fn an_error_says_whose_fault_it_is() {
        let error = Error::new(Fault::Provider, 503, "provider_down", "LM Studio does not answer");
        let body: Value = serde_json::from_slice(&openai_body(&error)).unwrap();
        assert_eq!(body["error"]["type"], "server_error");
        assert_eq!(body["error"]["source"], "provider");
        let frames = openai_frames(&error);
        assert!(frames.starts_with(b"data: {\"error\"") && frames.ends_with(b"\n\ndata: [DONE]\n\n"));
    }

    #[test]
    fn a_providers_401_is_never_the_clients() {
        assert_eq!(provider(401, "An LM Studio API token is required").status, 502);
        assert_eq!(provider(400, "Input does not fit in context length.").code, "context_length_exceeded");
        assert_eq!(class("Invalid model identifier \"x\"."), Class::Gone);
    }
}
