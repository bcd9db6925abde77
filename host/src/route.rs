//! From names to models: which model a request goes to if nobody routes it, and what a skill's route means with the
//! models that are known. Pure.

use std::sync::Arc;

use crate::id::{ModelId, SkillName};
use crate::model::{Directory, Kind, Model};
use crate::turn::verdict::{self, Afterwards, Candidate, Swap};

/// The virtual model that every list names: the session's default, unless a skill routes.
pub const AUTO: &str = "auto";

/// What the configuration says of routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The model of requests that name none.
    pub model: Option<String>,
    /// Models to try, with the conversation as it is, when all else failed.
    pub fallbacks: Vec<String>,
    /// May skills route requests that name a known model? Agents always name one.
    pub route_named_models: bool,
}

/// How a request will be served: attempts in order, and what residency must know of them.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In order of preference; at least one.
    pub attempts: Vec<Attempt>,
    /// Who decided, and what; none for a plain request.
    pub routed: Option<Routed>,
}

/// A skill's route, as far as it outlives the attempts.
#[derive(Debug, Clone)]
pub struct Routed {
    /// Who decided.
    pub skill: SkillName,
    /// The route as decided.
    pub route: Arc<verdict::Route>,
}

/// One way to serve a request, with its model known.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The model.
    pub model: ModelId,
    /// Which candidate of the route it is; none for the request's own model and for fallbacks.
    pub candidate: Option<usize>,
    /// Tokens of context to load it with.
    pub context_length: Option<u32>,
    /// May it push other models out, and what is in memory afterwards; none where the model was named, not routed.
    pub terms: Option<(Swap, Afterwards)>,
}

/// Where a request goes if every skill passes. Where several servers have the model it is any of them, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// A person picked it for the conversation: nobody routes it, and nothing else serves.
    Picked(Pool),
    /// A person picked a model that nobody lists now.
    PickedAway(ModelId),
    /// The client named it.
    Named(Pool),
    /// The client named none, or `auto`.
    Default(Pool),
    /// The client named one that nobody knows.
    Unknown,
    /// There is no language model at all.
    None,
}

/// One model, wherever it is: at one server or at several. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Where it is resident, else where the fewest wait.
    best: ModelId,
    others: Vec<ModelId>,
}

// === impl Pool ===

impl Pool {
    /// What a name means: an id means one server's model, anything else that model at every server that has it.
    fn named(name: &str, directory: &Directory) -> Option<Self> {
        let mut found = directory.pool(name).into_iter().map(|model| &model.id);
        let best = found.next()?.clone();
        let others = found.filter(|other| other.key().eq_ignore_ascii_case(best.key())).cloned().collect();
        Some(Self { best, others })
    }

    /// One server's model alone.
    fn of(model: &Model) -> Self {
        Self { best: model.id.clone(), others: Vec::new() }
    }

    fn into_ids(self) -> impl Iterator<Item = ModelId> {
        std::iter::once(self.best).chain(self.others)
    }
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { model: None, fallbacks: Vec::new(), route_named_models: true }
    }
}

// === impl Current ===

impl Current {
    /// The model, where there is one.
    pub fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Picked(pool) | Self::Named(pool) | Self::Default(pool) => Some(&pool.best),
            Self::PickedAway(_) | Self::Unknown | Self::None => None,
        }
    }

    /// A person picked it.
    pub fn is_picked(&self) -> bool {
        matches!(self, Self::Picked(_) | Self::PickedAway(_))
    }
}

/// The first that applies: the model that a person picked, the model of a route that holds, the requested one if known, the configured default, the
/// language model that is due in memory at rest (what is there now may be there for somebody's route), the smallest.
pub fn current(
    requested: &str,
    picked: Option<&ModelId>,
    held: Option<&verdict::Route>,
    config: &Config,
    directory: &Directory,
) -> Current {
    if let Some(picked) = picked {
        let pool = Pool::named(picked.as_str(), directory);
        return pool.map_or_else(|| Current::PickedAway(picked.clone()), Current::Picked);
    }
    let of_held =
        |held: &verdict::Route| held.candidates.iter().find_map(|it| Pool::named(&it.model, directory));
    if let Some(pool) = held.and_then(of_held) {
        return Current::Default(pool);
    }
    if !wants_default(requested) {
        return Pool::named(requested.trim(), directory).map_or(Current::Unknown, Current::Named);
    }
    let configured = config.model.as_deref().and_then(|name| Pool::named(name, directory));
    let languages = || directory.models().iter().filter(|model| model.kind == Kind::Language);
    let is_language = |model: &&Model| model.kind == Kind::Language;
    let due = || directory.due().iter().rev().filter_map(|id| directory.get(id)).find(is_language);
    let smallest = || languages().min_by_key(|model| model.size_bytes.unwrap_or(u64::MAX));
    let default = configured.or_else(|| due().or_else(smallest).map(Pool::of));
    default.map_or(Current::None, Current::Default)
}

