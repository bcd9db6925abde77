//! A lease: the guard of one upstream exchange on one instance. Released exactly once, by [`Lease::finish`], by its
//! drop, by an abort or with the claim that comes after it, whichever comes first.
//!
//! An end that concerns nobody is one compare-and-swap on the gate. Any other end is put on the outbox, a list that
//! never refuses: it holds at most one note per live lease and per waiting claim, so it is bounded by them, and no
//! mailbox permit has to be kept for the length of a generation. The owner empties it before every message, so an end
//! is always seen before anything that its client asks next.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::claim::{Claim, Purpose, Timings};
use super::gate::Gate;
use crate::id::{InstanceId, ModelId, SessionKey};

/// The right to one upstream exchange on an instance.
#[must_use = "a lease that is dropped is a cancelled exchange"]
pub struct Lease {
    core: Arc<Core>,
    timings: Timings,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The model answered.
    Answered {
        /// Whether its turn goes on.
        turn: TurnAfter,
    },
    /// The provider failed.
    Failed,
    /// The client left, or the gateway broke it off.
    Cancelled,
    /// The provider says that the instance is not there.
    Gone,
}

/// Whether a turn goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnAfter {
    /// The answer called tools: another request of this turn will come.
    Unfinished,
    /// The answer called no tools.
    Finished,
}

/// What the response body says about its client, so that one that reads nothing can be told from a slow model. Costs
/// the body one atomic store a frame and reads no clock.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

/// The end of a lease, on its way to the planner.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) gate: Arc<Gate>,
    pub(super) model: ModelId,
    pub(super) instance: InstanceId,
    pub(super) session: SessionKey,
    pub(super) purpose: Purpose,
    pub(super) end: End,
}

/// What reaches the owner without a mailbox.
#[derive(Debug)]
pub(super) enum Note {
    /// A lease ended.
    Ended(Ended),
    /// A waiting claim was dropped.
    Left(super::plan::Ticket),
    /// The session's next turn began.
    TurnOver(SessionKey),
    /// Another device's owner has let go of this address, with what was due there.
    Freed(String, Option<super::plan::Legacy>),
}

/// The list of notes, and who is inside, for the owner.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    notes: Mutex<Vec<Note>>,
    wake: Notify,
    /// Notes pushed and not yet handled.
    unhandled: AtomicU32,
    /// Unfinished turns that the planner knows of.
    turns: AtomicU32,
    /// Leases that gave a way to abort them.
    roll: Mutex<Vec<Arc<Core>>>,
}

/// What a lease shares with the roll.
pub(super) struct Core {
    gate: Arc<Gate>,
    outbox: Arc<Outbox>,
    model: ModelId,
    instance: InstanceId,
    session: SessionKey,
    purpose: Purpose,
    meter: Meter,
    released: AtomicBool,
    abort: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

/// The client's turn to read, in [`Meter`]'s lowest bit.
const CLIENTS_TURN: u64 = 1;

// === impl Lease ===

impl Lease {
    /// A lease on an instance whose gate has already counted it in.
    pub(super) fn new(
        gate: Arc<Gate>,
        outbox: Arc<Outbox>,
        (model, instance): (ModelId, InstanceId),
        (session, purpose): (SessionKey, Purpose),
        timings: Timings,
    ) -> Self {
        let core = Core {
            gate,
            outbox,
            model,
            instance,
            session,
            purpose,
            meter: Meter::default(),
            released: AtomicBool::new(false),
            abort: Mutex::new(None),
        };
        Self { core: Arc::new(core), timings }
    }

    /// The model leased.
    pub fn model(&self) -> &ModelId {
        &self.core.model
    }

    /// The instance to name upstream.
    pub fn instance(&self) -> &InstanceId {
        &self.core.instance
    }

    /// What the claim waited for.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// Where the response body says what its client does.
    pub fn meter(&self) -> &Meter {
        &self.core.meter
    }

    /// How to break the exchange off: `abort` drops the upstream. Called at most once, from the owner's task, when the
    /// client reads nothing behind a closed gate or a shutdown runs out of time.
    pub fn on_abort(&self, abort: Box<dyn FnOnce() + Send>) {
        let before = lock(&self.core.abort).replace(abort);
        if before.is_none() {
            lock(&self.core.outbox.roll).push(self.core.clone());
        }
    }

    /// The upstream has ended.
    pub fn finish(self, end: End) {
        self.core.release(end);
    }

