//! How a candidate compares with the version that serves: counts, and the latest differences.

use serde::{Deserialize, Serialize};

use super::said::{Said, Verdict};
use crate::capability::bindings::types;

/// How often a candidate said the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Turns that it was asked about.
    pub asked: u64,
    /// Of those, the ones where it came to the same.
    pub alike: u64,
    /// Of those, the ones where it did not.
    pub differing: u64,
    /// Of those, the ones where it failed.
    pub failed: u64,
    /// Turns that it was not asked about: the version that serves was not, or too many waited.
    pub skipped: u64,
    /// The latest differences, oldest first; at most a hundred.
    pub differences: Vec<Difference>,
}

/// A turn to which a candidate says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The request.
    pub request: String,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The beginning of what the user wrote.
    pub text: String,
    /// What was said.
    pub said: Said,
    /// What the candidate says.
    pub candidate: Said,
}

/// Differences that are kept to be shown.
const DIFFERENCES_MAX: usize = 100;

/// Bytes that are shown of a user's text.
const TEXT_BYTES_MAX: usize = 80;

// === impl Comparison ===

impl Comparison {
    /// One more turn that both were asked about.
    pub(super) fn add(&mut self, (turn, at_ms): (&types::Turn, u64), said: Said, candidate: Said) {
        self.asked += 1;
        self.failed += u64::from(candidate.verdict == Verdict::Fail);
        if said.is_alike(&candidate) {
            self.alike += 1;
            return;
        }
        self.differing += 1;
        if self.differences.len() >= DIFFERENCES_MAX {
            self.differences.remove(0);
        }
        let end = turn.user_text.floor_char_boundary(TEXT_BYTES_MAX);
        let text = turn.user_text.get(..end).unwrap_or_default();
        self.differences.push(Difference {
            request: turn.request_id.clone(),
            at_ms,
            text: text.replace(char::is_control, " "),
            said,
            candidate,
        });
    }
}
