//! What can be made to go wrong, for which requests, how often; and the gates at which requests hang until released.
//!
//! A fault is armed, meets requests that match it (its count goes down with each) and is gone when the count is used
//! up. What a fault does is done elsewhere, where it belongs; this file only says which one applies.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// For the log and for releasing it; by default the kind's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which requests meet it; by default all that can.
    #[serde(default, rename = "match", skip_serializing_if = "Match::is_everything")]
    pub matches: Match,
    /// How many of them; by default one.
    #[serde(default)]
    pub count: Count,
    /// What goes wrong.
    pub kind: Kind,
}

/// Which requests meet a fault.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Only on this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Only for this model: a key, an instance's id, or the name the request gave. Case does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// How many requests meet a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    /// So many.
    Times(NonZeroU32),
    /// Every one, until it is taken away.
    Word(Always),
}

/// The word `always`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Always {
    /// Every one.
    Always,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// `GET /api/v1/models`.
    List,
    /// `POST /api/v1/models/load`.
    Load,
    /// `POST /api/v1/models/unload`.
    Unload,
    /// `GET /v1/models`.
    Models,
    /// `POST /v1/chat/completions`.
    Chat,
    /// `GET /lmstudio-greeting`.
    Greeting,
    /// Anything else.
    Other,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Any route: an HTML page with status 500.
    Html500,
    /// Any route: this answer.
    Answer {
        /// HTTP status, 200 to 599.
        status: u16,
        /// The body, sent as JSON's media type whatever it is.
        body: String,
    },
    /// Any route: the connection is reset before a byte of the answer.
    Reset,
    /// Any route: 200 with a string error.
    StringError {
        /// What it says.
        message: String,
    },
    /// Any route: nothing at all until released, then the ordinary answer.
    Hang,
    /// The native list: `loaded_instances` stays as it was when the fault was armed.
    ListLags,
    /// A load: refused for want of memory.
    Guardrail,
    /// A load: the engine dies at the end of it.
    LoadCrash,
    /// A load: takes so much longer.
    SlowLoad {
        /// How much.
        seconds: f64,
    },
    /// A load: does not end until released.
    HangLoad,
    /// A generation: the model dies after so many chunks, and its instance with it.
    Crash {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
    },
    /// A streamed generation: ends after so many chunks without a finish reason and without `[DONE]`.
    CutStream {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
        /// How it ends.
        #[serde(default)]
        ending: Ending,
    },
    /// A generation: an error event after so many chunks. Not streamed: 400 with that text.
    StreamError {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
        /// What it says.
        message: String,
    },
    /// A generation: nothing more after so many chunks, until released.
    Stall {
        /// Chunks that still come.
        #[serde(default)]
        after_chunks: u32,
    },
    /// A generation: tool calls have an empty id.
    EmptyToolCallId,
    /// A generation: the answer names this model instead of the one that served.
    WrongModel {
        /// What it names.
        model: String,
    },
}

/// How a cut stream ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// As if it were whole.
    #[default]
    Clean,
    /// In the middle of the transfer coding.
    Abrupt,
}

/// Where in a request's life a kind of fault is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Front,
    List,
    Load,
    Generation,
}

/// The faults that are armed.
#[derive(Debug, Default)]
pub(crate) struct Armed {
    faults: Vec<ArmedFault>,
    /// Gates of faults whose count is used up but whose requests may still hang.
    spent: Vec<(Arc<str>, watch::Sender<bool>)>,
}

#[derive(Debug)]
struct ArmedFault {
    fault: Fault,
    name: Arc<str>,
    /// Opened by a release; replaced by a closed one then.
    gate: watch::Sender<bool>,
}

/// A fault that a request has met.
#[derive(Debug, Clone)]
pub(crate) struct Met {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    gate: watch::Receiver<bool>,
}

// === impl Fault ===

impl Fault {
    /// One request meets it.
    pub fn once(kind: Kind) -> Self {
        Self { name: None, matches: Match::default(), count: Count::default(), kind }
    }

    /// Every request meets it, until it is taken away.
    pub fn always(kind: Kind) -> Self {
        Self { count: Count::Word(Always::Always), ..Self::once(kind) }
    }

    /// So many requests meet it; 0 is taken as 1.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Count::Times(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        self
    }

    /// Only on this route.
    #[must_use]
    pub fn on(mut self, route: Route) -> Self {
        self.matches.route = Some(route);
        self
    }

    /// Only for this model.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        self.matches.model = Some(model.to_owned());
        self
    }

    /// Under this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

// === impl Match ===

