//! What is known of models: what each can take, how big it is, where it is resident. A [`Directory`] is one immutable
//! snapshot of it, shared by everyone who resolves names: routing, skills, the admin API.
//!
//! Snapshots are published by the residency owner whenever something changed; nobody edits one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{InstanceId, ModelId};

/// A model some provider can serve, loaded or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// `provider/key`.
    pub id: ModelId,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub kind: Kind,
    /// The provider says that it takes images.
    pub vision: bool,
    /// The provider says that it was trained to call tools.
    pub tool_use: bool,
    /// The provider says that it can reason.
    pub reasoning: bool,
    /// It runs on the user's own machines.
    pub local: bool,
    /// Largest context it can be loaded with, in tokens; none where the provider does not say.
    pub max_context: Option<u32>,
    /// Bytes on disk; none where the provider does not say.
    pub size_bytes: Option<u64>,
    /// Where it is in memory now.
    pub instances: Vec<Instance>,
    /// Seconds the last load took here.
    pub load_seconds: Option<f32>,
    /// What its tokens cost.
    pub costs: Costs,
}

/// Prices of a million tokens, in the user's currency; none where unknown. Local models cost nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Of the prompt.
    pub input: Option<f32>,
    /// Of the answer.
    pub output: Option<f32>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Writes text.
    Language,
    /// Makes vectors.
    Embedding,
}

/// What a part of a message is, other than text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// A file: PDF and the like.
    Document,
}

/// A model resident in a provider's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// What the provider calls it.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Tokens of context it was loaded with; none where the provider does not say.
    pub context_length: Option<u32>,
    /// Requests that this gateway has running on it.
    pub in_flight: u32,
    /// Requests of this gateway that wait for it.
    pub queued: u32,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It answers.
    Ready,
    /// It is being loaded.
    Loading,
    /// It is being drained or unloaded.
    Unloading,
}

/// All models known at one moment, in the order the providers list them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    models: Vec<Model>,
    /// Configured alias → the name it stands for.
    aliases: Vec<(String, String)>,
    /// The baseline, the one chosen last is last.
    due: Vec<ModelId>,
    /// What is kept of a snapshot has the numbers of its moment.
    #[serde(skip)]
    in_flight: Counter,
}

/// How many requests of this gateway run on a model at this very moment: by the gate alone they come and go without a
/// new snapshot.
pub trait InFlight: Send + Sync {
    /// On all its instances together.
    fn of(&self, model: &ModelId) -> u32;
}

/// What counts, if anything does; it is no part of what a snapshot says.
#[derive(Clone, Default)]
struct Counter(Option<Arc<dyn InFlight>>);

/// Models named in a message; more would bury what it says.
const NAMED_MAX: usize = 12;

// === impl Model ===

impl Model {
    /// Some instance of it answers requests.
    pub fn is_resident(&self) -> bool {
        self.instances.iter().any(|instance| instance.state == InstanceState::Ready)
    }

    /// It can be sent a part of this kind.
    pub fn takes(&self, media: MediaKind) -> bool {
        match media {
            MediaKind::Image => self.vision,
            MediaKind::Audio | MediaKind::Video | MediaKind::Document => false,
        }
    }

    /// The last segment of its key, which is what people call it.
    pub fn short_name(&self) -> &str {
        self.id.key().rsplit('/').next().unwrap_or_default()
    }
}

// === impl Kind ===

impl Kind {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Language => "language",
            Self::Embedding => "embedding",
        }
    }
}

// === impl MediaKind ===

impl MediaKind {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Document => "document",
        }
    }
}

// === impl InstanceState ===

impl InstanceState {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading => "loading",
            Self::Unloading => "unloading",
        }
    }
}

// === impl Directory ===

impl Directory {
    /// A snapshot of these models; `aliases` are pairs of a configured alias and the name it stands for.
    pub fn new(models: Vec<Model>, aliases: Vec<(String, String)>) -> Self {
        Self { models, aliases, due: Vec::new(), in_flight: Counter::default() }
    }

    /// The same with the models that are due in memory when nobody needs anything else: the baseline, the one chosen
    /// last is last.
    #[must_use]
    pub fn with_due(self, due: Vec<ModelId>) -> Self {
        Self { due, ..self }
    }

