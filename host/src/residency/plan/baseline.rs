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
}

/// One model that is due.
#[derive(Debug, Clone)]
pub(super) struct Due {
    pub(super) model: ModelId,
    pub(super) kind: Kind,
    pub(super) settings: Settings,
}

// === impl Baseline ===

impl Baseline {
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Due> {
        self.due.iter()
    }

    pub(super) fn get(&self, model: &ModelId) -> Option<&Due> {
        self.due.iter().find(|due| due.model == *model)
    }

    /// Someone chose the model; what it displaced is dropped. A model that is due already keeps its place.
    pub(super) fn choose(&mut self, chosen: Due, capacity: usize, resident: impl Fn(&ModelId) -> bool) {
        match self.due.iter_mut().find(|due| due.model == chosen.model) {
            Some(due) => due.settings = chosen.settings.or(due.settings),
            None => {
                let kind = chosen.kind;
                self.due.push(chosen);
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
        }
    }

    /// Someone unloaded the model.
    pub(super) fn remove(&mut self, model: &ModelId) {
        self.due.retain(|due| due.model != *model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(capacity: usize, resident: &[&str], choices: &[&str], expected: &[&str]) {
        let mut baseline = Baseline::default();
        for choice in choices {
            let model = ModelId::of("p", choice);
            let due = Due { model, kind: Kind::Language, settings: Settings::default() };
            baseline.choose(due, capacity, |model| resident.contains(&model.key()));
        }
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
}
