//! Victims: which instances make room for a waiter, and whether they may go now, only by closing their gates, or not at
//! all (rules 5, 6, 7, 8).
//!
//! Pure questions; beginning a swap is done elsewhere.

use std::time::{Duration, Instant};

use super::memory::{Held, State};
use super::{Planner, Waiter, Want};
use crate::id::{InstanceId, SessionKey};
use crate::residency::claim::Action;

/// What could be done for a waiter that needs room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// These can go at once: nobody uses, wants or waits for them.
    Free(Vec<InstanceId>),
    /// These would have to be drained; only an overdue waiter may do that.
    Drain(Vec<InstanceId>),
    /// Not now.
    Later,
    /// Only instances that are left alone until then would make room.
    Spared(Instant),
    /// Only pinned models would make room.
    Pinned,
}

/// In which order victims go: outside the baseline first, then the cheapest to bring back.
type Rank = (bool, Duration, u64);

impl Planner {
    /// What could be done for this waiter, whether or not it is its turn.
    pub(super) fn choose_victims(&self, waiter: &Waiter) -> Choice {
        let model = waiter.model();
        let kind = self.kind_of(model);
        if self.of_kind(kind).any(|(_, held)| held.is_undecided()) {
            return Choice::Later;
        }
        if let Want::Wish(wish) = &waiter.want
            && let Action::Unload { whose } = wish.action
        {
            let all: Vec<_> = self.of_model(model).filter(|(_, held)| whose.means(held)).collect();
            return self.choose_among(&all, &[], 0, None);
        }
        // An instance of the same model that does not serve the waiter is in its own way.
        let own: Vec<_> = self.of_model(model).collect();
        let others: Vec<_> = self.of_kind(kind).filter(|(_, held)| held.model != *model).collect();
        let too_many = (others.len() + 1).saturating_sub(self.capacity(kind));
        self.choose_among(&own, &others, too_many, waiter.session())
    }

    /// All of `musts` and `count` of `others`.
    fn choose_among(
        &self,
        musts: &[(&InstanceId, &Held)],
        others: &[(&InstanceId, &Held)],
        count: usize,
        session: Option<&SessionKey>,
    ) -> Choice {
        let is_pinned = |(_, held): &&(&InstanceId, &Held)| self.is_pinned(&held.model);
        let loose: Vec<_> = others.iter().filter(|it| !is_pinned(it)).collect();
        if musts.iter().any(|it| is_pinned(&it)) || loose.len() < count {
            return Choice::Pinned;
        }
        let is_free = |held: &Held| self.is_free(held, session);
        let mut free: Vec<_> = loose.iter().filter(|(_, held)| is_free(held)).collect();
        if musts.iter().all(|(_, held)| is_free(held)) && free.len() >= count {
            free.sort_by_key(|(_, held)| self.rank(held));
            return Choice::Free(ids(musts, free.iter().take(count).map(|(id, _)| *id)));
        }
        let spared = musts.iter().chain(loose.iter().copied()).filter(|(_, held)| self.is_spared(held));
        let spared_until = spared.clone().filter_map(|(_, held)| held.spared_until).min();
        let may_close = |held: &Held| held.state == State::Ready && held.batch.is_empty();
        let mut usable: Vec<_> =
            loose.iter().filter(|(_, held)| may_close(held) && !self.is_spared(held)).collect();
        let musts_spared = musts.iter().any(|(_, held)| self.is_spared(held));
        let enough_but_for_spared = usable.len() + spared.count() >= count;
        match spared_until {
            Some(until) if musts_spared || (usable.len() < count && enough_but_for_spared) => {
                Choice::Spared(until)
            }
            _ if usable.len() < count || !musts.iter().all(|(_, held)| may_close(held)) => Choice::Later,
            _ => {
                usable.sort_by_key(|(_, held)| (!held.is_idle(), self.rank(held)));
                Choice::Drain(ids(musts, usable.iter().take(count).map(|(id, _)| *id)))
            }
        }
    }

    fn rank(&self, held: &Held) -> Rank {
        let size = self.models.get(&held.model).and_then(|known| known.facts.size_bytes);
        (self.baseline.get(&held.model).is_some(), self.swap_cost(&held.model), size.unwrap_or(u64::MAX))
    }
}

fn ids<'a>(musts: &[(&InstanceId, &Held)], others: impl Iterator<Item = &'a InstanceId>) -> Vec<InstanceId> {
    musts.iter().map(|(id, _)| (*id).clone()).chain(others.cloned()).collect()
}
