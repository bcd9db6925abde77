//! Faults that can be put into the planner on purpose, so that the tests of the planner can themselves be tested: each
//! must be noticed by the simulation.
//!
//! Outside tests there is no way to choose one, and the checks compile to nothing.

use super::Planner;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::residency) enum Mutant {
    /// Unloads without waiting for running requests.
    NoDrain,
    /// Does not count an ended lease out.
    LostLease,
    /// Never goes back to the baseline.
    ForgottenRestore,
    /// Sends a second load while the first runs.
    DoubleLoad,
    /// Whoever asks for the resident model is served, however long others wait.
    UnboundedQueueJumping,
    /// Puts the baseline back in the middle of a held turn.
    HoldIgnored,
    /// A route that restores changes the baseline.
    RouteChangesBaseline,
    /// Evicts pinned models.
    EvictsPinned,
    /// After a failed load its waiters stay, and nobody tries again.
    ForgetsWaitersOfFailedLoad,
    /// Leaves gates closed after a drain that took too long.
    LeavesGateClosed,
    /// Believes lists that are older than its own effects.
    BelievesStaleLists,
    /// Loads before the memory is free.
    LoadsBeforeUnload,
    /// Counts models by their size alone.
    MarginIgnored,
    /// What one provider's list lacks is taken for gone on the others, too.
    BelievesWrongList,
    /// A provider that goes down takes its part of the baseline with it.
    ForgetsDownBaseline,
    /// Unloads before that is written down.
    ForgetsToRecord,
    /// Asks a server under another name while requests run on it.
    LetsInTooEarly,
    /// What was due on a server is not due when it is called something else.
    DropsWhatWasDue,
}

impl Planner {
    /// Whether this fault was put in.
    #[cfg(test)]
    pub(super) fn has(&self, fault: Mutant) -> bool {
        self.mutant == Some(fault)
    }

    /// Whether this fault was put in: never, outside tests.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same call as in tests")]
    pub(super) fn has(&self, _: Mutant) -> bool {
        false
    }

    /// A planner with a fault.
    #[cfg(test)]
    pub(in crate::residency) fn with_mutant(mut self, fault: Option<Mutant>) -> Self {
        self.mutant = fault;
        self
    }
}
