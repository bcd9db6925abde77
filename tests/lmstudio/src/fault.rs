//! What can be made to go wrong, for which requests, how often; and the gates at which requests hang until released.
//!
//! A fault is armed, meets requests that match it (its count goes down with each) and is gone when the count is used
//! up. What a fault does is done elsewhere, where it belongs; this room only says which one applies.

mod armed;
mod kind;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

pub use kind::{Ending, Kind};

pub(crate) use armed::{Armed, Met};
pub(crate) use kind::Stage;

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
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/embeddings`.
    Embeddings,
    /// `POST /api/v1/chat`.
    NativeChat,
    /// `POST /api/v1/models/download`.
    Download,
    /// `GET /api/v1/models/download/status/…`.
    DownloadStatus,
    /// `GET /api/v0/models` and `GET /api/v0/models/…`.
    V0Models,
    /// `POST /api/v0/chat/completions`.
    V0Chat,
    /// `POST /api/v0/completions`.
    V0Completions,
    /// `POST /api/v0/embeddings`.
    V0Embeddings,
    /// `GET /lmstudio-greeting`.
    Greeting,
    /// Anything else.
    Other,
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

    pub(super) fn takes(&self, route: Route, names: &[&str]) -> bool {
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
    pub(super) fn less(self) -> Option<Self> {
        match self {
            Self::Word(Always::Always) => Some(self),
            Self::Times(times) => NonZeroU32::new(times.get() - 1).map(Self::Times),
        }
    }
}
