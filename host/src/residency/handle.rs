//! The handle that every other room has: claims, wishes, and the snapshots that are read without asking.
//!
//! The hot path is in `enter`: one wait-free read of the snapshot, one hash lookup, one compare-and-swap on the gate.
//! Everything else goes through the owner's mailbox.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::actor::{Actor, Message};
use super::claim::{Claim, Notice, Reason, Refused, Standing, Timings, Wish};
use super::config::Config;
use super::lease::{Lease, Note, Outbox};
use super::plan::{Planner, Ticket};
use super::report::{Door, Report};
use crate::id::{ModelId, SessionKey, SkillName};
use crate::model::Directory;
use crate::provider::Provider;

/// The handle on one device's residency. Cheap to clone.
#[derive(Clone)]
pub struct Residency {
    shared: Arc<Shared>,
    mailbox: mpsc::Sender<Message>,
}

/// A claim on its way. Dropping it leaves the queue at once.
#[must_use = "a claim that is dropped leaves the queue"]
pub struct Acquire(State);

enum State {
    /// Granted by the gate.
    Entered(Option<Lease>),
    /// With the owner.
    Asked(Pin<Box<dyn Future<Output = Result<Lease, Refused>> + Send>>),
}

/// What handles and owner share.
pub(super) struct Shared {
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) notices: broadcast::Sender<Notice>,
    tickets: AtomicU64,
}

/// What is read without asking.
#[derive(Default)]
pub(super) struct Snapshot {
    pub(super) directory: Arc<Directory>,
    pub(super) doors: HashMap<ModelId, Vec<Door>>,
}

/// Leaves the queue when its claim is dropped.
struct Place {
    ticket: Ticket,
    outbox: Arc<Outbox>,
    is_over: bool,
}

/// Messages that wait for the owner; it never awaits anything else, so they wait for microseconds.
const MAILBOX: usize = 1024;

/// Notices kept for a listener that lags behind; the oldest are lost to it then.
const NOTICES: usize = 256;

// === impl Residency ===

impl Residency {
    /// A handle, and the owner whose `run` must be spawned. `aliases` are pairs of a configured alias and the name it
    /// stands for.
    pub fn new(config: Config, provider: Arc<dyn Provider>, aliases: Vec<(String, String)>) -> (Self, Actor) {
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let (notices, _) = broadcast::channel(NOTICES);
        let shared = Arc::new(Shared {
            snapshot: ArcSwap::default(),
            outbox: Arc::default(),
            notices,
            tickets: AtomicU64::new(0),
        });
        let now = tokio::time::Instant::now().into_std();
        let planner = Planner::new(config.clone(), provider.name(), aliases, now);
        let actor = Actor::new(planner, config, provider, shared.clone(), messages);
        (Self { shared, mailbox }, actor)
    }

    /// All models known at this moment. Wait-free.
    pub fn directory(&self) -> Arc<Directory> {
        self.shared.snapshot.load().directory.clone()
    }

    /// What happens to models and wishes from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Asks for a lease. A resident model of the baseline is granted at once; any other claim is queued as soon as the
    /// future is first polled, and leaves the queue when it is dropped.
    pub fn acquire(&self, claim: Claim) -> Acquire {
        if let Some(lease) = self.enter(&claim) {
            return Acquire(State::Entered(Some(lease)));
        }
        Acquire(State::Asked(Box::pin(self.clone().ask(claim))))
    }

    /// The hot path: a lease by the gate alone, where the model is resident, in the baseline, with enough context and
    /// an open gate that has room.
    fn enter(&self, claim: &Claim) -> Option<Lease> {
        let snapshot = self.shared.snapshot.load();
        let doors = snapshot.doors.get(&claim.model)?;
        let door =
            doors.iter().find(|door| claim.prompt_tokens <= door.serves_up_to && door.gate.try_enter())?;
        Some(Lease::new(
            door.gate.clone(),
            self.shared.outbox.clone(),
            (claim.model.clone(), door.instance.clone()),
            (claim.session.clone(), claim.purpose),
            Timings::default(),
        ))
    }

    async fn ask(self, claim: Claim) -> Result<Lease, Refused> {
        let (answer, granted) = oneshot::channel();
        let ticket = self.shared.next_ticket();
        let message = Message::Claim(ticket, claim, answer);
        if self.mailbox.send(message).await.is_err() {
            return Err(Refused::new(Reason::ShuttingDown));
        }
        let mut place = Place { ticket, outbox: self.shared.outbox.clone(), is_over: false };
        let result = granted.await;
        place.is_over = true;
        result.unwrap_or_else(|_| Err(Refused::new(Reason::ShuttingDown)))
    }

    /// Wishes for a model to be loaded or unloaded. Answered at once or when it is done, as the wish says; a wish that
    /// was answered at once goes on by itself, and its failure is a [`Notice::WishFailed`].
    ///
    /// # Errors
    ///
    /// Why it cannot be fulfilled.
    pub async fn wish(&self, wish: Wish) -> Result<Standing, Refused> {
        let (answer, answered) = oneshot::channel();
        let message = Message::Wish(self.shared.next_ticket(), wish, answer);
        if self.mailbox.send(message).await.is_err() {
            return Err(Refused::new(Reason::ShuttingDown));
        }
        answered.await.unwrap_or_else(|_| Err(Refused::new(Reason::ShuttingDown)))
    }

    /// The session's next turn began, or was answered without a model: its turn's hold ends. Costs two atomic reads
    /// while no session has an unfinished turn.
    pub fn turn_over(&self, session: &SessionKey) {
        if self.shared.outbox.may_have_turns() {
            self.shared.outbox.push(Note::TurnOver(session.clone()));
        }
    }

    /// A skill is gone: its wishes and pins end.
    pub async fn skill_gone(&self, skill: SkillName) {
        // Nobody owns the memory any more if the mailbox is closed, and nothing is left to end.
        let _ = self.mailbox.send(Message::SkillGone(skill)).await;
    }

    /// What is going on, for people; none after the shutdown.
    pub async fn report(&self) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.mailbox.send(Message::Report(answer)).await.ok()?;
        report.await.ok()
    }

    /// Answers when the owner has taken in every end, turn and departure that happened before: what is asked next, it
    /// decides knowing them. For whoever was told that an instance is gone and claims again. At once after the
    /// shutdown.
    pub async fn settled(&self) {
        let (answer, settled) = oneshot::channel();
        if self.mailbox.send(Message::Settled(answer)).await.is_ok() {
            // An owner that is gone takes nothing in any more.
            let _ = settled.await;
        }
    }

    /// Refuses new claims, drains, goes back to the baseline. Answers when that is done or `shutdown_timeout` is over;
    /// the owner's `run` ends as soon as no load is under way after that.
    pub async fn shutdown(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.mailbox.send(Message::Shutdown(answer)).await.is_ok() {
            // An owner that is gone has stopped.
            let _ = stopped.await;
        }
    }
}

impl fmt::Debug for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Residency").finish_non_exhaustive()
    }
}

// === impl Acquire ===

impl Future for Acquire {
    type Output = Result<Lease, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Entered(lease) => match lease.take() {
                Some(lease) => Poll::Ready(Ok(lease)),
                None => Poll::Pending,
            },
            State::Asked(asked) => asked.as_mut().poll(context),
        }
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn next_ticket(&self) -> Ticket {
        Ticket(self.tickets.fetch_add(1, Ordering::Relaxed))
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_over {
            self.outbox.push(Note::Left(self.ticket));
        }
    }
}