    /// The same, with a count of what runs at the moment of asking; without it, what ran when the snapshot was taken
    /// counts.
    #[must_use]
    pub fn with_in_flight(self, in_flight: Arc<dyn InFlight>) -> Self {
        Self { in_flight: Counter(Some(in_flight)), ..self }
    }

    /// The same with every instance as `change` leaves it, which is told its place among all of them.
    #[must_use]
    pub fn with_instances(mut self, mut change: impl FnMut(usize, &mut Instance)) -> Self {
        let instances = self.models.iter_mut().flat_map(|model| model.instances.iter_mut());
        instances.enumerate().for_each(|(place, instance)| change(place, instance));
        self
    }

    /// The models that are due in memory when nobody needs anything else: the baseline, of every kind, the one chosen
    /// last is last. What is in memory at this moment may be there for somebody's route; this is not touched by it.
    pub fn due(&self) -> &[ModelId] {
        &self.due
    }

    /// Every model, in the providers' order.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Some of the keys, for a message that has to say what there is instead.
    pub fn named(&self) -> String {
        let mut keys: Vec<_> = self.models.iter().map(|model| model.id.key()).take(NAMED_MAX).collect();
        if self.models.len() > NAMED_MAX {
            keys.push("…");
        }
        keys.join(", ")
    }

    /// The model with exactly this id.
    pub fn get(&self, id: &ModelId) -> Option<&Model> {
        self.models.iter().find(|model| model.id == *id)
    }

    /// The model that a person, a client or a skill means by `name`: an alias, an id, a key, an instance's id, or the
    /// beginning of a key's last segment. Case does not count. Among several keys the one of a resident model, then of the
    /// smallest; the best of its [`pool`](Self::pool).
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.pool(name).into_iter().next()
    }

    /// Every model that serves the key which `name` means, best first: one and the same key at several providers is a
    /// pool. Those on the user's own machines come before others, which always look resident; then resident ones, then
    /// those with the fewest requests running and waiting, then the providers' order. An id means its own provider's model
    /// alone.
    pub fn pool(&self, name: &str) -> Vec<&Model> {
        let name = name.trim();
        let aliased = self.aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let name = aliased.map_or(name, |(_, target)| target.as_str());
        if name.is_empty() {
            return Vec::new();
        }
        let found = self.exact_pool(name);
        if found.is_empty() { self.matching(|model| starts_with(model.short_name(), name)) } else { found }
    }

    /// The model that `name` names in full (id, key or instance), ignoring case; of a pool the best.
    pub fn exact(&self, name: &str) -> Option<&Model> {
        self.exact_pool(name).into_iter().next()
    }

    fn exact_pool(&self, name: &str) -> Vec<&Model> {
        let by_id = |model: &Model| model.id.as_str().eq_ignore_ascii_case(name);
        let by_key = |model: &Model| model.id.key().eq_ignore_ascii_case(name);
        let by_instance =
            |model: &Model| model.instances.iter().any(|it| it.id.as_str().eq_ignore_ascii_case(name));
        let ways: [&dyn Fn(&Model) -> bool; 3] = [&by_id, &by_key, &by_instance];
        ways.into_iter().map(|way| self.matching(way)).find(|pool| !pool.is_empty()).unwrap_or_default()
    }

    /// Of the models that match: those with the best one's key, best first.
    fn matching(&self, matches: impl Fn(&Model) -> bool) -> Vec<&Model> {
        let found = || self.models.iter().filter(|model| matches(model));
        let best = found()
            .min_by_key(|model| (!model.local, !model.is_resident(), model.size_bytes.unwrap_or(u64::MAX)));
        let Some(best) = best else { return Vec::new() };
        let is_same = |model: &&Model| model.id.key().eq_ignore_ascii_case(best.id.key());
        let mut pool: Vec<&Model> = found().filter(is_same).collect();
        // Sorting is stable: among equals the providers' order decides.
        pool.sort_by_cached_key(|model| (!model.local, !model.is_resident(), self.load(model)));
        pool
    }

    /// Requests that run on the model or wait for it.
    fn load(&self, model: &Model) -> u32 {
        let counted = || model.instances.iter().fold(0_u32, |sum, it| sum.saturating_add(it.in_flight));
        let running = self.in_flight.0.as_ref().map_or_else(counted, |counter| counter.of(&model.id));
        let waiting = model.instances.iter().map(|it| it.queued).max().unwrap_or(0);
        running.saturating_add(waiting)
    }
}

