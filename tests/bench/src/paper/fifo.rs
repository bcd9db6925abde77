//! Strictly in order: nobody begins before somebody who came earlier, whatever is in memory. What a queue without a
//! thought costs; no bound is needed, since nobody is ever passed.

use std::time::Duration;

use super::line::{self, Comeback, Moment, Policy, Step};
use super::{Arrivals, Outcome, Slot};

/// Plays arrivals strictly in order.
pub fn play(arrivals: &Arrivals, slot: Slot) -> Outcome {
    // Those who come back stand behind those who are there, so it does not matter when they are seen.
    line::play(arrivals, slot, Comeback::AtOnce, &Fifo)
}

struct Fifo;

// === impl Fifo ===

impl Policy for Fifo {
    fn next(&self, moment: &Moment) -> Step {
        const NEVER: Option<Duration> = None;
        match moment.line.first() {
            Some(head) if !moment.is_foreign(head) && moment.has_room() => Step::Begin(0),
            Some(head) if moment.is_foreign(head) && moment.running == 0 => Step::Load(head.model),
            _ => Step::Rest(NEVER),
        }
    }
}
