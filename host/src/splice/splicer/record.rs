//! What became of a call, for `why`. Bounded by [`KEPT_BYTES_MAX`] for each text.

use super::CallNumber;

/// Bytes of arguments that are kept of a call after it has left: enough to see what a model did.
pub(super) const KEPT_BYTES_MAX: usize = 2048;

/// A call, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The call.
    pub call: CallNumber,
    /// In which round it was made: 0, or how often the model had been asked to go on.
    pub round: u32,
    /// As the client knows it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The beginning of the model's own arguments.
    pub arguments: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet, or the answer broke off before.
    Undecided,
    /// It left as it was.
    Passed,
    /// It left as it was, because too much was held.
    Released,
    /// The hook gave it these arguments.
    Rewritten(String),
    /// Another model wrote these arguments.
    Written(String),
    /// No other model could write it: it left as it was.
    Kept,
    /// It never left, for this reason.
    Denied(String),
}

// === impl Fate ===

impl Fate {
    /// The client has the call.
    pub fn has_left(&self) -> bool {
        !matches!(self, Self::Undecided | Self::Denied(_))
    }
}

/// The beginning of a text, as much as is kept.
pub fn beginning(text: &str) -> String {
    text.get(..text.floor_char_boundary(KEPT_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// Leaves the beginning of a text, and the memory of no more.
pub(super) fn shorten(text: &mut String) {
    if text.len() > KEPT_BYTES_MAX {
        *text = beginning(text);
    }
}
