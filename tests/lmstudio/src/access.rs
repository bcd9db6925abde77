//! Who may ask and in what form: tokens and media types.
//!
//! The real program has one layer for all families before everything else, so there is one shape of refusal. That a
//! wrong token is told the same as a missing one is a guess, and so is that the greeting needs none.

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use serde::Serialize;

use crate::config::Server;
use crate::reply::{Reply, compact};

/// The one path where a token may stand in a header of its own.
const MESSAGES: &str = "/v1/messages";

/// The header that Anthropic's clients put it in.
const API_KEY: &str = "x-api-key";

/// The refusal of a request without a valid token; none where it has one or none is asked for.
pub(crate) fn unauthorized(server: &Server, parts: &Parts) -> Option<Reply> {
    if server.auth_tokens.is_empty() {
        return None;
    }
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let own = text(API_KEY).filter(|_| parts.uri.path().starts_with(MESSAGES));
    let valid = |token: &str| server.auth_tokens.iter().any(|it| it == token.trim());
    let known = bearer.into_iter().chain(own).any(valid);
    (!known).then(wants_token)
}

/// What a request without a token is told.
pub(crate) fn wants_token() -> Reply {
    #[derive(Serialize)]
    struct Refusal<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        code: &'a str,
        message: &'a str,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        error: Refusal<'a>,
    }
    let message = "An LM Studio API token is required to make requests to this server, but none was provided using \
        the Authorization header using the 'Bearer' scheme (i.e., 'Authorization: Bearer $LM_API_TOKEN'). Learn more \
        at: https://lmstudio.ai/docs/developer/core/authentication.";
    let error = Refusal { kind: "invalid_request", code: "invalid_api_key", message };
    Reply::raw(StatusCode::UNAUTHORIZED, compact(&Body { error }))
}

/// Forms are refused; anything else is taken for JSON. The text is a guess.
pub(crate) fn wrong_media_type(parts: &Parts) -> Option<Reply> {
    let media_type = parts.headers.get(CONTENT_TYPE)?.as_bytes();
    let multipart = media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let message = "Unsupported content type. Send application/json.";
    multipart.then(|| Reply::string_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}
