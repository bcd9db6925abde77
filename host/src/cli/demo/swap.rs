//! A specialist swap as LM Studio's own log tells it, and whether it was one. Pure: entries in, moments and judgements out.

use std::collections::BTreeSet;

use lmstudio_emulator::{Entry, Event};

/// A span of the log, in milliseconds since LM Studio's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// When it began.
    pub(super) from: u64,
    /// When it was over.
    pub(super) to: u64,
}

/// The swap as far as it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Swap {
    /// When the last answer of the model in the way was over, where one was running.
    pub(super) drained: Option<u64>,
    /// When its unload was asked for.
    pub(super) unload_began: Option<u64>,
    /// Its unload.
    pub(super) unload: Option<Span>,
    /// When the specialist's load began.
    pub(super) load_began: Option<u64>,
    /// Which specialist.
    pub(super) specialist: Option<String>,
    /// Its load.
    pub(super) load: Option<Span>,
    /// When its answer began.
    pub(super) answer_began: Option<u64>,
    /// Its answer.
    pub(super) answer: Option<Span>,
    /// When the first model's load began.
    pub(super) restore_began: Option<u64>,
    /// The first model's load.
    pub(super) restore: Option<Span>,
    /// What should not have happened.
    pub(super) faults: Vec<String>,
}

/// What the swap is about.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    /// The model that was there.
    pub(super) resident: String,
    /// Those that may take its place.
    pub(super) specialists: BTreeSet<String>,
    /// The last entry before it.
    pub(super) since: u64,
}

// === impl Swap ===

impl Swap {
    /// The swap that these entries tell of.
    pub(super) fn read(entries: &[Entry], cast: &Cast) -> Self {
        let mut swap = Self::default();
        for entry in entries.iter().filter(|entry| entry.sequence > cast.since) {
            swap.take(entry, cast);
            swap.watch_memory(entry, cast);
        }
        swap
    }

    fn take(&mut self, entry: &Entry, cast: &Cast) {
        let at = entry.at_ms;
        let is_resident = |instance: &str| key_of(entry, instance) == cast.resident;
        match &entry.event {
            Event::RequestFinished { instance: Some(instance), .. }
                if self.unload_began.is_none() && is_resident(instance) =>
            {
                self.drained = Some(at);
            }
            Event::Unload { instance } if is_resident(instance) => {
                self.unload_began.get_or_insert(at);
            }
            Event::Unloaded { instance } if key(instance) == cast.resident && self.load_began.is_none() => {
                self.unload = self.unload_began.map(|from| Span { from, to: at });
            }
            Event::LoadStarted { instance } if is_resident(instance) => {
                self.restore_began.get_or_insert(at);
            }
            Event::LoadStarted { instance } => {
                self.load_began.get_or_insert(at);
                self.specialist.get_or_insert_with(|| key_of(entry, instance).to_owned());
            }
            Event::Loaded { instance, .. } if is_resident(instance) => {
                self.restore = self.restore_began.map(|from| Span { from, to: at });
            }
            Event::Loaded { .. } => self.load = self.load_began.map(|from| Span { from, to: at }),
            Event::FirstToken { instance, .. } if !is_resident(instance) => {
                self.answer_began.get_or_insert(at);
            }
            Event::RequestFinished { instance: Some(instance), status: Some(200), .. }
                if self.answer.is_none() && !is_resident(instance) =>
            {
                self.answer = self.answer_began.map(|from| Span { from, to: at });
            }
            Event::StreamKilled { instance, .. } => {
                self.faults.push(format!("an answer of {instance} was cut off"))
            }
            Event::LoadFailed { instance, reason } => {
                self.faults.push(format!("loading {instance} failed: {reason}"))
            }
            Event::Evicted { instance } => self.faults.push(format!("LM Studio itself evicted {instance}")),
            _ => {}
        }
    }

    /// From the end of the unload to the beginning of the restore only the specialist may be there.
    fn watch_memory(&mut self, entry: &Entry, cast: &Cast) {
        if self.unload.is_none() || self.restore_began.is_some() {
            return;
        }
        for other in entry.resident.iter().filter(|it| !cast.specialists.contains(&*it.key)) {
            self.faults.push(format!("{} was in memory beside the specialist", other.key));
        }
    }

