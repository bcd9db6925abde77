//! `skills`: what there is, what a component would be, installing, changing, removing, trying, and whose signatures count.
//!
//! Some routes take a component as their body, bounded by what a component may be; a signature comes beside it in a header.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, State};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;

use super::answer::{self, Failure};
use super::keeper::Change;
use super::{Admin, Shared, view};
use crate::grant::{Grant, ParseGrantError};
use crate::id::SkillName;
use crate::shelf::COMPONENT_BYTES_MAX;
use crate::shelf::sign::Signature;
use crate::skill::{ManageError, Offer};

/// The header with a component's signature: its file's text, in base64.
pub const SIGNATURE_HEADER: &str = "x-pointsman-signature";

/// The routes, relative to the API's own.
pub(super) fn routes() -> Router<Arc<Admin>> {
    let bytes_max = usize::try_from(COMPONENT_BYTES_MAX).unwrap_or(usize::MAX);
    let component = DefaultBodyLimit::max(bytes_max);
    Router::new()
        .route("/skills", get(list))
        .route("/skills/look", post(look).layer(component))
        .route("/skills/shadow", get(shadows))
        .route("/skills/trust", get(trusted).post(trust))
        .route("/skills/trust/{signer}", delete(untrust))
        .route("/skills/{name}", put(install).layer(component).get(show).delete(remove))
        .route("/skills/{name}/shadow", put(shadow).layer(component).delete(end_shadow))
        .route("/skills/{name}/replay", post(replay).layer(component))
        .route("/skills/{name}/{verb}", post(change))
}

async fn list(State(admin): Shared) -> Response {
    answer::json(&view::Skills { skills: admin.keeper().list().await })
}

async fn show(State(admin): Shared, Path(name): Path<String>) -> Response {
    answered(admin.keeper().show(&SkillName::new(name)).await)
}

async fn look(State(admin): Shared, component: Component) -> Response {
    component.answer(None, |offer, _| async move { admin.keeper().look(offer).await }).await
}

async fn install(State(admin): Shared, Path(name): Path<String>, component: Component) -> Response {
    component.answer(Some(name), |offer, _| async move { admin.keeper().install(offer).await }).await
}

async fn shadow(State(admin): Shared, Path(name): Path<String>, component: Component) -> Response {
    component.answer(Some(name), |offer, _| async move { admin.keeper().shadow(offer).await }).await
}

async fn shadows(State(admin): Shared) -> Response {
    answer::json(&admin.keeper().shadows())
}

async fn end_shadow(State(admin): Shared, Path(name): Path<String>) -> Response {
    answered(admin.keeper().end_shadow(&SkillName::new(name)).await)
}

async fn replay(State(admin): Shared, Path(name): Path<String>, component: Component) -> Response {
    let replay = |offer, since_ms| async move { admin.keeper().replay(offer, since_ms).await };
    component.answer(Some(name), replay).await
}

async fn change(State(admin): Shared, Path((name, verb)): Path<(String, String)>, body: Bytes) -> Response {
    let change = match verb.as_str() {
        "enable" => Ok(Change::Enable),
        "disable" => Ok(Change::Disable),
        "approve" => Ok(Change::Approve),
        "rollback" => Ok(Change::Rollback),
        "grant" => grants(&body, str::parse).map(Change::Grant),
        "revoke" => grants(&body, Grant::parse_all_of).map(Change::Revoke),
        _ => Err(Failure::no_such_path()),
    };
    match change {
        Ok(change) => answered(admin.keeper().change(&SkillName::new(name), &change).await),
        Err(failure) => failure.respond(),
    }
}

async fn remove(State(admin): Shared, Path(name): Path<String>) -> Response {
    answered(admin.keeper().remove(&SkillName::new(name)).await)
}

async fn trusted(State(admin): Shared) -> Response {
    answered(admin.keeper().trusted().await)
}

async fn trust(State(admin): Shared, body: Bytes) -> Response {
    let order: view::TrustOrder = match answer::read(&body) {
        Ok(order) => order,
        Err(failure) => return failure.respond(),
    };
    match order.key.parse() {
        Ok(key) => answered(admin.keeper().trust(&order.signer, key).await),
        Err(error) => Failure::bad_body(&format!("`key`: {error}")).respond(),
    }
}

