//! The owner: a mailbox around the planner. It reads the clock, hands events in, carries effects out and publishes
//! snapshots. It decides nothing.
//!
//! It never awaits a provider: every call runs beside the mailbox and comes back as an event, so a load of minutes
//! delays no claim. A call once sent is awaited to its end, at shutdown too.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use super::claim::{Claim, Progress, Purpose, Refused, Stage, Standing, Wish};
use super::config::Config;
use super::handle::{Shared, Snapshot};
use super::lease::{Lease, Note};
use super::plan::{Effect, Event, Grant, Planner, Ticket};
use super::report::Report;
use crate::id::{InstanceId, ModelId, SessionKey, SkillName};
use crate::provider::{Error, Provider};

/// The owner of one device's residency; `run` must be spawned.
#[must_use = "nothing is ever granted unless the owner runs"]
pub struct Actor {
    planner: Planner,
    config: Config,
    provider: Arc<dyn Provider>,
    shared: Arc<Shared>,
    messages: mpsc::Receiver<Message>,
    seats: HashMap<Ticket, Seat>,
    wishes: HashMap<Ticket, oneshot::Sender<Result<Standing, Refused>>>,
    /// Calls to the provider.
    calls: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    /// Clients that read nothing, by the address of their lease.
    stalls: HashMap<usize, Stall>,
    stopping: Vec<oneshot::Sender<()>>,
    is_stopped: bool,
}

