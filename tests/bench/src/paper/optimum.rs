//! The best there is for somebody who knows all that will come: the least makespan, and of the plans that reach it the
//! fewest loads. A lower bound that no gateway can reach, since none knows the future.
//!
//! A plan is a row of *stays*: a model is loaded, some requests for it are answered, the next model is loaded when the
//! last of these answers has ended. The dynamic programme goes over what each client has been answered and which model
//! is resident, and keeps for each such state the earliest ends that are worth keeping (earlier, or with fewer loads).
//!
//! What the optimum may choose: which model is loaded next, at any time, also before anybody asks for it; and how long
//! each stay lasts, also waiting for requests that are still to come. What it may not: a client's next request is there
//! only when the one before it was answered, at that very instant; single requests come when they come.
//!
//! Why this is exact. Ending a stay earlier never hurts, so only the ends of answers are tried. Within a stay it never
//! hurts to answer everything that ends before it does: a client that has been answered more has less to ask for, and
//! everything that could be done for it before can still be done. So within a stay everything begins as soon as it is
//! there and has a place, and the stay's end says it all. Where more wait than there are places, the client with most
//! left to ask goes first, then the one that came first: that is exact for single requests (first come, first served),
//! for clients that are all alike, and where clients with several requests never wait for a place; all arrivals that
//! are measured are of these kinds.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Arrivals, Client, Model, Slot};

/// The best plan's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Best {
    /// When the last answer ends.
    pub makespan: Duration,
    /// Loads, the first included.
    pub loads: usize,
}

/// The best plan for these arrivals.
pub fn best(arrivals: &Arrivals, slot: Slot) -> Best {
    let (models, all) = (arrivals.models(), arrivals.requests());
    let start = State { answered: vec![0; arrivals.clients.len()], resident: None };
    let mut open: BTreeMap<(usize, State), Front> = BTreeMap::new();
    open.insert((0, start), Front(vec![Best { makespan: Duration::ZERO, loads: 0 }]));
    let mut best: Option<Best> = None;
    // Every stay answers something, so whoever has answered least is complete when it is its turn.
    while let Some(((count, state), front)) = open.pop_first() {
        if count == all {
            best = best.into_iter().chain(front.0).min();
            continue;
        }
        for model in models.iter().copied().filter(|model| state.resident != Some(*model)) {
            for so_far in &front.0 {
                let stay = Stay::new(&arrivals.clients, slot, &state, model, so_far.makespan + slot.load);
                for (makespan, answered) in stay {
                    let count = answered.iter().sum();
                    let next = State { answered, resident: Some(model) };
                    let reached = Best { makespan, loads: so_far.loads + 1 };
                    open.entry((count, next)).or_default().insert(reached);
                }
            }
        }
    }
    best.unwrap_or(Best { makespan: Duration::ZERO, loads: 0 })
}

/// Between two stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// How many requests of each client.
    answered: Vec<usize>,
    resident: Option<Model>,
}

/// Ends of which none is both as early and as cheap as another.
#[derive(Debug, Default)]
struct Front(Vec<Best>);

/// One stay on a model, played on and on: each item is an end it could have, and what has been answered by then.
struct Stay<'a> {
    clients: &'a [Client],
    slot: Slot,
    model: Model,
    now: Duration,
    /// How many requests of each client have been answered.
    answered: Vec<usize>,
    /// When each answer under way ends, and the place of its client.
    running: Vec<(Duration, usize)>,
}

// === impl Front ===

impl Front {
    fn insert(&mut self, new: Best) {
        let beats = |one: &Best, other: &Best| one.makespan <= other.makespan && one.loads <= other.loads;
        if self.0.iter().any(|old| beats(old, &new)) {
            return;
        }
        self.0.retain(|old| !beats(&new, old));
        self.0.push(new);
    }
}

// === impl Stay ===

impl<'a> Stay<'a> {
    /// A stay that begins when its load has ended.
    fn new(clients: &'a [Client], slot: Slot, state: &State, model: Model, loaded: Duration) -> Self {
        Self { clients, slot, model, now: loaded, answered: state.answered.clone(), running: Vec::new() }
    }

    /// Clients that ask for the model next and are not being answered: what they have left, when they came, their place.
    fn asking(&self) -> impl Iterator<Item = (Reverse<usize>, Duration, usize)> {
        let all = self.clients.iter().zip(&self.answered).enumerate();
        all.filter_map(|(place, (client, answered))| {
            let is_running = self.running.iter().any(|(_, running)| *running == place);
            let asks = client.requests.get(*answered) == Some(&self.model) && !is_running;
            // Whoever has been answered before is there since then.
            let starts = if *answered == 0 { client.starts } else { Duration::ZERO };
            asks.then_some((Reverse(client.requests.len().saturating_sub(*answered)), starts, place))
        })
    }

    /// Everything begins that is there and has a place.
    fn begin(&mut self) {
        let room = self.slot.parallel.get().saturating_sub(self.running.len());
        let mut asking: Vec<_> = self.asking().filter(|(_, starts, _)| *starts <= self.now).collect();
        asking.sort_unstable();
        let until = self.now + self.slot.answer;
        self.running.extend(asking.into_iter().take(room).map(|(_, _, place)| (until, place)));
    }

    /// Answers that end now are counted; says whether there were any.
    fn end(&mut self) -> bool {
        let now = self.now;
        let ended: Vec<_> = self.running.extract_if(.., |(until, _)| *until <= now).collect();
        for (_, place) in &ended {
            if let Some(answered) = self.answered.get_mut(*place) {
                *answered += 1;
            }
        }
        !ended.is_empty()
    }
}

impl Iterator for Stay<'_> {
    type Item = (Duration, Vec<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.begin();
            let ends = self.running.iter().map(|(until, _)| *until);
            let comes = self.asking().map(|(_, starts, _)| starts).filter(|starts| *starts > self.now);
            self.now = ends.chain(comes).min()?;
            if self.end() {
                return Some((self.now, self.answered.clone()));
            }
        }
    }
}
