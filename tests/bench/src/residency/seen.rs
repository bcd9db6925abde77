//! What a run showed: who was served when, how often was loaded, what was lost after each load, and how exact this
//! machine was meanwhile.
//!
//! Waits and the makespan are what clients saw. Loads and losses are from the model server's own log, which knows
//! nothing of the gateway. Losses are real time, not scaled: waiting for sockets takes what it takes.

use std::collections::BTreeMap;
use std::time::Duration;

use lmstudio_emulator::{Entry, Event};
use pointsman_bench::paper::{Outcome, Served, Slot};

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Seen {
    /// In the seconds of the paper.
    pub(crate) outcome: Outcome,
    pub(crate) server: ServerLog,
    /// The longest that this process did not come to run when it was due; real time.
    pub(crate) standstill: Duration,
}

/// What the model server says; all of it in real time, to the millisecond.
#[derive(Debug, Default)]
pub(crate) struct ServerLog {
    /// Loads that were begun.
    pub(crate) loads: usize,
    /// From each completed load to the first request that its model began to work on.
    pub(crate) lost: Vec<Duration>,
    /// Loads after which another began before anybody was served.
    pub(crate) for_nobody: usize,
    /// How long each load took.
    pub(crate) loading: Vec<Duration>,
    /// How long each answer took, from the first work on it to its last byte.
    pub(crate) answering: Vec<Duration>,
}

// === impl Seen ===

impl Seen {
    pub(crate) fn new(mut served: Vec<Served>, slot: Slot, log: &[Entry], standstill: Duration) -> Self {
        served.sort_by_key(|served| served.began);
        let ends = served.iter().map(|served| served.began + slot.answer);
        let makespan = ends.max().unwrap_or_default();
        let server = ServerLog::read(log);
        Self { outcome: Outcome { makespan, loads: server.loads, served }, server, standstill }
    }
}

// === impl ServerLog ===

impl ServerLog {
    /// One model is in memory at a time, so a request that begins is the last load's.
    fn read(log: &[Entry]) -> Self {
        let mut it = Self::default();
        let mut load_began = None;
        let mut loaded = None;
        let mut answers = BTreeMap::new();
        for entry in log {
            let at = Duration::from_millis(entry.at_ms);
            let since = |before: Duration| at.saturating_sub(before);
            match &entry.event {
                Event::LoadStarted { .. } => {
                    it.loads += 1;
                    it.for_nobody += usize::from(loaded.take().is_some());
                    load_began = Some(at);
                }
                Event::Loaded { .. } => {
                    it.loading.extend(load_began.take().map(since));
                    loaded = Some(at);
                }
                Event::RequestStarted { request, .. } => {
                    it.lost.extend(loaded.take().map(since));
                    answers.insert(*request, at);
                }
                Event::RequestFinished { request, .. } => {
                    it.answering.extend(answers.remove(request).map(since));
                }
                _ => {}
            }
        }
        it.for_nobody += usize::from(loaded.is_some());
        it
    }
}

/// The mean; nothing where there is nothing.
pub(crate) fn mean(times: &[Duration]) -> Duration {
    let sum: Duration = times.iter().sum();
    u32::try_from(times.len()).ok().and_then(|count| sum.checked_div(count)).unwrap_or_default()
}
