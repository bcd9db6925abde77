//! The owner of one device: a mailbox around the planner. It reads the clock, hands events in, carries effects out and
//! publishes snapshots. It decides nothing.
//!
//! It never awaits a provider: every call runs beside the mailbox and comes back as an event, so a load of minutes
//! delays no claim. A call once sent is awaited to its end; only the process's own end may come before that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use super::claim::{Claim, Progress, Purpose, Refused, Stage, Standing, Wish};
use super::config::Config;
use super::handle::Device;
use super::journal::{Journal, NotKept};
use super::lease::{Lease, Note, Outbox};
use super::plan::{
    Asked, Client, Durability, Effect, Event, Grant, InstanceKey, Legacy, Loss, Mark, Operation, Place,
    Planner, ProviderIndex, Ticket,
};
use super::publish::Part;
use super::record::{KnownModel, Record};
use super::report::Report;
use super::tenancy::{Freed, Tenancy};
use crate::id::{InstanceId, ModelId, SessionKey, SkillName};
use crate::provider::{Control, Error, LoadRequest, Provider};

/// The owner of one device's residency; `run` must be spawned.
#[must_use = "nothing is ever granted unless the owner runs"]
pub struct Actor {
    planner: Planner,
    config: Config,
    /// By name; those that leave stay until the planner has forgotten them.
    providers: BTreeMap<String, Arc<dyn Provider>>,
    part: Part,
    tenancy: Arc<Tenancy>,
    outbox: Arc<Outbox>,
    /// The device's name in the journal.
    name: String,
    journal: Arc<dyn Journal>,
    messages: mpsc::Receiver<Message>,
    seats: HashMap<Ticket, Seat>,
    wishes: HashMap<Ticket, oneshot::Sender<Result<Standing, Refused>>>,
    /// Calls to providers.
    calls: FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>,
    /// Clients that read nothing, by the address of their lease.
    stalls: HashMap<usize, Stall>,
    stopping: Vec<oneshot::Sender<()>>,
    is_stopped: bool,
}

