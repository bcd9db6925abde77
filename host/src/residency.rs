//! Residency: which models are in a device's memory, who uses them, who waits, what goes and what comes back.
//!
//! Invariants, of what the gateway does (people may do as they like with their own machine):
//! - No instance is unloaded while a lease of ours is on it, or while a pin keeps it.
//! - Never more instances of a kind are in memory by our doing than fit.
//! - A load is sent only after a list that shows nothing to reuse and room for it; one at a time per kind; once sent it
//!   is awaited.
//! - Every lease is released exactly once, and every claim is granted, refused or dropped.
//! - No claim waits longer than `max_wait`, one drain and swap of its own, and one drain, swap and batch for each model
//!   with an older overdue claim.
//! - At rest the baseline is in memory and nothing else that we loaded. Routes that restore, side calls and skills'
//!   wishes never change the baseline.
//! - Nobody waits while holding a lease: who needs another model releases first.
//!
//! How it is built: the *planner* is pure and owns the state; the *actor* is a mailbox around it that runs its effects
//! through a [`Provider`](crate::provider::Provider) and never awaits one inline; a *gate* is one atomic per instance,
//! by which claims on a resident model of the baseline are granted without the mailbox; a *lease* is the guard that
//! gives back what a gate or the planner granted.
//!
//! Not here: which model a request should go to (`route`), sending it there (`upstream`), and, until the store takes
//! part, anything that outlives the process. One planner knows one provider on one device.

mod actor;
mod claim;
mod config;
mod gate;
mod handle;
mod lease;
mod plan;
mod report;
#[cfg(test)]
mod sim;

pub use actor::Actor;
pub use claim::{
    Action, Claim, LoadFailure, Notice, Phase, Pin, Progress, Purpose, Reason, Refused, Stage, Standing,
    Timings, WhenAnswered, Whose, Wish, Wisher,
};
pub use config::{Config, MAX_WAIT_LEAST, MAX_WAIT_MOST, Mode, ModelConfig, SWAP_UNMEASURED};
pub use handle::{Acquire, Residency};
pub use lease::{End, Lease, Meter, TurnAfter};
pub use report::{BaselineEntry, HeldInstance, LoadedBy, ProviderState, Report, UnderWay, WaiterEntry};
