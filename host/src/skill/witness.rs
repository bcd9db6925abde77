//! Who looks on when skills decide: turns are recorded, and candidates are asked beside the versions that serve. Neither
//! can hold up or change a request: what was decided is handed over through bounded queues, and what does not fit is
//! counted and let go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Skills;
use super::chain::Outcome;
use super::generation::Active;
use super::inquiry::Inquiry;
use super::pace::{BURST, Pace};
use super::recorded::{Archive, Recorded, Recording};
use super::shadow::Shadow;
use crate::grant::Capability;
use crate::id::SkillName;

/// A turn that was decided.
pub(super) struct Decided {
    pub(super) inquiry: Inquiry,
    pub(super) outcome: Outcome,
}

/// Where decided turns are handed in.
pub(super) struct Witness {
    archive: OnceLock<Arc<dyn Archive>>,
    pub(super) shadows: ArcSwap<BTreeMap<SkillName, Arc<Shadow>>>,
    to_record: mpsc::Sender<Arc<Decided>>,
    to_compare: mpsc::Sender<Arc<Decided>>,
    pace: Mutex<Pace>,
    lost: AtomicU64,
}

/// What was handed in.
pub(super) struct Witnessed {
    to_record: mpsc::Receiver<Arc<Decided>>,
    to_compare: mpsc::Receiver<Arc<Decided>>,
}

/// Turns that wait to be recorded: those of a burst.
const TO_RECORD_MAX: usize = BURST as usize;

/// Turns that wait to be compared: a candidate may take seconds, and each may hold its request's body.
const TO_COMPARE_MAX: usize = 4;

// === impl Witness ===

impl Witness {
    pub(super) fn new() -> (Self, Witnessed) {
        let (to_record, recording) = mpsc::channel(TO_RECORD_MAX);
        let (to_compare, comparing) = mpsc::channel(TO_COMPARE_MAX);
        let witness = Self {
            archive: OnceLock::new(),
            shadows: ArcSwap::default(),
            to_record,
            to_compare,
            pace: Mutex::new(Pace::new(Instant::now())),
            lost: AtomicU64::default(),
        };
        (witness, Witnessed { to_record: recording, to_compare: comparing })
    }

    /// Where turns are kept; none where none are.
    pub(super) fn archive(&self) -> Option<&Arc<dyn Archive>> {
        self.archive.get().filter(|archive| archive.is_on())
    }

    /// A place for a turn that is to be recorded, unless too many come or wait.
    fn place_to_record(&self) -> Option<mpsc::Permit<'_, Arc<Decided>>> {
        let admits = || self.pace.lock().unwrap_or_else(PoisonError::into_inner).admits(Instant::now());
        let place = self.to_record.try_reserve().ok().filter(|_| admits());
        if place.is_none() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            // The first, then ever fewer: a flood must not fill the log.
            if lost.is_power_of_two() {
                tracing::info!("turns come faster than they are recorded; {lost} are left out");
            }
        }
        place
    }
}

// === impl Skills ===

impl Skills {
    /// Turns that skills decide are kept here from now on. The first place that is named counts.
    pub fn record_to(&self, archive: Arc<dyn Archive>) {
        let _ = self.witness.archive.set(archive);
    }

    /// So many turns are kept from now on.
    pub fn record_within(&self, bounds: Recording) {
        if let Some(archive) = self.witness.archive.get() {
            archive.bound(bounds);
        }
    }

    /// The skills have decided a turn. Costs next to nothing where nobody looks on, and never waits.
    pub fn decided(&self, inquiry: &Inquiry, outcome: &Outcome) {
        let shadows = self.witness.shadows.load();
        let to_record = self.witness.archive().and_then(|_| self.witness.place_to_record());
        if to_record.is_none() && shadows.is_empty() {
            return;
        }
        let reads = |skill: &Active| skill.identity.rights.allow(Capability::Conversation);
        let is_read = inquiry.generation.skills.iter().any(|skill| reads(skill))
            || shadows.values().any(|shadow| reads(shadow.candidate()));
        let inquiry = inquiry.for_onlookers(is_read);
        let decided = Arc::new(Decided { inquiry, outcome: outcome.clone() });
        if !shadows.is_empty() && self.witness.to_compare.try_send(decided.clone()).is_err() {
            shadows.values().for_each(|shadow| shadow.skip());
        }
        if let Some(to_record) = to_record {
            to_record.send(decided);
        }
    }

    /// Asks those who look on. One that would be another now, by what the user says of it, looks on no more.
    pub(super) async fn compare(&self, decided: &Decided) {
        let loader = self.loader();
        let is_over = |shadow: &Arc<Shadow>| !shadow.is_as_said(&loader);
        if self.witness.shadows.load().values().any(is_over) {
            self.witness.shadows.rcu(|shadows| {
                let left = shadows.iter().filter(|(_, shadow)| !is_over(shadow));
                left.map(|(name, shadow)| (name.clone(), shadow.clone())).collect::<BTreeMap<_, _>>()
            });
            tracing::warn!("a component is tried no more: the configuration says something else of it now");
        }
        let shadows = self.witness.shadows.load_full();
        let asked = shadows.values().map(|shadow| shadow.look(decided));
        futures_util::future::join_all(asked).await;
    }
}

// === impl Witnessed ===

impl Witnessed {
    /// Records and compares for as long as there are skills.
    pub(super) async fn run(self, skills: &std::sync::Weak<Skills>) {
        let Self { mut to_record, mut to_compare } = self;
        let recording = async {
            while let Some(decided) = to_record.recv().await {
                let Some(skills) = skills.upgrade() else { return };
                if let Some(archive) = skills.witness.archive() {
                    archive.keep(Recorded::of(&decided.inquiry, &decided.outcome));
                }
            }
        };
        let comparing = async {
            while let Some(decided) = to_compare.recv().await {
                let Some(skills) = skills.upgrade() else { return };
                skills.compare(&decided).await;
            }
        };
        tokio::join!(recording, comparing);
    }
}