    /// What is missing for it to be a whole swap, in its order.
    pub(super) fn shortcomings(&self) -> Vec<String> {
        let moments = [
            ("an answer that was waited for", self.drained),
            ("unloading the model that was there", self.unload.map(|it| it.from)),
            ("loading the specialist", self.load.map(|it| it.from)),
            ("the specialist's answer", self.answer.map(|it| it.from)),
            ("putting the first model back", self.restore.map(|it| it.from)),
        ];
        let mut found: Vec<String> = moments
            .iter()
            .filter(|(_, at)| at.is_none())
            .map(|(what, _)| format!("missing: {what}"))
            .collect();
        let in_order = moments.windows(2).all(|pair| match pair {
            [(_, Some(before)), (_, Some(after))] => before <= after,
            _ => true,
        });
        if !in_order {
            found.push("the steps are out of order".to_owned());
        }
        found.extend(self.faults.iter().cloned());
        found
    }
}

/// The model of an instance that is in memory at that moment.
fn key_of<'a>(entry: &'a Entry, instance: &'a str) -> &'a str {
    let own = entry.resident.iter().find(|it| &*it.id == instance);
    own.map_or_else(|| key(instance), |it| &*it.key)
}

/// The model of an instance that is gone: its id is the key, perhaps with a number.
fn key(instance: &str) -> &str {
    instance.split(':').next().unwrap_or(instance)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lmstudio_emulator::log::{Origin, Resident, ResidentPhase};

    use super::*;

    fn cast() -> Cast {
        Cast { resident: "big".to_owned(), specialists: BTreeSet::from(["tr".to_owned()]), since: 2 }
    }

    fn entries(told: Told) -> Vec<Entry> {
        let resident = |key: &&str| Resident {
            id: Arc::from(*key),
            key: Arc::from(*key),
            phase: ResidentPhase::Ready,
            context_length: 1,
            origin: Origin::Explicit,
        };
        (3..)
            .zip(told)
            .map(|(sequence, (event, keys))| Entry {
                sequence,
                at_ms: sequence * 10,
                event,
                resident: keys.iter().map(resident).collect(),
            })
            .collect()
    }

    fn finished(instance: &str) -> Event {
        Event::RequestFinished { request: 1, status: Some(200), instance: Some(Arc::from(instance)) }
    }

    /// Events, and what was in memory after each.
    type Told = Vec<(Event, &'static [&'static str])>;

    /// What goes differently.
    type Change = fn(&mut Told);

    fn story() -> Told {
        let name = |text: &str| -> Arc<str> { Arc::from(text) };
        vec![
            (finished("big"), &["big"]),
            (Event::Unload { instance: name("big") }, &["big"]),
            (Event::Unloaded { instance: name("big") }, &[]),
            (Event::LoadStarted { instance: name("tr") }, &["tr"]),
            (Event::Loaded { instance: name("tr"), seconds: 1.0 }, &["tr"]),
            (Event::FirstToken { request: 2, instance: name("tr") }, &["tr"]),
            (finished("tr"), &["tr"]),
            (Event::Unload { instance: name("tr") }, &["tr"]),
            (Event::Unloaded { instance: name("tr") }, &[]),
            (Event::LoadStarted { instance: name("big") }, &["big"]),
            (Event::Loaded { instance: name("big"), seconds: 1.0 }, &["big"]),
        ]
    }

    #[test]
    fn a_whole_swap_has_no_shortcomings() {
        let swap = Swap::read(&entries(story()), &cast());
        assert_eq!(swap.shortcomings(), Vec::<String>::new());
        assert_eq!(swap.drained, Some(30));
        assert_eq!(swap.unload, Some(Span { from: 40, to: 50 }));
        assert_eq!(swap.load, Some(Span { from: 60, to: 70 }));
        assert_eq!(swap.answer, Some(Span { from: 80, to: 90 }));
        assert_eq!(swap.restore, Some(Span { from: 120, to: 130 }));
        assert_eq!(swap.specialist.as_deref(), Some("tr"));
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let broken = |change: Change| {
            let mut told = story();
            change(&mut told);
            Swap::read(&entries(told), &cast()).shortcomings().join("; ")
        };
        let cases: [(Change, &str); 5] = [
            (|told| drop(told.remove(0)), "an answer that was waited for"),
            (|told| told.truncate(9), "putting the first model back"),
            (|told| told[4].1 = &["tr", "big"], "beside the specialist"),
            (
                |told| {
                    told.insert(1, (Event::StreamKilled { request: 1, instance: Arc::from("big") }, &["big"]))
                },
                "cut off",
            ),
            (|told| told.swap(1, 3), "missing"),
        ];
        for (change, expected) in cases {
            let said = broken(change);
            assert!(said.contains(expected), "{expected}: {said}");
        }
        // What was before it does not count.
        let late = Cast { since: 7, ..cast() };
        assert!(!Swap::read(&entries(story()), &late).shortcomings().is_empty());
    }
}
