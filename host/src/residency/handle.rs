//! The handle that every other room has: claims, wishes, and the snapshots that are read without asking.
//!
//! The hot path is in `enter`: one wait-free read of the snapshot, one hash lookup, one compare-and-swap on the gate.
//! Everything else goes through the mailbox of the device that the model's provider is on. Devices know nothing of each
//! other; what they publish is put together in `publish`.

mod configure;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::actor::{Actor, Message, place_of};
use super::claim::{Claim, Notice, Reason, Refused, Standing, Timings, Wish};
use super::config::Config;
use super::journal::Journal;
use super::lease::{End, Lease, Note, Outbox};
use super::plan::{Planner, Ticket};
use super::publish::Public;
use super::record::Kept;
use super::report::Report;
use super::tenancy::{Tenancy, Wanted};
use crate::id::{ModelId, SessionKey, SkillName};
use crate::model::Directory;
use crate::provider::Provider;

/// The handle on the residency of all devices. Cheap to clone.
#[derive(Clone)]
pub struct Residency(Arc<Inner>);

/// Memory that providers share, as configured.
#[derive(Clone)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// How it is looked after.
    pub config: Config,
    /// Whose models are in it; names are unique over all devices.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Where what must survive the process is kept; devices may share one.
    pub journal: Arc<dyn Journal>,
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

struct Inner {
    /// In the configured order; at the end those of devices that are not configured any more.
    desks: ArcSwap<Vec<Desk>>,
    public: Arc<Public>,
    tenancy: Arc<Tenancy>,
    /// Held while the devices are configured anew.
    configuring: tokio::sync::Mutex<()>,
}

/// The way to one device's owner.
#[derive(Clone)]
struct Desk {
    device: String,
    /// Names of the device's providers; none where it is not configured any more and its owner ends.
    providers: Vec<String>,
    mailbox: mpsc::Sender<Message>,
    outbox: Arc<Outbox>,
}

/// Leaves the queue when its claim is dropped.
struct Place {
    ticket: Ticket,
    outbox: Arc<Outbox>,
    is_over: bool,
}

/// Messages that wait for an owner; it never awaits anything else, so they wait for microseconds.
const MAILBOX: usize = 1024;

// === impl Residency ===

impl Residency {
    /// A handle, and the devices' owners, whose `run` must be spawned each. `aliases` are pairs of a configured alias and
    /// the name it stands for. Reads what the journals kept; the directory shows it from the start.
    pub fn new(devices: Vec<Device>, aliases: Vec<(String, String)>) -> (Self, Vec<Actor>) {
        let (public, tenancy) = (Arc::new(Public::new()), Arc::new(Tenancy::default()));
        public.arrange(devices.iter().map(|device| device.name.clone()).collect(), aliases);
        let outboxes: Vec<Arc<Outbox>> = devices.iter().map(|_| Arc::default()).collect();
        let held =
            tenancy.arrange(devices.iter().zip(&outboxes).map(|(it, outbox)| it.wants(outbox)).collect());
        let (mut desks, mut actors) = (Vec::new(), Vec::new());
        for (device, (outbox, held)) in devices.into_iter().zip(outboxes.into_iter().zip(held)) {
            let names: Vec<&str> = device.providers.iter().map(|provider| provider.name()).collect();
            let kept = device.journal.load(&device.name, &names);
            let (desk, actor) = Desk::open((&public, &tenancy), device, outbox, (kept, &held));
            desks.push(desk);
            actors.push(actor);
        }
        let configuring = tokio::sync::Mutex::default();
        let desks = ArcSwap::from_pointee(desks);
        (Self(Arc::new(Inner { desks, public, tenancy, configuring })), actors)
    }

    fn desks(&self) -> Arc<Vec<Desk>> {
        self.0.desks.load_full()
    }

    /// All models known at this moment, device by device. Wait-free.
    pub fn directory(&self) -> Arc<Directory> {
        self.0.public.snapshot().directory.clone()
    }

