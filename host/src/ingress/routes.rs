//! Which request goes where. Chat requests take the short way to the exchange; the rest is a small axum router.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Method, Request, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use tower_service::Service;

use super::entrance::Entrance;
use super::{Config, guard, models, read};
use crate::error::{Error, Fault};
use crate::exchange::{self, Gateway, Inbound};
use crate::splice::body::ResponseBody;

/// What goes out: an exchange's own body, or axum's.
pub type Outbound = Either<ResponseBody, Body>;

/// Where requests go.
#[derive(Clone)]
pub struct Front {
    entrance: Arc<Entrance>,
    gateway: Arc<Gateway>,
    rest: Router,
}

// === impl Front ===

impl Front {
    /// The public surface, and `admin` nested at `/pointsman/v1`.
    pub fn new(entrance: Arc<Entrance>, gateway: Arc<Gateway>, admin: Router) -> Self {
        let rest = Router::new()
            .route("/", get(|| async { "pointsman\n" }))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{*id}", get(models::one))
            .with_state(gateway.clone())
            .nest("/pointsman/v1", admin)
            .fallback(not_found)
            .method_not_allowed_fallback(not_found);
        Self { entrance, gateway, rest }
    }

    /// Who may come in.
    pub(super) fn entrance(&self) -> Arc<Entrance> {
        self.entrance.clone()
    }

    /// Answers one request.
    pub async fn serve(self, request: Request<Incoming>) -> Result<http::Response<Outbound>, Infallible> {
        let config = self.entrance.config();
        let admitted = if is_open(request.uri().path()) {
            guard::approach(&config, request.headers()).map(|()| None)
        } else {
            guard::admit(&config, request.headers())
        };
        let client = match admitted {
            Ok(client) => client,
            Err(error) => return Ok(exchange::error_in_full(&error).map(Either::Left)),
        };
        if request.method() == Method::POST && request.uri().path() == "/v1/chat/completions" {
            return Ok(self.chat(&config, request, client).await.map(Either::Left));
        }
        let mut rest = self.rest;
        let Ok(response) = rest.call(request).await;
        Ok(response.map(Either::Right))
    }

    async fn chat(
        self,
        config: &Config,
        request: Request<Incoming>,
        client: Option<String>,
    ) -> http::Response<ResponseBody> {
        let (head, body) = request.into_parts();
        match read::body(config, &head.headers, body).await {
            Ok(body) => exchange::chat(&self.gateway, Inbound { headers: head.headers, body, client }).await,
            Err(error) => exchange::error_in_full(&error),
        }
    }
}

/// No client's key is asked for here: health is asked by whoever watches the machine, and the admin API has a token of
/// its own. Everything else that is checked is checked here, too.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz") || path.starts_with("/pointsman/v1/")
}

/// Ready as soon as some provider has said which models there are.
async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    if gateway.residency.directory().models().is_empty() {
        let message = "no provider has listed a model yet; `pointsman doctor` says why\n";
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    }
    "ready\n".into_response()
}

async fn not_found(request: axum::extract::Request) -> Response {
    let message = format!(
        "{} {} is not served here; POST /v1/chat/completions, GET /v1/models and GET /healthz are",
        request.method(),
        request.uri().path()
    );
    refused(&Error::new(Fault::Client, 404, "not_found", message))
}

/// An error as axum's response.
pub fn refused(error: &Error) -> Response {
    exchange::error_in_full(error).map(Body::new)
}