async fn untrust(State(admin): Shared, Path(signer): Path<String>) -> Response {
    answered(admin.keeper().untrust(&signer).await)
}

fn answered(done: Result<impl Serialize, ManageError>) -> Response {
    match done {
        Ok(value) => answer::json(&value),
        Err(error) => Failure::not_managed(&error).respond(),
    }
}

fn grants(body: &[u8], parse: fn(&str) -> Result<Grant, ParseGrantError>) -> Result<Vec<Grant>, Failure> {
    let order: view::GrantOrder = answer::read(body)?;
    let parsed: Result<Vec<Grant>, _> = order.grants.iter().map(|text| parse(text)).collect();
    parsed.map_err(|error| Failure::bad_body(&error.to_string()))
}

/// A request that brings a component: what it is and what is said of it.
#[derive(FromRequest)]
struct Component {
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
}

/// What the query says of a component.
#[derive(Debug, Default)]
struct Terms {
    name: Option<String>,
    source: Option<String>,
    grants: Vec<Grant>,
    force: bool,
    approve: bool,
    since_ms: u64,
}

// === impl Component ===

impl Component {
    /// The answer to an offer of it, under the path's name or that of the query; `done` is also told since when turns are
    /// to be decided again.
    async fn answer<T, F>(self, name: Option<String>, done: impl FnOnce(Offer, u64) -> F) -> Response
    where
        T: Serialize,
        F: Future<Output = Result<T, ManageError>>,
    {
        match self.read(name) {
            Ok((offer, since_ms)) => answered(done(offer, since_ms).await),
            Err(failure) => failure.respond(),
        }
    }

    fn read(self, name: Option<String>) -> Result<(Offer, u64), Failure> {
        let Query(pairs) = self.query.map_err(|rejection| Failure::bad_query(&rejection.body_text()))?;
        let terms = Terms::read(pairs)?;
        let missing =
            || Failure::bad_query("the parameter `name` is missing: the name it is to be installed under");
        let name = name.or(terms.name).ok_or_else(missing)?;
        let signature = self.headers.get(SIGNATURE_HEADER);
        let signature = signature.map(|value| signature_in(value.as_bytes())).transpose()?;
        let no_component =
            |rejection: BytesRejection| Failure::no_component(rejection.status(), &rejection.body_text());
        let offer = Offer {
            name: SkillName::new(name),
            wasm: self.body.map_err(no_component)?,
            source: terms.source.unwrap_or_else(|| "the admin API".to_owned()),
            signature,
            grants: terms.grants,
            force: terms.force,
            approve: terms.approve,
        };
        Ok((offer, terms.since_ms))
    }
}

// === impl Terms ===

impl Terms {
    fn read(pairs: Vec<(String, String)>) -> Result<Self, Failure> {
        let mut terms = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "name" => terms.name = Some(value),
                "source" => terms.source = Some(value),
                "grant" => {
                    let grant = value.parse().map_err(|error| Failure::bad_query(&format!("{error}")))?;
                    terms.grants.push(grant);
                }
                "since_ms" => {
                    let wrong = |_| Failure::bad_query("`since_ms` is a number of milliseconds");
                    terms.since_ms = value.parse().map_err(wrong)?;
                }
                "force" => terms.force = is_yes(&key, &value)?,
                "approve" => terms.approve = is_yes(&key, &value)?,
                _ => return Err(Failure::bad_query(&format!("there is no parameter `{key}` here"))),
            }
        }
        Ok(terms)
    }
}

fn is_yes(key: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "true" => Ok(true),
        "" | "false" => Ok(false),
        _ => Err(Failure::bad_query(&format!("`{key}` is `true` or `false`"))),
    }
}

fn signature_in(header: &[u8]) -> Result<Signature, Failure> {
    let text = STANDARD.decode(header).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let wrong = |reason: &str| Failure::bad_query(&format!("the header `{SIGNATURE_HEADER}`: {reason}"));
    let text = text.ok_or_else(|| wrong("it is no text in base64"))?;
    text.parse().map_err(|reason: String| wrong(&reason))
}
