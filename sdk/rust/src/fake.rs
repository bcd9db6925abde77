//! A gateway for tests: off WebAssembly, every capability asks the host that the test installed on its thread.
//!
//! It holds what a test puts in and records what a skill wished for; it swaps nothing, and everything is granted unless the
//! test makes a capability [fail](Host::failing). Without an installed host everything is empty. Bounded by the test that
//! fills it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::contract::activity::SkillInfo;
use crate::bindings::contract::conversation::Message;
use crate::bindings::contract::log::Level;
use crate::{Error, Instance, Model, Settings, Skill, ToolCall, Turn};

pub(crate) mod backend;

/// What the fake gateway knows; see [`install`](Host::install).
#[derive(Debug, Clone, Default)]
pub struct Host {
    models: Vec<Model>,
    embeddings: BTreeMap<String, Vec<f32>>,
    vectors_max: Option<usize>,
    embedded: Vec<Embedded>,
    messages: Vec<Message>,
    sessions: BTreeMap<String, String>,
    skills: Vec<SkillInfo>,
    explanations: BTreeMap<String, String>,
    failing: BTreeMap<String, Error>,
    kv: BTreeMap<String, Vec<u8>>,
    now_ms: f64,
    random: u8,
    wishes: Vec<Wish>,
    lines: Vec<(Level, String)>,
}

/// Something a skill asked of residency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `residency.load`.
    Load(String),
    /// `residency.unload`.
    Unload(String),
}

/// A question for embeddings that a skill asked, answered or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedded {
    /// The model, as the skill named it.
    pub model: String,
    /// The texts.
    pub inputs: Vec<String>,
}

/// The host is in place on this thread until this is dropped; says what the skill did with it.
#[derive(Debug)]
#[must_use = "the host goes when this is dropped"]
pub struct Running(());

thread_local! {
    static HOST: RefCell<Host> = RefCell::new(Host::default());
}

/// Configures a skill with JSON settings, as the host would.
pub fn configured<S: Skill>(settings: &str) -> Result<S, Error> {
    S::configure(Settings::new(settings))
}

// === impl Host ===

impl Host {
    /// A gateway without models.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model that some provider can serve.
    pub fn with_model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// Sets the clock: milliseconds since the Unix epoch.
    pub fn at(mut self, now_ms: f64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Makes every random byte this one.
    pub fn with_random(mut self, byte: u8) -> Self {
        self.random = byte;
        self
    }

    /// Gives a text its embedding; texts without one cannot be embedded.
    pub fn with_embedding(mut self, text: &str, vector: &[f32]) -> Self {
        self.embeddings.insert(text.to_owned(), vector.to_vec());
        self
    }

    /// Answers every question for embeddings with at most this many vectors, however many texts it has.
    pub fn with_vectors_at_most(mut self, count: usize) -> Self {
        self.vectors_max = Some(count);
        self
    }

    /// Adds a message to the conversation behind every turn.
    pub fn with_message(mut self, role: &str, text: &str) -> Self {
        self.messages.push(Message {
            role: role.to_owned(),
            text: text.to_owned(),
            media: Vec::new(),
            tools: Vec::new(),
            extra: Vec::new(),
        });
        self
    }

    /// Gives a session a model of its own, as if a person had picked it.
    pub fn with_session(mut self, session: &str, model: &str) -> Self {
        self.sessions.insert(session.to_owned(), model.to_owned());
        self
    }

    /// Adds an installed skill; see [`SkillInfo::active`].
    pub fn with_skill(mut self, skill: SkillInfo) -> Self {
        self.skills.push(skill);
        self
    }

    /// Says why a session's last request went where it went.
    pub fn with_explanation(mut self, session: &str, markdown: &str) -> Self {
        self.explanations.insert(session.to_owned(), markdown.to_owned());
        self
    }

    /// Makes every function of an interface (`sessions`, `kv`, ...) answer this error, and nothing where it has none: what
    /// a missing grant looks like, with the code `denied`. What is always granted never fails.
    pub fn failing(mut self, interface: &str, error: Error) -> Self {
        self.failing.insert(interface.to_owned(), error);
        self
    }

    /// Puts it in place for this thread.
    pub fn install(self) -> Running {
        HOST.replace(self);
        Running(())
    }
}

// === impl Running ===

impl Running {
    /// The wishes so far, in order.
    pub fn wishes(&self) -> Vec<Wish> {
        HOST.with_borrow(|host| host.wishes.clone())
    }

