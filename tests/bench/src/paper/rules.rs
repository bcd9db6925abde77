//! The gateway's own rules for one slot, on paper: what a run through real sockets is measured against.
//!
//! Whoever asks for the resident model is served at once, past those who wait for others, as long as its gate is open.
//! The gate closes when somebody who waits for another model is overdue, that is, has waited `max_wait`, but not before
//! everybody has begun who waited when the resident model's load completed (the frozen batch). A load begins when
//! nothing runs and nobody who may be served is left, for the oldest overdue waiter, else for the oldest.
//!
//! Assumed: every swap takes what it is measured to take, so `max_wait` is the same for all models; a gate once closed
//! stays closed until the swap; no drain takes as long as `drain_timeout`; nothing is configured to stay.

use std::time::Duration;

use super::line::{self, Moment, Policy, Step, Waiting};
use super::{Arrivals, Outcome, Slot};

pub use super::line::Comeback;

/// The shortest `max_wait` by default, however fast a swap is.
const MAX_WAIT_LEAST: Duration = Duration::from_secs(5);

/// The longest `max_wait` by default, however slow a swap is.
const MAX_WAIT_MOST: Duration = Duration::from_secs(60);

/// How long a waiter respects others by default: three times the swap, within bounds.
pub fn max_wait(slot: Slot) -> Duration {
    slot.load.saturating_mul(3).clamp(MAX_WAIT_LEAST, MAX_WAIT_MOST)
}

/// Plays arrivals by the rules.
pub fn play(arrivals: &Arrivals, slot: Slot, comeback: Comeback) -> Outcome {
    line::play(arrivals, slot, comeback, &Rules { max_wait: max_wait(slot) })
}

struct Rules {
    max_wait: Duration,
}

// === impl Rules ===

impl Policy for Rules {
    fn next(&self, moment: &Moment) -> Step {
        let overdue = foreign(moment).find(|waiting| self.is_overdue_from(waiting) <= moment.now);
        let is_open = overdue.is_none() || !moment.batch.is_empty();
        let served = moment.line.iter().position(|waiting| !moment.is_foreign(waiting));
        if let Some(place) = served.filter(|_| is_open && moment.has_room()) {
            return Step::Begin(place);
        }
        match overdue.or_else(|| foreign(moment).next()) {
            Some(waiting) if moment.running == 0 => Step::Load(waiting.model),
            _ => Step::Rest(self.next_overdue(moment)),
        }
    }
}

impl Rules {
    fn is_overdue_from(&self, waiting: &Waiting) -> Duration {
        waiting.arrived + self.max_wait
    }

    /// When somebody else will be overdue.
    fn next_overdue(&self, moment: &Moment) -> Option<Duration> {
        foreign(moment).map(|waiting| self.is_overdue_from(waiting)).find(|at| *at > moment.now)
    }
}

/// Those who wait for something that is not resident, oldest first.
fn foreign(moment: &Moment) -> impl Iterator<Item = &Waiting> {
    moment.line.iter().filter(|waiting| moment.is_foreign(waiting))
}