/// What reaches the owner by mailbox.
pub(super) enum Message {
    /// Where it comes after an exchange of the same work, with that one's lease.
    Claim(Ticket, Claim, Option<Lease>, oneshot::Sender<Result<Lease, Refused>>),
    Wish(Ticket, Wish, oneshot::Sender<Result<Standing, Refused>>),
    SkillGone(SkillName),
    Configure(Box<Arrangement>, oneshot::Sender<()>),
    Leave,
    Report(oneshot::Sender<Report>),
    Settled(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// How a device is looked after from now on.
pub(super) struct Arrangement {
    pub(super) config: Config,
    pub(super) providers: Vec<Arc<dyn Provider>>,
    /// What was known of the models of providers that are new here.
    pub(super) known: BTreeMap<String, Vec<KnownModel>>,
    /// Addresses that another device's owner still has.
    pub(super) held: BTreeSet<String>,
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

/// How long a swap waits for its record to be durable; a synced write takes milliseconds.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// Sightings of a stalled client further apart than this do not add up.
const STALL_GAP: Duration = Duration::from_secs(5);

// === impl Actor ===

impl Actor {
    pub(super) fn new(
        planner: Planner,
        device: Device,
        (part, tenancy): (Part, Arc<Tenancy>),
        outbox: Arc<Outbox>,
        messages: mpsc::Receiver<Message>,
    ) -> Self {
        Self {
            planner,
            config: device.config,
            providers: device.providers.into_iter().map(|it| (it.name().to_owned(), it)).collect(),
            part,
            tenancy,
            outbox,
            name: device.name,
            journal: device.journal,
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
    /// shutdown begins by itself. Ends, too, when no provider is configured for the device any more and nobody needs one.
    pub async fn run(mut self) {
        self.handle(Event::Tick);
        let mut has_handles = true;
        while !((self.is_stopped || self.planner.is_over()) && self.calls.is_empty()) {
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
            () = self.outbox.wait() => Woken::Note,
            message = self.messages.recv(), if has_handles => Woken::Message(message),
            Some(event) = self.calls.next() => Woken::Provider(event),
            () = sleep => Woken::Timer,
        }
    }

    /// Ends and departures come before whatever their clients ask next.
    fn handle_notes(&mut self) {
        let notes = self.outbox.take();
        let count = u32::try_from(notes.len()).unwrap_or(u32::MAX);
        for note in notes {
            match note {
                Note::Ended(ended) => self.handle(Event::Ended(ended)),
                Note::TurnOver(session) => self.handle(Event::TurnOver(session)),
                Note::Freed(address, legacy) => self.handle(Event::Freed(address, legacy)),
                Note::Left(ticket) => {
                    self.seats.remove(&ticket);
                    self.handle(Event::Left(ticket));
                }
            }
        }
        self.outbox.handled(count, self.planner.turn_count());
    }

    fn on_message(&mut self, message: Message) {
        match message {
            // Its client left while the message was on its way, and has said so before.
            Message::Claim(_, _, _, answer) if answer.is_closed() => {}
            Message::Claim(ticket, claim, before, answer) => {
                let seat = Seat {
                    answer,
                    model: claim.model.clone(),
                    session: claim.session.clone(),
                    purpose: claim.purpose,
                    progress: claim.progress.clone(),
                };
                self.seats.insert(ticket, seat);
                let ended = before.and_then(|before| before.end_with(&claim, &self.outbox));
                self.handle(match ended {
                    Some(ended) => Event::ClaimedAfter(ended, ticket, claim),
                    None => Event::Claimed(ticket, claim),
                });
            }
            Message::Wish(ticket, wish, answer) => {
                self.wishes.insert(ticket, answer);
                self.handle(Event::Wished(ticket, wish));
            }
            Message::SkillGone(skill) => self.handle(Event::SkillGone(skill)),
            Message::Configure(arrangement, answer) => {
                self.configure(*arrangement);
                // Whoever configures may have gone.
                let _ = answer.send(());
            }
            Message::Leave => self.handle(Event::Configured(Box::new(self.config.clone()), Vec::new())),
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

    /// The planner hears of it first; what it asks for then goes to the providers as they are from now on.
    fn configure(&mut self, arrangement: Arrangement) {
        let Arrangement { config, providers, mut known, held } = arrangement;
        let places = providers.iter().map(|provider| {
            let known = known.remove(provider.name()).unwrap_or_default();
            let before = self.providers.get(provider.name());
            let is_kept = before.is_some_and(|before| Arc::ptr_eq(before, provider));
            let client = if is_kept { Client::Kept } else { Client::Replaced };
            Place { client, known, ..place_of(provider, &held) }
        });
        let event = Event::Configured(Box::new(config.clone()), places.collect());
        self.config = config;
        self.providers.extend(providers.into_iter().map(|it| (it.name().to_owned(), it)));
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        for effect in self.planner.handle(now(), event) {
            self.carry_out(effect);
        }
        self.providers.retain(|name, _| self.planner.has_provider(name));
        self.outbox.handled(0, self.planner.turn_count());
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
                self.part.notify(notice);
            }
            Effect::AbortStalled(key) => self.abort_stalled(&key),
            Effect::AbortAll => self.outbox.inside(None).iter().for_each(|lease| lease.abort()),
            Effect::Freed(address, legacy) => self.freed(&address, legacy),
            Effect::Publish => self.part.publish(&self.planner, &self.outbox),
            Effect::Stopped => {
                self.is_stopped = true;
                self.stopping.drain(..).for_each(|answer| {
                    let _ = answer.send(());
                });
            }
            Effect::List(provider, asked) => self.list(provider, asked),
            Effect::Load(provider, operation, request) => self.load(provider, operation, request),
            Effect::Unload(key) => self.unload(key),
            Effect::Remember(mark, record) => self.remember(mark, &record),
            Effect::Write(record) => self.journal.write(&self.name, &record),
            Effect::WriteModels(provider, models) => {
                if let Some(provider) = self.provider(provider) {
                    self.journal.write_models(provider.name(), &models);
                }
            }
            Effect::Lost(model, instance, loss) => warn_of(&model, &instance, loss),
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
            self.outbox.clone(),
            (seat.model, grant.instance),
            (seat.session, seat.purpose),
            grant.timings,
        );
        let _ = seat.answer.send(Ok(lease));
    }

    /// Whoever waits for it on another device has it now.
    fn freed(&self, address: &str, legacy: Option<Legacy>) {
        let due: Vec<ModelId> = legacy.iter().flat_map(Legacy::due).cloned().collect();
        if self.tenancy.freed(&self.name, address, legacy) == Freed::Nobodys {
            for model in due {
                tracing::info!(%model, "its server is not configured any more: it is not put back into memory");
            }
        }
    }

    /// The provider that an effect names. The planner knows no others.
    fn provider(&self, provider: ProviderIndex) -> Option<Arc<dyn Provider>> {
        self.providers.get(self.planner.name_of(provider)?).cloned()
    }

    fn list(&mut self, provider: ProviderIndex, asked: Asked) {
        let Some(it) = self.provider(provider) else { return };
        self.calls.push(Box::pin(async move {
            let listed = within(LIST_TIMEOUT, it.list()).await;
            // What can be asked of it is found out by listing.
            Event::Listed(provider, asked, listed.map(|models| (it.control(), models)))
        }));
    }

    fn load(&mut self, provider: ProviderIndex, operation: Operation, request: LoadRequest) {
        let Some(it) = self.provider(provider) else { return };
        let load_timeout = self.config.load_timeout;
        self.calls.push(Box::pin(async move {
            Event::Loaded(operation, within(load_timeout, it.load(request)).await)
        }));
    }

    fn unload(&mut self, key: InstanceKey) {
        let Some(it) = self.provider(key.provider) else { return };
        self.calls.push(Box::pin(async move {
            let result = within(UNLOAD_TIMEOUT, it.unload(key.id.clone())).await;
            Event::Unloaded(key, result)
        }));
    }

    fn remember(&mut self, mark: Mark, record: &Record) {
        let kept = self.journal.write_synced(&self.name, record);
        self.calls.push(Box::pin(async move {
            let late = || Err(NotKept(format!("no answer in {RECORD_TIMEOUT:?}")));
            let kept = tokio::time::timeout(RECORD_TIMEOUT, kept).await.unwrap_or_else(|_| late());
            let Err(error) = kept else { return Event::Remembered(mark, Durability::Durable) };
            tracing::warn!("the models in memory may not be put back after a crash: {error}");
            Event::Remembered(mark, Durability::Unknown)
        }));
    }

    /// Rule 9. A client counts as reading nothing for as long as its meter shows the same frame on its side.
    fn abort_stalled(&mut self, key: &InstanceKey) {
        let Some(provider) = self.provider(key.provider) else { return };
        let (now, instance) = (now(), &key.id);
        self.stalls.retain(|_, stall| now.saturating_duration_since(stall.seen) < STALL_GAP);
        for lease in self.outbox.inside(Some((provider.name(), instance))) {
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

/// A provider of which nothing was known here, by an arrangement in which these addresses are still another's.
pub(super) fn place_of(provider: &Arc<dyn Provider>, held: &BTreeSet<String>) -> Place {
    let control = provider.control();
    let is_held = control == Control::Full && held.contains(provider.address());
    Place { control, is_held, ..Place::new(provider.name(), provider.address()) }
}

/// Says what will be missing of an instance that comes back.
fn warn_of(model: &ModelId, instance: &InstanceId, loss: Loss) {
    match loss {
        Loss::Settings => tracing::info!(
            %instance,
            "unloaded for another model; it will come back with the provider's defaults for GPU use and parallel requests"
        ),
        Loss::NameAndSettings => tracing::warn!(
            %instance,
            "unloaded for another model; it will come back as {model}, with the provider's defaults for GPU use and \
             parallel requests; its own name stays valid here"
        ),
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