    /// The log lines so far, in order.
    pub fn lines(&self) -> Vec<(Level, String)> {
        HOST.with_borrow(|host| host.lines.clone())
    }

    /// The questions for embeddings so far, in order.
    pub fn embedded(&self) -> Vec<Embedded> {
        HOST.with_borrow(|host| host.embedded.clone())
    }

    /// The model that a session has of its own by now.
    pub fn session_model(&self, session: &str) -> Option<String> {
        HOST.with_borrow(|host| host.sessions.get(session).cloned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        HOST.replace(Host::default());
    }
}

// === impl Model, Turn, ToolCall, SkillInfo ===

impl Model {
    /// A language model for text, known by its id (`provider/key`), not resident.
    pub fn named(id: &str) -> Self {
        let (provider, key) = id.split_once('/').unwrap_or(("", id));
        Self {
            id: id.to_owned(),
            provider: provider.to_owned(),
            key: key.to_owned(),
            display_name: key.to_owned(),
            kind: "language".to_owned(),
            inputs: vec!["text".to_owned()],
            capabilities: Vec::new(),
            local: true,
            max_context: 0,
            size_mib: 0,
            instances: Vec::new(),
            load_seconds: None,
            input_cost: None,
            output_cost: None,
            extra: Vec::new(),
        }
    }

    /// Of another kind: `embedding`, ...
    pub fn of_kind(mut self, kind: &str) -> Self {
        self.kind = kind.to_owned();
        self
    }

    /// It takes this kind of input too: `image`, `audio`, ...
    pub fn taking(mut self, input: &str) -> Self {
        self.inputs.push(input.to_owned());
        self
    }

    /// Its size on disk in MiB.
    pub fn of_size(mut self, size_mib: u32) -> Self {
        self.size_mib = size_mib;
        self
    }

    /// It is in memory, under its key, ready.
    pub fn resident(mut self) -> Self {
        self.instances.push(Instance {
            id: self.key.clone(),
            state: "ready".to_owned(),
            context_length: 0,
            in_flight: 0,
            queued: 0,
            extra: Vec::new(),
        });
        self
    }
}

impl Turn {
    /// A chat turn in which the user wrote this.
    pub fn saying(text: &str) -> Self {
        Self {
            request_id: "request".to_owned(),
            session: "session".to_owned(),
            agent: None,
            client: None,
            protocol: "chat-completions".to_owned(),
            streaming: true,
            requested_model: "auto".to_owned(),
            current_model: String::new(),
            pinned: false,
            user_text: text.to_owned(),
            user_text_truncated: false,
            last_answer: String::new(),
            media: Vec::new(),
            history_media: Vec::new(),
            tools: Vec::new(),
            message_count: 1,
            estimated_tokens: u32::try_from(text.len() / 4).unwrap_or(u32::MAX),
            max_output_tokens: None,
            extra: Vec::new(),
        }
    }

    /// With this kind of media in the turn.
    pub fn with_media(mut self, kind: &str) -> Self {
        self.media.push(kind.to_owned());
        self.history_media.push(kind.to_owned());
        self
    }

    /// After the assistant answered this.
    pub fn after(mut self, answer: &str) -> Self {
        self.last_answer = answer.to_owned();
        self
    }
}

impl ToolCall {
    /// A call of this tool, of which no arguments are written yet.
    pub fn of(name: &str) -> Self {
        Self {
            id: "call_1".to_owned(),
            name: name.to_owned(),
            arguments: None,
            model: String::new(),
            extra: Vec::new(),
        }
    }

