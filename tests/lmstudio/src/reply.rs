//! Answers as the real server writes them: media types, indentation, entity tags, and the shapes its errors have.
//!
//! Knows nothing of models.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, ETAG,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::config::Server;

/// A whole answer, not yet bytes on a connection.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    media_type: &'static str,
    body: Bytes,
}

/// The native API's error object.
#[derive(Debug, Serialize)]
pub(crate) struct NativeError<'a> {
    pub(crate) message: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'a str>,
}

/// The OpenAI-compatible API's error object.
#[derive(Debug, Serialize)]
pub(crate) struct OpenAiError<'a> {
    pub(crate) message: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) param: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Wrapped<T> {
    error: T,
}

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// Characters of an entity tag's hash.
const TAG_CHARACTERS: usize = 27;

/// What Express sends when something throws.
const HTML_ERROR: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n\
</head>\n<body>\n<pre>Internal Server Error</pre>\n</body>\n</html>\n";

// === impl Reply ===

impl Reply {
    /// 200 and JSON indented by two spaces.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        Self::pretty(StatusCode::OK, value, b"  ")
    }

    /// The same with another status.
    pub(crate) fn json_with(status: StatusCode, value: &impl Serialize) -> Self {
        Self::pretty(status, value, b"  ")
    }

    /// Exactly this body, called JSON.
    pub(crate) fn raw(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, media_type: JSON, body: body.into() }
    }

    /// Shape C: the error is a string.
    pub(crate) fn string_error(status: StatusCode, message: &str) -> Self {
        Self::raw(status, compact(&Wrapped { error: message }))
    }

    /// Shape A.
    pub(crate) fn native_error(status: StatusCode, error: &NativeError<'_>) -> Self {
        Self::pretty(status, &Wrapped { error }, b"  ")
    }

    /// Shape B, which is indented by four spaces.
    pub(crate) fn openai_error(status: StatusCode, error: &OpenAiError<'_>) -> Self {
        Self::pretty(status, &Wrapped { error }, b"    ")
    }

    /// Shape F.
    pub(crate) fn html_error() -> Self {
        let body = Bytes::from_static(HTML_ERROR.as_bytes());
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, media_type: HTML, body }
    }

    /// No body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, media_type: JSON, body: Bytes::new() }
    }

    /// The answer with the headers every answer has.
    pub(crate) fn into_response(self, headers: HeaderMap) -> Response {
        let tag = entity_tag(&self.body);
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }

    fn pretty(status: StatusCode, value: &impl Serialize, indent: &[u8]) -> Self {
        let mut body = Vec::with_capacity(512);
        let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
        let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, formatter));
        match written {
            Ok(()) => Self::raw(status, body),
            Err(error) => Self::string_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

/// What every answer bears. `closing` is whether the client asked for the connection to be closed.
pub(crate) fn common_headers(server: &Server, closing: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(POWERED_BY, HeaderValue::from_static("Express"));
    if server.cors {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    }
    if closing {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    } else {
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        let timeout = format!("timeout={}", server.keep_alive.as_secs());
        if let Ok(timeout) = HeaderValue::try_from(timeout) {
            headers.insert(KEEP_ALIVE, timeout);
        }
    }
    headers
}

/// A stream of events.
pub(crate) fn event_stream(body: Body, mut headers: HeaderMap) -> Response {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// Without a space too many. Empty where a value cannot be written, which none of ours is.
pub(crate) fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The status, or 500 where a configured number is none.
pub(crate) fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Weak, with the length and a hash, in the form the real one has.
fn entity_tag(body: &[u8]) -> String {
    let mut hash = STANDARD_NO_PAD.encode(Sha256::digest(body));
    hash.truncate(TAG_CHARACTERS);
    format!("W/\"{:x}-{hash}\"", body.len())
}
