//! One model server of two kinds behind a gateway: an emulated LM Studio, or llama.cpp's router with scripted models. A
//! scenario asks either the same things, and knows the models by the same names.
//!
//! Both have memory for every model at once, so that whatever leaves it was sent away by the gateway. Every wait has an
//! end, after which the test fails with what residency says of itself. Whatever a client is told is looked through for
//! the bare line that a router writes where a model's process went away.

mod memory;
mod server;

use std::sync::Arc;
use std::time::Duration;

use pointsman::app::Running;
use pointsman::model::InstanceState;
use pointsman::residency::Report;
use pointsman::telemetry::Record;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::guests;
use crate::live::Live;
use crate::world::{self, Answer, beside};
use server::Server;

/// The model that is in memory at the start.
pub const GENERAL: &str = "acme/general-8b";

/// The model that routes lead to.
pub const SPECIALIST: &str = "acme/specialist-8b";

/// Another one.
pub const OTHER: &str = "acme/other-8b";

/// All of them.
const MODELS: [&str; 3] = [GENERAL, SPECIALIST, OTHER];

/// What anything may take before the test is lost: it tells a hang from a machine under load.
const DEADLINE: Duration = Duration::from_secs(120);

/// How long the last look at memory is believed where nothing was said since.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a router writes where a model's process went away; no client may see a line of it.
const BARE_LINE: &str = "proxy error";

/// What the model server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The emulated LM Studio.
    LmStudio,
    /// llama.cpp's router.
    LlamaServer,
}

/// What is to be different from the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    toml: &'static str,
    holds: Option<&'static str>,
    loads_slowly: Option<&'static str>,
    is_broken: Option<&'static str>,
    dies: Option<&'static str>,
}

/// A model server with the general model in memory, and a gateway in front of it with a skill that takes `route X` for
/// an order.
pub struct Backend {
    server: Server,
    gateway: Running,
    http: reqwest::Client,
    _folder: TempDir,
}

/// A chat request with one user message for whatever model is due.
pub fn says(text: &str) -> Value {
    names("auto", text)
}

/// A chat request with one user message for this model.
pub fn names(model: &str, text: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": text}]})
}

/// A chat request that the skill routes to this model.
pub fn routed(model: &str) -> Value {
    says(&format!("route {model}"))
}

/// The same request, not streamed.
pub fn whole(mut body: Value) -> Value {
    body["stream"] = json!(false);
    body
}

// === impl Conditions ===

impl Conditions {
    /// These lines stand in the gateway's configuration.
    pub fn configured(toml: &'static str) -> Self {
        Self { toml, ..Self::default() }
    }

    /// The first long answer of this model lasts until [`Backend::let_end`], or for some seconds.
    pub fn holding(self, model: &'static str) -> Self {
        Self { holds: Some(model), ..self }
    }

    /// The first load of this model lasts until [`Backend::let_load`], or for some seconds.
    pub fn loading_slowly(self, model: &'static str) -> Self {
        Self { loads_slowly: Some(model), ..self }
    }

    /// This model cannot be loaded.
    pub fn broken(self, model: &'static str) -> Self {
        Self { is_broken: Some(model), ..self }
    }

    /// The first long answer of this model ends with its process, once it has begun and [`Backend::crash`] was asked for.
    pub fn dying(self, model: &'static str) -> Self {
        Self { dies: Some(model), ..self }
    }
}

// === impl Backend ===

impl Backend {
    /// Both, and waits until the gateway knows what is in memory.
    ///
    /// # Panics
    /// Where something does not start.
    pub async fn start(kind: Kind, conditions: Conditions) -> Arc<Self> {
        let server = Server::start(kind, &conditions).await;
        let folder = TempDir::new().unwrap();
        let skills = folder.path().join("data/skills");
        std::fs::create_dir_all(&skills).unwrap();
        std::fs::write(skills.join("router.wasm"), guests::guest("router")).unwrap();
        let provider = format!("[providers.engine]\nkind = \"{}\"\nurl = \"{{url}}\"\n", kind.word());
        let toml = format!("{}\n{provider}", conditions.toml);
        let gateway = world::gateway(folder.path(), &server.url(), &toml).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let backend = Arc::new(Self { server, gateway, http, _folder: folder });
        backend.residency("see the general model", |report| holds_alone(report, GENERAL)).await;
        backend
    }

    /// Sends a request of this session; its headers are there.
    ///
    /// # Panics
    /// Where the gateway cannot be reached.
    pub async fn open(&self, session: &str, body: &Value) -> Live {
        let url = format!("{}/v1/chat/completions", self.gateway.url());
        let sent = self.http.post(url).header("x-session-id", session).json(body).send();
        Live::new(self.in_time("be answered", sent).await.unwrap())
    }

    /// A request of this session, answered.
    ///
    /// # Panics
    /// Where the answer breaks off.
    pub async fn ask(&self, session: &str, body: &Value) -> Answer {
        let live = self.open(session, body).await;
        self.rest(live).await
    }

    /// The same beside the scenario; aborting it is the client's leaving.
    pub fn ask_beside(self: &Arc<Self>, session: &str, body: &Value) -> JoinHandle<Answer> {
        let (backend, session, body) = (self.clone(), session.to_owned(), body.clone());
        beside(async move { backend.ask(&session, &body).await })
    }

