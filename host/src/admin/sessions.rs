//! `sessions` and `use`: the conversations, and which model people want in them.

use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::answer::{self, Failure};
use super::{Admin, Shared, view};
use crate::id::{ModelId, SessionKey};
use crate::session::table::{Shown, Table};

/// What people pick, changed so that it lasts: at the call, and on disk when the future resolves.
pub trait Picks: Send + Sync {
    /// A model for a conversation, or for all; none returns to the default.
    fn pick(&self, session: Option<&SessionKey>, model: Option<ModelId>) -> BoxFuture<'static, ()>;

    /// Forgets a conversation, with its pick. Says whether there was one.
    fn reset(&self, session: &SessionKey) -> BoxFuture<'static, bool>;
}

/// The routes, relative to the API's own.
pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/sessions", get(list))
        .route("/sessions/{key}", get(show).delete(reset))
        .route("/use", post(pick))
}

async fn list(State(admin): Shared) -> Response {
    let now = Instant::now().into_std();
    let (shown, picked_for_all) = admin.with_sessions(|table| {
        let for_all =
            table.picks().find(|(session, _)| session.is_none()).map(|(_, model)| model.to_string());
        (table.shown(now), for_all)
    });
    let sessions = shown.iter().map(|it| admin.session(it)).collect();
    answer::json(&view::Sessions { picked_for_all, sessions })
}

async fn show(State(admin): Shared, Path(key): Path<String>) -> Response {
    let now = Instant::now().into_std();
    let shown = admin.with_sessions(|table| table.shown(now));
    match shown.iter().find(|it| it.session.as_str() == key) {
        Some(shown) => answer::json(&admin.session(shown)),
        None => Failure::no_such_session(&key).respond(),
    }
}

async fn reset(State(admin): Shared, Path(key): Path<String>) -> Response {
    if admin.picks.reset(&SessionKey::new(key.as_str())).await {
        answer::json(&view::Reset { reset: key })
    } else {
        Failure::no_such_session(&key).respond()
    }
}

async fn pick(State(admin): Shared, body: Bytes) -> Response {
    let picked = match answer::read(&body) {
        Ok(order) => admin.pick(order).await,
        Err(failure) => Err(failure),
    };
    picked.map_or_else(Failure::respond, |used| answer::json(&used))
}

// === impl Admin ===

impl Admin {
    async fn pick(&self, order: view::UseOrder) -> Result<view::Used, Failure> {
        let view::UseOrder { model, session } = order;
        let directory = self.directory();
        let unknown = |name: &str| Failure::unknown_model(name, &directory.named());
        let find = |name: &String| Ok(directory.find(name).ok_or_else(|| unknown(name))?.id.clone());
        let model = model.as_ref().map(find).transpose()?;
        let key = session.as_deref().map(SessionKey::new);
        self.picks.pick(key.as_ref(), model.clone()).await;
        Ok(view::Used { model: model.map(|model| model.to_string()), session })
    }

    fn session(&self, shown: &Shown) -> view::Session {
        let last = self.gateway.ring.last_served(shown.session.as_str());
        view::Session::of(shown, last.as_deref())
    }

    fn with_sessions<T>(&self, look: impl FnOnce(&Table) -> T) -> T {
        look(&self.gateway.sessions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
