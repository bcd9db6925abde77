//! The baseline: the models that are due in memory when nobody needs anything else, with the settings they had, in the
//! order in which they were chosen.
//!
//! It may name more than fits only while all of that is in memory, which people can bring about; where something must
//! give way, what is not in memory goes first, then what was chosen longest ago.

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

    /// Someone chose the model; what it displaced is dropped.
    pub(super) fn choose(
        &mut self,
        chosen: Due,
        place: Place,
        capacity: usize,
        resident: impl Fn(&ModelId) -> bool,
    ) {
        let kind = chosen.kind;
        match (self.due.iter().position(|due| due.model == chosen.model), place) {
            (Some(at), Place::Last) => {
                let before = self.due.remove(at);
                self.changed |= at != self.due.len();
                self.due.push(Due { settings: chosen.settings.or(before.settings), ..chosen });
            }
            (Some(_), Place::Kept) => {
                if let Some(due) = self.due.iter_mut().find(|due| due.model == chosen.model) {
                    due.settings = chosen.settings.or(due.settings);
                }
            }
            (None, _) => {
                self.due.push(chosen);
                self.changed = true;
                self.trim(kind, capacity, resident);
            }
        }
    }

    /// Drops what no longer fits.
    pub(super) fn trim(&mut self, kind: Kind, capacity: usize, resident: impl Fn(&ModelId) -> bool) {
        loop {
            let of_kind = || self.due.iter().enumerate().filter(|(_, due)| due.kind == kind);
            let count = of_kind().count();
            let all_resident = of_kind().all(|(_, due)| resident(&due.model));
            if count <= capacity || all_resident {
                return;
            }
            let before_last = || of_kind().take(count.saturating_sub(1));
            let absent = before_last().find(|(_, due)| !resident(&due.model));
            let Some((index, _)) = absent.or_else(|| before_last().next()) else { return };
            self.due.remove(index);
            self.changed = true;
        }
    }

    /// Someone unloaded the model.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn due(choice: &str) -> Due {
        Due { model: ModelId::of("p", choice), kind: Kind::Language, settings: Settings::default() }
    }

    fn check(capacity: usize, resident: &[&str], choices: &[&str], expected: &[&str]) {
        let mut baseline = Baseline::default();
        for choice in choices {
            let (key, place) =
                choice.strip_prefix('=').map_or((*choice, Place::Last), |it| (it, Place::Kept));
            baseline.choose(due(key), place, capacity, |model| resident.contains(&model.key()));
        }
        baseline.trim(Kind::Language, capacity, |model| resident.contains(&model.key()));
        let left: Vec<&str> = baseline.iter().map(|due| due.model.key()).collect();
        assert_eq!(left, expected, "capacity {capacity}, resident {resident:?}, chosen {choices:?}");
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
            move |baseline: &mut Baseline| baseline.choose(due(key), place, 2, |_| false)
        };
        assert!(changed(&choose("a", Place::Last)));
        assert!(!changed(&choose("a", Place::Last)), "it was the last already");
        assert!(changed(&choose("b", Place::Kept)));
        assert!(!changed(&choose("a", Place::Kept)));
        assert!(changed(&choose("a", Place::Last)));
        assert!(changed(&|baseline| baseline.trim(Kind::Language, 1, |_| false)));
        assert!(changed(&|baseline| baseline.remove(&ModelId::of("p", "a"))));
        assert!(!changed(&|baseline| baseline.remove(&ModelId::of("p", "a"))));
    }
}
