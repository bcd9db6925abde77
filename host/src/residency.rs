//! Residency: which models are in the devices' memory, who uses them, who waits, what goes and what comes back.
//!
//! Invariants, of what the gateway does (people may do as they like with their own machine):
//! - No instance is unloaded while a lease of ours is on it, or while a pin keeps it.
//! - Never more is in a device's memory by our doing than fits, in number or in bytes.
//! - A load is sent only after lists that show nothing to reuse and room for it; one at a time among those that share
//!   room; once sent it is awaited.
//! - Every lease is released exactly once, and every claim is granted, refused or dropped.
//! - No claim waits longer than `max_wait`, one drain and swap of its own, and one drain, swap and batch for each model
//!   with an older overdue claim.
//! - At rest the baseline is in memory and nothing else that we loaded. Routes that restore, side calls and skills'
//!   wishes never change the baseline.
//! - Nobody waits while holding a lease: who needs another model releases first.
//! - A server is asked under one name, for one device, at a time: who has it next waits until requests under the name or
//!   for the device before have ended.
//!
//! How it is built: of each device, a *planner* is pure and owns the state, and an *actor* is a mailbox around it that
//! runs its effects through [`Provider`](crate::provider::Provider)s and never awaits one inline; a *gate* is one atomic
//! per instance, by which claims on a resident model of the baseline are granted without the mailbox; a *lease* is the
//! guard that gives back what a gate or the planner granted; the *handle* finds the device of a model, and reads all of
//! them from one snapshot.
//!
//! Before memory is touched, a record of what is due and what is being done is durable; the next life goes on from there.
//! Where it is kept is a *journal*, which the application gives.
//!
//! Not here: which model a request should go to (`route`), and sending it there (`upstream`). Providers that share memory
//! are on one device. One that looks after its memory itself ([`Control::ListOnly`](crate::provider::Control::ListOnly))
//! may be on it too: what it lists counts as resident and takes no room of ours.

mod actor;
mod claim;
mod config;
mod gate;
mod handle;
mod journal;
mod lease;
mod plan;
mod publish;
mod record;
mod report;
#[cfg(test)]
mod sim;
mod tenancy;

pub use actor::Actor;
pub use claim::{
    Action, Claim, LoadFailure, Notice, Phase, Pin, Progress, Purpose, Reason, Refused, Stage, Standing,
    Timings, WhenAnswered, Whose, Wish, Wisher,
};
pub use config::{Config, MAX_WAIT_LEAST, MAX_WAIT_MOST, ModelConfig, SWAP_UNMEASURED};
pub use handle::{Acquire, Device, Residency};
pub use journal::{InMemory, Journal, NotKept, Synced};
pub use lease::{End, Lease, Meter, TurnAfter};
pub use record::{DueRecord, InstanceRecord, Kept, KnownModel, LostName, Owner, Record, Seen};
pub use report::{
    BaselineEntry, HeldInstance, LoadedBy, ProviderEntry, ProviderState, Report, UnderWay, WaiterEntry,
};
