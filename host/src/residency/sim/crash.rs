//! The end of the process at any moment, and its next life: what was not durable is lost, what providers were doing goes
//! on without anybody who hears of it.

use super::*;
use crate::residency::record::{Kept, KnownModel, Record};

/// What is written, and what is on its way to the disk.
#[derive(Default)]
pub(super) struct Shelf {
    durable: Kept,
    /// In the order in which they were handed in.
    pending: Vec<(u64, Option<Mark>, Record, Instant)>,
    /// When what is durable was handed in.
    written: Option<Instant>,
}

impl Sim {
    /// A record is handed in; with a mark somebody waits for it.
    pub(super) fn write(&mut self, mark: Option<Mark>, record: Record) {
        // Who does not wait has no say in when it is.
        let longest = if mark.is_some() { 60 } else { 10_000 };
        let delay = self.millis(1..longest);
        self.next += 1;
        self.shelf.pending.push((self.next, mark, record, self.now));
        self.schedule(delay, Happening::Written(self.next));
    }

    pub(super) fn write_models(&mut self, provider: ProviderIndex, models: Vec<KnownModel>) {
        let name = self.planner.name_of(provider).unwrap().to_owned();
        self.shelf.durable.models.insert(name, models);
    }

    /// This record is on disk, and so is all that was handed in before.
    pub(super) fn written(&mut self, number: u64) {
        let done = self.shelf.pending.partition_point(|(it, ..)| *it <= number);
        let done: Vec<_> = self.shelf.pending.drain(..done).collect();
        for (_, mark, record, at) in done {
            (self.shelf.durable.record, self.shelf.written) = (Some(record), Some(at));
            if let Some(mark) = mark {
                let is_told = self.rng.random_bool(0.99);
                let durability = if is_told { Durability::Durable } else { Durability::Unknown };
                self.feed(Event::Remembered(mark, durability));
            }
        }
    }

    /// The process ends here and now, and the next one begins.
    pub(super) fn crash_gateway(&mut self) {
        if self.now >= self.ends || self.stopped {
            return;
        }
        self.life += 1;
        self.lose_what_is_not_durable();
        self.leave_loads_alone();
        self.unloading.clear();
        self.wishes.clear();
        self.holds.clear();
        self.pinned.clear();
        self.world.servers.iter_mut().for_each(|server| server.seen = None);
        let busy: BTreeSet<usize> = std::mem::take(&mut self.leases)
            .into_values()
            .map(|lease| lease.session)
            .chain(std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.session))
            .collect();
        for session in 0..self.sessions.len() {
            let is_hog = self.sessions[session].begin_anew();
            if busy.contains(&session) && !is_hog {
                self.session_rests(session);
            }
        }
        let age = self.shelf.written.map_or(Duration::ZERO, |at| self.now - at);
        let kept = Kept { age, ..self.shelf.durable.clone() };
        self.trace("--- the gateway ends, and begins with ", &kept.record);
        self.planner = Planner::new("device", self.config.clone(), &places(&self.world), self.now)
            .with_mutant(self.fault)
            .resume(kept);
        self.feed(Event::Tick);
    }

    /// A choice of the last moments may be lost; nothing else is.
    fn lose_what_is_not_durable(&mut self) {
        let due = |record: &Record| -> Vec<ModelId> {
            record.baseline.iter().map(|due| due.model.clone()).collect()
        };
        let kept = self.shelf.durable.record.as_ref().map(due);
        let lost = std::mem::take(&mut self.shelf.pending);
        self.baseline_moved |=
            kept.is_some_and(|kept| lost.iter().any(|(_, _, record, _)| due(record) != kept));
    }

    /// Loads that were sent go on where they run.
    fn leave_loads_alone(&mut self) {
        for (key, (_, _, model)) in std::mem::take(&mut self.loads) {
            let is_it = |(_, it): &(u32, Happening)| matches!(it, Happening::LoadAnswer(answer, Ok(_)) if *answer == key);
            if self.happenings.values().any(is_it) && self.world.takes_loads(&model) {
                self.world.begin_late(&model, self.now);
                self.going_on.insert(key, model);
            }
        }
    }

    /// What was asked for in a life before has its effect, and nobody hears of it.
    pub(super) fn happen_unheard(&mut self, happening: Happening) {
        match happening {
            Happening::LoadAnswer(key, _) => {
                if let Some(model) = self.going_on.remove(&key) {
                    self.world.finish_late(&model);
                }
            }
            Happening::UnloadAnswer(server, key, Ok(())) if !self.world.servers[server].is_down => {
                self.world.remove(server, &key.id, self.now);
            }
            _ => {}
        }
    }
}

// === impl Happening ===

impl Happening {
    /// It is an answer to somebody, and nothing to anybody else.
    pub(super) fn is_an_answer(&self) -> bool {
        matches!(
            self,
            Self::ListAnswer(..) | Self::LoadAnswer(..) | Self::UnloadAnswer(..) | Self::Written(_)
        )
    }
}