/// The request names no model, or `auto`, with or without a provider in front.
fn wants_default(requested: &str) -> bool {
    let requested = requested.trim();
    requested.is_empty()
        || requested.eq_ignore_ascii_case(AUTO)
        || requested.to_ascii_lowercase().ends_with("/auto")
}

/// The plan for a request that no skill routes.
pub fn plain(pool: Pool, config: &Config, directory: &Directory) -> Plan {
    let attempt = |model| Attempt { model, candidate: None, context_length: None, terms: None };
    let mut attempts = pool.into_ids().map(attempt).collect();
    add_fallbacks(&mut attempts, config, directory);
    Plan { attempts, routed: None }
}

// === impl Plan ===

impl Plan {
    /// Every model that may serve, each once.
    pub fn models(&self) -> Vec<ModelId> {
        let mut models: Vec<ModelId> = Vec::new();
        for attempt in &self.attempts {
            if !models.contains(&attempt.model) {
                models.push(attempt.model.clone());
            }
        }
        models
    }

    /// The same plan with these models alone.
    pub fn narrowed(mut self, allowed: &[ModelId]) -> Self {
        self.attempts.retain(|attempt| allowed.contains(&attempt.model));
        self
    }
}

/// The plan for a model that a person picked: that and no other.
pub fn picked(pool: Pool) -> Plan {
    let attempt = |model| Attempt { model, candidate: None, context_length: None, terms: None };
    Plan { attempts: pool.into_ids().map(attempt).collect(), routed: None }
}

/// The plan for a skill's route; none where no candidate is known, which counts as `pass`. A route that may not wait for a
/// swap is followed by the request's own model: none of its candidates being possible counts as `pass`, too.
pub fn routed(
    skill: SkillName,
    route: Arc<verdict::Route>,
    current: &Current,
    config: &Config,
    directory: &Directory,
) -> Option<Plan> {
    let mut attempts = by_candidates(&route, directory);
    if attempts.is_empty() {
        return None;
    }
    if let (Swap::Never | Swap::IfIdle, Some(model)) = (route.swap, current.model()) {
        attempts.push(Attempt { model: model.clone(), candidate: None, context_length: None, terms: None });
    }
    add_fallbacks(&mut attempts, config, directory);
    Some(Plan { attempts, routed: Some(Routed { skill, route }) })
}

/// The plan for a tool call that another model writes: the route's candidates and nobody else, since the first model's own
/// call stands behind them.
pub fn rerouted(skill: SkillName, route: Arc<verdict::Route>, directory: &Directory) -> Plan {
    Plan { attempts: by_candidates(&route, directory), routed: Some(Routed { skill, route }) }
}

/// What the candidates of a route come to, as far as they are known.
fn by_candidates(route: &verdict::Route, directory: &Directory) -> Vec<Attempt> {
    let terms = Some((route.swap, route.afterwards));
    let of_candidate = |(index, candidate): (usize, &Candidate)| {
        let context_length = candidate.context_length;
        let attempt = move |model| Attempt { model, candidate: Some(index), context_length, terms };
        Some(Pool::named(&candidate.model, directory)?.into_ids().map(attempt))
    };
    route.candidates.iter().enumerate().filter_map(of_candidate).flatten().collect()
}

