//! Which instance a request's `model` means: the program's own rules, row by row, and no others.
//!
//! Pure: looks at the catalogue and the memory, changes neither.

use std::sync::Arc;

use crate::config::{Kind, Model, Server};
use crate::memory::{Handle, Instance, Memory};

/// What a name means.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// This instance, which may still be loading.
    Instance(Handle),
    /// This model has to be loaded first.
    Load(Arc<Model>),
}

/// Why a name means nothing. The words are the program's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(
        "Invalid model identifier \"{name}\". Please specify a valid downloaded model (e.g., {examples})."
    )]
    Unknown { name: String, examples: String },
    #[error("Multiple models are loaded. Please specify a model by providing a 'model' field.")]
    Several,
    #[error("No models loaded. Please load a model in the developer page or use the 'lms load' command.")]
    Nothing,
}

/// Models an error names as examples.
const EXAMPLES_MAX: usize = 3;

/// Resolves the `model` of a request to a language model.
pub(crate) fn resolve(
    name: Option<&str>,
    catalogue: &[Arc<Model>],
    memory: &Memory,
    server: &Server,
) -> Result<Resolved, ResolveError> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return unnamed(memory);
    };
    if let Some(instance) = loaded_as(name, memory) {
        return Ok(Resolved::Instance(instance.handle()));
    }
    let model = catalogue.iter().find(|model| model.is_called(name));
    match model {
        Some(model) if model.kind == Kind::Embedding => Err(ResolveError::Nothing),
        Some(model) => downloaded(name, model, catalogue, memory, server),
        None => unknown(name, catalogue, memory, server),
    }
}

/// The only loaded one, or an error that says how many there are.
fn unnamed(memory: &Memory) -> Result<Resolved, ResolveError> {
    let mut ready = ready(memory);
    match (ready.next(), ready.next()) {
        (None, _) => Err(ResolveError::Nothing),
        (Some(only), None) => Ok(Resolved::Instance(only.handle())),
        (Some(_), Some(_)) => Err(ResolveError::Several),
    }
}

/// An instance of exactly that id, then of that id whatever its case.
fn loaded_as<'a>(name: &str, memory: &'a Memory) -> Option<&'a Instance> {
    let exact = language(memory).find(|it| &*it.id == name);
    exact.or_else(|| language(memory).find(|it| it.id.eq_ignore_ascii_case(name)))
}

/// A model that is on disk and has no instance of its own name.
fn downloaded(
    name: &str,
    model: &Arc<Model>,
    catalogue: &[Arc<Model>],
    memory: &Memory,
    server: &Server,
) -> Result<Resolved, ResolveError> {
    let of_model = |it: &&Instance| it.model.key == model.key;
    // Ready ones first; one that is loading is joined unless every request starts its own.
    let own_id = language(memory).find(|it| *it.id == *model.key);
    let instance =
        own_id.or_else(|| ready(memory).find(of_model)).or_else(|| language(memory).find(of_model));
    match instance {
        Some(instance) => Ok(Resolved::Instance(instance.handle())),
        None if server.jit => Ok(Resolved::Load(model.clone())),
        None => unknown(name, catalogue, memory, server),
    }
}

/// The only loaded model answers for any name.
fn unknown(
    name: &str,
    catalogue: &[Arc<Model>],
    memory: &Memory,
    server: &Server,
) -> Result<Resolved, ResolveError> {
    let mut ready = ready(memory);
    match (ready.next(), ready.next()) {
        (Some(only), None) if server.fallback_single_model => Ok(Resolved::Instance(only.handle())),
        (None, _) if !server.jit => Err(ResolveError::Nothing),
        _ => Err(ResolveError::Unknown { name: name.to_owned(), examples: examples(catalogue) }),
    }
}

fn examples(catalogue: &[Arc<Model>]) -> String {
    let models = catalogue.iter().filter(|model| model.kind == Kind::Llm);
    let names: Vec<&str> = models
        .flat_map(|model| model.variants.first().into_iter().chain([&model.key]))
        .map(String::as_str)
        .take(EXAMPLES_MAX)
        .collect();
    names.join(", ")
}

fn language(memory: &Memory) -> impl Iterator<Item = &Instance> {
    memory.present().filter(|it| it.is_language_model())
}

fn ready(memory: &Memory) -> impl Iterator<Item = &Instance> {
    language(memory).filter(|it| it.is_ready())
}
