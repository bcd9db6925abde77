//! What is done for skills beside requests: events are told, spares are made, those that fail too often are taken out of
//! use, the folder is watched, decided turns are recorded and compared. One future, which `app` runs; its queues are bounded and those who fill them never wait.
//!
//! Events are told in order, to the generation that is current when their turn comes. One that does not fit into the
//! queue is lost, and that is logged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::Skills;
use super::folder;
use super::generation::Generation;
use super::pool::Pool;
use super::witness::Witnessed;
use crate::id::SkillName;
use crate::shelf::Digest;
use crate::turn::event::Event;

/// Where to tell what happened; clones share the queue.
#[derive(Clone)]
pub struct EventSender {
    queue: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
}

/// A skill has failed too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) skill: SkillName,
    /// Which load of it.
    pub(super) load: u64,
    /// The last failure: a fragment that follows its name.
    pub(super) reason: String,
}

/// Where alarms are raised; clones share the queue.
#[derive(Clone)]
pub(super) struct Alarms(mpsc::Sender<Alarm>);

/// The work beside requests, to be run.
#[must_use = "events are told, spares made, changes noticed only while it runs"]
pub struct Housekeeping {
    skills: Weak<Skills>,
    current: Arc<ArcSwap<Generation>>,
    events: mpsc::Receiver<Event>,
    refills: mpsc::Receiver<Weak<Pool>>,
    alarms: mpsc::Receiver<Alarm>,
    witnessed: Witnessed,
}

/// How often the skills' folder is looked at. A file counts when two looks have found it the same: one that is still being
/// written waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events that wait to be told; a burst of discovery is a few hundred.
const EVENTS_MAX: usize = 1024;

/// Alarms that wait to be heard: one for each skill that there may be, at most.
const ALARMS_MAX: usize = 256;

// === impl Alarms ===

impl Alarms {
    pub(super) fn new() -> (Self, mpsc::Receiver<Alarm>) {
        let (queue, alarms) = mpsc::channel(ALARMS_MAX);
        (Self(queue), alarms)
    }

    /// Nobody may be listening any more, which is as well.
    pub(super) fn raise(&self, alarm: Alarm) {
        let _ = self.0.try_send(alarm);
    }
}

// === impl EventSender ===

impl EventSender {
    /// Tells what happened, without waiting. Where too much waits to be told already, the event is lost.
    pub fn send(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(event) {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // The first, then ever fewer: a stalled skill must not fill the log.
            if lost.is_power_of_two() {
                tracing::warn!("skills are told too slowly what happened; {lost} events are lost");
            }
        }
    }

    /// Events that did not fit into the queue.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

// === impl Housekeeping ===

impl Housekeeping {
    pub(super) fn channel() -> (EventSender, mpsc::Receiver<Event>) {
        let (queue, events) = mpsc::channel(EVENTS_MAX);
        (EventSender { queue, lost: Arc::default() }, events)
    }

    pub(super) fn new(
        skills: &Arc<Skills>,
        events: mpsc::Receiver<Event>,
        refills: mpsc::Receiver<Weak<Pool>>,
        alarms: mpsc::Receiver<Alarm>,
        witnessed: Witnessed,
    ) -> Self {
        let (skills, current) = (Arc::downgrade(skills), skills.current.clone());
        Self { skills, current, events, refills, alarms, witnessed }
    }

    /// Runs until the skills and all their event senders are gone.
    pub async fn run(self) {
        let Self { skills, current, mut events, mut refills, mut alarms, witnessed } = self;
        let telling = async {
            while let Some(event) = events.recv().await {
                let generation = current.load_full();
                generation.notify(&event).await;
            }
        };
        let refilling = async {
            while let Some(pool) = refills.recv().await {
                let Some(pool) = pool.upgrade() else { continue };
                if let Err(error) = pool.fill().await {
                    tracing::warn!("no spare instance could be made: the skill {error}");
                }
            }
        };
        let guarding = async {
            while let Some(alarm) = alarms.recv().await {
                let Some(skills) = skills.upgrade() else { return };
                skills.quarantine(&alarm).await;
            }
        };
        let others = async {
            tokio::join!(refilling, guarding, watch(&skills), witnessed.run(&skills));
            std::future::pending::<()>().await;
        };
        futures_util::future::select(pin!(telling), pin!(others)).await;
    }
}

/// Looks at the skills' folder, and has what changed there looked at.
async fn watch(skills: &Weak<Skills>) {
    let Some(folder) = skills.upgrade().and_then(|skills| skills.loader().folder.clone()) else { return };
    let mut used = folder::look(&folder).await;
    let mut before = used.clone();
    let mut bytes: BTreeMap<SkillName, Option<Digest>> = BTreeMap::new();
    for name in used.keys() {
        bytes.insert(name.clone(), digest(&folder, name).await);
    }
    let mut clock = tokio::time::interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let Some(skills) = skills.upgrade() else { return };
        let now = folder::look(&folder).await;
        let names: BTreeSet<SkillName> = now.keys().chain(used.keys()).cloned().collect();
        for name in names {
            let is_settled = now.get(&name) == before.get(&name);
            if !is_settled || now.get(&name) == used.get(&name) {
                continue;
            }
            match now.get(&name) {
                Some(stamp) => used.insert(name.clone(), *stamp),
                None => used.remove(&name),
            };
            // A file that was only touched is the same skill.
            let digest = digest(&folder, &name).await;
            if bytes.insert(name.clone(), digest) != Some(digest) {
                skills.look_again(&name).await;
            }
        }
        before = now;
    }
}

async fn digest(folder: &Path, name: &SkillName) -> Option<Digest> {
    let file = folder::read(folder, name).await?;
    file.wasm.ok().map(|wasm| wasm.digest())
}