/// What reaches the owner by mailbox.
pub(super) enum Message {
    Claim(Ticket, Claim, oneshot::Sender<Result<Lease, Refused>>),
    Wish(Ticket, Wish, oneshot::Sender<Result<Standing, Refused>>),
    SkillGone(SkillName),
    Report(oneshot::Sender<Report>),
    Settled(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// A waiting claim's way back.
struct Seat {
    answer: oneshot::Sender<Result<Lease, Refused>>,
    model: ModelId,
    session: SessionKey,
    purpose: Purpose,
    progress: Arc<Progress>,
}

/// A client that was seen reading nothing.
struct Stall {
    reading: u64,
    since: Instant,
    seen: Instant,
}

/// What ends a sleep.
enum Woken {
    Note,
    Message(Option<Message>),
    Provider(Event),
    Timer,
}

/// How long a list may take; LM Studio answers in milliseconds, and in seconds while it swaps memory.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unload may take; measured under a second.
const UNLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Sightings of a stalled client further apart than this do not add up.
const STALL_GAP: Duration = Duration::from_secs(5);

// === impl Actor ===

impl Actor {
    pub(super) fn new(
        planner: Planner,
        config: Config,
        provider: Arc<dyn Provider>,
        shared: Arc<Shared>,
        messages: mpsc::Receiver<Message>,
    ) -> Self {
        Self {
            planner,
            config,
            provider,
            shared,
            messages,
            seats: HashMap::new(),
            wishes: HashMap::new(),
            calls: FuturesUnordered::new(),
            stalls: HashMap::new(),
            stopping: Vec::new(),
            is_stopped: false,
        }
    }

    /// Serves until the shutdown is complete and every call to the provider has ended. When all handles are gone the
    /// shutdown begins by itself.
    pub async fn run(mut self) {
        self.handle(Event::Tick);
        let mut has_handles = true;
        while !(self.is_stopped && self.calls.is_empty()) {
            let woken = self.next(has_handles).await;
            self.handle_notes();
            match woken {
                Woken::Note => {}
                Woken::Timer => self.handle(Event::Tick),
                Woken::Provider(event) => self.handle(event),
                Woken::Message(Some(message)) => self.on_message(message),
                Woken::Message(None) => {
                    has_handles = false;
                    self.handle(Event::Shutdown);
                }
            }
        }
    }

    async fn next(&mut self, has_handles: bool) -> Woken {
        let timer = self.planner.wake_at().filter(|_| !self.is_stopped);
        let sleep = async {
            match timer {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.outbox.wait() => Woken::Note,
            message = self.messages.recv(), if has_handles => Woken::Message(message),
            Some(event) = self.calls.next() => Woken::Provider(event),
            () = sleep => Woken::Timer,
        }
    }

    /// Ends and departures come before whatever their clients ask next.
    fn handle_notes(&mut self) {
        let notes = self.shared.outbox.take();
        let count = u32::try_from(notes.len()).unwrap_or(u32::MAX);
        for note in notes {
            match note {
                Note::Ended(ended) => self.handle(Event::Ended(ended)),
                Note::TurnOver(session) => self.handle(Event::TurnOver(session)),
                Note::Left(ticket) => {
                    self.seats.remove(&ticket);
                    self.handle(Event::Left(ticket));
                }
            }
        }
        self.shared.outbox.handled(count, self.planner.turn_count());
    }

    fn on_message(&mut self, message: Message) {
        match message {
            // Its client left while the message was on its way, and has said so before.
            Message::Claim(_, _, answer) if answer.is_closed() => {}
            Message::Claim(ticket, claim, answer) => {
                let seat = Seat {
                    answer,
                    model: claim.model.clone(),
                    session: claim.session.clone(),
                    purpose: claim.purpose,
                    progress: claim.progress.clone(),
                };
                self.seats.insert(ticket, seat);
                self.handle(Event::Claimed(ticket, claim));
            }
            Message::Wish(ticket, wish, answer) => {
                self.wishes.insert(ticket, answer);
                self.handle(Event::Wished(ticket, wish));
            }
            Message::SkillGone(skill) => self.handle(Event::SkillGone(skill)),
            Message::Report(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.planner.report(now()));
            }
            Message::Settled(answer) => {
                // The outbox has been handled, as before every message.
                let _ = answer.send(());
            }
            Message::Shutdown(answer) => {
                if self.is_stopped {
                    let _ = answer.send(());
                } else {
                    self.stopping.push(answer);
                    self.handle(Event::Shutdown);
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        for effect in self.planner.handle(now(), event) {
            self.carry_out(effect);
        }
        self.shared.outbox.handled(0, self.planner.turn_count());
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Grant(ticket, grant) => self.grant(ticket, grant),
            Effect::Refuse(ticket, refused) => {
                if let Some(seat) = self.seats.remove(&ticket) {
                    seat.progress.write(None);
                    // A client that left in this moment needs no answer.
                    let _ = seat.answer.send(Err(refused));
                }
            }
            Effect::Answer(ticket, standing) => {
                if let Some(answer) = self.wishes.remove(&ticket) {
                    let _ = answer.send(standing);
                }
            }
            Effect::Tell(ticket, phase, since) => {
                if let Some(seat) = self.seats.get(&ticket) {
                    seat.progress.write(Some(Stage { phase, since }));
                }
            }
            Effect::Notice(notice) => {
                tracing::debug!(?notice, "residency");
                // Nobody has to listen.
                let _ = self.shared.notices.send(notice);
            }
            Effect::AbortStalled(instance) => self.abort_stalled(&instance),
            Effect::AbortAll => self.shared.outbox.inside(None).iter().for_each(|lease| lease.abort()),
            Effect::Publish => self.publish(),
            Effect::Stopped => {
                self.is_stopped = true;
                self.stopping.drain(..).for_each(|answer| {
                    let _ = answer.send(());
                });
            }
            Effect::List(_) | Effect::Load(..) | Effect::Unload(_) => self.call(effect),
        }
    }

    /// The gate has counted the lease in. If the client has gone, dropping the lease counts it out.
    fn grant(&mut self, ticket: Ticket, grant: Grant) {
        let seat = self.seats.remove(&ticket);
        let Some(seat) = seat else {
            debug_assert!(false, "a grant for nobody");
            grant.gate.leave();
            return;
        };
        seat.progress.write(None);
        let lease = Lease::new(
            grant.gate,
            self.shared.outbox.clone(),
            (seat.model, grant.instance),
            (seat.session, seat.purpose),
            grant.timings,
        );
        let _ = seat.answer.send(Ok(lease));
    }

    fn publish(&self) {
        let directory = Arc::new(self.planner.directory());
        self.shared.snapshot.store(Arc::new(Snapshot { directory, doors: self.planner.doors() }));
    }

    /// Sends a call to the provider, to be awaited beside the mailbox.
    fn call(&mut self, effect: Effect) {
        let provider = self.provider.clone();
        let load_timeout = self.config.load_timeout;
        let call = async move {
            match effect {
                Effect::List(asked) => Event::Listed(asked, within(LIST_TIMEOUT, provider.list()).await),
                Effect::Load(operation, request) => {
                    Event::Loaded(operation, within(load_timeout, provider.load(request)).await)
                }
                Effect::Unload(instance) => {
                    let result = within(UNLOAD_TIMEOUT, provider.unload(instance.clone())).await;
                    Event::Unloaded(instance, result)
                }
                _ => Event::Tick,
            }
        };
        self.calls.push(Box::pin(call));
    }

    /// Rule 9. A client counts as reading nothing for as long as its meter shows the same frame on its side.
    fn abort_stalled(&mut self, instance: &InstanceId) {
        let now = now();
        self.stalls.retain(|_, stall| now.saturating_duration_since(stall.seen) < STALL_GAP);
        for lease in self.shared.outbox.inside(Some(instance)) {
            let address = Arc::as_ptr(&lease) as usize;
            let Some(reading) = lease.stalled() else {
                self.stalls.remove(&address);
                continue;
            };
            let stall = self.stalls.entry(address).or_insert(Stall { reading, since: now, seen: now });
            if stall.reading != reading {
                *stall = Stall { reading, since: now, seen: now };
            }
            stall.seen = now;
            if now.saturating_duration_since(stall.since) >= self.config.slow_client {
                tracing::info!(%instance, "a client that reads nothing keeps a model from being swapped: broken off");
                self.stalls.remove(&address);
                lease.abort();
            }
        }
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, call).await.unwrap_or(Err(Error::TimedOut(limit)))
}

/// The clock that tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