/// Fallbacks follow with the conversation as it is; a model that already stands there with it is not asked twice.
fn add_fallbacks(attempts: &mut Vec<Attempt>, config: &Config, directory: &Directory) {
    for name in &config.fallbacks {
        let Some(pool) = Pool::named(name, directory) else { continue };
        for model in pool.into_ids() {
            let asked = attempts.iter().any(|attempt| attempt.model == model && attempt.candidate.is_none());
            if !asked {
                let terms = Some((Swap::Wait, Afterwards::Restore));
                attempts.push(Attempt { model, candidate: None, context_length: None, terms });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InstanceId;
    use crate::model::{Costs, Instance, InstanceState, Model};
    use crate::turn::verdict::Hold;

    fn model(key: &str, kind: Kind, size: u64, resident: bool) -> Model {
        let instance = Instance {
            id: InstanceId::new(key),
            state: InstanceState::Ready,
            context_length: None,
            in_flight: 0,
            queued: 0,
        };
        Model {
            id: ModelId::of("p", key),
            display_name: key.to_owned(),
            kind,
            vision: false,
            tool_use: false,
            reasoning: false,
            local: true,
            max_context: None,
            size_bytes: Some(size),
            instances: if resident { vec![instance] } else { vec![] },
            load_seconds: None,
            costs: Costs::default(),
        }
    }

    fn directory(resident: bool) -> Directory {
        let models = vec![
            model("embed", Kind::Embedding, 1, true),
            model("big", Kind::Language, 30, resident),
            model("small", Kind::Language, 5, false),
        ];
        Directory::new(models, Vec::new())
    }

    fn id(key: &str) -> ModelId {
        ModelId::of("p", key)
    }

    fn alone(key: &str) -> Pool {
        Pool { best: id(key), others: Vec::new() }
    }

    #[test]
    fn a_model_at_several_servers_is_tried_at_each_of_them() {
        let mut second = model("big", Kind::Language, 30, true);
        second.id = ModelId::of("q", "big");
        let mut models = directory(false).models().to_vec();
        models.push(second);
        let directory = Directory::new(models, Vec::new());
        let config = Config { fallbacks: vec!["big".to_owned()], ..Config::default() };
        let tried = |requested: &str| {
            let Current::Named(pool) = current(requested, None, None, &config, &directory) else { panic!() };
            let attempts = plain(pool, &config, &directory).attempts;
            attempts.iter().map(|attempt| attempt.model.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(tried("big"), ["q/big", "p/big"], "where it is resident first");
        assert_eq!(
            tried("p/big"),
            ["p/big", "q/big"],
            "an id means its own server's; the fallback is the other"
        );
        let routed =
            routed(SkillName::new("k"), route(&["big", "p/small"]), &Current::None, &config, &directory);
        let attempts = routed.unwrap().attempts;
        let found: Vec<_> =
            attempts.iter().map(|attempt| (attempt.model.as_str(), attempt.candidate)).collect();
        let expected =
            [("q/big", Some(0)), ("p/big", Some(0)), ("p/small", Some(1)), ("q/big", None), ("p/big", None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_current_model_is_the_first_that_applies() {
        let mut config = Config::default();
        let due = directory(true).with_due(vec![id("small"), id("big"), id("embed")]);
        let check =
            |requested: &str, directory: &Directory| current(requested, None, None, &config, directory);
        assert_eq!(check("small", &due), Current::Named(alone("small")));
        assert_eq!(check("gw/auto", &due), Current::Default(alone("big")), "the language model chosen last");
        let for_a_route = directory(true);
        assert_eq!(
            check("", &for_a_route),
            Current::Default(alone("small")),
            "big is in memory for a route only"
        );
        assert_eq!(check("nope", &due), Current::Unknown);
        assert_eq!(check("auto", &Directory::default()), Current::None);
        let held = route(&["nope", "small"]);
        assert_eq!(current("big", None, Some(&held), &config, &due), Current::Default(alone("small")));
        let picked = |key: &str| current("big", Some(&id(key)), Some(&held), &config, &due);
        assert_eq!(picked("small"), Current::Picked(alone("small")), "before all else");
        assert_eq!(picked("gone"), Current::PickedAway(id("gone")));
        config.model = Some("small".to_owned());
        assert_eq!(current("auto", None, None, &config, &due), Current::Default(alone("small")));
    }

    fn route(models: &[&str]) -> Arc<verdict::Route> {
        let candidate = |name: &&str| Candidate {
            model: (*name).to_owned(),
            context_length: None,
            prompt: None,
            patch: None,
        };
        Arc::new(verdict::Route {
            candidates: models.iter().map(candidate).collect(),
            swap: Swap::Wait,
            hold: Hold::Turn,
            afterwards: Afterwards::Restore,
            tag: None,
            reason: String::new(),
        })
    }

    #[test]
    fn unknown_candidates_are_skipped_and_fallbacks_follow() {
        let config = Config { fallbacks: vec!["big".to_owned(), "gone".to_owned()], ..Config::default() };
        let plan = |models: &[&str]| {
            routed(SkillName::new("k"), route(models), &Current::None, &config, &directory(true))
        };
        let attempts = plan(&["nope", "small", "small"]).unwrap().attempts;
        let found: Vec<_> = attempts.iter().map(|attempt| (attempt.model.key(), attempt.candidate)).collect();
        assert_eq!(found, [("small", Some(1)), ("small", Some(2)), ("big", None)]);
        assert!(plan(&["nope"]).is_none());
    }

    #[test]
    fn a_plain_request_is_not_its_own_fallback() {
        let config = Config { fallbacks: vec!["big".to_owned(), "small".to_owned()], ..Config::default() };
        let attempts = plain(alone("big"), &config, &directory(true)).attempts;
        let found: Vec<_> = attempts.iter().map(|attempt| attempt.model.key()).collect();
        assert_eq!(found, ["big", "small"]);
    }
}