    /// What happens to models and wishes from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.0.public.notices()
    }

    /// Asks for a lease. A resident model of the baseline is granted at once; any other claim is queued as soon as the
    /// future is first polled, and leaves the queue when it is dropped.
    pub fn acquire(&self, claim: Claim) -> Acquire {
        if let Some(lease) = self.enter(&claim) {
            return Acquire(State::Entered(Some(lease)));
        }
        Acquire(State::Asked(Box::pin(self.clone().ask(claim, None))))
    }

    /// Asks for a lease for more of the same work as that of `before`, a side call whose exchange is over: the owner hears of
    /// that end and of this claim at once, so nothing is put back in between for nobody's sake, and what is decided
    /// about the claim is decided as if that lease had ended.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub async fn acquire_after(&self, before: Lease, claim: Claim) -> Result<Lease, Refused> {
        match self.enter(&claim) {
            Some(lease) => {
                before.finish(End::answered(false));
                Ok(lease)
            }
            None => self.clone().ask(claim, Some(before)).await,
        }
    }

    /// The hot path: a lease by the gate alone, where the model is resident, in the baseline, with enough context and
    /// an open gate that has room.
    fn enter(&self, claim: &Claim) -> Option<Lease> {
        let snapshot = self.0.public.snapshot();
        let doors = snapshot.doors.get(&claim.model)?;
        let is_open =
            |door: &&super::report::Door| claim.prompt_tokens <= door.serves_up_to && door.gate.try_enter();
        let door = doors.doors.iter().find(is_open)?;
        Some(Lease::new(
            door.gate.clone(),
            doors.outbox.clone(),
            (claim.model.clone(), door.instance.clone()),
            (claim.session.clone(), claim.purpose),
            Timings::default(),
        ))
    }

    async fn ask(self, claim: Claim, mut before: Option<Lease>) -> Result<Lease, Refused> {
        loop {
            let Some(desk) = self.desk(&claim.model) else {
                return Err(Refused::new(Reason::UnknownModel));
            };
            match desk.claim(self.0.public.next_ticket(), claim.clone(), before.take()).await {
                Err(refused) if refused.is_strange() && self.has_moved(&claim.model, &desk).await => {}
                answer => return answer,
            }
        }
    }

    /// The device that the model is or would be on.
    fn desk(&self, model: &ModelId) -> Option<Desk> {
        let name = model.provider();
        self.desks().iter().find(|desk| desk.providers.iter().any(|provider| provider == name)).cloned()
    }

    /// The model's provider went elsewhere while somebody asked for it there.
    async fn has_moved(&self, model: &ModelId, asked: &Desk) -> bool {
        drop(self.0.configuring.lock().await);
        self.desk(model).is_none_or(|now| !now.mailbox.same_channel(&asked.mailbox))
    }

    /// Wishes for a model to be loaded or unloaded. Answered at once or when it is done, as the wish says; a wish that
    /// was answered at once goes on by itself, and its failure is a [`Notice::WishFailed`].
    ///
    /// # Errors
    ///
    /// Why it cannot be fulfilled.
    pub async fn wish(&self, wish: Wish) -> Result<Standing, Refused> {
        let Some(desk) = self.desk(&wish.model) else { return Err(Refused::new(Reason::UnknownModel)) };
        let (answer, answered) = oneshot::channel();
        let message = Message::Wish(self.0.public.next_ticket(), wish, answer);
        if desk.mailbox.send(message).await.is_err() {
            return Err(Refused::new(Reason::ShuttingDown));
        }
        answered.await.unwrap_or_else(|_| Err(Refused::new(Reason::ShuttingDown)))
    }

    /// The session's next turn began, or was answered without a model: its turn's hold ends. Costs two atomic reads a
    /// device while no session has an unfinished turn there.
    pub fn turn_over(&self, session: &SessionKey) {
        for desk in self.0.desks.load().iter().filter(|desk| desk.outbox.may_have_turns()) {
            desk.outbox.push(Note::TurnOver(session.clone()));
        }
    }

    /// A skill is gone: its wishes and pins end.
    pub async fn skill_gone(&self, skill: SkillName) {
        for desk in self.desks().iter() {
            // Nobody owns the memory any more if the mailbox is closed, and nothing is left to end.
            let _ = desk.mailbox.send(Message::SkillGone(skill.clone())).await;
        }
    }

    /// What is going on, for people; none after the shutdown.
    pub async fn report(&self) -> Option<Report> {
        let mut all = Report::default();
        let desks = self.desks();
        for (desk, report) in desks.iter().zip(join_all(desks.iter().map(Desk::report)).await) {
            match report {
                Some(report) => all.extend(report),
                // Its owner has ended, as it should.
                None if desk.providers.is_empty() => {}
                None => return None,
            }
        }
        Some(all)
    }

    /// Answers when the owners have taken in every end, turn and departure that happened before: what is asked next, they
    /// decide knowing them. For whoever was told that an instance is gone and claims again. At once after the
    /// shutdown.
    pub async fn settled(&self) {
        join_all(self.desks().iter().map(Desk::settled)).await;
    }

    /// Refuses new claims, drains, goes back to the baseline, on all devices at once. Answers when that is done or each
    /// one's `shutdown_timeout` is over; an owner's `run` ends as soon as no load is under way after that.
    pub async fn shutdown(&self) {
        join_all(self.desks().iter().map(Desk::shutdown)).await;
    }
}