// === impl Counter ===

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counter")
    }
}

impl PartialEq for Counter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(key: &str, size: u64, instances: &[&str]) -> Model {
        Model {
            id: ModelId::of("lmstudio", key),
            display_name: key.to_owned(),
            kind: Kind::Language,
            vision: false,
            tool_use: false,
            reasoning: false,
            local: true,
            max_context: None,
            size_bytes: Some(size),
            instances: instances
                .iter()
                .map(|id| Instance {
                    id: InstanceId::new(*id),
                    state: InstanceState::Ready,
                    context_length: None,
                    in_flight: 0,
                    queued: 0,
                })
                .collect(),
            load_seconds: None,
            costs: Costs::default(),
        }
    }

    #[test]
    fn names_resolve() {
        let directory = Directory::new(
            vec![
                model("openai/gpt-oss-20b", 12, &["openai/gpt-oss-20b:2"]),
                model("google/translategemma-27b-it", 17, &[]),
                model("google/translategemma-12b-it", 8, &[]),
                model("qwen3-8b", 5, &["my-qwen"]),
            ],
            vec![("coder".to_owned(), "qwen3-8b".to_owned())],
        );
        let cases = [
            ("lmstudio/qwen3-8b", Some("qwen3-8b")),
            ("QWEN3-8B", Some("qwen3-8b")),
            ("my-qwen", Some("qwen3-8b")),
            ("coder", Some("qwen3-8b")),
            ("gpt-oss", Some("openai/gpt-oss-20b")),
            ("openai/gpt-oss-20b:2", Some("openai/gpt-oss-20b")),
            ("translategemma", Some("google/translategemma-12b-it")),
            ("translategemma-27b", Some("google/translategemma-27b-it")),
            ("gemma", None),
            ("", None),
            ("ü", None),
        ];
        for (name, key) in cases {
            assert_eq!(directory.find(name).map(|model| model.id.key()), key, "{name}");
        }
    }

    #[test]
    fn one_key_at_several_providers_is_a_pool() {
        let at = |provider: &str, key: &str, in_flight: Option<u32>| {
            let mut model = model(key, 5, &["the-instance"]);
            model.id = ModelId::of(provider, key);
            match in_flight {
                Some(in_flight) => model.instances.iter_mut().for_each(|it| it.in_flight = in_flight),
                None => model.instances.clear(),
            }
            model
        };
        let models = vec![
            at("near", "otter", None),
            at("busy", "otter", Some(3)),
            at("idle", "otter", Some(1)),
            at("far", "otter", None),
            at("far", "otter-large", Some(0)),
        ];
        let directory = Directory::new(models, vec![("pet".to_owned(), "otter".to_owned())]);
        let pool = |directory: &Directory, name: &str| -> Vec<String> {
            directory.pool(name).iter().map(|model| model.id.provider().to_owned()).collect()
        };
        for name in ["otter", "OTTER", "pet"] {
            assert_eq!(pool(&directory, name), ["idle", "busy", "near", "far"], "{name}");
        }
        assert_eq!(directory.find("otter").unwrap().id.provider(), "idle");
        // An id means its own provider; a beginning means one key.
        assert_eq!(pool(&directory, "near/otter"), ["near"]);
        assert_eq!(pool(&directory, "otter-l"), ["far"]);
        assert_eq!(pool(&directory, "badger"), [""; 0]);

        struct Now;
        impl InFlight for Now {
            fn of(&self, model: &ModelId) -> u32 {
                if model.provider() == "idle" { 9 } else { 0 }
            }
        }
        // What runs now counts, not what ran when the snapshot was taken.
        let directory = directory.with_in_flight(Arc::new(Now));
        assert_eq!(pool(&directory, "otter"), ["busy", "idle", "near", "far"]);
    }
}
