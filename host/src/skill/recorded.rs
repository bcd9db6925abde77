//! What is kept of a turn that skills decided, so that another version can be asked about it: all that they were shown, in
//! the contract's words, the time and the chance they were given, and what each of them said.
//!
//! Where turns are kept, and how many, is the [`Archive`]'s. Nothing is kept of turns that no skill was asked about.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::chain::Outcome;
use super::inquiry::Inquiry;
use super::load::Hook;
use super::said::Said;
use crate::capability::bindings::types;
use crate::capability::conversation::Conversation;
use crate::capability::{Moment, Seed};
use crate::id::SkillName;
use crate::model::Directory;

/// A turn that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Minutes by which local time was ahead.
    pub utc_offset_minutes: i32,
    /// What random bytes were made from, in base64.
    seed: String,
    /// As every skill was shown it.
    pub turn: types::Turn,
    /// The models, as they were.
    pub directory: Directory,
    /// The request's body without media, where some skill could read it and it is not too long.
    pub body: Option<String>,
    /// What each skill said that was asked, in order.
    said: Vec<(SkillName, Said)>,
    /// Skills that would have been asked, had none before them decided.
    unasked: Vec<SkillName>,
}

/// How many turns are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// Any at all.
    pub is_on: bool,
    /// At most so many.
    pub turns_max: usize,
    /// Of at most so many bytes together.
    pub bytes_max: usize,
}

/// Keeps turns.
pub trait Archive: Send + Sync {
    /// Turns are kept at all.
    fn is_on(&self) -> bool;

    /// So many are kept from now on.
    fn bound(&self, bounds: Recording);

    /// Keeps a turn, for as long as there is room. Never waits.
    fn keep(&self, turn: Recorded);

    /// The names of what was kept since then, oldest first.
    fn since(&self, at_ms: u64) -> Vec<String>;

    /// What is kept under the name, if it still is. May wait for the disk.
    fn get(&self, name: &str) -> Option<Recorded>;

    /// The conversation that a body holds.
    fn conversation(&self, body: &str) -> Option<Arc<dyn Conversation>>;
}

/// Bytes of a body that is kept; an agent's is below 200 KB unless it is about to overflow anyway.
const BODY_BYTES_MAX: usize = 256 * 1024;

// === impl Recording ===

impl Default for Recording {
    fn default() -> Self {
        Self { is_on: true, turns_max: 1000, bytes_max: 32 << 20 }
    }
}

// === impl Recorded ===

impl Recorded {
    /// A turn that no skill was asked about, for tests of those who keep turns.
    #[cfg(test)]
    pub(crate) fn made(at_ms: u64, turn: types::Turn, directory: Directory) -> Self {
        let (seed, said) = (STANDARD.encode([0; 32]), Vec::new());
        Self { at_ms, utc_offset_minutes: 0, seed, turn, directory, body: None, said, unasked: Vec::new() }
    }

    /// What is to be kept of a turn; of its conversation only where somebody could read it.
    pub(super) fn of(inquiry: &Inquiry, outcome: &Outcome) -> Self {
        let hooked = inquiry.generation.skills.iter().filter(|it| it.hooks.contains(&Hook::Request));
        let (mut said, mut unasked) = (Vec::new(), Vec::new());
        for name in hooked.map(|it| &it.name) {
            match outcome.said_by(name) {
                Some(it) => said.push((name.clone(), it)),
                None => unasked.push(name.clone()),
            }
        }
        let body = inquiry.subject.conversation.as_ref().and_then(|it| it.body());
        let body = body.filter(|body| body.len() <= BODY_BYTES_MAX);
        let moment = inquiry.moment();
        Self {
            at_ms: moment.at_ms,
            utc_offset_minutes: moment.utc_offset_minutes(),
            seed: STANDARD.encode(moment.seed),
            turn: (*inquiry.turn).clone(),
            directory: (*moment.directory).clone(),
            body,
            said,
            unasked,
        }
    }

    /// What the skill said; none where one before it had decided. A skill that was not there had no opinion.
    pub(super) fn said_by(&self, skill: &SkillName) -> Option<Said> {
        let said = self.said.iter().find(|(name, _)| name == skill).map(|(_, said)| said.clone());
        said.or_else(|| (!self.unasked.contains(skill)).then(Said::pass))
    }

    /// The moment, to be looked back to. Chance is another one where it cannot be read.
    pub(super) fn moment(&self) -> Moment {
        let seed: Option<Seed> = STANDARD.decode(&self.seed).ok().and_then(|bytes| bytes.try_into().ok());
        Moment {
            at_ms: self.at_ms,
            utc_offset_minutes: Some(self.utc_offset_minutes),
            seed: seed.unwrap_or_default(),
            directory: Arc::new(self.directory.clone()),
        }
    }
}