    /// The arguments are complete.
    pub fn with_arguments(mut self, json: &str) -> Self {
        self.arguments = Some(json.to_owned());
        self
    }

    /// This model makes it.
    pub fn by(mut self, model: &str) -> Self {
        self.model = model.to_owned();
        self
    }
}

impl SkillInfo {
    /// An installed skill that is at work.
    pub fn active(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            description: String::new(),
            state: "active".to_owned(),
            extra: Vec::new(),
        }
    }

    /// In another state: `disabled`, `failed`, `quarantined`, ...
    pub fn in_state(mut self, state: &str) -> Self {
        self.state = state.to_owned();
        self
    }

    /// With one more fact: `reason`, ...
    pub fn with_fact(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{activity, inference, kv, models, residency, sessions};

    #[test]
    fn a_session_keeps_the_model_that_was_set() {
        let host = Host::new().with_session("a", "lmstudio/acme/owl-9b").install();
        assert_eq!(sessions::model("a").as_deref(), Some("lmstudio/acme/owl-9b"));
        assert_eq!(sessions::model("b"), None);

        sessions::set_model("a", None).unwrap();
        sessions::set_model("b", Some("lmstudio/acme/otter-8b")).unwrap();
        assert_eq!(host.session_model("a"), None);
        assert_eq!(host.session_model("b").as_deref(), Some("lmstudio/acme/otter-8b"));
    }

    #[test]
    fn activity_is_what_the_test_says() {
        let broken =
            SkillInfo::active("b", "2.0.0").in_state("failed").with_fact("reason", "it wants `clocks`");
        let host = Host::new().with_skill(SkillInfo::active("a", "1.0.0")).with_skill(broken.clone());
        let _host = host.with_explanation("session", "because").install();

        assert_eq!(activity::skills(), [SkillInfo::active("a", "1.0.0"), broken]);
        assert_eq!(activity::explain("session").as_deref(), Ok("because"));
        assert_eq!(activity::explain("other").unwrap_err().code, "not-found");
    }

    #[test]
    fn texts_have_the_embeddings_that_the_test_gave_them_and_questions_are_kept() {
        let host = Host::new().with_embedding("a", &[1.0]).with_embedding("b", &[2.0]);
        let host = host.with_vectors_at_most(2).install();
        let texts = |texts: &str| texts.chars().map(String::from).collect::<Vec<_>>();

        assert_eq!(inference::embed("mole", &texts("ba")), Ok(vec![vec![2.0], vec![1.0]]));
        assert_eq!(inference::embed("mole", &texts("bab")).unwrap().len(), 2);
        assert_eq!(inference::embed("mole", &texts("ac")).unwrap_err().code, "unavailable");
        let asked: Vec<_> = host.embedded().into_iter().map(|asked| asked.inputs.concat()).collect();
        assert_eq!(asked, ["ba", "bab", "ac"]);
    }

    #[test]
    fn what_fails_answers_its_error_and_nothing_where_it_has_none() {
        let denied = Error::new("denied", "not granted");
        let host = ["activity", "kv", "models", "residency", "sessions"]
            .into_iter()
            .fold(Host::new(), |host, interface| host.failing(interface, denied.clone()));
        let host = host
            .with_model(Model::named("lmstudio/acme/owl-9b"))
            .with_session("a", "lmstudio/acme/owl-9b")
            .with_skill(SkillInfo::active("a", "1.0.0"))
            .install();

        assert_eq!((models::all(), models::find("owl")), (Vec::new(), None));
        assert_eq!(residency::load("owl", &residency::LoadOptions::plain()), Err(denied.clone()));
        assert_eq!(sessions::model("a"), None);
        assert_eq!(sessions::set_model("a", None), Err(denied.clone()));
        assert_eq!(kv::increment("n", 1.0), Err(denied.clone()));
        assert_eq!((activity::skills(), activity::explain("a")), (Vec::new(), Err(denied)));
        assert!(host.wishes().is_empty());
        assert_eq!(host.session_model("a").as_deref(), Some("lmstudio/acme/owl-9b"));
    }
}
