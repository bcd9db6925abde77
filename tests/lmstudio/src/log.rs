//! What happened, in order: every request with its bytes and every change of memory, numbered and timed.
//!
//! Bounded by `log_entries_max`; the oldest entries go first. Waiting for something to happen is waiting for the log
//! to say so, without polling. The log decides nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fault::Route;

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Counts from 1 and never repeats, also over a reset.
    pub sequence: u64,
    /// Milliseconds since the emulator was started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// What was in memory after it.
    pub resident: Arc<[Resident]>,
}

/// An instance in memory at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resident {
    /// The instance's id.
    pub id: Arc<str>,
    /// Its model's key.
    pub key: Arc<str>,
    /// Where it is in its life.
    pub phase: ResidentPhase,
    /// Tokens of context it has.
    pub context_length: u32,
    /// Who had it loaded.
    pub origin: Origin,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResidentPhase {
    /// On its way in.
    Loading,
    /// It answers.
    Ready,
    /// It answers no more but still takes memory.
    Unloading,
}

/// Who had an instance loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A load was asked for.
    Explicit,
    /// A request for the model came.
    Jit,
}

/// What can happen.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Event {
    /// A whole request was read.
    Request(RequestSeen),
    /// A load began.
    LoadStarted {
        /// What it will be called.
        instance: Arc<str>,
    },
    /// An instance answers from now on.
    Loaded {
        /// What it is called.
        instance: Arc<str>,
        /// How long its load took.
        seconds: f64,
    },
    /// A load was refused, broke or was stopped.
    LoadFailed {
        /// The instance, or the model's key where none was begun.
        instance: Arc<str>,
        /// In the words of the answer.
        reason: Arc<str>,
    },
    /// Somebody unloaded an instance; it answers no more.
    Unload {
        /// The instance.
        instance: Arc<str>,
    },
    /// An instance had to go for another that a request needed.
    Evicted {
        /// The instance.
        instance: Arc<str>,
    },
    /// An instance that a request had loaded was idle for its time.
    Expired {
        /// The instance.
        instance: Arc<str>,
    },
    /// An instance died.
    Crashed {
        /// The instance.
        instance: Arc<str>,
    },
    /// An instance's memory is free.
    Unloaded {
        /// The instance.
        instance: Arc<str>,
    },
    /// A download is over, and its model in the lists.
    Downloaded {
        /// The model's key.
        model: Arc<str>,
    },
    /// A download broke.
    DownloadFailed {
        /// The model's key.
        model: Arc<str>,
    },
    /// A request waits inside, behind `parallel` others.
    RequestQueued {
        /// The request.
        request: u64,
        /// The instance.
        instance: Arc<str>,
    },
    /// An instance works on a request.
    RequestStarted {
        /// The request.
        request: u64,
        /// The instance.
        instance: Arc<str>,
    },
    /// The first token of an answer is there.
    FirstToken {
        /// The request.
        request: u64,
        /// The instance.
        instance: Arc<str>,
    },
    /// The last byte of an answer was handed over.
    RequestFinished {
        /// The request.
        request: u64,
        /// Its status; none where the connection was reset instead.
        status: Option<u16>,
        /// What served it, where something did.
        instance: Option<Arc<str>>,
    },
    /// A generation in flight lost its instance.
    StreamKilled {
        /// The request.
        request: u64,
        /// The instance.
        instance: Arc<str>,
    },
    /// The client left before its answer was whole (or the emulator was stopped).
    ClientDisconnected {
        /// The request.
        request: u64,
        /// What was serving it, where something was.
        instance: Option<Arc<str>>,
    },
    /// A request met a fault.
    FaultFired {
        /// The request.
        request: u64,
        /// The fault's name.
        fault: Arc<str>,
    },
    /// A request hangs in a fault until it is released.
    FaultHolds {
        /// The request.
        request: u64,
        /// The fault's name.
        fault: Arc<str>,
    },
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct RequestSeen {
    /// Its number.
    pub request: u64,
    /// What it is for.
    pub route: Route,
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Its headers; names in lower case.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// The answer's status, once known.
    pub status: Option<u16>,
}

