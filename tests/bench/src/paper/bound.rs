//! What the rules promise a waiter: `max_wait`, one drain and swap of its own, and one drain, swap and batch for each
//! other model for which somebody older was overdue meanwhile.
//!
//! The promise is worked out afterwards, from what happened to all: who was older, who was overdue, and how many waited
//! for a model at once, which is what its batch can have been. A drain counts one answer: nothing runs longer.

use std::time::Duration;

use super::{Model, Served, Slot, rules};

/// The longest that this one may have waited, among all that were served.
pub fn allowed(one: &Served, all: &[Served], slot: Slot) -> Duration {
    let max_wait = rules::max_wait(slot);
    let swap = slot.answer + slot.load;
    let is_older_overdue = |other: &&Served| {
        other.model != one.model
            && other.arrived <= one.arrived
            && other.began > one.arrived
            && other.waited() > max_wait
    };
    let mut others: Vec<Model> = all.iter().filter(is_older_overdue).map(|other| other.model).collect();
    others.sort_unstable();
    others.dedup();
    let batches = others.into_iter().map(|model| batch(model, one, all, slot));
    max_wait + swap + batches.map(|batch| swap + batch).sum::<Duration>()
}

/// How near a wait came to what was allowed, at worst: 1 is all of it. 0 where nobody was served.
pub fn worst(all: &[Served], slot: Slot) -> f64 {
    let shares = all.iter().map(|one| one.waited().as_secs_f64() / allowed(one, all, slot).as_secs_f64());
    shares.fold(0.0, f64::max)
}

/// How long it takes to answer the most that waited for the model at once while this one waited.
fn batch(model: Model, one: &Served, all: &[Served], slot: Slot) -> Duration {
    let of_model = || all.iter().filter(|other| other.model == model);
    // A crowd is largest when somebody joins it, or was there from the start.
    let instants = of_model().map(|other| other.arrived.max(one.arrived)).filter(|at| *at <= one.began);
    let crowd = |at: Duration| of_model().filter(|other| other.arrived <= at && other.began >= at).count();
    let most = instants.map(crowd).max().unwrap_or(0);
    slot.answer * u32::try_from(most.div_ceil(slot.parallel.get())).unwrap_or(u32::MAX)
}