    /// Released for the owner of this outbox, which must handle the end; none where that has it already. A lease of another
    /// owner is released as ever.
    pub(super) fn end_with(self, claim: &Claim, outbox: &Arc<Outbox>) -> Option<Ended> {
        // More of the same work: what a claim of a turn comes after is the turn's affair.
        debug_assert!(!self.core.purpose.is_turn() && self.core.session == claim.session);
        if !Arc::ptr_eq(&self.core.outbox, outbox) {
            self.finish(End::answered(false));
            return None;
        }
        self.core.take_back().then(|| self.core.ended(End::answered(false)))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.core.release(End::Cancelled);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("instance", &self.core.instance).finish_non_exhaustive()
    }
}

// === impl End ===

impl End {
    /// The model answered; its turn goes on where the answer calls tools.
    pub fn answered(calls_tools: bool) -> Self {
        Self::Answered { turn: if calls_tools { TurnAfter::Unfinished } else { TurnAfter::Finished } }
    }

    /// It concerns only those who count leases.
    fn is_ordinary(self) -> bool {
        self == Self::Answered { turn: TurnAfter::Finished }
    }
}

// === impl Meter ===

impl Meter {
    /// The body handed a frame over: it is the client's turn to read.
    pub fn delivered(&self) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store((before | CLIENTS_TURN).wrapping_add(2), Ordering::Relaxed);
    }

    /// The client asks for more and there is nothing yet: it is the model's turn.
    pub fn waiting(&self) {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before & !CLIENTS_TURN, Ordering::Relaxed);
    }

    /// A reading that stays the same for as long as the client reads nothing; none while it is the model's turn.
    fn stalled(&self) -> Option<u64> {
        let reading = self.0.load(Ordering::Relaxed);
        (reading & CLIENTS_TURN != 0).then_some(reading)
    }
}

// === impl Outbox ===

impl Outbox {
    /// Puts a note on the list; never refused.
    pub(super) fn push(&self, note: Note) {
        self.unhandled.fetch_add(1, Ordering::AcqRel);
        lock(&self.notes).push(note);
        self.wake.notify_one();
    }

    /// Takes the notes that are there.
    pub(super) fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *lock(&self.notes))
    }

    /// Waits for a note.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// The owner has handled so many notes and now knows of so many turns.
    pub(super) fn handled(&self, notes: u32, turns: u32) {
        self.turns.store(turns, Ordering::Release);
        self.unhandled.fetch_sub(notes, Ordering::AcqRel);
    }

    /// Some session may have an unfinished turn.
    pub(super) fn may_have_turns(&self) -> bool {
        self.unhandled.load(Ordering::Acquire) > 0 || self.turns.load(Ordering::Acquire) > 0
    }

    /// The leases on a provider's instance that can be aborted, with what their clients do; none for all instances.
    pub(super) fn inside(&self, instance: Option<(&str, &InstanceId)>) -> Vec<Arc<Core>> {
        let of = |core: &&Arc<Core>| {
            instance.is_none_or(|(provider, id)| core.instance == *id && core.model.provider() == provider)
        };
        lock(&self.roll).iter().filter(of).cloned().collect()
    }

    fn strike(&self, core: &Core) {
        lock(&self.roll).retain(|it| !std::ptr::eq(Arc::as_ptr(it), core));
    }
}

// === impl Core ===

impl Core {
    /// The client has read nothing since this reading was taken before.
    pub(super) fn stalled(&self) -> Option<u64> {
        self.meter.stalled()
    }

    /// Breaks the exchange off and releases the lease.
    pub(super) fn abort(&self) {
        let Some(abort) = lock(&self.abort).take() else { return };
        self.outbox.strike(self);
        abort();
        self.release(End::Cancelled);
    }

    fn release(&self, end: End) {
        if !self.take_back() || (end.is_ordinary() && self.gate.leave_quietly()) {
            return;
        }
        self.outbox.push(Note::Ended(self.ended(end)));
    }

    /// From now on it is released; said once.
    fn take_back(&self) -> bool {
        let is_first = !self.released.swap(true, Ordering::AcqRel);
        if is_first {
            self.strike_if_enrolled();
        }
        is_first
    }

    fn ended(&self, end: End) -> Ended {
        Ended {
            gate: self.gate.clone(),
            model: self.model.clone(),
            instance: self.instance.clone(),
            session: self.session.clone(),
            purpose: self.purpose,
            end,
        }
    }

    /// Forgets how to abort, so that the upstream's handle does not outlive the exchange.
    fn strike_if_enrolled(&self) {
        let abort = lock(&self.abort).take();
        if abort.is_some() {
            self.outbox.strike(self);
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// These locks guard plain moves of values; a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
