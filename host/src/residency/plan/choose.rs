//! Victims: which instances make room for a waiter, and whether they may go now, only by closing their gates, or not at
//! all (rules 5, 6, 7, 8).
//!
//! Pure questions; beginning a swap is done elsewhere.

use std::time::{Duration, Instant};

use super::memory::{Held, State};
use super::server::InstanceKey;
use super::{Planner, Waiter, Want};
use crate::id::SessionKey;
use crate::model::Kind;
use crate::residency::claim::Action;

/// What could be done for a waiter that needs room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// These can go at once: nobody uses, wants or waits for them.
    Free(Vec<InstanceKey>),
    /// These would have to be drained; only an overdue waiter may do that.
    Drain(Vec<InstanceKey>),
    /// Not now.
    Later,
    /// Only instances that are left alone until then would make room.
    Spared(Instant),
    /// Only pinned models, or embedding models that are due, would make room.
    Pinned,
}

/// An instance that may be in the way.
type Spot<'a> = (&'a InstanceKey, &'a Held);

/// In which order victims go: of the waiter's kind first, outside the baseline first, then the cheapest to bring back.
type Rank = (bool, bool, Duration, u64);

/// Whether there is room when these have gone.
type IsEnough<'a> = &'a dyn Fn(&[Spot<'_>]) -> bool;

impl Planner {
    /// What could be done for this waiter, whether or not it is its turn.
    pub(super) fn choose_victims(&self, waiter: &Waiter) -> Choice {
        let model = waiter.model();
        let kind = self.kind_of(model);
        let lane = self.lane_of(kind);
        let is_open = self.of_lane(lane).any(|(_, held)| held.is_undecided());
        if is_open || self.is_looked_after(model) {
            return Choice::Later;
        }
        if let Want::Wish(wish) = &waiter.want
            && let Action::Unload { whose } = wish.action
        {
            let all: Vec<_> = self.of_model(model).filter(|(_, held)| whose.means(held)).collect();
            if self.is_pinned(model) && !all.is_empty() {
                return Choice::Pinned;
            }
            return self.choose_among(kind, &all, &[], &|_| true, None);
        }
        // An instance of the same model that does not serve the waiter is in its own way.
        let own: Vec<_> = self.of_model(model).collect();
        if self.is_pinned(model) && !own.is_empty() && !waiter.is_a_persons() {
            return Choice::Pinned;
        }
        let others: Vec<_> = self.of_lane(lane).filter(|(_, held)| held.model != *model).collect();
        let goal = self.weight(model, kind);
        let is_enough = |gone: &[Spot<'_>]| {
            let stays = others.iter().filter(|(key, _)| !gone.iter().any(|(it, _)| it == key));
            self.has_room_for(goal, stays.map(|(_, held)| self.weight_of(held)))
        };
        let loose: Vec<_> = others.iter().copied().filter(|spot| self.may_go(kind, spot)).collect();
        let akin: Vec<_> = loose.iter().copied().filter(|(_, held)| held.kind == kind).collect();
        // Models of the other kind are the last resort.
        let usual = if is_enough(&akin) { &akin } else { &loose };
        self.choose_among(kind, &own, usual, &is_enough, waiter.session())
    }

    /// A model of this kind may push it out, some time. Embedding models never go for language models while they are
    /// due.
    fn may_go(&self, kind: Kind, (_, held): &Spot<'_>) -> bool {
        let is_kept = held.kind == Kind::Embedding && kind == Kind::Language && self.is_due(&held.model);
        !is_kept && !self.is_pinned(&held.model)
    }

    /// All of `musts` and of `loose` what is enough.
    fn choose_among<'a>(
        &self,
        kind: Kind,
        musts: &[Spot<'a>],
        loose: &[Spot<'a>],
        is_enough: IsEnough<'_>,
        session: Option<&SessionKey>,
    ) -> Choice {
        if !is_enough(loose) {
            return Choice::Pinned;
        }
        let only = |which: &dyn Fn(&Held) -> bool| -> Vec<Spot<'a>> {
            loose.iter().copied().filter(|(_, held)| which(held)).collect()
        };
        let is_free = |held: &Held| self.is_free(held, session);
        let free = only(&is_free);
        if musts.iter().all(|(_, held)| is_free(held)) && is_enough(&free) {
            return Choice::Free(keys(musts, &cheapest(free, is_enough, |held| self.rank(kind, held))));
        }
        let may_close = |held: &Held| held.state == State::Ready && held.batch.is_empty();
        let usable = only(&|held| may_close(held) && !self.is_spared(held));
        let with_spared = only(&|held| may_close(held) || self.is_spared(held));
        let all = musts.iter().chain(loose);
        let spared_until =
            all.filter(|(_, held)| self.is_spared(held)).filter_map(|(_, held)| held.spared_until).min();
        let musts_spared = musts.iter().any(|(_, held)| self.is_spared(held));
        match spared_until {
            Some(until) if musts_spared || (!is_enough(&usable) && is_enough(&with_spared)) => {
                Choice::Spared(until)
            }
            _ if !is_enough(&usable) || !musts.iter().all(|(_, held)| may_close(held)) => Choice::Later,
            _ => {
                let rank = |held: &Held| (!held.is_idle(), self.rank(kind, held));
                Choice::Drain(keys(musts, &cheapest(usable, is_enough, rank)))
            }
        }
    }

    fn rank(&self, kind: Kind, held: &Held) -> Rank {
        let size = self.models.get(&held.model).and_then(|known| known.facts.size_bytes);
        let cost = self.swap_cost(&held.model);
        (held.kind != kind, self.is_due(&held.model), cost, size.unwrap_or(u64::MAX))
    }
}

/// The first that are enough, without those that turn out not to be needed: the dearest of them are spared first.
fn cheapest<'a, K: Ord>(
    mut spots: Vec<Spot<'a>>,
    is_enough: IsEnough<'_>,
    rank: impl Fn(&Held) -> K,
) -> Vec<Spot<'a>> {
    spots.sort_by_key(|(_, held)| rank(held));
    let mut chosen = Vec::new();
    let mut rest = spots.into_iter();
    while !is_enough(&chosen) {
        let Some(next) = rest.next() else { break };
        chosen.push(next);
    }
    for at in (0..chosen.len()).rev() {
        let spared = chosen.remove(at);
        if !is_enough(&chosen) {
            chosen.insert(at, spared);
        }
    }
    chosen
}

fn keys(musts: &[Spot<'_>], others: &[Spot<'_>]) -> Vec<InstanceKey> {
    musts.iter().chain(others).map(|(key, _)| (*key).clone()).collect()
}
