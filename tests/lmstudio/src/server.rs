//! From a request to the part of the API that answers it: routes and faults at the door.
//!
//! The emulated surface is one fallback with a table of its own, because the real server answers wrong paths and wrong
//! methods in the same way; only `/emulator/…`, which the real one does not have, is routed by the framework.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Extension, Router};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::access::{unauthorized, wants_token, wrong_media_type};
use crate::chat::Surface;
use crate::config::Server;
use crate::exchange::Exchange;
use crate::fault::{Kind, Met, Route, Stage};
use crate::listener::{Link, Turn};
use crate::reply::{NativeError, Reply, status};
use crate::shared::Shared;
use crate::{chat, control, embeddings, native, v0};

/// Where the native API is, from version 0.4 on.
const NATIVE_V1: &str = "/api/v1/";

/// Where the list of version 0 is.
const V0_LIST: &str = "/api/v0/models";

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
    let route = route_of(&parts, &shared.server());
    let turn = link.take_turn();
    let Ok(body) = to_bytes(body, shared.config.body_bytes_max).await else {
        let exchange = Exchange::open(shared, route, &parts, &Bytes::new());
        return exchange
            .reply(Reply::string_error(StatusCode::PAYLOAD_TOO_LARGE, "request entity too large"));
    };
    let exchange = Exchange::open(shared, route, &parts, &body);
    match at_the_door(&exchange, turn, &body).await {
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

async fn at_the_door(exchange: &Exchange, turn: Turn, body: &Bytes) -> Door {
    let armed = |stage| exchange.shared.locked(|hub| hub.faults.has(stage));
    let stale = turn == Turn::Later && armed(Stage::Reused);
    if !stale && !armed(Stage::Front) {
        return Door::Open;
    }
    let about: About = serde_json::from_slice(body).unwrap_or_default();
    let name = about.model.or(about.instance_id).unwrap_or_default();
    if stale && exchange.meet(Stage::Reused, &[&name]).is_some() {
        return Door::Reset;
    }
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
        Kind::Unauthorized => Door::Reply(wants_token()),
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
    if let Some(surface) = Surface::of(exchange.route) {
        return chat::complete(exchange, body, surface).await;
    }
    let path = parts.uri.path();
    let reply = match exchange.route {
        Route::List => native::list(&exchange),
        Route::Load => native::load(&exchange, &body).await,
        Route::Unload => native::unload(&exchange, &body).await,
        Route::Download => native::download(&exchange, &body),
        Route::DownloadStatus => native::download_status(&exchange, path),
        Route::Models => chat::models(&exchange),
        Route::V0Models if path == V0_LIST => v0::list(&exchange),
        Route::V0Models => v0::one(&exchange, path),
        Route::NativeChat => return native::chat(exchange, &body).await,
        Route::Embeddings | Route::V0Embeddings => return embeddings::embed(exchange, &body).await,
        _ => no_such_route(&server, parts),
    };
    exchange.reply(reply)
}

fn route_of(parts: &Parts, server: &Server) -> Route {
    let path = parts.uri.path();
    if path.starts_with(NATIVE_V1) && !server.native_v1 {
        return Route::Other;
    }
    match (&parts.method, path) {
        (&Method::GET, "/api/v1/models") => Route::List,
        (&Method::POST, "/api/v1/models/load") => Route::Load,
        (&Method::POST, "/api/v1/models/unload") => Route::Unload,
        (&Method::POST, "/api/v1/models/download") => Route::Download,
        (&Method::GET, path) if path.starts_with(native::STATUS) => Route::DownloadStatus,
        (&Method::POST, "/api/v1/chat") => Route::NativeChat,
        (&Method::GET, V0_LIST) => Route::V0Models,
        (&Method::GET, path) if path.starts_with(v0::ONE) => Route::V0Models,
        (&Method::POST, "/api/v0/chat/completions") => Route::V0Chat,
        (&Method::POST, "/api/v0/completions") => Route::V0Completions,
        (&Method::POST, "/api/v0/embeddings") => Route::V0Embeddings,
        (&Method::GET, "/v1/models") => Route::Models,
        // Without CORS the real server takes a preflight for an ordinary request.
        (&Method::POST | &Method::OPTIONS, "/v1/chat/completions") => Route::Chat,
        (&Method::POST, "/v1/completions") => Route::Completions,
        (&Method::POST, "/v1/embeddings") => Route::Embeddings,
        (&Method::GET, "/lmstudio-greeting") => Route::Greeting,
        _ => Route::Other,
    }
}

fn no_such_route(server: &Server, parts: &Parts) -> Reply {
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let native = server.native_v1 && parts.uri.path().starts_with(NATIVE_V1);
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
