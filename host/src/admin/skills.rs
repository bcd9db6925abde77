//! `skills`: what there is, what a component would be, installing, changing, removing, trying, and whose signatures count.
//!
//! Some routes take a component as their body, bounded by what a component may be; a signature comes beside it in a header.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
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

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

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

async fn look(
    State(admin): Shared,
    pairs: Pairs,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let offer = match Terms::read(pairs).and_then(|terms| terms.offer(None, &headers, body)) {
        Ok(offer) => offer,
        Err(failure) => return failure.respond(),
    };
    answered(admin.keeper().look(offer).await)
}

async fn install(
    State(admin): Shared,
    Path(name): Path<String>,
    pairs: Pairs,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let offer = match Terms::read(pairs).and_then(|terms| terms.offer(Some(name), &headers, body)) {
        Ok(offer) => offer,
        Err(failure) => return failure.respond(),
    };
    answered(admin.keeper().install(offer).await)
}

async fn shadow(
    State(admin): Shared,
    Path(name): Path<String>,
    pairs: Pairs,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let offer = match Terms::read(pairs).and_then(|terms| terms.offer(Some(name), &headers, body)) {
        Ok(offer) => offer,
        Err(failure) => return failure.respond(),
    };
    answered(admin.keeper().shadow(offer).await)
}

async fn shadows(State(admin): Shared) -> Response {
    answer::json(&admin.keeper().shadows())
}

async fn end_shadow(State(admin): Shared, Path(name): Path<String>) -> Response {
    answered(admin.keeper().end_shadow(&SkillName::new(name)).await)
}

async fn replay(
    State(admin): Shared,
    Path(name): Path<String>,
    pairs: Pairs,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let read = Terms::read(pairs).and_then(|terms| {
        let since_ms = terms.since_ms;
        Ok((terms.offer(Some(name), &headers, body)?, since_ms))
    });
    match read {
        Ok((offer, since_ms)) => answered(admin.keeper().replay(offer, since_ms).await),
        Err(failure) => failure.respond(),
    }
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

// === impl Terms ===

impl Terms {
    fn read(pairs: Pairs) -> Result<Self, Failure> {
        let Query(pairs) = pairs.map_err(|rejection| Failure::bad_query(&rejection.body_text()))?;
        let mut terms = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "name" => terms.name = Some(value),
                "source" => terms.source = Some(value),
                "grant" => {
                    terms
                        .grants
                        .push(value.parse().map_err(|error| Failure::bad_query(&format!("{error}")))?);
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

    fn offer(
        self,
        name: Option<String>,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Offer, Failure> {
        let missing =
            || Failure::bad_query("the parameter `name` is missing: the name it is to be installed under");
        let name = name.or(self.name).ok_or_else(missing)?;
        let signature = headers.get(SIGNATURE_HEADER).map(|value| signature(value.as_bytes())).transpose()?;
        let body =
            body.map_err(|rejection| Failure::no_component(rejection.status(), &rejection.body_text()))?;
        Ok(Offer {
            name: SkillName::new(name),
            wasm: body,
            source: self.source.unwrap_or_else(|| "the admin API".to_owned()),
            signature,
            grants: self.grants,
            force: self.force,
            approve: self.approve,
        })
    }
}

fn is_yes(key: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "true" => Ok(true),
        "" | "false" => Ok(false),
        _ => Err(Failure::bad_query(&format!("`{key}` is `true` or `false`"))),
    }
}

fn signature(header: &[u8]) -> Result<Signature, Failure> {
    let text = STANDARD.decode(header).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let wrong = |reason: &str| Failure::bad_query(&format!("the header `{SIGNATURE_HEADER}`: {reason}"));
    let text = text.ok_or_else(|| wrong("it is no text in base64"))?;
    text.parse().map_err(|reason: String| wrong(&reason))
}
