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

/// What is known of the models of the kind that a request needs.
#[derive(Clone, Copy)]
struct Known<'a> {
    kind: Kind,
    catalogue: &'a [Arc<Model>],
    memory: &'a Memory,
    server: &'a Server,
}

/// Resolves the `model` of a request to one of that kind. That embedding models follow the rules of language models is a
/// guess.
pub(crate) fn resolve(
    name: Option<&str>,
    kind: Kind,
    catalogue: &[Arc<Model>],
    memory: &Memory,
    server: &Server,
) -> Result<Resolved, ResolveError> {
    let known = Known { kind, catalogue, memory, server };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return unnamed(known);
    };
    if let Some(instance) = loaded_as(name, known) {
        return Ok(Resolved::Instance(instance.handle()));
    }
    let model = catalogue.iter().find(|model| model.is_called(name));
    match model {
        Some(model) if model.kind != kind => Err(ResolveError::Nothing),
        Some(model) => downloaded(name, model, known),
        None => unknown(name, known),
    }
}

/// The only loaded one, or an error that says how many there are.
fn unnamed(known: Known<'_>) -> Result<Resolved, ResolveError> {
    let mut ready = ready(known);
    match (ready.next(), ready.next()) {
        (None, _) => Err(ResolveError::Nothing),
        (Some(only), None) => Ok(Resolved::Instance(only.handle())),
        (Some(_), Some(_)) => Err(ResolveError::Several),
    }
}

/// An instance of exactly that id, then of that id whatever its case.
fn loaded_as<'a>(name: &str, known: Known<'a>) -> Option<&'a Instance> {
    let exact = loaded(known).find(|it| &*it.id == name);
    exact.or_else(|| loaded(known).find(|it| it.id.eq_ignore_ascii_case(name)))
}

/// A model that is on disk and has no instance of its own name.
fn downloaded(name: &str, model: &Arc<Model>, known: Known<'_>) -> Result<Resolved, ResolveError> {
    let of_model = |it: &&Instance| it.model.key == model.key;
    // Ready ones first; one that is loading is joined unless every request starts its own.
    let own_id = loaded(known).find(|it| *it.id == *model.key);
    let instance = own_id.or_else(|| ready(known).find(of_model)).or_else(|| loaded(known).find(of_model));
    match instance {
        Some(instance) => Ok(Resolved::Instance(instance.handle())),
        None if known.server.jit => Ok(Resolved::Load(model.clone())),
        None => unknown(name, known),
    }
}

/// The only loaded model answers for any name.
fn unknown(name: &str, known: Known<'_>) -> Result<Resolved, ResolveError> {
    let mut ready = ready(known);
    match (ready.next(), ready.next()) {
        (Some(only), None) if known.server.fallback_single_model => Ok(Resolved::Instance(only.handle())),
        (None, _) if !known.server.jit => Err(ResolveError::Nothing),
        _ => Err(ResolveError::Unknown { name: name.to_owned(), examples: examples(known) }),
    }
}

fn examples(known: Known<'_>) -> String {
    let models = known.catalogue.iter().filter(|model| model.kind == known.kind);
    let names: Vec<&str> = models
        .flat_map(|model| model.variants.first().into_iter().chain([&model.key]))
        .map(String::as_str)
        .take(EXAMPLES_MAX)
        .collect();
    names.join(", ")
}

fn loaded(known: Known<'_>) -> impl Iterator<Item = &Instance> {
    known.memory.present().filter(move |it| it.model.kind == known.kind)
}

fn ready(known: Known<'_>) -> impl Iterator<Item = &Instance> {
    loaded(known).filter(|it| it.is_ready())
}
