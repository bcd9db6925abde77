//! The gate of one instance: one atomic word that says whether newcomers may enter without asking and how many leases
//! are inside. It is the whole of the hot path's synchronisation.
//!
//! Three rules keep it honest. Only the planner opens and closes. Anyone may enter an open gate. A lease may leave
//! quietly only while the gate is open and unwatched; otherwise its end is told to the planner, which then counts it
//! out. So a count of zero behind a closed gate is final, and the planner never misses an end it waits for.
//!
//! The gate decides nothing and keeps no names; who is inside is known to the leases alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Newcomers may enter without asking.
const OPEN: u64 = 1 << 63;

/// The planner wants to be told of every end.
const WATCHED: u64 = 1 << 62;

/// Leases inside.
const COUNT: u64 = u32::MAX as u64;

/// One instance's gate.
#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU64,
    /// Leases that fit inside; `u32::MAX` where the provider names no limit.
    limit: AtomicU32,
}

// === impl Gate ===

impl Gate {
    /// A closed, watched, empty gate.
    pub(super) fn new(limit: u32) -> Self {
        Self { word: AtomicU64::new(WATCHED), limit: AtomicU32::new(limit) }
    }

    /// Enters if the gate is open and has room.
    pub(super) fn try_enter(&self) -> bool {
        let limit = u64::from(self.limit.load(Ordering::Relaxed));
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                (word & OPEN != 0 && word & COUNT < limit).then(|| word + 1)
            })
            .is_ok()
    }

    /// Leaves if nobody wants to be told; otherwise the end must be sent to the planner.
    pub(super) fn leave_quietly(&self) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                (word & OPEN != 0 && word & WATCHED == 0 && word & COUNT > 0).then(|| word - 1)
            })
            .is_ok()
    }

    /// Leases inside.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.word.load(Ordering::Acquire) & COUNT).unwrap_or(u32::MAX)
    }

    /// One more lease would fit.
    pub(super) fn has_room(&self) -> bool {
        self.count() < self.limit.load(Ordering::Relaxed)
    }

    /// The planner lets one in, open or not.
    pub(super) fn admit(&self) {
        self.word.fetch_add(1, Ordering::AcqRel);
    }

    /// The planner counts one out whose end it was told.
    pub(super) fn leave(&self) {
        let left = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| (word & COUNT > 0).then(|| word - 1));
        debug_assert!(left.is_ok(), "an end was told twice");
    }

    /// Sets who may enter and who must tell.
    pub(super) fn set(&self, newcomers: Newcomers, ends: Ends) {
        let bits = match newcomers {
            Newcomers::Enter => OPEN,
            Newcomers::Ask => 0,
        } | match ends {
            Ends::Quiet => 0,
            Ends::Told => WATCHED,
        };
        if self.word.load(Ordering::Acquire) & !COUNT != bits {
            let _ =
                self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(word & COUNT | bits));
        }
    }

    /// Closes the gate if nobody is inside.
    pub(super) fn close_if_empty(&self) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| (word & COUNT == 0).then_some(WATCHED))
            .is_ok()
    }

    /// The provider names another limit.
    pub(super) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

/// What those who arrive at a gate do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newcomers {
    /// Enter while there is room.
    Enter,
    /// Ask the planner.
    Ask,
}

/// How those who leave a gate do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// By the count alone.
    Quiet,
    /// By telling the planner.
    Told,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_admits_up_to_its_limit() {
        let gate = Gate::new(2);
        assert!(!gate.try_enter(), "it begins closed");
        gate.set(Newcomers::Enter, Ends::Quiet);
        assert!(gate.try_enter() && gate.try_enter() && !gate.try_enter());
        assert!(gate.leave_quietly() && gate.try_enter());
    }

    #[test]
    fn behind_a_closed_or_watched_gate_nobody_leaves_quietly() {
        let gate = Gate::new(u32::MAX);
        gate.set(Newcomers::Enter, Ends::Quiet);
        assert!(gate.try_enter());
        gate.set(Newcomers::Enter, Ends::Told);
        assert!(!gate.leave_quietly());
        gate.set(Newcomers::Ask, Ends::Quiet);
        assert!(!gate.leave_quietly() && !gate.try_enter());
        assert!(!gate.close_if_empty());
        gate.leave();
        assert!(gate.close_if_empty());
        assert_eq!(gate.count(), 0);
    }

    #[test]
    fn entering_and_closing_at_once_never_lets_one_in_unseen() {
        for _ in 0..200 {
            let gate = Gate::new(u32::MAX);
            gate.set(Newcomers::Enter, Ends::Quiet);
            std::thread::scope(|scope| {
                let entered = scope.spawn(|| gate.try_enter());
                let closed = gate.close_if_empty();
                let entered = entered.join().unwrap();
                assert!(!(closed && entered), "closed as empty, yet someone is inside");
            });
        }
    }
}