impl Match {
    fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, route: Route, names: &[&str]) -> bool {
        let named = |model: &String| names.iter().any(|name| name.eq_ignore_ascii_case(model));
        self.route.is_none_or(|wanted| wanted == route) && self.model.as_ref().is_none_or(named)
    }
}

// === impl Count ===

impl Default for Count {
    fn default() -> Self {
        Self::Times(NonZeroU32::MIN)
    }
}

impl Count {
    /// One less; none when that was the last.
    fn less(self) -> Option<Self> {
        match self {
            Self::Word(Always::Always) => Some(self),
            Self::Times(times) => NonZeroU32::new(times.get() - 1).map(Self::Times),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// The word for it, as in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Html500 => "html500",
            Self::Answer { .. } => "answer",
            Self::Reset => "reset",
            Self::StringError { .. } => "string-error",
            Self::Hang => "hang",
            Self::ListLags => "list-lags",
            Self::Guardrail => "guardrail",
            Self::LoadCrash => "load-crash",
            Self::SlowLoad { .. } => "slow-load",
            Self::HangLoad => "hang-load",
            Self::Crash { .. } => "crash",
            Self::CutStream { .. } => "cut-stream",
            Self::StreamError { .. } => "stream-error",
            Self::Stall { .. } => "stall",
            Self::EmptyToolCallId => "empty-tool-call-id",
            Self::WrongModel { .. } => "wrong-model",
        }
    }

    fn stage(&self) -> Stage {
        match self {
            Self::Html500 | Self::Answer { .. } | Self::Reset | Self::StringError { .. } | Self::Hang => {
                Stage::Front
            }
            Self::ListLags => Stage::List,
            Self::Guardrail | Self::LoadCrash | Self::SlowLoad { .. } | Self::HangLoad => Stage::Load,
            Self::Crash { .. }
            | Self::CutStream { .. }
            | Self::StreamError { .. }
            | Self::Stall { .. }
            | Self::EmptyToolCallId
            | Self::WrongModel { .. } => Stage::Generation,
        }
    }
}

// === impl Armed ===

impl Armed {
    pub(crate) fn arm(&mut self, fault: Fault) {
        let name = Arc::from(fault.name.as_deref().unwrap_or_else(|| fault.kind.name()));
        self.faults.push(ArmedFault { fault, name, gate: watch::Sender::new(false) });
    }

    /// The first fault of this stage that a request so described meets. `names` are all it is known under.
    pub(crate) fn meet(&mut self, stage: Stage, route: Route, names: &[&str]) -> Option<Met> {
        let index = self
            .faults
            .iter()
            .position(|it| it.fault.kind.stage() == stage && it.fault.matches.takes(route, names))?;
        let armed = self.faults.get_mut(index)?;
        let met =
            Met { name: armed.name.clone(), kind: armed.fault.kind.clone(), gate: armed.gate.subscribe() };
        match armed.fault.count.less() {
            Some(count) => armed.fault.count = count,
            None => {
                let armed = self.faults.remove(index);
                self.spent.retain(|(_, gate)| gate.receiver_count() > 0);
                self.spent.push((armed.name, armed.gate));
            }
        }
        Some(met)
    }

    /// Some fault of this stage is armed.
    pub(crate) fn has(&self, stage: Stage) -> bool {
        self.faults.iter().any(|it| it.fault.kind.stage() == stage)
    }

    /// What is armed, with the counts that are left.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.faults.iter().map(|it| it.fault.clone()).collect()
    }

    /// Lets go of the requests that a fault has met so far, also of those that will come to hang only later. Says how
    /// many gates it opened. Without a name: all of them.
    pub(crate) fn release(&mut self, name: Option<&str>) -> usize {
        let wanted = |own: &str| name.is_none_or(|name| name == own);
        let mut opened = 0;
        for armed in self.faults.iter_mut().filter(|it| wanted(&it.name)) {
            armed.gate.send_replace(true);
            armed.gate = watch::Sender::new(false);
            opened += 1;
        }
        self.spent.retain(|(own, gate)| {
            let hit = wanted(own);
            if hit {
                gate.send_replace(true);
                opened += 1;
            }
            !hit
        });
        opened
    }

    /// Takes all faults away and lets go of whatever hangs in them.
    pub(crate) fn clear(&mut self) {
        self.release(None);
        self.faults.clear();
    }
}

// === impl Met ===

impl Met {
    /// Until it is released, or taken away with the whole emulator.
    pub(crate) async fn released(&mut self) {
        // A gate that is dropped without being opened can only be that of an emulator that is gone.
        let _ = self.gate.wait_for(|open| *open).await;
    }

    /// How much longer a load takes by it.
    pub(crate) fn delay(&self) -> Duration {
        match self.kind {
            Kind::SlowLoad { seconds } => Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}
