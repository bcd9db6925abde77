//! The baseline: the models that are due in memory when nobody needs anything else, with the settings they had, in the
//! order in which they were chosen.
//!
//! It may name more than fits only while all of that is in memory, which people can bring about; where something must
//! give way, what is not in memory goes first, then what was chosen longest ago.

use std::time::Duration;

use crate::id::ModelId;
use crate::model::Kind;
use crate::provider::Settings;

/// What is due at rest.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    /// The one chosen last is last.
    due: Vec<Due>,
    /// Which models are due, or their order, is not what it was when this was last asked.
    changed: bool,
}

/// One model that is due.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) model: ModelId,
    pub(super) kind: Kind,
    pub(super) settings: Settings,
    /// It is due only until it has been idle for so long, once it is back.
    pub(super) ttl: Option<Duration>,
}

/// Where a model stands from now on that is due already and is chosen again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It was brought into memory, or asked for by name: it is the one chosen last.
    Last,
    /// It was there, and one more request used it; most of those come by the gate and are not even seen.
    Kept,
}

// === impl Baseline ===

impl Baseline {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Due> {
        self.due.iter()
    }

    pub(super) fn get(&self, model: &ModelId) -> Option<&Due> {
        self.due.iter().find(|due| due.model == *model)
    }

    /// Someone chose the model. Says whether it was not due before: then something else may have to leave.
    pub(super) fn choose(&mut self, chosen: Due, place: Place) -> bool {
        match (self.due.iter().position(|due| due.model == chosen.model), place) {
            (Some(at), Place::Last) => {
                let before = self.due.remove(at);
                self.changed |= at != self.due.len();
                self.due.push(Due { settings: chosen.settings.or(before.settings), ..chosen });
                false
            }
            (Some(_), Place::Kept) => {
                if let Some(due) = self.due.iter_mut().find(|due| due.model == chosen.model) {
                    due.settings = chosen.settings.or(due.settings);
                }
                false
            }
            (None, _) => {
                self.due.push(chosen);
                self.changed = true;
                true
            }
        }
    }

    /// These are due, too, in this place among the others.
    pub(super) fn insert(&mut self, place: usize, inherited: Vec<Due>) {
        let new: Vec<Due> = inherited.into_iter().filter(|due| self.get(&due.model).is_none()).collect();
        self.changed |= !new.is_empty();
        let place = place.min(self.due.len());
        self.due.splice(place..place, new);
    }

    /// The model, if it is due, is so for good, or only until it has been idle for so long.
    pub(super) fn set_ttl(&mut self, model: &ModelId, ttl: Option<Duration>) {
        if let Some(due) = self.due.iter_mut().find(|due| due.model == *model) {
            due.ttl = ttl;
        }
    }

    /// The model is not due any more.
    pub(super) fn remove(&mut self, model: &ModelId) {
        let before = self.due.len();
        self.due.retain(|due| due.model != *model);
        self.changed |= self.due.len() != before;
    }

    /// It changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

// === surplus ===

/// An entry that shares room with others, as seen when something must give way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) due: &'a Due,
    pub(super) is_resident: bool,
}

