//! Downloads: which are running, how far each is, what becomes of them.
//!
//! Bytes arrive with time and never for real. A job remembers when it began and how fast it is; where it is now follows
//! from the clock. At most [`JOBS_MAX`] jobs are remembered; the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::chat::scrambled;
use crate::config::Downloadable;
use crate::fault::{Kind, Met};
use crate::log::Event;
use crate::shared::Shared;

/// Jobs that can be asked for.
const JOBS_MAX: usize = 256;

/// Hexadecimal digits of a job's id are the low ones of a number.
const ID_BITS: u64 = (1 << 40) - 1;

/// The jobs so far, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Jobs(VecDeque<Job>);

/// One download.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) wanted: Arc<Downloadable>,
    pub(crate) started_at: Timestamp,
    pub(crate) state: State,
    /// Bytes that had arrived when it last began or went on.
    arrived: u64,
    since: Instant,
    began: Instant,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Downloading,
    Paused,
    Completed {
        /// When.
        at: Timestamp,
    },
    Failed,
}

// === impl Jobs ===

impl Jobs {
    pub(crate) fn get(&self, id: &str) -> Option<&Job> {
        self.0.iter().find(|job| job.id == id)
    }

    /// A job that still brings this model.
    pub(crate) fn running(&self, key: &str) -> Option<&Job> {
        self.0.iter().find(|job| job.wanted.model.key == key && job.is_open())
    }

    fn get_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.0.iter_mut().find(|job| job.id == id)
    }

    fn push(&mut self, job: Job) {
        if self.0.len() >= JOBS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(job);
    }
}

// === impl Job ===

impl Job {
    fn new(number: u64, wanted: Arc<Downloadable>) -> Self {
        let now = Instant::now();
        Self {
            id: format!("job_{:010x}", scrambled(number) & ID_BITS),
            wanted,
            started_at: Timestamp::now(),
            state: State::Downloading,
            arrived: 0,
            since: now,
            began: now,
        }
    }

    /// Bytes that have arrived.
    pub(crate) fn downloaded(&self) -> u64 {
        let total = self.wanted.model.size_bytes;
        match self.state {
            State::Completed { .. } => total,
            State::Paused | State::Failed => self.arrived,
            State::Downloading => {
                let new = self.since.elapsed().as_secs_f64() * self.wanted.bytes_per_second;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a number of bytes, cut to the file's size below"
                )]
                let new = new as u64;
                self.arrived.saturating_add(new).min(total)
            }
        }
    }

    /// When it would be over at this speed; none where it brings all at once.
    pub(crate) fn estimated_completion(&self) -> Option<Timestamp> {
        let left = time_for(self.wanted.model.size_bytes - self.arrived, self.wanted.bytes_per_second)?;
        self.clock(self.since.saturating_duration_since(self.began) + left)
    }

    /// It is neither over nor broken.
    fn is_open(&self) -> bool {
        matches!(self.state, State::Downloading | State::Paused)
    }

    /// The calendar's time so long after it began. Follows the emulator's clock, which tests may pause.
    fn clock(&self, after: Duration) -> Option<Timestamp> {
        self.started_at.checked_add(SignedDuration::try_from(after).ok()?).ok()
    }

    fn stop_at(&mut self, bytes: u64, state: State) {
        (self.arrived, self.state) = (bytes, state);
    }
}

/// How long so many bytes take; none where they come at once.
fn time_for(bytes: u64, bytes_per_second: f64) -> Option<Duration> {
    #[expect(clippy::cast_precision_loss, reason = "files of more than 2^52 bytes are not emulated")]
    let seconds = bytes as f64 / bytes_per_second;
    if bytes_per_second > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

// === impl Shared ===

impl Shared {
    /// Begins a download, which goes on by itself. `fault` is what it has met.
    pub(crate) fn begin_download(
        self: &Arc<Self>,
        wanted: Downloadable,
        request: u64,
        fault: Option<Met>,
    ) -> Job {
        let job = Job::new(request, Arc::new(wanted));
        self.locked(|hub| hub.jobs.push(job.clone()));
        if fault.is_none() && job.wanted.bytes_per_second <= 0.0 {
            self.complete_download(&job);
        } else {
            let (shared, job) = (self.clone(), job.clone());
            self.spawn(async move { shared.download(job, request, fault).await });
        }
        self.locked(|hub| hub.jobs.get(&job.id).cloned()).unwrap_or(job)
    }

    async fn download(self: Arc<Self>, job: Job, request: u64, fault: Option<Met>) {
        let (total, speed) = (job.wanted.model.size_bytes, job.wanted.bytes_per_second);
        let mut left = total;
        match fault.as_ref().map(|met| &met.kind) {
            Some(Kind::DownloadFailure { after_bytes }) => {
                let bytes = total.min(*after_bytes);
                arrive(bytes, speed).await;
                if self.change_job(&job.id, |job| job.stop_at(bytes, State::Failed)) {
                    let model = Arc::from(job.wanted.model.key.as_str());
                    self.note_download(Event::DownloadFailed { model });
                }
                return;
            }
            Some(Kind::DownloadPause { after_bytes }) => {
                let bytes = total.min(*after_bytes);
                arrive(bytes, speed).await;
                self.change_job(&job.id, |job| job.stop_at(bytes, State::Paused));
                self.hold_download(request, fault).await;
                self.change_job(&job.id, |job| (job.state, job.since) = (State::Downloading, Instant::now()));
                left -= bytes;
            }
            _ => {}
        }
        arrive(left, speed).await;
        self.complete_download(&job);
    }

    async fn hold_download(&self, request: u64, fault: Option<Met>) {
        if let Some(mut met) = fault {
            self.log.note(Event::FaultHolds { request, fault: met.name.clone() });
            met.released().await;
        }
    }

    /// The model is there from now on. Nothing where a reset has forgotten the job.
    fn complete_download(&self, job: &Job) {
        let known = self.locked(|hub| {
            let Some(own) = hub.jobs.get_mut(&job.id) else {
                return false;
            };
            let at = own.clock(own.began.elapsed()).unwrap_or(own.started_at);
            own.state = State::Completed { at };
            let model = &own.wanted.model;
            if !hub.catalogue.iter().any(|other| other.key == model.key) {
                hub.catalogue.push(Arc::new(model.clone()));
            }
            true
        });
        if known {
            self.note_download(Event::Downloaded { model: Arc::from(job.wanted.model.key.as_str()) });
        }
    }

    /// False where a reset has forgotten the job.
    fn change_job(&self, id: &str, change: impl FnOnce(&mut Job)) -> bool {
        self.locked(|hub| hub.jobs.get_mut(id).map(change).is_some())
    }

    fn note_download(&self, event: Event) {
        let resident = self.locked(|hub| hub.memory.residents());
        self.log.change(event, resident);
    }
}

/// Until so many bytes have arrived.
async fn arrive(bytes: u64, speed: f64) {
    if let Some(time) = time_for(bytes, speed) {
        tokio::time::sleep(time).await;
    }
}