/// The log, shared by everything that has something to say.
#[derive(Debug)]
pub(crate) struct Log {
    records: Mutex<Records>,
    newest: watch::Sender<u64>,
    started: Instant,
    record: bool,
    entries_max: usize,
}

#[derive(Debug)]
struct Records {
    entries: VecDeque<Entry>,
    sequence: u64,
    resident: Arc<[Resident]>,
}

// === impl RequestSeen ===

impl RequestSeen {
    /// The value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Serialize for RequestSeen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("request", &self.request)?;
        map.serialize_entry("route", &self.route)?;
        map.serialize_entry("method", self.method.as_str())?;
        map.serialize_entry("path", &self.path)?;
        let headers: Vec<(&str, String)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        map.serialize_entry("headers", &headers)?;
        match std::str::from_utf8(&self.body) {
            Ok(text) => map.serialize_entry("body_text", text)?,
            Err(_) => map.serialize_entry("body_base64", &STANDARD.encode(&self.body))?,
        }
        map.serialize_entry("status", &self.status)?;
        map.end()
    }
}

// === impl Log ===

impl Log {
    pub(crate) fn new(record: bool, entries_max: usize) -> Self {
        let records = Records { entries: VecDeque::new(), sequence: 0, resident: Arc::new([]) };
        Self {
            records: Mutex::new(records),
            newest: watch::Sender::new(0),
            started: Instant::now(),
            record,
            entries_max,
        }
    }

    /// Requests are logged. Callers ask before they build an entry.
    pub(crate) fn records_requests(&self) -> bool {
        self.record
    }

    /// Notes something about a request. Nothing where requests are not recorded.
    pub(crate) fn note(&self, event: Event) {
        if self.record {
            self.push(event, None);
        }
    }

    /// Notes a change of memory and what is in it now.
    pub(crate) fn change(&self, event: Event, resident: Arc<[Resident]>) {
        self.push(event, Some(resident));
    }

    /// Writes the status into a request's own entry, and that it is finished.
    pub(crate) fn finished(&self, request: u64, status: Option<u16>, instance: Option<Arc<str>>) {
        if !self.record {
            return;
        }
        self.locked(|records| {
            let own = records.entries.iter_mut().rev().find_map(|entry| match &mut entry.event {
                Event::Request(seen) if seen.request == request => Some(seen),
                _ => None,
            });
            if let Some(seen) = own {
                seen.status = status;
            }
        });
        self.push(Event::RequestFinished { request, status, instance }, None);
    }

    /// Looks at the entries.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        self.locked(|records| look(records.entries.make_contiguous()))
    }

    /// Waits until the entries satisfy the predicate, which is asked again whenever there is a new one.
    pub(crate) async fn wait_for(&self, mut predicate: impl FnMut(&[Entry]) -> bool) {
        let mut newest = self.newest.subscribe();
        loop {
            newest.borrow_and_update();
            if self.read(&mut predicate) || newest.changed().await.is_err() {
                return;
            }
        }
    }

    /// Forgets everything but the numbers.
    pub(crate) fn clear(&self, resident: Arc<[Resident]>) {
        self.locked(|records| {
            records.entries.clear();
            records.resident = resident;
        });
    }

    fn push(&self, event: Event, resident: Option<Arc<[Resident]>>) {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sequence = self.locked(|records| {
            if let Some(resident) = resident {
                records.resident = resident;
            }
            records.sequence += 1;
            if records.entries.len() >= self.entries_max {
                records.entries.pop_front();
            }
            let entry =
                Entry { sequence: records.sequence, at_ms, event, resident: records.resident.clone() };
            records.entries.push_back(entry);
            records.sequence
        });
        self.newest.send_replace(sequence);
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Records) -> T) -> T {
        work(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
