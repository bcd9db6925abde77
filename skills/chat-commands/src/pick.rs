//! `model`: which model this conversation uses and why, and picking another.
//!
//! What is said follows from what the host answers; nothing is remembered here. A name means what the host's own search
//! finds, so that it means the same everywhere.

use pointsman_sdk::{Error, Model, Turn, models, sessions};

use crate::command::Prefix;
use crate::list::converses;
use crate::markdown::{code, sentence};

/// Names proposed in place of one that means nothing.
const PROPOSALS_MAX: usize = 5;

/// The name that picks no model.
const DEFAULT: &str = "default";

/// The virtual model: the session's default.
const AUTO: &str = "auto";

/// Why a conversation uses a model that nobody picked in it.
#[derive(Debug, PartialEq, Eq)]
enum Because {
    /// The client asks for it.
    Named,
    /// A person picked it, and not by way of this conversation's own pick.
    Pinned,
    /// The client asks for another one.
    Held,
    /// Nobody asked for anything.
    Default,
}

/// Which model this conversation uses, why, and how to change it.
pub(crate) fn show(turn: &Turn, prefix: &Prefix<'_>) -> String {
    let change =
        format!("Change it with {}; {} lists them.", prefix.write("model ID"), prefix.write("models"));
    let current = turn.current_model.as_str();
    let Some(picked) = sessions::model(&turn.session) else {
        return match current {
            "" => format!("No model: no provider has a language model now. {change}"),
            _ => format!("This conversation uses {}{}. {change}", code(current), because(turn).words()),
        };
    };
    let stays = format!("stays until {}", prefix.write("model default"));
    if current.is_empty() || current == picked || models::find(&picked).is_some() {
        return format!("This conversation uses {}: it was picked, and {stays}. {change}", code(&picked));
    }
    let (picked, current) = (code(&picked), code(current));
    format!(
        "{picked} was picked, but no provider has it now: requests go to {current}. The pick {stays}. {change}"
    )
}

/// Picks the model that the name means, or none for `default`.
pub(crate) fn set(name: &str, turn: &Turn, prefix: &Prefix<'_>) -> String {
    if name.eq_ignore_ascii_case(DEFAULT) {
        return unset(turn, prefix);
    }
    let Some(model) = models::find(name) else {
        let instead = closest(name).unwrap_or_else(|| format!("{} lists them.", prefix.write("models")));
        return format!("No model {}; nothing was changed. {instead}", code(name));
    };
    if !converses(&model) {
        return refused(name, &model);
    }
    let before = sessions::model(&turn.session);
    if let Err(error) = sessions::set_model(&turn.session, Some(&model.id)) {
        return failed(&error);
    }
    let since = if before.as_deref() == Some(model.id.as_str()) { "already" } else { "from now on" };
    let (id, stays) = (code(&model.id), prefix.write("model default"));
    format!("This conversation uses {id} {since}; it stays until {stays}.{}", loading(&model))
}

fn unset(turn: &Turn, prefix: &Prefix<'_>) -> String {
    let before = sessions::model(&turn.session);
    match (sessions::set_model(&turn.session, None), before) {
        (Err(error), _) => failed(&error),
        (Ok(()), Some(picked)) => format!(
            "This conversation is back to its default; {} is no longer picked. {} says which it is.",
            code(&picked),
            prefix.write("model")
        ),
        (Ok(()), None) => "No model was picked: this conversation uses its default already.".to_owned(),
    }
}

fn failed(error: &Error) -> String {
    format!("The model was not changed: {}.", sentence(&error.message))
}

/// What a model that is not in memory means for the next message.
fn loading(model: &Model) -> String {
    if !model.local || !model.instances.is_empty() {
        return String::new();
    }
    let took = model.load_seconds.map(|seconds| format!("; last time that took {:.0} s", seconds.max(1.0)));
    format!(" It is not in memory: the next message loads it{}.", took.unwrap_or_default())
}

/// A model that only measures texts cannot answer.
fn refused(name: &str, model: &Model) -> String {
    let kind = if model.kind == "embedding" { "embedding".to_owned() } else { code(&model.kind) };
    let instead = closest(name).map(|names| format!(" {names}")).unwrap_or_default();
    format!(
        "{} is of kind {kind} and answers no conversations; nothing was changed.{instead}",
        code(&model.id)
    )
}

/// The language models whose names contain what was written, the closest first: of those it makes up the most.
fn closest(name: &str) -> Option<String> {
    let wanted = name.to_lowercase();
    let contains = |model: &Model| {
        model.id.to_lowercase().contains(&wanted) || model.display_name.to_lowercase().contains(&wanted)
    };
    let mut found = models::all();
    found.retain(|model| converses(model) && contains(model));
    found.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
    let names: Vec<_> = found.iter().take(PROPOSALS_MAX).map(|model| code(&model.id)).collect();
    (!names.is_empty()).then(|| format!("Close to it: {}.", names.join(", ")))
}

/// Why the turn's current model is what it is, where this conversation has none of its own.
fn because(turn: &Turn) -> Because {
    let current = models::find(&turn.current_model);
    match (requested(turn), current) {
        (Some(asked), Some(current)) if asked.key.eq_ignore_ascii_case(&current.key) => Because::Named,
        _ if turn.pinned => Because::Pinned,
        (Some(_), Some(_)) => Because::Held,
        _ => Because::Default,
    }
}

/// The model that the client asked for, where it asked for one that there is.
fn requested(turn: &Turn) -> Option<Model> {
    let name = turn.requested_model.trim();
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.is_empty() || last.eq_ignore_ascii_case(AUTO) { None } else { models::find(name) }
}

// === impl Because ===

impl Because {
    /// Goes on after the model's name.
    fn words(&self) -> &'static str {
        match self {
            Self::Named => ", the default here: the client asks for it",
            Self::Pinned => ": a person picked it, here or for every conversation",
            Self::Held => ": a skill's route holds it there",
            Self::Default => ", the default: none was picked",
        }
    }
}
