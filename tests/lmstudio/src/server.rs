//! From a request to the part of the API that answers it: routes, faults at the door, tokens, media types.
//!
//! The emulated surface is one fallback with a table of its own, because the real server answers wrong paths and wrong
//! methods in the same way; only `/emulator/…`, which the real one does not have, is routed by the framework.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Extension, Router};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::config::Server;
use crate::exchange::Exchange;
use crate::fault::{Kind, Met, Route, Stage};
use crate::listener::Link;
use crate::reply::{NativeError, Reply, compact, status};
use crate::shared::Shared;
use crate::{chat, control, native};

/// What each connection is served by.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    control::router().fallback(serve).with_state(shared)
}

/// Just enough of a body to know which model it is about.
#[derive(Debug, Default, Deserialize)]
struct About {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    instance_id: Option<String>,
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    Extension(link): Extension<Link>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let route = route_of(&parts);
    let Ok(body) = to_bytes(body, shared.config.body_bytes_max).await else {
        let exchange = Exchange::open(shared, route, &parts, &Bytes::new());
        return exchange
            .reply(Reply::string_error(StatusCode::PAYLOAD_TOO_LARGE, "request entity too large"));
    };
    let exchange = Exchange::open(shared, route, &parts, &body);
    match at_the_door(&exchange, &body).await {
        Door::Open => answer(exchange, &parts, body).await,
        Door::Reset => exchange.reset(&link).await,
        Door::Reply(reply) => exchange.reply(reply),
    }
}

/// What a fault before everything else leaves to be done.
enum Door {
    Open,
    Reset,
    Reply(Reply),
}

async fn at_the_door(exchange: &Exchange, body: &Bytes) -> Door {
    if !exchange.shared.locked(|hub| hub.faults.has(Stage::Front)) {
        return Door::Open;
    }
    let about: About = serde_json::from_slice(body).unwrap_or_default();
    let name = about.model.or(about.instance_id).unwrap_or_default();
    match exchange.meet(Stage::Front, &[&name]) {
        None => Door::Open,
        Some(met) => fault_at_the_door(exchange, met).await,
    }
}

async fn fault_at_the_door(exchange: &Exchange, mut met: Met) -> Door {
    match &met.kind {
        Kind::Html500 => Door::Reply(Reply::html_error()),
        Kind::Answer { status: number, body } => Door::Reply(Reply::raw(status(*number), body.clone())),
        Kind::Reset => Door::Reset,
        Kind::StringError { message } => Door::Reply(Reply::string_error(StatusCode::OK, message)),
        _ => {
            exchange.hold(&mut met).await;
            Door::Open
        }
    }
}

async fn answer(exchange: Exchange, parts: &Parts, body: Bytes) -> Response {
    let server = exchange.shared.server();
    if exchange.route == Route::Greeting {
        return exchange.reply(Reply::raw(StatusCode::OK, "{\"lmstudio\":true}"));
    }
    if server.cors && parts.method == Method::OPTIONS {
        return exchange.reply(Reply::empty(StatusCode::NO_CONTENT));
    }
    if let Some(refusal) = unauthorized(&server, parts).or_else(|| wrong_media_type(parts)) {
        return exchange.reply(refusal);
    }
    match exchange.route {
        Route::List => {
            let reply = native::list(&exchange);
            exchange.reply(reply)
        }
        Route::Load => {
            let reply = native::load(&exchange, &body).await;
            exchange.reply(reply)
        }
        Route::Unload => {
            let reply = native::unload(&exchange, &body).await;
            exchange.reply(reply)
        }
        Route::Models => {
            let reply = chat::models(&exchange);
            exchange.reply(reply)
        }
        Route::Chat => chat::complete(exchange, body).await,
        Route::Greeting | Route::Other => {
            let reply = no_such_route(&server, parts);
            exchange.reply(reply)
        }
    }
}

fn route_of(parts: &Parts) -> Route {
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/api/v1/models") => Route::List,
        (&Method::POST, "/api/v1/models/load") => Route::Load,
        (&Method::POST, "/api/v1/models/unload") => Route::Unload,
        (&Method::GET, "/v1/models") => Route::Models,
        // Without CORS the real server takes a preflight for an ordinary request.
        (&Method::POST | &Method::OPTIONS, "/v1/chat/completions") => Route::Chat,
        (&Method::GET, "/lmstudio-greeting") => Route::Greeting,
        _ => Route::Other,
    }
}

/// The real one's refusal of a request without a valid token. That of a wrong token is a guess: the same.
fn unauthorized(server: &Server, parts: &Parts) -> Option<Reply> {
    if server.auth_tokens.is_empty() {
        return None;
    }
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    if token.is_some_and(|token| server.auth_tokens.iter().any(|it| it == token)) {
        return None;
    }
    #[derive(serde::Serialize)]
    struct Refusal<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        code: &'a str,
        message: &'a str,
    }
    #[derive(serde::Serialize)]
    struct Body<'a> {
        error: Refusal<'a>,
    }
    let message = "An LM Studio API token is required to make requests to this server, but none was provided using \
        the Authorization header using the 'Bearer' scheme (i.e., 'Authorization: Bearer $LM_API_TOKEN'). Learn more \
        at: https://lmstudio.ai/docs/developer/core/authentication.";
    let error = Refusal { kind: "invalid_request", code: "invalid_api_key", message };
    Some(Reply::raw(StatusCode::UNAUTHORIZED, compact(&Body { error })))
}

/// Forms are refused; anything else is taken for JSON. The text is a guess.
fn wrong_media_type(parts: &Parts) -> Option<Reply> {
    let media_type = parts.headers.get(CONTENT_TYPE)?.as_bytes();
    let multipart = media_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
    let message = "Unsupported content type. Send application/json.";
    multipart.then(|| Reply::string_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

fn no_such_route(server: &Server, parts: &Parts) -> Reply {
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let native = parts.uri.path().starts_with("/api/v1/");
    let number = if native { server.unknown_v1_route_status } else { server.unknown_route_status };
    let message = format!("Unexpected endpoint or method. ({} {path})", parts.method);
    Reply::string_error(status(number), &message)
}

/// The native API's refusal of a body that is no JSON.
pub(crate) fn broken_json() -> Reply {
    let message =
        "Invalid body: failed to parse JSON value. Please check the value to ensure it is valid JSON";
    let error = NativeError { message, kind: "invalid_request", param: None, code: Some("invalid_json") };
    Reply::native_error(StatusCode::BAD_REQUEST, &error)
}