impl fmt::Debug for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Residency").finish_non_exhaustive()
    }
}

// === impl Device ===

impl Device {
    /// What its owner asks, by this outbox.
    fn wants(&self, outbox: &Arc<Outbox>) -> Wanted {
        let addresses = self.providers.iter().map(|it| it.address().to_owned()).collect();
        Wanted { device: self.name.clone(), outbox: outbox.clone(), addresses }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Desk ===

impl Desk {
    /// The way to a device's new owner, and that owner, which goes on from what was kept, and waits for these addresses.
    fn open(
        (public, tenancy): (&Arc<Public>, &Arc<Tenancy>),
        device: Device,
        outbox: Arc<Outbox>,
        (kept, held): (Kept, &BTreeSet<String>),
    ) -> (Self, Actor) {
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let now = tokio::time::Instant::now().into_std();
        let places: Vec<_> = device.providers.iter().map(|provider| place_of(provider, held)).collect();
        let planner = Planner::new(&device.name, device.config.clone(), &places, now).resume(kept);
        let providers = places.into_iter().map(|place| place.name).collect();
        let desk = Self { device: device.name.clone(), providers, mailbox, outbox: outbox.clone() };
        let part = public.part(&device.name);
        part.publish(&planner, &outbox);
        (desk, Actor::new(planner, device, (part, tenancy.clone()), outbox, messages))
    }

    async fn claim(&self, ticket: Ticket, claim: Claim, before: Option<Lease>) -> Result<Lease, Refused> {
        let (answer, granted) = oneshot::channel();
        if self.mailbox.send(Message::Claim(ticket, claim, before, answer)).await.is_err() {
            return Err(Refused::new(Reason::ShuttingDown));
        }
        let mut place = Place { ticket, outbox: self.outbox.clone(), is_over: false };
        let result = granted.await;
        place.is_over = true;
        result.unwrap_or_else(|_| Err(Refused::new(Reason::ShuttingDown)))
    }

    async fn report(&self) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.mailbox.send(Message::Report(answer)).await.ok()?;
        report.await.ok()
    }

    async fn settled(&self) {
        let (answer, settled) = oneshot::channel();
        if self.mailbox.send(Message::Settled(answer)).await.is_ok() {
            // An owner that is gone takes nothing in any more.
            let _ = settled.await;
        }
    }

    async fn shutdown(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.mailbox.send(Message::Shutdown(answer)).await.is_ok() {
            // An owner that is gone has stopped.
            let _ = stopped.await;
        }
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

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_over {
            self.outbox.push(Note::Left(self.ticket));
        }
    }
}
