//! The list of an LM Studio older than 0.4, version 0 of its interface: models, whether each is in memory, and with how
//! much context. Further instances of a model are entries of their own (`key:2`) and are put back to it here.

use super::super::{LISTED_MAX, Listed, Locality, Readiness, Resident, Settings};
use crate::model::Kind;
use crate::wire::lmstudio::{OldModel, OldModels};

/// The models with their instances.
pub(super) fn listed(old: &OldModels, locality: Locality) -> Vec<Listed> {
    let mut models: Vec<Listed> = Vec::new();
    let (first, further): (Vec<OldModel>, Vec<OldModel>) =
        old.entries().take(LISTED_MAX).partition(|model| base(&model.id).is_none());
    for model in first {
        models.push(of(&model, locality));
    }
    for model in further {
        let known = base(&model.id).and_then(|key| models.iter_mut().find(|listed| listed.key == key));
        match known {
            Some(listed) => listed.instances.extend(instance(&model)),
            // Somebody's name for it that only looks like a further instance.
            None => models.push(of(&model, locality)),
        }
    }
    models
}

/// The key of which this would be a further instance.
fn base(id: &str) -> Option<&str> {
    let (key, number) = id.rsplit_once(':')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(key)
}

fn of(model: &OldModel, locality: Locality) -> Listed {
    Listed {
        key: model.id.clone(),
        display_name: model.id.clone(),
        kind: if model.kind.starts_with("embedding") { Kind::Embedding } else { Kind::Language },
        vision: model.kind == "vlm",
        tool_use: model.capabilities.iter().any(|capability| capability == "tool_use"),
        reasoning: false,
        local: locality == Locality::Local,
        max_context: model.max_context_length.filter(|tokens| *tokens > 0),
        size_bytes: None,
        instances: instance(model).into_iter().collect(),
    }
}

fn instance(model: &OldModel) -> Option<Resident> {
    let readiness = match model.state.as_str() {
        "loaded" => Readiness::Ready,
        "loading" => Readiness::Loading,
        _ => return None,
    };
    let settings = Settings { context_length: model.loaded_context_length, ..Settings::default() };
    Some(Resident { readiness, settings, ..Resident::ready(&model.id) })
}

#[cfg(test)]
mod tests;
