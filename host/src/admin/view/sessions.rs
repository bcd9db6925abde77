//! What the admin API says of conversations and of the models that people picked for them.

use serde::{Deserialize, Serialize};

use crate::session::table::Shown;
use crate::telemetry::{Record, millis};

/// `GET sessions`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// The model that was picked for all that have no pick of their own.
    pub picked_for_all: Option<String>,
    /// The one used last first.
    pub sessions: Vec<Session>,
}

/// `GET sessions/{key}`: a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its key.
    pub session: String,
    /// The model that its client names.
    pub requested: String,
    /// The model that was picked for it, or for all.
    pub picked: Option<String>,
    /// The route that holds.
    pub held: Option<HeldRoute>,
    /// Since its last request.
    pub idle_ms: u64,
    /// Its last request that was for a model, while it is remembered.
    pub last_request: Option<String>,
    /// What became of that, in one line.
    pub last: Option<String>,
}

/// A skill's route that holds for a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRoute {
    /// Whose.
    pub skill: String,
    /// Its reason.
    pub reason: String,
}

/// `DELETE sessions/{key}`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// Its key.
    pub reset: String,
}

/// `POST use`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UseOrder {
    /// Any name by which the model is known; none returns to the default.
    pub model: Option<String>,
    /// The conversation; none is all of them.
    #[serde(default)]
    pub session: Option<String>,
}

/// What is used from now on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The model that was meant; none where it is the default again.
    pub model: Option<String>,
    /// The conversation; none where it is all of them.
    pub session: Option<String>,
}

// === impl Session ===

impl Session {
    /// A conversation, and its last request.
    pub(in crate::admin) fn of(shown: &Shown, last: Option<&Record>) -> Self {
        let held = shown.held.as_ref();
        Self {
            session: shown.session.to_string(),
            requested: shown.requested.clone(),
            picked: shown.picked.as_ref().map(ToString::to_string),
            held: held.map(|(skill, reason)| HeldRoute { skill: skill.to_string(), reason: reason.clone() }),
            idle_ms: millis(shown.idle),
            last_request: last.map(|record| record.request.to_string()),
            last: last.map(Record::headline),
        }
    }
}
