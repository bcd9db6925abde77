//! `/v1/models`: what clients may name. The virtual model `auto` is first: the session's default, unless a skill routes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::routes::refused;
use crate::error::Error;
use crate::exchange::Gateway;
use crate::model::{Kind, Model};
use crate::route::AUTO;

/// One model as OpenAI lists it, with what local clients ask for besides.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    input_modalities: Vec<&'static str>,
    #[serde(rename = "type")]
    kind: &'static str,
    loaded: bool,
}

#[derive(Debug, Serialize)]
struct List {
    object: &'static str,
    data: Vec<Listed>,
}

/// `GET /v1/models`
pub async fn list(State(gateway): State<Arc<Gateway>>) -> Response {
    let directory = gateway.residency.directory();
    let mut data = vec![auto(directory.models())];
    data.extend(directory.models().iter().map(listed));
    Json(List { object: "list", data }).into_response()
}

/// `GET /v1/models/{id}`
pub async fn one(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>) -> Response {
    let directory = gateway.residency.directory();
    if id.eq_ignore_ascii_case(AUTO) {
        return Json(auto(directory.models())).into_response();
    }
    match directory.exact(&id) {
        Some(model) => Json(listed(model)).into_response(),
        None => refused(&Error::unknown_model(&id, "those of GET /v1/models")),
    }
}

/// It takes images, so that clients send them and a skill can route them, and the largest context there is.
fn auto(models: &[Model]) -> Listed {
    let languages = models.iter().filter(|model| model.kind == Kind::Language);
    Listed {
        id: AUTO.to_owned(),
        object: "model",
        created: 0,
        owned_by: "pointsman".to_owned(),
        context_length: languages.filter_map(|model| model.max_context).max(),
        input_modalities: vec!["text", "image"],
        kind: Kind::Language.as_str(),
        loaded: true,
    }
}

fn listed(model: &Model) -> Listed {
    Listed {
        id: model.id.key().to_owned(),
        object: "model",
        created: 0,
        owned_by: model.id.provider().to_owned(),
        context_length: model.max_context,
        input_modalities: if model.vision { vec!["text", "image"] } else { vec!["text"] },
        kind: model.kind.as_str(),
        loaded: model.is_resident(),
    }
}