/// What of these must leave, in the order they were chosen, so that the rest is in memory or fits.
///
/// The one chosen last stays, and what need not leave does. An embedding model pushes no language model out: where only
/// that would do, it is not due itself.
pub(super) fn surplus(entries: &[Entry<'_>], fits: impl Fn(&[Entry<'_>]) -> bool) -> Vec<ModelId> {
    let Some((last, others)) = entries.split_last() else { return Vec::new() };
    let is_akin = |entry: &Entry<'_>| entry.due.kind == last.due.kind;
    let mut order: Vec<Entry<'_>> = others.to_vec();
    // Sorting is stable: within a group the one chosen longest ago is first.
    order.sort_by_key(|entry| (!is_akin(entry), entry.is_resident));
    if last.due.kind == Kind::Embedding {
        order.insert(others.iter().filter(|entry| is_akin(entry)).count(), *last);
    }
    let without = |gone: &[Entry<'_>]| -> Vec<Entry<'_>> {
        let stays = |entry: &&Entry<'_>| !gone.iter().any(|it| it.due.model == entry.due.model);
        entries.iter().filter(stays).copied().collect()
    };
    let mut gone: Vec<Entry<'_>> = Vec::new();
    let mut order = order.into_iter();
    loop {
        let rest = without(&gone);
        if fits(&rest) || rest.iter().all(|entry| entry.is_resident) {
            break;
        }
        let Some(next) = order.next() else { break };
        gone.push(next);
    }
    for at in (0..gone.len()).rev() {
        let spared = gone.remove(at);
        if !fits(&without(&gone)) {
            gone.insert(at, spared);
        }
    }
    ids(&gone)
}

fn ids(entries: &[Entry<'_>]) -> Vec<ModelId> {
    entries.iter().map(|entry| entry.due.model.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(choice: &str) -> Due {
        let kind = if choice.starts_with('e') { Kind::Embedding } else { Kind::Language };
        Due { model: ModelId::of("p", choice), kind, settings: Settings::default(), ttl: None }
    }

    fn trim(baseline: &mut Baseline, resident: &[&str], fits: impl Fn(&[Entry<'_>]) -> bool) {
        let is_resident = |due: &Due| resident.contains(&due.model.key());
        let entries: Vec<_> =
            baseline.iter().map(|due| Entry { due, is_resident: is_resident(due) }).collect();
        for gone in surplus(&entries, fits) {
            baseline.remove(&gone);
        }
    }

    fn check(capacity: usize, resident: &[&str], choices: &[&str], expected: &[&str]) {
        let mut baseline = Baseline::default();
        for choice in choices {
            let (key, place) =
                choice.strip_prefix('=').map_or((*choice, Place::Last), |it| (it, Place::Kept));
            if baseline.choose(due(key), place) {
                trim(&mut baseline, resident, |entries| entries.len() <= capacity);
            }
        }
        trim(&mut baseline, resident, |entries| entries.len() <= capacity);
        let left: Vec<&str> = baseline.iter().map(|due| due.model.key()).collect();
        assert_eq!(left, expected, "capacity {capacity}, resident {resident:?}, chosen {choices:?}");
    }

    /// Models whose names end in what they weigh.
    fn check_weights(memory: u32, resident: &[&str], due_before: &[&str], expected: &[&str]) {
        let mut baseline = Baseline::default();
        for key in due_before {
            baseline.choose(due(key), Place::Last);
        }
        let weight = |entry: &Entry<'_>| entry.due.model.key()[1..].parse::<u32>().unwrap();
        trim(&mut baseline, resident, |entries| entries.iter().map(weight).sum::<u32>() <= memory);
        let left: Vec<&str> = baseline.iter().map(|due| due.model.key()).collect();
        assert_eq!(left, expected, "memory {memory}, resident {resident:?}, due {due_before:?}");
    }

    #[test]
    fn by_weight_only_what_must_leave_does() {
        check_weights(16, &["b10"], &["x2", "a12", "b10"], &["x2", "b10"]);
        check_weights(16, &["a8"], &["a8", "b6", "c7"], &["a8", "c7"]);
        check_weights(16, &["a8", "b9"], &["a8", "b9"], &["a8", "b9"]);
        check_weights(9, &["b9"], &["e1", "a8", "b9"], &["b9"]);
    }

    #[test]
    fn an_embedding_model_pushes_no_language_model_out() {
        check_weights(9, &["e2"], &["a8", "e2"], &["a8"]);
        check_weights(9, &["a8", "e2"], &["a8", "e2"], &["a8", "e2"]);
        check_weights(9, &["a8", "e1"], &["e0", "a8", "e1"], &["e0", "a8", "e1"]);
        check_weights(9, &["a7", "f2"], &["e1", "a7", "e2"], &["a7", "e2"]);
    }

    #[test]
    fn what_does_not_fit_goes_in_order() {
        check(1, &["a"], &["a"], &["a"]);
        check(1, &["b"], &["a", "b"], &["b"]);
        check(1, &["a", "b"], &["a", "b"], &["a", "b"]);
        check(1, &["a", "x"], &["b", "x"], &["x"]);
        check(2, &["a", "c"], &["a", "b", "c"], &["a", "c"]);
        check(2, &["c"], &["a", "b", "c"], &["b", "c"]);
    }

    #[test]
    fn what_is_chosen_again_is_what_was_chosen_last() {
        check(1, &["a", "b"], &["a", "b", "a"], &["b", "a"]);
        check(2, &[], &["a", "b", "a", "c"], &["a", "c"]);
        // One more request for what is there changes no order.
        check(1, &["a", "b"], &["a", "b", "=a"], &["a", "b"]);
        check(2, &[], &["a", "b", "=a", "c"], &["b", "c"]);
        check(1, &["a"], &["=a"], &["a"]);
    }

    #[test]
    fn it_says_when_it_changed() {
        let mut baseline = Baseline::default();
        let mut changed = |what: &dyn Fn(&mut Baseline)| {
            what(&mut baseline);
            baseline.take_changed()
        };
        let choose = |key: &'static str, place| {
            move |baseline: &mut Baseline| {
                baseline.choose(due(key), place);
            }
        };
        assert!(changed(&choose("a", Place::Last)));
        assert!(!changed(&choose("a", Place::Last)), "it was the last already");
        assert!(changed(&choose("b", Place::Kept)));
        assert!(!changed(&choose("a", Place::Kept)));
        assert!(changed(&choose("a", Place::Last)));
        assert!(changed(&|baseline| trim(baseline, &[], |entries| entries.len() <= 1)));
        assert!(changed(&|baseline| baseline.remove(&ModelId::of("p", "a"))));
        assert!(!changed(&|baseline| baseline.remove(&ModelId::of("p", "a"))));
    }
}
