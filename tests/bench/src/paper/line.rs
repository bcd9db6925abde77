//! A line of waiters in front of one slot, played from instant to instant: who comes, who ends, what is loaded.
//!
//! What to do next is the [`Policy`]'s to say; this file only makes it happen. At every instant it first lets those in
//! who come from outside, then answers and a load end, then the policy is asked until it rests. Whether clients that were
//! answered at this very instant are back in the line before the policy is asked is the [`Comeback`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Arrivals, ClientNumber, Model, Outcome, Served, Slot};

/// Says what happens next.
pub(super) trait Policy {
    /// What to do now. It is not asked while a load is under way.
    fn next(&self, moment: &Moment) -> Step;
}

/// What a policy can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The waiter at this place begins; its model is resident and has a place for it.
    Begin(usize),
    /// This model is loaded in place of what is resident; nothing runs.
    Load(Model),
    /// Nothing, until something happens or this instant comes.
    Rest(Option<Duration>),
}

/// When a client asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comeback {
    /// Before the slot is looked at: a hog's clients are always there.
    AtOnce,
    /// After it was looked at: for a moment an answered client is away.
    Later,
}

/// The slot and the line at one moment.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) now: Duration,
    pub(super) slot: Slot,
    pub(super) resident: Option<Model>,
    /// Answers under way.
    pub(super) running: usize,
    /// In order of arrival.
    pub(super) line: Vec<Waiting>,
    /// Those who waited for the resident model when its load completed, and wait still.
    pub(super) batch: BTreeSet<ClientNumber>,
}

/// One who waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) client: ClientNumber,
    pub(super) model: Model,
    pub(super) arrived: Duration,
}

/// Plays arrivals to their end.
pub(super) fn play(arrivals: &Arrivals, slot: Slot, comeback: Comeback, policy: &impl Policy) -> Outcome {
    let mut play = Play::new(arrivals, slot);
    loop {
        play.arrive();
        let answered = play.end();
        play.finish_load();
        if comeback == Comeback::Later {
            play.act(policy);
        }
        answered.into_iter().for_each(|client| play.ask(client));
        let wake = play.act(policy);
        let Some(next) = play.next_instant(wake) else { return play.outcome };
        play.moment.now = next;
    }
}

struct Play {
    moment: Moment,
    /// What each client has still to ask for, the next last.
    wishes: Vec<Vec<Model>>,
    /// Clients that have not come yet, the next last.
    absent: Vec<(Duration, ClientNumber)>,
    /// When each answer under way ends.
    running: Vec<(Duration, ClientNumber)>,
    loading: Option<(Duration, Model)>,
    outcome: Outcome,
}

// === impl Moment ===

impl Moment {
    /// The resident model could work on one more.
    pub(super) fn has_room(&self) -> bool {
        self.running < self.slot.parallel.get()
    }

    /// Waits for something that is not resident.
    pub(super) fn is_foreign(&self, waiting: &Waiting) -> bool {
        self.resident != Some(waiting.model)
    }
}

// === impl Play ===

impl Play {
    fn new(arrivals: &Arrivals, slot: Slot) -> Self {
        let wishes = arrivals.clients.iter().map(|client| client.requests.iter().rev().copied().collect());
        let numbers = (0..).map(ClientNumber);
        let mut absent: Vec<_> =
            arrivals.clients.iter().zip(numbers).map(|(client, number)| (client.starts, number)).collect();
        absent.sort_unstable_by(|left, right| right.cmp(left));
        let moment = Moment {
            now: Duration::ZERO,
            slot,
            resident: None,
            running: 0,
            line: Vec::new(),
            batch: BTreeSet::new(),
        };
        let outcome = Outcome { makespan: Duration::ZERO, loads: 0, served: Vec::new() };
        Self { moment, wishes: wishes.collect(), absent, running: Vec::new(), loading: None, outcome }
    }

    /// Those whose time has come join the line.
    fn arrive(&mut self) {
        while let Some((_, client)) = self.absent.pop_if(|(starts, _)| *starts <= self.moment.now) {
            self.ask(client);
        }
    }

    /// The client's next request joins the line, if it has one.
    fn ask(&mut self, client: ClientNumber) {
        if let Some(model) = self.wishes.get_mut(client.0).and_then(Vec::pop) {
            self.moment.line.push(Waiting { client, model, arrived: self.moment.now });
        }
    }

    /// Answers that end now, and whose they were.
    fn end(&mut self) -> Vec<ClientNumber> {
        let now = self.moment.now;
        let ended: Vec<_> = self.running.extract_if(.., |(until, _)| *until <= now).collect();
        if !ended.is_empty() {
            self.outcome.makespan = now;
        }
        self.moment.running = self.running.len();
        ended.into_iter().map(|(_, client)| client).collect()
    }

    /// A load that completes freezes the batch of those who wait for it.
    fn finish_load(&mut self) {
        let now = self.moment.now;
        let Some((_, model)) = self.loading.take_if(|(until, _)| *until <= now) else { return };
        self.moment.resident = Some(model);
        let waiting = self.moment.line.iter().filter(|waiting| waiting.model == model);
        self.moment.batch = waiting.map(|waiting| waiting.client).collect();
    }

    /// Does what the policy says, until it rests; when it wants to be asked again.
    fn act(&mut self, policy: &impl Policy) -> Option<Duration> {
        while self.loading.is_none() {
            match policy.next(&self.moment) {
                Step::Begin(place) => self.begin(place),
                Step::Load(model) => {
                    self.moment.resident = None;
                    self.loading = Some((self.moment.now + self.moment.slot.load, model));
                    self.outcome.loads += 1;
                }
                Step::Rest(wake) => return wake,
            }
        }
        None
    }

    fn begin(&mut self, place: usize) {
        let Waiting { client, model, arrived } = self.moment.line.remove(place);
        let began = self.moment.now;
        self.moment.batch.remove(&client);
        self.running.push((began + self.moment.slot.answer, client));
        self.moment.running = self.running.len();
        self.outcome.served.push(Served { client, model, arrived, began });
    }

    /// When something happens next.
    fn next_instant(&self, wake: Option<Duration>) -> Option<Duration> {
        let ends = self.running.iter().map(|(until, _)| *until);
        let loaded = self.loading.iter().map(|(until, _)| *until);
        let arrives = self.absent.last().map(|(starts, _)| *starts);
        ends.chain(loaded).chain(arrives).chain(wake).filter(|at| *at > self.moment.now).min()
    }
}
