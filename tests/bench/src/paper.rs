//! One slot of memory shared by clients that want different models, on paper: how long it takes and how often it loads
//! when loads and answers take exactly their time and nothing else takes any.
//!
//! Three ways of sharing are worked out for the same [`Arrivals`]: strictly in order ([`fifo`]), by the gateway's own
//! rules ([`rules`]), and the best there is for somebody who knows what will come ([`optimum`]). What the rules promise
//! a waiter is a figure, too ([`bound`]). Arithmetic is exact (nanoseconds in [`Duration`]); nothing here knows a clock,
//! a task or a socket, so each figure is the same on every machine.
//!
//! Left out, everywhere: unloading takes no time, no load fails, no client leaves, no answer calls a tool (so nothing is
//! *wanted* between two requests), and a client that was answered asks again at once.

pub mod arrivals;
pub mod bound;
pub mod fifo;
mod line;
pub mod optimum;
pub mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

/// A model, by number: 0 is `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Model(pub u8);

/// A client, by its place in [`Arrivals::clients`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNumber(pub usize);

/// Who comes, when, for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// For tables and for choosing one: lower case, no spaces.
    pub name: String,
    /// For people.
    pub description: String,
    /// Those who come.
    pub clients: Vec<Client>,
}

/// One who asks for one thing after the other: its next request is there when the one before it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// When its first request is there.
    pub starts: Duration,
    /// What it asks for.
    pub requests: Vec<Model>,
}

/// What the slot is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// What a load takes, the former model's unload included.
    pub load: Duration,
    /// What an answer takes, however many run beside it.
    pub answer: Duration,
    /// Answers that a model works on at once.
    pub parallel: NonZeroUsize,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Whose it was.
    pub client: ClientNumber,
    /// What it asked for.
    pub model: Model,
    /// When it was there.
    pub arrived: Duration,
    /// When its model began to work on it.
    pub began: Duration,
}

/// What became of it all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When the last answer ended.
    pub makespan: Duration,
    /// Loads that were begun.
    pub loads: usize,
    /// Requests in the order in which they began.
    pub served: Vec<Served>,
}

// === impl Model ===

impl fmt::Display for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", char::from(b'A'.saturating_add(self.0)))
    }
}

// === impl Arrivals ===

impl Arrivals {
    /// Requests of all clients.
    pub fn requests(&self) -> usize {
        self.clients.iter().map(|client| client.requests.len()).sum()
    }

    /// Models that are asked for, each once, in order.
    pub fn models(&self) -> Vec<Model> {
        let mut models: Vec<_> = self.clients.iter().flat_map(|client| client.requests.clone()).collect();
        models.sort_unstable();
        models.dedup();
        models
    }
}

// === impl Slot ===

impl Slot {
    /// The slot that everything here is measured with: two seconds, a fifth of a second, four at once.
    pub const MEASURED: Self = Self {
        load: Duration::from_secs(2),
        answer: Duration::from_millis(200),
        parallel: NonZeroUsize::MIN.saturating_add(3),
    };
}

// === impl Served ===

impl Served {
    /// How long it waited for its model to begin.
    pub fn waited(&self) -> Duration {
        self.began.saturating_sub(self.arrived)
    }
}