    /// The rest of an answer.
    ///
    /// # Panics
    /// Where it breaks off, or a bare line of the router's is in it.
    pub async fn rest(&self, live: Live) -> Answer {
        let answer = self.in_time("come to an end", live.finish()).await;
        let is_bare = |line: &str| line.trim_start().starts_with(BARE_LINE);
        assert!(!answer.body.lines().any(is_bare), "the router's own words reached a client: {answer:?}");
        answer
    }

    /// A long answer of this model, which is speaking. Whether it ends by itself, the conditions say.
    pub async fn speaking(&self, session: &str, model: &str) -> Live {
        let mut live = self.open(session, &self.long(model)).await;
        self.in_time("speak", live.until(self.server.first_words())).await;
        live
    }

    /// A request for a long answer of this model.
    pub fn long(&self, model: &str) -> Value {
        let mut body = names(model, server::LONG);
        body["max_tokens"] = json!(server::LONG_TOKENS);
        body
    }

    /// Whether nothing is missing of a long answer.
    pub fn is_whole(&self, answer: &Answer) -> bool {
        let is_finished = |chunk: &Value| chunk["choices"][0]["finish_reason"].is_string();
        let words = answer.text().split_whitespace().count();
        answer.is_terminated()
            && answer.error().is_none()
            && answer.chunks().iter().any(is_finished)
            && words == self.server.long_words()
    }

    /// The model whose words an answer is: all of them say their names.
    pub fn speaker(answer: &Answer) -> Option<&'static str> {
        let text = answer.text();
        MODELS.into_iter().find(|model| text.contains(&server::signature(model)))
    }

    /// Lets the answer that is held go on to its end.
    pub fn let_end(&self) {
        self.server.release(server::ANSWER);
    }

    /// Waits until a load of this model is under way.
    pub async fn loading(&self, model: &str) {
        self.in_time("begin to load", self.server.loading(model)).await;
    }

    /// Lets the load that is held go on to its end.
    pub fn let_load(&self) {
        self.server.release(server::LOAD);
    }

    /// Ends this model's process in the middle of what it says.
    pub fn crash(&self, model: &str) {
        self.server.crash(model);
    }

    /// The models in the server's memory, as it lists them itself.
    pub async fn resident(&self) -> Vec<String> {
        self.server.resident().await
    }

    /// How often a load of this model began, which is at least so often.
    pub async fn loads(&self, model: &str, at_least: usize) -> usize {
        self.in_time("be loaded", self.server.loads(model, at_least)).await
    }

    /// The most models that were in memory at one time.
    pub fn most_at_once(&self) -> usize {
        self.server.most_at_once()
    }

    /// What residency says of itself, once it is so.
    pub async fn residency(&self, what: &str, mut is_it: impl FnMut(&Report) -> bool) -> Report {
        let residency = &self.gateway.gateway().residency;
        let wait = async {
            let mut notices = residency.notices();
            loop {
                let report = residency.report().await.unwrap();
                if is_it(&report) {
                    return report;
                }
                let _ = tokio::time::timeout(LOOK_EVERY, notices.recv()).await;
            }
        };
        self.in_time(what, wait).await
    }

    /// Waits until so many requests wait for this model.
    pub async fn waiting_for(&self, model: &str, count: usize) {
        let waiting = |report: &Report| report.waiters.iter().filter(|it| it.model.key() == model).count();
        self.residency("wait", |report| waiting(report) == count).await;
    }

    /// Waits until a request is at work on this model.
    pub async fn at_work(&self, model: &str) {
        let at_work =
            |report: &Report| report.instances.iter().any(|it| it.model.key() == model && it.leases > 0);
        self.residency("be at work", at_work).await;
    }

    /// Waits until nobody uses a model or waits for one, and exactly this model is in memory, by both accounts.
    pub async fn resting_on(&self, model: &str) {
        self.residency("come to rest", |report| holds_alone(report, model)).await;
        assert_eq!(self.resident().await, [model], "what is in memory is not what the gateway believes");
    }

    /// The record of an answered request, once it is there.
    pub async fn record(&self, answer: &Answer) -> Record {
        let request = answer.header("x-pointsman-request").to_owned();
        let find = async {
            loop {
                if let Some(record) = self.gateway.gateway().ring.find(Some(&request)) {
                    return (*record).clone();
                }
                tokio::task::yield_now().await;
            }
        };
        self.in_time("be recorded", find).await
    }

    /// Fails the test where this takes longer than anything may.
    async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        if let Ok(value) = tokio::time::timeout(DEADLINE, future).await {
            return value;
        }
        let report = self.gateway.gateway().residency.report().await;
        panic!("it does not {what}: {report:#?}\n{}", self.server.told())
    }
}

// === impl Kind ===

impl Kind {
    /// The word for it in a configuration.
    fn word(self) -> &'static str {
        match self {
            Self::LmStudio => "lmstudio",
            Self::LlamaServer => "llama-server",
        }
    }
}

/// Nobody uses a model, waits for one or swaps, and only this one is there.
fn holds_alone(report: &Report, model: &str) -> bool {
    let is_at_rest = report.waiters.is_empty() && report.under_way.is_empty() && report.unfinished_turns == 0;
    is_at_rest
        && matches!(report.instances.as_slice(), [only]
            if only.model.key() == model && only.leases == 0 && only.state == InstanceState::Ready)
}
